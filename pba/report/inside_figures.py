"""Memory at chosen events: blocks page by page, what maps them, and the cached list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pba.probe.inside import WHAT, Inside, Step
from pba.report.figures import new_figure, settle
from pba.report.style import GRID, INK, MUTED, PATCH, POINT, RECOMMENDED, SURFACE, Picture, style
from pba.units import number, plural

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_BLOCKS: Final = 12
"""Blocks that are drawn; of more those with the most pages that are cached or in use."""
COLOURS: Final = (SURFACE, PATCH, RECOMMENDED, POINT)
"""Of a page, by `WHAT`."""
_LIST_COLUMNS: Final = 256


def drawn_blocks(inside: Inside) -> list[int]:
    """Return the places in `Inside.blocks` of those that are drawn."""
    used = np.stack([np.isin(step.pages, (1, 2)).sum(axis=1) for step in inside.steps]).max(axis=0)
    best = np.argsort(-used, kind="stable")[:MOST_BLOCKS]
    return sorted(int(place) for place in best)


def inside_picture(inside: Inside) -> Picture:
    """Draw memory after each event, one beneath the other: a line of pages a block, and the cached list."""
    places = drawn_blocks(inside)
    height = 0.55 + len(inside.steps) * (0.62 + 0.16 * len(places))
    title = f"{inside.trace_name} with {inside.thresholds}: memory after chosen events"
    with style():
        figure = new_figure(9.0, height, title)
        grid = figure.subplots(len(inside.steps), 2, squeeze=False, width_ratios=[2.4, 1])
        for (memory, cached), step, row in zip(
            grid, inside.steps, inside.table.to_dict("records"), strict=True
        ):
            _draw_blocks(memory, inside, step, places)
            _draw_list(cached, inside, step, places)
            memory.set_title(_head(row))
            is_last = step is inside.steps[-1]
            memory.tick_params(labelbottom=is_last)
            cached.tick_params(labelbottom=is_last, length=0)
        grid[-1][0].set_xlabel("page of the block; a frame: the allocator tracks the block")
        grid[-1][1].set_xlabel("cached list, its head first, by block")
        figure.legend(handles=_legend(), loc="outside lower left", ncols=4)
        settle(figure)
    caption = (
        "Each line is a block, page by page; on its left what maps it in the linear map. On the right the cached list "
        f"from its head, each page at the height of its block: {_LIST_COLUMNS} pages at most."
    )
    return Picture("inside", title, caption, _said(inside), table_of(inside), figure)


def table_of(inside: Inside) -> pd.DataFrame:
    """Return what is drawn as a table: `Inside.per_block` of the blocks that are drawn."""
    blocks = [inside.blocks[place] for place in drawn_blocks(inside)]
    found: pd.DataFrame = inside.per_block[inside.per_block["block"].isin(blocks)]
    return found.reset_index(drop=True)


def _head(row: Mapping[Any, Any]) -> str:
    """Return what stands above a step."""
    what = {
        "boot": "after boot", "S": "after a shrinker pass", "D": "after drop_caches", "A": "after an allocation",
        "F": "after a free",
    }.get(row["what"], "after demand of others")  # fmt: skip
    nonblock = f", {number(row['nonblock'])} of them in no block" if row["nonblock"] else ""
    return (
        f"event {number(row['event'])}, {what}: {number(row['cached'])} cached{nonblock}; "
        f"{plural(row['pmd_splits'], 'PMD split')}"
    )


def _draw_blocks(axes: Axes, inside: Inside, step: Step, places: list[int]) -> None:
    """Draw a line of pages per block."""
    from matplotlib.colors import ListedColormap

    pages = step.pages[places]
    axes.imshow(pages, aspect="auto", interpolation="nearest", cmap=ListedColormap(COLOURS), vmin=0,
                vmax=len(WHAT) - 1, extent=(0, pages.shape[1], len(places) - 0.5, -0.5))  # fmt: skip
    rows = inside.per_block[inside.per_block["event"] == step.event].set_index("block")
    labels = []
    for at, place in enumerate(places):
        block = inside.blocks[place]
        leaf, managed = str(rows.at[block, "leaf"]), bool(rows.at[block, "managed"])
        labels.append(f"block {block}: {leaf}")
        if managed:
            axes.plot([0, pages.shape[1], pages.shape[1], 0, 0], at + 0.44 * np.array([-1, -1, 1, 1, -1]),
                      color=INK, linewidth=0.9, clip_on=False)  # fmt: skip
    axes.set_yticks(range(len(places)), labels, fontsize=7)
    for label, place in zip(axes.get_yticklabels(), places, strict=True):
        if rows.at[inside.blocks[place], "leaf"] == "PTEs":
            label.set_color(RECOMMENDED)
            label.set_fontweight("bold")
    axes.set_yticks(np.arange(len(places)) - 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(visible=True, which="minor", axis="y", color=GRID)
    axes.tick_params(which="both", length=0)


def _draw_list(axes: Axes, inside: Inside, step: Step, places: list[int]) -> None:
    """Draw the cached list from its head, each page at its block's height."""
    height = {inside.blocks[place]: at for at, place in enumerate(places)}
    blocks = step.list_blocks[:_LIST_COLUMNS].tolist()
    known = [(at, height[block]) for at, block in enumerate(blocks) if block in height]
    axes.plot(
        [at for at, _ in known],
        [row for _, row in known],
        linestyle="none",
        marker="|",
        markersize=5,
        color=PATCH,
    )
    axes.set_xlim(-4, _LIST_COLUMNS)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_yticks(range(len(places)), [])
    more = len(step.list_blocks) - _LIST_COLUMNS
    if more > 0:
        axes.set_title(f"and {number(more)} more", color=MUTED, loc="right")


def _legend() -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(
            facecolor=colour,
            edgecolor=MUTED,
            linewidth=0.6,
            label=f"{what} page" if what != "page table" else what,
        )
        for colour, what in zip(COLOURS, WHAT, strict=True)
    ]


def _said(inside: Inside) -> str:
    """Return what the figure says, for those who cannot see it."""
    told = []
    for row in inside.table.to_dict("records"):
        of_blocks = inside.per_block[inside.per_block["event"] == row["event"]]
        split = int((of_blocks["leaf"] == "PTEs").sum())
        managed = int(of_blocks["managed"].sum())
        told.append(f"{_head(row)}; {plural(managed, 'block')} tracked, {split} mapped by PTEs")
    return ". ".join(told) + "."
