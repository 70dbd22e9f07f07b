"""How far thresholds are from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pba.study.definition import THRESHOLD_NAMES

if TYPE_CHECKING:
    import pandas as pd


def distance_in_factors(points: pd.DataFrame, row: int) -> NDArray[np.float64]:
    """Return how far each point's thresholds are from those in `row`: the length of log2 of the factors.

    One page is added to each threshold first, as `PBA_UNSHRINKABLE_PAGES` may be 0.
    """
    logs = np.log2(points[list(THRESHOLD_NAMES)].to_numpy(float) + 1)
    return np.asarray(np.sqrt(((logs - logs[row]) ** 2).sum(axis=1)), dtype=np.float64)
