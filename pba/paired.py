"""What the recordings at hand say of others: paired intervals and tests over recordings.

A replay is exact: run again it gives the same figures, and there is nothing to test in one. What is uncertain
is the choice of workloads. So the unit that is resampled is always a recording, with both of its figures, the
one with the patch's thresholds and the one with others: recordings differ far more from each other than a
recording does between two sets of thresholds, and pairing takes that out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats, int], Floats]
"""Takes figures with others and with the patch's thresholds and an axis: that of the recordings."""

LEVEL: Final = 0.95
"""Confidence of an interval by default."""
RESAMPLES: Final = 9_999
"""Resamples of a bootstrap: the ends of a 95 % interval then move by about a hundredth of its width."""


FEWEST: Final = 5
"""Fewer recordings than this say too little of others for an interval beside sums and means."""


def relative_change(new: Floats, old: Floats, axis: int) -> Floats:
    """Return how a sum, or a mean, changes as a share of what it was."""
    after, before = new.sum(axis=axis), old.sum(axis=axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(after == before, 0.0, after / before - 1), np.float64)


def difference(new: Floats, old: Floats, axis: int) -> Floats:
    """Return how a mean changes, in its own unit."""
    return np.asarray((new - old).mean(axis=axis), np.float64)


class Interval(NamedTuple):
    """An estimate and where it may lie for other recordings of this kind.

    Attributes
    ----------
    estimate : float
        The figure of the recordings at hand.
    low, high : float
        Ends of the interval; NaN where a single recording allows none.
    """

    estimate: float
    low: float
    high: float


class SignTest(NamedTuple):
    """How many recordings fell and rose, and how often chance alone would be as one-sided.

    Attributes
    ----------
    fell, rose, same : int
        Recordings whose figure is lower, higher or equal to that with the patch's thresholds.
    p_value : float
        Two-sided, of the exact binomial test over those that changed; 1 where none did.
    """

    fell: int
    rose: int
    same: int
    p_value: float


def paired_interval(
    new: ArrayLike,
    old: ArrayLike,
    statistic: Statistic,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return a statistic of paired figures with its bootstrap interval over recordings.

    Parameters
    ----------
    new, old : array_like of float, shape (recordings,)
        A recording's figure with the thresholds in question and with the patch's, in the same order.
    statistic : callable
        What is made of the figures of any set of recordings (`relative_change`, `difference`, or an aim's own).
    level : float
        Confidence, above 0 and below 1.
    resamples : int
        How many sets of recordings are drawn, with replacement.
    seed : int
        Of the draws: the same seed gives the same interval.

    Returns
    -------
    Interval
        Bias-corrected and accelerated (BCa; Efron 1987), as `scipy.stats.bootstrap` has it; percentiles where
        the acceleration is not defined, as when a statistic is the same whichever recording is left out. The
        estimate alone, with both ends equal to it, where no recording changes.

    Raises
    ------
    ValueError
        If the two do not hold a figure each for the same recordings.
    """
    from scipy import stats

    first, second = np.asarray(new, np.float64), np.asarray(old, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"figures of shapes {first.shape} and {second.shape} are not pairs")
    estimate = float(statistic(first, second, 0))
    if (first == second).all():
        return Interval(estimate, estimate, estimate)
    if len(first) == 1:
        return Interval(estimate, np.nan, np.nan)
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all-equal jackknife values: the loop goes on to percentiles
            found = stats.bootstrap(
                (first, second),
                lambda one, other, axis: statistic(one, other, axis),
                paired=True,
                vectorized=True,
                n_resamples=resamples,
                confidence_level=level,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite([found.low, found.high]).all():
            break
    return Interval(estimate, float(found.low), float(found.high))


def sign_test(new: ArrayLike, old: ArrayLike) -> SignTest:
    """Count the recordings whose figure fell and rose, and test whether chance may have done it.

    Parameters
    ----------
    new, old : array_like of float, shape (recordings,)
        As for `paired_interval`.
    """
    from scipy import stats

    change = np.sign(np.asarray(new, np.float64) - np.asarray(old, np.float64))
    fell, rose = int((change < 0).sum()), int((change > 0).sum())
    p_value = float(stats.binomtest(fell, fell + rose).pvalue) if fell + rose else 1.0
    return SignTest(fell, rose, len(change) - fell - rose, p_value)


def wilcoxon(new: ArrayLike, old: ArrayLike) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test over recordings; 1 where none changes.

    Recordings that do not change are ranked with the others and then dropped (Pratt 1959): a study in which
    most do not react must not look as if they were never there.
    """
    change = np.asarray(new, np.float64) - np.asarray(old, np.float64)
    return _signed_rank_p(tuple(change.tolist())) if change.any() else 1.0


@lru_cache(1024)
def _signed_rank_p(change: tuple[float, ...]) -> float:
    """Return Wilcoxon's p-value, once for the same changes: with ties and up to 13 recordings half a second."""
    from scipy import stats

    return float(stats.wilcoxon(change, zero_method="pratt").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    largest = 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * float(p_values[at])))
        adjusted[at] = largest
    return [float(value) for value in adjusted]
