"""A recording held against the kernel's own list of page tables.

The list cannot be read at one instant: reading it takes up to a second, during which tables come and go.
Every read of a piece is timed on the recording's clock, so what the recording says can be asked for that
very moment.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pba.errors import RecordError
from pba.events import LEVEL_KERNEL, LEVEL_P4D, LEVEL_PGD, LEVEL_PUD, LEVELS, OP_ALLOC, OP_FREE
from pba.recording.kpageflags import Snapshot
from pba.trace.metadata import Counted, Truth
from pba.trace.table import Trace
from pba.tracepoints.raw import RAW_TABLE, RAW_VISIT, RawEvents, pages_of

Pages = NDArray[np.int64]
_Value = TypeVar("_Value", np.int64, np.int8)
COUNT: Final = "nr_page_table_pages"
WHY_COUNTS_DIFFER: Final = (
    "the kernel counts what it has constructed (6.18: tables of every level, its own among them, but not "
    "those made at boot; 6.12 leaves out pgds and its own), and counts a page out before it is freed; its "
    "per-CPU counts lag"
)
"""In 6.18 the constructor and destructor that count a page (`NR_PAGETABLE`, include/linux/mm.h) also set and
clear the mark that kpageflags shows: count and list agree but for what changes between the looks."""
_NOT_ALWAYS_MARKED: Final = (LEVEL_PGD, LEVEL_P4D, LEVEL_PUD, LEVEL_KERNEL)
"""Levels that some kernels have no constructor for, and so do not mark: 6.12 none for the pgd (its
`pgd_alloc()` takes a bare page), the p4d and its own addresses, older ones none for the PUD; 6.18 for all."""
_TABLES_OF: Final = {LEVEL_KERNEL: "tables of the kernel's own addresses"}


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
    unmarked : dict of int to int
        How many pages were left out by level, since this kernel marks none of that level: it has no
        constructor for it.
    """

    truth: Truth
    in_flight: int
    changing: int
    unmarked: dict[int, int] = field(default_factory=dict)

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
        for level, pages in self.unmarked.items():
            yield (
                f"{pages} {_TABLES_OF.get(level, LEVELS[level] + ' pages')} were not compared: this kernel's "
                "list holds none of those, so they are not known among the pages live at the start either"
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
    seen = _until(trace, (OP_ALLOC, OP_FREE), snapshot, when_ns)
    pages, last = _last(trace.pfn[seen], trace.op[seen])
    is_live: Pages = pages[last == OP_ALLOC]
    return is_live


def _until(trace: Trace, ops: tuple[int, ...], snapshot: Snapshot, when_ns: Pages) -> Pages:
    """Return the numbers of a trace's events of some kinds that precede the look at their page."""
    chosen = np.flatnonzero(np.isin(trace.op, ops))
    times = trace.time_ns[chosen] + trace.metadata.time_origin_ns
    return chosen[times <= when_ns[snapshot.chunk_of(trace.pfn[chosen])]]


@contextlib.contextmanager
def witness() -> Iterator[None]:
    """Keep a process alive whose tables are recorded, so that there is a live one of every level.

    If the kernel's list then holds none of a level, it is not that those which the recording holds live are
    gone: this kernel marks none of that level. For that, tracing must be on before, and the list be read
    within.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no process more, or no `cat`: less sure, and no reason to fail
            pipe, none = subprocess.PIPE, subprocess.DEVNULL
            stack.enter_context(subprocess.Popen(["cat"], stdin=pipe, stdout=none, process_group=0))
        yield  # it ends when its input does, which is when the stack closes or this process dies


def hold_against(trace: Trace, end: Snapshot) -> HeldAgainstTruth:
    """Compare a recording with the kernel's list as it was read at its end (beside a `witness`)."""
    before = live_at(trace, end, end.before_ns)
    after = live_at(trace, end, end.after_ns)
    changing = np.setxor1d(before, after)
    recorded = np.intersect1d(before, after)
    true = np.setdiff1d(end.pfns, changing)
    unmarked = _unmarked(trace, recorded, end)
    recorded = np.setdiff1d(recorded, np.concatenate([np.empty(0, np.int64), *unmarked.values()]))
    common = np.intersect1d(recorded, true)
    only_recorded = np.setdiff1d(recorded, true)
    at_end = live_at(trace, end, np.full_like(end.after_ns, np.iinfo(np.int64).max))
    return HeldAgainstTruth(
        Truth(len(true), len(recorded), len(common)),
        len(np.setdiff1d(only_recorded, at_end)),
        len(changing),
        {level: len(pages) for level, pages in unmarked.items()},
    )


def _unmarked(trace: Trace, recorded: Pages, end: Snapshot) -> dict[int, Pages]:
    """Return the recorded pages of each level of which the kernel's list holds not one."""
    allocated = _until(trace, (OP_ALLOC,), end, end.before_ns)  # later, the same page may be of another level
    pages, level = _last(trace.pfn[allocated], trace.level[allocated])
    of_level = {code: np.intersect1d(pages[level == code], recorded) for code in _NOT_ALWAYS_MARKED}
    return {code: own for code, own in of_level.items() if len(own) and not np.isin(own, end.pfns).any()}
