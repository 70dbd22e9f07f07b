"""Names beside their marks in a scatter: each where it covers least."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.report.style import INK, SURFACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Place = tuple[float, float]

_SIDES: Final[dict[Place, tuple[str, str]]] = {
    (8, 0): ("left", "center"), (6, 6): ("left", "bottom"), (6, -6): ("left", "top"),
    (-8, 0): ("right", "center"), (-6, 6): ("right", "bottom"), (-6, -6): ("right", "top"),
    (0, 9): ("center", "bottom"), (0, -9): ("center", "top"),
}  # fmt: skip
"""Where a name may stand beside its mark: the distance in points, and how the text is aligned to it."""
_FAR: Final[dict[Place, tuple[str, str]]] = {
    (across, up): (("left", "right", "center")[at], "bottom" if up > 0 else "top")
    for up in (20, -20, 34, -34, 48, -48)
    for at, across in enumerate((12, -12, 0))
}
"""Where it may stand if there is no room beside the mark: a line then leads to it."""
_NAME_SIZE: Final = 8.5
"""Size of the names in points."""
_HALO: Final[dict[str, Any]] = {
    "boxstyle": "square,pad=0.1", "facecolor": SURFACE, "edgecolor": "none", "alpha": 0.75,
}  # fmt: skip
"""Behind a name, so that it stands out from points."""


class _Box(NamedTuple):
    """A rectangle on the paper, in pixels."""

    left: float
    low: float
    right: float
    high: float

    def holds(self, points: Floats) -> int:
        """How many points lie in it."""
        inside = (points >= (self.left, self.low)) & (points <= (self.right, self.high))
        return int(inside.all(axis=1).sum())

    def meets(self, other: _Box) -> bool:
        """Whether they share a spot."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.low < other.high
            and other.low < self.high
        )

    def inside(self, other: _Box) -> bool:
        """Whether all of it lies in another."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.low >= other.low
            and self.high <= other.high
        )

    def away(self, spot: Floats) -> float:
        """How far a spot is from it."""
        x, y = spot
        return float(np.hypot(max(self.left - x, 0, x - self.right), max(self.low - y, 0, y - self.high)))


def _box_beside(anchor: Floats, size: Floats, across: str, up: str) -> _Box:
    """Return the box of a text of that size that is aligned to an anchor."""
    left = anchor[0] - {"left": 0.0, "center": 0.5, "right": 1.0}[across] * size[0]
    low = anchor[1] - {"bottom": 0.0, "center": 0.5, "top": 1.0}[up] * size[1]
    return _Box(float(left), float(low), float(left + size[0]), float(low + size[1]))


def on_paper(axes: Axes, across: Iterable[float], up: Iterable[float]) -> Floats:
    """Return where values are drawn, in pixels."""
    values = np.column_stack([np.asarray(list(each), float) for each in (across, up)])
    return np.asarray(axes.transData.transform(values), float)


def along_steps(corners: Floats, post: bool) -> Floats:
    """Return points every few pixels along a stepped line."""
    found = [corners]
    for (x, y), (to_x, to_y) in pairwise(corners):
        turn = (to_x, y) if post else (x, to_y)
        for begin, end in (((x, y), turn), (turn, (to_x, to_y))):
            steps = int(max(abs(end[0] - begin[0]), abs(end[1] - begin[1])) / 4) + 1
            found.append(np.linspace(begin, end, steps + 1))
    return np.concatenate(found)


def write_names(axes: Axes, names: Mapping[Place, tuple[str, str]], drawn: Floats) -> None:
    """Write each name on the side of its mark where it covers least: points, lines, other names, the edge.

    Parameters
    ----------
    axes : Axes
        With its scales and limits, laid out.
    names : mapping of (float, float) to (str, str)
        By the place of a mark its name, and the mark's colour. Only the line to it has that: as text it would be
        too pale to read.
    drawn : ndarray of float, shape (n, 2)
        Where else something is drawn, in pixels.
    """
    figure = axes.get_figure()
    assert figure is not None
    point = figure.dpi / 72
    marks = on_paper(axes, *zip(*names, strict=True))
    taken = [_Box(x - 5 * point, y - 5 * point, x + 5 * point, y + 5 * point) for x, y in marks]
    for own, (place, (name, colour)) in enumerate(names.items()):
        size = np.array([0.62 * len(name), 1.25]) * _NAME_SIZE * point
        boxes = {
            side: _box_beside(marks[own] + np.array(side) * point, size, *how)
            for side, how in {**_SIDES, **_FAR}.items()
        }
        others = [box for at, box in enumerate(taken) if at != own]
        costs = {
            side: _cost(box, _Box(*axes.bbox.extents), others, drawn)
            + (50 if side in _FAR else 500 * _is_doubtful(box, marks, own, point))
            for side, box in boxes.items()
        }
        best = min(costs, key=costs.__getitem__)
        taken.append(boxes[best])
        across, up = {**_SIDES, **_FAR}[best]
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 5}
        axes.annotate(
            name, place, xytext=best, textcoords="offset points", ha=across, va=up, color=INK,
            fontsize=_NAME_SIZE, zorder=8, bbox=_HALO, arrowprops=line if best in _FAR else None,
        ).set_in_layout(False)  # fmt: skip


def _cost(box: _Box, edge: _Box, others: Iterable[_Box], drawn: Floats) -> int:
    """Say how bad it is to write there: a covered point costs 1, another name or mark 1,000, the edge more."""
    return box.holds(drawn) + 1000 * sum(box.meets(other) for other in others) + 9000 * (not box.inside(edge))


def _is_doubtful(box: _Box, marks: Floats, own: int, slack: float) -> bool:
    """Whether a name would stand as near to another mark as to its own."""
    limit = box.away(marks[own]) + slack
    return any(box.away(mark) <= limit for at, mark in enumerate(marks) if at != own)
