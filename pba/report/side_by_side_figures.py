"""The fronts of runs and sweeps in one figure, and the files that are written of a comparison of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from pba.errors import PbaError
from pba.printable import printable
from pba.report.axes import spread
from pba.report.data import THRESHOLDS, write_value
from pba.report.figures import new_figure, scale_note, settle
from pba.report.labels import Place, along_steps, on_paper, write_names
from pba.report.outputs import picture_contents, refuse_file
from pba.report.style import GRID, SURFACE, Picture, style
from pba.report.style import PATCH as PATCH_COLOUR
from pba.study.decision.decision import PATCH, RECOMMENDED
from pba.units import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pba.report.side_by_side import RunComparison

COLOURS: Final = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a4fa3", "#5f7f1f", "#8c8c8c")
"""One for each result: none of them is that of the patch or of the recommended point; an eighth begins anew."""


def fronts_table(found: RunComparison) -> pd.DataFrame:
    """Return what `fronts_picture` draws.

    Returns
    -------
    DataFrame
        A row per name and outcome of the exact front, and per named point: `of`, `choice` (empty for the
        front's), the thresholds, each aim by its name, and `relative_...`: in per cent of the patch's on the same
        traces (NaN where the patch has 0).
    """
    names = [aim.name for aim in found.aims]
    named = found.choices[["of", "choice", *THRESHOLDS, *names]]
    table = pd.concat([found.fronts.assign(choice=""), named], ignore_index=True)
    patch = named[named["choice"] == PATCH].set_index("of")
    for name in names:
        before = table["of"].map(patch[name]).astype(float)
        table[f"relative_{name}"] = 100 * table[name] / before.where(before != 0)
    relative = [f"relative_{name}" for name in names]
    return table[["of", "choice", *THRESHOLDS, *names, *relative]]


def fronts_picture(found: RunComparison) -> Picture:
    """Draw the fronts of all in one figure, each with its patch's point and its recommended one.

    Where they are of the same traces axes are figures; else per cent of each one's patch's.

    Raises
    ------
    PbaError
        If they have but one aim in common.
    """
    if len(found.aims) < 2:
        raise PbaError("a front has two aims, and these have one in common", "look at the tables")
    table = fronts_table(found)
    relative = "traces" not in found.same and not table[
        [f"relative_{aim.name}" for aim in found.aims[:2]]
    ].isna().any(axis=None)
    across, up = (f"relative_{aim.name}" if relative else aim.name for aim in found.aims[:2])
    title = "Fronts side by side" + (", relative to the patch on the traces of each" if relative else "")
    with style():
        figure = new_figure(7.2, 5.2, title)
        axes = figure.add_subplot()
        _limit(axes, table, across, up)
        at_patch = table[table["choice"] == PATCH].drop_duplicates([across, up])
        places: dict[Place, tuple[str, str]] = {}
        for at, name in enumerate(found.names):
            rows, colour = table[table["of"] == name], COLOURS[at % len(COLOURS)]
            places |= _draw_one(
                axes, rows, name, colour, colour if len(at_patch) > 1 else PATCH_COLOUR, across, up
            )
        if len(at_patch) == 1:
            places.setdefault(
                (float(at_patch[across].iloc[0]), float(at_patch[up].iloc[0])), (PATCH, PATCH_COLOUR)
            )
        for which, aim in zip("xy", found.aims, strict=False):
            note = axes.get_xlabel() if which == "x" else axes.get_ylabel()
            axes.set(**{f"{which}label": aim.title + (", % of the patch's" if relative else "") + note})
        figure.legend(loc="outside lower left", ncols=2, columnspacing=1.6)
        figure.draw_without_rendering()
        fronts = table[table["choice"] == ""]
        write_names(axes, places, along_steps(on_paper(axes, fronts[across], fronts[up]), True))
        settle(figure)
    caption = (
        "Each line is exact: of all points of its grid none lies on its better side. Diamond: the patch; dot: "
        "recommended."
    )
    return Picture("fronts", title, caption, _said(found), table, figure)


def _limit(axes: Axes, table: pd.DataFrame, across: str, up: str) -> None:
    """Set axes that show the named points and what lies near them: far ends of fronts would flatten the rest."""
    named = table[table["choice"].isin([PATCH, RECOMMENDED])]
    for which, column in (("x", across), ("y", up)):
        known = table[column].replace([np.inf, -np.inf], np.nan).dropna()
        near = known[known <= 2.0 * named[column].max()]
        note = scale_note(spread(axes, which, near if len(near) else known, whole=which == "x"))
        axes.set(**{f"{which}label": note})


def _draw_one(
    axes: Axes, rows: pd.DataFrame, name: str, colour: str, patch: str, across: str, up: str
) -> dict[Place, tuple[str, str]]:
    """Draw the front of one and its points; return where names belong."""
    front = rows[rows["choice"] == ""]
    axes.plot(front[across], front[up], color=colour, linewidth=1.6, drawstyle="steps-post", zorder=3,
              label=printable(name, 40))  # fmt: skip
    places = {}
    looks: dict[str, dict[str, Any]] = {
        PATCH: {"marker": "D", "markerfacecolor": SURFACE, "markeredgecolor": patch, "markeredgewidth": 1.8},
        RECOMMENDED: {"marker": "o", "markerfacecolor": colour, "markeredgecolor": SURFACE},
    }
    for choice, look in looks.items():
        row: Any = rows[rows["choice"] == choice].iloc[0]
        place = (float(row[across]), float(row[up]))
        axes.plot([place[0]], [place[1]], linestyle="none", markersize=8, zorder=6, **look)
        if choice == RECOMMENDED:
            places[place] = (printable(f"recommended by {name}", 44), colour)
    axes.grid(color=GRID)
    return places


def _said(found: RunComparison) -> str:
    """Return what the figure says, for those who cannot see it."""
    told = []
    for name in found.names:
        rows = found.choices[found.choices["of"] == name].set_index("choice")
        ends = [
            ", ".join(f"{write_value(aim, rows[aim.name][choice])} {aim.title}" for aim in found.aims)
            for choice in (PATCH, RECOMMENDED)
        ]
        size = number(int((found.fronts["of"] == name).sum()))
        told.append(f"{name}: a front of {size}; patch {ends[0]}; recommended {ends[1]}")
    return ". ".join(told) + "."


def run_comparison_files(found: RunComparison, folder: Path) -> dict[Path, bytes]:
    """Return what is written of a comparison, by its file: `comparison.json`, tables as CSV, the figure.

    Raises
    ------
    OutputError
        If `folder` is a file.
    """
    refuse_file(folder)
    tables = {
        "differences": found.differences.reset_index(), "choices": found.choices, "crossed": found.crossed,
        "per-trace": found.per_trace, "fronts": found.fronts,
    }  # fmt: skip
    contents = {folder / "comparison.json": found.to_json().encode() + b"\n"}
    contents |= {folder / f"{name}.csv": table.to_csv(index=False).encode() for name, table in tables.items()}
    if len(found.aims) > 1:
        contents |= picture_contents(fronts_picture(found), folder / "fronts", ("svg", "png"))
    return contents
