"""Live page-table pages over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pba.analysis.pages import at_start, level_names, levels_of, pairs, steps, windows_of
from pba.events import OP_ALLOC, OP_FREE
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd


def live_table(trace: Trace, windows: int = 600) -> pd.DataFrame:
    """Return the live page-table pages over time, by level.

    Parameters
    ----------
    trace : Trace
        The trace.
    windows : int
        Into how many equal windows of time to cut it.

    Returns
    -------
    DataFrame
        A row per window: `seconds` (its end, after the first event), a column of pages for each level that
        occurs (live at the window's end; `unknown` for pages without a level), `total` (their sum),
        `least` and `most` (of the total after any event of the window).
    """
    import pandas as pd

    if not len(trace):
        return pd.DataFrame(columns=["seconds", "total", "least", "most"])
    allocated_by, freed_by = pairs(trace)
    edges, bounds = windows_of(trace, windows)
    codes = levels_of(trace)[allocated_by]
    columns: dict[str, Any] = {"seconds": edges[1:]}
    for name, code in level_names(codes).items():
        mine = codes == code
        born = np.searchsorted(allocated_by[mine], bounds[1:])
        gone = np.searchsorted(np.sort(freed_by[mine & (freed_by >= 0)]), bounds[1:])
        columns[name] = born - gone
    live = int(at_start(trace).sum()) + np.concatenate(([0], np.cumsum(steps(trace), dtype=np.int64)))
    columns["total"] = live[bounds[1:]]
    # A window without events has the state before it; the others that after each of theirs.
    filled = np.diff(bounds) > 0
    starts = bounds[:-1][filled]
    for name, reduce in (("least", np.minimum), ("most", np.maximum)):
        columns[name] = columns["total"].copy()
        columns[name][filled] = reduce.reduceat(live[1:], starts)
    return pd.DataFrame(columns)


def live_pages(trace: Trace) -> NDArray[np.int64]:
    """Return the number of live page-table pages after each event."""
    known = trace.slot >= 0
    step = ((trace.op == OP_ALLOC) & known).astype(np.int64) - ((trace.op == OP_FREE) & known)
    return np.cumsum(step, dtype=np.int64)
