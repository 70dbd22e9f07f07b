"""The folder that a sweep leaves behind, and what it holds while the sweep is under way.

    sweeps/NAME/
      sweep.json           what was run: versions, traces with their sha256, machines, grid, command
      behaviours.parquet   a row per trace, machine and box of thresholds that behave alike
      summary.txt, .md     what follows from it
      parts/               finished pieces of work, until the sweep is done

The same inputs leave the same bytes, however many workers there were and however often they were stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pba.files import replacing
from pba.machine import ALL_FREE
from pba.results import COUNTER_COLUMNS
from pba.study.definition import THRESHOLD_NAMES
from pba.study.folder import (
    Difference,
    Folder,
    Kind,
    Record,
    differences_of_traces,
    differences_of_versions,
)
from pba.study.sweep.boxes import Boxes, page_ns_of
from pba.study.sweep.case import Case
from pba.study.sweep.grid import AXES, Grid

PARTS: Final = "parts"
RECORD_FILE: Final = "sweep.json"
TABLE_FILE: Final = "behaviours.parquet"
SUMMARY_FILES: Final = ("summary.txt", "summary.md")

SWEEP: Final = Kind(
    noun="sweep",
    command="pba sweep",
    flag="-o",
    record=RECORD_FILE,
    own=(RECORD_FILE, TABLE_FILE, *SUMMARY_FILES, PARTS),
    version=3,  # in 1, axes had other names, and the record no hash of itself; in 2, a counter was missing
    keys={"grid": dict, "cases": list},
    folders=(PARTS,),
)
"""The folder of a sweep."""


def differences(record: Record, wanted: Record) -> Iterator[Difference]:
    """Yield what a sweep was begun with that is not so any more."""
    for axis in AXES:
        if record["grid"].get(axis) != wanted["grid"][axis]:
            yield f"axis of {axis}", record["grid"].get(axis), wanted["grid"][axis]
    yield from differences_of_traces(record["cases"], wanted["cases"])
    yield from differences_of_versions(record, wanted, ("model",))


def write_table(path: Path, grid: Grid, cases: Sequence[Case], found: Sequence[Boxes]) -> None:
    """Write the one table: a row group per case, in their order; the same content gives the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # An open file, as Arrow takes no path that is not UTF-8.
    with replacing(path, force=True) as temporary, temporary.open("wb") as stream:
        writer: Any = None
        told = starts_differ(cases)
        for case, boxes in zip(cases, found, strict=True):
            table = pa.table(table_columns(grid, case, boxes, told))
            writer = writer or pq.ParquetWriter(stream, table.schema, compression="zstd")
            writer.write_table(table)
        writer.close()


def starts_differ(cases: Sequence[Case]) -> bool:
    """Whether any case starts with other memory than all of it: then the table says what each starts with."""
    return any(case.machine.start != ALL_FREE for case in cases)


def table_columns(grid: Grid, case: Case, boxes: Boxes, with_start: bool = False) -> dict[str, Any]:
    """Return the table's columns of one case.

    `trace`, `setting`, `page_size_kib`, `memory_pages`, `linear_map`, `start` (`Start.code`; where any case has
    one, `with_start`), `behaviour` (a number within the case);
    for each threshold its range `_from` and `_to`, both included and both values of the grid (as for 4 KiB
    pages); `points` of the grid in the box; every counter; `mean_cached_pages`; `cache_hash`.
    """
    rows = len(boxes.behaviour)
    told = {"trace": case.trace, "setting": case.setting, **case.machine.to_dict()}
    if with_start:
        told["start"] = case.machine.start.code
    columns: dict[str, Any] = {name: np.full(rows, value) for name, value in told.items()}
    columns["behaviour"] = boxes.behaviour
    for name in THRESHOLD_NAMES:
        at = AXES.index(name)
        values = np.array(grid.values[at])
        columns[f"{name}_from"] = values[boxes.first[:, at]]
        columns[f"{name}_to"] = values[boxes.last[:, at]]
    columns["points"] = boxes.points
    for at, name in enumerate(COUNTER_COLUMNS):
        columns[name] = boxes.counters[boxes.behaviour, at]
    columns["mean_cached_pages"] = mean_cached_pages(case, boxes)[boxes.behaviour]
    columns["cache_hash"] = boxes.cache_hash[boxes.behaviour]
    return columns


def mean_cached_pages(case: Case, boxes: Boxes) -> Any:
    """Return the mean of each behaviour, as `ReplayResult.mean_cached_pages` has it."""
    if case.duration_ns == 0:
        return boxes.counters[:, COUNTER_COLUMNS.index("nr_cached")].astype(float)
    return np.array([value / case.duration_ns for value in page_ns_of(boxes)])


def read_table(place: Folder, grid: Grid, cases: Sequence[Case]) -> list[Boxes]:
    """Read the boxes of every case back."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (place.path / TABLE_FILE).open("rb") as stream:
            source = pq.ParquetFile(stream)
            if source.num_row_groups != len(cases):
                raise place.damaged(TABLE_FILE, "it does not hold a group of rows for each trace and machine")
            groups = [source.read_row_group(at) for at in range(len(cases))]
        return [_boxes_from(grid, group) for group in groups]
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise place.damaged(TABLE_FILE, error) from error


def _boxes_from(grid: Grid, table: Any) -> Boxes:
    """Return the boxes of one group of rows."""
    ends = []
    for side in ("from", "to"):
        columns = [table[f"{axis}_{side}"].to_numpy() for axis in AXES]
        indices = [np.searchsorted(np.array(grid.values[at]), column) for at, column in enumerate(columns)]
        ends.append(np.stack(indices, axis=1).astype(np.int64))
    behaviour = table["behaviour"].to_numpy()
    _, where = np.unique(behaviour, return_index=True)
    counters = np.column_stack([table[name].to_numpy()[where] for name in COUNTER_COLUMNS])
    return Boxes(ends[0], ends[1], behaviour, counters, table["cache_hash"].to_numpy()[where])
