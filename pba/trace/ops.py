"""Traces made of traces: cut, joined, repeated, merged, scaled in time.

Every function takes traces and returns a new one, checked like any other by `Trace.from_arrays`. The new
trace's time 0 is the beginning of the recording (of the cut), its ids are numbered anew (except by `scale`),
and its quality ends with a note of what was done. What was true of a recording and is not of the new trace
is taken away: the truth, which was read at the recording's end, and the free memory, which was read at its
start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.errors import TraceError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.trace.columns import DTYPES, MAX_ORDER, NO_PFN, Columns
from pba.trace.metadata import Background, Metadata, Quality
from pba.trace.table import Trace

MAX_EVENTS: Final = 1 << 28
"""Most events of a new trace: 6 GiB of columns."""
MAX_TIME_NS: Final = 1 << 60
"""Latest time of a new trace: 36 years, far from the end of 64 bits."""
MAX_IDS: Final = (1 << 31) - 1
LEFTOVERS: Final = ("free", "keep")
"""What `repeat` can do with what is live at the end of a round."""


def extent(trace: Trace) -> tuple[int, int]:
    """Return the time in ns at which a recording began, and at which it ended.

    Time 0 is its beginning where all events lie between 0 and its duration, as in what `pba` records,
    imports and makes. Otherwise its times are some clock's, and its beginning is the first event.
    """
    first, last = (int(trace.time_ns[0]), int(trace.time_ns[-1])) if len(trace) else (0, 0)
    return extent_of(first, last, trace.metadata.duration_ns)


def extent_of(first_ns: int, last_ns: int, duration_ns: int) -> tuple[int, int]:
    """Return the `extent` of a recording by the times of its first and last event, 0 if it has none."""
    start = 0 if first_ns >= 0 and last_ns <= duration_ns else first_ns
    return start, max(start + duration_ns, last_ns)


def cut(trace: Trace, from_ns: int = 0, to_ns: int | None = None) -> Trace:
    """Return what happened from `from_ns` on and before `to_ns`.

    Pages and background chunks that are live at the cut become allocations at its first instant, in the order
    of their allocation. Frees of what is not live are dropped and counted. What is live at the end stays so.

    Parameters
    ----------
    trace : Trace
        The whole.
    from_ns, to_ns : int
        Times in ns since the beginning of the recording; by default `to_ns` is its end, the last event
        included. Events at `to_ns` itself belong to the next piece.

    Raises
    ------
    TraceError
        If the times are in no order, or there is nothing between them.
    """
    start, end = extent(trace)
    length = end - start
    stop = length if to_ns is None else min(to_ns, length)
    if from_ns < 0 or from_ns > length or (to_ns is not None and to_ns <= from_ns):
        raise TraceError(
            f"{trace.name}: no time from {seconds(from_ns)} to {seconds(stop if to_ns is None else to_ns)}",
            f"the trace lasts {seconds(length)}",
        )
    first = int(np.searchsorted(trace.time_ns, start + from_ns, "left"))
    whole_tail = to_ns is None or to_ns > length
    last = len(trace) if whole_tail else int(np.searchsorted(trace.time_ns, start + stop, "left"))
    live = live_before(trace, first)
    body = first + np.flatnonzero(_is_known(trace)[first:last])
    columns = _take(trace, np.concatenate([live, body]))
    columns["time_ns"][: len(live)] = from_ns
    columns["time_ns"] -= from_ns
    if not len(columns["op"]):
        raise TraceError(
            f"{trace.name}: nothing happens from {seconds(from_ns)} to {seconds(stop)}",
            f"the trace lasts {seconds(length)}",
        )
    tables = int(np.count_nonzero(trace.op[live] == OP_ALLOC))
    note = (
        f"cut from {trace.name}, {seconds(from_ns)} to {seconds(stop)} of {seconds(length)}: {tables} page "
        f"tables and {len(live) - tables} background chunks were live before and are allocated at its first "
        f"instant, in the order of their allocation"
    )
    changes: dict[str, Any] = {"truth": trace.metadata.quality.truth if whole_tail else None}
    if first:
        changes["live_at_start"] = tables
    return _finish(
        columns,
        trace.metadata.with_(
            duration_ns=stop - from_ns,
            time_origin_ns=trace.metadata.time_origin_ns + start + from_ns,
            buddyinfo=() if first else trace.metadata.buddyinfo,
            quality=_quality([trace], note, dropped=_dropped(trace, first, last), **changes),
        ),
    )


def join(traces: Sequence[Trace], gap_ns: int = 0) -> Trace:
    """Return traces one after the other, `gap_ns` apart.

    Ids are kept apart: what one leaves live stays live, and a page that a later one takes to be live at its
    start is allocated there. So pieces of one trace join to the whole only if nothing was live at the cut.

    Raises
    ------
    TraceError
        If no trace is given, their page sizes differ, or the whole is too long.
    """
    _refuse_unfit(traces)
    _refuse_negative(gap_ns)
    parts, now, slots = [], 0, _Slots()
    for trace in traces:
        start, end = extent(trace)
        parts.append(slots.renamed(trace, _take(trace, np.flatnonzero(_is_known(trace)))))
        _refuse_late(now + end - start)
        parts[-1]["time_ns"] += now
        now += end - start + gap_ns
    note = f"joined of {_names(traces)}, {seconds(gap_ns)} apart; what one leaves live stays live"
    dropped = sum(_dropped(trace, 0, len(trace)) for trace in traces)
    first = traces[0].metadata
    quality = _quality(
        traces, note, dropped=dropped, live_at_start=first.quality.live_at_start, truth=_truth_of(traces)
    )
    metadata = _metadata(traces, now - gap_ns, quality, "+").with_(
        time_origin_ns=first.time_origin_ns + extent(traces[0])[0], buddyinfo=first.buddyinfo
    )
    return _finish(_concatenate(parts), metadata)


def repeat(trace: Trace, times: int, gap_ns: int = 0, leftover: str = "free") -> Trace:
    """Return a trace `times` times over, its rounds `gap_ns` apart.

    Parameters
    ----------
    trace : Trace
        One round.
    times : int
        Rounds, 1 or more.
    gap_ns : int
        Time between the end of one and the beginning of the next, in ns.
    leftover : {"free", "keep"}
        What becomes of that which is live at the end of a round. "free": it is freed there, oldest first, in
        all rounds but the last, so that every round begins as the first did, also with those pages that the
        recording found live at its start. "keep": it stays live, and each round adds as much (a leak).

    Raises
    ------
    TraceError
        If `times` is less than 1, or the whole is too long.
    """
    if times < 1:
        raise TraceError(f"{times} rounds of {trace.name} cannot be made", "ask for 1 or more")
    if leftover not in LEFTOVERS:
        raise TraceError(f"leftover {leftover!r} is unknown", "use " + " or ".join(LEFTOVERS))
    _refuse_negative(gap_ns)
    start, end = extent(trace)
    length = end - start
    live = live_before(trace, len(trace))
    columns = _take(trace, np.flatnonzero(_is_known(trace)))
    frees_each = len(live) if leftover == "free" else 0
    _refuse_late(times * (length + gap_ns))
    _refuse_large(times * (len(columns["op"]) + frees_each))
    if frees_each:
        ends = _take(trace, live)
        ends["op"] = np.where(ends["op"] == OP_ALLOC, OP_FREE, OP_BG_FREE).astype(np.int8)
        ends["time_ns"][:] = length
        ends["arg"][:] = 0
        columns = _concatenate([columns, ends])
    nr_events = len(columns["op"])
    whole = {name: np.tile(values, times) for name, values in columns.items()}
    rounds = np.repeat(np.arange(times, dtype=np.int64), nr_events)
    whole["time_ns"] += rounds * (length + gap_ns)
    if leftover == "keep":
        step = max(trace.nr_slots, trace.nr_background_slots)
        _refuse_many_ids(step * times)
        whole["id"] = (whole["id"] + rounds * step).astype(np.int32)
    whole = {name: values[: len(values) - frees_each] for name, values in whole.items()}
    fate = "is freed there, oldest first, except in the last" if leftover == "free" else "stays live"
    note = (
        f"{trace.name} {times} times, {seconds(gap_ns)} apart; what is live at the end of a round "
        f"({len(live)} pages and chunks) {fate}"
    )
    dropped = times * _dropped(trace, 0, len(trace))
    truth = trace.metadata.quality.truth if times == 1 else None
    return _finish(
        whole,
        trace.metadata.with_(
            duration_ns=times * (length + gap_ns) - gap_ns,
            time_origin_ns=trace.metadata.time_origin_ns + start,
            quality=_quality([trace], note, dropped=dropped, truth=truth),
        ),
    )


def merge(traces: Sequence[Trace], passes_from: int | None = None) -> Trace:
    """Return traces as if they had run at the same time, all from the same instant on.

    Ids, background ids and page frame numbers are kept apart (the second trace's frames lie behind the
    first's, and so on). Memory is that of the largest machine.

    Parameters
    ----------
    traces : sequence of Trace
        What ran. Of events at the same time, those of an earlier trace come first.
    passes_from : int, optional
        Take the shrinker's passes (`S` and `D`) from this one alone, counted from 0. By default all
        are kept: as many passes as all machines together had.

    Raises
    ------
    TraceError
        If no trace is given, their page sizes differ, or `passes_from` is not the number of one.
    """
    _refuse_unfit(traces)
    if passes_from is not None and not 0 <= passes_from < len(traces):
        raise TraceError(
            f"passes_from = {passes_from} is not the number of a trace",
            f"it ranges from 0 to {len(traces) - 1}",
        )
    parts, frames, slots = [], 0, _Slots()
    for at, trace in enumerate(traces):
        wanted = _is_known(trace)
        if passes_from not in (None, at):
            wanted &= ~np.isin(trace.op, (OP_SHRINK, OP_DROP))
        part = slots.renamed(trace, _take(trace, np.flatnonzero(wanted)))
        part["pfn"] = np.where(part["pfn"] == NO_PFN, NO_PFN, part["pfn"] + frames)
        frames += _frames(trace)
        parts.append(part)
    columns = _concatenate(parts)
    order = np.argsort(columns["time_ns"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    passes = "of all are kept" if passes_from is None else f"are those of {traces[passes_from].name} alone"
    note = (
        f"merged of {_names(traces)} as if they ran at the same time; the shrinker's passes {passes}; page "
        f"frame numbers of each lie behind those of the one before"
    )
    dropped = sum(_dropped(trace, 0, len(trace)) for trace in traces)
    lengths = [end - start for start, end in map(extent, traces)]
    live = _live_at_start(traces)
    quality = _quality(traces, note, dropped=dropped, live_at_start=live, truth=_truth_of(traces))
    return _finish(columns, _metadata(traces, max(lengths), quality, "|"))


def scale(trace: Trace, factor: float) -> Trace:
    """Return a trace whose times are `factor` times as long: 2 is half the pace, 0.5 is double.

    Events, their order and their ids stay, so a replay counts the same but for `cached_page_ns`.

    Raises
    ------
    TraceError
        If the factor is not above 0, or the whole is too long.
    """
    if not (np.isfinite(factor) and factor > 0):
        raise TraceError(f"times cannot be scaled by {factor:g}", "use a number above 0, such as 2 or 0.5")
    start, end = extent(trace)
    if (end - start) * factor > MAX_TIME_NS:
        _refuse_late(MAX_TIME_NS + 1)
    columns: Columns = {name: getattr(trace, name) for name in DTYPES}
    columns["time_ns"] = np.rint((trace.time_ns - start) * factor).astype(np.int64)
    note = f"times of {trace.name} scaled by {factor:g}"
    quality = _quality([trace], note, truth=trace.metadata.quality.truth)
    return _finish(
        columns,
        trace.metadata.with_(
            duration_ns=round((end - start) * factor),
            time_origin_ns=trace.metadata.time_origin_ns + start,
            quality=quality,
        ),
    )


def live_before(trace: Trace, event: int) -> NDArray[np.int64]:
    """Return the allocations (`A` and `B`, their event numbers) of what is live before an event, in order."""
    found = []
    for opened, closed, slots in (
        (OP_ALLOC, OP_FREE, trace.nr_slots),
        (OP_BG_ALLOC, OP_BG_FREE, trace.nr_background_slots),
    ):
        op, slot = trace.op[:event], trace.slot[:event]
        events = np.flatnonzero(((op == opened) | (op == closed)) & (slot >= 0))
        latest = np.full(slots, -1, np.int64)
        latest[slot[events]] = events  # of several, the last stays
        latest = latest[latest >= 0]
        found.append(latest[op[latest] == opened])
    return np.sort(np.concatenate(found))


def seconds(time_ns: int) -> str:
    """Return a time as a note says it: `12.5 s`."""
    return f"{time_ns / 1e9:.9g} s"


class _Slots:
    """Names for the pages and chunks of several traces, so that no two share one."""

    def __init__(self) -> None:
        self.tables = self.chunks = 0

    def renamed(self, trace: Trace, columns: Columns) -> Columns:
        """Return the columns of a trace with ids that none before has."""
        step = np.zeros(OP_BG_FREE + 1, np.int64)
        step[[OP_ALLOC, OP_FREE]] = self.tables
        step[[OP_BG_ALLOC, OP_BG_FREE]] = self.chunks
        self.tables += trace.nr_slots
        self.chunks += trace.nr_background_slots
        _refuse_many_ids(max(self.tables, self.chunks))
        return columns | {"id": (columns["id"] + step[columns["op"]]).astype(np.int32)}


def _take(trace: Trace, events: NDArray[np.int64]) -> Columns:
    """Return some events with all columns: times from the beginning on, slots for ids."""
    columns: Columns = {
        name: getattr(trace, name)[events]
        if len(getattr(trace, name))
        else np.full(len(events), empty, dtype)
        for name, empty, dtype in (("level", 0, np.int8), ("pfn", NO_PFN, np.int64))
    }
    columns["time_ns"] = trace.time_ns[events] - extent(trace)[0]
    columns["op"], columns["arg"] = trace.op[events], trace.arg[events]
    columns["id"] = np.maximum(trace.slot[events], 0)
    return columns


def _is_known(trace: Trace) -> NDArray[np.bool_]:
    """Say of each event whether it is anything but a free of what is not live."""
    return (trace.slot >= 0) | np.isin(trace.op, (OP_SHRINK, OP_DROP))


def _dropped(trace: Trace, first: int, last: int) -> int:
    """Return how many frees of what is not live there are among some events."""
    return int(np.count_nonzero(~_is_known(trace)[first:last]))


def _concatenate(parts: Sequence[Columns]) -> Columns:
    """Return the events of all parts, one part after the other."""
    _refuse_large(sum(len(part["op"]) for part in parts))
    return {name: np.concatenate([part[name] for part in parts]) for name in DTYPES}


def _finish(columns: Columns, metadata: Metadata) -> Trace:
    """Check the new trace; columns in which nothing is known are left out."""
    kept = dict(columns)
    if len(kept["level"]) and not kept["level"].any():
        del kept["level"]
    if len(kept["pfn"]) and not (kept["pfn"] != NO_PFN).any():
        del kept["pfn"]
    return Trace.from_arrays(kept, metadata.with_(recipe={}))


def _quality(traces: Sequence[Trace], note: str, *, dropped: int = 0, **changes: Any) -> Quality:
    """Return the quality of what was made of these: their faults added up, their notes, what was done."""
    parts = [trace.metadata.quality for trace in traces]
    alone = len(parts) == 1
    notes = [
        text if alone else f"{trace.name}: {text}"
        for trace in traces
        for text in trace.metadata.quality.notes
    ]
    notes.append(note)
    if dropped:
        notes.append(f"{dropped} frees of pages or chunks that were not live are left out")
    if changes.get("truth") is None:
        notes += [_truth_told(trace) for trace in traces if trace.metadata.quality.truth]
    values: dict[str, Any] = {
        "lost_events": sum(part.lost_events for part in parts),
        "unknown_frees": sum(part.unknown_frees for part in parts) + dropped,
        "inferred_frees": sum(part.inferred_frees for part in parts),
        "live_at_start": _live_at_start(traces),
        "unparsed_lines": sum(part.unparsed_lines for part in parts),
        "visits_rule": "; ".join(dict.fromkeys(part.visits_rule for part in parts if part.visits_rule)),
        "background": _background([part.background for part in parts]),
        "notes": tuple(dict.fromkeys(notes)),
    }
    if values["background"] is None and any(part.background for part in parts):
        values["notes"] += ("the traces differ in which background was recorded",)
    if any((values["lost_events"], values["inferred_frees"], values["unparsed_lines"])):
        values["notes"] += ("lost events, inferred frees and lines left out are those of whole recordings",)
    return Quality(**(values | changes))


def _live_at_start(traces: Sequence[Trace]) -> int | None:
    """Return how many page tables were live at the starts of several traces; None if one does not say."""
    known = [trace.metadata.quality.live_at_start for trace in traces]
    return None if None in known else sum(filter(None, known))


def _background(parts: Sequence[Background | None]) -> Background | None:
    """Return how the background of several was recorded, their faults added up; None where they differ."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({(part.lowest_order, part.highest_order) for part in known}) != 1:
        return None
    sums = ("live_at_start", "inferred_frees", "unknown_frees", "in_pieces", "over_held_pages")
    total: dict[str, Any] = {name: sum(getattr(part, name) for part in known) for name in sums}
    return replace(known[0], **total)


def _truth_told(trace: Trace) -> str:
    """Say how a recording did against the kernel's own list, which is true of its own end only."""
    truth = trace.metadata.quality.truth
    if truth is None:
        raise AssertionError("there is no truth to tell")
    return (
        f"{trace.name} itself was held against the kernel's list at its end: recall "
        f"{100 * truth.recall:.2f} %, precision {100 * truth.precision:.2f} %"
    )


def _truth_of(traces: Sequence[Trace]) -> Any:
    """Return the truth of what was made of these: of one alone its own, of several none."""
    return traces[0].metadata.quality.truth if len(traces) == 1 else None


def _metadata(traces: Sequence[Trace], duration_ns: int, quality: Quality, sign: str) -> Metadata:
    """Return what is known of several traces: what they have in common, and the largest memory."""
    known = [trace.metadata for trace in traces]

    def common(values: list[Any], otherwise: Any) -> Any:
        return values[0] if len(set(values)) == 1 else otherwise

    return Metadata(
        name=sign.join(trace.name for trace in traces),
        source=common([one.source for one in known], "mixed"),
        kernel=common([one.kernel for one in known], ""),
        architecture=common([one.architecture for one in known], ""),
        page_size_kib=next((one.page_size_kib for one in known if one.page_size_kib), None),
        memory_pages=max((one.memory_pages for one in known if one.memory_pages), default=None),
        duration_ns=duration_ns,
        quality=quality,
    )


def _names(traces: Sequence[Trace]) -> str:
    """Return the names of traces in a row."""
    return ", ".join(trace.name for trace in traces)


def _frames(trace: Trace) -> int:
    """Return how many page frames a trace needs for itself, in whole blocks of any page size."""
    seen = int(trace.pfn.max(initial=0)) + 1
    return -(-max(seen, trace.metadata.memory_pages or 0) >> MAX_ORDER) << MAX_ORDER


def _refuse_unfit(traces: Sequence[Trace]) -> None:
    """Refuse no traces at all, and traces of machines that cannot be one."""
    if not traces:
        raise TraceError("no trace is given", "name one or more")
    sizes = {trace.metadata.page_size_kib: trace.name for trace in traces if trace.metadata.page_size_kib}
    if len(sizes) > 1:
        told = ", ".join(f"{name} has {size} KiB" for size, name in sizes.items())
        raise TraceError(f"page sizes differ: {told}", "a machine has one page size: choose such traces")


def _refuse_negative(gap_ns: int) -> None:
    if gap_ns < 0:
        raise TraceError(f"a gap of {seconds(gap_ns)} is negative", "use 0 or more")


def _refuse_late(time_ns: int) -> None:
    if time_ns > MAX_TIME_NS:
        raise TraceError("the new trace would last longer than 36 years", "ask for less")


def _refuse_large(events: int) -> None:
    if events > MAX_EVENTS:
        raise TraceError(f"the new trace would have {events:,} events", f"at most {MAX_EVENTS:,} are made")


def _refuse_many_ids(ids: int) -> None:
    if ids > MAX_IDS:
        raise TraceError("the new trace would have more ids than 31 bits hold", "ask for less")


__all__ = ["LEFTOVERS", "cut", "extent", "join", "live_before", "merge", "repeat", "scale", "seconds"]
