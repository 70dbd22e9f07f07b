"""The figures: each takes the data that `pba.report.data` computed, and draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from pba.printable import printable
from pba.report.axes import pages_axis, spread
from pba.report.data import (
    KERNEL_NAMES,
    LETTERS,
    THRESHOLDS,
    falls_and_rises,
    flatness_table,
    front_table,
    point,
    points_table,
    recordings_table,
    thresholds,
)
from pba.report.style import (
    BAND,
    FRONT,
    GRID,
    INK,
    MUTED,
    PATCH,
    POINT,
    RECOMMENDED,
    SURFACE,
    Picture,
    load_matplotlib,
    style,
)
from pba.report.words import mib
from pba.study.objective import AIMS
from pba.units import number, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pba.study.result import Run

SPLITS = "PMD splits"
CACHED = "mean cached pages"
_PATCH_MARK: dict[str, Any] = {
    "marker": "D", "markersize": 7.5, "markerfacecolor": SURFACE, "markeredgecolor": PATCH,
    "markeredgewidth": 1.8, "linestyle": "none", "zorder": 6,
}  # fmt: skip
_RECOMMENDED_MARK: dict[str, Any] = {
    "marker": "o", "markersize": 7, "markerfacecolor": RECOMMENDED, "markeredgecolor": SURFACE,
    "markeredgewidth": 0.8, "linestyle": "none", "zorder": 7,
}  # fmt: skip
# Where both fall on one place the diamond must show around the dot.
_PATCH_UNDER = {**_PATCH_MARK, "markersize": 12}


def all_pictures(run: Run) -> list[Picture]:
    """Return the report's figures, in its order."""
    return [front_picture(run), recordings_picture(run), flatness_picture(run)]


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of that size in inches, with its title."""
    load_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.suptitle(printable(title), x=0.01, ha="left")
    return figure


def settle(figure: Figure) -> None:
    """Lay the figure out once and for all: each further layout would move things by a hair, and the bytes."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _outcome(role: str, row: pd.Series) -> str:
    aims = f"{plural(row.pmd_splits, 'split')}, {plural(row.mean_cached_pages, 'page')}"
    return f"{role}, {thresholds(row)}: {aims}"


# --- the two aims against each other -------------------------------------------------------------------


def front_picture(run: Run) -> Picture:
    """Draw all points by their two aims, with the front, the patch and the recommended point marked."""
    table, front = points_table(run), front_table(run)
    title = "What the tried thresholds cost: splits against cached pages"
    with style():
        figure = new_figure(7.2, 4.9, title)
        axes = figure.add_subplot()
        _draw_front(axes, table, front)
        figure.legend(loc="outside lower left", ncols=2, handletextpad=0.5, columnspacing=1.6)
        settle(figure)
    caption = (
        "Each grey dot is a tried point, darker where several come out alike. Lower and further left is "
        "better; for every place on or above the stepped line some tried point is at least as good."
    )
    return Picture("front", title, caption, _front_alt(table, front), table, figure)


def _draw_front(axes: Axes, table: pd.DataFrame, front: pd.DataFrame) -> None:
    outcomes = table.groupby(["pmd_splits", "mean_cached_pages"]).ngroups
    label = f"{plural(len(table), 'point')}, {plural(outcomes, 'distinct outcome')}"
    axes.plot(table.pmd_splits, table.mean_cached_pages, "o", color=POINT, markersize=4.5, alpha=0.6,
              markeredgewidth=0, label=label, zorder=2)  # fmt: skip
    axes.plot(front.pmd_splits, front.mean_cached_pages, color=FRONT, linewidth=1.2, marker="o", markersize=4,
              drawstyle="steps-post", zorder=4,
              label=f"Pareto front, {plural(len(front), 'distinct outcome')}")  # fmt: skip
    patch = table[table.role.str.startswith("patch")].iloc[0]
    best = table[table.role.str.endswith("recommended")].iloc[0]
    together = (patch.pmd_splits, patch.mean_cached_pages) == (best.pmd_splits, best.mean_cached_pages)
    axes.plot([patch.pmd_splits], [patch.mean_cached_pages], **(_PATCH_UNDER if together else _PATCH_MARK),
              label=_outcome("patch", patch))  # fmt: skip
    axes.plot([best.pmd_splits], [best.mean_cached_pages], **_RECOMMENDED_MARK,
              label=_outcome("recommended", best))  # fmt: skip
    logs = [spread(axes, "x", table.pmd_splits, whole=True), spread(axes, "y", table.mean_cached_pages)]
    axes.set_xlabel(f"{SPLITS}, all recordings together{scale_note(logs[0])}")
    axes.set_ylabel(f"{CACHED}, mean of all recordings{scale_note(logs[1])}")


def scale_note(scale: str) -> str:
    """Return what an axis' label says of its scale (`pba.report.axes.spread`)."""
    return {"log": " (log scale)", "symlog": " (log scale above the first step)"}.get(scale, "")


def _front_alt(table: pd.DataFrame, front: pd.DataFrame) -> str:
    patch = table[table.role.str.startswith("patch")].iloc[0]
    best = table[table.role.str.endswith("recommended")].iloc[0]
    few, many = front.iloc[0], front.iloc[-1]
    ends = (
        f"The front goes from {plural(few.pmd_splits, 'split')} at {plural(few.mean_cached_pages, 'page')} "
        f"to {plural(many.pmd_splits, 'split')} at {plural(many.mean_cached_pages, 'page')}."
        if len(front) > 1
        else "The front is a single outcome."
    )
    return (
        f"Scatter of {plural(len(table), 'point')}. {ends} "
        + "; ".join([_outcome("The patch", patch), _outcome("recommended", best)])
        + "."
    )


