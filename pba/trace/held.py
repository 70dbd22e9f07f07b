"""A recording held against the kernel's own list of page tables.

The list cannot be read at one instant: reading it takes up to a second, during which tables come and go.
Every read of a piece is timed on the recording's clock, so what the recording says can be asked for that
very moment.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pba.errors import RecordError
from pba.events import LEVEL_KERNEL, OP_ALLOC, OP_FREE
from pba.trace.kpageflags import Snapshot
from pba.trace.metadata import Counted, Truth
from pba.trace.raw import RAW_TABLE, RAW_VISIT, RawEvents, pages_of
from pba.trace.table import Trace

Pages = NDArray[np.int64]
_Value = TypeVar("_Value", np.int64, np.int8)
COUNT: Final = "nr_page_table_pages"
WHY_COUNTS_DIFFER: Final = (
    "the kernel counts what it has constructed (6.18: tables of every level, its own among them, but not "
    "those made at boot; 6.12 leaves its own out), and counts a page out before it is freed; its per-CPU "
    "counts lag"
)
"""In 6.18 the constructor and destructor that count a page (`NR_PAGETABLE`, include/linux/mm.h) also set and
clear the mark that kpageflags shows: count and list agree but for what changes between the looks."""


@dataclass(frozen=True)
class HeldAgainstTruth:
    """How a recording's live set compares with the kernel's.

    Attributes
    ----------
    truth : Truth
        The counts.
    in_flight : int
        Recorded pages that the kernel does not list but that were freed soon after: the destructor
        clears the mark before the page waits for its grace period (mm/mmu_gather.c).
    changing : int
        Pages left out, since they changed while their piece of the list was read.
    unmarked : int
        Tables of the kernel's own addresses, left out since this kernel marks none of those: it has no
        constructor for them (6.12; 6.18 has one).
    """

    truth: Truth
    in_flight: int
    changing: int
    unmarked: int = 0

    def notes(self) -> Iterator[str]:
        """Say what explains the differences, one sentence each."""
        wrong = self.truth.recorded_pages - self.truth.common_pages
        missed = self.truth.true_pages - self.truth.common_pages
        if self.in_flight:
            yield (
                f"{self.in_flight} of {wrong} pages that only the recording held live were on their way out: "
                "no longer marked as page tables, freed within the next second"
            )
        if wrong > self.in_flight:
            yield f"{wrong - self.in_flight} pages that the recording held live are no page tables"
        if missed:
            yield f"{missed} page tables that the kernel lists at the end are not in the recording"
        if self.changing:
            yield f"{self.changing} pages changed while the kernel's list was read, and were not compared"
        if self.unmarked:
            yield (
                f"{self.unmarked} tables of the kernel's own addresses were not compared: this kernel's list "
                "holds none of those, so they are not known among the pages live at the start either"
            )


@dataclass(frozen=True)
class Count:
    """The kernel's own count of page-table pages, and when (`CLOCK_MONOTONIC`) it was read."""

    time_ns: int
    pages: int

    @classmethod
    def take(cls, *, refresh: bool = True, text: str = "") -> Count:
        """Read `/proc/vmstat` (or `text`), after the per-CPU counts are added up where root asks for it.

        Raises
        ------
        RecordError
            If the kernel does not say.
        """
        if refresh:
            with contextlib.suppress(OSError):
                Path("/proc/sys/vm/stat_refresh").read_bytes()
        for line in (text or Path("/proc/vmstat").read_text()).splitlines():
            name, _, value = line.partition(" ")
            if name == COUNT:
                return cls(time.monotonic_ns(), int(value))
        raise RecordError(f"/proc/vmstat says no {COUNT}", "record on a kernel that does (2.6.28 and later)")


def hold_against_counts(trace: Trace, start: Count, end: Count) -> Counted:
    """Compare how many pages a recording holds live with the kernel's counts at its start and end."""
    recorded = []
    for count in (start, end):
        until = trace.time_ns + trace.metadata.time_origin_ns <= max(
            count.time_ns, trace.metadata.time_origin_ns
        )
        taken = np.count_nonzero(trace.op[until] == OP_ALLOC)
        recorded.append(int(taken - np.count_nonzero(trace.op[until] == OP_FREE)))
    return Counted(start.pages, end.pages, *recorded)


