"""Along one threshold with the two others held: what each aim does, exactly, and where it falls off a cliff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from pba.report.axes import pages_axis, plain, spread
from pba.report.data import KERNEL_NAMES, LETTERS, THRESHOLDS, decided, sweep_of, write_value
from pba.report.document import Column, Section, Table
from pba.report.figures import new_figure, settle
from pba.report.style import GRID, INK, PATCH, RECOMMENDED, SURFACE, Picture, style
from pba.report.words import relative
from pba.study.decision.decision import PATCH as PATCH_NAME
from pba.study.decision.decision import RECOMMENDED as RECOMMENDED_NAME
from pba.study.decision.outcomes import kept_of
from pba.study.sweep.grid import AXES
from pba.units import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pba.study.aims import Aim
    from pba.study.decision.compare import Compared
    from pba.study.result import Run

CLIFF: Final = 0.1
"""A cliff takes at least this share of the patch's figure,"""
STEEP: Final = 3.0
"""so many times as much as a stretch of that length does on average,"""
CLIFF_PAGES: Final = 32
"""within so many pages of M (a sixteenth of a block), or a factor of two of U or B."""
_LOOKS: Final[dict[str, dict[str, Any]]] = {
    PATCH_NAME: {"color": PATCH, "linewidth": 1.2},
    RECOMMENDED_NAME: {"color": RECOMMENDED, "linewidth": 1.6},
}
_MARKS: Final[dict[str, dict[str, Any]]] = {
    PATCH_NAME: {"marker": "D", "markersize": 6, "markerfacecolor": SURFACE, "markeredgecolor": PATCH,
                 "markeredgewidth": 1.6},
    RECOMMENDED_NAME: {"marker": "o", "markersize": 6, "markerfacecolor": RECOMMENDED, "markeredgecolor": SURFACE},
}  # fmt: skip


class Cliff(NamedTuple):
    """The steepest stretch of an aim along a threshold."""

    through: str  # "patch" or "recommended"
    threshold: str
    aim: Aim
    low: int
    high: int
    before: float  # at `low`
    after: float  # at `high`


def slices_table(run: Run) -> pd.DataFrame:
    """Return every aim along each threshold, through the patch's point and through the recommended one.

    Returns
    -------
    DataFrame
        A row per line and value of the grid: `through` ("patch", "recommended"), `threshold`, `value` (pages, as for
        4 KiB pages; the two other thresholds are that point's), and each aim over the recordings by its name. Empty
        where no sweep is kept, or an aim is a function that is not at hand.
    """
    sweep = sweep_of(run)
    if run.decision is None or sweep is None or any(aim.code and aim.figure is None for aim in run.aims):
        return pd.DataFrame()
    by_name = {case.trace: (case, boxes) for case, boxes in zip(sweep.cases, sweep.boxes, strict=True)}
    chosen = [by_name[str(name)] for name in run.traces["trace"]]
    figures = {
        aim.name: [
            np.broadcast_to(np.asarray(aim.of(kept_of(*one)), float), len(one[1].cache_hash))
            for one in chosen
        ]
        for aim in run.aims
    }
    tables = []
    for one in _lines(run):
        cell = sweep.grid.cell_of(one.point)
        if cell is None:
            continue
        for axis, name in enumerate(AXES):
            values = sweep.grid.values[axis]
            behaviours = [boxes.along(cell, axis, len(values)) for _, boxes in chosen]
            table: dict[str, Any] = {"through": one.name, "threshold": name, "value": np.array(values)}
            before = decided(run).named(PATCH_NAME).figures
            for at, aim in enumerate(run.aims):
                columns = [own[rows] for own, rows in zip(figures[aim.name], behaviours, strict=True)]
                table[aim.name] = aim.over_recordings(columns, before[at])
            tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _lines(run: Run) -> list[Compared]:
    """Return the points that lines go through: one where the patch itself is recommended."""
    decision = decided(run)
    patch, best = decision.named(PATCH_NAME), decision.named(RECOMMENDED_NAME)
    return [best] if best.point == patch.point else [patch, best]


def cliffs(run: Run, table: pd.DataFrame) -> list[Cliff]:
    """Return the steepest stretch of each aim along each line, where it is a cliff."""
    if table.empty:
        return []
    decision = decided(run)
    patch = decision.named(PATCH_NAME)
    own = dict(zip(run.aims, patch.over(run.aims, patch), strict=True))
    found = []
    for (through, threshold), line in table.groupby(["through", "threshold"], sort=False):
        values = line["value"].to_numpy()
        for aim in run.aims:
            figures = line[aim.name].to_numpy(float)
            first, last = steepest(_places(str(threshold), values), figures)
            fall = abs(figures[last] - figures[first])
            length = np.ptp(_places(str(threshold), values))
            usual = np.abs(np.diff(figures)).sum() / max(length, 1.0)
            if first < last and fall >= CLIFF * abs(own[aim]) and fall >= STEEP * usual:
                ends = int(values[first]), int(values[last])
                found.append(Cliff(str(through), str(threshold), aim, *ends, figures[first], figures[last]))
    return found


def _places(threshold: str, values: np.ndarray) -> np.ndarray:
    """Return where values lie on their axis, in lengths of which a cliff has at most one."""
    if threshold == "shrink_block_min_pages":
        return np.asarray(values / CLIFF_PAGES)
    return np.asarray(np.log2(np.maximum(values, 1)))


