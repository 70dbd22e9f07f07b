"""CSV as a trace: a header, a row an event, and a mapping that says which column is which.

Read in chunks of whole lines, column by column, so that it takes the memory of the trace and a few chunks'
(an id that is text is held once more). Only where a chunk does not parse is it gone through again, line by
line, to say which line is wrong and why.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from pba.errors import TraceError, option
from pba.events import LEVELS, OP_BG_ALLOC, OP_DROP, OP_LETTERS, OP_SHRINK
from pba.trace.columns import LARGEST_ID, NO_PFN
from pba.trace.forms.cells import Texts, plain_numbers, times_in_ns
from pba.trace.forms.gathered import Gathered
from pba.trace.forms.lines import whole_lines
from pba.trace.forms.opening import open_stream
from pba.trace.forms.piped import reads_pipes
from pba.trace.metadata import Metadata, Quality
from pba.trace.table import Trace
from pba.units import NS_PER

CHUNK_BYTES: Final = 1 << 20
"""Arrow splits what fits into a core's cache twice as fast as larger chunks."""
RENUMBERED: Final = 1 << 16
"""Ids that are given new numbers at a time."""
FIELDS: Final = ("time", "op", "id", "arg", "level", "pfn")
NEEDED: Final = ("time", "op", "id")
UNITS: Final = ("ns", "us", "ms", "s")
"""Units that a time may have; `times_in_ns` takes no larger one."""
WORDS: Final = ("alloc", "free", "shrink", "drop", "bg_alloc", "bg_free")
"""What an op may be called beside its letter, in any case; in the order of `OP_LETTERS`."""
MAPPING_HINT: Final = (
    f"write {option('columns')} as time=ts,op=kind,id=page, perhaps with arg=, level= and pfn= too"
)
_OPS: Final = {name: code for code, name in enumerate(OP_LETTERS)}
_LEVELS: Final = {name.lower(): code for code, name in enumerate(LEVELS)}


def parse_columns(text: str) -> dict[str, str]:
    """Read a mapping such as `time=ts,op=kind,id=page`.

    Raises
    ------
    TraceError
        If it is not one, or names a field twice or one that a trace does not have.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not column or name not in FIELDS or name in columns:
            problem = f"is given twice in {text!r}" if name in columns else f"cannot be read in {text!r}"
            raise TraceError(
                f"{option('columns')}: {part.strip()!r} {problem}",
                f"fields are {', '.join(FIELDS)}; {MAPPING_HINT}",
            )
        columns[name] = column
    return columns


def sniff(head: bytes) -> bool:
    """Say whether a file is CSV whose columns have the names of a trace's (as those of `to_frame`)."""
    names = _cells(_first_line(head), ",")
    return {"time_ns", "op", "id"} <= set(names)


@reads_pipes
def read_csv(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    *,
    time_unit: str = "ns",
    told: Metadata | None = None,
) -> Trace:
    """Read CSV, plain or compressed, separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : str or Path
        The file. Its first line names the columns; no value may hold a line end.
    columns : mapping of str to str, optional
        Which column holds `time`, `op`, `id`, `arg`, `level`, `pfn`; by default those of that name,
        with `time_ns` for the time.
    time_unit : str
        `ns`, `us`, `ms` or `s`; digits below 1 ns are cut off.
    told : Metadata, optional
        What is known about the recording.

    Returns
    -------
    Trace
        Time 0 is the first event's. An op is a letter or one of `alloc`, `free`, `shrink`, `drop`,
        `bg_alloc`, `bg_free`. An id may be any text; unless all are whole numbers they are numbered as they
        come. A level is a name as `PTE`; a pfn decimal or 0x. Empty cells are unknown.

    Raises
    ------
    TraceError
        With file and line, for what cannot be read or contradicts what stands before it.
    """
    path = Path(path)
    if time_unit not in UNITS:
        raise TraceError(f"time unit {time_unit!r} is unknown", f"it is one of {', '.join(UNITS)}")
    reader = None
    with open_stream(path) as stream:
        for line, chunk in whole_lines(stream, CHUNK_BYTES, path, MAPPING_HINT):
            if reader is None:
                header, _, rows = chunk.partition(b"\n")
                reader = _Rows(path, *_find_columns(header, columns, path), scale=NS_PER[time_unit])
                reader.take(rows, line + 1)
            else:
                reader.take(chunk, line)
    if reader is None or not len(reader.events):
        raise TraceError("holds no event", "expected a line of names and lines of values", path=path)
    return reader.trace(told or Metadata())


def _first_line(text: bytes) -> str:
    return text.partition(b"\n")[0].decode("utf-8-sig", "replace").rstrip("\r")


