"""A study from its file to its finished folder; begun, gone on with, or found done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from pba.errors import StudyError, option
from pba.files import replacing
from pba.progress import Progress, heard
from pba.study.cluster import Dask, check_dask, executor_for
from pba.study.definition import StudyDefinition, read_definition
from pba.study.evaluate import Evaluator
from pba.study.folder import (
    COMPLETE,
    RUNNING,
    Difference,
    Folder,
    Record,
    differences_of_traces,
    differences_of_versions,
    sha256_of,
)
from pba.study.inputs import Input, read_inputs, versions
from pba.study.journal import attributes_of
from pba.study.mirror import Mirror, Storage
from pba.study.objective import Objective
from pba.study.result import (
    RUN,
    STUDY_FILE,
    Run,
    load_run,
    names_of,
    read_points,
    read_run_record,
)
from pba.study.search import Tried
from pba.study.session import Session, kept_aims
from pba.study.space import Point, distinct_points
from pba.study.workers import check_workers
from pba.units import number

MOST_POINTS: Final = 1_000_000
"""Most points of one study: each is a trial that the sampler looks back on."""
SHAPING: Final = ("pba", "model", "numpy", "optuna")
"""Versions that a run has to keep from its first point to its last."""


def tune(
    study_file: str | Path,
    folder: str | Path | None = None,
    *,
    points: int | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
    workers: int | None = None,
    dask: Dask | None = None,
    storage: str | None = None,
    force: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Run:
    """Run a study, or go on with it; a study that is done is only read.

    Parameters
    ----------
    study_file : str or Path
        The study's definition, TOML.
    folder : str or Path, optional
        The run's folder; `runs/NAME` by default.
    points, seed : int, optional
        In place of what the file says.
    changes : sequence of str
        Other words of the file to put in place: `search.sampler=random`, `decision.within=0.1`.
    workers : int, optional
        Threads that replay; one per processor by default. The result does not depend on it.
    dask : str or distributed.Client, optional
        Where to replay instead: the address of a Dask cluster's scheduler, or `"local"` for a cluster of
        `workers` processes that ends with the study. Needs `pip install 'pba[dask]'`.
    storage : str, optional
        URL of a database into which Optuna's trials are copied while the study runs: `sqlite:///all.db`, or
        `postgresql+psycopg://user@host/database` (`pip install 'pba[postgres]'`). One that does not answer
        is told of, and the run goes on without it.
    force : bool
        Whether to forget what an earlier run left in the folder.
    command : str
        The command that does the same, for the record.
    progress : Progress, optional
        Who is told how far it is: by default a line in Jupyter, nobody elsewhere; `advance` hears how many
        points are done.

    Returns
    -------
    Run
        The finished run, as `load_run` would read it.

    Raises
    ------
    StudyError
        If the study file, or the folder of an earlier run, is not what it should be, or `storage` is no URL.
    ClusterError
        If the cluster cannot be reached, or goes away. What is done by then is kept.
    """
    workers, progress = check_workers(workers), heard(progress)
    check_dask(dask)
    database = None if storage is None else Storage(storage)
    definition = _with_options(read_definition(study_file, changes), points, seed)
    place = Folder(Path("runs") / definition.name if folder is None else Path(folder), RUN)
    asked = {
        "command": command or f"pba tune {study_file}",
        "points": definition.points,
        "seed": definition.seed,
        "changes": list(changes),
        "aims": [aim.to_dict() for aim in definition.aims],
    }
    try:
        with place.held():
            record, inputs = _open(place, definition, asked, force, progress)
            if record["state"] == COMPLETE:
                run = load_run(place.path)
                done = f"{place.path}: done already, all {number(run.points['searched'].sum())} points"
                progress.say(f"{done}; nothing is replayed again")
                if database is not None:
                    with Mirror(database, run.study, record, progress) as mirror:
                        mirror.add(0, *_tried_in(run))
                return run
            aims = kept_aims(definition)
            tuned, held_out = ([one for one in inputs if one.held_out == out] for out in (False, True))
            with (
                executor_for(dask, workers, progress) as executor,
                nullcontext() if database is None else Mirror(database, definition, record, progress) as copy,
            ):
                executor.check_memory({one.name: one.machine for one in inputs}, progress)
                evaluators = Evaluator(tuned, executor, aims), Evaluator(held_out, executor, aims)
                return Session(place, definition, record, *evaluators, workers, copy, progress).run()
    finally:
        progress.end()


def _tried_in(run: Run) -> tuple[list[Tried], list[dict[str, Any]]]:
    """Return the points that a finished run's search tried, and what its trials keep of each."""
    searched = run.per_trace[run.per_trace["searched"]]
    groups = searched.groupby(level="number", sort=True)
    rows = [[{str(k): v for k, v in row.items()} for row in group.to_dict("records")] for _, group in groups]
    names = [str(name) for name in run.traces["trace"]]
    objective = Objective(run.aims)
    tried = [
        Tried(Point(*(int(found[0][name]) for name in Point._fields)), objective.values(found, rows[0]), {})
        for found in rows
    ]
    return tried, [attributes_of(run.study, names, found) for found in rows]


