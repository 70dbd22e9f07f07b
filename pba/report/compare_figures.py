"""Policies side by side over time: what is split, what is held back, what is still block-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.report.axes import spread
from pba.report.figures import SPLITS, new_figure, settle
from pba.report.outputs import picture_contents, refuse_file
from pba.report.style import PATCH, POINT, Picture, style
from pba.units import fine_percent, number, plural

if TYPE_CHECKING:
    import pandas as pd

    from pba.probe.compare import Comparison

_COLOURS: Final = {
    "v6": PATCH, "untracked": "#e69f00", "scattered": "#cc79a7", "pte-mapped": "#8c8c8c", "freetype": "#d55e00",
    "grouped": "#a08a00", "unmapped-buddy": "#7a4fa3", "v6+collapse": "#56b4e9", "whole-blocks-only": "#009e73",
    "never": "#004d66", "whole-blocks": "#66c2a4", "cold-first": "#b35a1f", "fullest-first": "#5f7f1f",
    "nonblock-first": "#bb4466",
}  # fmt: skip
"""Each policy's own colour, the same in every figure; the first ones are Okabe and Ito's."""
_DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1.5, 1, 1.5)))
PANELS: Final = (
    ("pmd_splits", f"{SPLITS} so far"),
    ("held_back", "pages held back"),
    ("not_block_mapped", "not block-mapped, %"),
)
"""The panels from above: a column of what is drawn, and what its axis is called."""


def line_of(choice: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """Return how a policy's line looks: the same colour in every figure.

    Parameters
    ----------
    choice : str
        What was replayed; its first word names the policy.
    others : sequence of str
        What was named before it: one of the same policy is dashed otherwise.
    """
    name = choice.partition(" ")[0]
    turn = sum(other.partition(" ")[0] == name for other in others)
    return {
        "color": _COLOURS.get(name, POINT),
        "linestyle": _DASHES[turn % len(_DASHES)],
        "linewidth": 1.8 if name == "v6" else 1.3,
    }


def curves_of(comparison: Comparison, trace: str) -> pd.DataFrame:
    """Return the curves of one trace as they are drawn.

    Returns
    -------
    DataFrame
        A row per choice and step: `choice`, `seconds`, `pmd_splits`, `held_back` (pages held, and the linear map's
        tables), `not_block_mapped` (per cent of memory).
    """
    table = comparison.curves[comparison.curves["trace"] == trace]
    found: pd.DataFrame = table[["choice", "seconds", "pmd_splits"]].assign(
        held_back=table["held"] + table["tables"], not_block_mapped=100 * (1 - table["block_mapped_share"])
    )
    return found.reset_index(drop=True)


def compare_picture(comparison: Comparison, trace: str) -> Picture:
    """Draw a trace under each policy over time, a line each."""
    table = curves_of(comparison, trace)
    title = f"{trace} under {plural(len(comparison.choices), 'policy', 'policies')}"
    with style():
        figure = new_figure(7.6, 6.2, title)
        panels = figure.subplots(len(PANELS), 1, sharex=True)
        for axes, (column, label) in zip(panels, PANELS, strict=True):
            for at, choice in enumerate(comparison.choices):
                rows = table[table["choice"] == choice]
                look = line_of(choice, comparison.choices[:at])
                axes.plot(rows["seconds"], rows[column], label=choice, **look)
            spread(axes, "y", table[column], from_zero=True, whole=column != "not_block_mapped")
            axes.set_ylabel(label)
        panels[-1].set_xlabel("time, s")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=5)
        settle(figure)
    caption = (
        "Values at 400 equal steps. Held back: protected pages that nobody else can get, and the linear map's own "
        "page tables. Not block-mapped: memory that the linear map maps by PTEs. A wide range is on a logarithmic axis."
    )
    return Picture(f"compare-{trace}", title, caption, _said(comparison, trace), table, figure)


def _said(comparison: Comparison, trace: str) -> str:
    """Return what the figure says, for those who cannot see it."""
    rows = comparison.per_trace[comparison.per_trace["trace"] == trace]
    told = [
        f"{row['choice']}: {plural(int(row['pmd_splits']), 'PMD split')}, {number(row['held_back_mean'])} pages held "
        f"back on average, {fine_percent(row['mapped_end'])} block-mapped at the end"
        for row in rows.to_dict("records")
    ]
    return "; ".join(told) + "."


def comparison_files(comparison: Comparison, folder: Path) -> dict[Path, bytes]:
    """Return what is written of a comparison, by its file: `comparison.json`, tables as CSV, a figure per trace.

    Raises
    ------
    OutputError
        If `folder` is a file.
    """
    refuse_file(folder)
    tables = {
        "measures": comparison.totals,
        "per-trace": comparison.per_trace.set_index("trace"),
        "over-time": comparison.curves.set_index("trace"),
    }
    found = {folder / "comparison.json": comparison.to_json().encode() + b"\n"}
    found |= {folder / f"{name}.csv": table.to_csv().encode() for name, table in tables.items()}
    for trace in comparison.traces:
        if (comparison.curves["trace"] == trace).any():
            picture = compare_picture(comparison, trace)
            found |= picture_contents(picture, folder / picture.name, ("svg", "png"))
    return found
