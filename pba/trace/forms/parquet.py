"""Reading the stored form: Parquet with the metadata as JSON in the schema, as `writing` writes it."""

from __future__ import annotations

import json
import mmap
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pba.errors import TraceError
from pba.events import LEVELS, OP_LETTERS, OP_SHRINK
from pba.trace.check import Slots, refuse_columns, translate
from pba.trace.columns import DTYPES, EVENT_BYTES, NO_PFN, Columns
from pba.trace.forms.opening import RATIO_VARIABLE, is_packed, open_stream, unpacked_limit
from pba.trace.forms.piped import is_piped
from pba.trace.forms.writing import KEY
from pba.trace.metadata import Metadata
from pba.trace.table import Trace

DAMAGED: Final = "it is truncated or damaged: fetch, record or import it again"
UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, EOFError, KeyError, RecursionError)
"""What Arrow and JSON raise for a damaged file."""
PACKED_RATIO: Final = 32
"""How many times its own size compressed Parquet may unpack to, by default: it is compressed already."""
EVENTS_RATIO: Final = 1024
"""How many times its own size a file's events may take, by default; the most regular made reach 370."""
NAMED: Final = ("op", "level")
"""Columns that are stored as names."""
PIECE_BYTES: Final = 1 << 20


def read_parquet(path: str | Path) -> Trace:
    """Read the stored form.

    Raises
    ------
    TraceError
        If the file is not Parquet, damaged, not a trace, or of a newer version; or if it claims to hold more
        events than a file of its size does (1,024 times its size and 64 MiB at least, `PBA_UNPACK_RATIO` says
        another ratio), or more than memory does.
    """
    path = Path(path)
    try:
        source, size = opened(path)
        file, metadata = looked_at(source, path)
        columns, slots = _read_columns(file, source, path, size)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        hint = "cut it where there is more memory"
        raise TraceError("holds more events than memory does", hint, path=path) from error
    return Trace.from_checked(columns, slots, metadata)


def read_facts(path: Path) -> tuple[int, int, Metadata]:
    """Return the number of events and of shrinker passes, and the metadata, reading one column.

    Raises
    ------
    TraceError
        If the file is not Parquet, damaged, not a trace, or of a newer version.
    """
    try:
        source, size = opened(path)
        file, metadata = looked_at(source, path)
        refuse_too_many(file, path, size)
        op = _codes(file.read(columns=["op"]).column("op"), OP_LETTERS, path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    return len(op), int(np.count_nonzero(op == OP_SHRINK)), metadata


def unreadable(path: Path, error: Exception) -> TraceError:
    """Say why a file is no Parquet that holds a trace."""
    return TraceError(f"cannot be read as Parquet: {_reason(error)}", DAMAGED, path=path)


def looked_at(source: Any, path: Path) -> tuple[pq.ParquetFile, Metadata]:
    """Return a file whose columns have a trace's names and types, and its metadata; no event is read yet.

    A trace that has no name has the file's.
    """
    schema = pq.read_schema(source)
    there = schema.names
    if len(set(there)) < len(there):
        raise TraceError("has two columns of the same name", "a column stands once", path=path)
    raw = (schema.metadata or {}).get(KEY)
    if raw is None:
        raise TraceError(
            "is Parquet, but not a trace of pba", "import it, or make it with Trace.from_frame", path=path
        )
    metadata = Metadata.from_dict(json.loads(raw), str(path))
    metadata = metadata if metadata.name else metadata.with_(name=path.stem)
    refuse_columns([name for name in there if name in DTYPES], path)
    for name in filter(DTYPES.__contains__, there):
        _refuse_type(name, schema.field(name).type, path)
    return pq.ParquetFile(source, read_dictionary=[name for name in NAMED if name in there]), metadata


def _refuse_type(name: str, stored: pa.DataType, path: Path) -> None:
    """Raise `TraceError` if a column cannot hold what it should."""
    held = stored.value_type if pa.types.is_dictionary(stored) else stored
    if name in NAMED:
        fits = pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held)
    else:
        fits = pa.types.is_integer(stored)
    if not fits:
        wanted = "names" if name in NAMED else "whole numbers"
        shown = str(stored)[:60].encode("unicode_escape").decode()  # it may quote names in the file
        raise TraceError(f"column {name} holds {shown}, not {wanted}", DAMAGED, path=path)


def _read_columns(file: pq.ParquetFile, source: Any, path: Path, size: int) -> tuple[Columns, Slots]:
    """Read all columns of a trace, row group by row group, on as many threads as there are cores.

    Straight into the columns' own arrays: what Arrow decodes is small enough to stay in a core's cache.
    Events are checked as their row group arrives.
    """
    refuse_too_many(file, path, size)
    columns = _room_for(file)
    known = [name for name in columns if name in file.schema_arrow.names]
    slots = Slots(columns, path)
    nr_groups = file.metadata.num_row_groups
    ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(nr_groups)])
    names = [name for name in NAMED if name in known]
    own = threading.local()

    def read_group(group: int) -> None:
        if not hasattr(own, "file"):  # a reader is not for two threads
            own.file = pq.ParquetFile(source, read_dictionary=names)
        table = own.file.read_row_group(group, columns=known, use_threads=False)
        end = int(ends[group])
        for name in known:
            values = values_of(table.column(name), name, path, end - len(table))
            columns[name][end - len(table) : end] = values

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as readers:
        for end, _ in zip(ends.tolist(), readers.map(read_group, range(nr_groups)), strict=True):
            slots.advance(end)
    return columns, slots


