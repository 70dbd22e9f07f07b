"""Not the luckiest point but a region: all points that lose little, and a round value well inside of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.study.decision.outcomes import Floats, GridOutcomes
from pba.study.decision.rules import Scored
from pba.study.definition import BLOCK_NR_PAGES_4K, THRESHOLD_NAMES, StudyDefinition
from pba.study.factors import distance_to_patch
from pba.study.space import Point
from pba.study.sweep.plateau import largest_box_around

ROUND: Final = "powers of two and simple fractions of a block"
ROUNDISH: Final = "powers of two, three times powers of two, and sixteenths of a block"
EXACT: Final = "a point of the grid"

_POWERS: Final = {1 << exponent for exponent in range(27)}
_FRACTIONS: Final = {BLOCK_NR_PAGES_4K >> exponent for exponent in range(10)}
ROUND_M: Final = _FRACTIONS | {
    BLOCK_NR_PAGES_4K - part for part in _FRACTIONS if 8 <= part < BLOCK_NR_PAGES_4K
}
"""A block's halves, quarters, eighths and so on, and what is left of it without one of these."""
ROUND_U: Final = _POWERS
ROUNDISH_U: Final = _POWERS | {3 * power for power in _POWERS}
ROUNDISH_M: Final = ROUND_M | {BLOCK_NR_PAGES_4K * part // 16 for part in range(1, 17)}


class Region(NamedTuple):
    """All points of a grid within a stated loss of the best.

    Attributes
    ----------
    mask : ndarray of bool, shape (points,)
        Which points.
    best : int
        Number of the point with the least score (of equals the one nearest to the patch's).
    score : float
        Its score.
    """

    mask: NDArray[np.bool_]
    best: int
    score: float


class Named(NamedTuple):
    """The point of a region that is named.

    Attributes
    ----------
    number : int
        Its number.
    level : str
        How round it is: `ROUND`, `ROUNDISH` or `EXACT`.
    """

    number: int
    level: str


def region_of(outcomes: GridOutcomes, scored: Scored, loss: float) -> Region:
    """Return all points that the rule may choose and whose score is within `loss` of the best.

    The patch's own point can always be chosen by every rule, so that there is one; where constraints leave
    none, see `decide`.
    """
    score = scored.chosen
    least = float(score.min())
    ties = np.flatnonzero(score <= least + 1e-12 * abs(least))
    best = int(ties[distance_to_patch([values[ties] for values in outcomes.thresholds]).argmin()])
    return Region(score <= least + loss + 1e-12, best, least)


def named_point(outcomes: GridOutcomes, region: Region, score: Floats) -> Named:
    """Return the round point that lies deepest inside a region.

    Depth is the distance to the nearest point outside, each threshold counted in shares of its axis' values;
    the grid's own edges are no outside. Of equally deep points the one with the least score is taken, then
    the one nearest to the patch's, then the first. Where no round point is inside, less round ones are tried.
    """
    depth = depth_of(region.mask.reshape(outcomes.grid.shape)).reshape(-1)
    inside = np.flatnonzero(region.mask)
    for level, able in _levels(outcomes, inside):
        numbers = inside[able]
        if len(numbers):
            keys = (
                numbers,
                distance_to_patch([values[numbers] for values in outcomes.thresholds]),
                score[numbers],
                -depth[numbers],
            )
            return Named(int(numbers[np.lexsort(keys)[0]]), level)
    raise AssertionError("a region holds its best point")


def _levels(outcomes: GridOutcomes, numbers: NDArray[np.intp]) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    """Yield how round points may be, from the roundest on, and which of some points are that round."""
    unshrinkable, minimum, batch = (values[numbers] for values in outcomes.thresholds)
    for level, in_u, in_m, in_b in (
        (ROUND, _POWERS, ROUND_M, ROUND_U),
        (ROUNDISH, ROUNDISH_U, ROUNDISH_M, ROUNDISH_U),
    ):
        yield (
            level,
            np.isin(unshrinkable, list(in_u)) & np.isin(minimum, list(in_m)) & np.isin(batch, list(in_b)),
        )
    yield EXACT, np.ones(len(numbers), bool)


def depth_of(mask: NDArray[np.bool_]) -> Floats:
    """Return how deep each point lies inside a set: its distance to what is outside, 0 there.

    Each axis counts in shares of its length. Where nothing is outside, all are infinitely deep.
    """
    from scipy.ndimage import distance_transform_edt

    depth = np.zeros(mask.shape)
    where = np.argwhere(mask)
    if not len(where):
        return depth
    # The set and a rim of one around it are enough: the nearest point outside is never further.
    cut = tuple(
        slice(max(0, low - 1), high + 2)
        for low, high in zip(where.min(axis=0), where.max(axis=0), strict=True)
    )
    if mask[cut].all():
        depth[cut] = np.inf
    else:
        depth[cut] = distance_transform_edt(mask[cut], sampling=[1 / length for length in mask.shape])
    return depth


def box_of(outcomes: GridOutcomes, region: Region, number: int) -> dict[str, list[int]]:
    """Return the largest box of the grid around a point that holds points of the region alone, by threshold."""
    shape = outcomes.grid.shape
    cell = tuple(int(index) for index in np.unravel_index(number, shape))
    first, last = largest_box_around(region.mask.reshape(shape), (cell[0], cell[1], cell[2]))
    low, high = outcomes.grid.point_at(first), outcomes.grid.point_at(last)
    return {name: [getattr(low, name), getattr(high, name)] for name in THRESHOLD_NAMES}


def span_of(outcomes: GridOutcomes, region: Region) -> dict[str, list[int]]:
    """Return the least and the greatest value of each threshold in a region."""
    inside = np.flatnonzero(region.mask)
    columns = zip(THRESHOLD_NAMES, outcomes.thresholds, strict=True)
    return {name: [int(values[inside].min()), int(values[inside].max())] for name, values in columns}


def in_words(point: Point) -> str:
    """Return a point as one would write it in the kernel: `U=64, M=7/8 of a block, B=2 blocks`."""
    return (
        f"U={point.unshrinkable_pages}, M={_of_a_block(point.shrink_block_min_pages)}, "
        f"B={_of_a_block(point.batch)}"
    )


def _of_a_block(pages: int) -> str:
    """Return a number of pages (as for 4 KiB pages) as a share of a block, if it is a simple one."""
    block = BLOCK_NR_PAGES_4K
    if pages % block == 0:
        return "a block" if pages == block else f"{pages // block} blocks"
    shared = int(np.gcd(pages, block))
    if block // shared <= 64:
        return f"{pages // shared}/{block // shared} of a block"
    return f"{pages} pages"


def round_points(definition: StudyDefinition) -> list[Point]:
    """Return a few hundred round points of a study's space: what it decides among where nothing is swept.

    Every other power of two of U and B, and of M a block's halves and what is left of it without a small
    part; the ends of the space where there are none of these.
    """
    wanted: dict[str, set[int]] = {
        "unshrinkable_pages": {1 << exponent for exponent in range(0, 27, 2)},
        "shrink_block_min_pages": {1, 64, 128, 256, 384, 448, 480, 496, 512},
        "batch": {1 << exponent for exponent in range(1, 27, 2)},
    }
    axes = []
    for name in THRESHOLD_NAMES:
        item = definition.space[name]
        axes.append(sorted(value for value in wanted[name] if value in item) or sorted({item.low, item.high}))
    return [Point(*values) for values in itertools.product(*axes)]
