"""`pba.interact`: the three thresholds as sliders in Jupyter, and what they do to a recording.

Widgets are ipywidgets (`pip install 'pba[lab]'`), imported when `interact` is called. The figure is an image that
is drawn anew at each move; nothing of it runs in the browser.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba import shown
from pba.imports.read import as_trace
from pba.machine import Machine, Thresholds
from pba.model import machine_of
from pba.policies.policy import Policy
from pba.policies.registry import PLACES, definition
from pba.probe.watch import Watch, watch
from pba.progress import SILENT, in_notebook
from pba.report.replay_figures import KEPT_COLOURS, Front, WatchFigure, watch_picture
from pba.study.space import Point
from pba.study.sweep.grid import Grid
from pba.study.sweep.run import sweep
from pba.units import number, plural

if TYPE_CHECKING:
    from pba.report.style import Picture
    from pba.study.sweep.result import SweepResult
    from pba.trace.table import Trace

GRID: Final = Grid(
    "4,8,16,32,64,128,256,512,1024,2048,4096,8192", "1,16:512:16", "32,64,128,256,512,1024,2048,4096"
)
"""What the front is taken of: coarse, so that it is there in a second or two."""
STEPS_AN_OCTAVE: Final = 8
MOST_BLOCKS: Final = 16
"""Where the slider of B ends, in blocks."""
HINT: Final = "for sliders call pba.interact in Jupyter, with ipywidgets: pip install 'pba[lab]'"


def interact(
    trace: Trace | str | Path, machine: Machine | None = None, thresholds: Thresholds | None = None
) -> Sliders | Still:
    """Show what the three thresholds do to a recording, with a slider for each.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    machine : Machine, optional
        The machine; by default the one that the trace was recorded on.
    thresholds : Thresholds, optional
        Where the sliders stand at first; by default at the patch's values.

    Returns
    -------
    Sliders or Still
        Displays itself; `.thresholds` are those chosen. Outside of Jupyter, and without ipywidgets, it is a
        figure of those given.

    Raises
    ------
    TraceError, ThresholdError, PbaError
        As `pba.watch`.
    """
    if in_notebook() and find_spec("ipywidgets") is not None:
        return Sliders(trace, machine, thresholds)
    print(f"pba: {HINT}", file=sys.stderr)
    return _still(as_trace(trace), machine, thresholds)


@dataclass(frozen=True, eq=False, repr=False)
class Still:
    """What `interact` returns where there can be no sliders.

    Attributes
    ----------
    thresholds : Thresholds
        Those that are drawn.
    watch : Watch
        What is drawn.
    picture : Picture
        The drawing.
    """

    thresholds: Thresholds
    watch: Watch
    picture: Picture

    @shown.never_raises
    def __repr__(self) -> str:
        """Return the thresholds, the curve, and how to get sliders."""
        return f"{self.watch!r}\n  {HINT}"

    def _repr_html_(self) -> str:
        """Show the figure, and how to get sliders."""
        return f"{self.picture._repr_svg_()}<p>{escape(HINT)}</p>"


def _still(trace: Trace, machine: Machine | None, thresholds: Thresholds | None) -> Still:
    now, patch = watch(trace, thresholds, machine), watch(trace, None, machine)
    against = None if now.thresholds == patch.thresholds else patch
    return Still(now.thresholds, now, watch_picture(now, against))


class Sliders:
    """The thresholds as sliders, and what they do to a recording; see `interact`.

    Attributes
    ----------
    widget : ipywidgets.VBox
        All of it, to be put among other widgets.
    watch : Watch
        What is drawn now.
    policy : ipywidgets.Dropdown
        The policy that is replayed; sliders that it has no threshold for are out of use.
    kept : list of Watch
        What stays drawn for comparison: the button "keep" adds the present curve.
    sweep : SweepResult or None
        The exact front's grid, once it has been explored, in the background.
    """

    def __init__(
        self, trace: Trace | str | Path, machine: Machine | None = None, thresholds: Thresholds | None = None
    ) -> None:
        self._trace = as_trace(trace)
        self.machine = machine or machine_of(self._trace)
        self._patch = watch(self._trace, None, self.machine)
        self.watch = watch(self._trace, thresholds, self.machine) if thresholds else self._patch
        self.kept: list[Watch] = []
        self.sweep: SweepResult | None = None
        self._front: list[tuple[Thresholds, str]] = []
        self._figure = WatchFigure(self._patch)
        self._lock = threading.RLock()
        """Of the figure: the front arrives from another thread."""
        self._is_setting = False
        self._make_widgets()
        self._redraw()
        self._exploring = threading.Thread(target=self._explore, name="pba.interact", daemon=True)
        self._exploring.start()

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds that the sliders stand at."""
        return Thresholds(self.u.value, self.m.value, self.b.value)

    @thresholds.setter
    def thresholds(self, wanted: Thresholds) -> None:
        wanted.check(self.machine)
        self._is_setting = True
        try:
            for slider, value in zip((self.u, self.m, self.b), wanted.to_dict().values(), strict=True):
                if slider is not self.m and value not in slider.options:
                    slider.options = sorted({*slider.options, value})
                slider.value = value
        finally:
            self._is_setting = False
        self._moved()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the front is known; return whether it is."""
        self._exploring.join(seconds)
        return self.sweep is not None

    def __repr__(self) -> str:
        return f"Sliders on {shown.named(self._trace.name)!r} at {self.thresholds}"

    def _repr_mimebundle_(self, **wanted: Any) -> Any:
        """Show the widgets in Jupyter."""
        return self.widget._repr_mimebundle_(**wanted)

    # --- the widgets -----------------------------------------------------------------------------------

    def _make_widgets(self) -> None:
        import ipywidgets as widgets

        wide = {"layout": widgets.Layout(width="33%"), "style": {"description_width": "10.5em"}}
        block, now = self.machine.block_nr_pages, self.watch.thresholds
        most = watch(self._trace, Thresholds(self.machine.memory_pages, 1, block), self.machine)
        peak = int(most.result.counters["peak_cached"])
        options = [self._options(peak, "unshrinkable_pages"), self._options(MOST_BLOCKS * block, "batch")]
        self.policy = widgets.Dropdown(
            options=list(PLACES), value="v6", description="policy", layout=widgets.Layout(width="18em"),
            style={"description_width": "initial"},
        )  # fmt: skip
        self.u = widgets.SelectionSlider(
            options=options[0], value=now.unshrinkable_pages, description="U, never taken", **wide
        )
        self.m = widgets.IntSlider(
            now.shrink_block_min_pages, min=1, max=block, description="M, least of a block", **wide
        )
        self.b = widgets.SelectionSlider(
            options=options[1], value=now.batch, description="B, a batch", **wide
        )
        self._image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self._chosen = widgets.HTML()
        self._buttons = {
            "keep": (self.keep, "keep this curve for comparison"),
            "drop kept": (self.drop_kept, "show the present curve and the patch's alone"),
            "patch": (self.to_patch, "set the sliders to the patch's values"),
        }
        buttons = [self._button(name, *what) for name, what in self._buttons.items()]
        self.along = widgets.SelectionSlider(
            options=[("not known yet", "")], description="along the front", disabled=True,
            layout=widgets.Layout(width="60%", margin="2px 2px 2px 2em"), style={"description_width": "initial"},
            continuous_update=False,
        )  # fmt: skip
        self.bar = widgets.FloatProgress(
            description="front", min=0, max=1, layout=widgets.Layout(width="30%")
        )
        self.policy.observe(self._on_policy, "value")
        for slider in (self.u, self.m, self.b):
            slider.observe(self._on_move, "value")
        self.along.observe(self._on_front, "value")
        rows = (
            [self.u, self.m, self.b],
            [self.policy, *buttons, self.along, self.bar],
            [self._image],
            [self._chosen],
        )
        self.widget = widgets.VBox([widgets.HBox(row) for row in rows])

    def _button(self, name: str, does: Any, tooltip: str) -> Any:
        import ipywidgets as widgets

        button = widgets.Button(description=name, tooltip=tooltip, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: does())
        return button

    def _options(self, most: int, name: str) -> list[int]:
        """Return the values of a slider that is logarithmic: evenly spread, and those that must be among them."""
        values = {0} if name == "unshrinkable_pages" else set()
        limit = min(most, self.machine.memory_pages)
        at = 0
        while (value := round(2 ** (at / STEPS_AN_OCTAVE))) < limit:
            values.add(value)
            at += 1
        wanted = [self._patch.thresholds, self.watch.thresholds]
        return sorted({*values, limit, *(getattr(one, name) for one in wanted)})

    # --- what they do ----------------------------------------------------------------------------------

    def keep(self) -> None:
        """Keep the present curve for comparison."""
        if all(one.called != self.watch.called for one in self.kept):
            self.kept.append(self.watch)
        self._redraw()

    def drop_kept(self) -> None:
        """Keep no curve any more."""
        self.kept.clear()
        self._redraw()

    def to_patch(self) -> None:
        """Set the sliders to the patch's values."""
        self.thresholds = self._patch.thresholds

    def _on_move(self, _change: Any) -> None:
        if not self._is_setting:
            self._moved()

    def _on_policy(self, change: Any) -> None:
        """Replay under another policy: sliders that it has no threshold for are out of use, and so is v6's front."""
        takes = definition(change["new"]).thresholds
        for slider, name in (
            (self.u, "unshrinkable_pages"),
            (self.m, "shrink_block_min_pages"),
            (self.b, "batch"),
        ):
            slider.disabled = name not in takes
        self.along.disabled = change["new"] != "v6" or self.sweep is None
        self._moved()

    def _on_front(self, change: Any) -> None:
        if isinstance(change["new"], Thresholds):
            self.thresholds = change["new"]

    def _moved(self) -> None:
        """Replay with the thresholds that the sliders stand at, and draw."""
        if self.along.value != self.thresholds:
            self.along.index = 0  # the sliders have left the front
        policy = Policy(self.policy.value)
        takes = set(policy.definition.thresholds)
        patch = Thresholds.patch(self.machine).to_dict()
        values = {
            name: value if name in takes else patch[name] for name, value in self.thresholds.to_dict().items()
        }
        given = Thresholds(**values) if takes else None
        self.watch = watch(self._trace, given, self.machine, policy=policy)
        self._redraw()

    def _redraw(self) -> None:
        with self._lock:
            self._figure.show(self.watch, self.kept)
            self._image.value = self._figure.png()
            self._chosen.value = self._words()

    def _words(self) -> str:
        """Return what is chosen as Python and the command line take it, and what is kept."""
        chosen, policy = self.watch.result.thresholds, self.watch.result.policy
        if not policy.is_v6:
            option = f"pba replay --policy {policy.name}"
            told = [f"<code>{escape(self.watch.called)}</code> &ensp; <code>{escape(option)}</code>"]
            return "<br>".join([*told, *self._kept_words()])
        assert chosen is not None  # v6 has them
        option = f"-U {chosen.unshrinkable_pages} -M {chosen.shrink_block_min_pages} -B {chosen.batch}"
        told = [f"<code>pba.{escape(repr(chosen))}</code> &ensp; <code>{option}</code>"]
        return "<br>".join([*told, *self._kept_words()])

    def _kept_words(self) -> list[str]:
        """Return a line for each curve that is kept."""
        told = []
        for at, one in enumerate(self.kept):
            colour, (splits, mean) = KEPT_COLOURS[at % len(KEPT_COLOURS)], one.aims
            words = f"kept: {one.called}, {plural(splits, 'PMD split')}, {number(mean)} pages"
            told.append(f'<span style="color: {colour}">&#9632;</span> {escape(words)}')
        return told

    # --- the front -------------------------------------------------------------------------------------

    def _explore(self) -> None:
        """Explore the grid, in a thread of its own, and show the front."""
        try:
            found = sweep(self._trace, GRID, self.machine, workers=1, progress=_Bar(self.bar))
            front, steps = found.front(), found.front_steps()
        except Exception as error:  # said where the front would be: the thread has nobody to raise to
            self.bar.bar_style, self.bar.description = "danger", str(error)[:200]
            return
        names = ("unshrinkable_pages", "shrink_block_min_pages", "batch")
        self._front = [
            (Point(*(int(row[name]) for name in names)).on(self.machine), _step_words(row))
            for row in front.to_dict("records")
        ]
        with self._lock:
            self.sweep = found
            self._figure.show_front(Front([step.aims.floats for step in steps]))
            self.along.options = [("choose", ""), *((words, chosen) for chosen, words in self._front)]
            self.along.disabled = self.policy.value != "v6"
            self.bar.layout.display = "none"
            self._redraw()


def _step_words(row: dict[Any, Any]) -> str:
    """Say what a step of the front comes to."""
    return f"{plural(int(row['pmd_splits']), 'split')}, {number(float(row['mean_cached_pages']))} pages"


class _Bar:
    """Progress as a widget."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self.say = SILENT.say
        self.end = SILENT.end

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        """Show how much there is to do."""
        self._bar.max = total or 1
        self._bar.value = done
        self._bar.tooltip = name

    def advance(self, done: float, note: str = "") -> None:
        """Show how much is done."""
        self._bar.value = done


__all__ = ["Sliders", "Still", "interact"]
