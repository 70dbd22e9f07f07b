"""A study from its file to its finished folder; begun, gone on with, or found done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.errors import StudyError, option
from pba.files import replacing
from pba.machine import Machine
from pba.printable import printable
from pba.progress import Progress, heard
from pba.study.aims import Aim
from pba.study.asked import TRACES_FOLDER, Asked, Limits, Space, Words, ask, with_options
from pba.study.cluster import Dask, check_dask, executor_for
from pba.study.definition import Choice
from pba.study.evaluate import Evaluator
from pba.study.folder import (
    COMPLETE,
    RUNNING,
    Difference,
    Folder,
    Record,
    differences_of_traces,
    differences_of_versions,
)
from pba.study.generated import generators_hash
from pba.study.inputs import Input, read_inputs, versions
from pba.study.journal import attributes_of
from pba.study.mirror import Mirror, Storage
from pba.study.objective import Objective
from pba.study.replays import Replays
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
from pba.study.space import Point
from pba.study.study_file import differing_keys
from pba.study.workers import check_workers
from pba.units import number

if TYPE_CHECKING:
    from pba.trace.table import Trace

SHAPING: Final = ("pba", "model", "numpy", "optuna")
"""Versions that a run has to keep from its first point to its last."""


def tune(
    study: str | Path | None = None,
    folder: str | Path | None = None,
    *,
    traces: Sequence[Trace | str | Path] | Trace | str | Path | None = None,
    held_out: Sequence[Trace | str | Path] | None = None,
    machine: Machine | None = None,
    space: Space | None = None,
    aims: Sequence[str | Mapping[str, Any] | Aim] | None = None,
    constraints: Limits | None = None,
    rule: str | Choice | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sampler: str | None = None,
    sweep: bool | None = None,
    name: str | None = None,
    description: str | None = None,
    points: int | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
    workers: int | None = None,
    dask: Dask | None = None,
    storage: str | None = None,
    force: bool = False,
    cache: bool = True,
    command: str = "",
    progress: Progress | None = None,
) -> Run:
    """Run a study, or go on with it; a study that is done is only read.

    Parameters
    ----------
    study : str or Path, optional
        A study file (TOML), or the name of one that comes with pba. Without it and without `traces` it is the
        quickstart.
    folder : str or Path, optional
        The run's folder; `runs/NAME` by default.
    traces : sequence of Trace, str or Path, optional
        Instead of a study file: traces in memory, files, names or patterns of recordings. What is in memory is
        kept in the run's folder.
    held_out : sequence of Trace, str or Path, optional
        Such as have no say in what is recommended, and on which it is tried.
    machine : Machine, optional
        On which all of them are replayed; each trace's own by default.
    space : mapping, optional
        What is searched, by threshold (`unshrinkable_pages` or `U`, ...): `(low, high)`, a `Range`, or a
        mapping of `low`, `high`, `log`. In pages, M and B as for 4 KiB pages.
    aims : sequence of str, mapping or Aim, optional
        What is wanted, the most important first: names of aims, `{"name": ..., "over": ...}`, or a `pba.Aim`
        with a function of one's own.
    constraints : mapping, optional
        The most that a figure may be, or a mapping of `least` and `most`, by the aim's name.
    rule : str or Choice, optional
        How it decides: `"fewest-within"`, `"no-worse-anywhere"`, `"least-regret"`, `"least-product"`.
    groups : mapping of str to sequence of str, optional
        Recordings (names, patterns) that are decided for themselves as well.
    sampler : {"tpe", "nsga2", "random"}, optional
        How the search chooses its points.
    sweep : bool, optional
        Whether a grid is swept as well.
    name, description : str, optional
        The study's name, after which its folder is named, and its question.
    points, seed : int, optional
        How many points to try, and the seed of the search's random numbers.
    changes : sequence of str
        Any other words of a study file: `search.sampler=random`, `decision.within=0.1`.
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
    cache : bool
        Whether to take what earlier studies and sweeps replayed from pba's cache, and to keep there what this
        one does (`pba.study.replays`). The result does not depend on it.
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
        If the study file, an argument, or the folder of an earlier run is not what it should be, or `storage`
        is no URL.
    ClusterError
        If the cluster cannot be reached, or goes away. What is done by then is kept.

    Examples
    --------
    >>> run = pba.tune(traces=["pgbench"], aims=["pmd_splits", "peak_cached"], points=64)  # doctest: +SKIP
    >>> run.decision.recommended  # doctest: +SKIP
    """
    words = Words(
        traces, held_out, machine, space, aims, constraints, rule, groups, sampler, sweep, name, description
    )
    asked = ask(study, folder, words, changes)
    asked = with_options(asked, points, seed)
    return run_study(
        asked, workers=workers, dask=dask, storage=storage, force=force, cache=cache, command=command,
        progress=progress,
    )  # fmt: skip


def run_study(
    asked: Asked,
    *,
    workers: int | None = None,
    dask: Dask | None = None,
    storage: str | None = None,
    force: bool = False,
    cache: bool = True,
    command: str = "",
    progress: Progress | None = None,
) -> Run:
    """Run what is asked for, or go on with it; see `tune`."""
    workers, progress = check_workers(workers), heard(progress)
    check_dask(dask)
    database = None if storage is None else Storage(storage)
    definition, place = asked.definition, Folder(asked.folder, RUN)
    try:
        with place.held():
            record, inputs = _open(place, asked, command or asked.command, force, progress)
            if record["state"] == COMPLETE:
                run = load_run(place.path)
                done = f"{place.path}: done already, all {number(run.points['searched'].sum())} points"
                progress.say(f"{done}; nothing is replayed again")
                if database is not None:
                    with Mirror(database, run.study, record, progress) as mirror:
                        mirror.add(0, *_tried_in(run))
                return run
            _warn_of_silent(inputs, progress)
            aims = kept_aims(definition)
            tuned, held_out = ([one for one in inputs if one.held_out == out] for out in (False, True))
            with (
                Replays.opened(cache) as replays,
                executor_for(dask, workers, progress) as executor,
                nullcontext() if database is None else Mirror(database, definition, record, progress) as copy,
            ):
                executor.check_memory({one.name: one.machine for one in inputs}, progress)
                tried, judge = (Evaluator(some, executor, aims, replays) for some in (tuned, held_out))
                session = Session(place, definition, record, tried, judge, workers, replays, copy, progress)
                return session.run()
    finally:
        progress.end()


def _warn_of_silent(inputs: Sequence[Input], progress: Progress) -> None:
    """Say which recordings cannot tell thresholds apart, before they are averaged in."""
    names = [one.name for one in inputs if not one.passes]
    if names:
        progress.say(
            f"no shrinker pass in {printable(', '.join(names))}: no threshold can act there; such recordings "
            "count in the sums and means, and are told apart in the report"
        )


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


def _open(
    place: Folder, asked: Asked, command: str, force: bool, progress: Progress
) -> tuple[Record, list[Input]]:
    """Read the inputs and open the folder: its record, new or old, and the inputs."""
    definition = asked.definition
    wanted: Record = {
        "state": RUNNING,
        "command": command,
        **asked.said(),
        "versions": versions(),
        "files": {},
    }
    if definition.generated:
        wanted["versions"]["generators"] = generators_hash()
    record = read_run_record(place) if place.is_begun(force) else None
    progress.stage("generating and reading traces" if definition.generated else "reading the recordings")
    inputs = read_inputs(definition, place.path / TRACES_FOLDER, asked.traces, _kept(record, wanted))
    wanted["traces"] = [one.row() for one in inputs]
    if record is None:
        with replacing(place.path / STUDY_FILE, force=True) as temporary:
            temporary.write_bytes(asked.text)
        _keep_traces(inputs)
        return place.write(wanted), inputs
    record = _resumed(place, record, wanted, asked.text)
    if record["state"] == COMPLETE:
        place.check_files(record)
        return record, inputs
    _keep_traces(inputs)
    return place.write(record), inputs


def _kept(record: Record | None, wanted: Record) -> dict[str, str]:
    """Return the hashes of generated traces that the folder may still hold, by their names."""
    same = record is not None and all(
        record[key] == wanted[key] for key in ("study_sha256", "changes")
    ) and record["versions"].get("generators") == wanted["versions"].get("generators")  # fmt: skip
    return {row["trace"]: row["sha256"] for row in record["traces"]} if record and same else {}


def _keep_traces(inputs: Sequence[Input]) -> None:
    """Write the traces that have no file of their own into the run's folder."""
    for one in inputs:
        if one.content is not None:
            one.path.parent.mkdir(exist_ok=True)
            with replacing(one.path, force=True) as temporary:
                temporary.write_bytes(one.content)


