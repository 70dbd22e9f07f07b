"""Writing traces, part by part: the stored form, the text form, and which of them a name asks for.

The stored form is Parquet (zstd) with the metadata as JSON in the schema. What is written is columns and
metadata, so that a trace of which only a part is in memory at a time is written as a whole one is.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pba.errors import OutputError
from pba.events import LEVELS, OP_BG_ALLOC, OP_DROP, OP_LETTERS, OP_SHRINK
from pba.files import replacing
from pba.trace.columns import DTYPES, NEEDED, NO_PFN, Columns
from pba.trace.metadata import Metadata

KEY: Final = b"pba"
"""In the schema of the stored form: the metadata."""
METADATA_MARK: Final = b"# pba metadata "
"""Before the metadata in the text form."""
COMPRESSION_LEVEL: Final = 19
QUICK_LEVEL: Final = 1
"""Of zstd for what is generated, which can be made again: speed counts more than size there."""
ROWS: Final = 1 << 18
"""Events to a row group: what one takes when it is read stays in a core's cache."""
LINES: Final = 1 << 16
"""Lines of text that are made at a time."""
ENDINGS: Final = (".parquet", ".events.gz", ".events")
"""Endings of the names of traces that can be written."""
TEXT_LOSES: Final = (
    "the text form keeps neither levels nor page frames, nor which frees were inferred: "
    "write .parquet to keep them"
)


def refuse_unknown_form(path: Path) -> None:
    """Raise `OutputError` if a name does not say which form to write. For use before long work starts."""
    if not path.name.endswith(ENDINGS):
        raise OutputError(f"{path}: no such form of a trace", "use .parquet, .events or .events.gz")


def write_parts(
    path: Path, metadata: Metadata, parts: Iterable[Columns], *, force: bool = False, level: int = QUICK_LEVEL
) -> Path:
    """Write a trace of which only one part at a time is in memory; the same parts give the same bytes.

    Parameters
    ----------
    path : Path
        Where to write; its name says in which form.
    metadata : Metadata
        What is known about the trace.
    parts : iterable of dict
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
    # Opened by Python, as Arrow takes no names that are not UTF-8.
    with replacing(path, force=force) as temporary, temporary.open("wb") as stream:
        if path.name.endswith(".parquet"):
            _write_parquet(stream, metadata, parts, level)
        else:
            packed = _compressed(stream) if path.name.endswith(".gz") else nullcontext(stream)
            with packed as target:
                _write_text(metadata, parts, target)  # type: ignore[arg-type]
    return path


def _write_parquet(stream: BinaryIO, metadata: Metadata, parts: Iterable[Columns], level: int) -> None:
    """Write the stored form; each part becomes row groups of its own."""
    writer = None
    try:
        for columns in parts:
            table = _as_table(columns, metadata)
            if writer is None:
                packed = [name for name in ("time_ns", "id", "pfn") if name in columns]
                writer = pq.ParquetWriter(
                    stream,
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


def _write_text(metadata: Metadata, parts: Iterable[Columns], stream: BinaryIO) -> None:
    """Write the text form: a line of metadata, then the events. Levels and pfns have no place in it."""
    stream.write(b"# time_ns op id [arg]\n")
    stream.write(METADATA_MARK + json.dumps(metadata.to_dict()).encode() + b"\n")
    for columns in parts:
        for start in range(0, len(columns["op"]), LINES):
            rows = zip(*(columns[name][start : start + LINES].tolist() for name in NEEDED), strict=True)
            stream.write("".join(_format(*row) for row in rows).encode())


def _format(time_ns: int, op: int, name: int, arg: int) -> str:
    """Return one line."""
    letter = OP_LETTERS[op]
    if op == OP_SHRINK:
        return f"{time_ns} {letter} {arg}\n"
    if op == OP_DROP:
        return f"{time_ns} {letter}\n"
    if op == OP_BG_ALLOC:
        return f"{time_ns} {letter} {name} {arg}\n"
    return f"{time_ns} {letter} {name}\n"


def _compressed(stream: BinaryIO) -> gzip.GzipFile:
    """Return a gzip writer whose bytes depend on what is written alone (no name, no date)."""
    return gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)


__all__ = ["ENDINGS", "TEXT_LOSES", "refuse_unknown_form", "write_parts"]
