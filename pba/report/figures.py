"""The figures: each takes the data that `pba.report.data` computed, and draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from pba.printable import printable
from pba.report.axes import spread
from pba.report.borrowed import borrowed
from pba.report.data import (
    KERNEL_NAMES,
    LETTERS,
    THRESHOLDS,
    decided,
    falls_and_rises,
    front_table,
    points_table,
    recordings_table,
    roles_of,
    thresholds,
    with_unit,
)
from pba.report.labels import Place, along_steps, on_paper, write_names
from pba.report.spots import details_of, spots_of
from pba.report.style import (
    FRONT,
    GRID,
    INK,
    MUTED,
    PATCH,
    PLAIN,
    POINT,
    RECOMMENDED,
    SURFACE,
    Picture,
    load_matplotlib,
    style,
)
from pba.report.words import mib
from pba.study.decision.decision import BEST_FOUND, Decision
from pba.study.decision.decision import PATCH as PATCH_NAME
from pba.study.decision.decision import RECOMMENDED as RECOMMENDED_NAME
from pba.study.exact import recommended_of
from pba.study.space import PATCH_POINT
from pba.units import number, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pba.study.aims import Aim
    from pba.study.result import Run
    from pba.study.sweep.result import SweepResult

SPLITS = "PMD splits"
Places = dict[Place, tuple[str, str]]
"""Names of points and their colours, by their place in the front figure."""
LAYOUT_DIGITS: Final = 10
"""Digits of where axes lie in a figure, as shares of its size."""
MOST_NAMES: Final = 3
"""So many names of points that fall on one place fit beside it."""
_PATCH_MARK: dict[str, Any] = {
    "marker": "D", "markersize": 7.5, "markerfacecolor": SURFACE, "markeredgecolor": PATCH,
    "markeredgewidth": 1.8, "linestyle": "none", "zorder": 6,
}  # fmt: skip
_RECOMMENDED_MARK: dict[str, Any] = {
    "marker": "o", "markersize": 7, "markerfacecolor": RECOMMENDED, "markeredgecolor": SURFACE,
    "markeredgewidth": 0.8, "linestyle": "none", "zorder": 7,
}  # fmt: skip
_BEST_FOUND_MARK = {**_RECOMMENDED_MARK, "markerfacecolor": SURFACE, "markeredgecolor": RECOMMENDED}
_PLAIN_MARK: dict[str, Any] = {
    "marker": "s", "markersize": 6.5, "markerfacecolor": PLAIN, "markeredgecolor": SURFACE,
    "markeredgewidth": 0.8, "linestyle": "none", "zorder": 5,
}  # fmt: skip
# Where both fall on one place the diamond must show around the dot.
_PATCH_UNDER = {**_PATCH_MARK, "markersize": 12}


def all_pictures(run: Run) -> list[Picture]:
    """Return the report's figures, in its order."""
    found = [front_picture(run), recordings_picture(run)]
    return found if run.maps.empty else [*found, region_picture(run)]


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of that size in inches, with its title; or what stands for the user's axes."""
    load_matplotlib()
    from matplotlib.figure import Figure

    figure: Any = borrowed() or Figure(figsize=(width, height))
    figure.suptitle(printable(title), x=0.01, ha="left")
    made: Figure = figure
    return made


