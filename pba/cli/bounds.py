"""How `pba replay --bounds` looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pba.cli.layout import columns, described
from pba.units import number

if TYPE_CHECKING:
    from pba.probe.bounds import ReplayBounds

Rows = list[tuple[str, str]]


def render(bounds: ReplayBounds, ran: Rows) -> str:
    """Return lower and upper figures as text: what was run, what they are worth, a row per metric."""
    table = [("metric", "recorded", "lower", "upper", "unit", "meaning")]
    for name, row in bounds.to_frame().iterrows():
        figures = [number(row[key]) for key in ("recorded", "lower", "upper")]
        table.append((str(name), *figures, row["unit"], row["meaning"]))
    said = [("bounds" if at == 0 else "", text) for at, text in enumerate(bounds.sentences())]
    return f"{described([*ran, *said])}\n\n{columns(table, 'lrrrll')}"
