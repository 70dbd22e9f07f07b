"""What a trace does not know for sure, and other traces that would have been recorded alike.

A recording can miss a free (it follows only from the page's next allocation, or never), and an allocation
(something is freed that was never allocated). `find_faults` finds these places, `variant` returns the trace
as it would be had they happened at another time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.events import INFERRED, OP_ALLOC, OP_BG_FREE, OP_FREE
from pba.trace.metadata import Quality
from pba.trace.ops import live_before
from pba.trace.table import DTYPES, NO_PFN, Trace

Ints = NDArray[np.int64]

FREES: Final = ("late", "half-way", "at once")
"""When a missing free happened: as late as can be (at the page's next allocation, or never), at once after
its own allocation, or half-way between."""
ALLOCATIONS: Final = ("left out", "at the start", "just before")
"""When a page was allocated that is freed unmatched: never (a replay skips its free), at the first instant or
where its id was freed last, or just before its free."""
PAGES_PER_EVENT: Final = 2
"""Most pages that one event frees: the pgd of x86 with page-table isolation has order 1."""


@dataclass(frozen=True, eq=False)
class Faults:
    """Where a trace is imperfect; the arrays hold numbers of events.

    Attributes
    ----------
    inferred : ndarray of int64
        Frees that were not seen: they happened at some time between their allocation and here.
    suspects : ndarray of int64
        Allocations of pages live at the end whose frees may be lost, oldest first.
    unmatched : ndarray of int64
        Frees of page-table pages that are not live: live before the beginning, or their allocations lost.
    missed_pages : int
        Page tables that the kernel listed at the end and the recording does not know.
    unbounded : tuple of str
        What is missing and cannot be bounded, one sentence each.
    """

    inferred: Ints
    suspects: Ints
    unmatched: Ints
    missed_pages: int
    unbounded: tuple[str, ...]

    def choices(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs of `FREES` and `ALLOCATIONS` that differ for this trace, the recorded one first."""
        frees = FREES if len(self.inferred) or len(self.suspects) else FREES[:1]
        known = 3 if len(self.unmatched) else 2 if self.missed_pages else 1
        yield from product(frees, ALLOCATIONS[:known])

    def to_dict(self) -> dict[str, Any]:
        """Return how many there are of each, and what cannot be bounded."""
        return {
            "inferred_frees": len(self.inferred),
            "suspected_frees": len(self.suspects),
            "unmatched_frees": len(self.unmatched),
            "missed_pages": self.missed_pages,
            "unbounded": list(self.unbounded),
        }


def find_faults(trace: Trace) -> Faults:
    """Return where a trace is imperfect, as far as it says so itself.

    Which frees were inferred is marked in the trace; in one of format version 1 they are those that stand
    immediately before the next allocation of the same page frame, at the same time.

    A page that is live at the end may have lost its free if the recording lost any. Where it was held against
    the kernel's own list at its end, these are at most as many as the pages that the kernel did not list.
    Without that, at most as many pages as the lost events can have freed; and any page if frees are missing
    that no counter tells of (inferred ones show that, and `perf` is known for it).
    """
    quality = trace.metadata.quality
    truth = quality.truth
    inferred = _inferred(trace)
    unmatched = np.flatnonzero((trace.op == OP_FREE) & (trace.slot < 0))
    live = live_before(trace, len(trace))
    live = live[trace.op[live] == OP_ALLOC]
    return Faults(
        inferred=inferred,
        suspects=live[: _most_suspects(trace, len(live))],
        unmatched=unmatched,
        missed_pages=truth.true_pages - truth.common_pages if truth else 0,
        unbounded=tuple(_unbounded(trace, quality, len(inferred))),
    )


def _inferred(trace: Trace) -> Ints:
    marked = (trace.op == OP_FREE) & (trace.slot >= 0) & (trace.arg == INFERRED)
    if np.count_nonzero(marked) < trace.metadata.quality.inferred_frees and len(trace.pfn) and len(trace) > 1:
        op, pfn, time_ns = trace.op, trace.pfn, trace.time_ns
        marked[:-1] |= ((op[:-1] == OP_FREE) & (op[1:] == OP_ALLOC) & (trace.slot[:-1] >= 0)) & (
            (pfn[:-1] == pfn[1:]) & (pfn[1:] != NO_PFN) & (time_ns[:-1] == time_ns[1:])
        )
    return np.flatnonzero(marked)


def _most_suspects(trace: Trace, live: int) -> int:
    """Return how many of the pages live at the end can have lost their frees."""
    quality = trace.metadata.quality
    if quality.truth is not None:
        return min(quality.truth.recorded_pages - quality.truth.common_pages, live)
    if quality.inferred_frees or trace.metadata.source == "perf":
        return live
    return min(PAGES_PER_EVENT * quality.lost_events, live)


def _unbounded(trace: Trace, quality: Quality, inferred: int) -> Iterator[str]:
    """Say what is missing of which nothing can be known."""
    if quality.lost_events:
        yield (
            f"{quality.lost_events:,} events are lost: shrinker passes may be among them, and pages of which "
            "both allocation and free are"
        )
    if quality.unparsed_lines:
        yield f"{quality.unparsed_lines:,} lines of the source were left out, whatever they held"
    if trace.metadata.start_is_unknown:
        yield "pages live when the recording began are unknown; their frees would have filled the cache"
    if quality.unknown_frees:
        yield f"{quality.unknown_frees:,} unmatched frees were left out before: their times are gone"
    if quality.inferred_frees > inferred:
        yield (
            f"{quality.inferred_frees - inferred:,} inferred frees are not marked here (an older file, text, "
            "or a part): they stay as recorded"
        )
    if chunks := int(np.count_nonzero((trace.op == OP_BG_FREE) & (trace.slot < 0))):
        yield f"{chunks:,} background chunks are freed that were never taken: nobody knows their order"
    if quality.visits_rule:
        yield "visits in which no shrinker had an object left no line: a pass that found nothing is not here"


@dataclass
class _Edits:
    """Events to take out of a trace and to put into it, `before` the event of that number."""

    trace: Trace
    out: list[Ints] = field(default_factory=list)
    put: list[dict[str, Any]] = field(default_factory=list)

    def add(self, op: int, before: Ints, time_ns: Ints, ids: Ints, like: Ints | None = None) -> None:
        """Put events in; `like` are those whose level and page frame they have."""
        columns: dict[str, Any] = {"op": op, "time_ns": time_ns, "id": ids, "arg": 0}
        for name, nothing in (("level", 0), ("pfn", NO_PFN)):
            known = getattr(self.trace, name)
            columns[name] = known[like] if len(known) and like is not None else nothing
        self.put.append({"before": before, **columns})

    def made(self, ids: NDArray[np.int32]) -> Trace:
        """Return the trace with all of it done; `ids` are those of its own events."""
        trace = self.trace
        before = np.concatenate([np.empty(0, np.int64), *(part["before"] for part in self.put)])
        gone = np.sort(np.concatenate([np.empty(0, np.int64), *self.out]))
        when = np.concatenate([np.empty(0, np.int64), *(part["time_ns"] for part in self.put)])
        order = np.lexsort((when, before))  # of those at one place, the earlier first
        before = (before - np.searchsorted(gone, before, "left"))[order]
        columns = {}
        for name, dtype in DTYPES.items():
            values = ids if name == "id" else getattr(trace, name)
            if name in ("level", "pfn") and not len(values):
                continue
            added = [np.broadcast_to(part[name], len(part["before"])) for part in self.put]
            kept = np.delete(values, gone)
            put = np.concatenate([np.empty(0, dtype), *added])[order]
            columns[name] = np.insert(kept, before, put)
        return Trace.from_arrays(columns, trace.metadata)


def variant(trace: Trace, faults: Faults, frees: str, allocations: str) -> Trace:
    """Return a trace that would have been recorded like this one.

    Parameters
    ----------
    trace : Trace
        What was recorded.
    faults : Faults
        What `find_faults` found in it.
    frees : {"late", "half-way", "at once"}
        When the missing frees happened, see `FREES`.
    allocations : {"left out", "at the start", "just before"}
        When the pages of unmatched frees were allocated, see `ALLOCATIONS`. Pages that the recording missed
        are live from the start with "at the start", else absent.

    Returns
    -------
    Trace
        The same passes, the same order of all that is certain; ids are numbered anew.
    """
    ids = np.maximum(trace.slot, 0)
    first_new = trace.nr_slots
    ids[faults.unmatched] = first_new + np.arange(len(faults.unmatched), dtype=np.int32)
    ids[(trace.op == OP_BG_FREE) & (trace.slot < 0)] = trace.nr_background_slots
    edits = _Edits(trace)
    if frees != FREES[0]:
        edits.out.append(faults.inferred)
        for opened, closed in (
            (_allocations_of(trace, faults.inferred), faults.inferred),
            (faults.suspects, np.full(len(faults.suspects), len(trace) - 1)),
        ):
            before, when = _between(trace, opened, closed, frees)
            edits.add(OP_FREE, before, when, ids[opened], opened)
    if allocations != ALLOCATIONS[0]:
        before = faults.unmatched
        if allocations == "at the start":
            before = _first_free_place(trace, faults.unmatched)
            new = first_new + len(before) + np.arange(faults.missed_pages)
            edits.add(OP_ALLOC, np.zeros(len(new), np.int64), np.repeat(trace.time_ns[:1], len(new)), new)
        when = trace.time_ns[np.maximum(before - 1, 0) if allocations == "at the start" else before]
        edits.add(OP_ALLOC, before, when, ids[faults.unmatched], faults.unmatched)
    return edits.made(ids)


def _allocations_of(trace: Trace, frees: Ints) -> Ints:
    """Return the allocation of each of these frees: the event before on its slot."""
    events = np.flatnonzero((trace.op <= OP_FREE) & (trace.slot >= 0))
    events = events[np.argsort(trace.slot[events], kind="stable")]
    place = np.empty(len(trace), np.int64)
    place[events] = np.arange(len(events))
    return events[place[frees] - 1]


def _between(trace: Trace, opened: Ints, closed: Ints, when: str) -> tuple[Ints, Ints]:
    """Return before which event, and at which time, a page is freed that is allocated by `opened`."""
    time_ns = trace.time_ns
    if when == "at once":
        return opened + 1, time_ns[opened]
    middle = time_ns[opened] + (time_ns[closed] - time_ns[opened]) // 2
    before = np.searchsorted(time_ns, middle, "right")
    return np.clip(before, opened + 1, np.maximum(closed, opened + 1)), middle


def _first_free_place(trace: Trace, frees: Ints) -> Ints:
    """Return from where on the id of each unmatched free was not live: 0, or behind its last free."""
    events = np.flatnonzero(trace.op <= OP_FREE)
    events = events[np.argsort(trace.id[events], kind="stable")]
    same = np.append(False, trace.id[events[1:]] == trace.id[events[:-1]])
    after_last = np.zeros(len(trace), np.int64)
    after_last[events[same]] = events[np.flatnonzero(same) - 1] + 1
    return after_last[frees]


__all__ = ["ALLOCATIONS", "FREES", "Faults", "find_faults", "variant"]
