"""The replay of the reference: the events of a trace, one by one, and the whole state after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.reference.allocator import BlockAllocator
from tests.reference.machine import Event, Machine, Thresholds
from tests.reference.memory import StartMemory, lay_out
from tests.reference.shrinker import do_shrink_slab, drop_slab

COUNTERS = (
    "allocs", "frees", "alloc_failures",
    "refills_block", "refills_mid", "refills_min", "refill_failures",
    "protect_calls", "protect_pages", "unprotect_calls", "unprotect_pages",
    "pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits", "split_table_pages",
    "shrink_calls", "scan_calls", "scan_stops",
    "whole_blocks_released", "blocks_split_by_shrinker", "nonblock_scans",
    "pages_released", "deadlocks", "background_failures", "pages_leaked",
)  # fmt: skip
"""Everything that is counted, in the order of the vectors."""

FNV_OFFSET_BASIS = 1469598103934665603
"""What the vectors were hashed with: the usual basis, 14695981039346656037, less its last digit."""
FNV_PRIME = 1099511628211


def hash_pfns(pfns: Iterable[int]) -> str:
    """Return the 64-bit FNV-1a of page frame numbers, each as 8 bytes little-endian, in hexadecimal."""
    value = FNV_OFFSET_BASIS
    for pfn in pfns:
        for byte in pfn.to_bytes(8, "little"):
            value = ((value ^ byte) * FNV_PRIME) % (1 << 64)
    return f"{value:016x}"


class Replay:
    """A machine that boots and then takes one event after the other.

    Attributes
    ----------
    pba : BlockAllocator
        The machine's state.
    pages : dict
        Known page-table pages: id -> pfn.
    background : dict
        Known background chunks: id -> (pfn, order).
    held_at_start : list
        (pfn, order) of chunks held before the first event, for the `B` events that name them (the first).
    nr_events, peak_cached, cached_page_ns, cached_after_passes : int
        Events taken; most pages cached at boot or after an event; cached pages x time; cached pages right
        after each pass (`S` or `D`), added up.
    """

    def __init__(
        self,
        machine: Machine,
        thresholds: Thresholds,
        memory: StartMemory | list[list[int]] | None = None,
        allocator: Callable[..., BlockAllocator] = BlockAllocator,
    ) -> None:
        self.thresholds = thresholds
        free: list[list[int]] | None = None
        self.held_at_start: list[tuple[int, int]] = []
        if isinstance(memory, list):  # the free lists as they are
            free = memory
        elif memory is not None:
            free, places = lay_out(memory, machine.memory_pages, machine.orders.max_page)
            self.held_at_start = list(zip(places, memory.held, strict=True))
        self.pba = allocator(machine, free)
        self.pages: dict[int, int] = {}
        self.background: dict[int, tuple[int, int]] = {}
        self.nr_events = 0
        self.last_time_ns: int | None = None
        self.peak_cached = self.pba.nr_cached
        self.cached_page_ns = 0
        self.cached_after_passes = 0

    def step(self, event: Event) -> None:
        """Take one event."""
        if self.last_time_ns is not None:
            self.cached_page_ns += self.pba.nr_cached * (event.time_ns - self.last_time_ns)
        self.last_time_ns = event.time_ns
        match event.op:
            case "A":
                self._alloc(event.ident)
            case "F":
                self._free(event.ident)
            case "S":
                do_shrink_slab(self.pba, self.thresholds, event.arg)
            case "D":
                drop_slab(self.pba, self.thresholds)
            case "B":
                self._background_alloc(event.ident, event.arg)
            case "b":
                self._background_free(event.ident)
            case _:
                raise ValueError(f"unknown op {event.op!r}")
        if event.op in "SD":
            self.cached_after_passes += self.pba.nr_cached
        self.nr_events += 1
        self.peak_cached = max(self.peak_cached, self.pba.nr_cached)

    def _alloc(self, ident: int) -> None:
        page = self.pba.pgtable_alloc()
        if page is None:
            self.pba.counters["alloc_failures"] += 1
        else:
            self.pba.counters["allocs"] += 1
            self.pages[ident] = page

    def _free(self, ident: int) -> None:
        """Free a page; an id whose allocation failed is not known, and nothing happens."""
        if ident in self.pages:
            self.pba.pgtable_free(self.pages.pop(ident))
            self.pba.counters["frees"] += 1

    def _background_alloc(self, ident: int, order: int) -> None:
        if self.held_at_start:  # it was live before the first event: nothing is taken now
            self.background[ident] = self.held_at_start.pop(0)
            return
        pfn = self.pba.buddy.alloc_pages(order)
        if pfn is None:
            self.pba.counters["background_failures"] += 1
        else:
            self.background[ident] = (pfn, order)

    def _background_free(self, ident: int) -> None:
        if ident in self.background:
            self.pba.buddy.free_page_chunk(*self.background.pop(ident))

    def totals(self) -> dict[str, int]:
        """Return every figure of a vector's `expected` but the hash, and `cached_after_passes`."""
        return {
            "events": self.nr_events,
            **{name: self.pba.counters[name] for name in COUNTERS},
            "nr_cached": self.pba.nr_cached,
            "peak_cached": self.peak_cached,
            "cached_page_ns": self.cached_page_ns,
            "cached_after_passes": self.cached_after_passes,
            "nr_deferred": self.pba.nr_deferred,
            "free_pages": self.pba.buddy.free_pages,
        }

    def cache_hash(self) -> str:
        """Return the hash of the cached list, head to tail."""
        return hash_pfns(self.pba.cached_list)

    def checkpoint(self) -> dict[str, Any]:
        """Return what the vectors hold at a checkpoint."""
        return {
            "event": self.nr_events,
            "nr_cached": self.pba.nr_cached,
            "cache_hash": self.cache_hash(),
            "free_pages": self.pba.buddy.free_pages,
            "pmd_splits": self.pba.counters["pmd_splits"],
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state in plain values: lists in list order, sets sorted."""
        pba = self.pba
        return {
            "cached": list(pba.cached_list),
            "in_block": sorted(pba.in_block),
            "block_nr_free": {head >> pba.machine.orders.block: n for head, n in pba.block_nr_free.items()},
            "free_lists": [list(chunks) for chunks in pba.buddy.free_area],
            "leaves": [leaf.name for leaf in pba.linear_map.leaves],
            "contptes": sorted(pba.linear_map.contptes),
            "nr_deferred": pba.nr_deferred,
            "pages": dict(self.pages),
            "background": dict(self.background),
            "own": pba.own(),
            "totals": self.totals(),
        }


def checkpoints(replay: Replay, events: Iterable[Event], every: int) -> Iterator[dict[str, Any]]:
    """Replay events and yield a checkpoint after every so many of them."""
    for event in events:
        replay.step(event)
        if replay.nr_events % every == 0:
            yield replay.checkpoint()
