"""The figures of many points on every recording, from a sweep or from a table of replays, in one form.

Points are counted as the source has them: by the grid's order (U, then B, then M), or by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pba.results import COUNTER_COLUMNS
from pba.study.aims import Aim
from pba.study.definition import THRESHOLD_NAMES
from pba.study.objective import MIB
from pba.study.space import Point
from pba.study.sweep.boxes import Boxes
from pba.study.sweep.case import Case
from pba.study.sweep.folder import mean_cached_pages
from pba.study.sweep.grid import AXES, Grid

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

DIGITS: Final = 11
"""Significant digits that two means are compared by: sums of floats may differ in the last four or five."""


KEPT_FIGURES: Final = 1 << 24
"""Up to so many, the figures of an aim are kept (128 MiB), as folds ask for them again and again."""


class Outcomes(Protocol):
    """Figures of points on recordings.

    Attributes
    ----------
    recordings : list of str
        Names of the recordings.
    """

    recordings: list[str]

    def __len__(self) -> int:
        """How many points there are."""

    def figures(self, aim: Aim, recording: int) -> Floats:
        """Return an aim's figure of every point on one recording."""

    def patch(self, aim: Aim) -> list[float]:
        """Return an aim's figure of the patch's point on every recording."""


def combined(outcomes: Outcomes, aim: Aim, chosen: Sequence[int]) -> Floats:
    """Return an aim's value of every point over some recordings, rounded so that ties are ties."""
    before = outcomes.patch(aim)
    columns = [outcomes.figures(aim, recording) for recording in chosen]
    return rounded(aim.over_recordings(columns, [before[recording] for recording in chosen]))


def rounded(values: Floats) -> Floats:
    """Return values with `DIGITS` significant digits."""
    with np.errstate(divide="ignore"):
        exponent = np.where(values == 0, 0, np.floor(np.log10(np.abs(values))))
    factor = 10.0 ** (DIGITS - 1 - exponent)
    return np.asarray(np.round(values * factor) / factor, np.float64)


class TableOutcomes:
    """Figures from a table of replays.

    Parameters
    ----------
    per_trace : DataFrame
        Indexed by `number` and `trace`, as `Run.per_trace`; each aim is one of its columns.
    recordings : sequence of str
        Which recordings, in this order.
    patch : int
        Number of the patch's point.
    """

    def __init__(self, per_trace: pd.DataFrame, recordings: Sequence[str], patch: int = 0) -> None:
        self.recordings = list(recordings)
        self._table, self._patch = per_trace, patch
        self.numbers = per_trace.index.get_level_values("number").unique().sort_values()
        self._kept: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def figures(self, aim: Aim, recording: int) -> Floats:
        """Return an aim's figure of every point, by rising number, on one recording."""
        return np.asarray(self._wide(aim)[self.recordings[recording]], np.float64)

    def patch(self, aim: Aim) -> list[float]:
        """Return an aim's figure of the patch's point on every recording."""
        row = self._wide(aim).loc[self._patch]
        return [float(row[name]) for name in self.recordings]

    def point(self, at: int) -> Point:
        """Return a point by its place."""
        row = self._table.xs(self.numbers[at], level="number").iloc[0]
        return Point(*(int(row[name]) for name in THRESHOLD_NAMES))

    def _wide(self, aim: Aim) -> Any:
        if aim.name not in self._kept:
            self._kept[aim.name] = self._table[aim.name].unstack("trace").sort_index()
        return self._kept[aim.name]


