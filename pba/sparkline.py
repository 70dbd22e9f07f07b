"""A curve in one line: as text for a terminal, as a small SVG for a notebook."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
"""Eighths of a line's height."""
ASCII_BARS: Final = "_.-:=+*#"
"""For terminals that cannot show those."""


def sparkline(values: Iterable[float], width: int = 60, bars: str = BARS) -> str:
    """Return a curve as one line of text, from its least value (lowest bar) to its greatest.

    Parameters
    ----------
    values : iterable of float
        At equal steps. Values that are not finite leave a blank.
    width : int
        Most characters; where there are more values, each character shows the greatest of its share.
    bars : str
        What stands for the heights, lowest first.

    Returns
    -------
    str
        Empty where there is no value. A curve that never changes is a line of lowest bars.
    """
    shown = thinned(list(values), width)
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * len(shown)
    low, span = min(finite), max(finite) - min(finite)
    scale = (len(bars) - 1) / span if span else 0.0
    return "".join(bars[round((value - low) * scale)] if math.isfinite(value) else " " for value in shown)


def bars_for(encoding: str | None) -> str:
    """Return bars that an encoding can write."""
    try:
        BARS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_BARS
    return BARS


def sparkline_svg(values: Iterable[float], width: int = 240, height: int = 32) -> str:
    """Return a curve as a small SVG in the colour of the text around it; empty where there is no value."""
    shown = [value for value in thinned(list(values), width) if math.isfinite(value)]
    if not shown:
        return ""
    low, span = min(shown), (max(shown) - min(shown)) or 1
    step = width / len(shown)
    parts = []
    for at, value in enumerate(shown):
        y = height - 1.5 - (height - 3) * (value - low) / span
        parts.append(f"{at * step:.1f},{y:.1f} {(at + 1) * step:.1f},{y:.1f}")
    line = " ".join(parts)
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        'style="vertical-align: middle">'
        f'<polygon points="0,{height} {line} {width},{height}" fill="currentColor" fill-opacity="0.12"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.2"/></svg>'
    )


def thinned(values: list[float], most: int) -> list[float]:
    """Return at most so many values: the greatest of each of equal shares, NaN where a share has none."""
    if len(values) <= most:
        return values
    edges = [at * len(values) // most for at in range(most + 1)]
    parts = (
        [value for value in values[first:end] if math.isfinite(value)]
        for first, end in itertools.pairwise(edges)
    )
    return [max(part, default=math.nan) for part in parts]
