"""What of a trace the tables look at: the demand for page-table pages.

Pages that were live before the recording began (`Quality.live_at_start`) are counted as live, but their
allocations at the first instant are nobody's demand: rates, bursts, drawdown and lifetimes leave them out.
Frees of what is not live are left out everywhere. The trace ends at its last event.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.events import LEVELS, OP_ALLOC, OP_FREE
from pba.trace.table import Trace

NS: Final = 1e9
"""Nanoseconds in a second."""
ALL: Final = "all"
"""In a `level` column: every level together."""

Ints = NDArray[np.int64]


def at_start(trace: Trace) -> NDArray[np.bool_]:
    """Return which events are allocations of pages that were live before the recording began."""
    found = np.zeros(len(trace), np.bool_)
    if len(trace):
        first = int(np.searchsorted(trace.time_ns, trace.time_ns[0], side="right"))
        allocations = np.flatnonzero(trace.op[:first] == OP_ALLOC)
        found[allocations[: trace.metadata.quality.live_at_start or 0]] = True
    return found


def steps(trace: Trace) -> NDArray[np.int8]:
    """Return what each event adds to the live pages by its own demand: 1, -1 or 0."""
    step: NDArray[np.int8] = (trace.op == OP_ALLOC).astype(np.int8)
    step[at_start(trace)] = 0
    step[(trace.op == OP_FREE) & (trace.slot >= 0)] = -1
    return step


def pairs(trace: Trace) -> tuple[Ints, Ints]:
    """Return the events that allocate a page-table page, and for each the event that frees it or -1.

    On each slot allocations and frees alternate, so that sorting by slot brings each free behind its
    allocation.
    """
    known = np.flatnonzero(((trace.op == OP_ALLOC) | (trace.op == OP_FREE)) & (trace.slot >= 0))
    order = known[np.argsort(trace.slot[known], kind="stable")]
    is_alloc = trace.op[order] == OP_ALLOC
    following = np.append(order[1:], -1)
    freed = np.append(~is_alloc[1:], False)
    allocated_by = order[is_alloc]
    freed_by = np.where(freed, following, -1)[is_alloc]
    in_time = np.argsort(allocated_by)
    return allocated_by[in_time], freed_by[in_time]


def levels_of(trace: Trace) -> NDArray[np.int8]:
    """Return the level's code of each event, 0 where none is known."""
    return trace.level if len(trace.level) else np.zeros(len(trace), np.int8)


def level_names(codes: NDArray[np.int8]) -> dict[str, int]:
    """Return the levels that occur with their codes, the top level first, an unknown one last."""
    occurring = [int(code) for code in np.unique(codes)]
    named = {LEVELS[code]: code for code in occurring if code}
    return named | ({"unknown": 0} if 0 in occurring else {})


def windows_of(trace: Trace, windows: int) -> tuple[NDArray[np.float64], Ints]:
    """Cut a trace into equal windows.

    Returns
    -------
    edges : ndarray of float64, shape (windows + 1,)
        Where they begin and end, in s after the first event; the last one holds the last event too.
    bounds : ndarray of int64, shape (windows + 1,)
        The first event of each, and behind the last.
    """
    edges, inner = window_edges(int(trace.time_ns[0]), trace.duration_ns, windows)
    return edges, bounds_of(trace.time_ns, inner)


def window_edges(first_ns: int, span_ns: int, windows: int) -> tuple[NDArray[np.float64], Ints]:
    """Cut a span of time into equal windows; there are no more of them than ns.

    Returns
    -------
    edges : ndarray of float64, shape (windows + 1,)
        Where they begin and end, in s after `first_ns`.
    inner_ns : ndarray of int64, shape (windows - 1,)
        The times at which all of them but the first begin.
    """
    windows = max(1, min(windows, span_ns))
    inner = np.array([first_ns + -(-span_ns * at // windows) for at in range(1, windows)], np.int64)
    return np.arange(windows + 1, dtype=np.float64) * (span_ns / windows / NS), inner


def bounds_of(time_ns: Ints, inner_ns: Ints) -> Ints:
    """Return the first event of each window, and behind the last."""
    return np.concatenate(([0], np.searchsorted(time_ns, inner_ns), [len(time_ns)])).astype(np.int64)


def until(values: NDArray[Any], bounds: Ints) -> Ints:
    """Return the sum of the values before each bound."""
    return np.concatenate(([0], np.cumsum(values, dtype=np.int64)))[bounds]
