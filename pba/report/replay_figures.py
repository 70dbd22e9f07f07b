"""The figure of a replay over time, which can be drawn again and again: for sliders.

A figure is laid out once; to show another replay, curves get other data, and the rest stays. So a drawing takes
some 50 ms rather than 500.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.machine import Thresholds
from pba.printable import printable
from pba.probe.watch import BLOCKS, Watch
from pba.report.axes import plain, spread
from pba.report.borrowed import borrowed
from pba.report.figures import SPLITS, new_figure
from pba.report.style import FRONT, PATCH, PLAIN, RECOMMENDED, SURFACE, Picture, style
from pba.units import number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

BLOCK_COLOURS: Final = ("#d9f0e6", "#a6d5c8", "#6fb3ab", "#428d8f", "#256472", "#123a52")
"""From a block that could be released whole to one that is all in use: darker is fuller."""
KEPT_COLOURS: Final = (PLAIN, "#cc79a7", "#e69f00", "#56b4e9")
"""Of curves that are kept for comparison; a fifth begins anew."""
Place = tuple[float, float]
_SPLIT: Final[dict[str, Any]] = {"linestyle": "none", "marker": "v", "markersize": 5.5, "zorder": 6}


@dataclass(frozen=True)
class Front:
    """What the front's panel shows.

    Attributes
    ----------
    steps : sequence of (float, float)
        PMD splits and mean cached pages of the exact front, by rising splits.
    """

    steps: Sequence[Place]


def curve_of(watch: Watch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cached pages as a line that shows every peak and every trough: three points a window."""
    table = watch.over_time
    seconds = np.repeat(table["seconds"].to_numpy(), 3)
    pages = table[["least_cached", "most_cached", "cached"]].to_numpy(np.float64).reshape(-1)
    return seconds, pages


def _name(watch: Watch) -> str:
    """Return what a replay is called in a legend."""
    is_patch = watch.thresholds == Thresholds.patch(watch.result.machine) and watch.result.policy.is_v6
    return "patch" if is_patch else watch.called


def round_up(value: int) -> int:
    """Return the next value at which an axis may end: few of them, so that it seldom changes."""
    step = 10 ** max(len(str(value)) - 1, 0)
    return next(int(share * step) for share in (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8, 10, 12.5)
                if int(share * step) > value)  # fmt: skip


