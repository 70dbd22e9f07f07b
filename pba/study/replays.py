"""Replays that were made before, on disk: shared by studies and sweeps, bounded in size.

They lie in pba's cache, in a folder that is named by all that shapes a figure: the sources of the model, the
versions below it, this file's form. In it are

- `points-CASE-CONTENT.bin`: points with their counters, on one trace (its events' hash) and machine;
- `sweep-KEY.bin`: what a trace does on a machine at every point of a grid.

A file is written under another name first, and begins with a checksum: after a kill it is whole or not there,
and one that is damaged is removed. Each study adds a small file; many become one when they are read. Beyond
`PBA_REPLAYS_LIMIT` (512 MiB) the files that were used least recently go. Nothing that is computed depends on what
is kept: only counters are, whole numbers, and all else follows from them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pba import caches
from pba.caches import REPLAYS
from pba.errors import OutputError
from pba.files import abandoned, replacing
from pba.kernel.state import AREA_BITS
from pba.model import start_key
from pba.results import CACHED_PAGE_NS_PARTS, COUNTER_COLUMNS, MEANINGS, ReplayResult
from pba.study.folder import sha256_of
from pba.study.inputs import versions
from pba.study.space import Point
from pba.units import parse_bytes

if TYPE_CHECKING:
    from pba.machine import Machine
    from pba.trace.table import Trace

LIMIT_VARIABLE: Final = "PBA_REPLAYS_LIMIT"
LIMIT_BYTES: Final = 512 << 20
FORM: Final = 1
"""Version of the files' content: with another one, older files are not found."""
SHAPING: Final = ("pba", "model", "numpy", "numba", "machine")
"""Versions (`pba.study.inputs.versions`) that shape a replay's counters, or might."""
MOST_FILES: Final = 8
"""More files of one trace and machine become one."""
SUFFIX: Final = ".bin"
DIGEST_BYTES: Final = 32

T = TypeVar("T")
Columns = Mapping[str, NDArray[Any]]
Counters = dict[str, int]
Kept = dict[Point, Counters]


def limit_bytes() -> int:
    """Return how many bytes of replays are kept at most: `PBA_REPLAYS_LIMIT`, or 512 MiB; 0 keeps none.

    Raises
    ------
    PbaError
        If the variable is no size.
    """
    said = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not said:
        return LIMIT_BYTES
    return 0 if said == "0" else parse_bytes(said, LIMIT_VARIABLE)


def current_folder() -> str:
    """Return the folder, within pba's cache, of replays that this pba may use."""
    known = versions()
    shaping = {name: known[name] for name in SHAPING}
    return f"{REPLAYS}/{sha256_of(json.dumps([FORM, shaping]).encode())[:16]}"


def trace_sha256(trace: Trace, machine: Machine | None = None) -> str:
    """Return a hash of all that a replay on a machine reads of a trace, however it is stored.

    That is its events; and what memory was free when it was recorded, where the machine starts with that.
    """
    columns = (trace.time_ns, trace.op, trace.slot, trace.arg)
    parts = [sha256_of(column.tobytes()).encode() for column in columns]
    start = "" if machine is None else start_key(trace, machine)
    return sha256_of(b"".join([*parts, start.encode()]))


