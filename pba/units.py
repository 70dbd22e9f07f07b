"""Sizes, times and counts as people write and read them: parsed and printed here and nowhere else.

Sizes are in bytes and powers of 1024, as in the kernel's own options; times are in ns; counts are plain
numbers and powers of 1000. Everything is parsed exactly, by decimal arithmetic. What is printed is ASCII.
JSON and CSV get the plain numbers instead.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from numbers import Integral
from typing import Any, Final

from pba.errors import MachineError, PbaError

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

NS_PER: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
"""Nanoseconds in each unit of time."""
LONGEST_NS: Final = 1 << 60
"""The longest time that is read, 36 years: sums of several stay within 64 bits."""
MOST_BYTES: Final = 1 << 60
"""The largest size that is read."""
MOST_COUNT: Final = 10**18
"""The largest count that is read."""

_NUMBER = r"(\d{1,20}(?:\.\d{1,20})?)\s*"
_BYTES = re.compile(_NUMBER + r"([kmgt])(?:i?b)?", re.IGNORECASE | re.ASCII)
_PAGES = re.compile(r"(\d{1,18})\s*(?:p|pages?)", re.IGNORECASE | re.ASCII)
_PAGE_SIZE = re.compile(r"(\d{1,18})\s*(?:k|kib|kb)?", re.IGNORECASE | re.ASCII)
_TIME = re.compile(_NUMBER + r"(ns|us|µs|ms|s|min|h)", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(_NUMBER + r"([kmg]?)", re.IGNORECASE | re.ASCII)
_BYTES_PER = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_COUNT_PER = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_SHOWN = 60
"""Characters of what was given that a message repeats."""


# --- parsing -------------------------------------------------------------------------------------------


def parse_bytes(text: str, what: str = "size") -> int:
    """Return a size in bytes: `4GiB`, `1.5 GiB`, `512M`; `GiB`, `GB` and `G` are the same.

    Raises
    ------
    PbaError
        If it is not such a size, not a whole number of bytes, or over an EiB. `what` names it in the message.
    """
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise PbaError(f"{what} {text[:_SHOWN]!r} is not a size", "write it as 4GiB, 512MiB or 1.5G")
    size = Decimal(match[1]) * _BYTES_PER[match[2].lower()]
    if size != int(size):
        raise PbaError(f"{what} {text[:_SHOWN]!r} is not a whole number of bytes", "give fewer decimals")
    if size > MOST_BYTES:
        raise PbaError(f"{what} {text[:_SHOWN]!r} is larger than any memory", "write it as 4GiB or 512MiB")
    return int(size)


def parse_memory(text: str, page_size_kib: int) -> int:
    """Return a memory size in pages: `4GiB` and so on as for `parse_bytes`, or `1048576pages` (`1048576p`).

    Raises
    ------
    MachineError
        If it is neither, zero, or not a whole number of pages of `page_size_kib` KiB.
    """
    hint = "write it as 4GiB, 512MiB or 1048576pages"
    if match := _PAGES.fullmatch(text.strip()):
        pages, rest = int(match[1]), 0
    else:
        try:
            size = parse_bytes(text, "memory")
        except PbaError as error:
            raise MachineError(error.message, hint) from None
        pages, rest = divmod(size, page_size_kib * KIB) if page_size_kib > 0 else (size, 0)
    if rest:
        raise MachineError(
            f"memory {text[:_SHOWN]} is not a multiple of the page size, {page_size_kib} KiB",
            "give whole pages",
        )
    if pages == 0:
        raise MachineError("a machine cannot have 0 pages of memory", hint)
    return pages


def parse_page_size(text: str) -> int:
    """Return a page size in KiB: `4`, `16K` or `64KiB`.

    Raises
    ------
    MachineError
        If it is not a number. Whether a machine has such pages, `Machine` says.
    """
    match = _PAGE_SIZE.fullmatch(text.strip())
    if match is None:
        raise MachineError(f"page size {text[:_SHOWN]!r} is not a size", "use 4, 16 or 64 (KiB)")
    return int(match[1])


def parse_time(text: str, what: str = "time") -> int:
    """Return a time in ns, to the nearest: `12.5s`, `300ms`, `2min` (also ns, us, h), or `0`.

    Raises
    ------
    PbaError
        If it is not such a time, or longer than 36 years. `what` names it in the message.
    """
    given = text.strip()
    if given == "0":
        return 0
    match = _TIME.fullmatch(given)
    if match is None:
        raise PbaError(f"{what} {text[:_SHOWN]!r} is not a time", "write it as 12.5s, 300ms or 2min")
    time_ns = int((Decimal(match[1]) * NS_PER[match[2].lower().replace("µ", "u")]).to_integral_value())
    if time_ns > LONGEST_NS:
        raise PbaError(f"{what} {text[:_SHOWN]!r} is longer than 36 years", "give a shorter one")
    return time_ns


def time_in_ns(value: Any, what: str = "time") -> int:
    """Return a time in ns that is given as a whole number of ns or as text (`"12.5s"`).

    For functions that Python users call: wherever they take a time, they take both.

    Raises
    ------
    PbaError
        If it is neither.
    """
    if isinstance(value, str):
        return parse_time(value, what)
    if isinstance(value, Integral | float) and value is not True and value is not False and value % 1 == 0:
        return int(value)
    raise PbaError(
        f"{what} {str(value)[:_SHOWN]!r} is not a time", 'give a whole number of ns, or text such as "12.5s"'
    )


def parse_count(text: str, what: str = "count") -> int:
    """Return a number of things: `250000`, `250k`, `10M`, `1.5G`; powers of 1000.

    Raises
    ------
    PbaError
        If it is not a number, not whole, or over 10**18. `what` names it in the message.
    """
    match = _COUNT.fullmatch(text.strip())
    number = Decimal(match[1]) * _COUNT_PER[match[2].lower()] if match else Decimal("0.5")
    if number != int(number):
        raise PbaError(f"{what} {text[:_SHOWN]!r} is not a number", "write it as 250000, 250k or 10M")
    if number > MOST_COUNT:
        raise PbaError(f"{what} {text[:_SHOWN]!r} is more than there can be", "write it as 250000 or 10M")
    return int(number)


# --- printing ------------------------------------------------------------------------------------------


def format_bytes(size: float) -> str:
    """Return a size in bytes as people read it, to four digits: `1.5 MiB`, `620 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(shown := _rounded(size, 4)) < 1024:
            return f"{shown:g} {unit}"
        size /= 1024
    return f"{_rounded(size, 4):g} TiB" if abs(size) < 9999.5 else f"{size:,.0f} TiB"


def format_time(time_ns: float) -> str:
    """Return a length of time in ns as people read it: `3 h 20 min`, `2 min 5 s`, `3.2 s`, `120 us`."""
    seconds = time_ns / 1e9
    if round(seconds) >= 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
    if _rounded(seconds, 3) >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    for unit, factor in (("s", 1e0), ("ms", 1e3), ("us", 1e6)):
        if (shown := _rounded(seconds * factor, 3)) >= 1:
            return f"{shown:g} {unit}"
    return f"{time_ns:.0f} ns" if time_ns else "0 s"


def exact_time(time_ns: int) -> str:
    """Return a time in ns in the largest unit that it is a whole number of, as `parse_time` reads it."""
    unit, factor = next(each for each in reversed(NS_PER.items()) if time_ns % each[1] == 0)
    return f"{time_ns // factor}{unit}"


def number(value: Any) -> str:
    """Return a number with its thousands apart: a count in full, `12,345`; a mean to three digits, `4.53`.

    A mean of 100 and more is rounded to a whole number, `1,918`. NaN is `-`.
    """
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if math.isnan(value):
        return "-"
    if float(value).is_integer() or abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share of 1 as a percentage: `12 %`, `0.4 %`; `-` for NaN. Less than all is never `100 %`."""
    if math.isnan(share):
        return "-"
    if 0.995 <= share < 1:
        return fine_percent(share)
    return f"{100 * share:.{0 if abs(share) >= 0.0995 else 1}f} %"


def fine_percent(share: float) -> str:
    """Return a share near 1 with the digits that tell, rounded down: `99.83 %`; `-` for NaN."""
    return "-" if math.isnan(share) else f"{math.floor(round(share * 1e4, 6)) / 100:.2f} %"


def plural(count: float, word: str, words: str = "") -> str:
    """Return a number of things: `1 page`, `1,918 pages`, `12.3 pages`, `2 passes`.

    Parameters
    ----------
    count : float
        How many there are; a mean is written as `number` writes one.
    word, words : str
        What one is called, and what several are called; `word` with an s by default.
    """
    written = number(count)
    return f"{written} {word if written == '1' else words or word + 's'}"


def _rounded(value: float, digits: int) -> float:
    """Return a number rounded to what is shown of it, so that 999.9 ms are `1 s`, not `1e+03 ms`."""
    return float(f"{value:.{digits}g}")
