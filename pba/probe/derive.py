"""Traces made of traces, for Python users: a trace may be named, and a time be written as `"12.5s"`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pba.imports.read import as_trace
from pba.trace import ops
from pba.trace.table import Trace
from pba.units import time_in_ns


def cut(trace: Trace | str | Path, from_ns: int | str = 0, to_ns: int | str | None = None) -> Trace:
    """Return what happened from `from_ns` on and before `to_ns`.

    Pages and background chunks that are live at the cut become allocations at its first instant, in the order
    of their allocation. Frees of what is not live are dropped and counted. What is live at the end stays so.

    Parameters
    ----------
    trace : Trace, str or Path
        The whole: a trace, its file, or the name of a recording.
    from_ns, to_ns : int or str
        Times since the beginning of the recording, in ns or as `"12.5s"`; by default its beginning, and its
        end with the last event. Events at `to_ns` itself belong to the next piece.

    Returns
    -------
    Trace
        Its quality ends with a note of what was done.

    Raises
    ------
    TraceError
        If the times are in no order, or there is nothing between them.
    PbaError
        If a time cannot be read.
    """
    stop = None if to_ns is None else time_in_ns(to_ns, "to_ns")
    return ops.cut(as_trace(trace), time_in_ns(from_ns, "from_ns"), stop)


def join(traces: Sequence[Trace | str | Path], gap_ns: int | str = 0) -> Trace:
    """Return traces one after the other, `gap_ns` apart.

    Ids are kept apart: what one leaves live stays live, and a page that a later one takes to be live at its
    start is allocated there. So pieces of one trace join to the whole only if nothing was live at the cut.

    Parameters
    ----------
    traces : sequence of Trace, str or Path
        Traces, their files, or names of recordings.
    gap_ns : int or str
        Time between the end of one and the beginning of the next, in ns or as `"12.5s"`.

    Returns
    -------
    Trace
        Its quality ends with a note of what was done.

    Raises
    ------
    TraceError
        If there is no trace, their page sizes differ, or the whole is too long.
    """
    return ops.join(_all(traces), time_in_ns(gap_ns, "gap_ns"))


def repeat(trace: Trace | str | Path, times: int, gap_ns: int | str = 0, leftover: str = "free") -> Trace:
    """Return a trace `times` times over, its rounds `gap_ns` apart.

    Parameters
    ----------
    trace : Trace, str or Path
        One round: a trace, its file, or the name of a recording.
    times : int
        Rounds, 1 or more.
    gap_ns : int or str
        Time between the end of one and the beginning of the next, in ns or as `"12.5s"`.
    leftover : {"free", "keep"}
        What becomes of that which is live at the end of a round. "free": it is freed there, oldest first, in
        all rounds but the last, so that every round begins as the first did, also with those pages that the
        recording found live at its start. "keep": it stays live, and each round adds as much (a leak).

    Returns
    -------
    Trace
        Its quality ends with a note of what was done.

    Raises
    ------
    TraceError
        If `times` is less than 1, or the whole is too long.
    """
    return ops.repeat(as_trace(trace), times, time_in_ns(gap_ns, "gap_ns"), leftover)


def merge(traces: Sequence[Trace | str | Path], passes_from: int | None = None) -> Trace:
    """Return traces as if they had run at the same time, all from the same instant on.

    Ids, background ids and page frame numbers are kept apart (the second trace's frames lie behind the
    first's, and so on). Memory is that of the largest machine.

    Parameters
    ----------
    traces : sequence of Trace, str or Path
        What ran: traces, their files, or names of recordings. Of events at the same time, those of an earlier
        trace come first.
    passes_from : int, optional
        Take the shrinker's passes (`S` and `D`) from this one alone, counted from 0. By default all are kept:
        as many passes as all machines together had.

    Returns
    -------
    Trace
        Its quality ends with a note of what was done.

    Raises
    ------
    TraceError
        If there is no trace, their page sizes differ, or `passes_from` is not the number of one.
    """
    return ops.merge(_all(traces), passes_from)


def scale(trace: Trace | str | Path, factor: float) -> Trace:
    """Return a trace whose times are `factor` times as long: 2 is half the pace, 0.5 is double.

    Events, their order and their ids stay, so a replay counts the same but for `cached_page_ns`.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    factor : float
        Above 0.

    Returns
    -------
    Trace
        Its quality ends with a note of what was done.

    Raises
    ------
    TraceError
        If the factor is not above 0, or the whole is too long.
    """
    return ops.scale(as_trace(trace), factor)


def _all(traces: Sequence[Trace | str | Path]) -> list[Trace]:
    """Return traces, those read that are named."""
    return [as_trace(trace) for trace in traces]


__all__ = ["cut", "join", "merge", "repeat", "scale"]
