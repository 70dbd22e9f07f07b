"""What a study found, as its folder holds it.

    runs/NAME/
      study.toml        the study file, word for word
      run.json          state, versions, command, seed, traces with their sha256, the recommendation
      optuna.journal    Optuna's storage (`JournalStorage`): a finished trial per point
      points.parquet    a row per point and recording: every counter
      flatness.parquet  replays around the recommended point
      report/           what `pba report` writes

The same inputs and seed leave the same bytes, whatever the clock says; only Optuna's journal has times in it
(and run.json the journal's hash).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.errors import StudyError
from pba.study.definition import THRESHOLD_NAMES, StudyDefinition, parse_definition
from pba.study.flatness import FLATNESS_COLUMNS
from pba.study.folder import COMPLETE, Folder, Kind, Record, sha256_of
from pba.study.objective import AIMS, points_of
from pba.study.recommend import RULE, recommend

if TYPE_CHECKING:
    import pandas as pd

STUDY_FILE: Final = "study.toml"
RUN_FILE: Final = "run.json"
POINTS_FILE: Final = "points.parquet"
FLATNESS_FILE: Final = "flatness.parquet"
JOURNAL_FILE: Final = "optuna.journal"

RUN: Final = Kind(
    noun="run",
    command="pba tune",
    flag="--run",
    record=RUN_FILE,
    own=(RUN_FILE, STUDY_FILE, JOURNAL_FILE, POINTS_FILE, FLATNESS_FILE),
    # In 1, the second aim was in MiB; in 2, the record had no hash of itself; in 3, a counter was missing.
    version=4,
    keys={"traces": list, "study_sha256": str, "points": int, "seed": int},
    grows=JOURNAL_FILE,  # a dashboard may add notes
    first=STUDY_FILE,
)
"""The folder of a study."""

PATCH_NUMBER: Final = 0
"""Number of the point with the patch's own thresholds."""

_TRACE_COLUMNS: Final = (
    "trace", "path", "sha256", "machine", "page_size_kib", "memory_pages", "linear_map", "events", "allocs",
    "frees", "passes", "duration_ns", "source", "kernel", "architecture", "lost_events", "unknown_frees",
    "inferred_frees", "live_at_start", "recall", "precision",
)  # fmt: skip
"""What `run.json` says of each recording."""


@dataclass(frozen=True)
class Run:
    """What a study found, as its folder holds it.

    Attributes
    ----------
    folder : Path
        Where it lies.
    study : StudyDefinition
        What was asked (points and seed as they were given on the command line, if they were).
    complete : bool
        Whether all points were tried and the surroundings of the recommended one replayed.
    versions : dict of str to str
        Versions of pba, of its model (a hash of all sources that shape a figure), Python and libraries.
    command : str
        The command that makes this run again.
    traces : DataFrame
        A row per recording: `trace` (name), `path`, `sha256`, `machine`, `page_size_kib`,
        `memory_pages`, `linear_map`, `events`, `allocs`, `frees`, `passes`, `duration_ns`, `source`,
        `kernel`, `architecture`, `lost_events`, `unknown_frees`, `inferred_frees`, `live_at_start`,
        `recall`, `precision` (NaN where there was no truth to hold it against).
    points : DataFrame
        Indexed by `number`: the thresholds as for 4 KiB pages, `pmd_splits` (sum over recordings),
        `mean_cached_pages` (mean over recordings of the time-weighted mean; the second aim), the same in
        `mean_cached_mib`, `peak_cached_mib` (the largest), other counters' sums, and `on_front`.
    per_trace : DataFrame
        Indexed by `number` and `trace`: the thresholds, every counter, `mean_cached_pages`,
        `mean_cached_mib`, `peak_cached_mib`, `block_mapped_share`.
    patch : int
        Number of the point with the patch's thresholds.
    recommended : int
        Number of the point that the rule chooses.
    rule : str
        The rule, in words.
    front : list of int
        Numbers of the points that no other beats, by rising `pmd_splits`.
    flatness : DataFrame
        `threshold, value, pmd_splits, mean_cached_pages`: replays along each threshold, the others held at
        the recommended point. Empty while a run is not complete.
    """

    folder: Path
    study: StudyDefinition
    complete: bool
    versions: dict[str, str]
    command: str
    traces: pd.DataFrame
    points: pd.DataFrame
    per_trace: pd.DataFrame
    patch: int
    recommended: int
    rule: str
    front: list[int]
    flatness: pd.DataFrame