class Replays:
    """The replays of earlier studies and sweeps; a context, at whose end new points are written.

    Parameters
    ----------
    folder : Path or None
        Where they lie; None keeps none and finds none.
    limit : int
        Bytes of all that lies beside `folder`, at most.
    """

    def __init__(self, folder: Path | None, limit: int = LIMIT_BYTES) -> None:
        self.folder, self.limit = folder, limit
        self._points: dict[str, Kept] = {}
        self._new: dict[str, set[Point]] = {}

    @classmethod
    def opened(cls, wanted: bool | Replays = True) -> Replays:
        """Return those of pba's cache; none if none are wanted, or where no place is the user's own.

        Replays that are open already are returned as they are.
        """
        if isinstance(wanted, Replays):
            return wanted
        limit = limit_bytes()
        if not wanted or not limit:
            return cls(None)
        try:
            caches.trusted_folder(REPLAYS)
            return cls(caches.trusted_folder(current_folder()), limit)
        except caches.UntrustedCacheError:
            return cls(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write()

    # --- points ---

    def points_of(self, trace_hash: str, machine: Machine) -> KeptPoints:
        """Return the points that are known on a trace (`trace_sha256`) and machine; read when first asked for."""
        case = sha256_of(json.dumps([trace_hash, machine.to_dict()], sort_keys=True).encode())[:32]
        return KeptPoints(self, case)

    def write(self) -> None:
        """Write the points that have come in: a small file for each trace and machine."""
        for case, points in self._new.items():
            known = self._points[case]
            self._put_points(case, {point: known[point] for point in sorted(points)})
        self._new.clear()

    def read_points(self, case: str) -> Kept:
        """Return all points of a trace and machine; the same object each time."""
        if case not in self._points:
            self._points[case] = found = Kept()
            paths = sorted(self.folder.glob(f"points-{case}-*{SUFFIX}")) if self.folder else []
            for path in paths:
                found.update(self._read(path, _points_from) or {})
            if len(paths) > MOST_FILES:
                written = self._put_points(case, found)
                for path in paths:
                    if written and path != written:
                        path.unlink(missing_ok=True)
        return self._points[case]

    def add_point(self, case: str, point: Point, counters: Counters) -> None:
        """Take a point, to be written at the end."""
        self.read_points(case)[point] = counters
        self._new.setdefault(case, set()).add(point)

    def _put_points(self, case: str, points: Kept) -> Path | None:
        content = pack(_columns_of(points))
        return self._write(f"points-{case}-{sha256_of(content)[:16]}", content)

    # --- sweeps ---

    def sweep(self, key: str, made: Callable[[Columns], T]) -> T | None:
        """Return what is made of the columns that were kept under a key; None if there are none."""
        return self._read(self.folder / f"sweep-{key}{SUFFIX}", made) if self.folder else None

    def keep_sweep(self, key: str, columns: Columns) -> None:
        """Keep what a trace does on a machine at every point of a grid."""
        if self.folder:
            self._write(f"sweep-{key}", pack(columns))

    # --- files ---

    def _read(self, path: Path, made: Callable[[Columns], T]) -> T | None:
        """Return what is made of a file, and note that it was used; None if there is none.

        A damaged one is removed.
        """
        try:
            found = made(unpack(path.read_bytes()))
        except OSError:
            return None
        except (ValueError, KeyError):
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return found

    def _write(self, name: str, content: bytes) -> Path | None:
        """Write a file, and remove what is too much then; None if there is no room, or no place any more."""
        if self.folder is None or len(content) > self.limit:
            return None
        path = self.folder / f"{name}{SUFFIX}"
        try:
            with replacing(path, force=True) as temporary:
                temporary.write_bytes(content)
        except OutputError:
            return None
        self._trim(path)
        return path

    def _trim(self, newest: Path) -> None:
        """Remove the files that were used least recently, until the rest is within the limit."""
        files = []
        for path in newest.parent.parent.glob("*/*"):
            with suppress(OSError):  # another process removes it
                facts = path.stat()
                files.append((path == newest, facts.st_mtime_ns, path.name, facts.st_size, path))
        too_much = sum(size for _, _, _, size, _ in files) - self.limit
        for left in abandoned(newest.parent):
            with suppress(OSError):
                left.unlink()
        for _, _, _, size, path in sorted(files):
            if too_much <= 0:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
                too_much -= size


class KeptPoints:
    """The known points of one trace and machine."""

    def __init__(self, replays: Replays, case: str) -> None:
        self._replays, self._case = replays, case

    def get(self, point: Point) -> Counters | None:
        """Return the counters of a point (all but `cache_hash`); None if it is not known."""
        return self._replays.read_points(self._case).get(point)

    def add(self, point: Point, counters: Mapping[str, Any]) -> None:
        """Take a point's counters; more than `pba.results.MEANINGS` names may be among them."""
        if self._replays.folder is not None:
            self._replays.add_point(self._case, point, {name: int(counters[name]) for name in MEANINGS})


def result_from(counters: Counters, point: Point, trace: Trace, machine: Machine) -> ReplayResult:
    """Return the result of a replay by its counters; without the hash of the cache, which is not kept."""
    return ReplayResult(trace.name, machine, point.on(machine), counters, "", trace.duration_ns)


def pack(columns: Columns) -> bytes:
    """Return columns of one length as bytes, a checksum first: Parquet has none of its footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), buffer, compression="zstd")
    content = buffer.getvalue()
    return hashlib.sha256(content).digest() + content


def unpack(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the columns that `pack` took.

    Raises
    ------
    ValueError
        If the bytes are not what it returned.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest, packed = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        raise ValueError("the checksum is wrong")
    try:
        table = pq.read_table(io.BytesIO(packed))
    except pa.ArrowException as error:
        raise ValueError(f"no table: {error}") from error
    return {name: table[name].to_numpy() for name in table.column_names}


def _columns_of(points: Kept) -> dict[str, NDArray[Any]]:
    """Return points as columns: the thresholds, and the counters in 64 bits."""
    found = {name: np.array([getattr(point, name) for point in points], np.int64) for name in Point._fields}
    high, low = CACHED_PAGE_NS_PARTS
    parts: dict[str, Callable[[Counters], int]] = {
        high: lambda row: row["cached_page_ns"] >> AREA_BITS,
        low: lambda row: row["cached_page_ns"] & ((1 << AREA_BITS) - 1),
    }
    for name in COUNTER_COLUMNS:
        values = [parts[name](row) if name in parts else row[name] for row in points.values()]
        found[name] = np.array(values, np.int64)
    return found


def _points_from(columns: Columns) -> Kept:
    """Return the points that `_columns_of` took."""
    lists = {name: columns[name].tolist() for name in (*Point._fields, *COUNTER_COLUMNS)}
    high, low = (lists.pop(name) for name in CACHED_PAGE_NS_PARTS)
    lists["cached_page_ns"] = [(above << AREA_BITS) + below for above, below in zip(high, low, strict=True)]
    points = zip(*(lists[name] for name in Point._fields), strict=True)
    rows = zip(*(lists[name] for name in MEANINGS), strict=True)
    return {
        Point(*point): dict(zip(MEANINGS, row, strict=True)) for point, row in zip(points, rows, strict=True)
    }
