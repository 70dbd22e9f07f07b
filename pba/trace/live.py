"""What is live while events go by: for traces that are read in blocks, as they are too large to be held."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry, kernel_inline
from pba.errors import TraceError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_DROP, OP_FREE, OP_SHRINK
from pba.trace.check import BACKWARDS, DOUBLE_ALLOC, GOOD, contradiction, fault_of
from pba.trace.columns import LARGEST_TIME_NS

EMPTY: Final = -1
"""In a table: no id is here."""
SMALLEST: Final = 1 << 12
"""Places of a new table."""
MULTIPLIER: Final = 2654435769
"""2**32 over the golden ratio: ids that follow on each other lie far apart in a table."""

PAGES_FULL, CHUNKS_FULL = 101, 102
"""What `_follow` returns beside what `pba.trace.check` finds: a table must grow before it goes on."""

LAST_TIME, LEFT_AT_START, UNKNOWN, PEAK, LIVE, NR_COUNTERS = 0, 1, 2, 3, 4, 6
"""Places in `_follow`'s counters; `LIVE` has one place for page tables and one for background chunks."""


class Table(NamedTuple):
    """The ids that are live: a hash table with linear probing, at most half full.

    Attributes
    ----------
    ids : ndarray of int32, shape (2**n,)
        The id at each place, or `EMPTY`.
    born_ns : ndarray of int64, shape (2**n,)
        When it was allocated; -1 if it was live before the recording began.
    shift : int
        32 - n.
    """

    ids: NDArray[np.int32]
    born_ns: NDArray[np.int64]
    shift: int


