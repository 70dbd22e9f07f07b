"""How far thresholds can move before anything changes: boxes of points that have the very same aims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.study.sweep.boxes import Ints, merge_along
from pba.study.sweep.front import Aims, Landscape, points_with

LARGEST: Final = 5
"""Plateaus of a whole grid that are looked at."""
ROUNDING: Final = 1e-11
"""Relative difference of two means that may be the same number."""

Cell = tuple[int, int, int]


class Plateau(NamedTuple):
    """Points that share their aims.

    Attributes
    ----------
    aims : Aims
        What they share.
    points : int
        How many there are in the whole grid.
    first, last : tuple of int
        A box of them, indices in the axes' order, both included.
    """

    aims: Aims
    points: int
    first: Cell
    last: Cell

    @property
    def box_points(self) -> int:
        """How many points the box holds."""
        return int(np.prod([high - low + 1 for low, high in zip(self.first, self.last, strict=True)]))


def plateau_around(landscape: Landscape, cell: Cell) -> Plateau:
    """Return the largest box around a point whose points all have its aims."""
    aims = landscape.aims_at(cell)
    mask = points_with(landscape, aims)
    return Plateau(aims, int(mask.sum()), *largest_box_around(mask, cell))


def largest_box_around(mask: NDArray[np.bool_], cell: Cell) -> tuple[Cell, Cell]:
    """Return the first and last corner of the box with most points that holds `cell` and true points alone.

    Of boxes of equal size, the one found first counts; `cell` itself must be true.
    """
    at_u, at_b, _ = cell
    below, above = _runs(mask, cell)
    best, corners = 0, (cell, cell)
    for first_b, last_b in _ranges_around(mask[at_u, :, cell[2]], at_b):
        low = below[:, first_b : last_b + 1].max(axis=1)
        high = above[:, first_b : last_b + 1].min(axis=1)
        # The run of M that all lines between the point's and each other one share, down and up along U.
        down_low = np.maximum.accumulate(low[at_u::-1])
        down_high = np.minimum.accumulate(high[at_u::-1])
        up_low, up_high = np.maximum.accumulate(low[at_u:]), np.minimum.accumulate(high[at_u:])
        for down in range(len(down_low)):
            lows, highs = np.maximum(up_low, down_low[down]), np.minimum(up_high, down_high[down])
            sizes = (highs - lows + 1).clip(min=0) * (np.arange(len(lows)) + down + 1)
            up = int(sizes.argmax())
            size = int(sizes[up]) * (last_b - first_b + 1)
            if size > best:
                best = size
                corners = (
                    (at_u - down, first_b, int(lows[up])), (at_u + up, last_b, int(highs[up]))
                )  # fmt: skip
    return corners


def _runs(mask: NDArray[np.bool_], cell: Cell) -> tuple[Ints, Ints]:
    """Return for each pair of U and B the ends of the unbroken run of M around the point's M.

    Where the pair is false at that M, the run is empty: it begins after the last M and ends before the first.
    """
    size, at = mask.shape[2], cell[2]
    left = mask[:, :, at::-1]
    right = mask[:, :, at:]
    below = at + 1 - np.where(left.all(axis=2), at + 1, left.argmin(axis=2))
    above = at - 1 + np.where(right.all(axis=2), size - at, right.argmin(axis=2))
    inside = mask[:, :, at]
    return np.where(inside, below, size), np.where(inside, above, -1)


def _ranges_around(able: NDArray[np.bool_], at: int) -> Iterator[tuple[int, int]]:
    """Yield every range of indices around `at` in which all are able."""
    low = high = at
    while low > 0 and able[low - 1]:
        low -= 1
    while high + 1 < len(able) and able[high + 1]:
        high += 1
    for first in range(at, low - 1, -1):
        for last in range(at, high + 1):
            yield first, last


def largest_plateaus(landscape: Landscape, count: int = LARGEST) -> list[Plateau]:
    """Return the plateaus with most points, each with a large box of it.

    The box is the largest one around the middle of the largest box into which merging lines along M, then U,
    then B cuts the plateau.
    """
    sizes: dict[tuple[int, float], int] = {}
    where: dict[tuple[int, float], int] = {}
    for block in landscape.blocks():
        order = np.lexsort((block.mean_cached_pages, block.pmd_splits))
        splits, mean = block.pmd_splits[order], block.mean_cached_pages[order]
        starts = np.flatnonzero(
            np.concatenate([[True], (splits[1:] != splits[:-1]) | (mean[1:] != mean[:-1])])
        )
        counts = np.diff(starts, append=len(order))
        keys = zip(splits[starts].tolist(), mean[starts].tolist(), strict=True)
        for key, size, at in zip(keys, counts.tolist(), order[starts].tolist(), strict=True):
            sizes[key] = sizes.get(key, 0) + size
            where.setdefault(key, block.start + at)
    found: dict[Aims, int] = {}
    for most, places in _alike(sizes, where):
        if len(found) >= count and most < sorted(found.values())[-count]:
            break
        for place in places:
            aims = landscape.aims_at(_cell(place, landscape.shape))
            if aims not in found:
                found[aims] = int(points_with(landscape, aims).sum())
    ranked = sorted(found, key=lambda aims: (-found[aims], aims))[:count]
    return [_widest(landscape, aims) for aims in ranked]


def _alike(
    sizes: dict[tuple[int, float], int], where: dict[tuple[int, float], int]
) -> list[tuple[int, list[int]]]:
    """Join aims that differ by no more than rounding can make of equal ones; the most points first.

    The mean over traces is a sum of floats: equal means may differ in their last digits. Each entry is a
    number of points and the places of one of each kind of them.
    """
    groups: list[tuple[int, list[int]]] = []
    before = (-1, 0.0)
    for key in sorted(sizes):
        if key[0] == before[0] and key[1] - before[1] <= ROUNDING * abs(key[1]):
            size, places = groups.pop()
            groups.append((size + sizes[key], [*places, where[key]]))
        else:
            groups.append((sizes[key], [where[key]]))
        before = key
    return sorted(groups, key=lambda group: (-group[0], group[1]))


def _widest(landscape: Landscape, aims: Aims) -> Plateau:
    """Return the points with these aims and a large box of them."""
    mask = points_with(landscape, aims)
    lines = np.pad(mask, ((0, 0), (0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(lines, axis=2)
    first, last = np.argwhere(steps == 1), np.argwhere(steps == -1)
    last[:, 2] -= 1
    label = np.zeros(len(first), np.int64)
    for axis in (0, 1):
        first, last, label = merge_along(axis, first, last, label)
    largest = int(np.prod(last - first + 1, axis=1).argmax())
    middle = ((first[largest] + last[largest]) // 2).tolist()
    return Plateau(aims, int(mask.sum()), *largest_box_around(mask, (middle[0], middle[1], middle[2])))


def _cell(number: int, shape: Cell) -> Cell:
    """Return the indices of a point by its number in the axes' order."""
    line, at_m = divmod(number, shape[2])
    at_u, at_b = divmod(line, shape[1])
    return at_u, at_b, at_m