# --- per recording -------------------------------------------------------------------------------------


def recordings_picture(run: Run) -> Picture:
    """Draw the patch's values against the recommended ones, a row per recording."""
    table = recordings_table(run)
    title = "Patch against recommended, per recording"
    with style():
        figure = new_figure(7.6, 1.55 + 0.27 * max(len(table), 2), title)
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_pairs(left, table, "pmd_splits", SPLITS)
        _draw_pairs(right, table, "mean_cached_pages", CACHED)
        left.set_yticks(range(len(table)), [printable(name, 34) for name in table.trace])
        left.set_ylim(len(table) - 0.4, -0.6)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2, handletextpad=0.4)
        settle(figure)
    caption = "A dot inside its diamond has hardly moved. Further left is better in both panels."
    return Picture("recordings", title, caption, _recordings_alt(table), table, figure)


def _draw_pairs(axes: Axes, table: pd.DataFrame, aim: str, label: str) -> None:
    patch, best = table[f"patch_{aim}"], table[f"recommended_{aim}"]
    rows = list(range(len(table)))
    axes.hlines(rows, patch, best, color=MUTED, linewidth=2, zorder=3)
    axes.plot(patch, rows, **{**_PATCH_UNDER, "markersize": 8.5}, label="patch")
    axes.plot(best, rows, **{**_RECOMMENDED_MARK, "markersize": 5.5}, label="recommended")
    scale = spread(axes, "x", [*patch, *best], from_zero=True, whole=aim == "pmd_splits")
    axes.set_xlabel(label + {"log": " (log)", "symlog": " (log above 1)"}.get(scale, ""))
    axes.grid(axis="y", color=GRID, linestyle=(0, (1, 3)))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _recordings_alt(table: pd.DataFrame) -> str:
    parts = []
    for aim, name in zip(AIMS, ("splits", CACHED), strict=True):
        less, more = falls_and_rises(table[f"patch_{aim}"], table[f"recommended_{aim}"])
        parts.append(f"{name} fall on {less}, rise on {more} and stay on {len(table) - less - more}")
    return f"Paired dots for {plural(len(table), 'recording')}: " + "; ".join(parts) + "."


# --- flatness ------------------------------------------------------------------------------------------


def flatness_picture(run: Run) -> Picture:
    """Draw both aims along each threshold through the recommended point."""
    table = flatness_table(run)
    roles = {"patch": point(run, run.patch), "best": point(run, run.recommended)}
    title = "One threshold at a time, the other two as recommended"
    with style():
        figure = new_figure(8.4, 4.9, title)
        grid = figure.subplots(2, 3, sharex="col", sharey="row")
        for column, name in enumerate(THRESHOLDS):
            line = table[table.threshold == name]
            for row, aim in enumerate(("pmd_splits", "mean_cached_pages")):
                _draw_line(grid[row][column], line, aim, roles["best"][name], roles["best"][aim])
                grid[row][column].axvline(
                    roles["patch"][name], color=PATCH, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1,
                    label="the patch's value",
                )  # fmt: skip
            pages_axis(grid[1][column], [*line.value, roles["patch"][name]])
            grid[0][column].set_title(f"{LETTERS[name]}: {KERNEL_NAMES[name]}", fontsize=7.5)
            grid[1][column].set_xlabel(f"{LETTERS[name]}, pages")
        scales = [spread(grid[row][0], "y", table[aim], from_zero=True, whole=aim == "pmd_splits")
                  for row, aim in enumerate(("pmd_splits", "mean_cached_pages"))]  # fmt: skip
        grid[0][0].set_ylabel(SPLITS + {"linear": ""}.get(scales[0], " (log)"))
        grid[1][0].set_ylabel("mean cached pages" + {"linear": ""}.get(scales[1], " (log)"))
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=4, handletextpad=0.5)
        settle(figure)
    caption = (
        "Every mark is an exact replay of all recordings. Where a line stays inside the band, that "
        "threshold can move without changing the aim by more than 5 %."
    )
    return Picture("flatness", title, caption, _flatness_alt(table), table, figure)


def _draw_line(axes: Axes, line: pd.DataFrame, aim: str, value: float, level: float) -> None:
    axes.axhspan(0.95 * level, 1.05 * level, color=BAND, linewidth=0, zorder=0, label="within 5 %")
    axes.plot(line.value, line[aim], color=FRONT, linewidth=1.2, marker="o", markersize=3.2, zorder=3,
              label="replayed")  # fmt: skip
    axes.plot([value], [level], **{**_RECOMMENDED_MARK, "markersize": 6.5}, label="recommended")


def _flatness_alt(table: pd.DataFrame) -> str:
    parts = []
    for name in THRESHOLDS:
        line = table[table.threshold == name]
        parts.append(
            f"along {LETTERS[name]} ({number(line.value.min())} to {number(line.value.max())} pages) splits "
            f"range from {number(line.pmd_splits.min())} to {number(line.pmd_splits.max())}, "
            "mean cached pages from "
            f"{number(line.mean_cached_pages.min())} to {number(line.mean_cached_pages.max())}"
        )
    share = percent(float(table.within.mean()))
    return f"Lines: {'; '.join(parts)}. {share} of the replayed values keep both aims within 5 %."


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
