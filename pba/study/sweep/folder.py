"""The folder that a sweep leaves behind, and what it holds while the sweep is under way.

    sweeps/NAME/
      sweep.json           what was run: versions, traces with their sha256, machines, grid, command
      behaviours.parquet   a row per trace, machine and box of thresholds that behave alike
      summary.txt, .md     what follows from it
      parts/               finished pieces of work, until the sweep is done

Every file is written under another name first, so a kill at any moment leaves whole files alone. The same
inputs leave the same bytes, however many workers there were and however often they were stopped.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from pba.errors import StudyError, option
from pba.files import output_error, replacing
from pba.study.definition import THRESHOLD_NAMES
from pba.study.result import file_facts
from pba.study.sweep.boxes import Boxes, Rows, cached_page_ns
from pba.study.sweep.grid import AXES, Grid
from pba.study.sweep.tasks import COLUMNS, Case

FORMAT_VERSION: Final = 1
RECORD_FILE: Final = "sweep.json"
TABLE_FILE: Final = "behaviours.parquet"
SUMMARY_FILES: Final = ("summary.txt", "summary.md")
PARTS: Final = "parts"
PART_SUFFIX: Final = ".bin"
DIGEST_BYTES: Final = 32
OWN: Final = (RECORD_FILE, TABLE_FILE, *SUMMARY_FILES, PARTS)
_OTHER: Final = (
    f"choose another {option('folder', flag='folder with -o')}, "
    f"or say {option('force', True)} to sweep anew here"
)

AXIS_NAMES: Final = dict(zip(("unshrinkable", "min_pages", "batch"), THRESHOLD_NAMES, strict=True))
"""An axis of the grid -> the threshold's name, as tables have it."""


class Parts(Protocol):
    """Where the results of tasks are kept until all are there."""

    def __contains__(self, key: object) -> bool:
        """Whether a task's result is there."""

    def put(self, key: str, rows: Rows) -> None:
        """Keep a result."""

    def get(self, key: str) -> Rows:
        """Return a result."""


class PartsInMemory(dict[str, Rows]):
    """Results of a sweep that leaves no folder."""

    def put(self, key: str, rows: Rows) -> None:
        """Keep a result."""
        self[key] = rows

    def get(self, key: str) -> Rows:  # type: ignore[override]
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

    def put(self, key: str, rows: Rows) -> None:
        """Write a result, after its checksum: Parquet has none of its footer."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        named = dict(zip(Rows._fields, rows, strict=True))
        counters = named.pop("counters")
        named.update((name, counters[:, at]) for at, name in enumerate(COLUMNS))
        buffer = io.BytesIO()
        pq.write_table(pa.table(named), buffer, compression="zstd")
        content = buffer.getvalue()
        with replacing(self._path(key), force=True) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def get(self, key: str) -> Rows:
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
            columns = [table[name].to_numpy() for name in (*Rows._fields[:4], *COLUMNS, "cache_hash")]
        except (OSError, KeyError, pa.ArrowException) as error:
            raise damaged_part(path) from error
        counters = np.column_stack([column.astype(np.int64) for column in columns[4:-1]])
        return Rows(columns[0], columns[1], columns[2], columns[3], counters, columns[-1].astype(np.uint64))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{PART_SUFFIX}"


def damaged_part(path: Path) -> StudyError:
    """Return the error for a part that is not as it was written."""
    return StudyError(f"{path}: damaged part of a sweep", "remove it; the same command makes it again")


def damaged(path: Path, reason: object) -> StudyError:
    """Return the error for a file of a finished sweep that is not as it was written."""
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror
    return StudyError(f"{path}: damaged sweep: {reason}", _OTHER)


def is_begun(folder: Path, force: bool) -> bool:
    """Whether a sweep was begun here; with `force`, after its files are removed.

    Raises
    ------
    StudyError
        If the folder holds other people's files.
    """
    names = sorted(path.name for path in folder.iterdir())
    own = [name for name in names if name in OWN]
    others = [name for name in names if name not in OWN and not name.endswith(".part")]
    if others and RECORD_FILE not in own:
        raise StudyError(f"{folder}: not a sweep's folder: it holds {others[0]}", "say -o another folder")
    if force:
        for name in own:
            _remove(folder / name)
        return False
    return RECORD_FILE in own


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path, error) from error


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write `sweep.json`, replacing an older one in a single step."""
    with replacing(folder / RECORD_FILE, force=True) as temporary:
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        # What UTF-8 has no bytes for (a file's name may hold it) becomes an escape that JSON knows, too.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_record(folder: Path) -> dict[str, Any]:
    """Read and check `sweep.json`."""
    path = folder / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(
            f"{folder}: no sweep's folder: it has no {RECORD_FILE}", "pba sweep makes one"
        ) from error
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    version = record.get("format_version") if isinstance(record, dict) else None
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise StudyError(f"{path}: written by another pba (layout {version})", _OTHER)
    kinds = {"state": str, "command": str, "versions": dict, "grid": dict, "cases": list, "files": dict}
    wrong = [key for key, kind in kinds.items() if version is None or not isinstance(record.get(key), kind)]
    if wrong or record["state"] not in ("running", "complete") or not record["cases"]:
        raise damaged(path, "not what a sweep writes" + (f" ({wrong[0]} is missing)" if wrong else ""))
    return dict(record)


