"""The stored form: Parquet (zstd) with the metadata as JSON in the schema."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pba.errors import OutputError, TraceError
from pba.events import LEVELS, OP_LETTERS, OP_SHRINK
from pba.files import replacing
from pba.trace.check import Slots, refuse_columns, translate
from pba.trace.forms.opening import open_stream
from pba.trace.forms.piped import is_piped
from pba.trace.forms.text import compressed, write_text
from pba.trace.metadata import Metadata
from pba.trace.table import DTYPES, NO_PFN, Trace

Columns = dict[str, NDArray[Any]]

MAGIC = b"PAR1"
KEY = b"pba"
COMPRESSION_LEVEL = 19
QUICK_LEVEL = 1
"""Of zstd for what is generated, which can be made again: speed counts more than size there."""
ROWS = 1 << 18
"""Events to a row group: what one takes when it is read stays in a core's cache."""
PART = 4 * ROWS
"""Events that are made ready to be written at a time."""
ENDINGS = (".parquet", ".events.gz", ".events")
"""Endings of the names of traces that can be written."""
TEXT_LOSES = (
    "the text form keeps neither levels nor page frames, nor which frees were inferred: "
    "write .parquet to keep them"
)
DAMAGED = "it is truncated or damaged: fetch, record or import it again"


def refuse_unknown_form(path: Path) -> None:
    """Raise `OutputError` if a name does not say which form to write. For use before long work starts."""
    if not path.name.endswith(ENDINGS):
        raise OutputError(f"{path}: no such form of a trace", "use .parquet, .events or .events.gz")


def write_trace(trace: Trace, path: Path, *, force: bool = False) -> Path:
    """Write a trace in the form that its name asks for; see `Trace.write`."""
    columns = {name: getattr(trace, name) for name in DTYPES if len(getattr(trace, name)) == len(trace)}
    starts = range(0, max(len(trace), 1), PART)
    parts = ({name: values[at : at + PART] for name, values in columns.items()} for at in starts)
    return stream_trace(path, trace.metadata, parts, force=force, level=COMPRESSION_LEVEL)


def stream_trace(
    path: Path, metadata: Metadata, parts: Iterator[Columns], *, force: bool = False, level: int = QUICK_LEVEL
) -> Path:
    """Write a trace of which only one part at a time is in memory; the same parts give the same bytes.

    Parameters
    ----------
    path : Path
        Where to write; its name says in which form.
    metadata : Metadata
        What is known about the trace.
    parts : iterator of dict
        Columns of `DTYPES`, the same ones in each part, of events that follow on those of the part before.
        Nothing checks them before the trace is read.
    force : bool
        Whether an existing file may be replaced.
    level : int
        Of zstd; the higher, the smaller and the slower.

    Raises
    ------
    OutputError
        If `path` exists and `force` is not given, or cannot be written, or has another ending.
    """
    refuse_unknown_form(path)
    with replacing(path, force=force) as temporary:
        if path.name.endswith(".parquet"):
            _stream_parquet(temporary, metadata, parts, level)
        else:
            with temporary.open("wb") as stream:
                packed = compressed(stream) if path.name.endswith(".gz") else nullcontext(stream)
                with packed as target:
                    write_text(metadata, parts, target)  # type: ignore[arg-type]
    return path


def _stream_parquet(path: Path, metadata: Metadata, parts: Iterator[Columns], level: int) -> None:
    """Write the stored form; each part becomes row groups of its own."""
    writer = None
    try:
        for columns in parts:
            table = _as_table(columns, metadata)
            if writer is None:
                packed = [name for name in ("time_ns", "id", "pfn") if name in columns]
                writer = pq.ParquetWriter(
                    path,
                    table.schema,
                    compression="zstd",
                    compression_level=level,
                    use_dictionary=["op", "level"],
                    column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
                    store_schema=True,
                    write_statistics=False,
                )
            writer.write_table(table, row_group_size=ROWS)
    finally:
        if writer is not None:
            writer.close()


def _as_table(columns: Columns, metadata: Metadata) -> pa.Table:
    """Return columns as Arrow holds them: ops and levels by name, a missing pfn as null."""
    arrays: dict[str, Any] = {name: pa.array(columns[name]) for name in ("time_ns", "id", "arg")}
    arrays["op"] = _named(columns["op"], OP_LETTERS)
    if "level" in columns:
        arrays["level"] = _named(columns["level"], LEVELS)
    if "pfn" in columns:
        arrays["pfn"] = pa.array(columns["pfn"], mask=columns["pfn"] == NO_PFN)
    # A column that can hold nulls takes half as long again to read; only a pfn may be missing.
    fields = [pa.field(name, arrays[name].type, nullable=name == "pfn") for name in DTYPES if name in arrays]
    schema = pa.schema(fields, metadata={KEY: json.dumps(metadata.to_dict()).encode()})
    return pa.table([arrays[field.name] for field in fields], schema=schema)


def _named(codes: NDArray[np.int8], names: tuple[str, ...]) -> pa.DictionaryArray:
    """Return codes as a dictionary of strings, so that any reader of Parquet sees the names."""
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names))


