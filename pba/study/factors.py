"""How far thresholds are from the patch's, as they are felt: a step from 8 to 16 counts as one from 512 to 1024."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pba.study.space import PATCH_POINT


def distance_to_patch(thresholds: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Return the length of log2 of the factors between points' thresholds and the patch's.

    One page is added to each threshold first, as `PBA_UNSHRINKABLE_PAGES` may be 0.

    Parameters
    ----------
    thresholds : sequence of array_like, in the order of `THRESHOLD_NAMES`
        For each threshold its values, one a point.
    """
    pairs = zip(thresholds, PATCH_POINT, strict=True)
    return np.sqrt(
        sum(np.log2((np.asarray(value, float) + 1) / (before + 1)) ** 2 for value, before in pairs)
    )
