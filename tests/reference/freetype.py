"""Freetypes in the reference: page blocks of the page allocator that are flagged as protected."""

from __future__ import annotations

from typing import Any

from tests.reference.buddy import BuddyAllocator
from tests.reference.rivals import Rival


class SidedBuddy(BuddyAllocator):
    """A set of free lists beside another one: to look whether a merge is likely it looks at both."""

    other: SidedBuddy

    def _merge_likely(self, pfn: int, order: int) -> bool:
        if order >= self.max_page_order - 1:
            return False
        neighbour = min(pfn, pfn ^ (1 << order)) ^ (1 << (order + 1))
        return any(side._is_free_chunk(neighbour, order + 1) for side in (self, self.other))


class Freetype(Rival):
    """The policy; `flagged` are the numbers of the flagged blocks, `own` their free chunks."""

    def make_buddy(self) -> BuddyAllocator:
        """Return the unflagged side."""
        nothing: list[list[int]] = [[] for _ in range(self.orders.max_page + 1)]
        self.own = SidedBuddy(self.machine.memory_pages, self.orders.max_page, nothing)
        system = SidedBuddy(self.machine.memory_pages, self.orders.max_page)
        system.other, self.own.other = self.own, system
        return system

    def boot(self) -> None:
        """Nothing is flagged."""
        self.flagged: set[int] = set()
        self.chunks_asked = 0

    def block_of(self, page: int) -> int:
        """Return the number of a page's block."""
        return page >> self.orders.block

    def own_page(self) -> int | None:
        """Take a free flagged page."""
        return self.own.alloc_pages(0)

    def alloc(self) -> int | None:
        """Take a free flagged page, or convert a block, or fall back."""
        page = self.own.alloc_pages(0)
        if page is None:
            page = self._convert()
        if page is None:
            self.counters["convert_failed"] += 1
            if self.parameters.get("fallback"):
                page = self._single_page()
        return page

    def _convert(self) -> int | None:
        order = self.orders.block
        page = self.buddy.alloc_pages(order)
        if page is None:
            return None
        if not self.protect(page, 1 << order):
            self.buddy.free_page_chunk(page, order)
            return None
        self.flagged.add(self.block_of(page))
        self.own._expand(page, order, 0)
        return page

    def _single_page(self) -> int | None:
        page = self.buddy.alloc_pages(0)
        if page is not None and not self.protect(page, 1):
            self.buddy.free_page_chunk(page, 0)
            return None
        return page

    def free(self, page: int) -> None:
        """Back to where it came from."""
        if self.block_of(page) in self.flagged:
            self.own.free_page_chunk(page, 0)
        else:
            assert self.unprotect(page, 1)
            self.buddy.free_page_chunk(page, 0)

    def system_alloc(self, order: int) -> int | None:
        """Give a chunk; an unmovable one may be made of flagged blocks that are wholly free."""
        percent = self.parameters.get("movable_percent", 0)
        self.chunks_asked += 1
        movable = self.chunks_asked * percent // 100 > (self.chunks_asked - 1) * percent // 100
        page = self.buddy.alloc_pages(order)
        if page is None and not movable:
            page = self._flip_back(order)
        return page

    def _flip_back(self, order: int) -> int | None:
        chunk = max(order, self.orders.block)
        page = self.own.alloc_pages(chunk)
        if page is None:
            return None
        assert self.unprotect(page, 1 << chunk)
        self.counters["scrubbed_pages"] += 1 << chunk
        self.flagged -= set(range(self.block_of(page), self.block_of(page + (1 << chunk))))
        self.buddy._expand(page, chunk, order)
        return page

    def held_pages(self) -> int:
        """All free pages of flagged blocks."""
        return self.own.free_pages

    def free_pages(self) -> int:
        """Both sides count, as in NR_FREE_PAGES."""
        return self.buddy.free_pages + self.own.free_pages

    def own_lists(self) -> Any:
        """Return flagged blocks with their free pages, and the lists."""
        nr_free = dict.fromkeys(sorted(self.flagged), 0)
        for order, chunks in enumerate(self.own.free_area):
            for page in chunks:
                for part in range(page, page + (1 << order)):
                    nr_free[self.block_of(part)] += 1
        return nr_free, [list(chunks) for chunks in self.own.free_area]