def settle(figure: Figure) -> None:
    """Lay the figure out once and for all: each further layout would move things by a hair, and the bytes.

    What solves the layout leaves dust in the last digits, by where its objects lie in memory: SVG names its clips
    after them.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(end, LAYOUT_DIGITS) for end in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))


# --- the two aims against each other -------------------------------------------------------------------


def front_picture(run: Run) -> Picture:
    """Draw all tried points by the first two aims, with the exact front and the named points marked."""
    table, front = points_table(run), front_table(run)
    exact = run.decision is not None and bool(run.decision.front)
    title = "What the thresholds cost: " + " against ".join(aim.title for aim in run.aims[:2])
    with style():
        figure = new_figure(7.2, 4.9, title)
        axes = figure.add_subplot()
        places = _draw_front(run, axes, table, front, exact)
        figure.legend(loc="outside lower left", ncols=2, handletextpad=0.5, columnspacing=1.6)
        figure.draw_without_rendering()  # names are put where the layout has left room
        drawn = [on_paper(axes, *_pair(run, table))]
        if len(run.aims) == 2:
            drawn.append(along_steps(on_paper(axes, *_pair(run, front)), run.aims[0].sign > 0))
        write_names(axes, places, np.concatenate(drawn))
        settle(figure)
        spots = spots_of(run, axes, table, front, _pair)
    caption = "Each grey dot is a point that the search tried, darker where several come out alike."
    if exact:
        caption += (
            " The stepped line is exact: of all points of the grid none lies on its better side. The named points "
            "need no tuning."
        )
    alt = _front_alt(run, table, front)
    return Picture(
        "front", title, caption, alt, table, figure, spots, {} if borrowed() else details_of(run, front)
    )


def sweep_picture(result: SweepResult, setting: str | None = None) -> Picture:
    """Draw a sweep's exact front, with the patch's point and the one that the default rule recommends.

    Parameters
    ----------
    result : SweepResult
        What was swept.
    setting : str, optional
        Of which choice of machine; may be left out where there is only one.
    """
    table = result.front(setting)
    across, up = table["pmd_splits"], table["mean_cached_pages"]
    best = recommended_of(result, setting).recommended
    places = {result.patch_aims(setting).floats: (PATCH_NAME, PATCH)}
    found = result.at(*best).xs(setting or result.settings[0], level="setting")
    place = (float(found["pmd_splits"].sum()), float(found["mean_cached_pages"].mean()))
    if best == PATCH_POINT:
        place = next(iter(places))
    same = place in places
    places[place] = (f"{PATCH_NAME} = {RECOMMENDED_NAME}" if same else RECOMMENDED_NAME, RECOMMENDED)
    marks = (
        (PATCH_NAME, PATCH_POINT, _PATCH_UNDER if same else _PATCH_MARK),
        (RECOMMENDED_NAME, best, _RECOMMENDED_MARK),
    )
    title = "The exact front: PMD splits against mean cached pages"
    with style():
        figure = new_figure(7.2, 4.9, title)
        axes = figure.add_subplot()
        axes.plot(across, up, color=FRONT, linewidth=1.4, drawstyle="steps-post", zorder=3,
                  label=f"exact front of the grid, {plural(len(table), 'outcome')}")  # fmt: skip
        for (x, y), (name, point, mark) in zip((next(iter(places)), place), marks, strict=True):
            axes.plot([x], [y], **mark, label=f"{name}, {point}")
        for which, values in zip("xy", zip(*places, strict=True), strict=True):
            known = [*(across if which == "x" else up), *values]
            note = scale_note(spread(axes, which, known, whole=which == "x"))
            axes.set(**{f"{which}label": (SPLITS if which == "x" else "mean cached pages") + note})
        figure.legend(loc="outside lower left", ncols=2, columnspacing=1.6)
        figure.draw_without_rendering()  # names are put where the layout has left room
        write_names(axes, places, along_steps(on_paper(axes, across, up), True))
        settle(figure)
    caption = f"Of all {number(len(result.grid))} points of the grid none lies on the line's better side."
    named = "; ".join(
        f"{name}: {number(at[0])} splits, {number(at[1])} pages" for at, (name, _) in places.items()
    )
    alt = f"A front of {plural(len(table), 'outcome')}. {named}."
    return Picture("front", title, caption, alt, table, figure)


def _pair(run: Run, table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the columns of the first two aims; of a study with one aim, the cached pages beside it."""
    names = [aim.name for aim in run.aims[:2]]
    names += [] if len(names) == 2 else ["peak_cached_mib"]
    return table[names[0]], table[names[1]]