def _cells(line: str, separator: str) -> list[str]:
    """Return a line's cells; none where its quotes are damaged."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def _find_columns(
    header: bytes, columns: Mapping[str, str] | None, path: Path
) -> tuple[str, list[str], dict[str, int]]:
    """Return the separator, the names of the columns and where each field stands.

    Raises
    ------
    TraceError
        If a column is not there or stands there twice, or a field that a trace needs is not told.
    """
    line = _first_line(header)
    separator = max(",;\t", key=line.count)
    names = _cells(line, separator)
    if columns is None:
        columns = {name: name for name in FIELDS if name in names}
        columns = columns if "time" in columns or "time_ns" not in names else columns | {"time": "time_ns"}
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise TraceError(f"which column is {missing[0]!r} is not told", MAPPING_HINT, path=path, line=1)
    for column in columns.values():
        if names.count(column) != 1:
            shown = ascii(", ".join(name for name in names if name))
            raise TraceError(
                f"has {'no' if column not in names else 'more than one'} column {column!r}",
                f"its first line names {shown if len(shown) <= 120 else shown[:117] + '...'}",
                path=path,
                line=1,
            )
    return separator, names, {name: names.index(column) for name, column in columns.items()}


@dataclass
class _Rows:
    """What has been read so far."""

    path: Path
    separator: str
    names: list[str]
    place: dict[str, int]
    scale: int
    events: Gathered = field(default_factory=Gathered)
    texts: Texts | None = None
    """The ids, once one of them is not a whole number that a trace can hold."""

    def take(self, chunk: bytes, first_line: int) -> None:
        """Take in whole lines, the first of which has that number."""
        if not chunk.strip():
            return
        try:
            found = self._convert(chunk)
        except (pa.ArrowException, KeyError, ValueError):
            self._complain(chunk, first_line)
        self.events.add(found, self._lines(chunk, first_line, len(found["op"])))

    def _lines(self, chunk: bytes, first_line: int, rows: int) -> NDArray[np.int64]:
        """Return the number of each row's line."""
        if rows == chunk.count(b"\n") + (not chunk.endswith(b"\n")):
            return np.arange(first_line, first_line + rows)
        filled = [at for at, text in enumerate(chunk.split(b"\n")) if text.strip(b"\r")]
        if len(filled) != rows:  # no empty lines between: Arrow ends a line at a lone carriage return as well
            self._complain(chunk, first_line)
        return np.array(filled, np.int64) + first_line

    def _convert(self, chunk: bytes) -> dict[str, NDArray[Any]]:
        """Return the columns of some lines; an exception of any of three kinds says that one is wrong."""
        numbered = [str(at) for at in range(len(self.names))]
        wanted = {name: str(at) for name, at in self.place.items()}
        table = pacsv.read_csv(
            pa.py_buffer(chunk),
            read_options=pacsv.ReadOptions(
                use_threads=False, column_names=numbered, block_size=len(chunk) + 1
            ),
            parse_options=pacsv.ParseOptions(delimiter=self.separator, newlines_in_values=False),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(wanted.values(), pa.string()),
                include_columns=sorted(set(wanted.values())),
                strings_can_be_null=False,
            ),
        )
        text = {
            name: pc.utf8_trim_whitespace(table.column(at)).combine_chunks() for name, at in wanted.items()
        }
        op = _translated(text["op"], op_code)
        needs_id = (op != OP_SHRINK) & (op != OP_DROP)
        needs_arg = (op == OP_SHRINK) | (op == OP_BG_ALLOC)
        text.setdefault("arg", pa.repeat("", len(op)))
        if (needs_id & _empty(text["id"])).any() or (needs_arg & _empty(text["arg"])).any():
            raise ValueError
        found: dict[str, NDArray[Any]] = {"time_ns": _times(text["time"], self.scale), "op": op}
        found["id"] = self._ids(pc.if_else(pa.array(needs_id), text["id"], ""))
        found["arg"] = _integers(text["arg"], 0)
        if (found["arg"] > 127).any():
            raise ValueError
        if "level" in text:
            found["level"] = _translated(text["level"], level_code)
        if "pfn" in text:
            found["pfn"] = _integers(text["pfn"], NO_PFN)
        return found

    def _ids(self, text: pa.StringArray) -> NDArray[Any]:
        """Return the numbers of ids, 0 for empty ones: they themselves as long as all are whole numbers."""
        if self.texts is None:
            numbers = plain_numbers(text, 0)
            if numbers is not None and not (numbers > LARGEST_ID).any():
                return numbers
            self.texts = Texts()
            self._number_anew(self.texts)
        return self.texts.numbers(text)

    def _number_anew(self, texts: Texts) -> None:
        """Give the ids so far the numbers that they have as texts."""
        for begin in range(0, len(self.events), RENUMBERED):
            some = slice(begin, min(begin + RENUMBERED, len(self.events)))
            op, ids = self.events.columns["op"][some], self.events.columns["id"][some]
            needs_id = pa.array((op != OP_SHRINK) & (op != OP_DROP))
            ids[:] = texts.numbers(pc.if_else(needs_id, pc.cast(pa.array(ids), pa.string()), ""))

    def _complain(self, chunk: bytes, first_line: int) -> None:
        """Say which line is wrong."""
        last = len(chunk.split(b"\n")) - 1
        for at, raw in enumerate(chunk.split(b"\n")):
            line = raw.decode("utf-8", "replace").rstrip("\r")
            problem = self._problem(line) if line and at <= last else None
            if problem:
                shown = ascii(line if len(line) <= 60 else line[:57] + "...")
                raise TraceError(f"{problem[0]} in {shown}", problem[1], path=self.path, line=first_line + at)
        raise TraceError("does not parse as CSV", MAPPING_HINT, path=self.path, line=first_line)

    def _problem(self, line: str) -> tuple[str, str] | None:
        """Return what is wrong with a line and what is expected, or None."""
        cells = _cells(line, self.separator)
        if len(cells) != len(self.names) or line.count('"') % 2:
            return (
                f"{len(cells)} values for {len(self.names)} columns",
                "a row is one line, its quotes closed",
            )
        if "\r" in line:
            return "a carriage return", "lines end in a line feed, or in both"
        value = {name: cells[at] for name, at in self.place.items()}
        checks: tuple[tuple[str, Callable[[str], Any], str], ...] = (
            (
                "time",
                lambda time: _times(pa.array([time]), self.scale),
                f"a number from 0 on, within 146 years, in the unit of {option('time_unit')}",
            ),
            ("op", op_code, f"one of {', '.join((*OP_LETTERS, *WORDS))}"),
            ("arg", _small, "a whole number from 0 on: priority of S, order of B"),
            ("level", level_code, f"one of {', '.join(filter(None, LEVELS))}, or empty"),
            ("pfn", _pfn, "a whole number, decimal or 0x, or empty"),
        )
        for name, check, expected in checks:
            try:
                check(value.get(name, ""))
            except (ValueError, KeyError):
                return f"{name} {value[name][:40]!a} does not parse", f"expected {expected}"
        op = op_code(value["op"])
        if op not in (OP_SHRINK, OP_DROP) and not value["id"]:
            return f"{OP_LETTERS[op]} without an id", "allocations and frees name their page"
        if op in (OP_SHRINK, OP_BG_ALLOC) and not value.get("arg"):
            return (
                f"{OP_LETTERS[op]} without its arg",
                "map arg= to the column of priorities (S) and orders (B)",
            )
        return None

    def trace(self, told: Metadata) -> Trace:
        """Return all that was read as a trace."""
        self.texts = None  # a trace holds the numbers alone
        there = slice(len(self.events))
        # The first time, unless time goes backwards, which is refused below.
        origin = int(self.events.columns["time_ns"][there].min())
        self.events.columns["time_ns"][there] -= origin
        metadata = told.with_(
            name=told.name or self.path.name.split(".")[0],
            source="csv",
            time_origin_ns=origin,
            quality=Quality(live_at_start=None, notes=("pages live when the recording began are unknown",)),
        )
        return self.events.trace(metadata, self.path)


