"""What a sweep found: every point of the grid on every trace, kept as boxes and expanded where asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pba import shown
from pba.errors import PbaError
from pba.results import COUNTER_COLUMNS
from pba.study.definition import THRESHOLD_NAMES
from pba.study.factors import distance_to_patch
from pba.study.objective import AIMS
from pba.study.space import PATCH_POINT, Point
from pba.study.sweep.boxes import Boxes, page_ns_of
from pba.study.sweep.case import Case
from pba.study.sweep.folder import mean_cached_pages, starts_differ, table_columns
from pba.study.sweep.front import (
    Aims,
    FrontStep,
    Landscape,
    TraceAims,
    beats,
    count_dominating,
    front_of,
)
from pba.study.sweep.grid import AXES, Grid
from pba.study.sweep.plateau import Cell, Plateau, largest_box_around, largest_plateaus, plateau_around
from pba.units import number, plural

if TYPE_CHECKING:
    import pandas as pd


MOST_SHOWN: Final = 1 << 22
"""Figures (points times traces) up to which a result that shows itself takes the front: some 100 ms."""


class Place(NamedTuple):
    """Where the patch's own point lies beside the front.

    Attributes
    ----------
    aims : Aims
        Its aims.
    beaten_by : int
        Points of the grid that are as good in both aims and better in one.
    nearest : Point or None
        Of the front's points that beat it, the one whose thresholds are nearest to the patch's (in factors);
        None where it is on the front itself.
    nearest_aims : Aims
        Its aims; the patch's own where `nearest` is None.
    fewest_splits, least_cached : Aims
        Of the front: what is reached at no more cached pages, and at no more splits, than the patch's. The
        patch's own where the grid has nothing better.
    """

    aims: Aims
    beaten_by: int
    nearest: Point | None
    nearest_aims: Aims
    fewest_splits: Aims
    least_cached: Aims


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The outcome of a sweep. Thresholds are as for 4 KiB pages: on larger ones M and B grow with the block.

    Attributes
    ----------
    grid : Grid
        Which points.
    cases : tuple of Case
        The traces and the machines on which they were replayed.
    boxes : tuple of Boxes
        For each case, ranges of thresholds that behave alike.
    versions : dict of str to str
        Versions of what ran it.
    command : str
        The command that does the same.
    folder : Path or None
        Where it is kept.
    """

    grid: Grid
    cases: tuple[Case, ...]
    boxes: tuple[Boxes, ...] = field(repr=False)
    versions: dict[str, str] = field(repr=False)
    command: str = ""
    folder: Path | None = None

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: how much was swept, and the patch's place beside the front where that is quick."""
        told = [self._place_words(setting) for setting in self._quick_settings()]
        return shown.lines(f"SweepResult: {self._size()}", told[:3] or ["front() tells what is best"])

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the front with the patch's point and the nearest better one in Jupyter."""
        parts = [shown.pairs([("swept", self._size()), ("traces", self._names())])]
        for setting in self._quick_settings()[:3]:
            place, steps = self.patch_place(setting), self.front_steps(setting)
            marks = [("patch", place.aims.floats, "#0072b2")]
            if place.nearest is not None:
                marks.append((f"nearest better point, {place.nearest}", place.nearest_aims.floats, "#d55e00"))
            parts.append(shown.paragraph(self._place_words(setting)))
            parts.append(
                shown.front_svg([step.aims.floats for step in steps], marks, ("PMD splits", "cached pages"))
            )
        return shown.html("SweepResult", *parts)

    def _size(self) -> str:
        return f"{self.grid} on {plural(len(self.cases), 'trace and machine', 'traces and machines')}"

    def _names(self) -> str:
        names = list(dict.fromkeys(case.trace for case in self.cases))
        return ", ".join(map(shown.named, names[:6])) + (
            f" and {len(names) - 6} more" if len(names) > 6 else ""
        )

    def _quick_settings(self) -> list[str]:
        """Return the settings, if their fronts are found in a moment."""
        return self.settings if len(self.grid) * len(self.cases) <= MOST_SHOWN else []

    def _place_words(self, setting: str) -> str:
        """Say where the patch's point lies beside the front."""
        place = self.patch_place(setting)
        where = f" ({shown.named(setting)})" if len(self.settings) > 1 else ""
        told = f"the patch{where}: {_aims_words(place.aims)}, "
        if place.nearest is None:
            return f"{told}which no point of the grid beats"
        return (
            f"{told}beaten by {plural(place.beaten_by, 'point')}, the nearest {place.nearest}: "
            f"{_aims_words(place.nearest_aims)}"
        )

    @property
    def settings(self) -> list[str]:
        """The choices of a machine: the front is taken over the traces of each."""
        return list(dict.fromkeys(case.setting for case in self.cases))

    @property
    def traces(self) -> pd.DataFrame:
        """A row per trace and machine: name, setting, file, SHA-256, machine, events, passes, duration."""
        import pandas as pd

        rows = []
        for case, boxes in zip(self.cases, self.boxes, strict=True):
            plain = case.to_dict()
            del plain["patch"]
            plain["machine"] = str(case.machine)
            rows.append({**plain, "behaviours": len(boxes.cache_hash), "boxes": len(boxes.behaviour)})
        return pd.DataFrame(rows)

    @property
    def behaviours(self) -> pd.DataFrame:
        """The table that the folder keeps: a row per trace, machine and box. See `folder.table_columns`."""
        import pandas as pd

        frames = [
            pd.DataFrame(table_columns(self.grid, case, boxes, starts_differ(self.cases)))
            for case, boxes in zip(self.cases, self.boxes, strict=True)
        ]
        return pd.concat(frames, ignore_index=True)

    def points(self, trace: str, setting: str | None = None) -> pd.DataFrame:
        """Return a row per point of the grid for one trace: thresholds, counters, mean, hash.

        By U, then B, then M; `cached_page_ns` in whole numbers of Python where it outgrows 64 bits.
        """
        case, boxes = self._case(trace, setting)
        numbers = boxes.dense(0, self.grid.shape[0], self.grid.shape)
        values = [np.array(values) for values in self.grid.values]
        grids = dict(zip(AXES, np.meshgrid(*values, indexing="ij"), strict=True))
        frame = _counters_frame(case, boxes, numbers)
        for at, name in enumerate(THRESHOLD_NAMES):
            frame.insert(at, name, grids[name].reshape(-1))
        return frame

    def at(self, unshrinkable_pages: int, shrink_block_min_pages: int, batch: int) -> pd.DataFrame:
        """Return a row per trace and machine for one point of the grid: counters, mean, hash.

        Raises
        ------
        PbaError
            If the grid leaves the point out.
        """
        import pandas as pd

        point = Point(unshrinkable_pages, shrink_block_min_pages, batch)
        cell = self.grid.cell_of(point)
        if cell is None:
            raise PbaError(f"{point} is not on the grid", f"it has {self.grid.to_dict()}")
        frames = [
            _counters_frame(case, boxes, np.array([boxes.at(cell)])).assign(
                trace=case.trace, setting=case.setting
            )
            for case, boxes in zip(self.cases, self.boxes, strict=True)
        ]
        return pd.concat(frames, ignore_index=True).set_index(["trace", "setting"])

    def front(self, setting: str | None = None) -> pd.DataFrame:
        """Return the exact Pareto front over all traces, by rising splits.

        A row per pair of aims that no point of the grid beats: `pmd_splits` (sum), `mean_cached_pages` (mean
        over the traces), how many `points` reach it, the thresholds of the one that is nearest to the patch's
        (in factors), and ranges `_from`, `_to` around it in which all points reach it.
        """
        import pandas as pd

        rows = []
        for step in self.front_steps(setting):
            point = self._nearest(step)
            mask = np.zeros(len(self.grid), bool)
            mask[step.points] = True
            cell = self.grid.cell_of(point)
            assert cell is not None
            first, last = largest_box_around(mask.reshape(self.grid.shape), cell)
            splits, cached = step.aims.floats
            rows.append(
                {AIMS[0]: int(splits), AIMS[1]: cached, "points": len(step.points), **point._asdict()}
                | self.box_ranges(first, last)
            )
        return pd.DataFrame(rows)

    def box_ranges(self, first: Cell, last: Cell) -> dict[str, int]:
        """Return a box of the grid as the ranges `_from`, `_to` of each threshold."""
        low, high = self.grid.point_at(first)._asdict(), self.grid.point_at(last)._asdict()
        return {
            f"{name}_{end}": at[name] for name in THRESHOLD_NAMES for end, at in (("from", low), ("to", high))
        }

    @lru_cache(maxsize=4)  # noqa: B019, a result is held by few and not for long
    def front_steps(self, setting: str | None = None) -> list[FrontStep]:
        """Return the front with every point that reaches it."""
        return front_of(self.landscape(setting))

    @lru_cache(maxsize=4)  # noqa: B019
    def landscape(self, setting: str | None = None) -> Landscape:
        """Return the aims of every point over the traces of a setting."""
        chosen = self._chosen(setting)
        traces = []
        for case, boxes in chosen:
            splits = boxes.counters[:, COUNTER_COLUMNS.index("pmd_splits")]
            held = boxes.counters[:, COUNTER_COLUMNS.index("nr_cached")].tolist()
            cached = page_ns_of(boxes) if case.duration_ns else held
            traces.append(TraceAims(boxes, splits, cached, case.duration_ns or 1))
        return Landscape(traces, self.grid.shape)

    def patch_aims(self, setting: str | None = None) -> Aims:
        """Return the aims of the patch's own thresholds, from replays event by event."""
        chosen = [case for case, _ in self._chosen(setting)]
        cached = [case.patch[1] if case.duration_ns else case.patch[2] for case in chosen]
        return self.landscape(setting).exact(sum(case.patch[0] for case in chosen), cached)

    @property
    def patch_number(self) -> int:
        """The number of the patch's point, in the axes' order: every sweep's grid holds it."""
        cell = self.grid.cell_of(PATCH_POINT)
        assert cell is not None
        return int(np.ravel_multi_index(cell, self.grid.shape))

    def patch_place(self, setting: str | None = None) -> Place:
        """Return where the patch's point lies beside the front."""
        landscape, aims = self.landscape(setting), self.patch_aims(setting)
        steps = self.front_steps(setting)
        no_more_splits = [step for step in steps if step.aims.pmd_splits <= aims.pmd_splits]
        no_more_cached = [step for step in steps if step.aims.mean_cached_pages <= aims.mean_cached_pages]
        beating = [step for step in steps if beats(step.aims, aims)]
        near = [(self._nearest(step), step.aims) for step in beating]
        nearest: tuple[Point | None, Aims] = (None, aims)
        if near:
            distances = distance_to_patch(list(zip(*(point for point, _ in near), strict=True)))
            nearest = near[int(distances.argmin())]
        fewest = no_more_cached[0].aims if no_more_cached else aims
        least = no_more_splits[-1].aims if no_more_splits else aims
        beaten_by = count_dominating(landscape, aims)
        return Place(aims, beaten_by, nearest[0], nearest[1], fewest, least)

    def plateau(self, point: Point, setting: str | None = None) -> Plateau | None:
        """Return how far the thresholds can move around a point before an aim changes; None off the grid."""
        cell = self.grid.cell_of(point)
        return None if cell is None else plateau_around(self.landscape(setting), cell)

    def plateaus(self, setting: str | None = None) -> list[Plateau]:
        """Return the largest sets of points that share their aims."""
        return largest_plateaus(self.landscape(setting))

    def _chosen(self, setting: str | None) -> list[tuple[Case, Boxes]]:
        """Return the cases of a setting; by default of the only one."""
        if setting is None and len(self.settings) > 1:
            raise PbaError(
                "there are several settings of the machine", "name one: " + ", ".join(self.settings)
            )
        wanted = self.settings[0] if setting is None else setting
        found = [pair for pair in zip(self.cases, self.boxes, strict=True) if pair[0].setting == wanted]
        if not found:
            raise PbaError(f"no setting is called {wanted!r}", "there are " + ", ".join(self.settings))
        return found

    def _case(self, trace: str, setting: str | None) -> tuple[Case, Boxes]:
        chosen = self._chosen(setting)
        for case, boxes in chosen:
            if case.trace == trace:
                return case, boxes
        raise PbaError(
            f"no trace is called {trace!r}", "there are " + ", ".join(case.trace for case, _ in chosen)
        )

    def _frame_of(self, numbers: Any) -> pd.DataFrame:
        """Return the thresholds of points by their numbers, indexed by these."""
        import pandas as pd

        indices = dict(zip(AXES, np.unravel_index(numbers, self.grid.shape), strict=True))
        columns = {
            name: np.array(self.grid.values[AXES.index(name)])[indices[name]] for name in THRESHOLD_NAMES
        }
        return pd.DataFrame(columns, index=pd.Index(numbers, name="number"))

    def _nearest(self, step: FrontStep) -> Point:
        """Return the point of a step whose thresholds are nearest to the patch's, in factors."""
        frame = self._frame_of(step.points)
        at = int(distance_to_patch([frame[name] for name in THRESHOLD_NAMES]).argmin())
        return Point(*(int(value) for value in frame.iloc[at]))


def _aims_words(aims: Aims) -> str:
    return f"{plural(aims.pmd_splits, 'PMD split')} and {number(float(aims.mean_cached_pages))} cached pages"


def _counters_frame(case: Case, boxes: Boxes, numbers: Any) -> pd.DataFrame:
    """Return the counters, the mean and the hash of some behaviours by their numbers."""
    import pandas as pd

    page_ns: Any = page_ns_of(boxes)
    fits = all(value < 1 << 63 for value in page_ns)
    columns: dict[str, Any] = {}
    for at, name in enumerate(COUNTER_COLUMNS):
        if name == "cached_page_ns_high":
            columns["cached_page_ns"] = np.array(page_ns, np.int64 if fits else object)[numbers]
        elif name != "cached_page_ns_low":
            columns[name] = boxes.counters[numbers, at]
    columns["mean_cached_pages"] = mean_cached_pages(case, boxes)[numbers]
    columns["cache_hash"] = np.array([f"{value:016x}" for value in boxes.cache_hash.tolist()])[numbers]
    return pd.DataFrame(columns)
