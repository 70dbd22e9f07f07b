"""The buddy allocator of the reference: one zone, one migrate type, no per-CPU lists.

Kernel: mm/page_alloc.c (`rmqueue_buddy`, `expand`, `__free_one_page`, `buddy_merge_likely`).
"""

from __future__ import annotations

from collections import OrderedDict


class BuddyAllocator:
    """Free chunks of `2**order` pages, one ordered list per order, head first.

    An `OrderedDict` stands in for a doubly linked list: it can be added to at both ends, and a member can
    be taken out of the middle.
    """

    def __init__(self, memory_pages: int, max_page_order: int, free: list[list[int]] | None = None) -> None:
        self.memory_pages = memory_pages
        self.max_page_order = max_page_order
        self.free_area: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(max_page_order + 1)]
        if free is None:
            free = [[] for _ in range(max_page_order)] + [list(range(0, memory_pages, 1 << max_page_order))]
        for order, chunks in enumerate(free):
            for pfn in chunks:
                self.free_area[order][pfn] = None

    @property
    def free_pages(self) -> int:
        """Pages that are free, counted afresh."""
        return sum(len(chunks) << order for order, chunks in enumerate(self.free_area))

    def alloc_pages(self, order: int) -> int | None:
        """Take a chunk of `2**order` pages; None if there is none."""
        for found_order in range(order, self.max_page_order + 1):
            if self.free_area[found_order]:
                pfn, _ = self.free_area[found_order].popitem(last=False)
                self._expand(pfn, found_order, order)
                return pfn
        return None

    def _expand(self, pfn: int, high: int, low: int) -> None:
        """Halve a chunk of order `high` down to order `low`; the upper halves become free."""
        while high > low:
            high -= 1
            self._add_to_head(pfn + (1 << high), high)

    def free_page_chunk(self, pfn: int, order: int) -> None:
        """Give a chunk back, merging it with its buddy as often as possible."""
        while order < self.max_page_order and self._is_free_chunk(pfn ^ (1 << order), order):
            buddy_pfn = pfn ^ (1 << order)
            del self.free_area[order][buddy_pfn]
            pfn = min(pfn, buddy_pfn)
            order += 1
        if self._merge_likely(pfn, order):
            self.free_area[order][pfn] = None  # to the tail
        else:
            self._add_to_head(pfn, order)

    def _merge_likely(self, pfn: int, order: int) -> bool:
        """Tell whether the chunk that `pfn` and its buddy would make could merge in its turn.

        Such a chunk is left alone for as long as possible, in the hope that its buddy comes back.
        """
        if order >= self.max_page_order - 1:
            return False
        would_be_pfn = min(pfn, pfn ^ (1 << order))
        return self._is_free_chunk(would_be_pfn ^ (1 << (order + 1)), order + 1)

    def _is_free_chunk(self, pfn: int, order: int) -> bool:
        """Tell whether a free chunk of exactly this order starts at `pfn` (never so past memory)."""
        return pfn in self.free_area[order]

    def _add_to_head(self, pfn: int, order: int) -> None:
        self.free_area[order][pfn] = None
        self.free_area[order].move_to_end(pfn, last=False)
