"""From what a kernel tells (pages by pfn) to a trace (page-table pages by id).

Importers and the recorder bring their events into one form, `RawEvents`; `assemble` does the rest in one
place: it matches frees to allocations by pfn, because tables are freed in batches by whichever task runs the
grace period's callbacks, and writes into the quality header what it had to infer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.errors import TraceError
from pba.events import INFERRED, OP_ALLOC, OP_FREE, OP_SHRINK
from pba.trace.metadata import Metadata
from pba.trace.table import NO_PFN, Trace

RAW_TABLE: Final = 0
"""A page table is allocated; `level` is its level."""
RAW_FREE: Final = 1
"""Pages of any kind are freed."""
RAW_OTHER: Final = 2
"""Pages are allocated for something else: what stood there must have been freed before."""
RAW_VISIT: Final = 3
"""The shrinkers of the root cgroup are visited; `level` is the priority."""


@dataclass(frozen=True, eq=False)
class RawEvents:
    """Events of a recording, sorted by time (stable: equal times stay in the order they were seen in).

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Time on the recording's clock, in ns.
    kind : ndarray of int8, shape (n,)
        `RAW_TABLE`, `RAW_FREE`, `RAW_OTHER` or `RAW_VISIT`.
    pfn : ndarray of int64, shape (n,)
        First page frame number; any value for a visit.
    level : ndarray of int8, shape (n,)
        Level (`pba.events.LEVELS`) of a `RAW_TABLE`, priority of a `RAW_VISIT`, else any value.
    order : ndarray of int8, shape (n,) or None
        log2 of the number of pages; None says that all are single pages.
    """

    time_ns: NDArray[np.int64]
    kind: NDArray[np.int8]
    pfn: NDArray[np.int64]
    level: NDArray[np.int8]
    order: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.time_ns)

    def sorted_by_time(self) -> tuple[RawEvents, int]:
        """Return the events in order of time, and the largest step back that there was, in ns."""
        if len(self) < 2:
            return self, 0
        step_back = int(np.max(np.maximum.accumulate(self.time_ns) - self.time_ns))
        if step_back == 0:
            return self, 0
        rank = np.argsort(self.time_ns, kind="stable")
        order = None if self.order is None else self.order[rank]
        columns = (self.time_ns[rank], self.kind[rank], self.pfn[rank], self.level[rank])
        return RawEvents(*columns, order), step_back


def assemble(
    raw: RawEvents,
    metadata: Metadata,
    *,
    live_at_start: NDArray[np.int64] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> Trace:
    """Make a trace from a recording's events.

    Every page of a `RAW_TABLE` becomes an allocation with an id of its own (the two pages of an order-1
    pgd become two, since the block allocator hands out single pages), a free of a page that is a live
    table becomes its free, other frees and allocations vanish. A live table that is allocated again must
    have been freed unseen: a free is put immediately before, marked by its `arg` (`pba.events.INFERRED`,
    `Quality.inferred_frees`).

    Parameters
    ----------
    raw : RawEvents
        The events, sorted by time.
    metadata : Metadata
        What is known; its `time_origin_ns`, `duration_ns` and the counts in its quality are filled in.
    live_at_start : ndarray of int64, optional
        Page frame numbers known to be page tables when the recording began; they become
        allocations at time 0, lowest first, so that their frees are known.
    start_ns, end_ns : int, optional
        When the recording began and ended on its own clock, in ns; unless told, its first and last event.

    Raises
    ------
    TraceError
        If the events are not sorted by time.
    """
    times = raw.time_ns
    if len(times) > 1 and bool(np.any(times[1:] < times[:-1])):
        raise TraceError(
            "the raw events are not sorted by time",
            "sort them first (RawEvents.sorted_by_time)",
            event=int(np.argmax(times[1:] < times[:-1])) + 1,
        )
    first = int(times[0]) if len(times) else 0
    origin = first if start_ns is None else min(start_ns, first) if len(times) else start_ns
    last = int(times[-1]) if len(times) else origin
    start_pages = np.unique(live_at_start) if live_at_start is not None else np.empty(0, np.int64)
    columns, inferred = _match(raw, start_pages.astype(np.int64), origin)
    quality = replace(
        metadata.quality,
        inferred_frees=metadata.quality.inferred_frees + inferred,
        live_at_start=len(start_pages),
    )
    metadata = metadata.with_(
        quality=quality,
        time_origin_ns=origin,
        duration_ns=max(last if end_ns is None else max(end_ns, last), origin) - origin,
    )
    return Trace.from_arrays(columns, metadata)


def pages_of(
    pfn: NDArray[np.int64], order: NDArray[Any] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return every page that some events cover, and the place of its event, in the events' order.

    The one place that knows that a table can be more than a page (the order-1 pgd of x86 with page-table
    isolation).

    Parameters
    ----------
    pfn : ndarray of int64
        First page of each event.
    order : ndarray of int or None
        log2 of the number of pages of each; None says that all are single pages.
    """
    if order is None:
        return pfn, np.arange(len(pfn))
    count = np.left_shift(np.int64(1), order.astype(np.int64))
    place = np.repeat(np.arange(len(pfn)), count)
    first = np.repeat(np.cumsum(count) - count, count)
    return pfn[place] + (np.arange(len(place)) - first), place


