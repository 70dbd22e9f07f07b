"""How the share of the linear map that is block-mapped decays over days, policy by policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pba.report.axes import spread
from pba.report.compare_figures import line_of
from pba.report.figures import new_figure, settle
from pba.report.style import Picture, style
from pba.units import fine_percent

if TYPE_CHECKING:
    import pandas as pd

    from pba.answer.long_runs import Found

NO_BLOCKS = "pte-mapped"
"""What has no block at any time is not drawn."""


def decay_table(found: Found) -> pd.DataFrame:
    """Return the curves as they are drawn: on the smallest memory, the mean over seeds.

    Returns
    -------
    DataFrame
        A row per `workload`, `start`, `policy` and `hour`: `not_block_mapped`, per cent of memory. Without policies
        that failed an allocation there: what serves nobody splits nothing.
    """
    table = found.curves
    table = table[(table["memory_gib"] == table["memory_gib"].min()) & (table["policy"] != NO_BLOCKS)]
    keys = ["workload", "start", "policy", "hour"]
    failed = found.rows.groupby(keys[:3])["alloc_failures"].sum()
    table = table.join(failed[failed == 0].rename("none_failed"), on=keys[:3], how="inner")
    mean = table.groupby(keys, sort=False)["block_mapped_share"].mean().reset_index()
    drawn: pd.DataFrame = mean[keys].assign(not_block_mapped=100 * (1 - mean["block_mapped_share"]))
    return drawn


def decay_picture(found: Found) -> Picture:
    """Draw the share of memory that is no longer block-mapped over time: a row per workload, a column per start."""
    table = decay_table(found)
    workloads, starts = (list(dict.fromkeys(table[name])) for name in ("workload", "start"))
    policies = list(dict.fromkeys(table["policy"]))
    title = f"The linear map over {found.runs.duration_ns / 3.6e12:.3g} h, on {found.runs.memory[0]}"
    with style():
        figure = new_figure(7.6, 1.2 + 1.9 * len(workloads), title)
        grid = figure.subplots(len(workloads), len(starts), sharex=True, squeeze=False)
        for row, workload in enumerate(workloads):
            for column, start in enumerate(starts):
                axes = grid[row][column]
                mine = table[(table["workload"] == workload) & (table["start"] == start)]
                for at, policy in enumerate(policies):
                    line = mine[mine["policy"] == policy]
                    axes.plot(
                        line["hour"], line["not_block_mapped"], label=policy, **line_of(policy, policies[:at])
                    )
                spread(axes, "y", mine["not_block_mapped"], from_zero=True, whole=False)
                axes.set_title(f"{workload}, {start}", fontsize="medium")
            grid[row][0].set_ylabel("not block-mapped, %")
        for axes in grid[-1]:
            axes.set_xlabel("time, h")
        handles, labels = max(
            (axes.get_legend_handles_labels() for axes in grid.flat), key=lambda pair: len(pair[0])
        )
        figure.legend(handles, labels, loc="outside lower left", ncols=4)
        settle(figure)
    caption = (
        "Mean over seeds; memory that the linear map maps by PTEs. Policies that failed an "
        "allocation there are left out. A wide range is on a logarithmic axis."
    )
    last = table.groupby(["workload", "start", "policy"], sort=False)["not_block_mapped"].last()
    said = "; ".join(
        f"{row['workload']}, {row['start']}, {row['policy']}: {fine_percent(row['not_block_mapped'] / 100)}"
        for row in last.reset_index().to_dict("records")
    )
    return Picture("decay", title, caption, f"{said}.", table, figure)
