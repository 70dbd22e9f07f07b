"""How close a trace is to another, in statistics of the demand alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.analysis.bursts import runs
from pba.analysis.lifetimes import lifetimes, survival
from pba.analysis.pages import at_start, steps
from pba.events import OP_ALLOC, OP_FREE
from pba.trace.table import Trace

Ints = NDArray[np.int64]

SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Of the time: the quantiles of the live pages that are compared. 1 is the peak."""


@dataclass(frozen=True)
class Closeness:
    """Distances of two traces.

    Attributes
    ----------
    lifetimes : float
        KS distance (the largest difference of the two distribution functions) of the tables' lifetimes, both
        estimated after Kaplan and Meier.
    free_runs, alloc_runs : float
        KS distance of the sizes of runs of frees and of allocations (`analysis.runs`).
    live : float
        Largest relative difference of the quantiles below, of the mean live pages where that is more.
    live_pages : dict of str to (int, int)
        Quantiles of the live pages, weighted by time, of the first and the second trace.
    """

    lifetimes: float
    free_runs: float
    alloc_runs: float
    live: float
    live_pages: dict[str, tuple[int, int]]

    @property
    def worst_ks(self) -> float:
        """The largest of the KS distances."""
        return max(self.lifetimes, self.free_runs, self.alloc_runs)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes."""
        return asdict(self)


def closeness(first: Trace, second: Trace) -> Closeness:
    """Return how close two traces are."""
    one, two = live_quantiles(first), live_quantiles(second)
    live = max((abs(a - b) / max(a, 1) for a, b in zip(one, two, strict=True)), default=0.0)
    return Closeness(
        lifetimes=_survival_distance(first, second),
        free_runs=ks_distance(runs(first, OP_FREE), runs(second, OP_FREE)),
        alloc_runs=ks_distance(runs(first, OP_ALLOC), runs(second, OP_ALLOC)),
        live=live,
        live_pages={f"{100 * share:g} %": (a, b) for share, a, b in zip(SHARES, one, two, strict=True)},
    )


def ks_distance(one: Ints, two: Ints) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples; 1 where just one of them is empty."""
    if not len(one) or not len(two):
        return float(len(one) != len(two))
    one, two = np.sort(one), np.sort(two)
    values = np.concatenate([one, two])
    shares = [np.searchsorted(each, values, side="right") / len(each) for each in (one, two)]
    return float(np.abs(shares[0] - shares[1]).max())


def _survival_distance(first: Trace, second: Trace) -> float:
    """Return the largest difference of two survival curves, up to the age that both know."""
    curves = []
    for trace in (first, second):
        lifetime_ns, freed, _ = lifetimes(trace)
        age_ns, _, _, share = survival(lifetime_ns, freed)
        curves.append((age_ns, np.concatenate(([1.0], share)), int(lifetime_ns.max(initial=0))))
    (ages, one, known_one), (others, two, known_two) = curves
    if not len(ages) or not len(others):
        return float(len(ages) != len(others))
    values = np.concatenate([ages, others])
    values = values[values <= min(known_one, known_two)]
    if not len(values):
        return 1.0
    at_one = one[np.searchsorted(ages, values, side="right")]
    at_two = two[np.searchsorted(others, values, side="right")]
    return float(np.abs(at_one - at_two).max())


def live_quantiles(trace: Trace) -> list[int]:
    """Return the quantiles of the live pages at `SHARES`, weighted by time."""
    if len(trace) < 2:
        return [0] * len(SHARES)
    live = int(at_start(trace).sum()) + np.cumsum(steps(trace), dtype=np.int64)[:-1]
    lasts = np.diff(trace.time_ns)
    order = np.argsort(live, kind="stable")
    passed = np.cumsum(lasts[order])
    places = [min(int(np.searchsorted(passed, share * passed[-1])), len(order) - 1) for share in SHARES]
    return [int(live[order[place]]) for place in places[:-1]] + [int(live[lasts > 0].max(initial=0))]


__all__ = ["Closeness", "closeness", "ks_distance", "live_quantiles"]
