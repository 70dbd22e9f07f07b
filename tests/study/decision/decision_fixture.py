"""Outcomes of made-up replays over a small grid, for decisions whose every figure can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.decision.outcomes import GridOutcomes
from pba.study.space import PATCH_POINT, Point
from pba.study.sweep.grid import Grid

Model = Callable[[Point, int], dict[str, float]]
GRID = Grid("4,8,16,32,64,256", "1,64,128,256,448,512", "128,256,512,1024")


class MadeOutcomes(GridOutcomes):
    """A grid whose figures a function gives: each point is a behaviour of its own."""

    def __init__(self, model: Model, recordings: Sequence[str], grid: Grid = GRID) -> None:
        super().__init__(grid, [], [], PATCH_POINT)
        self.model = model
        self.recordings = list(recordings)
        self.behaviours = [np.arange(len(grid), dtype=np.int32) for _ in recordings]

    def _figures(self, aim: Aim, recording: int) -> Any:
        key = (aim.name, recording)
        if key not in self._of_behaviour:
            rows = [self.model(self.point(number), recording) for number in range(len(self))]
            self._of_behaviour[key] = np.array([float(aim.of(row)) for row in rows])
        return self._of_behaviour[key]

    def most(self, column: str, recording: int) -> int:
        return int(
            max(self.model(self.point(number), recording).get(column, 0) for number in range(len(self)))
        )

    def measure(self, points: Sequence[Point]) -> list[list[dict[str, float]]]:
        return [[self.model(point, at) for at in range(len(self.recordings))] for point in points]


def usual(point: Point, recording: int) -> dict[str, float]:
    """Fewer splits with larger thresholds, and more cache; recordings differ in size."""
    weight = 1 + recording
    reach = point.unshrinkable_pages / 64 + point.shrink_block_min_pages / 64 + point.batch / 2048
    if point.shrink_block_min_pages == 512:
        reach = 1e9
    splits = float(int(40 * weight / (1 + reach)))
    cached = weight * (50 + 0.3 * min(point.unshrinkable_pages, 600) + 0.02 * point.shrink_block_min_pages)
    return {"pmd_splits": splits, "mean_cached_pages": cached, "scan_calls": 3, "pages_released": 9}


def brute(
    outcomes: MadeOutcomes, chosen: Sequence[int], aims: Sequence[Aim] = DEFAULT_AIMS
) -> list[tuple[float, ...]]:
    """Return the aims of every point over some recordings, worked out one by one."""
    found = []
    for number in range(len(outcomes)):
        rows = [outcomes.model(outcomes.point(number), at) for at in chosen]
        patch = [outcomes.model(PATCH_POINT, at) for at in chosen]
        found.append(
            tuple(
                float(aim.over_recordings([aim.of(row) for row in rows], [aim.of(row) for row in patch]))
                for aim in aims
            )
        )
    return found
