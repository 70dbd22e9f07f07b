"""The rivals of v6 in the reference: what they share, and those that keep no free pages of their own."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from tests.reference.buddy import BuddyAllocator
from tests.reference.linear_map import Leaf, LinearMap
from tests.reference.machine import Event, Machine


class Rival:
    """A policy on an ordinary buddy allocator and the linear map.

    Attributes
    ----------
    buddy : BuddyAllocator
        Memory that belongs to nobody.
    pages, background : dict
        Known page-table pages, id -> pfn; known background chunks, id -> (pfn, order).
    counters : Counter
        Everything that is counted.
    """

    def __init__(self, machine: Machine, **parameters: Any) -> None:
        self.machine = machine
        self.orders = machine.orders
        self.parameters = parameters
        self.counters: Counter[str] = Counter()
        self.buddy = self.make_buddy()
        self.linear_map = LinearMap(machine, self.counters, self._take_split_table)
        self.pages: dict[int, int] = {}
        self.background: dict[int, tuple[int, int]] = {}
        self.last_time_ns: int | None = None
        self.boot()
        self.counters["peak_held"] = self.held_pages()

    # What a rival says itself

    def make_buddy(self) -> BuddyAllocator:
        """Return the buddy allocator at the start."""
        return BuddyAllocator(self.machine.memory_pages, self.orders.max_page)

    def boot(self) -> None:
        """Do what is done at boot."""

    def alloc(self) -> int | None:
        """Allocate a page-table page."""
        raise NotImplementedError

    def free(self, page: int) -> None:
        """Free it."""
        raise NotImplementedError

    def own_page(self) -> int | None:
        """Take a free protected page of one's own for a table of a split."""
        return None

    def shrink(self, priority: int) -> int:
        """Visit the shrinker; return the pages freed."""
        return 0

    def held_pages(self) -> int:
        """Count protected, unused pages that nobody else can get."""
        return 0

    def system_alloc(self, order: int) -> int | None:
        """Give the rest of the system a chunk."""
        return self.buddy.alloc_pages(order)

    def system_free(self, page: int, order: int) -> None:
        """Take it back."""
        self.buddy.free_page_chunk(page, order)

    def free_pages(self) -> int:
        """Count the free pages that the kernel would."""
        return self.buddy.free_pages

    def own_lists(self) -> Any:
        """Return what else there is to compare."""
        return None

    # Calls

    def _take_split_table(self) -> int | None:
        page = self.own_page()
        if page is None:
            page = self.buddy.alloc_pages(0)
            if page is None:
                return None
            self.counters["split_ptp_raw"] += 1
            self.raw_table(page)
        self.counters["split_table_pages"] += 1
        return page

    def raw_table(self, page: int) -> None:
        """Note that an unprotected page has become a table."""

    def _call(self, page: int, nr_pages: int, way: str, flush: bool) -> bool:
        names = {"to": "protect", "from": "unprotect"}
        self.counters[f"{names[way]}_calls"] += 1
        self.counters[f"{names[way]}_pages"] += nr_pages
        self.counters["pages_changed"] += nr_pages
        self.counters["flush_ranges"] += flush
        if nr_pages == 1:
            self.counters["pagewise_calls"] += 1
            self.counters[f"{names[way]}_single_calls"] += 1
        else:
            self.counters["range_calls"] += 1
        if nr_pages >= 1 << self.orders.block:
            self.counters[f"flips_{way}"] += 1
        return self.linear_map.split_range(page, nr_pages)

    def protect(self, page: int, nr_pages: int, flush: bool = True) -> bool:
        """Set the page-table pkey."""
        return self._call(page, nr_pages, "to", flush)

    def unprotect(self, page: int, nr_pages: int, flush: bool = True) -> bool:
        """Take it off."""
        return self._call(page, nr_pages, "from", flush)

    # Events

    def step(self, event: Event) -> None:
        """Take one event."""
        if self.last_time_ns is not None:
            self.counters["held_page_ns"] += self.held_pages() * (event.time_ns - self.last_time_ns)
        self.last_time_ns = event.time_ns
        self.counters["events"] += 1
        if event.op == "A":
            page = self.alloc()
            self.counters["alloc_failures" if page is None else "allocs"] += 1
            if page is not None:
                self.pages[event.ident] = page
        elif event.op == "F" and event.ident in self.pages:
            self.free(self.pages.pop(event.ident))
            self.counters["frees"] += 1
        elif event.op == "S":
            self.shrink(event.arg)
        elif event.op == "D":
            call = 0
            while self.shrink(0) >> call > 1:
                call += 1
        elif event.op == "B":
            page = self.system_alloc(event.arg)
            if page is None:
                self.counters["background_failures"] += 1
            else:
                self.background[event.ident] = (page, event.arg)
        elif event.op == "b" and event.ident in self.background:
            self.system_free(*self.background.pop(event.ident))
        if event.op in "SD":
            self.counters["held_after_passes"] += self.held_pages()
        self.counters["peak_held"] = max(self.counters["peak_held"], self.held_pages())

    def totals(self) -> dict[str, int]:
        """Return every counter that is not 0."""
        found = self.counters | Counter(held_pages=self.held_pages(), free_pages=self.free_pages())
        return {name: value for name, value in found.items() if value}

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state in plain values."""
        return {
            "free_lists": [list(chunks) for chunks in self.buddy.free_area],
            "leaves": [leaf.name for leaf in self.linear_map.leaves],
            "contptes": sorted(self.linear_map.contptes),
            "pages": dict(self.pages),
            "background": dict(self.background),
            "own": self.own_lists(),
            "totals": self.totals(),
        }


class Scattered(Rival):
    """Single pages; tables of splits wait in a queue until the call that needed them is over."""

    def boot(self) -> None:
        """Nothing waits."""
        self.waiting: deque[int] = deque()

    def raw_table(self, page: int) -> None:
        """It waits to be protected."""
        self.waiting.append(page)

    def alloc(self) -> int | None:
        """Take a page and protect it, then all tables that wait."""
        page = self.buddy.alloc_pages(0)
        if page is None:
            return None
        done = self.protect(page, 1)
        before = self.counters["split_table_pages"]
        while self.waiting:
            self.protect(self.waiting.popleft(), 1)
        self.counters["nested_splits"] += self.counters["split_table_pages"] - before
        if not done:
            self.buddy.free_page_chunk(page, 0)
            return None
        return page

    def free(self, page: int) -> None:
        """Unprotect it and give it back."""
        assert self.unprotect(page, 1)
        self.buddy.free_page_chunk(page, 0)


class PteMapped(Rival):
    """The linear map is in PTEs from boot."""

    def boot(self) -> None:
        """Map all by PTEs."""
        self.linear_map.leaves = [Leaf.PTE for _ in self.linear_map.leaves]
        self.counters["map_table_pages"] = len(self.linear_map.leaves)

    def alloc(self) -> int | None:
        """Take a page and protect it."""
        page = self.buddy.alloc_pages(0)
        if page is not None:
            assert self.protect(page, 1)
        return page

    def free(self, page: int) -> None:
        """Unprotect it and give it back."""
        assert self.unprotect(page, 1)
        self.buddy.free_page_chunk(page, 0)