def _resumed(place: Folder, record: Record, wanted: Record, text: bytes) -> Record:
    """Return the record of a run to go on with.

    Raises
    ------
    StudyError
        If the run was begun with something else, or for more points: the message says with what.
    """
    place.refuse(_differences(place, record, wanted, text))
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


def _differences(place: Folder, record: Record, wanted: Record, text: bytes) -> Iterator[Difference]:
    """Yield what a run was begun with that is not so any more."""
    if record["study_sha256"] != wanted["study_sha256"]:
        yield from differing_keys(_text_in(place), text.decode())
        yield "study file", record["study_sha256"][:12], wanted["study_sha256"][:12]
    if record["changes"] != wanted["changes"]:
        yield "change of the study file", ", ".join(record["changes"]), ", ".join(wanted["changes"])
    if record["aims"] != wanted["aims"]:
        yield "choice of aims", record["aims"], wanted["aims"]
    if record["seed"] != wanted["seed"]:
        yield "seed", record["seed"], wanted["seed"]
    yield from differences_of_traces(record["traces"], wanted["traces"])
    if record["state"] != COMPLETE or record["points"] < wanted["points"]:
        shaping = [*SHAPING, "generators"] if "generators" in wanted["versions"] else SHAPING
        yield from differences_of_versions(record, wanted, shaping)


def _text_in(place: Folder) -> str:
    """Return the folder's copy of its study file, or nothing where it cannot be read."""
    try:
        return (place.path / STUDY_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
