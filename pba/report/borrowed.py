"""Figures drawn on axes of the caller's: `ax=` of every `plot_*`.

A figure here is laid out by functions that ask `new_figure` for one. While `onto` runs, they get a `Borrowed` in its
place, which hands out the caller's axes and leaves the caller's figure, style and layout alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pba.errors import PbaError
from pba.printable import printable
from pba.units import plural

if TYPE_CHECKING:
    from pba.report.style import Picture

Ax: TypeAlias = Any
"""Matplotlib's Axes, or a sequence of them; None for a figure of our own."""
Drawn: TypeAlias = Any
"""A `Picture`; or the axes that were drawn on, where the caller gave some."""
_borrowed: ContextVar[Borrowed | None] = ContextVar("borrowed", default=None)


def onto(ax: Ax, draw: Callable[[], Picture]) -> Drawn:
    """Draw on the caller's axes, if there are any.

    Parameters
    ----------
    ax : Axes, sequence of Axes, or None
        Where to: as many axes as there are panels, or one, which is divided among them.
    draw : callable
        Draws a picture.

    Returns
    -------
    Picture, Axes or ndarray of Axes
        The picture where `ax` is None; else the axes that were drawn on, an array where they are several.

    Raises
    ------
    PbaError
        If there are neither one nor as many axes as panels.
    """
    if ax is None:
        return draw()
    borrowed = Borrowed(ax)
    token = _borrowed.set(borrowed)
    try:
        draw()
    finally:
        _borrowed.reset(token)
    return borrowed.panels[0] if len(borrowed.panels) == 1 else np.array(borrowed.panels, dtype=object)


def borrowed() -> Borrowed | None:
    """Return what is drawn on in place of a figure of our own."""
    return _borrowed.get()


class Borrowed:
    """The caller's axes in place of a figure: as much of `matplotlib.figure.Figure` as our figures use."""

    def __init__(self, ax: Ax) -> None:
        self._given: list[Any] = list(np.atleast_1d(np.asarray(ax, dtype=object)).ravel())
        self._title = ""
        self.panels: list[Any] = []
        """The axes that were drawn on."""

    @property
    def figure(self) -> Any:
        """The caller's figure."""
        return self._given[0].figure

    @property
    def axes(self) -> list[Any]:
        """The axes that were drawn on."""
        return self.panels

    def suptitle(self, title: str, **_look: Any) -> None:
        """Note the title; it stands above the first panel in the end."""
        self._title = title

    def get_suptitle(self) -> str:
        """Return the title."""
        return self._title

    def add_subplot(self) -> Any:
        """Return the only panel."""
        return self.subplots()

    def subplots(self, rows: int = 1, columns: int = 1, *, squeeze: bool = True, **how: Any) -> Any:
        """Return panels, as `Figure.subplots` does: those given, or the one given divided."""
        count = rows * columns
        if len(self._given) == count:
            found = np.array(self._given, dtype=object).reshape(rows, columns)
        elif len(self._given) == 1:
            found = self._divided(rows, columns, how)
        else:
            raise PbaError(
                f"{plural(count, 'panel')} cannot be drawn on {plural(len(self._given), 'axes', 'axes')}",
                f"give one, or {count}",
            )
        self.panels = list(found.ravel())
        if not squeeze:
            return found
        return found.item() if count == 1 else found.squeeze()

    def _divided(self, rows: int, columns: int, how: dict[str, Any]) -> Any:
        """Return panels in the place of the one that was given, which becomes invisible."""
        (given,) = self._given
        ratios = {name: how[name] for name in ("width_ratios", "height_ratios") if name in how}
        shared = {name: how[name] for name in ("sharex", "sharey") if name in how}
        spec = given.get_subplotspec()
        if spec is None:
            box = given.get_position()
            ends = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
            grid = given.figure.add_gridspec(rows, columns, **ends, **ratios)
        else:
            grid = spec.subgridspec(rows, columns, **ratios)
        given.set_axis_off()
        return grid.subplots(squeeze=False, **shared)

    def legend(
        self, handles: Iterable[Any] | None = None, labels: Iterable[str] | None = None, **_look: Any
    ) -> None:
        """Explain what is drawn inside of the first panel."""
        if handles is None:
            pairs = [
                pair for one in self.panels for pair in zip(*one.get_legend_handles_labels(), strict=True)
            ]
            handles, labels = [handle for handle, _ in pairs], [label for _, label in pairs]
        handles = list(handles)
        self.panels[0].legend(
            handles,
            [handle.get_label() for handle in handles] if labels is None else list(labels),
            fontsize="small",
        )

    def colorbar(self, drawn: Any, **look: Any) -> Any:
        """Draw a colour bar beside panels."""
        return self.figure.colorbar(drawn, **look)

    def draw_without_rendering(self) -> None:
        """Lay out the caller's figure, for what asks where things are."""
        self.figure.draw_without_rendering()

    def set_layout_engine(self, *_engine: Any, **_how: Any) -> None:
        """Leave the caller's layout as it is, and write the title: all is drawn."""
        first = self.panels[0]
        own = first.get_title() or first.get_title(loc="left")
        first.set_title("", loc="left")
        first.set_title("\n".join(filter(None, (printable(self._title), own))))
        first.title.set_wrap(True)
        first.title.set_parse_math(False)  # a dollar sign in a name is one
