"""The door of the trace room: columns are cast and every event is checked, once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.errors import TraceError
from pba.events import (
    INFERRED,
    LEVELS,
    MAX_PRIORITY,
    OP_ALLOC,
    OP_BG_ALLOC,
    OP_BG_FREE,
    OP_DROP,
    OP_FREE,
    OP_LETTERS,
    OP_SHRINK,
)
from pba.trace.columns import DTYPES, LARGEST_TIME_NS, MAX_ORDER, NEEDED

if TYPE_CHECKING:
    import pandas as pd

GOOD, BACKWARDS, DOUBLE_ALLOC, BAD_OP, BAD_ID, BAD_ARG = range(6)
"""What `_assign_slots` found."""

NR_SPARE, NR_SLOTS, NR_UNKNOWN, LAST_TIME, NR_COUNTERS = 0, 2, 4, 5, 6
"""Places in `_assign_slots`'s counters; the first two have one for page tables and one for background."""


def cast_columns(columns: dict[str, Any], path: str | Path | None = None) -> dict[str, NDArray[Any]]:
    """Return the columns in the types of `pba.trace.columns.DTYPES`.

    Raises
    ------
    TraceError
        If a column is missing, unknown, of another length, or holds values that its type cannot.
    """
    refuse_columns(columns, path)
    length = len(columns["time_ns"])
    cast = {}
    for name, dtype in DTYPES.items():
        given = np.asarray(columns.get(name, ()))
        if given.ndim != 1:
            raise TraceError(f"column {name} has {given.ndim} dimensions, not 1", path=path)
        if len(given) != length and not (name in ("level", "pfn") and len(given) == 0):
            raise TraceError(f"column {name} has {len(given)} values, not {length}", path=path)
        if len(given) and given.dtype.kind not in "iu":
            raise TraceError(f"column {name} holds {given.dtype}, not whole numbers", path=path)
        values = np.ascontiguousarray(given, dtype)
        if given.dtype != dtype and not np.array_equal(values, given):
            where = int(np.flatnonzero(values != given)[0])
            raise TraceError(f"{name} = {given[where]} does not fit {dtype}", path=path, event=where)
        cast[name] = values
    _refuse_outside(cast["level"], len(LEVELS) - 1, "page-table level {} is unknown", path)
    return cast


def refuse_columns(names: Iterable[str], path: str | Path | None = None) -> None:
    """Raise `TraceError` if a column that a trace must have is missing, or one is not a column of traces."""
    given = set(names)
    missing = [name for name in NEEDED if name not in given]
    unknown = sorted(given - set(DTYPES))
    if missing or unknown:
        problem = f"column {missing[0]} is missing" if missing else f"column {unknown[0]} is unknown"
        raise TraceError(problem, "a trace has the columns " + ", ".join(DTYPES), path=path)


def _refuse_outside(values: NDArray[Any], largest: int, message: str, path: str | Path | None) -> None:
    """Raise `TraceError` for the first value below 0 or above `largest`."""
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) <= largest:
        where = int(np.flatnonzero((values < 0) | (values > largest))[0])
        hint = f"it ranges from 0 to {largest}"
        raise TraceError(message.format(values[where]), hint, path=path, event=where)


