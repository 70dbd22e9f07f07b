"""The text form: one event a line, `time_ns op id [arg]`, `#` starts a comment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.errors import TraceError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_LETTERS, OP_SHRINK
from pba.trace.columns import LARGEST_ID, LARGEST_TIME_NS
from pba.trace.forms.gathered import Gathered
from pba.trace.forms.lines import whole_lines
from pba.trace.forms.opening import open_stream
from pba.trace.forms.writing import METADATA_MARK
from pba.trace.metadata import Metadata
from pba.trace.table import Trace, refuse_unknown_frees

CHUNK_BYTES = 1 << 20
LINES = "expected lines such as '1500 A 7'"
LARGEST_TENTH = LARGEST_TIME_NS // 10
"""A time that is larger than this before its last digit is out of range."""

EXPECTED = {
    "A": "time_ns A id",
    "F": "time_ns F id",
    "S": "time_ns S priority",
    "D": "time_ns D",
    "B": "time_ns B id order",
    "b": "time_ns b id",
}


def sniff(head: bytes) -> bool:
    """Return whether the beginning of a file can be the text form (comments, or a number and a letter)."""
    for line in head.split(b"\n"):
        fields = line.split()
        if not fields or fields[0].startswith(b"#"):
            continue
        return fields[0].isdigit() and (len(fields) == 1 or len(fields[1]) == 1)
    return METADATA_MARK in head


def read_text(path: str | Path, *, strict: bool = False) -> Trace:
    """Read the text form, plain or compressed; `strict` refuses a free of what is not live.

    Raises
    ------
    TraceError
        With file and line: for a line that does not parse, an unknown op, and whatever `Trace.from_arrays`
        refuses.
    """
    events = Gathered()
    metadata: Metadata | None = None
    with open_stream(path) as stream:
        for first_line, chunk in whole_lines(stream, CHUNK_BYTES, path, LINES):
            if metadata is None:
                metadata = _find_metadata(chunk, path)
            columns, lines = _parse_chunk(chunk, first_line, path)
            events.add(columns, lines)
    if not len(events):
        raise TraceError("holds no event", LINES, path=path)
    metadata = metadata or Metadata(source="text")
    if not metadata.name:
        metadata = metadata.with_(name=Path(path).name.split(".")[0])
    trace = events.trace(metadata, path)
    where = trace.first_unknown_free() if strict else None
    if where is not None:
        refuse_unknown_frees(trace, path, events.line_of(where))
    return trace


def _find_metadata(chunk: bytes, path: str | Path) -> Metadata | None:
    """Return the metadata that `pba.trace.forms.writing` put into the first lines, if it did."""
    for line in chunk.split(b"\n", 8)[:8]:
        if line.startswith(METADATA_MARK):
            try:
                return Metadata.from_dict(json.loads(line[len(METADATA_MARK) :]), str(path))
            except (ValueError, RecursionError) as error:
                raise TraceError(
                    f"the line '# pba metadata' is damaged: {error}", "correct or remove it", path=path
                ) from error
    return None


def _parse_chunk(
    chunk: bytes, first_line: int, path: str | Path
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the columns of some whole lines, and each event's line number."""
    data = np.frombuffer(chunk, np.uint8)
    room = chunk.count(b"\n") + 1
    columns: dict[str, NDArray[Any]] = {
        "time_ns": np.empty(room, np.int64),
        "op": np.empty(room, np.int8),
        "id": np.empty(room, np.int32),
        "arg": np.empty(room, np.int8),
        "line": np.empty(room, np.int64),
    }
    count, bad_line = _parse(data, *columns.values())
    if bad_line >= 0:
        text = chunk.split(b"\n", bad_line + 1)[bad_line].decode("utf-8", "replace")
        raise _line_error(text, path, first_line + bad_line)
    lines = columns.pop("line")[:count] + first_line
    return {name: values[:count] for name, values in columns.items()}, lines


def _line_error(text: str, path: str | Path, line: int) -> TraceError:
    """Say what is wrong with a line."""
    shown = text.strip()
    shown = ascii(shown if len(shown) <= 60 else shown[:57] + "...")
    fields = text.split("#")[0].split()
    if len(fields) >= 2 and fields[1] not in OP_LETTERS:
        return TraceError(
            f"unknown op {fields[1][:20]!a} in {shown}",
            f"ops are {', '.join(OP_LETTERS)}",
            path=path,
            line=line,
        )
    expected = EXPECTED[fields[1]] if len(fields) >= 2 else "time_ns op id [arg]"
    return TraceError(
        f"does not parse: {shown}",
        f"expected '{expected}', whole numbers, time below 2**62, id at most {LARGEST_ID}, "
        "priority and order at most 127",
        path=path,
        line=line,
    )


@jit
def _number(data, at):  # type: ignore[no-untyped-def]
    """Read a decimal number after blanks; return (value or -1, where it ends)."""
    end = len(data)
    while at < end and (data[at] == 32 or data[at] == 9):
        at += 1
    value = 0
    start = at
    while at < end and 48 <= data[at] <= 57:
        if value > LARGEST_TENTH:
            return -1, at
        value = value * 10 + (int(data[at]) - 48)
        at += 1
    return (value, at) if at > start else (-1, at)


@jit
def _end_of_line(data, at):  # type: ignore[no-untyped-def]
    """Skip blanks and a comment; return where the line ends, or -1 if something else stands there."""
    end = len(data)
    while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 13):
        at += 1
    if at < end and data[at] == 35:
        while at < end and data[at] != 10:
            at += 1
    return at if at >= end or data[at] == 10 else -1


@jit
def _parse(data, time_ns, op, ids, arg, line):  # type: ignore[no-untyped-def]
    """Fill the columns; return (events, line at fault counted from 0, or -1)."""
    at = 0
    count = 0
    current = 0
    end = len(data)
    while at < end:
        stop = _end_of_line(data, at)
        if stop < 0:
            time, at = _number(data, at)
            kind, at = _letter(data, at)
            first = 0
            second = 0
            if kind != OP_DROP and kind >= 0:
                first, at = _number(data, at)
            if kind == OP_BG_ALLOC:
                second, at = _number(data, at)
            stop = _end_of_line(data, at)
            if time < 0 or kind < 0 or first < 0 or second < 0 or stop < 0 or first > LARGEST_ID:
                return count, current
            if kind == OP_SHRINK:
                first, second = 0, first
            if second > 127:
                return count, current
            time_ns[count] = time
            op[count] = kind
            ids[count] = first
            arg[count] = second
            line[count] = current
            count += 1
        at = stop + 1
        current += 1
    return count, -1


@jit
def _letter(data, at):  # type: ignore[no-untyped-def]
    """Read a blank, blanks and an op; return (code or -1, where it ends)."""
    start = at
    end = len(data)
    while at < end and (data[at] == 32 or data[at] == 9):
        at += 1
    if at == start or at >= end:
        return -1, at
    found = data[at]
    kind = -1
    if found == 65:
        kind = OP_ALLOC
    elif found == 70:
        kind = OP_FREE
    elif found == 83:
        kind = OP_SHRINK
    elif found == 68:
        kind = OP_DROP
    elif found == 66:
        kind = OP_BG_ALLOC
    elif found == 98:
        kind = OP_BG_FREE
    return kind, at + 1


__all__ = ["read_text", "sniff"]
