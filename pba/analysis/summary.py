"""What is in a trace, in figures: by op, by level, live pages, passes, and the blocks that it touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pba.analysis.bursts import FreeRunTally
from pba.analysis.drawdown import NATURAL_WINDOW_NS, DrawdownTally
from pba.analysis.lifetimes import LifetimeTally
from pba.analysis.phases import PHASE_WINDOWS, joined, phases_of
from pba.analysis.rates import RateTally
from pba.events import LEVEL_UNKNOWN, LEVELS, MAX_PRIORITY, OP_ALLOC, OP_LETTERS, OP_SHRINK
from pba.machine import ORDERS
from pba.trace.forms.blocks import Blocks, blocks_of
from pba.trace.live import LiveIds
from pba.trace.metadata import Metadata
from pba.trace.ops import extent_of
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
    """What the demand for page tables is like.

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
        The rows of `pba.analysis.phases.phases_table`.
    live_pages : tuple of int
        Live page-table pages at the end of each of `PHASE_WINDOWS` equal windows of time; empty where all events
        stand at one time.
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
    live_pages: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes, the truth's recall and precision among them."""
        values: dict[str, Any] = {**self.metadata.to_dict(), **asdict(self)}
        del values["metadata"]
        truth = self.metadata.quality.truth
        if truth is not None:
            values["quality"]["truth"] |= {"recall": truth.recall, "precision": truth.precision}
        values["passes"] = {str(priority): number for priority, number in self.passes.items()}
        return values


def summarize_trace(trace: Trace) -> Summary:
    """Return what is in a trace that is in memory."""
    return summarize_blocks(blocks_of(trace))


def summarize_blocks(blocks: Blocks) -> Summary:
    """Return what is in a trace, of which a few blocks are in memory at a time.

    Whatever the number of events, it takes some 300 MiB; up to 88 bytes for each page table (and background
    chunk) live at the same time; and up to 32 bytes for each page frame that held a page table. The events
    are read twice, or three times where half of the pages live longer than 4 s.

    Raises
    ------
    TraceError
        If an event contradicts those before it, or the file is damaged.
    """
    tally = _Tally(blocks)
    for columns in blocks.read(("time_ns", "op", "id", "arg", "level", "pfn")):
        tally.take(columns)
    return tally.summary()