def _match(
    raw: RawEvents, start_pages: NDArray[np.int64], origin: int
) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the trace's columns and how many frees were inferred.

    Only pages that are ever a table matter: each event is reduced to the range of them that it covers,
    so that an event costs the same whatever its order and however large the pfns are.
    """
    tables = raw.kind == RAW_TABLE
    of_tables, _ = pages_of(raw.pfn[tables], None if raw.order is None else raw.order[tables])
    known = np.union1d(of_tables, start_pages)
    low = np.searchsorted(known, raw.pfn, side="left")
    if raw.order is None:
        after = raw.pfn + 1
    else:
        after = raw.pfn + np.left_shift(np.int64(1), np.clip(raw.order, 0, 40).astype(np.int64))
    high = np.searchsorted(known, after, side="left")
    kept = np.flatnonzero((high > low) | (raw.kind == RAW_VISIT))
    low, high = low[kept], high[kept]
    kind, level = raw.kind[kept], raw.level[kept]
    size = len(start_pages) + int(np.where(kind == RAW_VISIT, 1, 2 * (high - low)).sum())
    source = np.empty(size, np.int64)
    columns: dict[str, NDArray[Any]] = {
        "op": np.empty(size, np.int8),
        "id": np.empty(size, np.int64),
        "arg": np.empty(size, np.int8),
        "level": np.empty(size, np.int8),
    }
    page = np.empty(size, np.int64)
    at_start = np.searchsorted(known, start_pages)
    outputs = (source, columns["op"], columns["id"], columns["arg"], columns["level"], page)
    count, inferred = _match_loop((kind, level, low, high), at_start, len(known), outputs)
    source, page = source[:count], page[:count]
    kept_times = np.append(raw.time_ns[kept] - origin, 0)  # source -1: live at the start, time 0
    result: dict[str, NDArray[Any]] = {"time_ns": kept_times[source]}
    for name, column in columns.items():
        result[name] = column[:count].astype(np.int32) if name == "id" else column[:count]
    result["pfn"] = np.append(known, NO_PFN)[page]
    return result, int(inferred)


@jit
def _match_loop(events, at_start, nr_known, outputs):  # type: ignore[no-untyped-def]
    """Walk the events; `low:high` index the known pages, `page` -1 says none. Returns (count, inferred)."""
    kind, level, low, high = events
    source, op, name, arg, level_out, page = outputs
    owner = np.full(nr_known, -1, np.int64)  # id of the live table on each known page
    owner_level = np.zeros(nr_known, np.int8)
    count = 0
    next_id = 0
    inferred = 0
    for start in range(len(at_start)):
        known = at_start[start]
        owner[known] = next_id
        source[count], op[count], name[count] = -1, OP_ALLOC, next_id
        arg[count], level_out[count], page[count] = 0, 0, known
        count += 1
        next_id += 1
    for event in range(len(kind)):
        if kind[event] == RAW_VISIT:
            source[count], op[count], name[count] = event, OP_SHRINK, 0
            arg[count], level_out[count], page[count] = level[event], 0, -1
            count += 1
            continue
        for known in range(low[event], high[event]):
            if owner[known] >= 0:
                source[count], op[count], name[count] = event, OP_FREE, owner[known]
                unseen = kind[event] != RAW_FREE
                arg[count] = INFERRED if unseen else 0
                level_out[count], page[count] = owner_level[known], known
                count += 1
                owner[known] = -1
                inferred += unseen
            if kind[event] == RAW_TABLE:
                owner[known] = next_id
                owner_level[known] = level[event]
                source[count], op[count], name[count] = event, OP_ALLOC, next_id
                arg[count], level_out[count], page[count] = 0, level[event], known
                count += 1
                next_id += 1
    return count, inferred
