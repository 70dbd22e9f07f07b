"""Plain text that lines up: tables and labels for a terminal, a pipe or a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pba.printable import LONGEST_MESSAGE, printable


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
    rows = [[printable(cell, LONGEST_MESSAGE) for cell in row] for row in rows]
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
        first, *more = textwrap.wrap(printable(text, 10 * LONGEST_MESSAGE), max(width - indent, 20)) or [""]
        wrapped += [(label, first), *(("", line) for line in more)]
    return columns(wrapped, "ll")
