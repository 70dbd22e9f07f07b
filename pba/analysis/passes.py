"""Shrinker passes over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pba.analysis.pages import windows_of
from pba.events import OP_DROP, OP_SHRINK
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd


def passes_table(trace: Trace, windows: int = 120) -> pd.DataFrame:
    """Return the shrinker passes over time, by priority.

    Returns
    -------
    DataFrame
        A row per window of time, kind and priority that occurs in it: `from_seconds`, `to_seconds`, `kind`
        (`pass`, or `drop_slab`, whose priority is 0), `priority` (0 is the hardest pressure), `passes`.
    """
    import pandas as pd

    columns = ["from_seconds", "to_seconds", "kind", "priority", "passes"]
    where = np.flatnonzero((trace.op == OP_SHRINK) | (trace.op == OP_DROP))
    if not len(where):
        return pd.DataFrame(columns=columns)
    edges, bounds = windows_of(trace, windows)
    window = np.searchsorted(bounds, where, side="right") - 1
    frame = pd.DataFrame(
        {
            "from_seconds": edges[window],
            "to_seconds": edges[window + 1],
            "kind": np.where(trace.op[where] == OP_DROP, "drop_slab", "pass"),
            "priority": trace.arg[where].astype(np.int64),
        }
    )
    return frame.groupby(columns[:4]).size().rename("passes").reset_index()
