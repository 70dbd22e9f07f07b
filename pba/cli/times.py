"""Times as people write them on a command line."""

from __future__ import annotations

import re
from decimal import Decimal

from pba.errors import PbaError

UNITS_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
LONGEST_NS = 1 << 60
_TIME = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)\s*(ns|us|µs|ms|s|min|h)", re.IGNORECASE | re.ASCII)


def parse_time(text: str, what: str = "time") -> int:
    """Return a time in ns, to the nearest: `12.5s`, `300ms`, `2min` (also ns, us, h), or `0`.

    Raises
    ------
    PbaError
        If it is no such time, or longer than 36 years. `what` names it there.
    """
    given = text.strip()
    if given == "0":
        return 0
    match = _TIME.fullmatch(given)
    if match is None:
        raise PbaError(f"{what} {text[:60]!r} is not a time", "write it as 12.5s, 300ms or 2min")
    unit = match[2].lower().replace("µ", "u")
    time_ns = int((Decimal(match[1]) * UNITS_NS[unit]).to_integral_value())
    if time_ns > LONGEST_NS:
        raise PbaError(f"{what} {text[:60]!r} is longer than 36 years", "give a shorter one")
    return time_ns