def _draw_front(run: Run, axes: Axes, table: pd.DataFrame, front: pd.DataFrame, exact: bool) -> Places:
    """Draw the tried points, the front and the marks of the named points; return where the names belong."""
    tried = table[table.searched]
    across, up = _pair(run, tried)
    axes.plot(across, up, "o", color=POINT, markersize=4.5, alpha=0.6, markeredgewidth=0, zorder=2,
              label=f"{plural(len(tried), 'point')} that the search tried")  # fmt: skip
    if len(run.aims) == 2:
        first, second = _pair(run, front)
        steps = "steps-post" if run.aims[0].sign > 0 else "steps-pre"
        name = "exact front of the grid" if exact else "front of the tried points"
        axes.plot(first, second, color=FRONT, linewidth=1.4, drawstyle=steps, zorder=3,
                  label=f"{name}, {plural(len(front), 'outcome')}")  # fmt: skip
    places = _draw_named(run, axes, table)
    logs = [
        spread(axes, which, values, whole=aim.unit != "share" and aim.over == "sum")
        for which, values, aim in zip("xy", _pair(run, table), [*run.aims, run.aims[0]], strict=False)
    ]
    titles = [aim.title for aim in run.aims[:2]] + ["peak cached MiB"]
    axes.set_xlabel(f"{titles[0]}{scale_note(logs[0])}")
    axes.set_ylabel(f"{titles[1]}{scale_note(logs[1])}")
    return places


def _draw_named(run: Run, axes: Axes, table: pd.DataFrame) -> Places:
    """Mark the patch, the recommended point and the plain alternatives; return their places with the names."""
    rows = table.set_index("number")
    places: dict[Place, list[str]] = {}
    for name, at in roles_of(run):
        across, up = (float(column.to_numpy()[rows.index.get_loc(at)]) for column in _pair(run, rows))
        places.setdefault((across, up), []).append(name)
    for (across, up), names in places.items():
        if PATCH_NAME in names:
            axes.plot([across], [up], **(_PATCH_UNDER if RECOMMENDED_NAME in names else _PATCH_MARK))
        if RECOMMENDED_NAME in names:
            axes.plot([across], [up], **_RECOMMENDED_MARK)
        if not {PATCH_NAME, RECOMMENDED_NAME} & set(names):
            axes.plot([across], [up], **(_BEST_FOUND_MARK if BEST_FOUND in names else _PLAIN_MARK))
    return {place: (_together(names), _colour(names)) for place, names in places.items()}


def _together(names: Sequence[str]) -> str:
    """Return the names of points that fall on one place; of many, those that readers look for and how many more."""
    if len(names) <= MOST_NAMES:
        return " = ".join(names)
    first = [name for name in (PATCH_NAME, RECOMMENDED_NAME) if name in names]
    return " = ".join([*first, f"{len(names) - len(first)} more"])


def _colour(names: Sequence[str]) -> str:
    if {RECOMMENDED_NAME, BEST_FOUND} & set(names):
        return RECOMMENDED
    return PATCH if PATCH_NAME in names else PLAIN


def scale_note(scale: str) -> str:
    """Return what an axis' label says of its scale (`pba.report.axes.spread`)."""
    return {"log": " (log scale)", "symlog": " (log scale above the first step)"}.get(scale, "")


def _front_alt(run: Run, table: pd.DataFrame, front: pd.DataFrame) -> str:
    rows = table.set_index("number")
    named = []
    for name, at in roles_of(run):
        row = {key: column.to_dict()[at] for key, column in rows.items()}
        values = ", ".join(with_unit(aim, row[aim.name]) for aim in run.aims)
        named.append(f"{name}, {thresholds(row)}: {values}")
    tried = int(table.searched.sum())
    return (
        f"Scatter of {plural(tried, 'point')} and a front of {plural(len(front), 'outcome')}. "
        + "; ".join(named)
        + "."
    )


# --- per recording -------------------------------------------------------------------------------------


def recordings_picture(run: Run) -> Picture:
    """Draw the patch's values against the recommended ones, a row per recording that reacts."""
    whole = recordings_table(run)
    table = whole[whole.silent == ""].reset_index(drop=True)
    table = whole if table.empty else table
    aims = run.aims[:2]
    title = "Patch against recommended, per recording"
    with style():
        figure = new_figure(7.6, 1.55 + 0.27 * max(len(table), 2), title)
        columns = figure.subplots(1, len(aims), sharey=True, squeeze=False)[0]
        left = columns[0]
        for axes, aim in zip(columns, aims, strict=True):
            _draw_pairs(axes, table, aim)
        left.set_yticks(range(len(table)), [printable(name, 34) for name in table.trace])
        left.set_ylim(len(table) - 0.4, -0.6)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2, handletextpad=0.4)
        settle(figure)
    caption = "A dot inside its diamond has hardly moved."
    if all(aim.sign > 0 for aim in aims):
        caption += " Further left is better in every panel."
    if len(table) < len(whole):
        left_out = plural(len(whole) - len(table), "recording")
        verb = "is" if len(whole) - len(table) == 1 else "are"
        caption += f" {left_out} on which no threshold changes anything {verb} left out."
    return Picture("recordings", title, caption, _recordings_alt(table, aims), whole, figure)