def _with_options(definition: StudyDefinition, points: int | None, seed: int | None) -> StudyDefinition:
    """Return the definition with what the arguments put in place of its words, if that is possible."""
    if points is not None and points < 1:
        raise StudyError(f"{option('points', points)} is out of range", "use 1 or more")
    if seed is not None and not 0 <= seed < 1 << 32:
        raise StudyError(f"{option('seed', seed)} is out of range", "use 0 to 4294967295")
    changed = definition.with_(
        points=definition.points if points is None else points,
        seed=definition.seed if seed is None else seed,
    )
    there_are = distinct_points(changed.with_(points=changed.space_size + 1))
    most = min(there_are, MOST_POINTS)
    # A small space may be asked for more than it has: all of it is tried then. Not so a number like 10**20.
    if changed.points > MOST_POINTS:
        raise StudyError(
            f"{number(changed.points)} points are more than a study takes",
            f"its space has {number(there_are)} different points; use at most {number(most)}",
        )
    return changed


def _open(
    place: Folder, definition: StudyDefinition, asked: dict[str, Any], force: bool, progress: Progress
) -> tuple[Record, list[Input]]:
    """Read the inputs and open the folder: its record, new or old, and the inputs."""
    begun = place.is_begun(force)
    progress.stage("reading the recordings")
    inputs = read_inputs(definition)
    assert definition.path is not None
    text = definition.path.read_bytes()
    wanted: Record = {
        "state": RUNNING,
        **asked,
        "study_sha256": sha256_of(text),
        "versions": versions(),
        "traces": [one.row() for one in inputs],
        "files": {},
    }
    if not begun:
        with replacing(place.path / STUDY_FILE, force=True) as temporary:
            temporary.write_bytes(text)
        return place.write(wanted), inputs
    record = _resumed(place, read_run_record(place), wanted)
    if record["state"] == COMPLETE:
        place.check_files(record)
        return record, inputs
    return place.write(record), inputs


def _resumed(place: Folder, record: Record, wanted: Record) -> Record:
    """Return the record of a run to go on with.

    Raises
    ------
    StudyError
        If the run was begun with something else, or for more points: the message says with what.
    """
    place.refuse(_differences(record, wanted))
    if record["points"] > wanted["points"]:
        asked = f"was begun for {number(record['points'])} points, more than {number(wanted['points'])}"
        points = option("points", record["points"])
        raise StudyError(
            f"{place.path}: {asked}{_tried_so_far(place, record)}", f"{points} goes on; {RUN.anew}"
        )
    if record["points"] < wanted["points"]:
        # A longer search begins with the same points: go on from there.
        return {**record, "points": wanted["points"], "command": wanted["command"], "state": RUNNING}
    return record


def _tried_so_far(place: Folder, record: Record) -> str:
    """Return how many points of an unfinished run have been tried, for a message."""
    if record["state"] == COMPLETE:
        return ""
    names = names_of(record)
    frame = read_points(place, names, ())
    tried = 0 if frame is None else int(frame["searched"].sum()) // len(names)
    return f", of which {number(tried)} are tried"


def _differences(record: Record, wanted: Record) -> Iterator[Difference]:
    """Yield what a run was begun with that is not so any more."""
    if record["study_sha256"] != wanted["study_sha256"]:
        yield "study file", record["study_sha256"][:12], wanted["study_sha256"][:12]
    if record["changes"] != wanted["changes"]:
        yield "change of the study file", ", ".join(record["changes"]), ", ".join(wanted["changes"])
    if record["aims"] != wanted["aims"]:
        yield "choice of aims", record["aims"], wanted["aims"]
    if record["seed"] != wanted["seed"]:
        yield "seed", record["seed"], wanted["seed"]
    yield from differences_of_traces(record["traces"], wanted["traces"])
    if record["state"] != COMPLETE or record["points"] < wanted["points"]:
        yield from differences_of_versions(record, wanted, SHAPING)