class LiveIds:
    """Follows the events of a trace, block by block, and checks each as `pba.trace.check.Slots` does.

    It holds what is live, 24 to 48 bytes for each page table (and each background chunk) of the peak, and
    half as much again while its table grows.

    Parameters
    ----------
    live_at_start : int
        `Quality.live_at_start`: that many allocations at the first event's time are of pages that were live
        before the recording began.
    path : str or Path, optional
        The file that the events come from, for error messages.

    Attributes
    ----------
    events : int
        Events so far.
    """

    def __init__(self, live_at_start: int = 0, path: str | Path | None = None) -> None:
        self.events = 0
        self._path = path
        self._first_ns = 0
        self._live_at_start = live_at_start
        self._tables = [_table(SMALLEST), _table(SMALLEST)]
        self._counters = np.zeros(NR_COUNTERS, np.int64)
        self._counters[LEFT_AT_START] = live_at_start

    @property
    def pages_at_start(self) -> int:
        """Page-table pages that were live before the recording began, as far as the events have them."""
        return self._live_at_start - int(self._counters[LEFT_AT_START])

    @property
    def live_pages(self) -> int:
        """Page-table pages that are live now."""
        return int(self._counters[LIVE])

    @property
    def peak_pages(self) -> int:
        """Most page-table pages that were live after any event."""
        return int(self._counters[PEAK])

    @property
    def unknown_frees(self) -> int:
        """Frees so far of what was not live."""
        return int(self._counters[UNKNOWN])

    def take(self, columns: dict[str, NDArray[Any]]) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Take the next events.

        Parameters
        ----------
        columns : dict of ndarray
            `time_ns`, `op`, `id` and `arg` of `pba.trace.table.DTYPES`.

        Returns
        -------
        step : ndarray of int8, shape (n,)
            What each event adds to the live pages by its own demand: 1, -1, or 0, which is that of the pages
            that were live at the start.
        age_ns : ndarray of int64, shape (n,)
            How long the page that an event frees was seen to live; -1 for other events, and where its
            allocation was not seen.

        Raises
        ------
        TraceError
            For the first event that contradicts those before it.
        """
        time_ns, op, ids, arg = (columns[name] for name in ("time_ns", "op", "id", "arg"))
        if not self.events and len(time_ns):
            self._first_ns = int(time_ns[0])
        step, age_ns = np.empty(len(op), np.int8), np.empty(len(op), np.int64)
        at = 0
        while True:
            pages, chunks = self._tables
            status, at = _follow(
                time_ns, op, ids, arg, at, self._first_ns, pages, chunks, self._counters, step, age_ns
            )
            if status not in (PAGES_FULL, CHUNKS_FULL):
                break
            self._tables[status - PAGES_FULL] = _grown(self._tables[status - PAGES_FULL])
        if status != GOOD or (len(time_ns) and time_ns[-1] > LARGEST_TIME_NS):
            self._refuse(columns, status, at)
        self.events += len(op)
        return step, age_ns

    def _refuse(self, columns: dict[str, NDArray[Any]], status: int, where: int) -> None:
        """Raise the error of an event of the latest block."""
        times = columns["time_ns"]
        outside = np.flatnonzero((times < 0) | (times > LARGEST_TIME_NS))
        if len(outside):
            where = int(outside[0])
            message, hint = (
                f"time {times[where]} ns is out of range",
                f"it ranges from 0 to {LARGEST_TIME_NS}",
            )
        else:
            # The event and the one before it, which is of the block before if it is the first of its own.
            known = {
                name: columns[name][[max(where - 1, 0), where]] for name in ("time_ns", "op", "id", "arg")
            }
            if status == BACKWARDS and not where:
                known["time_ns"][0] = self._counters[LAST_TIME]
            error = contradiction(known, status, 1, None)
            message, hint = error.message.split(": ", 1)[1], error.hint  # the event's number is another
        raise TraceError(message, hint, path=self._path, event=self.events + where)

    def censored_ages(self, end_ns: int) -> NDArray[np.int64]:
        """Return, sorted, how long the pages that are live have been seen to live until `end_ns`."""
        table = self._tables[0]
        born = table.born_ns[(table.ids != EMPTY) & (table.born_ns >= 0)]
        return np.sort(end_ns - born)


def _table(places: int) -> Table:
    """Return an empty table."""
    ids = np.full(places, EMPTY, np.int32)
    return Table(ids, np.full(places, -1, np.int64), 33 - places.bit_length())


def _grown(table: Table) -> Table:
    """Return a table with the same ids and twice the places."""
    larger = _table(2 * len(table.ids))
    _move(table, larger)
    return larger


@kernel_inline
def _place(table: Table, name: int) -> np.int64:
    """Return the place of an id, or the empty one where it would go."""
    mask = len(table.ids) - 1
    at = ((np.int64(name) * MULTIPLIER) & 0xFFFFFFFF) >> table.shift
    while table.ids[at] != EMPTY and table.ids[at] != name:
        at = (at + 1) & mask
    return at


@kernel_inline
def _remove(table: Table, hole: int | np.int64) -> None:
    """Empty a place, and move up what lies behind it, so that no gap stands before its id."""
    mask = len(table.ids) - 1
    at = (hole + 1) & mask
    while table.ids[at] != EMPTY:
        home = ((np.int64(table.ids[at]) * MULTIPLIER) & 0xFFFFFFFF) >> table.shift
        if ((at - home) & mask) >= ((at - hole) & mask):
            table.ids[hole] = table.ids[at]
            table.born_ns[hole] = table.born_ns[at]
            hole = at
        at = (at + 1) & mask
    table.ids[hole] = EMPTY


@kernel_entry
def _move(table: Table, larger: Table) -> None:
    """Put all ids of a table into an empty one."""
    for at in range(len(table.ids)):
        if table.ids[at] != EMPTY:
            to = _place(larger, table.ids[at])
            larger.ids[to] = table.ids[at]
            larger.born_ns[to] = table.born_ns[at]


@kernel_entry
def _follow(
    time_ns: NDArray[np.int64],
    op: NDArray[np.int8],
    ids: NDArray[np.int32],
    arg: NDArray[np.int8],
    start: int,
    first_ns: int,
    pages: Table,
    chunks: Table,
    counters: NDArray[np.int64],
    step: NDArray[np.int8],
    age_ns: NDArray[np.int64],
) -> tuple[int, int]:
    """Fill `step` and `age_ns` from event `start` on; return (status, event that it stopped at)."""
    for i in range(start, len(op)):
        kind, name, now = op[i], ids[i], time_ns[i]
        if now < counters[LAST_TIME]:
            return BACKWARDS, i
        if kind < OP_ALLOC or kind > OP_FREE or name < 0 or arg[i] != 0:
            status = fault_of(kind, name, arg[i])
            if status != GOOD:
                return status, i
        counters[LAST_TIME] = now
        step[i], age_ns[i] = 0, -1
        if kind in (OP_SHRINK, OP_DROP):
            continue
        space = 1 if kind >= OP_BG_ALLOC else 0
        table = chunks if space else pages
        at = _place(table, name)
        is_live = table.ids[at] == name
        if kind in (OP_ALLOC, OP_BG_ALLOC):
            if is_live:
                return DOUBLE_ALLOC, i
            if 2 * counters[LIVE + space] >= len(table.ids):
                return PAGES_FULL + space, i
            table.ids[at] = name
            counters[LIVE + space] += 1
            table.born_ns[at] = now
            if kind == OP_ALLOC:
                if now == first_ns and counters[LEFT_AT_START] > 0:
                    counters[LEFT_AT_START] -= 1
                    table.born_ns[at] = -1
                else:
                    step[i] = 1
                counters[PEAK] = max(counters[PEAK], counters[LIVE])
        elif is_live:
            if kind == OP_FREE:
                step[i] = -1
                if table.born_ns[at] >= 0:
                    age_ns[i] = now - table.born_ns[at]
            _remove(table, at)
            counters[LIVE + space] -= 1
        else:
            counters[UNKNOWN] += 1
    return GOOD, len(op)


__all__ = ["LiveIds"]
