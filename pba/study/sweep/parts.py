"""The results of finished tasks, kept until all are there: in memory, or in files that outlive a kill."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from pba.engine.grid import Behaviours
from pba.errors import StudyError
from pba.files import output_error, replacing
from pba.results import COUNTER_COLUMNS

PARTS: Final = "parts"
PART_SUFFIX: Final = ".bin"
DIGEST_BYTES: Final = 32


class Parts(Protocol):
    """Where the results of tasks are kept until all are there."""

    def __contains__(self, key: object) -> bool:
        """Whether a task's result is there."""

    def put(self, key: str, rows: Behaviours) -> None:
        """Keep a result."""

    def get(self, key: str) -> Behaviours:
        """Return a result."""


class PartsInMemory(dict[str, Behaviours]):
    """Results of a sweep that leaves no folder."""

    def put(self, key: str, rows: Behaviours) -> None:
        """Keep a result."""
        self[key] = rows

    def get(self, key: str) -> Behaviours:  # type: ignore[override]
        """Return a result."""
        return self[key]


class PartFiles:
    """Results in files, which a later process finds again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / PARTS
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error

    def __contains__(self, key: object) -> bool:
        return self._path(str(key)).exists()

    def put(self, key: str, rows: Behaviours) -> None:
        """Write a result, after its checksum: Parquet has none of its footer."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        named = dict(zip(Behaviours._fields, rows, strict=True))
        counters = named.pop("counters")
        named.update((name, counters[:, at]) for at, name in enumerate(COUNTER_COLUMNS))
        buffer = io.BytesIO()
        pq.write_table(pa.table(named), buffer, compression="zstd")
        content = buffer.getvalue()
        with replacing(self._path(key), force=True) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def get(self, key: str) -> Behaviours:
        """Read a result."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._path(key)
        try:
            stored = path.read_bytes()
            digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
            if hashlib.sha256(content).digest() != digest:
                raise damaged_part(path)
            table = pq.read_table(io.BytesIO(content))
            columns = [
                table[name].to_numpy() for name in (*Behaviours._fields[:4], *COUNTER_COLUMNS, "cache_hash")
            ]
        except (OSError, KeyError, pa.ArrowException) as error:
            raise damaged_part(path) from error
        counters = np.column_stack([column.astype(np.int64) for column in columns[4:-1]])
        return Behaviours(
            columns[0], columns[1], columns[2], columns[3], counters, columns[-1].astype(np.uint64)
        )

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{PART_SUFFIX}"


def damaged_part(path: Path) -> StudyError:
    """Return the error for a part that is not as it was written."""
    return StudyError(f"{path}: damaged part of a sweep", "remove it; the same command makes it again")
