"""All points of a sweep held against each other, exactly: the Pareto front and a point's place beside it.

The aims are those of `pba.study.objective`: PMD splits, summed over the traces, and mean cached pages,
averaged over them. The second is a sum of fractions `cached_page_ns / duration_ns`. Floats are compared
first; where two are closer than their rounding, whole numbers over a common denominator decide. So a tie is a
tie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.study.sweep.boxes import Boxes, Ints

BLOCK_CELLS: Final = 1 << 20
"""Points that are looked at together, for each trace."""
CLOSE: Final = 1e-12
"""Relative distance within which floats decide nothing: far above the rounding of such a sum."""


class Aims(NamedTuple):
    """The two aims of a point, exactly."""

    pmd_splits: int
    mean_cached_pages: Fraction

    @property
    def floats(self) -> tuple[float, float]:
        """Both as floats."""
        return float(self.pmd_splits), float(self.mean_cached_pages)


def beats(one: Aims, other: Aims) -> bool:
    """Whether one point is as good as another in both aims, and better in one."""
    no_worse = one.pmd_splits <= other.pmd_splits and one.mean_cached_pages <= other.mean_cached_pages
    return no_worse and one != other


@dataclass(frozen=True)
class TraceAims:
    """What counts of one trace's boxes.

    Attributes
    ----------
    boxes : Boxes
        The boxes.
    pmd_splits : ndarray of int64, shape (behaviours,)
        Splits of each behaviour.
    cached : list of int
        Page-ns of each behaviour; where the trace has no duration, pages at the end.
    duration_ns : int
        What to divide them by, 1 where the trace has no duration.
    """

    boxes: Boxes
    pmd_splits: Ints
    cached: list[int]
    duration_ns: int


class Block(NamedTuple):
    """A stretch of the grid, from its point `start` on (counted in the axes' order)."""

    start: int
    behaviours: list[Ints]
    pmd_splits: Ints
    mean_cached_pages: NDArray[np.float64]


class Ties(NamedTuple):
    """Points whose aims were worked out exactly: each one's number, and its row of `aims`."""

    points: Ints
    row: Ints
    aims: list[Aims]


class Landscape:
    """The aims of every point of a grid, over some traces on their machines.

    Parameters
    ----------
    traces : sequence of TraceAims
        At least one.
    shape : tuple of int
        Values of each axis of the grid.
    """

    def __init__(self, traces: Sequence[TraceAims], shape: tuple[int, int, int]) -> None:
        self.traces, self.shape = list(traces), shape
        self.line = shape[1] * shape[2]

    def blocks(self) -> Iterator[Block]:
        """Yield the grid block by block."""
        step = max(1, BLOCK_CELLS // self.line)
        for start in range(0, self.shape[0], step):
            end = min(start + step, self.shape[0])
            behaviours = [trace.boxes.dense(start, end, self.shape) for trace in self.traces]
            splits = np.zeros((end - start) * self.line, np.int64)
            mean = np.zeros(len(splits))
            for trace, number, pages in zip(self.traces, behaviours, self._means, strict=True):
                splits += trace.pmd_splits[number]
                mean += pages[number]
            yield Block(start * self.line, behaviours, splits, mean / len(self.traces))

    @cached_property
    def _means(self) -> list[NDArray[np.float64]]:
        """Mean cached pages of each trace's behaviours, as floats nearest to the fractions."""
        return [np.array([value / trace.duration_ns for value in trace.cached]) for trace in self.traces]

    def exact(self, splits: int, cached: Sequence[int]) -> Aims:
        """Return the aims that follow from the splits of all traces and the page-ns of each."""
        total = sum(value * weight for value, weight in zip(cached, self._weights, strict=True))
        return Aims(splits, Fraction(total, self._denominator))

    @cached_property
    def _denominator(self) -> int:
        return math.lcm(*(trace.duration_ns for trace in self.traces)) * len(self.traces)

    @cached_property
    def _weights(self) -> list[int]:
        shared = self._denominator // len(self.traces)
        return [shared // trace.duration_ns for trace in self.traces]

    def aims_at(self, cell: tuple[int, int, int]) -> Aims:
        """Return the aims of the point at indices in the axes' order."""
        rows = [trace.boxes.at(cell) for trace in self.traces]
        splits = sum(int(trace.pmd_splits[row]) for trace, row in zip(self.traces, rows, strict=True))
        return self.exact(splits, [trace.cached[row] for trace, row in zip(self.traces, rows, strict=True)])

    def settle(self, block: Block, near: NDArray[np.bool_]) -> Ties:
        """Work out the aims of some points of a block exactly."""
        at = np.flatnonzero(near)
        rows, inverse = np.unique(
            np.column_stack([number[at] for number in block.behaviours]), axis=0, return_inverse=True
        )
        aims = []
        for row in rows.tolist():
            pairs = list(zip(self.traces, row, strict=True))
            splits = sum(int(trace.pmd_splits[number]) for trace, number in pairs)
            aims.append(self.exact(splits, [trace.cached[number] for trace, number in pairs]))
        return Ties(at + block.start, inverse.reshape(-1), aims)


class FrontStep(NamedTuple):
    """A pair of aims that no point beats, and the points that reach it (numbers in the axes' order)."""

    aims: Aims
    points: Ints


def front_of(landscape: Landscape) -> list[FrontStep]:
    """Return the exact Pareto front, by rising PMD splits."""
    least = _least_by_splits(landscape)
    bounds: dict[int, float] = {}
    below = math.inf
    for splits in sorted(least):
        if least[splits] <= below * (1 + CLOSE):
            bounds[splits] = least[splits] * (1 + CLOSE)
        below = min(below, least[splits])
    wanted, bound = np.array(sorted(bounds)), np.array([bounds[splits] for splits in sorted(bounds)])
    reached: dict[Aims, list[Ints]] = {}
    for block in landscape.blocks():
        at = np.searchsorted(wanted, block.pmd_splits).clip(max=len(wanted) - 1)
        near = (wanted[at] == block.pmd_splits) & (block.mean_cached_pages <= bound[at])
        if near.any():
            ties = landscape.settle(block, near)
            for row, aims in enumerate(ties.aims):
                reached.setdefault(aims, []).append(ties.points[ties.row == row])
    steps: list[FrontStep] = []
    for aims in sorted(reached):
        if not steps or aims.mean_cached_pages < steps[-1].aims.mean_cached_pages:
            steps.append(FrontStep(aims, np.sort(np.concatenate(reached[aims]))))
    return steps


def _least_by_splits(landscape: Landscape) -> dict[int, float]:
    """Return the least mean of cached pages for each number of splits, as floats."""
    least: dict[int, float] = {}
    for block in landscape.blocks():
        splits, inverse = np.unique(block.pmd_splits, return_inverse=True)
        lowest = np.full(len(splits), np.inf)
        np.minimum.at(lowest, inverse, block.mean_cached_pages)
        for count, mean in zip(splits.tolist(), lowest.tolist(), strict=True):
            least[count] = min(mean, least.get(count, math.inf))
    return least


def count_dominating(landscape: Landscape, aims: Aims) -> int:
    """Return how many points beat these aims: as good in both, and better in one."""
    splits, mean = aims.floats
    count = 0
    for block in landscape.blocks():
        no_more = block.pmd_splits <= splits
        count += int((no_more & (block.mean_cached_pages < mean * (1 - CLOSE))).sum())
        near = no_more & (np.abs(block.mean_cached_pages - mean) <= mean * CLOSE)
        if near.any():
            ties = landscape.settle(block, near)
            count += int(np.array([beats(found, aims) for found in ties.aims])[ties.row].sum())
    return count


def points_with(landscape: Landscape, aims: Aims) -> NDArray[np.bool_]:
    """Return which points have exactly these aims, shaped as the grid."""
    mask = np.zeros(landscape.shape, bool)
    flat = mask.reshape(-1)
    splits, mean = aims.floats
    for block in landscape.blocks():
        near = (block.pmd_splits == splits) & (np.abs(block.mean_cached_pages - mean) <= mean * CLOSE)
        if near.any():
            ties = landscape.settle(block, near)
            equal = np.array([found == aims for found in ties.aims])
            flat[ties.points] = equal[ties.row]
    return mask