class RowOutcomes:
    """Figures from rows of a few points, the first of which is the patch's.

    Parameters
    ----------
    rows : sequence
        For each point what is kept of its replay on each recording.
    """

    def __init__(self, rows: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        self.recordings = [str(at) for at in range(len(rows[0]))]
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def figures(self, aim: Aim, recording: int) -> Floats:
        """Return an aim's figure of every point on one recording."""
        return np.array([float(row[recording][aim.name]) for row in self._rows])

    def patch(self, aim: Aim) -> list[float]:
        """Return an aim's figure of the patch's point on every recording."""
        return [float(row[aim.name]) for row in self._rows[0]]


class GridOutcomes:
    """Figures of every point of a sweep's grid.

    Parameters
    ----------
    grid : Grid
        The grid, which holds the patch's point.
    cases : sequence of Case
        The traces on their machines.
    boxes : sequence of Boxes
        What came out on each.
    patch : Point
        The patch's point.
    """

    def __init__(self, grid: Grid, cases: Sequence[Case], boxes: Sequence[Boxes], patch: Point) -> None:
        self.grid = grid
        self.recordings = [case.trace for case in cases]
        self._cases, self._boxes = list(cases), list(boxes)
        cell = grid.cell_of(patch)
        assert cell is not None
        self.patch_number = int(np.ravel_multi_index(cell, grid.shape))
        self._of_behaviour: dict[tuple[str, int], Floats] = {}
        self._dense: dict[tuple[str, int], Floats] = {}

    def __len__(self) -> int:
        return len(self.grid)

    @cached_property
    def behaviours(self) -> list[NDArray[np.int32]]:
        """For each recording the behaviour of every point."""
        shape = self.grid.shape
        return [boxes.dense(0, shape[0], shape).astype(np.int32) for boxes in self._boxes]

    def figures(self, aim: Aim, recording: int) -> Floats:
        """Return an aim's figure of every point on one recording."""
        if len(self) * len(self.recordings) > KEPT_FIGURES:
            return self._figures(aim, recording)[self.behaviours[recording]]
        key = (aim.name, recording)
        if key not in self._dense:
            self._dense[key] = self._figures(aim, recording)[self.behaviours[recording]]
        return self._dense[key]

    def patch(self, aim: Aim) -> list[float]:
        """Return an aim's figure of the patch's point on every recording."""
        return self.at(aim, self.patch_number)

    def at(self, aim: Aim, number: int) -> list[float]:
        """Return an aim's figure of one point on every recording."""
        return [
            float(self._figures(aim, recording)[self.behaviours[recording][number]])
            for recording in range(len(self.recordings))
        ]

    def varies(self, aims: Sequence[Aim], recording: int) -> bool:
        """Whether any aim differs between any two points on a recording."""
        return any(float(np.ptp(self._figures(aim, recording))) > 0 for aim in aims)

    def least(self, column: str, recording: int) -> int:
        """Return the least that a counter comes to on a recording."""
        return int(self._boxes[recording].counters[:, COUNTER_COLUMNS.index(column)].min())

    def most(self, column: str, recording: int) -> int:
        """Return the most that a counter comes to on a recording."""
        return int(self._boxes[recording].counters[:, COUNTER_COLUMNS.index(column)].max())

    def point(self, number: int) -> Point:
        """Return a point by its number."""
        at_u, at_b, at_m = (int(index) for index in np.unravel_index(number, self.grid.shape))
        return self.grid.point_at((at_u, at_b, at_m))

    def number_of(self, point: Point) -> int | None:
        """Return a point's number; None where the grid leaves it out."""
        cell = self.grid.cell_of(point)
        return None if cell is None else int(np.ravel_multi_index(cell, self.grid.shape))

    @cached_property
    def thresholds(self) -> list[NDArray[np.int64]]:
        """The thresholds of every point, in the order of `THRESHOLD_NAMES`."""
        grids = np.meshgrid(*(np.array(values) for values in self.grid.values), indexing="ij")
        return [np.asarray(grids[AXES.index(name)].reshape(-1), np.int64) for name in THRESHOLD_NAMES]

    def _figures(self, aim: Aim, recording: int) -> Floats:
        """Return an aim's figure of each behaviour on one recording."""
        key = (aim.name, recording)
        if key not in self._of_behaviour:
            kept = kept_of(self._cases[recording], self._boxes[recording])
            try:
                found = np.asarray(aim.of(kept), np.float64)
            except (TypeError, ValueError):  # a user's own function that takes one replay at a time
                found = np.empty(0)
            if found.shape != (len(self._boxes[recording].cache_hash),):
                rows = (
                    {name: column[at] for name, column in kept.items()}
                    for at in range(len(kept["nr_cached"]))
                )
                found = np.array([float(aim.of(row)) for row in rows])
            self._of_behaviour[key] = found
        return self._of_behaviour[key]


def kept_of(case: Case, boxes: Boxes) -> Mapping[str, Any]:
    """Return what `pba.study.objective.row_of` keeps of a replay, of each behaviour: arrays by name."""
    kept: dict[str, Any] = {
        name: boxes.counters[:, at]
        for at, name in enumerate(COUNTER_COLUMNS)
        if not name.startswith("cached_page_ns")
    }
    machine = case.machine
    page = machine.page_size_kib * 1024
    kept["mean_cached_pages"] = np.asarray(mean_cached_pages(case, boxes), np.float64)
    kept["mean_cached_mib"] = kept["mean_cached_pages"] * page / MIB
    kept["peak_cached_mib"] = kept["peak_cached"] * page / MIB
    kept["block_mapped_share"] = 1 - kept["pmd_splits"] * machine.block_nr_pages / machine.memory_pages
    return kept
