"""The lines of `mm_shrink_slab_start` in ftrace and perf text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from pba.events import MAX_PRIORITY
from pba.tracepoints.visits import MEMCG_UNKNOWN, ShrinkLines

_LINE: Final = re.compile(
    r"mm_shrink_slab_start:\s+(?P<function>[^\s+]+)\S*(?:\s+\[[^\]]*\])?\s+(?P<pointer>\S+?):\s+"
    r"nid:\s*(?P<nid>-?\d{1,19})\s+(?:pid:\s*-?\d+\s+)?(?:\(in-irq\)\s+)?"
    r"(?:memcg_id:\s*(?P<memcg>-?\d{1,19})\s+)?(?:\(in-irq\)\s+)?"
    r"objects to shrink\s+(?P<deferred>-?\d{1,19})\s+gfp_flags\s+\S+\s+cache items\s+(?P<items>-?\d{1,19})\s+"
    r"delta\s+(?P<delta>-?\d{1,19})\s+total_scan\s+(?P<total_scan>-?\d{1,19})\s+priority\s+(?P<priority>\d{1,19})"
)


class _Row(NamedTuple):
    """A line's fields, as `ShrinkLines` names them."""

    time_ns: int
    pid: int
    instance: int
    function: str
    nid: int
    priority: int
    items: int
    deferred: int
    delta: int
    total_scan: int
    memcg: int
    kswapd: bool


@dataclass
class ShrinkText:
    """What was read so far.

    Attributes
    ----------
    unparsed : int
        Lines that were not understood.
    """

    unparsed: int = 0
    _rows: list[_Row] = field(default_factory=list)
    _instances: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, line: str, time_ns: int, pid: int) -> bool:
        """Take in a line; return whether it was understood.

        Parameters
        ----------
        line : str
            All of it.
        time_ns, pid : int
            What its prefix says.
        """
        match = _LINE.search(line)
        row = None if match is None else self._row(match, line, time_ns, pid)
        if row is None:
            self.unparsed += 1
            return False
        self._rows.append(row)
        return True

    def _row(self, match: re.Match[str], line: str, time_ns: int, pid: int) -> _Row | None:
        """Return a line's fields; None if a number is out of all range."""
        names = ("nid", "priority", "items", "deferred", "delta", "total_scan")
        numbers = {name: int(match[name]) for name in names}
        memcg = MEMCG_UNKNOWN if match["memcg"] is None else int(match["memcg"])
        if numbers["priority"] > MAX_PRIORITY or max(map(abs, (*numbers.values(), memcg))) >> 62:
            return None
        function = match["function"]
        instance = self._instances.setdefault((function, match["pointer"]), len(self._instances))
        kswapd = line.lstrip().startswith("kswapd")
        return _Row(time_ns, pid, instance, function, **numbers, memcg=memcg, kswapd=kswapd)

    def lines(self) -> ShrinkLines:
        """Return all lines, sorted by time."""
        rows = sorted(self._rows, key=lambda row: row.time_ns)
        columns = dict(zip(_Row._fields, zip(*rows, strict=True), strict=True)) if rows else {}
        integers = {
            name: np.array(columns.get(name, ()), np.int64)
            for name in _Row._fields
            if name not in ("function", "kswapd")
        }
        kswapd = np.array(columns.get("kswapd", ()), np.bool_)
        return ShrinkLines(**integers, function=list(columns.get("function", ())), kswapd=kswapd)
