"""Blocks over time, and where splits come from: a line per block, darker where more of it is in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from pba.printable import printable
from pba.probe.splits import CAUSE_WORDS, Splits
from pba.report.axes import plain
from pba.report.figures import new_figure, settle
from pba.report.replay_figures import BLOCK_COLOURS
from pba.report.style import RECOMMENDED, SURFACE, Picture, style
from pba.units import number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BLOCKS: Final = 400
"""Lines that a panel has; of more blocks those that are split, and then the lowest."""
MARKS: Final = {"block": "v", "pages": "s", "refill": "^"}
"""How each cause of a split is marked."""


def splits_table(named: Mapping[str, Splits]) -> pd.DataFrame:
    """Return the splits of several replays of one trace beneath each other, each with its name in `thresholds`."""
    tables = [one.table.assign(thresholds=name) for name, one in named.items()]
    found = pd.concat(tables, ignore_index=True)
    return found[["thresholds", *(name for name in found.columns if name != "thresholds")]]


def splits_picture(named: Mapping[str, Splits]) -> Picture:
    """Draw each block over time with its split, a panel for each replay of one trace.

    Parameters
    ----------
    named : mapping of str to Splits
        Replays of one trace, by what they are called.
    """
    first = next(iter(named.values()))
    blocks = _shown_blocks(named)
    name = printable(first.result.trace_name, 40)
    title = f"{name}: each block over time, and where it is split"
    height = 1.5 + len(named) * min(3.2, max(1.3, 0.075 * len(blocks)))
    with style():
        figure = new_figure(8.4, height, title)
        panels = figure.subplots(len(named), 1, sharex=True, squeeze=False)[:, 0]
        drawn: Any = None
        for axes, (called, one) in zip(panels, named.items(), strict=True):
            drawn = _draw(axes, one, blocks)
            axes.set_title(f"{called}, {one.watch.thresholds}: {plural(len(one.table), 'PMD split')}")
        panels[-1].set_xlabel("time, s")
        panels[-1].xaxis.set_major_formatter(plain)
        bar = figure.colorbar(drawn, ax=panels, pad=0.02, aspect=30)
        bar.set_label("pages of a block in use")
        figure.legend(handles=_legend(named), loc="outside lower left", ncols=3, handletextpad=0.4)
        settle(figure)
    caption = (
        "A line is a block, for as long as the allocator tracks it; a mark is the split of its mapping, for good. A "
        "block that is split is tracked no longer."
    )
    return Picture("splits", title, caption, _said(named), splits_table(named), figure)


def _shown_blocks(named: Mapping[str, Splits]) -> list[int]:
    """Return the blocks that get a line."""
    split = {int(block) for one in named.values() for block in one.table["block"]}
    tracked = {int(block) for one in named.values() for block in one.over_time["block"].unique()}
    kept = sorted(split)[:MOST_BLOCKS]
    rest = sorted(tracked - set(kept))[: MOST_BLOCKS - len(kept)]
    return sorted({*kept, *rest}) or [0]


def _draw(axes: Axes, one: Splits, blocks: list[int]) -> Any:
    """Draw one replay; return what a colour bar is made of."""
    from matplotlib.colors import ListedColormap

    row = {block: at for at, block in enumerate(blocks)}
    edges = np.concatenate([[0.0], one.watch.over_time["seconds"].to_numpy()])
    table = one.over_time[one.over_time["block"].isin(row)]
    shares = np.full((len(blocks), len(edges) - 1), np.nan)
    columns = np.searchsorted(edges[1:], table["seconds"].to_numpy())
    size = one.result.machine.block_nr_pages
    shares[table["block"].map(row).to_numpy(np.intp), columns] = table["in_use"].to_numpy()
    drawn = axes.pcolormesh(
        edges, np.arange(len(blocks) + 1) - 0.5, np.ma.masked_invalid(shares), rasterized=True, vmin=0, vmax=size,
        cmap=ListedColormap(BLOCK_COLOURS),
    )  # fmt: skip
    for cause, mark in MARKS.items():
        of_it = one.table[one.table["cause"] == cause]
        axes.plot(of_it["seconds"], of_it["block"].map(row), mark, color=RECOMMENDED, markeredgecolor=SURFACE,
                  markeredgewidth=0.5, markersize=5.5, linestyle="none", zorder=5)  # fmt: skip
    axes.set_ylim(len(blocks) - 0.5, -0.5)
    axes.set_xlim(0, max(float(edges[-1]), 1e-9))
    axes.set_ylabel("block")
    ticks = np.unique(np.linspace(0, len(blocks) - 1, min(len(blocks), 6)).astype(int))
    axes.set_yticks(ticks, [number(blocks[at]) for at in ticks])
    axes.grid(visible=False)
    return drawn


def _legend(named: Mapping[str, Splits]) -> list[Any]:
    from matplotlib.lines import Line2D

    seen = {str(cause) for one in named.values() for cause in one.table["cause"]}
    return [
        Line2D(
            [], [], color=RECOMMENDED, marker=mark, linestyle="none", markersize=5.5, label=CAUSE_WORDS[cause]
        )
        for cause, mark in MARKS.items()
        if cause in seen
    ]


def _said(named: Mapping[str, Splits]) -> str:
    """Return what the figure says, for those who cannot see it."""
    told = []
    for called, one in named.items():
        counts = one.table["cause"].value_counts()
        why = ", ".join(
            f"{number(int(count))} as {CAUSE_WORDS[str(cause)]}" for cause, count in counts.items()
        )
        told.append(f"{called}: {plural(len(one.table), 'PMD split')}" + (f" ({why})" if why else ""))
    return "; ".join(told) + "."