def refuse_another(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a sweep to go on with, or that is done.

    Raises
    ------
    StudyError
        If it was begun with something else: the message says with what.
    """
    record = read_record(folder)
    for what, before, now in _differences(record, wanted):
        raise StudyError(f"{folder}: was begun with another {what}: {before}, now {now}", _OTHER)
    return record


def _differences(record: dict[str, Any], wanted: dict[str, Any]) -> Iterator[tuple[str, object, object]]:
    for axis in AXES:
        if record["grid"].get(axis) != wanted["grid"][axis]:
            yield (
                f"{axis.replace('_', ' ')} axis",
                _short(record["grid"].get(axis)),
                _short(wanted["grid"][axis]),
            )
    before, now = ([(row["trace"], row["setting"]) for row in found["cases"]] for found in (record, wanted))
    if before != now:
        names = [
            ", ".join(dict.fromkeys(f"{trace} ({setting})" for trace, setting in each))
            for each in (before, now)
        ]
        yield "set of traces and machines", _short(names[0]), _short(names[1])
    for old, new in zip(record["cases"], wanted["cases"], strict=True):
        if old["sha256"] != new["sha256"]:
            yield f"content of the trace {new['trace']}", old["sha256"][:12], new["sha256"][:12]
        if old["machine"] != new["machine"]:
            yield f"machine for the trace {new['trace']}", old["machine"], new["machine"]
    if record["versions"].get("engine") != wanted["versions"]["engine"]:
        yield "version of the engine", record["versions"].get("engine"), wanted["versions"]["engine"]


def _short(text: object) -> str:
    """Return a text cut to what fits a line beside another."""
    shown = str(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def write_table(path: Path, grid: Grid, cases: Sequence[Case], found: Sequence[Boxes]) -> None:
    """Write the one table: a row group per case, in their order; the same content gives the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path, force=True) as temporary:
        writer: Any = None
        for case, boxes in zip(cases, found, strict=True):
            table = pa.table(table_columns(grid, case, boxes))
            writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table)
        writer.close()


def table_columns(grid: Grid, case: Case, boxes: Boxes) -> dict[str, Any]:
    """Return the table's columns of one case.

    `trace`, `setting`, `page_size_kib`, `memory_pages`, `linear_map`, `behaviour` (a number within the case);
    for each threshold its range `_from` and `_to`, both included and both values of the grid (as for 4 KiB
    pages); `points` of the grid in the box; every counter; `mean_cached_pages`; `cache_hash`.
    """
    rows = len(boxes.behaviour)
    shown = (case.trace, case.setting, *case.machine.to_dict().values())
    names = ("trace", "setting", *case.machine.to_dict())
    columns: dict[str, Any] = {name: np.full(rows, value) for name, value in zip(names, shown, strict=True)}
    columns["behaviour"] = boxes.behaviour
    for axis, name in AXIS_NAMES.items():
        at = AXES.index(axis)
        values = np.array(grid.values[at])
        columns[f"{name}_from"] = values[boxes.first[:, at]]
        columns[f"{name}_to"] = values[boxes.last[:, at]]
    columns["points"] = boxes.points
    for at, name in enumerate(COLUMNS):
        columns[name] = boxes.counters[boxes.behaviour, at]
    columns["mean_cached_pages"] = mean_cached_pages(case, boxes)[boxes.behaviour]
    columns["cache_hash"] = boxes.cache_hash[boxes.behaviour]
    return columns


def mean_cached_pages(case: Case, boxes: Boxes) -> Any:
    """Return the mean of each behaviour, as `ReplayResult.mean_cached_pages` has it."""
    if case.duration_ns == 0:
        return boxes.counters[:, COLUMNS.index("nr_cached")].astype(float)
    return np.array([value / case.duration_ns for value in cached_page_ns(boxes, COLUMNS)])


def read_table(path: Path, grid: Grid, cases: Sequence[Case]) -> list[Boxes]:
    """Read the boxes of every case back."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(path)
        if source.num_row_groups != len(cases):
            raise damaged(path, "it does not hold a group of rows for each trace and machine")
        groups = [source.read_row_group(at) for at in range(len(cases))]
        return [_boxes_from(grid, group) for group in groups]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise damaged(path, error) from error


def _boxes_from(grid: Grid, table: Any) -> Boxes:
    """Return the boxes of one group of rows."""
    ends = []
    for side in ("from", "to"):
        columns = [table[f"{AXIS_NAMES[axis]}_{side}"].to_numpy() for axis in AXES]
        indices = [np.searchsorted(np.array(grid.values[at]), column) for at, column in enumerate(columns)]
        ends.append(np.stack(indices, axis=1).astype(np.int64))
    behaviour = table["behaviour"].to_numpy()
    _, where = np.unique(behaviour, return_index=True)
    counters = np.column_stack([table[name].to_numpy()[where] for name in COLUMNS])
    return Boxes(ends[0], ends[1], behaviour, counters, table["cache_hash"].to_numpy()[where])


def finish(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Mark a sweep as done, and drop its parts."""
    record = {**record, "state": "complete", "files": {TABLE_FILE: file_facts(folder / TABLE_FILE)}}
    write_record(folder, record)
    drop_parts(folder)
    return record


def drop_parts(folder: Path) -> None:
    """Remove the parts of a sweep that is done."""
    if (folder / PARTS).exists():
        _remove(folder / PARTS)


def check_files(folder: Path, record: dict[str, Any]) -> None:
    """Hold the table of a finished sweep against the hash that the sweep wrote down."""
    path = folder / TABLE_FILE
    try:
        facts = file_facts(path)
    except OSError as error:
        raise damaged(path, error) from error
    if facts != record["files"].get(TABLE_FILE):
        raise damaged(path, "it is not what the sweep wrote")