def load_run(folder: str | Path) -> Run:
    """Read a run's folder, finished or not.

    Raises
    ------
    StudyError
        If it is no run's folder, is damaged, holds no point yet, or was recommended by another rule.
    """
    place = Folder(Path(folder), RUN)
    record = read_run_record(place)
    complete = record["state"] == COMPLETE
    if complete:
        place.check_files(record)
    study = _read_study(place, record)
    per_trace = read_points(place, [row["trace"] for row in record["traces"]])
    if per_trace is None or PATCH_NUMBER not in per_trace.index.get_level_values("number"):
        raise StudyError(f"{folder}: the run holds no point yet", "say pba tune again to go on with it")
    run = assemble_run(place.path, study, record, per_trace, _read_flatness(place) if complete else None)
    if complete and (record.get("recommended"), record.get("rule")) != (run.recommended, run.rule):
        # The replays around the recommended point would be around another.
        raise StudyError(f"{folder}: its point was chosen by another rule than this pba's", RUN.anew)
    return run


def assemble_run(
    folder: Path,
    study: StudyDefinition,
    record: Record,
    per_trace: pd.DataFrame,
    flatness: pd.DataFrame | None,
) -> Run:
    """Put a `Run` together from its parts; points, front and recommendation follow from `per_trace`."""
    import pandas as pd

    points = points_of(per_trace)
    front = points[points["on_front"]].sort_values(list(AIMS), kind="stable")
    traces = pd.DataFrame(record["traces"]).astype({"recall": "float64", "precision": "float64"})
    return Run(
        folder=folder,
        study=study,
        complete=flatness is not None,
        versions=dict(record["versions"]),
        command=record["command"],
        traces=traces,
        points=points,
        per_trace=per_trace,
        patch=PATCH_NUMBER,
        recommended=recommend(points, PATCH_NUMBER),
        rule=RULE,
        front=[int(number) for number in front.index],
        flatness=pd.DataFrame(columns=list(FLATNESS_COLUMNS)) if flatness is None else flatness,
    )


def read_run_record(place: Folder) -> Record:
    """Read `run.json`, and check what it says of the recordings."""
    record = place.read()
    for row in record["traces"] or [None]:
        lacks = [name for name in _TRACE_COLUMNS if not isinstance(row, dict) or name not in row]
        if lacks:
            raise place.damaged(RUN_FILE, f"a recording lacks {lacks[0]}")
    return record


def _read_study(place: Folder, record: Record) -> StudyDefinition:
    """Read the run's copy of its study file, with the points and the seed that were asked for."""
    try:
        content = (place.path / STUDY_FILE).read_bytes()
    except OSError as error:
        raise place.damaged(STUDY_FILE, error) from error
    if sha256_of(content) != record["study_sha256"]:
        raise place.damaged(STUDY_FILE, "it was changed after the run began")
    study = parse_definition(content.decode("utf-8"), place.path / STUDY_FILE)
    return study.with_(points=record["points"], seed=record["seed"])


def read_points(place: Folder, traces: list[str]) -> pd.DataFrame | None:
    """Read the table of replays, indexed by number and trace; None where there is none yet."""
    if not (place.path / POINTS_FILE).exists():
        return None
    frame = _read_parquet(place, POINTS_FILE)
    wanted = {"number", "trace", *THRESHOLD_NAMES, *AIMS, "mean_cached_mib", "peak_cached_mib"}
    if not wanted <= set(frame.columns):
        raise place.damaged(POINTS_FILE, f"the column {min(wanted - set(frame.columns))} is missing")
    numbers = len(frame) // len(traces)
    expected = [(number, trace) for number in range(numbers) for trace in traces]
    if list(zip(frame["number"].tolist(), frame["trace"].tolist(), strict=True)) != expected:
        raise place.damaged(POINTS_FILE, "it does not have a row for each point and recording")
    return frame.set_index(["number", "trace"])


def _read_flatness(place: Folder) -> pd.DataFrame:
    """Read the replays around the recommended point."""
    frame = _read_parquet(place, FLATNESS_FILE)
    if list(frame.columns) != list(FLATNESS_COLUMNS):
        raise place.damaged(FLATNESS_FILE, "its columns are not those of a run")
    return frame


def _read_parquet(place: Folder, name: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(io.BytesIO((place.path / name).read_bytes())).to_pandas()
        return frame
    except (OSError, ValueError, pa.ArrowException) as error:
        raise place.damaged(name, error) from error