def op_code(text: str) -> int:
    """Return the code of an op's letter or word; `KeyError` for any other text."""
    if text in _OPS:
        return _OPS[text]
    word = text.lower()
    return WORDS.index(word) if word in WORDS else _OPS[text.upper()]


def level_code(text: str) -> int:
    """Return the code of a level's name, in any case; `KeyError` for any other text."""
    return _LEVELS[text.lower()]


def _small(text: str) -> None:
    if not 0 <= int(_integers(pa.array([text]), 0)[0]) <= 127:
        raise ValueError


def _pfn(text: str) -> None:
    _integers(pa.array([text]), NO_PFN)


def _empty(text: pa.StringArray) -> NDArray[np.bool_]:
    """Say which cells are empty."""
    found: NDArray[np.bool_] = pc.equal(text, "").to_numpy(zero_copy_only=False)
    return found


def _translated(text: pa.StringArray, code: Callable[[str], int]) -> NDArray[np.int8]:
    """Return each text's code; each distinct text is looked at once."""
    packed = text.dictionary_encode()
    codes = np.array([code(value) for value in packed.dictionary.to_pylist()], np.int8)
    found: NDArray[np.int8] = codes[packed.indices.to_numpy()]
    return found


def _times(text: pa.StringArray, scale: int) -> NDArray[np.int64]:
    """Return times in ns, exactly."""
    times = times_in_ns(text, scale)
    if times is None:
        raise ValueError
    return times


def _integers(text: pa.StringArray, empty: int) -> NDArray[np.int64]:
    """Return whole numbers, decimal or 0x, with a value for empty cells."""
    plain = plain_numbers(text, empty)
    if plain is not None:
        return plain
    numbers = pc.cast(pc.replace_with_mask(text, pc.equal(text, ""), pa.scalar(str(empty))), pa.int64())
    values: NDArray[np.int64] = numbers.to_numpy()
    if (values < min(empty, 0)).any():
        raise ValueError
    return values