class _Tally:
    """Everything that a summary counts, block by block."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._live = _live_ids(blocks)
        self._first_ns = self._last_ns = 0
        self._ops = np.zeros(len(OP_LETTERS), np.int64)
        self._levels = np.zeros(len(LEVELS), np.int64)
        self._passes = np.zeros(MAX_PRIORITY + 1, np.int64)
        self._lifetimes, self._free_runs = LifetimeTally(), FreeRunTally()
        self._drawdown = DrawdownTally(NATURAL_WINDOW_NS)
        self._rates: RateTally | None = None
        self._frames: _Frames | None = None

    def take(self, columns: dict[str, NDArray[Any]]) -> None:
        """Count the next events."""
        time_ns, op = columns["time_ns"], columns["op"]
        if not len(op):
            return
        step, age_ns = self._live.take(columns)
        if self._rates is None:
            self._first_ns = int(time_ns[0])
            # The last time of a damaged file may lie before: then its events go backwards, and are refused.
            span_ns = max(self._blocks.last_ns - self._first_ns, 0)
            self._rates = RateTally(self._first_ns, span_ns, PHASE_WINDOWS)
        self._last_ns = int(time_ns[-1])
        self._ops += np.bincount(op, minlength=len(self._ops))
        is_alloc = op == OP_ALLOC
        if "level" in columns:
            self._levels += np.bincount(columns["level"][is_alloc], minlength=len(LEVELS))
        else:
            self._levels[LEVEL_UNKNOWN] += np.count_nonzero(is_alloc)
        self._passes += np.bincount(columns["arg"][op == OP_SHRINK], minlength=len(self._passes))
        self._lifetimes.take(step, age_ns)
        self._free_runs.take(time_ns, step)
        self._drawdown.take(time_ns, step)
        self._rates.take(time_ns, step)
        if "pfn" in columns:
            self._frames = self._frames or _Frames()
            self._frames.take(columns["pfn"][is_alloc])

    def summary(self) -> Summary:
        """Return the summary of what was counted."""
        metadata, live = self._blocks.metadata, self._live
        if metadata.duration_ns == 0:
            metadata = metadata.with_(duration_ns=self._last_ns - self._first_ns)
        start, end = extent_of(self._first_ns, self._last_ns, metadata.duration_ns)
        if not live.events:
            self._first_ns = self._last_ns = start
        return Summary(
            metadata=metadata,
            events=live.events,
            duration_ns=end - start,
            first_event_ns=self._first_ns - start,
            last_event_ns=self._last_ns - start,
            ops={letter: int(self._ops[code]) for code, letter in enumerate(OP_LETTERS)},
            levels=_by_level(self._levels),
            live_start_pages=metadata.quality.live_at_start,
            live_peak_pages=live.peak_pages,
            live_end_pages=live.live_pages,
            passes={priority: int(number) for priority, number in enumerate(self._passes) if number},
            unknown_frees=live.unknown_frees,
            blocks=None if self._frames is None else self._frames.blocks_touched(metadata),
            demand=self._demand(),
            phases=self._phases(),
            live_pages=self._live_pages(),
        )

    def _demand(self) -> Demand:
        """Return what the demand for page tables is like."""
        censored_ns = self._live.censored_ages(self._last_ns)
        return Demand(
            median_lifetime_ns=self._lifetimes.median_ns(censored_ns, self._ages_again),
            p99_free_burst_pages=self._free_runs.percentile(0.99),
            natural_cache_pages=self._drawdown.largest_pages,
        )

    def _ages_again(self) -> Iterator[NDArray[np.int64]]:
        """Yield how long the pages lived that each block frees, reading the events once more."""
        live = _live_ids(self._blocks)
        for columns in self._blocks.read(("time_ns", "op", "id", "arg")):
            yield live.take(columns)[1]

    def _phases(self) -> tuple[dict[str, float], ...]:
        """Return the rows of `phases_table`."""
        if self._rates is None:
            return ()
        return _rows(phases_of(joined(self._rates.table()), self._live.pages_at_start))

    def _live_pages(self) -> tuple[int, ...]:
        """Return the live pages at the end of each window."""
        if self._rates is None:
            return ()
        table = self._rates.table()
        net = (table["allocs"] - table["frees"]).astype("int64")
        return tuple((self._live.pages_at_start + net.cumsum()).tolist())


def _live_ids(blocks: Blocks) -> LiveIds:
    return LiveIds(blocks.metadata.quality.live_at_start or 0, blocks.path)


def _rows(table: pd.DataFrame) -> tuple[dict[str, float], ...]:
    """Return a table's rows as plain values."""
    columns = {str(name): table[name].tolist() for name in table.columns}
    return tuple({name: values[at] for name, values in columns.items()} for at in range(len(table)))


def _by_level(found: NDArray[np.int64]) -> dict[str, int]:
    """Return how many allocations there are of each level that occurs, top level first."""
    named = {LEVELS[code]: int(found[code]) for code in range(1, len(LEVELS)) if found[code]}
    return named | ({"unknown": int(found[0])} if found[0] else {})


class _Frames:
    """The page frames that page tables lay in: each once, sorted, and the latest not sorted in yet."""

    def __init__(self) -> None:
        self._known = np.empty(0, np.int64)
        self._latest: list[NDArray[np.int64]] = []

    def take(self, pfn: NDArray[np.int64]) -> None:
        """Take in the page frames of some allocations, `NO_PFN` where unknown."""
        self._latest.append(np.unique(pfn[pfn != NO_PFN]))
        if sum(map(len, self._latest)) > max(len(self._known), 1 << 20):
            self._settle()

    def _settle(self) -> None:
        self._known = np.unique(np.concatenate([self._known, *self._latest]))
        self._latest = []

    def blocks_touched(self, metadata: Metadata) -> BlocksTouched | None:
        """Return in how many PMD-sized blocks they lie, where the page size is known."""
        if metadata.page_size_kib not in ORDERS:
            return None
        self._settle()
        block_order = ORDERS[metadata.page_size_kib].block
        blocks = self._known >> block_order  # sorted
        memory = metadata.memory_pages
        return BlocksTouched(
            block_nr_pages=1 << block_order,
            distinct_pages=len(blocks),
            touched_blocks=int(np.count_nonzero(np.diff(blocks))) + bool(len(blocks)),
            memory_blocks=None if memory is None else -(-memory >> block_order),
        )


__all__ = ["BlocksTouched", "Demand", "Summary", "summarize_blocks", "summarize_trace"]
