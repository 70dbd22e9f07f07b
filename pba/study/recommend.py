"""Which point a study recommends: a rule that can be said in a sentence and checked by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pba.study.definition import THRESHOLD_NAMES

if TYPE_CHECKING:
    import pandas as pd

CLOSE: Final = 0.01
"""Points whose score is within this share of the best count as equally good."""

RULE: Final = (
    "Of the points on the Pareto front that are no worse than the patch's own thresholds in either aim, "
    "on all recordings taken together, take the one with the least product of PMD splits and mean cached "
    "pages (so one per cent less of either counts alike); among those within 1 % of the least product, "
    "the one whose thresholds are nearest to the patch's (in factors)."
)


def recommend(points: pd.DataFrame, patch: int) -> int:
    """Return the number of the point that `RULE` chooses.

    Parameters
    ----------
    points : DataFrame
        The table of points, as in `pba.study.result.Run.points`.
    patch : int
        Number of the point with the patch's thresholds.

    Notes
    -----
    There always is one: if the patch's point is not on the front itself, a point on the front beats it.
    """
    splits = points["pmd_splits"].to_numpy(float)
    cached = points["mean_cached_pages"].to_numpy(float)
    row = points.index.to_list().index(patch)
    able = points["on_front"].to_numpy(bool) & (splits <= splits[row]) & (cached <= cached[row])
    product = np.where(able, splits * cached, np.inf)
    close = able & (product <= product.min() * (1 + CLOSE))
    distance = np.where(close, distance_in_factors(points, row), np.inf)
    # Ties fall to the smaller product, then to the point that was tried first.
    order = np.lexsort((points.index.to_numpy(), product, distance))
    return int(points.index[order[0]])


def distance_in_factors(points: pd.DataFrame, row: int) -> NDArray[np.float64]:
    """Return how far each point's thresholds are from those in `row`: the length of log2 of the factors.

    One page is added to each threshold first, as `PBA_UNSHRINKABLE_PAGES` may be 0.
    """
    logs = np.log2(points[list(THRESHOLD_NAMES)].to_numpy(float) + 1)
    return np.asarray(np.sqrt(((logs - logs[row]) ** 2).sum(axis=1)), dtype=np.float64)
