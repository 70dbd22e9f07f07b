"""Numbers as people read them. ASCII only: the HTML renderer does the typography."""

from __future__ import annotations

import math
from collections.abc import Callable


def size(mib: float) -> str:
    """Return a number of MiB as people read it: `1.5 MiB`, `620 KiB`."""
    number, unit = mib, "MiB"
    if abs(mib) < 1:
        number, unit = (mib * 1024, "KiB")
    elif abs(mib) >= 1024:
        number, unit = (mib / 1024, "GiB")
    return "0" if mib == 0 else f"{number:.0f} {unit}" if abs(number) >= 99.95 else f"{number:.3g} {unit}"


def count(number: float) -> str:
    """Return a whole number with thousands apart: `12,345`."""
    return f"{number:,.0f}"


def mean_count(number: float) -> str:
    """Return a mean of counts with the digits that tell: `1,918`, `12.3`."""
    return count(number) if abs(number) >= 99.95 else f"{number:.3g}"


def pages(number: float) -> str:
    """Return a mean number of pages as people read it: `1,918 pages`, `12.3 pages`."""
    written = mean_count(number)
    return f"{written} page{'' if written == '1' else 's'}"


def plural(number: float, word: str, words: str = "") -> str:
    """Return `1 recording`, `9 recordings`."""
    return f"{count(number)} {word if number == 1 else words or word + 's'}"


def percent(part: float) -> str:
    """Return a share as a percentage: `12 %`, `0.4 %`."""
    return "-" if math.isnan(part) else f"{100 * part:.{0 if abs(part) >= 0.0995 else 1}f} %"


def recall(share: float) -> str:
    """Return a share near one with the digits that tell: `99.83 %`; `-` where there is none."""
    return "-" if math.isnan(share) else f"{100 * math.floor(share * 1e4) / 1e4:.2f} %"


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


def duration(nanoseconds: float) -> str:
    """Return a length of time: `61 s`, `4 min 10 s`, `3 h 20 min`."""
    seconds = nanoseconds / 1e9
    if seconds >= 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
    if seconds < 10:
        return f"{seconds:.3g} s"
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {int(seconds % 60):02d} s"


def listing(words: list[str], last: str = "and") -> str:
    """Return `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def shorten(name: str, width: int) -> str:
    """Return a name cut in its middle to at most `width` characters: `kernel-b..-allnoconfig`."""
    if len(name) <= width:
        return name
    if width < 5:
        return name[:width]
    head = (width - 2 + 1) // 2
    return f"{name[:head]}..{name[len(name) - (width - 2 - head) :]}"


def ascii_only(text: str) -> str:
    """Return the text with what a plain-text mail has no sign for replaced."""
    for sign, plain in {"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u00d7": "x"}.items():
        text = text.replace(sign, plain)
    return text.encode("ascii", "replace").decode("ascii")
