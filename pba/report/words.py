"""What the report's sentences are made of. ASCII only: the HTML renderer does the typography."""

from __future__ import annotations

from collections.abc import Callable

from pba.units import MIB, format_bytes


def mib(value: float) -> str:
    """Return a number of MiB as people read it: `1.5 MiB`, `620 KiB`."""
    return format_bytes(value * MIB)


def relative(before: float, after: float) -> str:
    """Return a change in per cent with its sign: `-12 %`, or `-0.0 %` if too small to see.

    `0` if there is none, `new` if there was nothing before.
    """
    if after == before or (before and abs(after - before) < 1e-9 * abs(before)):
        return "0"
    if before == 0:
        return "new"
    change = (after - before) / before
    if abs(change) < 0.0005:
        return "+0.0 %" if change > 0 else "-0.0 %"
    if change > 9.995:
        return f"x {after / before:,.0f}"
    return f"{100 * change:+.{0 if abs(change) >= 0.0995 else 1}f} %"


def moves(before: float, after: float, write: Callable[[float], str], *, one: bool = False) -> str:
    """Return `fall from 12 to 8 (-33 %)`, `stay at 12` or `rise from ...`, from the numbers.

    Parameters
    ----------
    before, after : float
        The numbers.
    write : callable
        How to write one.
    one : bool
        Whether one thing moves (`falls`) rather than several (`fall`).
    """
    ending = "s" if one else ""
    if before == after or abs(after - before) < 1e-9 * max(abs(before), abs(after)):
        return f"stay{ending} at {write(after)}"
    change = f" ({relative(before, after)})" if before else ""
    if write(before) == write(after):
        return f"stay{ending} at {write(after)}{change}"
    verb = "fall" if after < before else "rise"
    return f"{verb}{ending} from {write(before)} to {write(after)}{change}"


def listing(words: list[str], last: str = "and") -> str:
    """Return `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def ascii_only(text: str) -> str:
    """Return the text with what a plain-text mail has no sign for replaced."""
    for sign, plain in {"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u00d7": "x"}.items():
        text = text.replace(sign, plain)
    return text.encode("ascii", "replace").decode("ascii")
