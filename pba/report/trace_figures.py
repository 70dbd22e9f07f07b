"""The figures of a trace: each takes the table that `pba.analysis` computed, and draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import pandas as pd

from pba.analysis.bursts import BURST_GAP_NS, bursts_table
from pba.analysis.drawdown import NATURAL_WINDOW_NS, drawdown_table, natural_cache_pages
from pba.analysis.lifetimes import lifetimes_table
from pba.analysis.live import live_table
from pba.analysis.pages import ALL, NS
from pba.analysis.passes import passes_table
from pba.analysis.phases import phases_table
from pba.analysis.rates import rates_table
from pba.errors import PbaError, option
from pba.printable import printable
from pba.report.axes import pages_axis, plain, spread
from pba.report.figures import new_figure, scale_note, settle
from pba.report.style import INK, LEVEL_COLOURS, MUTED, PATCH, RECOMMENDED, SURFACE, Picture, style
from pba.units import NS_PER, number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pba.trace.table import Trace

FEWEST_PAGES: Final = 30
"""Levels with fewer pages have no survival curve of their own in the picture; the table has them all."""
FEWEST_WINDOWS: Final = 10
"""Fewer windows than these have no quantiles worth a mark; the table has them all."""
UNITS: Final = tuple((unit, NS / NS_PER[unit]) for unit in ("s", "ms", "us", "ns"))
"""Units of time on an axis, and how many of each a second has."""
KINDS_OF_RUN: Final = {"free": (RECOMMENDED, "frees", (0, (4, 1.5))), "alloc": (PATCH, "allocations", "-")}
"""Colour, name and line of what `bursts_table` and `rates_table` tell apart."""


MOST_PHASES: Final = 1000
"""Phases that are drawn at most: more are narrower than a line, and each is a part of the SVG."""


def check_phases(phases: int | None) -> None:
    """Raise `PbaError` for fewer than one, or more than can be seen."""
    if phases is not None and not 1 <= phases <= MOST_PHASES:
        raise PbaError(f"{option('phases', phases)} is out of range", f"use 1 to {MOST_PHASES}")


def _title(trace: Trace, what: str) -> str:
    return f"{printable(trace.name, 60)}: {what}"


def _refuse_nothing(table: pd.DataFrame, trace: Trace, missing: str) -> None:
    """Raise `PbaError` where there is nothing to draw."""
    if table.empty:
        raise PbaError(f"{trace.name}: nothing to draw: {missing}", "pba info says what is in a trace")


def _legend(figure: Figure, axes: Axes | tuple[Axes, ...], columns: int) -> None:
    """Explain under the panels what is drawn in these."""
    panels = axes if isinstance(axes, tuple) else (axes,)
    known = [pair for panel in panels for pair in zip(*panel.get_legend_handles_labels(), strict=True)]
    handles, labels = zip(*known, strict=True)
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, columnspacing=1.4)


def _time_axis(axes: Axes) -> None:
    """Write the time below a figure in the unit that its span asks for: no offset, no powers of ten."""
    from matplotlib.ticker import FuncFormatter

    span = axes.get_xlim()[1]
    unit, factor = next((pair for pair in UNITS if span * pair[1] >= 1), UNITS[-1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _position: plain(seconds * factor)))
    axes.set_xlabel(f"time, {unit}")


# --- over time -----------------------------------------------------------------------------------------


def live_picture(trace: Trace) -> Picture:
    """Draw `live_table`: the live page-table pages over time, stacked by level."""
    table = live_table(trace)
    levels = [name for name in reversed(LEVEL_COLOURS) if name in table]
    if not levels:
        table = table.iloc[:0]
    _refuse_nothing(table, trace, "it has no page-table allocation")
    with style():
        figure = new_figure(7.6, 3.7, _title(trace, "live page-table pages"))
        axes = figure.add_subplot()
        axes.stackplot(
            table.seconds, *(table[name] for name in levels), linewidth=0,
            labels=["level unknown" if name == "unknown" else name for name in levels],
            colors=[LEVEL_COLOURS[name] for name in levels],
        )  # fmt: skip
        axes.plot(table.seconds, table.most, color=INK, linewidth=0.7, label="most in the window")
        _from_zero(axes, table.most)
        axes.set_ylabel("live pages")
        axes.set_xlim(0, max(float(table.seconds.iloc[-1]), 1e-9))
        _time_axis(axes)
        _legend(figure, axes, 8)
        settle(figure)
    last = table.iloc[-1]
    parts = ", ".join(f"{number(last[name])} {name}" for name in levels)
    alt = f"At most {plural(table.most.max(), 'page')} live; at the end {number(last.total)}: {parts}."
    caption = f"At the end of {plural(len(table), 'equal window')} of time; the line is the most in each."
    return Picture("live", figure.get_suptitle(), caption, alt, table, figure)


def _from_zero(axes: Axes, values: pd.Series) -> None:
    """Set a linear y axis from zero with our ticks, also where the values would ask for a logarithm."""
    top = float(values.max())
    spread(axes, "y", [top], from_zero=True, whole=top > 5)
    axes.set_ylim(0, 1.08 * top if top > 0 else 1)


def rates_picture(trace: Trace) -> Picture:
    """Draw `rates_table`: allocations per second upwards, frees per second downwards."""
    table = rates_table(trace)
    _refuse_nothing(table, trace, "all of its events stand at one time")
    with style():
        figure = new_figure(7.6, 3.7, _title(trace, "allocations and frees per second"))
        upper, lower = figure.subplots(2, 1, sharex=True)
        edges = [*table.from_seconds, table.to_seconds.iloc[-1]]
        for axes, kind, column in (
            (upper, "alloc", "allocs_per_second"),
            (lower, "free", "frees_per_second"),
        ):
            colour, name, _ = KINDS_OF_RUN[kind]
            axes.stairs(table[column], edges, color=colour, fill=True, linewidth=0)
            axes.set_ylabel(f"{name} / s")
            axes.margins(x=0)
        for axes in (upper, lower):
            _from_zero(axes, pd.concat([table.allocs_per_second, table.frees_per_second]))
        lower.invert_yaxis()
        _time_axis(lower)
        settle(figure)
    length = table.to_seconds.iloc[0]
    alt = (
        f"Up to {number(table.allocs_per_second.max())} allocations and "
        f"{number(table.frees_per_second.max())} frees a second; {number(table.allocs.sum())} and "
        f"{number(table.frees.sum())} in all."
    )
    caption = f"In windows of {length:.3g} s; both panels have one scale, frees go downwards."
    return Picture("rates", figure.get_suptitle(), caption, alt, table, figure)


def phases_picture(trace: Trace, phases: int | None = None) -> Picture:
    """Draw `phases_table`: by how much the live pages change per second, phase by phase."""
    check_phases(phases)
    table = phases_table(trace, phases)
    _refuse_nothing(table, trace, "all of its events stand at one time")
    with style():
        figure = new_figure(7.6, 4.4, _title(trace, "rate of change by phase"))
        upper, lower = figure.subplots(2, 1, sharex=True)
        edges = [*table.from_seconds, table.to_seconds.iloc[-1]]
        for kind, column in (("alloc", "allocs_per_second"), ("free", "frees_per_second")):
            colour, name, dashes = KINDS_OF_RUN[kind]
            upper.stairs(table[column], edges, color=colour, linestyle=dashes, linewidth=1.5, label=name)
        _from_zero(upper, pd.concat([table.allocs_per_second, table.frees_per_second]))
        upper.set_ylabel("pages / s")
        width = table.to_seconds - table.from_seconds
        for sign, colour, label in ((1, PATCH, "live pages grow"), (-1, RECOMMENDED, "live pages shrink")):
            shown = (sign * table.change_per_second).clip(lower=0) * sign
            lower.bar(table.from_seconds, shown, width, align="edge", color=colour, edgecolor=SURFACE,
                      linewidth=0.8, label=label)  # fmt: skip
        lower.axhline(0, color=MUTED, linewidth=0.8)
        lower.set_ylabel("change, pages / s")
        lower.margins(x=0)
        _plain_ticks(lower)
        _time_axis(lower)
        _legend(figure, (upper, lower), 4)
        settle(figure)
    fastest, slowest = table.change_per_second.max(), table.change_per_second.min()
    alt = f"Between {slowest:+,.1f} and {fastest:+,.1f} pages a second in {plural(len(table), 'phase')}."
    kind = (
        "lasts as long as allocations and frees keep their rates"
        if phases is None
        else f"is one of {len(table)} equal parts of the time"
    )
    caption = f"A phase {kind}; drawn are allocations less frees, per second."
    return Picture("phases", figure.get_suptitle(), caption, alt, table, figure)


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))


def passes_picture(trace: Trace) -> Picture:
    """Draw `passes_table`: the shrinker passes over time, a row per priority."""
    table = passes_table(trace)
    _refuse_nothing(table, trace, "it has no shrinker pass")
    with style():
        figure = new_figure(7.6, 3.7, _title(trace, "shrinker passes by priority"))
        axes = figure.add_subplot()
        middle = (table.from_seconds + table.to_seconds) / 2
        for kind, colour, mark in (("pass", PATCH, "o"), ("drop_slab", RECOMMENDED, "D")):
            mine = table.kind == kind
            axes.scatter(middle[mine], table.priority[mine], s=_areas(table.passes[mine]), c=colour,
                         marker=mark, alpha=0.65, linewidths=0.4, edgecolors=SURFACE)  # fmt: skip
            if mine.any():
                axes.scatter([], [], s=_areas(pd.Series([1])), c=colour, marker=mark, label=f"1 {kind}")
        for size in (10, 100, 1000):
            if size <= table.passes.max():
                axes.scatter([], [], s=_areas(pd.Series([size])), c=PATCH, alpha=0.65, label=f"{size} passes")
        axes.set_yticks(range(13))
        axes.set_ylim(12.8, -0.8)
        axes.set_xlim(0, trace.duration_ns / NS or 1)
        axes.set_ylabel("priority (0: hardest)")
        _time_axis(axes)
        _legend(figure, axes, 5)
        settle(figure)
    by_priority = table.groupby("priority").passes.sum()
    parts = ", ".join(f"{number(passes)} at {key}" for key, passes in by_priority.items())
    alt = f"{plural(table.passes.sum(), 'pass', 'passes')} by priority: {parts}."
    caption = f"A mark's area grows with the passes in {table.to_seconds[0] - table.from_seconds[0]:.3g} s."
    return Picture("passes", figure.get_suptitle(), caption, alt, table, figure)


def _areas(passes: pd.Series) -> pd.Series:
    return 14 * passes**0.6


def _time_tick(seconds: float, _position: object = None) -> str:
    """Write a tick of time as people read it: `10 us`, `200 ms`, `5 s`."""
    for unit, factor in UNITS[:-1]:
        if abs(seconds) * factor >= 0.9995:
            return f"{plain(seconds * factor)} {unit}"
    return f"{plain(seconds * 1e9)} ns" if seconds else "0"


# --- distributions -------------------------------------------------------------------------------------


def lifetimes_picture(trace: Trace) -> Picture:
    """Draw `lifetimes_table`: the share of pages that outlive an age."""
    table = lifetimes_table(trace)
    _refuse_nothing(table, trace, "no page-table page is freed in it")
    shown = table[(table.level == ALL) | (table.pages >= FEWEST_PAGES)]
    with style():
        figure = new_figure(7.6, 4.1, _title(trace, "how long page-table pages live"))
        axes = figure.add_subplot()
        least = max(float(table.age_seconds[table.age_seconds > 0].min()), 1e-9)
        most = max(trace.duration_ns / NS, float(table.age_seconds.max()), least)
        for name in [name for name in (*LEVEL_COLOURS, ALL) if (shown.level == name).any()]:
            line = shown[shown.level == name]
            colour, width = (INK, 1.8) if name == ALL else (LEVEL_COLOURS[name], 1.2)
            ages = [least / 2, *line.age_seconds.clip(lower=least / 2), most]
            axes.step(ages, [1.0, *line.survival, line.survival.iloc[-1]], where="post", color=colour,
                      linewidth=width, label=f"{name} ({number(line.pages.iloc[0])})")  # fmt: skip
        axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
        note = scale_note(spread(axes, "x", [least, most]))
        axes.xaxis.set_major_formatter(_time_tick)
        spread(axes, "y", [0.0, 1.0], from_zero=True)
        axes.set_ylim(0, 1.04)
        axes.set_ylabel("share still live")
        axes.set_xlabel(f"age{note}")
        _legend(figure, axes, 6)
        settle(figure)
    whole = table[table.level == ALL]
    half = whole.age_seconds[whole.survival <= 0.5 + 1e-12]
    middle = (
        f"Half are freed within {half.iloc[0]:.3g} s" if len(half) else "More than half outlive the trace"
    )
    censored = whole.censored.iloc[0]
    alt = f"{middle}; {number(censored)} of {plural(whole.pages.iloc[0], 'page')} are live at the end."
    caption = (
        "Kaplan-Meier: pages live at the end count as long as they were seen; those live at the start are "
        f"left out. Levels with fewer than {FEWEST_PAGES} pages are in the table only."
    )
    return Picture("lifetimes", figure.get_suptitle(), caption, alt, table, figure)


def bursts_picture(trace: Trace, gap_ns: int = BURST_GAP_NS) -> Picture:
    """Draw `bursts_table`: the share of pages that move in runs of at least a size."""
    table = bursts_table(trace, gap_ns)
    _refuse_nothing(table, trace, "no page-table page is allocated or freed in it")
    parts = []
    with style():
        figure = new_figure(7.6, 3.9, _title(trace, "bursts"))
        left, right = figure.subplots(1, 2, sharey=True)
        for kind, (colour, name, dashes) in KINDS_OF_RUN.items():
            line = table[table.kind == kind]
            if line.empty:
                continue
            for axes, column in ((left, "runs_share"), (right, "pages_share")):
                axes.plot(line.size_pages, line[column], color=colour, linestyle=dashes, marker="o",
                          markersize=2.6, linewidth=1.1, label=name)  # fmt: skip
            parts.append(f"{plural(line.runs.sum(), 'run')} of {name}, the largest of "
                         f"{plural(line.size_pages.max(), 'page')}")  # fmt: skip
        scale = spread(left, "y", table.runs_share, from_zero=True)
        note = scale_note(scale)
        for axes, what in ((left, "runs"), (right, "pages that move in them")):
            pages_axis(axes, table.size_pages)
            axes.set_title(f"share of {what}")
            axes.set_xlabel("run of at least so many pages")
        left.set_ylabel(f"share{note}")
        _legend(figure, left, 2)
        settle(figure)
    gap = _time_tick(gap_ns / NS)
    caption = f"A run ends with an event of the other kind, or after {gap} without one of its own."
    return Picture("bursts", figure.get_suptitle(), caption, "; ".join(parts) + ".", table, figure)


def drawdown_picture(trace: Trace, window_ns: int = NATURAL_WINDOW_NS) -> Picture:
    """Draw `drawdown_table`: by how much allocations exceed frees, by the length of the window.

    The window whose drawdown is marked is by default that of the natural cache size.
    """
    table = drawdown_table(trace)
    _refuse_nothing(table, trace, "no page-table page is allocated or freed in it")
    natural = natural_cache_pages(trace, window_ns)
    within = _time_tick(window_ns / NS)
    marked = "natural cache size" if window_ns == NATURAL_WINDOW_NS else f"largest in {within}"
    with style():
        figure = new_figure(7.6, 4.1, _title(trace, "how deep the demand draws down a cache"))
        axes = figure.add_subplot()
        lines = (("largest", INK, "-"), ("p99", PATCH, (0, (5, 1.5))), ("p90", LEVEL_COLOURS["PUD"], "-."),
                 ("median", LEVEL_COLOURS["PMD"], ":"))  # fmt: skip
        drawn: list[float] = []
        for name, colour, dashes in lines:
            shown = table if name == "largest" else table[table.windows >= FEWEST_WINDOWS]
            drawn += [float(value) for value in shown[f"{name}_pages"]]
            if not shown.empty:
                axes.plot(shown.window_seconds, shown[f"{name}_pages"], color=colour, linestyle=dashes,
                          marker="o", markersize=3, linewidth=1.4, label=name)  # fmt: skip
        axes.plot([window_ns / NS], [natural], "D", color=RECOMMENDED, markersize=7, zorder=6,
                  label=f"{marked}: {plural(natural, 'page')}")  # fmt: skip
        scales = [spread(axes, "x", [*table.window_seconds, window_ns / NS])]
        scales.append(spread(axes, "y", [*drawn, natural], from_zero=True, whole=True))
        axes.set_xlabel(f"window{scale_note(scales[0])}")
        axes.xaxis.set_major_formatter(_time_tick)
        axes.set_ylabel("drawdown, pages" + scale_note(scales[1]).replace(" (", "\n(", 1))
        _legend(figure, axes, 5)
        settle(figure)
    last = table.iloc[-1]
    alt = (
        f"The largest drawdown is {plural(table.largest_pages.iloc[0], 'page')} in "
        f"{_time_tick(table.window_seconds.iloc[0])}, {number(natural)} in {within} and "
        f"{number(last.largest_pages)} overall."
    )
    caption = (
        "The most by which allocations exceed frees from a window's start on: so many cached pages are "
        f"enough. Largest of all windows; the others of windows back to back, "
        f"where there are at least {FEWEST_WINDOWS}."
    )
    return Picture("drawdown", figure.get_suptitle(), caption, alt, table, figure)


TRACE_PICTURES: Final[dict[str, Callable[..., Picture]]] = {
    "live": live_picture,
    "rates": rates_picture,
    "phases": phases_picture,
    "lifetimes": lifetimes_picture,
    "bursts": bursts_picture,
    "drawdown": drawdown_picture,
    "passes": passes_picture,
}
"""The kinds of figure, as `pba plot --kind` names them."""


def trace_pictures(
    trace: Trace, kinds: tuple[str, ...] = (), settings: Mapping[str, Mapping[str, int]] | None = None
) -> tuple[list[Picture], list[str]]:
    """Draw figures of a trace.

    Parameters
    ----------
    trace : Trace
        The trace.
    kinds : tuple of str
        Which of `TRACE_PICTURES`, in any order; by default all for which the trace has data.
    settings : mapping, optional
        What to tell the functions of some kinds: `{"bursts": {"gap_ns": 2_000_000}}`.

    Returns
    -------
    pictures : list of Picture
        In the order of `TRACE_PICTURES`.
    left_out : list of str
        Why a figure that was not asked for by name is not among them.

    Raises
    ------
    PbaError
        If a kind is unknown, a kind asked for has no data, or none has.
    """
    unknown = [kind for kind in kinds if kind not in TRACE_PICTURES]
    if unknown:
        raise PbaError(f"figure {unknown[0]!r} is unknown", f"there are {', '.join(TRACE_PICTURES)}")
    pictures: list[Picture] = []
    left_out: list[str] = []
    for kind, draw in TRACE_PICTURES.items():
        if kinds and kind not in kinds:
            continue
        try:
            pictures.append(draw(trace, **(settings or {}).get(kind, {})))
        except PbaError as error:
            if kinds:
                raise
            left_out.append(f"no figure {kind}: {error.message}")
    if not pictures:
        raise PbaError(f"{trace.name}: has nothing to draw", "pba info says what is in a trace")
    return pictures, left_out