class Slots:
    """Checks events and makes their ids dense, part after part, so that it keeps pace with a reader.

    Parameters
    ----------
    arrays : dict of ndarray
        A trace's columns, in their types and of their final length. What is behind `advance` may yet change.
    path : str or Path, optional
        The file that they come from, for error messages.

    Attributes
    ----------
    slot : ndarray of int32, shape (n,)
        See `Trace.slot`; filled as far as `advance` came.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], path: str | Path | None = None) -> None:
        self._arrays = arrays
        self._path = path
        self.slot = np.empty(len(arrays["id"]), np.int32)
        self._restart()

    def _restart(self) -> None:
        """Stand before the first event."""
        self._reached = 0
        self._sparse = False
        self._holder = np.empty((1, 0), np.int32)
        self._spare = np.empty((1, 0), np.int32)
        self._counters = np.zeros(NR_COUNTERS, np.int64)

    def advance(self, end: int) -> None:
        """Take the events before number `end`.

        Raises
        ------
        TraceError
            For the first event that contradicts the ones before it.
        """
        ids = self._arrays["id"]
        largest = int(ids[self._reached : end].max(initial=0))
        # A table as long as the largest id would dwarf the trace: `finish` sees to those.
        self._sparse |= largest > 4 * len(ids) + (1 << 20)
        if not self._sparse:
            self._take(ids, end, largest)

    def _take(self, ids: NDArray[np.int32], end: int, largest: int) -> None:
        """Take the events before number `end`, whose ids are at most `largest`."""
        background = int(self._arrays["op"][self._reached : end].max(initial=0)) >= OP_BG_ALLOC
        self._make_room(1 + background, largest + 1)
        time_ns, op, arg = (self._arrays[name] for name in ("time_ns", "op", "arg"))
        status, where = _assign_slots(
            time_ns, op, ids, arg, self.slot, self._reached, end, self._holder, self._spare, self._counters
        )
        if status != GOOD:
            _refuse_times(time_ns, self._path)
            raise contradiction(self._arrays, status, where, self._path)
        self._reached = end

    def _make_room(self, rows: int, width: int) -> None:
        """Let the tables by id have so many rows and ids at least, and grow in leaps."""
        more_rows = max(rows - self._holder.shape[0], 0)
        more = width - self._holder.shape[1]
        if more_rows or more > 0:
            room = ((0, more_rows), (0, max(more, self._holder.shape[1]) if more > 0 else 0))
            self._holder = np.pad(self._holder, room, constant_values=-1)
            self._spare = np.pad(self._spare, room)

    def finish(self) -> dict[str, int]:
        """Take the rest; return `nr_slots`, `nr_background_slots` and `unknown_frees` of `Trace`.

        Raises
        ------
        TraceError
            As `advance`, or if a time is beyond `LARGEST_TIME_NS`.
        """
        ids = self._arrays["id"]
        self.advance(len(ids))
        if self._sparse:
            self._restart()
            dense = np.unique(ids, return_inverse=True)[1].astype(np.int32)
            self._take(np.where(ids < 0, ids, dense), len(ids), int(dense.max()))
        times = self._arrays["time_ns"]
        if len(times) and times[-1] > LARGEST_TIME_NS:  # it is the largest
            _refuse_times(times, self._path)
        numbers = self._counters[[NR_SLOTS, NR_SLOTS + 1, NR_UNKNOWN]].tolist()
        return dict(zip(("nr_slots", "nr_background_slots", "unknown_frees"), numbers, strict=True))


def _refuse_times(time_ns: NDArray[np.int64], path: str | Path | None) -> None:
    """Raise `TraceError` for the first time that is negative or beyond `LARGEST_TIME_NS`."""
    _refuse_outside(time_ns, LARGEST_TIME_NS, "time {} ns is out of range", path)


@jit
def translate(numbers, codes, out):  # type: ignore[no-untyped-def]
    """Write the code of each number into `out`; return whether every number has one."""
    limit = np.uint64(len(codes))
    for i in range(len(numbers)):
        number = np.uint64(numbers[np.uint64(i)])  # below 0 it is beyond all
        if number >= limit:
            return False
        out[np.uint64(i)] = codes[number]
    return True


@jit
def fault_of(op, name, argument):  # type: ignore[no-untyped-def]
    """Return what is wrong with an event by itself, or GOOD."""
    if op < OP_ALLOC or op > OP_BG_FREE:
        return BAD_OP
    limit = MAX_PRIORITY if op == OP_SHRINK else MAX_ORDER if op == OP_BG_ALLOC else 0
    if argument < 0 or argument > (INFERRED if op == OP_FREE else limit):
        return BAD_ARG
    if name < 0 and op not in (OP_SHRINK, OP_DROP):
        return BAD_ID
    return GOOD


@jit
def _assign_slots(time_ns, op, ids, arg, slot, start, end, holder, spare, counters):  # type: ignore[no-untyped-def]
    """Fill `slot` from event `start` to before `end`; return (status, event at fault).

    `ids` are below the width of `holder` and `spare`, whose first row is of page tables and the second,
    if there is one, of background chunks. Indices are unsigned, which spares Numba a look at their sign.
    """
    last = counters[LAST_TIME]
    for i in range(start, end):
        at = np.uint64(i)
        kind = op[at]
        name = ids[at]
        if time_ns[at] < last:
            return BACKWARDS, i
        last = time_ns[at]
        if kind < OP_ALLOC or kind > OP_FREE or name < 0 or arg[at] != 0:
            status = fault_of(kind, name, arg[at])
            if status != GOOD:
                return status, i
            if kind in (OP_SHRINK, OP_DROP):
                slot[at] = -1
                continue
        space = np.uint64(1 if kind >= OP_BG_ALLOC else 0)
        where = np.uint64(name)
        held = holder[space, where]
        if kind in (OP_ALLOC, OP_BG_ALLOC):
            if held >= 0:
                return DOUBLE_ALLOC, i
            if counters[NR_SPARE + space] > 0:
                counters[NR_SPARE + space] -= 1
                held = spare[space, np.uint64(counters[NR_SPARE + space])]
            else:
                held = np.int32(counters[NR_SLOTS + space])
                counters[NR_SLOTS + space] += 1
            holder[space, where] = held
        elif held < 0:
            counters[NR_UNKNOWN] += 1
        else:
            holder[space, where] = -1
            spare[space, np.uint64(counters[NR_SPARE + space])] = held
            counters[NR_SPARE + space] += 1
        slot[at] = held
    counters[LAST_TIME] = last
    return GOOD, -1


def contradiction(
    arrays: dict[str, NDArray[Any]], status: int, where: int, path: str | Path | None
) -> TraceError:
    """Say in words what is wrong with an event."""
    time_ns, op, ids, arg = (arrays[name] for name in ("time_ns", "op", "id", "arg"))
    letter = OP_LETTERS[op[where]] if 0 <= op[where] < len(OP_LETTERS) else "?"
    message, hint = {
        BACKWARDS: (
            f"time goes backwards, from {time_ns[where - 1]} to {time_ns[where]} ns",
            "events must stand in the order of their time: sort them",
        ),
        DOUBLE_ALLOC: (
            f"{letter} {ids[where]}: id {ids[where]} is allocated already",
            "an id may be used again only after its free",
        ),
        BAD_OP: (f"op {op[where]} is unknown", "ops are 0 to 5, see pba.events"),
        BAD_ID: (f"{letter} {ids[where]}: an id is 0 or more", "number the pages anew"),
        BAD_ARG: (
            f"{letter}: {'priority' if letter == 'S' else 'argument'} {arg[where]} is out of range",
            f"S has 0 to {MAX_PRIORITY}, B 0 to {MAX_ORDER}, an inferred F {INFERRED}, others none",
        ),
    }[status]
    return TraceError(message, hint, path=path, event=where)


def columns_from_frame(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a DataFrame with ops and levels as codes.

    Raises
    ------
    TraceError
        If an op's letter or a level's name is unknown.
    """
    columns: dict[str, Any] = {str(name): frame[name].to_numpy() for name in frame.columns}
    for name, names in (("op", OP_LETTERS), ("level", LEVELS)):
        if name not in columns or columns[name].dtype.kind in "iu":
            continue
        codes = {text: code for code, text in enumerate(names)}
        found = np.array([codes.get(text, -1) for text in columns[name]], np.int8)
        if len(found) and found.min() < 0:
            where = int(np.flatnonzero(found < 0)[0])
            known = ", ".join(filter(None, names))
            unknown = columns[name][where]
            raise TraceError(f"{name} {unknown!r} is unknown", f"it is one of {known}", event=where)
        columns[name] = found
    return columns


__all__ = [
    "Slots",
    "cast_columns",
    "columns_from_frame",
    "contradiction",
    "fault_of",
    "refuse_columns",
    "translate",
]