class WatchFigure:
    """Cached pages over time with the splits marked, the blocks under them, and the front beside them.

    Parameters
    ----------
    behind : Watch, optional
        The replay that stands behind all others, usually that of the patch's thresholds.
    width, height : float
        In inches, at 100 pixels each.
    with_front : bool
        Whether there is a panel for the front.
    called : str
        What the replay that is shown is called in the legend.
    """

    def __init__(
        self,
        behind: Watch | None,
        *,
        width: float = 10.0,
        height: float = 5.0,
        with_front: bool = True,
        called: str = "now",
    ) -> None:
        self._called = called
        self.behind, self._name = behind, "" if behind is None else _name(behind)
        self.front: Front | None = None
        with style():
            self.figure = new_figure(width, height, " ")
            self._lay_out(with_front)
            self._make_lines()
            if behind is not None:
                self._draw_behind(behind)
        self._kept: list[Line2D] = []
        self._kept_marks: list[Line2D] = []
        self._areas: list[Any] = []
        self._has_legends = False
        self._canvas: Any = None
        self._background: Any = None
        self._standing: tuple[Any, ...] = ()

    def _lay_out(self, with_front: bool) -> None:
        from matplotlib.ticker import MaxNLocator

        self.cached: Axes
        self.blocks: Axes
        self.against: Axes | None
        if (given := borrowed()) is not None:
            self.cached, self.blocks = given.subplots(2, 1, sharex=True, height_ratios=[2.1, 1])
            self.against = None
        else:
            self._make_panels(with_front)
        self.cached.set_ylabel("cached pages")
        self.blocks.set_ylabel("blocks")
        self.blocks.set_xlabel("time, s")
        self.cached.tick_params(labelbottom=False)
        for axes in (self.cached, self.blocks):
            axes.xaxis.set_major_formatter(plain)
            axes.yaxis.set_major_formatter(plain)
        self.blocks.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        if self.against is not None:
            self.against.set_xlabel(SPLITS)
            self.against.set_ylabel("mean cached pages")
            self.against.set_title("all points of a coarse grid")

    def _make_panels(self, with_front: bool) -> None:
        # No layout of its own: with each replay's numbers it would be another, and the panels would jump.
        self.figure.set_layout_engine("none")
        columns = [2.2, 1] if with_front else [1]
        grid = self.figure.add_gridspec(
            2, len(columns), width_ratios=columns, height_ratios=[2.1, 1],
            left=0.085, right=0.985, top=0.88, bottom=0.19, hspace=0.1, wspace=0.17,
        )  # fmt: skip
        self.cached = self.figure.add_subplot(grid[0, 0])
        self.blocks = self.figure.add_subplot(grid[1, 0], sharex=self.cached)
        self.against = self.figure.add_subplot(grid[:, 1]) if with_front else None

    def _make_lines(self) -> None:
        """Make the lines that replays are drawn with."""
        (self._now,) = self.cached.plot(
            [], [], color=RECOMMENDED, linewidth=1.2, zorder=5, label=self._called
        )
        (self._splits,) = self.cached.plot([], [], color=RECOMMENDED, markeredgecolor=SURFACE,
                                           markeredgewidth=0.5, label=SPLITS, **_SPLIT)  # fmt: skip
        if self.against is not None:
            (self._front_line,) = self.against.plot([], [], color=FRONT, linewidth=1.4, drawstyle="steps-post",
                                                    label="exact front")  # fmt: skip
            (self._point,) = self.against.plot([], [], marker="o", markersize=7, markerfacecolor=RECOMMENDED,
                                               markeredgecolor=SURFACE, linestyle="none", zorder=8,
                                               label=self._called)  # fmt: skip

    def _draw_behind(self, behind: Watch) -> None:
        """Draw the curve and the point that stay."""
        self.cached.plot(
            *curve_of(behind), color=PATCH, linewidth=1.0, alpha=0.55, label=self._name, zorder=2
        )
        splits = behind.splits
        self.cached.plot(splits["seconds"], splits["cached"], markerfacecolor=SURFACE, markeredgecolor=PATCH,
                         alpha=0.7, **{**_SPLIT, "zorder": 3})  # fmt: skip
        if self.against is not None:
            self.against.plot(*[[value] for value in behind.aims], marker="D", markersize=9,
                              markerfacecolor=SURFACE, markeredgecolor=PATCH, markeredgewidth=1.8,
                              linestyle="none", zorder=6, label=self._name)  # fmt: skip

    @property
    def behind_name(self) -> str:
        """What the replay that stands behind is called."""
        return self._name

    def show(self, watch: Watch, kept: Sequence[Watch] = ()) -> None:
        """Show a replay before the patch's, with the curves of those that were kept."""
        every = [one for one in (self.behind, watch, *kept) if one is not None]
        with style():
            self.cached.set_xlim(0, max(float(watch.over_time["seconds"].iloc[-1]), 1e-9))
            self._now.set_data(*curve_of(watch))
            splits = watch.splits
            self._splits.set_data(splits["seconds"], splits["cached"])
            self._draw_kept(kept)
            self._draw_blocks(watch)
            top = round_up(max(int(one.over_time["most_cached"].max()) for one in every))
            self.cached.set_ylim(-0.02 * top, top)
            if self.against is not None:
                self._point.set_data(*[[value] for value in watch.aims])
                self._scale_front([one.aims for one in every])
            self._write(watch)
            if not self._has_legends:
                self._write_legends()
                self._has_legends = True

    def show_front(self, front: Front) -> None:
        """Show the exact front, once it is known, from the next drawing on."""
        self.front = front
        if self.against is not None and front.steps:
            self._front_line.set_data(*zip(*front.steps, strict=True))

    def png(self) -> bytes:
        """Return the figure as it is, as PNG.

        What stays from one drawing to the next (axes, legends, the patch) is drawn once, and kept as pixels
        for as long as no axis changes.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        moving = self._moving()
        stream = io.BytesIO()
        with style():
            if self._canvas is None:
                self._canvas = FigureCanvasAgg(self.figure)
            for artist in moving:
                artist.set_animated(True)
            axes = [axes for axes in (self.cached, self.blocks, self.against) if axes is not None]
            standing = (self.front, *((one.get_xlim(), one.get_ylim()) for one in axes))
            if standing == self._standing:
                self._canvas.restore_region(self._background)
            else:
                self._canvas.draw()
                self._background, self._standing = self._canvas.copy_from_bbox(self.figure.bbox), standing
            for artist in moving:
                self.figure.draw_artist(artist)
                artist.set_animated(False)
            pixels = np.asarray(self._canvas.buffer_rgba())
            Image.fromarray(pixels).convert("RGB").save(stream, "png", compress_level=1)
        return stream.getvalue()

    def _moving(self) -> list[Any]:
        """Return what changes from one drawing to the next, the lowest first."""
        points = [] if self.against is None else [self._point]
        title = [self.figure.texts[0]]
        return [*self._areas, *self._kept, self._now, self._splits, *self._kept_marks, *points, *title]

    def _draw_kept(self, kept: Sequence[Watch]) -> None:
        for line in (*self._kept, *self._kept_marks):
            line.remove()
        self._kept, self._kept_marks = [], []
        for at, watch in enumerate(kept):
            colour = KEPT_COLOURS[at % len(KEPT_COLOURS)]
            self._kept += self.cached.plot(*curve_of(watch), color=colour, linewidth=1.0, zorder=4)
            if self.against is not None:
                self._kept_marks += self.against.plot(
                    *[[value] for value in watch.aims], "s", color=colour, markeredgecolor=SURFACE, zorder=7
                )

    def _draw_blocks(self, watch: Watch) -> None:
        """Draw how many blocks there are, stacked by how full they are."""
        for area in self._areas:
            area.remove()
        table = watch.blocks
        heights = np.cumsum([table[name].to_numpy() for name in BLOCKS], axis=0)
        self._areas, below = [], np.zeros(len(table))
        for colour, name, above in zip(BLOCK_COLOURS, BLOCKS, heights, strict=True):
            self._areas.append(
                self.blocks.fill_between(
                    table["seconds"], below, above, step="post", linewidth=0, color=colour, label=name
                )
            )
            below = above
        self.blocks.set_ylim(0, round_up(int(heights[-1].max())))

    def _scale_front(self, places: Sequence[Place]) -> None:
        from matplotlib.ticker import FixedLocator

        assert self.against is not None
        steps = self.front.steps if self.front else ()
        for which, values in zip("xy", zip(*steps, *places, strict=True), strict=True):
            scale = spread(self.against, which, values, from_zero=True, whole=which == "x")
            if scale != "linear":  # the panel has room for decades alone
                axis = self.against.xaxis if which == "x" else self.against.yaxis
                axis.set_major_locator(FixedLocator([0.0, *(10.0**power for power in range(10))]))

    def _write(self, watch: Watch) -> None:
        """Say what is shown, against what stands behind."""
        splits, mean = watch.aims
        before, cached = ("", "")
        if self.behind is not None:
            before, cached = (f" ({self._name}: {number(value)})" for value in self.behind.aims)
        name = printable(watch.result.trace_name, 40)
        told = f"{plural(splits, 'PMD split')}{before}, {number(mean)} pages cached on average{cached}"
        self.figure.suptitle(f"{name}, {watch.called}: {told}", x=0.01, ha="left")

    def _write_legends(self) -> None:
        if borrowed() is not None:
            self.cached.legend(fontsize="small")
            self.blocks.legend(
                fontsize="x-small", ncols=3, title="pages of a block in use", title_fontsize="x-small"
            )
            return
        self.cached.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.1)
        self.blocks.legend(
            loc="upper left", bbox_to_anchor=(0, -0.38), ncols=6, borderaxespad=0, title="pages of a block in use",
            handlelength=1, columnspacing=1, alignment="left",
        )  # fmt: skip
        if self.against is not None:
            self.against.legend(
                loc="upper left",
                bbox_to_anchor=(0, -0.12),
                ncols=3,
                borderaxespad=0,
                columnspacing=1,
                handlelength=1.4,
            )


def watch_picture(watch: Watch, against: Watch | None = None, called: str = "now") -> Picture:
    """Draw a replay over time, before another one's curve."""
    drawn = WatchFigure(against, with_front=False, width=8.6, height=4.8, called=called)
    drawn.show(watch)
    if called != "now" and against is not None:  # both have names: their figures stand beside the picture
        name = printable(watch.result.trace_name, 40)
        with style():
            drawn.figure.suptitle(f"{name} over time: {drawn.behind_name} and {called}", x=0.01, ha="left")
    if (given := borrowed()) is not None:
        given.set_layout_engine("none")
    splits, mean = watch.aims
    least, most = int(watch.over_time["least_cached"].min()), int(watch.over_time["most_cached"].max())
    title = drawn.figure.get_suptitle()
    caption = "Three points a window: the least, the most and the last number of pages in it."
    alt = (
        f"The cache holds {number(least)} to {number(most)} pages, {number(mean)} on average; "
        f"{plural(splits, 'PMD split')}."
    )
    return Picture("watch", title, caption, alt, watch.over_time, drawn.figure)
