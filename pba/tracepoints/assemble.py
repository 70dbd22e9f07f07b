"""From what a kernel tells (pages by pfn) to a trace (page-table pages by id).

Importers and the recorder bring their events into one form, `RawEvents`; `assemble` does the rest in one
place: it matches frees to allocations by pfn, because tables are freed in batches by whichever task runs the
grace period's callbacks, and writes into the quality header what it had to infer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.errors import TraceError
from pba.events import INFERRED, OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_FREE, OP_SHRINK
from pba.trace.metadata import Metadata
from pba.trace.table import NO_PFN, Trace
from pba.tracepoints.background import AT_START, Chunks, Orders, find_chunks
from pba.tracepoints.raw import RAW_FREE, RAW_TABLE, RAW_VISIT, RawEvents, pages_of, span


def assemble(
    raw: RawEvents,
    metadata: Metadata,
    *,
    live_at_start: NDArray[np.int64] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    background: Orders | None = None,
    early: RawEvents | None = None,
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
        allocations at time 0, lowest first, so that their frees are known. By default that is unknown
        (`Quality.live_at_start`).
    start_ns, end_ns : int, optional
        When the recording began and ended on its own clock, in ns; by default its first and last event.
    background : Orders, optional
        Make chunks of these orders that are no page tables `B` and `b` events, as
        `pba.tracepoints.background` says; by default none.
    early : RawEvents, optional
        What was seen before the recording began, and so which chunks were live by then.

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
    end = max(last if end_ns is None else max(end_ns, last), origin)
    columns, source, inferred = _match(raw, start_pages.astype(np.int64))
    found = None
    if background is not None:
        everything = raw if early is None else early.followed_by(raw)
        nr_early = len(everything) - len(raw)
        chunks = find_chunks(
            everything, background, nr_early=nr_early, tables_at_start=start_pages, end_ns=end
        )
        columns, source = _with_chunks(columns, source, chunks)
        found = chunks.found
    # An event's number is its place, and AT_START the last place: time 0.
    columns["time_ns"] = np.append(raw.time_ns - origin, 0)[source]
    quality = replace(
        metadata.quality,
        inferred_frees=metadata.quality.inferred_frees + inferred,
        live_at_start=None if live_at_start is None else len(start_pages),
        background=found,
    )
    metadata = metadata.with_(
        quality=quality,
        time_origin_ns=origin,
        duration_ns=end - origin,
    )
    return Trace.from_arrays(columns, metadata)


def _with_chunks(
    columns: dict[str, NDArray[Any]], source: NDArray[np.int64], chunks: Chunks
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the page tables' columns and the chunks' in one, by the number of their event.

    Of what one event does, frees stand first: it can only take what is free.
    """
    ids = np.arange(len(chunks.begin), dtype=np.int32)
    given = np.flatnonzero(chunks.end >= 0)
    none = np.zeros(len(ids) + len(given), np.int8)
    more = {
        "op": np.where(np.arange(len(none)) < len(ids), OP_BG_ALLOC, OP_BG_FREE),
        "id": np.concatenate([ids, ids[given]]),
        "arg": np.concatenate([chunks.order, none[: len(given)]]),
        "level": none,
        "pfn": np.concatenate([chunks.pfn, chunks.pfn[given]]),
    }
    source = np.concatenate([source, chunks.begin, chunks.end[given]])
    joined = {
        name: np.concatenate([column, more[name]]).astype(column.dtype) for name, column in columns.items()
    }
    takes = np.isin(joined["op"], (OP_ALLOC, OP_BG_ALLOC))
    rank = np.argsort(2 * source + takes, kind="stable")
    return {name: column[rank] for name, column in joined.items()}, source[rank]


def _match(
    raw: RawEvents, start_pages: NDArray[np.int64]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64], int]:
    """Return the page tables' columns, the number of each one's event, and how many frees were inferred.

    Only pages that are ever a table matter: each event is reduced to the range of them that it covers,
    so that an event costs the same whatever its order and however large the pfns are.
    """
    tables = raw.kind == RAW_TABLE
    of_tables, _ = pages_of(raw.pfn[tables], None if raw.order is None else raw.order[tables])
    known = np.union1d(of_tables, start_pages)
    low = np.searchsorted(known, raw.pfn, side="left")
    after = raw.pfn + (1 if raw.order is None else span(raw.order))
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
    result: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        result[name] = column[:count].astype(np.int32) if name == "id" else column[:count]
    result["pfn"] = np.append(known, NO_PFN)[page[:count]]
    return result, np.append(kept, AT_START)[source[:count]], int(inferred)


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