def _draw_pairs(axes: Axes, table: pd.DataFrame, aim: Aim) -> None:
    patch, best = table[f"patch_{aim.name}"], table[f"recommended_{aim.name}"]
    rows = list(range(len(table)))
    axes.hlines(rows, patch, best, color=MUTED, linewidth=2, zorder=3)
    axes.plot(patch, rows, **{**_PATCH_UNDER, "markersize": 8.5}, label="patch")
    axes.plot(best, rows, **{**_RECOMMENDED_MARK, "markersize": 5.5}, label="recommended")
    scale = spread(
        axes, "x", [*patch, *best], from_zero=True, whole=aim.unit != "share" and aim.over == "sum"
    )
    axes.set_xlabel(aim.title + {"log": " (log)", "symlog": " (log above 1)"}.get(scale, ""))
    axes.grid(axis="y", color=GRID, linestyle=(0, (1, 3)))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _recordings_alt(table: pd.DataFrame, aims: Sequence[Aim]) -> str:
    parts = []
    for aim in aims:
        less, more = falls_and_rises(table[f"patch_{aim.name}"], table[f"recommended_{aim.name}"])
        parts.append(f"{aim.title} fall on {less}, rise on {more} and stay on {len(table) - less - more}")
    return f"Paired dots for {plural(len(table), 'recording')}: " + "; ".join(parts) + "."


# --- the region ----------------------------------------------------------------------------------------


def region_picture(run: Run) -> Picture:
    """Draw how the rule's score lies over U and B, and over M and B, with the region's edge."""
    decision = decided(run)
    title = "Where the answer lies: the least that the third threshold allows"
    limit = decision.best["score"] + decision.loss
    with style():
        figure = new_figure(8.4, 3.9, title)
        columns = figure.subplots(1, 2, sharey=True)
        drawn = None
        for axes, (across, part) in zip(columns, run.maps.groupby("across", sort=False), strict=True):
            drawn = _draw_map(axes, part, str(across), limit, decision) or drawn
        columns[0].set_ylabel(f"{LETTERS['batch']}, pages")
        if drawn is not None:
            bar = figure.colorbar(drawn, ax=columns, pad=0.02, aspect=30)
            bar.set_label("score (the patch's = 1)" if decision.rule != "least-regret" else "regret")
        settle(figure)
    region = decision.region
    share = percent(region["points"] / region["grid"])
    caption = (
        "Lighter is better; grey has nothing that the rule may choose. Inside the dark line some value of the third "
        f"threshold is within {100 * decision.loss:g} % of the patch's figure from the best; diamond: the patch, "
        "dot: recommended."
    )
    alt = (
        f"Two maps of the score over pairs of thresholds. The region holds {number(region['points'])} of "
        f"{number(region['grid'])} points ({share}): " + _span_text(region["span"]) + "."
    )
    return Picture("region", title, caption, alt, run.maps, figure)


