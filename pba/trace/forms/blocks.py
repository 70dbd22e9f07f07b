"""A trace as blocks of events that follow on each other, of which only a few are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pba.trace.columns import Columns
from pba.trace.forms.parquet import (
    NAMED,
    UNREADABLE,
    looked_at,
    opened,
    refuse_too_many,
    unreadable,
    values_of,
)
from pba.trace.metadata import Metadata
from pba.trace.table import Trace

EVENTS: Final = 1 << 16
"""Events to a block: what is computed of one stays in a core's cache."""
BUFFER_BYTES: Final = 1 << 20
"""Bytes of each column that are read from a file at a time, however large its row groups are."""


@dataclass(frozen=True)
class Blocks:
    """The events of a trace in blocks, as often as they are asked for.

    Attributes
    ----------
    metadata : Metadata
        What is known about the trace.
    last_ns : int
        Time of the last event; 0 where there is none. Whether an earlier event is later has not been checked.
    path : Path or None
        The file that they come from, for error messages.
    read : callable
        Takes the names of columns; yields blocks of these columns, in their types. `level` and `pfn` are
        left out where the trace has none. Nothing has checked the events of a file.
    """

    metadata: Metadata
    last_ns: int
    path: Path | None
    read: Callable[[tuple[str, ...]], Iterator[Columns]] = field(repr=False)


def blocks_of(trace: Trace, events: int = EVENTS) -> Blocks:
    """Return the blocks of a trace that is in memory, of so many events each."""

    def read(names: tuple[str, ...]) -> Iterator[Columns]:
        there = {name: getattr(trace, name) for name in names if len(getattr(trace, name)) == len(trace)}
        for at in range(0, len(trace), events):
            yield {name: values[at : at + events] for name, values in there.items()}

    return Blocks(trace.metadata, int(trace.time_ns[-1]) if len(trace) else 0, None, read)


def parquet_blocks(path: str | Path) -> Blocks:
    """Return the blocks of a stored trace, as they are read from its file.

    Raises
    ------
    TraceError
        If the file is not Parquet, damaged, not a trace, or of a newer version; also while it is read.
    """
    path = Path(path)
    try:
        source, size = opened(path)
        plain, metadata = looked_at(source, path)
        refuse_too_many(plain, path, size)
        there = plain.schema_arrow.names
        last_ns = _last_time(_file(source, there), path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error

    def read(names: tuple[str, ...]) -> Iterator[Columns]:
        return _ahead(_read(_file(source, there), tuple(name for name in names if name in there), path))

    return Blocks(metadata, last_ns, path, read)


def _file(source: Any, there: list[str]) -> pq.ParquetFile:
    """Open a file to read it column by column in small buffers."""
    named = [name for name in NAMED if name in there]
    return pq.ParquetFile(source, read_dictionary=named, buffer_size=BUFFER_BYTES)


def _last_time(file: pq.ParquetFile, path: Path) -> int:
    """Return the time of the last event, 0 where there is none."""
    groups = [at for at in range(file.num_row_groups) if file.metadata.row_group(at).num_rows]
    last = 0
    if groups:
        for batch in file.iter_batches(EVENTS, row_groups=groups[-1:], columns=["time_ns"]):
            times = values_of(pa.chunked_array([batch.column(0)]), "time_ns", path, 0)
            last = int(times[-1]) if len(times) else last
    return last


def _read(file: pq.ParquetFile, names: tuple[str, ...], path: Path) -> Iterator[Columns]:
    """Yield the columns of a file, block by block."""
    first = 0
    try:
        for batch in file.iter_batches(EVENTS, columns=list(names)):
            table = pa.Table.from_batches([batch])
            yield {name: values_of(table.column(name), name, path, first) for name in names}
            first += len(table)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _ahead(blocks: Iterator[Columns]) -> Iterator[Columns]:
    """Yield what an iterator yields, while a thread of its own makes the next."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block


__all__ = ["Blocks", "blocks_of", "parquet_blocks"]
