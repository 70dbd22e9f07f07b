"""Plain text that lines up: tables and sizes for a terminal, a pipe or a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], align: str, gap: str = "  ") -> str:
    """Return rows of cells as lines whose columns line up.

    Parameters
    ----------
    rows : sequence of sequences of str
        Cells; every row as long as `align`.
    align : str
        One letter a column: `l` to the left, `r` to the right.
    gap : str
        What stands between two columns.
    """
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(len(align))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, align, strict=True)
        ]
        lines.append(gap.join(cells).rstrip())
    return "\n".join(lines)


def described(rows: Sequence[tuple[str, str]], width: int = 100) -> str:
    """Return labels and what they say, wrapped so that no line is longer than `width`."""
    indent = max((len(label) for label, _ in rows), default=0) + 2
    wrapped = []
    for label, text in rows:
        first, *more = textwrap.wrap(text, max(width - indent, 20)) or [""]
        wrapped += [(label, first), *(("", line) for line in more)]
    return columns(wrapped, "ll")


def duration(time_ns: float) -> str:
    """Return a time as people read it: `2 min 5 s`, `3.2 s`, `120 us`."""
    seconds = time_ns / 1e9
    if _three_digits(seconds) >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if (shown := _three_digits(seconds * factor)) >= 1:
            return f"{shown:g} {unit}"
    return f"{time_ns:.0f} ns"


def _three_digits(value: float) -> float:
    """Return a number rounded to what is shown of it, so that 999.9 ms are `1 s`, not `1e+03 ms`."""
    return float(f"{value:.3g}")


def number(value: float) -> str:
    """Return a whole number with separators, or another with at most one decimal: `12,345`, `4.5`."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def share(value: float) -> str:
    """Return a share as a percentage: `99.3 %`. It never rounds to 100 % what is less."""
    percent = value * 100
    shown = f"{percent:.2f}"
    return "just below 100 %" if shown == "100.00" and value < 1 else f"{shown} %"