def read_parquet(path: str | Path) -> Trace:
    """Read the stored form.

    Raises
    ------
    TraceError
        If the file is not Parquet, damaged, not a trace, or of a newer version.
    """
    path = Path(path)
    if is_piped(path):
        raise TraceError("Parquet cannot be read from a pipe", "write it to a file first", path=path)
    try:
        source = _opened(path)
        there = pq.read_schema(source).names
        if len(set(there)) < len(there):
            raise TraceError("has two columns of the same name", "a column stands once", path=path)
        file = pq.ParquetFile(source, read_dictionary=[name for name in ("op", "level") if name in there])
        raw = (file.schema_arrow.metadata or {}).get(KEY)
        if raw is None:
            raise TraceError(
                "is Parquet, but not a trace of pba", "import it, or make it with Trace.from_frame", path=path
            )
        metadata = Metadata.from_dict(json.loads(raw), str(path))
        columns, slots = _read_columns(file, source, path)
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        reason = _reason(error)
        raise TraceError(f"cannot be read as Parquet: {reason}", DAMAGED, path=path) from error
    if not metadata.name:
        metadata = metadata.with_(name=path.stem)
    return Trace.from_checked(columns, slots, metadata)


def _read_columns(file: pq.ParquetFile, source: Any, path: Path) -> tuple[Columns, Slots]:
    """Read all columns of a trace, row group by row group, on as many threads as there are cores.

    Straight into the columns' own arrays: what Arrow decodes is small enough to stay in a core's cache.
    Events are checked as their row group arrives.
    """
    columns = _room_for(file, path)
    known = [name for name in columns if name in file.schema_arrow.names]
    slots = Slots(columns, path)
    nr_groups = file.metadata.num_row_groups
    ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(nr_groups)])
    names = [name for name in ("op", "level") if name in known]
    own = threading.local()

    def read_group(group: int) -> None:
        if not hasattr(own, "file"):  # a reader is not for two threads
            own.file = pq.ParquetFile(source, read_dictionary=names)
        table = own.file.read_row_group(group, columns=known, use_threads=False)
        end = int(ends[group])
        for name in known:
            values = _values(table.column(name), name, path, end - len(table))
            columns[name][end - len(table) : end] = values

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as readers:
        for end, _ in zip(ends.tolist(), readers.map(read_group, range(nr_groups)), strict=True):
            slots.advance(end)
    return columns, slots


def _room_for(file: pq.ParquetFile, path: Path) -> Columns:
    """Return columns of a trace for what a file holds, yet to be filled; those that it lacks are empty."""
    there = file.schema_arrow.names
    refuse_columns([name for name in there if name in DTYPES], path)
    nr_rows = file.metadata.num_rows
    return {name: np.empty(nr_rows if name in there else 0, dtype) for name, dtype in DTYPES.items()}


def _reason(error: Exception) -> str:
    """Return what Arrow complains of, in one short line; it may quote bytes of the file."""
    return str(error).split("\n")[0].split(". ")[0][:160].encode("unicode_escape").decode()


def _opened(path: Path) -> Any:
    """Return what Parquet can be read from: the file itself, or what a compressed one holds, in memory."""
    with open_stream(path) as stream:
        if isinstance(stream, io.BufferedReader):
            return path
        return pa.BufferReader(stream.read())


def _values(column: pa.ChunkedArray, name: str, path: Path, first: int) -> NDArray[Any]:
    """Return a column as numbers: names as our own codes, a missing pfn as `NO_PFN`.

    `first` is the event of its first row.
    """
    named = name in ("op", "level")
    if not (pa.types.is_dictionary if named else pa.types.is_integer)(column.type):
        wanted = "names" if named else "whole numbers"
        raise TraceError(f"column {name} holds {column.type}, not {wanted}", path=path)
    if name == "pfn":
        column = column.cast(pa.int64()).fill_null(NO_PFN)
    if column.null_count:
        where = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise TraceError(f"there is no {name}", "only a pfn may be missing", path=path, event=first + where)
    if named:
        return _codes(column, OP_LETTERS if name == "op" else LEVELS, path)
    values: NDArray[Any] = column.to_numpy()
    fitting = values.astype(DTYPES[name], copy=False)
    if values.dtype != fitting.dtype and not np.array_equal(values, fitting):
        where = int(np.flatnonzero(values != fitting)[0])
        message = f"{name} = {values[where]} does not fit {fitting.dtype}"
        raise TraceError(message, path=path, event=first + where)
    return fitting


def read_facts(path: Path) -> tuple[int, int, Metadata]:
    """Return the number of events and of shrinker passes, and the metadata, reading one column.

    Raises
    ------
    TraceError
        If the file is not Parquet, damaged, not a trace, or of a newer version.
    """
    try:
        file = pq.ParquetFile(path, read_dictionary=["op"])
        raw = (file.schema_arrow.metadata or {}).get(KEY)
        if raw is None:
            raise TraceError("is Parquet, but not a trace of pba", "import it", path=path)
        metadata = Metadata.from_dict(json.loads(raw), str(path))
        op = _codes(file.read(columns=["op"]).column("op"), OP_LETTERS, path)
    except (pa.ArrowException, OSError, ValueError, EOFError, KeyError) as error:
        reason = _reason(error)
        raise TraceError(f"cannot be read as Parquet: {reason}", DAMAGED, path=path) from error
    return len(op), int(np.count_nonzero(op == OP_SHRINK)), metadata


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
