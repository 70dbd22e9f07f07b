"""The folder that a study leaves behind: writing it safely, reading it back, noticing damage.

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

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.errors import StudyError, option
from pba.study.definition import THRESHOLD_NAMES, StudyDefinition, parse_definition

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION: Final = 2
"""Version of the folder's layout; a reader refuses any other. In 1, the second aim was in MiB."""

STUDY_FILE: Final = "study.toml"
RUN_FILE: Final = "run.json"
POINTS_FILE: Final = "points.parquet"
FLATNESS_FILE: Final = "flatness.parquet"
JOURNAL_FILE: Final = "optuna.journal"

PATCH_NUMBER: Final = 0
"""Number of the point with the patch's own thresholds."""

FLATNESS_COLUMNS: Final = ("threshold", "value", "pmd_splits", "mean_cached_pages")
_TRACE_COLUMNS: Final = (
    "trace", "path", "sha256", "machine", "page_size_kib", "memory_pages", "linear_map", "events", "allocs",
    "frees", "passes", "duration_ns", "source", "kernel", "architecture", "lost_events", "unknown_frees",
    "inferred_frees", "live_at_start", "recall", "precision",
)  # fmt: skip
"""What `run.json` says of each recording."""
_ANEW: Final = (
    f"say {option('force', True)} to run it anew, "
    f"or choose another {option('folder', flag='folder with --run')}"
)


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
        Versions of pba, of its model (a hash of the kernel's sources), Python and libraries.
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
    folder = Path(folder)
    record = read_record(folder)
    complete = record["state"] == "complete"
    if complete:
        check_files(folder, record)
    study = read_study(folder, record)
    per_trace = read_points(folder, [row["trace"] for row in record["traces"]])
    if per_trace is None or PATCH_NUMBER not in per_trace.index.get_level_values("number"):
        raise StudyError(f"{folder}: the run holds no point yet", "say pba tune again to go on with it")
    run = assemble_run(folder, study, record, per_trace, read_flatness(folder) if complete else None)
    if complete and (record.get("recommended"), record.get("rule")) != (run.recommended, run.rule):
        # The replays around the recommended point would be around another.
        raise StudyError(f"{folder}: its point was chosen by another rule than this pba's", _ANEW)
    return run


def assemble_run(
    folder: Path,
    study: StudyDefinition,
    record: dict[str, Any],
    per_trace: pd.DataFrame,
    flatness: pd.DataFrame | None,
) -> Run:
    """Put a `Run` together from its parts; points, front and recommendation follow from `per_trace`."""
    import pandas as pd

    from pba.study.objective import AIMS, points_of
    from pba.study.recommend import RULE, recommend

    points = points_of(per_trace)
    front = points[points["on_front"]].sort_values(list(AIMS), kind="stable")
    return Run(
        folder=folder,
        study=study,
        complete=flatness is not None,
        versions=dict(record["versions"]),
        command=record["command"],
        traces=traces_frame(record["traces"]),
        points=points,
        per_trace=per_trace,
        patch=PATCH_NUMBER,
        recommended=recommend(points, PATCH_NUMBER),
        rule=RULE,
        front=[int(number) for number in front.index],
        flatness=pd.DataFrame(columns=list(FLATNESS_COLUMNS)) if flatness is None else flatness,
    )


def traces_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the table of recordings; a missing recall or precision is NaN."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    return frame.astype({"recall": "float64", "precision": "float64"})


def read_record(folder: Path) -> dict[str, Any]:
    """Read and check `run.json`."""
    path = folder / RUN_FILE
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such run folder", "pba tune makes one")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(f"{folder}: no run folder: it has no {RUN_FILE}", "pba tune makes one") from error
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    version = record.get("format_version") if isinstance(record, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StudyError(f"{path}: written by a newer pba (layout {version})", "use that one to read it")
    if isinstance(version, int) and version < FORMAT_VERSION:
        raise StudyError(
            f"{path}: written by an older pba (layout {version})", f"run it anew with {option('force', True)}"
        )
    kinds = {"state": str, "versions": dict, "command": str, "traces": list, "study_sha256": str,
             "points": int, "seed": int, "files": dict}  # fmt: skip
    wrong = [key for key, kind in kinds.items() if version is None or not isinstance(record.get(key), kind)]
    if wrong or record["state"] not in ("running", "complete") or not record["traces"]:
        raise damaged(path, "not what a run writes" + (f" ({wrong[0]} is missing)" if wrong else ""))
    for row in record["traces"]:
        lacks = [name for name in _TRACE_COLUMNS if not isinstance(row, dict) or name not in row]
        if lacks:
            raise damaged(path, f"a recording lacks {lacks[0]}")
    return dict(record)


def read_study(folder: Path, record: dict[str, Any]) -> StudyDefinition:
    """Read the run's copy of its study file, with the points and the seed that were asked for."""
    path = folder / STUDY_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise damaged(path, error) from error
    if sha256_of(content) != record["study_sha256"]:
        raise damaged(path, "it was changed after the run began")
    study = parse_definition(content.decode("utf-8"), path)
    return study.with_(points=record["points"], seed=record["seed"])


def check_files(folder: Path, record: dict[str, Any]) -> None:
    """Hold the files of a complete run against the hashes that the run wrote down.

    Only the part of Optuna's journal that the run wrote is checked: a dashboard may have added notes.
    """
    for name, known in record["files"].items():
        path = folder / name
        try:
            content = path.read_bytes()
            size, digest = int(known["bytes"]), str(known["sha256"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise damaged(path, error) from error
        if len(content) < size:
            raise damaged(path, f"it has {len(content)} bytes and should have {size}")
        if sha256_of(content[:size]) != digest or (name != JOURNAL_FILE and len(content) != size):
            raise damaged(path, "it is not what the run wrote")


def read_points(folder: Path, traces: list[str]) -> pd.DataFrame | None:
    """Read the table of replays, indexed by number and trace; None where there is none yet."""
    from pba.study.objective import AIMS

    path = folder / POINTS_FILE
    if not path.exists():
        return None
    frame = _read_parquet(path)
    wanted = {"number", "trace", *THRESHOLD_NAMES, *AIMS, "mean_cached_mib", "peak_cached_mib"}
    if not wanted <= set(frame.columns):
        raise damaged(path, f"the column {min(wanted - set(frame.columns))} is missing")
    numbers = len(frame) // len(traces)
    expected = [(number, trace) for number in range(numbers) for trace in traces]
    if list(zip(frame["number"].tolist(), frame["trace"].tolist(), strict=True)) != expected:
        raise damaged(path, "it does not have a row for each point and recording")
    return frame.set_index(["number", "trace"])


def read_flatness(folder: Path) -> pd.DataFrame:
    """Read the replays around the recommended point."""
    frame = _read_parquet(folder / FLATNESS_FILE)
    if list(frame.columns) != list(FLATNESS_COLUMNS):
        raise damaged(folder / FLATNESS_FILE, "its columns are not those of a run")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
        return frame
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table so that the same table gives the same bytes, and a kill leaves the old file whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pba.files import replacing

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with replacing(path, force=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write `run.json`, replacing an older one in a single step."""
    from pba.files import replacing

    with replacing(folder / RUN_FILE, force=True) as temporary:
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        # What UTF-8 has no bytes for (a file's name may hold it) becomes an escape that JSON knows, too.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def file_facts(path: Path) -> dict[str, Any]:
    """Return the size and hash by which `check_files` knows a file again."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": sha256_of(content)}


def sha256_of(content: bytes) -> str:
    """Return a SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def damaged(path: Path, reason: object) -> StudyError:
    """Return the error for a file of a run that is not as the run left it."""
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror  # the path is said already
    return StudyError(f"{path}: damaged run folder: {reason}", _ANEW)
