"""The buddy allocator of unmapped pages in the reference."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.reference.buddy import BuddyAllocator
from tests.reference.default_shrinker import ShrunkRival
from tests.reference.shrinker import Scan


class HeadedBuddy(BuddyAllocator):
    """A buddy allocator that never looks whether a merge is likely: chunks go to the head, or where it is told."""

    def _merge_likely(self, pfn: int, order: int) -> bool:
        return False


class TailedBuddy(BuddyAllocator):
    """The page allocator, which can be told to put a chunk to the tail."""

    to_tail = False

    def _merge_likely(self, pfn: int, order: int) -> bool:
        return self.to_tail or super()._merge_likely(pfn, order)


class UnmappedBuddy(ShrunkRival):
    """The policy.

    Attributes
    ----------
    own : BuddyAllocator
        Its buddy.
    marks : set
        Numbers of the marked blocks.
    tables, split_tables : set
        Its pages in use; and of them, those that are gone for good.
    bare : set
        Its pages, free and in use, that are not protected.
    """

    buddy: TailedBuddy

    def make_buddy(self) -> BuddyAllocator:
        """Return the page allocator."""
        return TailedBuddy(self.machine.memory_pages, self.orders.max_page)

    def boot(self) -> None:
        """Nothing is unmapped."""
        nothing: list[list[int]] = [[] for _ in range(self.orders.max_page + 1)]
        self.own = HeadedBuddy(self.machine.memory_pages, self.orders.max_page, nothing)
        self.mode = self.parameters.get("mode", "ranged")
        self.marks: set[int] = set()
        self.tables: set[int] = set()
        self.split_tables: set[int] = set()
        self.bare: set[int] = set()

    def block_of(self, page: int) -> int:
        """Return the number of a page's block."""
        return page >> self.orders.block

    def held_pages(self) -> int:
        """Count what is free in the second buddy."""
        return self.own.free_pages

    def count(self) -> int:
        """All of it may go."""
        return self.own.free_pages

    def _take(self) -> int | None:
        page = self.own.alloc_pages(0)
        if page is not None:
            self.tables.add(page)
            self.counters["ptp_unprotected"] += page in self.bare
        return page

    def own_page(self) -> int | None:
        """Take a page without a refill."""
        page = self._take()
        if page is not None:
            self.split_tables.add(page)
        return page

    def alloc(self) -> int | None:
        """Take a page, after a refill if there is none."""
        if self.own.free_pages == 0 and not self._refill():
            return None
        return self._take()

    def _refill(self) -> bool:
        order = self.orders.block
        while (page := self.buddy.alloc_pages(order)) is None:
            order -= 1
            if order < 0:
                self.counters["refill_failures"] += 1
                return False
        kind = {self.orders.block: "block", 0: "min"}.get(order, "mid")
        self.counters[f"refills_{kind}"] += 1
        if not self._protect_chunk(page, 1 << order):
            self.system_free(page, order)
            return False
        self.marks.add(self.block_of(page))
        self.own.free_page_chunk(page, order)
        return True

    def _protect_chunk(self, page: int, nr_pages: int) -> bool:
        if self.mode == "ranged":
            return self.protect(page, nr_pages)
        if self.mode == "posted":
            done = self.protect(page, 1)
            self.bare.update(range(page + 1, page + nr_pages) if done else ())
            return done
        self.counters["flush_ranges"] += 1
        return all(self.protect(page + at, 1, flush=False) for at in range(nr_pages))

    def free(self, page: int) -> None:
        """To the buddy that its block says."""
        self.tables.remove(page)
        if self.block_of(page) in self.marks:
            self.own.free_page_chunk(page, 0)
        else:
            self.bare.remove(page)
            self.buddy.free_page_chunk(page, 0)

    def system_free(self, page: int, order: int) -> None:
        """What others free in a marked block is kept."""
        if self.block_of(page) in self.marks:
            self.counters["captured_pages"] += 1 << order
            self.bare.update(range(page, page + (1 << order)))
            self.own.free_page_chunk(page, order)
        else:
            self.buddy.free_page_chunk(page, order)

    def scan(self, nr_to_scan: int) -> Scan:
        """Give chunks back, order by order."""
        total = 0
        for order in range(self.orders.max_page + 1):
            given = 0
            while given < nr_to_scan and self.own.free_area[order]:
                if not self._give_back(order):
                    total += given
                    return Scan(total or None, total)
                given += 1 << order
            total += given
            if total >= nr_to_scan:
                break
            nr_to_scan -= total
        return Scan(total or None, total)

    def _give_back(self, order: int) -> bool:
        page, _ = self.own.free_area[order].popitem(last=False)
        if not self._unprotect_chunk(page, 1 << order):
            self.own._add_to_head(page, order)
            return False
        if order == self.orders.block:
            self.marks.discard(self.block_of(page))
        if order >= self.orders.block:
            self.counters["whole_blocks_released"] += (1 << order) // (1 << self.orders.block)
        self.bare.difference_update(range(page, page + (1 << order)))
        self.buddy.to_tail = True
        self.buddy.free_page_chunk(page, order)
        self.buddy.to_tail = False
        return True

    def _unprotect_chunk(self, page: int, nr_pages: int) -> bool:
        if self.mode == "ranged":
            return self.unprotect(page, nr_pages)
        for at in range(page, page + nr_pages):
            if not self.unprotect(at, 1, flush=False):
                return False
            self.bare.add(at)
        return True

    def _owned(self) -> Counter[int]:
        """Return how many pages of each block are the policy's."""
        found = Counter(self.block_of(page) for page in self.tables)
        for order, chunks in enumerate(self.own.free_area):
            size = min(1 << order, 1 << self.orders.block)
            for first in chunks:
                for part in range(first, first + (1 << order), size):
                    found[self.block_of(part)] += size
        return found

    def own_lists(self) -> Any:
        """Return its lists, marked blocks, pages by block, and those that are not protected.

        Tables of splits never come back: whether they are protected is counted as they are taken.
        """
        lists = [list(chunks) for chunks in self.own.free_area]
        return lists, sorted(self.marks), dict(self._owned()), sorted(self.bare - self.split_tables)

    def totals(self) -> dict[str, int]:
        """And marks on blocks without a page of its."""
        stale = len(self.marks - set(self._owned()))
        return super().totals() | ({"stale_marks": stale} if stale else {})
