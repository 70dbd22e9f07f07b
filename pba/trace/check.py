"""The door of the trace room: columns are cast and every event is checked, once."""

from __future__ import annotations

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

if TYPE_CHECKING:
    import pandas as pd

    from pba.trace.table import Trace

MAX_ORDER = 13
"""Largest `MAX_PAGE_ORDER` of all page sizes."""
LARGEST_TIME_NS = (1 << 62) - 1
"""146 years: no difference of two times, and no sum in the kernel's time integral, overflows."""

GOOD, BACKWARDS, DOUBLE_ALLOC, BAD_OP, BAD_ID, BAD_ARG = range(6)
"""What `_assign_slots` found."""


def cast_columns(columns: dict[str, Any], path: str | Path | None = None) -> dict[str, NDArray[Any]]:
    """Return the columns in the types of `pba.trace.table.DTYPES`.

    Raises
    ------
    TraceError
        If a column is missing, unknown, of another length, or holds values that its type cannot, or a time
        is negative or beyond `LARGEST_TIME_NS`.
    """
    from pba.trace.table import DTYPES

    missing = [name for name in ("time_ns", "op", "id", "arg") if name not in columns]
    unknown = sorted(set(columns) - set(DTYPES))
    if missing or unknown:
        problem = f"column {missing[0]} is missing" if missing else f"column {unknown[0]} is unknown"
        raise TraceError(problem, "a trace has the columns " + ", ".join(DTYPES), path=path)
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
    _refuse_outside(cast["time_ns"], LARGEST_TIME_NS, "time {} ns is out of range", path)
    _refuse_outside(cast["level"], len(LEVELS) - 1, "page-table level {} is unknown", path)
    return cast


def _refuse_outside(values: NDArray[Any], largest: int, message: str, path: str | Path | None) -> None:
    """Raise `TraceError` for the first value below 0 or above `largest`."""
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) <= largest:
        where = int(np.flatnonzero((values < 0) | (values > largest))[0])
        hint = f"it ranges from 0 to {largest}"
        raise TraceError(message.format(values[where]), hint, path=path, event=where)


def assign_slots(
    arrays: dict[str, NDArray[Any]], path: str | Path | None = None
) -> tuple[NDArray[np.int32], int, int, int]:
    """Check the events and make the ids dense.

    Returns
    -------
    slot : ndarray of int32, shape (n,)
        See `Trace.slot`.
    nr_slots, nr_background_slots : int
        Number of slots of each kind.
    unknown_frees : int
        Frees of ids that are not live.

    Raises
    ------
    TraceError
        For the first event that contradicts the ones before it.
    """
    ids = arrays["id"]
    if len(ids) and int(ids.max()) > 4 * len(ids) + (1 << 20):
        # A table as long as the largest id would dwarf the trace.
        dense = np.unique(ids, return_inverse=True)[1].astype(np.int32)
        ids = np.where(ids < 0, ids, dense)
    nr_ids = int(ids.max()) + 1 if len(ids) else 0
    slot = np.empty(len(ids), np.int32)
    status, where, nr_slots, nr_background, unknown = _assign_slots(
        arrays["time_ns"], arrays["op"], ids, arrays["arg"], slot, max(nr_ids, 1)
    )
    if status != GOOD:
        raise describe(arrays, status, where, path)
    return slot, nr_slots, nr_background, unknown


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
def _bad(op, name, argument):  # type: ignore[no-untyped-def]
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
def _assign_slots(time_ns, op, ids, arg, slot, nr_ids):  # type: ignore[no-untyped-def]
    """Fill `slot`; return (status, event at fault, slots, background slots, unknown frees).

    `ids` are below `nr_ids`. Indices are unsigned, which spares Numba a look at their sign.
    """
    holder = np.full(2 * nr_ids, -1, np.int32)  # page tables first, then background chunks
    spare = np.empty(2 * nr_ids, np.int32)
    nr_spare = np.zeros(2, np.int64)
    nr_slots = np.zeros(2, np.int64)
    unknown = 0
    last = np.int64(0)
    for i in range(len(op)):
        at = np.uint64(i)
        kind = op[at]
        name = ids[at]
        if time_ns[at] < last:
            return BACKWARDS, i, 0, 0, 0
        last = time_ns[at]
        if kind < OP_ALLOC or kind > OP_FREE or name < 0 or arg[at] != 0:
            status = _bad(kind, name, arg[at])
            if status != GOOD:
                return status, i, 0, 0, 0
            if kind in (OP_SHRINK, OP_DROP):
                slot[at] = -1
                continue
        space = 1 if kind >= OP_BG_ALLOC else 0
        where = np.uint64(space * nr_ids + name)
        held = holder[where]
        if kind in (OP_ALLOC, OP_BG_ALLOC):
            if held >= 0:
                return DOUBLE_ALLOC, i, 0, 0, 0
            if nr_spare[space] > 0:
                nr_spare[space] -= 1
                held = spare[np.uint64(space * nr_ids + nr_spare[space])]
            else:
                held = np.int32(nr_slots[space])
                nr_slots[space] += 1
            holder[where] = held
        elif held < 0:
            unknown += 1
        else:
            holder[where] = -1
            spare[np.uint64(space * nr_ids + nr_spare[space])] = held
            nr_spare[space] += 1
        slot[at] = held
    return GOOD, -1, nr_slots[0], nr_slots[1], unknown


def refuse_unknown_frees(trace: Trace, path: str | Path | None = None, line: int | None = None) -> None:
    """Raise `TraceError` if a trace frees what is not live; `line` is the line of its first such event."""
    where = trace.first_unknown_free()
    if where is not None:
        raise TraceError(
            f"id {trace.id[where]} is freed but not live, the first of {trace.unknown_frees} such frees",
            "without strict they are skipped and counted",
            path=path or trace.name,
            line=line,
            event=where,
        )


def describe(arrays: dict[str, NDArray[Any]], status: int, where: int, path: str | Path | None) -> TraceError:
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


__all__ = ["assign_slots", "cast_columns", "columns_from_frame"]
