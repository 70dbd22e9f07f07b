"""Points of the front figure that a page can ask about: where they lie, what they are, recording by recording."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pba.report.data import THRESHOLDS, point, sweep_of, thresholds, with_unit
from pba.study.decision.outcomes import kept_of
from pba.study.space import Point

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from pba.study.result import Run

POINTS_PER_INCH: Final = 72
RADIUS: Final = {"searched": 4.0, "front": 5.5, "named": 9.0}
"""How near a pointer must come, in points of the figure; what is drawn last is met first."""


@dataclass(frozen=True)
class Spot:
    """A place of a figure that has something to say.

    Attributes
    ----------
    x, y, radius : float
        Where it is met, in points from the figure's upper left corner.
    text : str
        What it says.
    key : str
        The point, by which `Details` knows it.
    """

    x: float
    y: float
    radius: float
    text: str
    key: str

    def svg(self) -> str:
        """Return it as a part of an SVG: unseen, with a title that browsers show by themselves."""
        return (
            f'<circle class="spot" cx="{self.x:.1f}" cy="{self.y:.1f}" r="{self.radius:g}" fill="transparent" '
            f'data-point="{html.escape(self.key)}"><title>{html.escape(self.text)}</title></circle>'
        )


Details = dict[str, Any]
"""What a page can show of each point: `aims`, `recordings`, `patch`, and `points` with a list for each aim."""


def spots_of(run: Run, axes: Axes, table: pd.DataFrame, front: pd.DataFrame, pair: Any) -> tuple[Spot, ...]:
    """Return the spots of the front figure: tried points, then the front, then the named points.

    Parameters
    ----------
    run : Run
        The run.
    axes : Axes
        Where they are drawn, laid out.
    table, front : DataFrame
        `points_table` and `front_table`.
    pair : callable
        Takes a run and a table and returns what lies across and up.
    """
    named = table[table["role"] != ""]
    found: list[Spot] = []
    for kind, rows in (("searched", table[table["searched"]]), ("front", front), ("named", named)):
        if kind == "front" and len(run.aims) != 2:
            continue
        across, up = pair(run, rows)
        places = axes.transData.transform(np.column_stack([across, up]).astype(float))
        box = axes.get_window_extent()
        scale = POINTS_PER_INCH / axes.figure.dpi
        height = axes.figure.bbox.height * scale
        for (x, y), row in zip(places, rows.to_dict("records"), strict=True):
            if not (box.x0 - 1 <= x <= box.x1 + 1 and box.y0 - 1 <= y <= box.y1 + 1):
                continue
            values = ", ".join(with_unit(aim, row[aim.name]) for aim in run.aims)
            role = f"{row['role']}: " if row.get("role") else ""
            text = f"{role}{thresholds(row)}: {values}"
            found.append(Spot(x * scale, height - y * scale, RADIUS[kind], text, _key(row)))
    return tuple(found)


def _key(row: Mapping[Any, Any]) -> str:
    return ",".join(str(int(row[name])) for name in THRESHOLDS)


def details_of(run: Run, front: pd.DataFrame) -> Details:
    """Return every aim of every spot, recording by recording; points of the grid come from the run's sweep."""
    names = [str(name) for name in run.traces["trace"]]
    points: dict[str, list[list[float]]] = {}
    for number, rows in run.per_trace.groupby(level="number", sort=True):
        wide = rows.droplevel("number").loc[names]
        points[_key(point(run, int(str(number))))] = [_short(wide[aim.name]) for aim in run.aims]
    on_grid = [Point(*(int(row[name]) for name in THRESHOLDS)) for row in front.to_dict("records")]
    points |= _swept(run, names, [one for one in on_grid if ",".join(map(str, one)) not in points])
    patch = points[_key(point(run, run.patch))]
    titles = [aim.title for aim in run.aims]
    return {"aims": titles, "recordings": names, "patch": patch, "points": points}


def _swept(run: Run, names: Sequence[str], wanted: Sequence[Point]) -> dict[str, list[list[float]]]:
    """Return the figures of points of the grid; nothing where no sweep is kept, or an aim's function is not here."""
    sweep = sweep_of(run) if wanted else None
    if sweep is None or any(aim.code and aim.figure is None for aim in run.aims):
        return {}
    cells = [sweep.grid.cell_of(one) for one in wanted]
    found: dict[str, list[list[float]]] = {",".join(map(str, one)): [] for one in wanted}
    by_name = {case.trace: (case, boxes) for case, boxes in zip(sweep.cases, sweep.boxes, strict=True)}
    for aim in run.aims:
        columns = []
        for name in names:
            case, boxes = by_name[name]
            figures = np.broadcast_to(np.asarray(aim.of(kept_of(case, boxes)), float), len(boxes.cache_hash))
            columns.append([float(figures[boxes.at(cell)]) for cell in cells if cell is not None])
        for one, own in zip(wanted, zip(*columns, strict=True), strict=True):
            found[",".join(map(str, one))].append(_short(own))
    return found


def _short(values: Any) -> list[float]:
    """Return figures as a page shows them: hundredths are enough."""
    rounded = [round(float(value), 2) for value in values]
    return [int(value) if value == int(value) else value for value in rounded]


def embedded(details: Details) -> str:
    """Return details as JSON that may stand inside a page's script element."""
    return json.dumps(details, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
