"""How fast page tables are allocated and freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pba.analysis.pages import Ints, bounds_of, steps, until, window_edges
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd


def rates_table(trace: Trace, windows: int = 200) -> pd.DataFrame:
    """Return allocations and frees per second in equal windows.

    Returns
    -------
    DataFrame
        A row per window: `from_seconds`, `to_seconds` (after the first event), `allocs`, `frees` (in the
        window), `allocs_per_second`, `frees_per_second`. Empty where all events stand at one time.
    """
    tally = RateTally(int(trace.time_ns[0]) if len(trace) else 0, trace.duration_ns, windows)
    tally.take(trace.time_ns, steps(trace))
    return tally.table()


class RateTally:
    """Counts allocations and frees in equal windows, block by block.

    Parameters
    ----------
    first_ns, span_ns : int
        Time of the trace's first event, and from there to its last, in ns.
    windows : int
        Into how many windows to cut that.
    """

    def __init__(self, first_ns: int, span_ns: int, windows: int) -> None:
        self._span_ns = span_ns
        self._edges, self._inner_ns = window_edges(first_ns, span_ns, windows)
        self._allocs, self._frees = np.zeros((2, len(self._edges) - 1), np.int64)

    def take(self, time_ns: Ints, step: NDArray[np.int8]) -> None:
        """Count the next events, of which `steps` says what each adds."""
        bounds = bounds_of(time_ns, self._inner_ns)
        self._allocs += np.diff(until(step > 0, bounds))
        self._frees += np.diff(until(step < 0, bounds))

    def table(self) -> pd.DataFrame:
        """Return the table that `rates_table` describes."""
        import pandas as pd

        columns = ["from_seconds", "to_seconds", "allocs", "frees", "allocs_per_second", "frees_per_second"]
        if not self._span_ns:
            return pd.DataFrame(columns=columns)
        edges, allocs, frees, length = self._edges, self._allocs, self._frees, np.diff(self._edges)
        values = (edges[:-1], edges[1:], allocs, frees, allocs / length, frees / length)
        return pd.DataFrame(dict(zip(columns, values, strict=True)))
