"""What is in a trace, in figures: by op, by level, live pages, passes, and the blocks that it touched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pba.analysis.tables import median_lifetime_ns, natural_cache_pages, percentile, phases_table, runs
from pba.events import LEVELS, OP_ALLOC, OP_FREE, OP_SHRINK
from pba.machine import ORDERS
from pba.trace.metadata import Metadata
from pba.trace.ops import extent
from pba.trace.table import NO_PFN, Trace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BlocksTouched:
    """PMD-sized blocks of memory in which the recorded kernel had a page table at some time.

    Setting the pkey page by page (v5 of the series, or v6 without its block allocator) splits the linear
    map of every one of them, and nothing on arm64 folds a split mapping back.

    Attributes
    ----------
    block_nr_pages : int
        Pages that one PMD leaf maps at the recorded page size (512, 2048 or 8192).
    distinct_pages : int
        Page frames that held a page table at some time.
    touched_blocks : int
        Blocks that those pages lie in.
    memory_blocks : int, optional
        Blocks that the recorded machine's memory would fill, where its size is known.
    """

    block_nr_pages: int
    distinct_pages: int
    touched_blocks: int
    memory_blocks: int | None


@dataclass(frozen=True)
class Demand:
    """What the demand for page tables is like, see `pba.analysis.tables`.

    Attributes
    ----------
    median_lifetime_ns : int, optional
        Age that half of the pages do not outlive; None where more than half outlive the trace.
    p99_free_burst_pages : int
        99 of 100 runs of frees (within 1 ms of each other, no allocation between) are not larger.
    natural_cache_pages : int
        Most allocations beyond frees within any 1 s.
    """

    median_lifetime_ns: int | None
    p99_free_burst_pages: int
    natural_cache_pages: int


@dataclass(frozen=True)
class Summary:
    """What is in a trace.

    Attributes
    ----------
    metadata : Metadata
        Name, source, kernel, architecture, page size, memory, quality.
    events : int
        Number of events.
    duration_ns, first_event_ns, last_event_ns : int
        How long the recording lasted, and when its first and last event came after its beginning, in ns.
    ops : dict of str to int
        Events by op (`A`, `F`, `S`, `D`, `B`, `b`).
    levels : dict of str to int
        Allocations by level, those that occur; `unknown` for those without one.
    live_start_pages, live_peak_pages, live_end_pages : int
        Page-table pages live before the recording began (as far as it knows them), at most, and at its end.
    passes : dict of int to int
        Shrinker passes (`S`) by priority, 0 is the hardest pressure.
    unknown_frees : int
        Frees of an id that is not live; a replay skips them.
    blocks : BlocksTouched, optional
        Where the recorded pages lay; None without page frame numbers or without a page size.
    demand : Demand
        Lifetimes, bursts and natural cache size.
    phases : tuple of dict
        The rows of `pba.analysis.tables.phases_table`.
    """

    metadata: Metadata
    events: int
    duration_ns: int
    first_event_ns: int
    last_event_ns: int
    ops: dict[str, int]
    levels: dict[str, int]
    live_start_pages: int | None
    live_peak_pages: int
    live_end_pages: int
    passes: dict[int, int]
    unknown_frees: int
    blocks: BlocksTouched | None
    demand: Demand
    phases: tuple[dict[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes, the truth's recall and precision among them."""
        values: dict[str, Any] = {**self.metadata.to_dict(), **asdict(self)}
        del values["metadata"]
        truth = self.metadata.quality.truth
        if truth is not None:
            values["quality"]["truth"] |= {"recall": truth.recall, "precision": truth.precision}
        values["passes"] = {str(priority): number for priority, number in self.passes.items()}
        return values


def summarize(trace: Trace) -> Summary:
    """Return what is in a trace."""
    live = live_pages(trace)
    start, end = extent(trace)
    first, last = (int(trace.time_ns[0]), int(trace.time_ns[-1])) if len(trace) else (start, start)
    return Summary(
        metadata=trace.metadata,
        events=len(trace),
        duration_ns=end - start,
        first_event_ns=first - start,
        last_event_ns=last - start,
        ops=trace.counts(),
        levels=allocations_by_level(trace),
        live_start_pages=trace.metadata.quality.live_at_start,
        live_peak_pages=int(live.max(initial=0)),
        live_end_pages=int(live[-1]) if len(live) else 0,
        passes=passes_by_priority(trace),
        unknown_frees=trace.unknown_frees,
        blocks=blocks_touched(trace),
        demand=demand(trace),
        phases=_rows(phases_table(trace)),
    )


def _rows(table: pd.DataFrame) -> tuple[dict[str, float], ...]:
    """Return a table's rows as plain values."""
    columns = {str(name): table[name].tolist() for name in table.columns}
    return tuple({name: values[at] for name, values in columns.items()} for at in range(len(table)))


def demand(trace: Trace) -> Demand:
    """Return what the demand for page tables is like."""
    return Demand(
        median_lifetime_ns=median_lifetime_ns(trace),
        p99_free_burst_pages=percentile(runs(trace, OP_FREE), 0.99),
        natural_cache_pages=natural_cache_pages(trace),
    )


def live_pages(trace: Trace) -> NDArray[np.int64]:
    """Return the number of live page-table pages after each event."""
    known = trace.slot >= 0
    step = ((trace.op == OP_ALLOC) & known).astype(np.int64) - ((trace.op == OP_FREE) & known)
    return np.cumsum(step, dtype=np.int64)


def allocations_by_level(trace: Trace) -> dict[str, int]:
    """Return how many allocations there are of each level that occurs, top level first."""
    allocations = trace.op == OP_ALLOC
    if not len(trace.level):
        return {"unknown": int(allocations.sum())} if allocations.any() else {}
    found = np.bincount(trace.level[allocations], minlength=len(LEVELS))
    named = {LEVELS[code]: int(found[code]) for code in range(1, len(LEVELS)) if found[code]}
    return named | ({"unknown": int(found[0])} if found[0] else {})


def passes_by_priority(trace: Trace) -> dict[int, int]:
    """Return how many shrinker passes there are of each priority that occurs, hardest first."""
    found = np.bincount(trace.arg[trace.op == OP_SHRINK])
    return {priority: int(number) for priority, number in enumerate(found) if number}


def blocks_touched(trace: Trace) -> BlocksTouched | None:
    """Return in how many PMD-sized blocks the recorded page tables lay, where that is known."""
    page_size_kib = trace.metadata.page_size_kib
    if not len(trace.pfn) or page_size_kib not in ORDERS:
        return None
    block_order = ORDERS[page_size_kib].block
    pages = np.unique(trace.pfn[(trace.op == OP_ALLOC) & (trace.pfn != NO_PFN)])
    memory = trace.metadata.memory_pages
    return BlocksTouched(
        block_nr_pages=1 << block_order,
        distinct_pages=len(pages),
        touched_blocks=len(np.unique(pages >> block_order)),
        memory_blocks=None if memory is None else -(-memory >> block_order),
    )
