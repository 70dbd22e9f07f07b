"""The results of finished tasks, kept until all are there: in memory, or in files that outlive a kill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from pba.engine.grid import Behaviours
from pba.errors import StudyError
from pba.files import output_error, replacing
from pba.results import COUNTER_COLUMNS
from pba.study.replays import Columns, pack, unpack

PART_SUFFIX: Final = ".bin"


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
        self.folder = folder
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error

    def __contains__(self, key: object) -> bool:
        return self._path(str(key)).exists()

    def put(self, key: str, rows: Behaviours) -> None:
        """Write a result."""
        with replacing(self._path(key), force=True) as temporary:
            temporary.write_bytes(pack(columns_of(rows)))

    def get(self, key: str) -> Behaviours:
        """Read a result."""
        path = self._path(key)
        try:
            return rows_from(unpack(path.read_bytes()))
        except (OSError, KeyError, ValueError) as error:
            raise damaged_part(path) from error

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{PART_SUFFIX}"


def columns_of(rows: Behaviours) -> Columns:
    """Return a result as columns of a table."""
    named = dict(zip(Behaviours._fields, rows, strict=True))
    counters = named.pop("counters")
    return named | {name: counters[:, at] for at, name in enumerate(COUNTER_COLUMNS)}


def joined(parts: Sequence[Behaviours]) -> Behaviours:
    """Return the results of tasks, behind each other, as one."""
    return Behaviours(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def rows_from(columns: Columns) -> Behaviours:
    """Return the result that `columns_of` took; raise `KeyError` where a column is missing."""
    counters = np.column_stack([columns[name].astype(np.int64) for name in COUNTER_COLUMNS])
    where = [columns[name] for name in Behaviours._fields[:4]]
    return Behaviours(*where, counters, columns["cache_hash"].astype(np.uint64))  # type: ignore[call-arg]


def damaged_part(path: Path) -> StudyError:
    """Return the error for a part that is not as it was written."""
    return StudyError(f"{path}: damaged part of a sweep", "remove it; the same command makes it again")