def live_after(start: Snapshot, raw: RawEvents) -> tuple[Pages, RawEvents]:
    """Return the pages that are tables when the first snapshot is complete, and the events from then on.

    A page's last event before that moment decides; where there is none, the snapshot's mark stands. So it
    does against a free that is older than the look at the page.
    """
    early = raw.time_ns <= start.end_ns
    pfns, place = _pages(raw, early & (raw.kind != RAW_VISIT))
    pfns, last = _last(pfns, place)
    older = raw.time_ns[last] < start.before_ns[start.chunk_of(pfns)]
    is_table = raw.kind[last] == RAW_TABLE
    gone = pfns[~is_table & ~(older & np.isin(pfns, start.pfns))]
    live = np.setdiff1d(np.union1d(start.pfns, pfns[is_table]), gone)
    return live, _part(raw, ~early)


def _pages(raw: RawEvents, chosen: NDArray[np.bool_]) -> tuple[Pages, Pages]:
    """Return every page of the chosen events, and its event's number, in order of time."""
    number = np.flatnonzero(chosen)
    pfns, place = pages_of(raw.pfn[number], None if raw.order is None else raw.order[number])
    return pfns, number[place]


def _last(pfns: Pages, values: NDArray[_Value]) -> tuple[Pages, NDArray[_Value]]:
    """Return each page once, and its last value."""
    pages, place = np.unique(pfns[::-1], return_index=True)
    return pages, values[::-1][place]


def _part(raw: RawEvents, chosen: NDArray[np.bool_]) -> RawEvents:
    """Return some of the events."""
    order = None if raw.order is None else raw.order[chosen]
    return RawEvents(raw.time_ns[chosen], raw.kind[chosen], raw.pfn[chosen], raw.level[chosen], order)


def live_at(trace: Trace, snapshot: Snapshot, when_ns: Pages) -> Pages:
    """Return the pages that a trace holds live when each was looked at (`when_ns` by piece), ascending."""
    tables = (trace.op == OP_ALLOC) | (trace.op == OP_FREE)
    pfns, ops = trace.pfn[tables], trace.op[tables]
    times = trace.time_ns[tables] + trace.metadata.time_origin_ns
    seen = times <= when_ns[snapshot.chunk_of(pfns)]
    pages, last = _last(pfns[seen], ops[seen])
    is_live: Pages = pages[last == OP_ALLOC]
    return is_live


def hold_against(trace: Trace, end: Snapshot) -> HeldAgainstTruth:
    """Compare a recording with the kernel's list as it was read at its end."""
    before = live_at(trace, end, end.before_ns)
    after = live_at(trace, end, end.after_ns)
    changing = np.setxor1d(before, after)
    recorded = np.intersect1d(before, after)
    true = np.setdiff1d(end.pfns, changing)
    unmarked = _unmarked(trace, recorded, end.pfns)
    recorded = np.setdiff1d(recorded, unmarked)
    common = np.intersect1d(recorded, true)
    only_recorded = np.setdiff1d(recorded, true)
    at_end = live_at(trace, end, np.full_like(end.after_ns, np.iinfo(np.int64).max))
    return HeldAgainstTruth(
        Truth(len(true), len(recorded), len(common)),
        len(np.setdiff1d(only_recorded, at_end)),
        len(changing),
        len(unmarked),
    )


def _unmarked(trace: Trace, recorded: Pages, listed: Pages) -> Pages:
    """Return the kernel's own tables among the recorded pages, if its list holds not one of them."""
    allocated = trace.op == OP_ALLOC
    pages, level = _last(trace.pfn[allocated], trace.level[allocated])
    own = np.intersect1d(pages[level == LEVEL_KERNEL], recorded)
    return own if not np.isin(own, listed).any() else own[:0]