def refuse_too_many(file: pq.ParquetFile, path: Path, size: int) -> None:
    """Raise `TraceError` if a file claims more than one of its size can hold, before room is made for it."""
    about = file.metadata
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    if about.num_rows < 0 or sum(group.num_rows for group in groups) != about.num_rows:
        raise ValueError("its row groups do not add up to its rows")
    places = [at for at, name in enumerate(file.schema.names) if name in DTYPES]
    decoded = sum(group.column(at).total_uncompressed_size for group in groups for at in places)
    if max(about.num_rows * EVENT_BYTES, decoded) > unpacked_limit(size, EVENTS_RATIO):
        raise TraceError(
            f"claims {about.num_rows:,} events in {size:,} bytes",
            f"it is damaged; if it is not, set {RATIO_VARIABLE} to a higher ratio",
            path=path,
        )


def _room_for(file: pq.ParquetFile) -> Columns:
    """Return columns of a trace for what a file holds, yet to be filled; those that it lacks are empty."""
    there, nr_rows = file.schema_arrow.names, file.metadata.num_rows
    return {name: np.empty(nr_rows if name in there else 0, dtype) for name, dtype in DTYPES.items()}


def _reason(error: Exception) -> str:
    """Return what Arrow complains of, in one short line; it may quote bytes of the file."""
    return str(error).split("\n")[0].split(". ")[0][:160].encode("unicode_escape").decode()


def opened(path: Path) -> tuple[Any, int]:
    """Return what Parquet can be read from, and the file's size.

    That is the file itself, its bytes mapped where Arrow cannot say its name, or what a compressed one holds,
    in memory.

    Raises
    ------
    TraceError
        If it is a pipe, cannot be opened, or unpacks to more than it may.
    """
    if is_piped(path):
        raise TraceError("Parquet cannot be read from a pipe", "write it to a file first", path=path)
    with open_stream(path) as stream:
        size = path.stat().st_size
        if is_packed(stream):
            limit = unpacked_limit(size, PACKED_RATIO)
            whole = bytearray()
            while piece := stream.read(PIECE_BYTES):
                whole += piece
                if len(whole) > limit:
                    told = f"its {size:,} bytes unpack to more than {limit:,}, which Parquet does not"
                    raise TraceError(told, f"unpack it first, or set {RATIO_VARIABLE} higher", path=path)
            return pa.BufferReader(pa.py_buffer(whole)), len(whole)
        try:
            str(path).encode()
        except UnicodeEncodeError:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            return pa.BufferReader(pa.py_buffer(mapped)), size
        return path, size


def values_of(column: pa.ChunkedArray, name: str, path: Path, first: int) -> NDArray[Any]:
    """Return a column as numbers: names as our own codes, a missing pfn as `NO_PFN`.

    `first` is the event of its first row.
    """
    if name == "pfn":
        column = column.cast(pa.int64()).fill_null(NO_PFN)
    if column.null_count:
        where = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise TraceError(f"there is no {name}", "only a pfn may be missing", path=path, event=first + where)
    if name in NAMED:
        return _codes(column, OP_LETTERS if name == "op" else LEVELS, path)
    values: NDArray[Any] = column.to_numpy()
    fitting = values.astype(DTYPES[name], copy=False)
    if values.dtype != fitting.dtype and not np.array_equal(values, fitting):
        where = int(np.flatnonzero(values != fitting)[0])
        message = f"{name} = {values[where]} does not fit {fitting.dtype}"
        raise TraceError(message, path=path, event=first + where)
    return fitting


def _codes(column: pa.ChunkedArray, names: tuple[str, ...], path: Path) -> NDArray[np.int8]:
    """Return a dictionary column as our own codes, whatever order the file's dictionaries have."""
    codes = {name: code for code, name in enumerate(names)}
    parts = []
    for chunk in column.chunks:
        stored = chunk.dictionary.to_pylist()
        unknown = [name for name in stored if name not in codes]
        if unknown:
            raise TraceError(
                f"{unknown[0]!r} is unknown", "known are " + ", ".join(filter(None, names)), path=path
            )
        indices = chunk.indices.to_numpy()
        part = np.empty(len(indices), np.int8)
        if not translate(indices, np.array([codes[name] for name in stored] or [0], np.int8), part):
            raise ValueError("a name's number is beyond the names")  # Arrow does not check that
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty(0, np.int8)


__all__ = [
    "NAMED",
    "UNREADABLE",
    "looked_at",
    "opened",
    "read_facts",
    "read_parquet",
    "refuse_too_many",
    "unreadable",
    "values_of",
]
