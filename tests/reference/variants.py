"""The variants of v6 in the reference: one rule changed each."""

from __future__ import annotations

from tests.reference.allocator import BlockAllocator


class Untracked(BlockAllocator):
    """No page is ever marked as being in a block."""

    def mark_block_cached(self, head_page: int, cached_pages: range) -> None:
        """Mark nothing."""


class WholeBlocks(BlockAllocator):
    """A block is given back whole or not at all."""

    splits_blocks = False


class WholeBlocksFall(WholeBlocks):
    """And an empty block that may not go whole does not stop a scan."""

    falls = True


class ColdFirst(BlockAllocator):
    """Pages are taken off the list from its tail."""

    def walk_to_uncache(self) -> list[int]:
        """Return the cached pages, tail first."""
        return list(reversed(self.cached_list))


class NonblockFirst(BlockAllocator):
    """Pages in no block are allocated first."""

    def page_to_take(self) -> int:
        """Return the first page in no block, else the head."""
        return next((page for page in self.cached_list if page not in self.in_block), self.cached_list[0])


class FullestFirst(BlockAllocator):
    """Pages of the block with the fewest free ones are allocated first, those in no block last."""

    nonblock_first = False

    def page_to_take(self) -> int:
        """Return the page of the fullest block that is nearest to the head (`min` takes the first of equals)."""
        in_blocks = [page for page in self.cached_list if page in self.in_block]
        if len(in_blocks) < self.nr_cached and (self.nonblock_first or not in_blocks):
            return next(page for page in self.cached_list if page not in self.in_block)
        return min(in_blocks, key=lambda page: self.block_nr_free[page - page % self.block_nr_pages])


class FullestFirstAfterNonblock(FullestFirst):
    """And those in no block first."""

    nonblock_first = True
