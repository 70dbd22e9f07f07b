"""The block allocator of the reference: v6 14/30 with the block accounting of v6 17/30.

Kernel: mm/kpkeys_hardened_pgtables.c.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from tests.reference.buddy import BuddyAllocator
from tests.reference.linear_map import LinearMap
from tests.reference.machine import PBA_NR_RESERVED_PAGES, Machine

REFILL_COUNTERS = ("refills_block", "refills_mid", "refills_min")


class BlockAllocator:
    """`struct pkeys_block_allocator` and what it stands on: the buddy allocator and the linear map.

    Attributes
    ----------
    cached_list : deque of int
        Cached pages by pfn, head first.
    in_block : set of int
        Pages that carry the flag `in_block`.
    block_nr_free : dict
        Head page of each managed block -> its cached pages.
    nr_deferred : int
        The shrinker's work put off, in pages.
    counters : Counter
        Everything that is counted.
    splits_blocks, falls : bool
        Whether a scan may take part of a block; whether it goes on where an empty block may not go whole.
    """

    splits_blocks = True
    falls = False

    def __init__(self, machine: Machine, free: list[list[int]] | None = None) -> None:
        self.machine = machine
        self.counters: Counter[str] = Counter()
        self.buddy = BuddyAllocator(machine.memory_pages, machine.orders.max_page, free)
        self.linear_map = LinearMap(machine, self.counters, self._take_split_table)
        self.cached_list: deque[int] = deque()
        self.in_block: set[int] = set()
        self.block_nr_free: dict[int, int] = {}
        self.refill_in_progress = False
        self.pkeys_can_be_set = False
        self.nr_deferred = 0
        self._boot()

    @property
    def nr_cached(self) -> int:
        """Cached pages."""
        return len(self.cached_list)

    @property
    def block_nr_pages(self) -> int:
        """`BLOCK_NR_PAGES`."""
        return 1 << self.machine.orders.block

    def own(self) -> dict[str, Any]:
        """Return what a variant keeps beside v6's state."""
        return {}

    def _boot(self) -> None:
        """Refill before pkeys can be set, then protect that region (`pba_init`, `pba_init_late`)."""
        region = self.refill_pages()
        self.pkeys_can_be_set = True
        if region is not None:
            nr_pages = self.nr_cached
            self._set_pkey_pgtable(region, nr_pages)

    # Blocks

    def block_head_page(self, page: int) -> int | None:
        """Return the head page of the block that `page` is in; None if it is in none."""
        if page not in self.in_block:
            return None
        return page - page % self.block_nr_pages

    def mark_block_cached(self, head_page: int, cached_pages: range) -> None:
        """A refill brought a whole block, of which these pages go to the cache."""
        self.in_block.add(head_page)
        self.in_block.update(cached_pages)
        self.block_nr_free[head_page] = len(cached_pages)

    def mark_block_noncached(self, head_page: int) -> None:
        """A block is given up: none of its pages, wherever they are, is in a block any more."""
        self.in_block.difference_update(range(head_page, head_page + self.block_nr_pages))
        del self.block_nr_free[head_page]

    def _adjust_block_nr_free(self, page: int, change: int) -> None:
        head_page = self.block_head_page(page)
        if head_page is not None:
            self.block_nr_free[head_page] += change

    # The cached list

    def cached_list_add_pages(self, first_page: int, nr_pages: int) -> None:
        """Add pages to the head of the list, one after the other in ascending order."""
        for page in range(first_page, first_page + nr_pages):
            self.cached_list.appendleft(page)

    def pgtable_alloc(self, may_use_reserve: bool = False) -> int | None:
        """Allocate one page-table page; None if the refill that it takes fails."""
        available = self.nr_cached if may_use_reserve else self.nr_cached - PBA_NR_RESERVED_PAGES
        if available <= 0:
            return self.refill_pages(alloc_one=True)
        page = self.page_to_take()
        self.cached_list.remove(page)
        self._adjust_block_nr_free(page, -1)
        return page

    def page_to_take(self) -> int:
        """Return the cached page that is allocated next: the head of the list."""
        return self.cached_list[0]

    def walk_to_uncache(self) -> list[int]:
        """Return the cached pages in the order in which a scan meets them."""
        return list(self.cached_list)

    def pgtable_free(self, page: int) -> None:
        """Free one page-table page: it goes to the cache."""
        self.cached_list_add_pages(page, 1)
        self._adjust_block_nr_free(page, +1)

    def _take_split_table(self) -> int | None:
        """Take one page for a table that a split needs."""
        page = self.pgtable_alloc(may_use_reserve=True)
        if page is not None:
            self.counters["split_table_pages"] += 1
        return page

    # Refill

    def refill_pages(self, alloc_one: bool = False) -> int | None:
        """Refill the cache from the buddy allocator and return the refill's first page; None if it fails.

        With `alloc_one` that first page is the caller's and is not added to the cache.

        A refill counts by its size as soon as the buddy allocator has given the pages, even if they cannot
        be protected and go back; `refill_failures` counts those for which it had none.
        """
        if self.refill_in_progress:
            self.counters["deadlocks"] += 1
            return None
        got = self._refill_from_buddy()
        if got is None:
            return None
        head_page, order = got
        self.refill_in_progress = True
        protected = not self.pkeys_can_be_set or self._set_pkey_pgtable(head_page, 1 << order)
        self.refill_in_progress = False
        if not protected:
            self.buddy.free_page_chunk(head_page, order)
            return None
        cached_pages = range(head_page + (1 if alloc_one else 0), head_page + (1 << order))
        if order == self.machine.orders.block:
            self.mark_block_cached(head_page, cached_pages)
        self.cached_list_add_pages(cached_pages.start, len(cached_pages))
        return head_page

    def _refill_from_buddy(self) -> tuple[int, int] | None:
        """Take the first order of the table that the buddy allocator can give."""
        for order, counter in zip(self.machine.orders.refill, REFILL_COUNTERS, strict=True):
            head_page = self.buddy.alloc_pages(order)
            if head_page is not None:
                self.counters[counter] += 1
                return head_page, order
        self.counters["refill_failures"] += 1
        return None

    # Protection

    def _set_pkey_pgtable(self, page: int, nr_pages: int) -> bool:
        self.counters["protect_calls"] += 1
        self.counters["protect_pages"] += nr_pages
        return self.set_memory(page, nr_pages)

    def set_pkey_default(self, page: int, nr_pages: int) -> bool:
        """Take the page-table pkey off pages that leave the allocator."""
        self.counters["unprotect_calls"] += 1
        self.counters["unprotect_pages"] += nr_pages
        return self.set_memory(page, nr_pages)

    def set_memory(self, page: int, nr_pages: int) -> bool:
        """Do what `set_memory_pkey()` does to the linear map; False if it fails."""
        return self._prepare_direct_map_split() and self.linear_map.split_range(page, nr_pages)

    def _prepare_direct_map_split(self) -> bool:
        """See to it that the tables that a split may need are there, unless this is a refill already."""
        if self.nr_cached >= PBA_NR_RESERVED_PAGES or self.refill_in_progress:
            return True
        return self.refill_pages() is not None
