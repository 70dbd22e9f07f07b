"""Phases of the demand: where its rates change for good, by exact segmentation (dynamic programming)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.analysis.pages import at_start
from pba.analysis.rates import rates_table
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd

PHASE_WINDOWS: Final = 200
"""Windows between which phases begin and end."""
SHORTEST_PHASE_WINDOWS: Final = 4
"""Fewest windows of a phase: 2 % of the trace's time."""

SQRT_OF_COUNT_SD: Final = 0.5
"""Standard deviation of the square root of a Poisson count, whatever its mean: no noise is less."""
PENALTY: Final = 1.5
"""How much more than Schwarz' criterion a change must explain: bursts make neighbouring windows alike."""


def change_points(counts: NDArray[Any], least: int) -> NDArray[np.int64]:
    """Return where the rates of several kinds of event change.

    The counts' square roots (which makes their noise alike at all rates) are cut into segments, each with a
    mean of its own. Of all ways to cut them, the one is returned that minimises the squared distances from
    the means, in units of the noise, plus a penalty of `PENALTY * (kinds + 1) * log(windows)` for each
    segment: Schwarz' criterion (Y.-C. Yao, "Estimating the number of change-points via Schwarz' criterion",
    Statistics & Probability Letters 6, 1988) times a factor that allows for bursts. The noise of a kind is
    estimated from the differences of neighbouring windows, so that what comes and goes from one to the next
    is noise, and what lasts is a phase. Found by the recursion of B. Jackson et al., "An algorithm for
    optimal partitioning of data on an interval" (2005): exact, quadratic in the number of windows.

    Parameters
    ----------
    counts : ndarray, shape (windows, kinds)
        Events of each kind in equal windows of time.
    least : int
        Fewest windows of a segment.

    Returns
    -------
    ndarray of int64
        Where each segment begins, and the number of windows at the end: `[0, ..., windows]`.
    """
    windows, kinds = counts.shape
    if windows < 2 * least:
        return np.array([0, windows], np.int64)
    scaled = _by_noise(counts)
    sums = np.vstack([np.zeros(kinds), np.cumsum(scaled, axis=0)])
    squares = np.concatenate([[0.0], np.cumsum((scaled**2).sum(axis=1))])
    penalty = PENALTY * (kinds + 1) * np.log(windows)
    best = np.full(windows + 1, np.inf)
    best[0] = 0.0
    begins = np.zeros(windows + 1, np.int64)
    for end in range(least, windows + 1):
        start = np.arange(end - least + 1)
        around_mean = (squares[end] - squares[start]) - ((sums[end] - sums[start]) ** 2).sum(axis=1) / (
            end - start
        )
        costs = best[start] + around_mean + penalty
        begins[end] = int(np.argmin(costs))
        best[end] = costs[begins[end]]
    found = [windows]
    while found[-1] > 0:
        found.append(int(begins[found[-1]]))
    return np.array(found[::-1], np.int64)


def _by_noise(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the square roots of counts in units of each kind's noise."""
    roots = np.sqrt(counts.astype(np.float64))
    differences = np.diff(roots, axis=0)
    noise = np.maximum(np.sqrt(np.mean(differences**2, axis=0) / 2), SQRT_OF_COUNT_SD)
    scaled: NDArray[np.float64] = roots / noise
    return scaled


def phases_table(trace: Trace, phases: int | None = None) -> pd.DataFrame:
    """Return how fast the demand changes, by phase.

    A phase lasts as long as allocations and frees keep their rates. Where they change is found in 200 equal
    windows of the trace's time by `change_points`, which states its criterion; a phase has at least 4 of
    them. What comes and goes from window to window is not a phase: a trace may have only one.

    Parameters
    ----------
    trace : Trace
        The trace.
    phases : int, optional
        Take so many equal parts of the time instead.

    Returns
    -------
    DataFrame
        A row per phase: the columns of `rates_table`, then `live_pages` (at the phase's end),
        `change_pages` (allocations less frees in it) and `change_per_second`. Empty where all events stand
        at one time.
    """
    table = rates_table(trace, PHASE_WINDOWS if phases is None else phases)
    return phases_of(joined(table) if phases is None else table, int(at_start(trace).sum()))


def phases_of(table: pd.DataFrame, live_at_start: int) -> pd.DataFrame:
    """Return the `phases_table` of the `rates_table` of some phases."""
    net = table["allocs"] - table["frees"]
    table["live_pages"] = live_at_start + net.cumsum()
    table["change_pages"] = net
    table["change_per_second"] = net / (table["to_seconds"] - table["from_seconds"])
    return table


def joined(rates: pd.DataFrame) -> pd.DataFrame:
    """Return a `rates_table` with those windows made one between which the rates do not change."""
    if rates.empty:
        return rates
    bounds = change_points(rates[["allocs", "frees"]].to_numpy(), SHORTEST_PHASE_WINDOWS)
    first, last = bounds[:-1], bounds[1:] - 1
    table = rates.iloc[first].reset_index(drop=True)
    table["to_seconds"] = rates["to_seconds"].to_numpy()[last]
    length = table["to_seconds"] - table["from_seconds"]
    for name in ("allocs", "frees"):
        table[name] = np.add.reduceat(rates[name].to_numpy(), first)
        table[f"{name}_per_second"] = table[name] / length
    return table


__all__ = ["PHASE_WINDOWS", "change_points", "joined", "phases_of", "phases_table"]