def steepest(places: np.ndarray, figures: np.ndarray) -> tuple[int, int]:
    """Return the ends of the stretch of at most a length (or of one step) over which a figure changes most.

    Where it does not change at either end of the stretch, that is left out.
    """
    best, ends = -1.0, (0, 0)
    for first in range(len(places) - 1):
        last = max(first + 1, int(np.searchsorted(places, places[first] + 1 + 1e-9, side="right")) - 1)
        if abs(figures[last] - figures[first]) > best:
            best, ends = abs(figures[last] - figures[first]), (first, last)
    first, last = ends
    while first < last and figures[first + 1] == figures[first]:
        first += 1
    while last > first and figures[last - 1] == figures[last]:
        last -= 1
    return first, last


def slices_picture(run: Run, table: pd.DataFrame) -> Picture:
    """Draw `slices_table`: a column for each threshold, a row for each of the first two aims; M on a linear axis."""
    aims, found = run.aims[:2], cliffs(run, table)
    title = "Along one threshold, the two others held"
    with style():
        figure = new_figure(9.2, 1.4 + 2.1 * len(aims), title)
        grid = figure.subplots(
            len(aims), 3, sharex="col", sharey="row", squeeze=False, width_ratios=[1, 1.5, 1]
        )
        for row, aim in zip(grid, aims, strict=True):
            for axes, name in zip(row, THRESHOLDS, strict=True):
                _draw_lines(run, axes, table[table["threshold"] == name], name, aim)
                for one in found:
                    if one.threshold == name and one.aim == aim:
                        axes.axvspan(
                            one.low, one.high, color=_LOOKS[one.through]["color"], alpha=0.25, linewidth=0.8
                        )
            scale = spread(row[0], "y", table[aim.name], from_zero=True, whole=aim.unit != "share")
            row[0].set_ylabel(aim.title + {"log": ", log", "symlog": ", log above 1"}.get(scale, ""))
        for axes, name in zip(grid[-1], THRESHOLDS, strict=True):
            values = table["value"][table["threshold"] == name]
            if name == "shrink_block_min_pages":
                axes.xaxis.set_major_formatter(plain)
                axes.set_xlim(0, max(values) * 1.02)
            else:
                pages_axis(axes, values)
            axes.set_xlabel(f"{LETTERS[name]} ({KERNEL_NAMES[name]}), pages")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2)
        settle(figure)
    caption = (
        "Exact, from the sweep: each value of the grid, through the patch's point and through the recommended one, "
        "which are marked. A band is a cliff: the steepest stretch of 32 pages of M, or of a factor of two of U or B."
    )
    return Picture("slices", title, caption, _said(found), table, figure)


def _draw_lines(run: Run, axes: Axes, part: pd.DataFrame, name: str, aim: Aim) -> None:
    for one in _lines(run):
        line = part[part["through"] == one.name]
        axes.plot(
            line["value"], line[aim.name], **_LOOKS[one.name], label=f"through {_called(one.name)}", zorder=3
        )
        at = line[line["value"] == getattr(one.point, name)]
        axes.plot(at["value"], at[aim.name], linestyle="none", zorder=5, **_MARKS[one.name])
    axes.grid(color=GRID)
    axes.tick_params(colors=INK)


def _called(name: str) -> str:
    return "the patch's point" if name == PATCH_NAME else "the recommended point"


def _said(found: list[Cliff]) -> str:
    if not found:
        return "No threshold has a cliff."
    return "Cliffs: " + "; ".join(
        f"{one.aim.title} {write_value(one.aim, one.before)} to {write_value(one.aim, one.after)} between "
        f"{LETTERS[one.threshold]}={number(one.low)} and {number(one.high)}, through {_called(one.through)}"
        for one in found
    ) + "."  # fmt: skip


def slices_section(run: Run, table: pd.DataFrame) -> tuple[Section, ...]:
    """Name the cliffs along each threshold."""
    if table.empty:
        return ()
    found = cliffs(run, table)
    columns = (
        Column("through", left=True, key=True), Column("threshold", left=True, key=True), Column("aim", left=True),
        Column("from", group="pages"), Column("to", group="pages"), Column("before", group="figure"),
        Column("after", group="figure"), Column("change", group="figure"),
    )  # fmt: skip
    rows = tuple(
        (
            one.through, LETTERS[one.threshold], one.aim.title, number(one.low), number(one.high),
            write_value(one.aim, one.before), write_value(one.aim, one.after), relative(one.before, one.after),
        )
        for one in found
    )  # fmt: skip
    text: tuple[str, ...] = (
        "How each aim goes along one threshold while the two others stay: where the lines are flat the value does not "
        "matter, and on a cliff it should not be chosen. A cliff is the steepest stretch of at most 32 pages of M (a "
        "sixteenth of a block), or of a factor of two of U or B, if it takes a tenth of the patch's figure and three "
        "times as much as such a stretch does on average.",
    )
    tables = (Table("Cliffs", columns, rows),) if rows else ()
    if not rows:
        text = (*text, "There is none.")
    return (Section("slices", "Along each threshold, and its cliffs", text, figure="slices", tables=tables),)