def _span_text(span: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(
        f"{LETTERS[name]} from {number(span[name][0])} to {number(span[name][1])}" for name in THRESHOLDS
    )


def _draw_map(axes: Axes, part: pd.DataFrame, across: str, limit: float, decision: Decision) -> Any:
    """Draw one map; return what a colour bar is made of, or None where the rule may choose nothing."""
    wide = part.pivot_table(index="y", columns="x", values="score", sort=True, dropna=False)
    scores = np.where(np.isfinite(wide.to_numpy()), wide.to_numpy(), np.nan)
    linear = across == "shrink_block_min_pages"
    edges = [_edges(wide.columns.to_numpy(float), linear), _edges(wide.index.to_numpy(float), False)]
    axes.set_facecolor(GRID)
    drawn = None
    if np.isfinite(scores).any():
        most = max(
            float(np.nanmin(scores)) + 1e-9, min(float(np.nanmax(scores)), limit + 10 * decision.loss, 1.5)
        )
        drawn = axes.pcolormesh(
            *edges, np.ma.masked_invalid(scores), cmap="cividis_r", vmin=float(np.nanmin(scores)), vmax=most,
            rasterized=True,
        )  # fmt: skip
        inside = np.where(np.isfinite(scores) & (scores <= limit + 1e-12), 1.0, 0.0)
        if 0 < inside.sum() < inside.size and min(inside.shape) > 1:
            axes.contour(
                wide.columns.to_numpy(float), wide.index.to_numpy(float), inside, levels=[0.5], colors=[INK],
                linewidths=1.2,
            )  # fmt: skip
    if not linear:
        axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.yaxis, *([] if linear else [axes.xaxis])):
        axis.set_major_formatter(lambda value, _: number(value))
    patch, best = decision.named(PATCH_NAME).point, decision.recommended
    for mark, point_ in ((_PATCH_MARK, patch), (_RECOMMENDED_MARK, best)):
        axes.plot([getattr(point_, across)], [point_.batch], **mark)
    axes.set_xlim(edges[0][0], edges[0][-1])
    axes.set_ylim(edges[1][0], edges[1][-1])
    axes.grid(False)
    axes.set_xlabel(f"{LETTERS[across]} ({KERNEL_NAMES[across]}), pages")
    return drawn


def _edges(values: np.ndarray[Any, Any], linear: bool) -> np.ndarray[Any, Any]:
    """Return the edges of cells around values: half-way between, on their own scale."""
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5]) if linear else values[0] * np.array([0.8, 1.25])
    places = values if linear else np.log2(np.maximum(values, 0.5))
    middles = (places[1:] + places[:-1]) / 2
    edges = np.concatenate([[2 * places[0] - middles[0]], middles, [2 * places[-1] - middles[-1]]])
    return edges if linear else 2.0**edges


# --- one replay over time ------------------------------------------------------------------------------


def timeline_picture(table: pd.DataFrame, title: str) -> Picture:
    """Draw cached and live pages and the splits of one replay over time.

    Parameters
    ----------
    table : DataFrame
        Columns `seconds`, `cached_mib`, `live_mib`, `pmd_splits`, a row per event.
    title : str
        What was replayed.
    """
    shown = thin(table)
    with style():
        figure = new_figure(7.6, 4.2, title)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        for column, colour, label in (
            ("live_mib", POINT, "live page tables"),
            ("cached_mib", PATCH, "cached"),
        ):
            upper.plot(shown.seconds, shown[column], color=colour, linewidth=1.2, drawstyle="steps-post",
                       label=label)  # fmt: skip
        lower.plot(shown.seconds, shown.pmd_splits, color=INK, linewidth=1.2, drawstyle="steps-post")
        spread(upper, "y", [0.0, max(shown.live_mib.max(), shown.cached_mib.max())], from_zero=True)
        upper.set_yscale("linear")
        spread(lower, "y", shown.pmd_splits, from_zero=True, whole=True)
        upper.set_ylabel("MiB")
        lower.set_ylabel(f"{SPLITS} so far")
        lower.set_xlabel("time, s")
        figure.legend(loc="outside lower left", ncols=2)
        settle(figure)
    last = table.iloc[-1]
    alt = (
        f"Over {last.seconds:.3g} s the cache holds {mib(table.cached_mib.min())} to "
        f"{mib(table.cached_mib.max())}; {plural(last.pmd_splits, 'PMD split')} by the end."
    )
    return Picture("timeline", title, "Values after each event.", alt, table, figure)


def thin(table: pd.DataFrame, steps: int = 1500) -> pd.DataFrame:
    """Return at most about `4 * steps` rows that keep the first, last, least and greatest of each stretch."""
    if len(table) <= 4 * steps:
        return table
    stretch = pd.Series(range(len(table)), index=table.index) * steps // len(table)
    keep = {int(table.index[0]), int(table.index[-1])}
    for column in ("cached_mib", "live_mib"):
        grouped = table.groupby(stretch)[column]
        keep.update(grouped.idxmax().tolist() + grouped.idxmin().tolist())
    return table.loc[sorted(keep)]
