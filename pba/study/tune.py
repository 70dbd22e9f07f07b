"""A study from its file to its finished folder; begun, gone on with, or found done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pba.errors import StudyError, option
from pba.files import replacing
from pba.progress import SILENT, Progress
from pba.study.definition import StudyDefinition, read_definition
from pba.study.evaluate import Evaluator, Rows
from pba.study.flatness import around
from pba.study.folder import (
    COMPLETE,
    RUNNING,
    Difference,
    Folder,
    Record,
    differences_of_traces,
    differences_of_versions,
    sha256_of,
    write_parquet,
)
from pba.study.inputs import Input, read_inputs, versions
from pba.study.journal import Journal
from pba.study.objective import AIMS, combine
from pba.study.result import (
    FLATNESS_FILE,
    JOURNAL_FILE,
    POINTS_FILE,
    RUN,
    STUDY_FILE,
    Run,
    assemble_run,
    load_run,
    read_points,
    read_run_record,
)
from pba.study.search import Proposal, Tried, boundaries, propose
from pba.study.space import Point, distinct_points
from pba.study.workers import check_memory, check_workers
from pba.units import number, plural

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
    workers: int | None = None,
    force: bool = False,
    command: str = "",
    progress: Progress = SILENT,
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
    workers : int, optional
        Threads that replay; one per processor by default. The result does not depend on it.
    force : bool
        Whether to forget what an earlier run left in the folder.
    command : str
        The command that does the same, for the record.
    progress : Progress, optional
        Who is told how far it is; `advance` hears how many points are done.

    Returns
    -------
    Run
        The finished run, as `load_run` would read it.

    Raises
    ------
    StudyError
        If the study file, or the folder of an earlier run, is not what it should be.
    """
    workers = check_workers(workers)
    definition = _with_options(read_definition(study_file), points, seed)
    place = Folder(Path("runs") / definition.name if folder is None else Path(folder), RUN)
    asked = {
        "command": command or f"pba tune {study_file}",
        "points": definition.points,
        "seed": definition.seed,
    }
    try:
        with place.held():
            record, inputs = _open(place, definition, asked, force, progress)
            if record["state"] == COMPLETE:
                run = load_run(place.path)
                done = f"{place.path}: done already, all {number(len(run.points))} points"
                progress.say(f"{done}; nothing is replayed again")
                return run
            check_memory({one.name: one.machine for one in inputs}, workers, progress)
            with Evaluator(inputs, workers) as evaluator:
                return _Session(place, definition, record, evaluator, progress).run()
    finally:
        progress.end()


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
    frame = read_points(place, [row["trace"] for row in record["traces"]])
    tried = 0 if frame is None else len(frame) // len(record["traces"])
    return f", of which {number(tried)} are tried"


def _differences(record: Record, wanted: Record) -> Iterator[Difference]:
    """Yield what a run was begun with that is not so any more."""
    if record["study_sha256"] != wanted["study_sha256"]:
        yield "study file", record["study_sha256"][:12], wanted["study_sha256"][:12]
    if record["seed"] != wanted["seed"]:
        yield "seed", record["seed"], wanted["seed"]
    yield from differences_of_traces(record["traces"], wanted["traces"])
    if record["state"] != COMPLETE or record["points"] < wanted["points"]:
        yield from differences_of_versions(record, wanted, SHAPING)


class _Session:
    """One process's work on a run: what is stored, what is known, and the loop over generations."""

    def __init__(
        self,
        place: Folder,
        definition: StudyDefinition,
        record: Record,
        evaluator: Evaluator,
        progress: Progress,
    ) -> None:
        self.place, self.definition, self.record = place, definition, record
        self.evaluator, self.progress = evaluator, progress
        self.names = [row["trace"] for row in record["traces"]]
        self.stored = self._stored_points()
        self.journal = Journal(place, definition)
        self.past: list[Tried] = []
        self.rows: list[Rows] = []
        self.best = Best()

    def run(self) -> Run:
        """Try all points, look around the recommended one, and close the run."""
        total = distinct_points(self.definition)
        self.progress.stage("loading the model (the first time, it is compiled)")
        self.evaluator.warm_up(total - len(self.stored))
        if self.stored:
            self.progress.say(f"going on: {number(len(self.stored))} of {number(total)} points are done")
        self.progress.stage("trying points", total, "points", len(self.stored))
        for generation, (start, end) in enumerate(boundaries(total)):
            self._generation(generation, start, end)
        return self._finish()

    def _stored_points(self) -> list[Point]:
        """Return the points that are stored with their results, and have the evaluator remember them."""
        frame = read_points(self.place, self.names)
        if frame is None:
            return []
        rows = frame.reset_index().to_dict("records")
        width, points = len(self.names), []
        for start in range(0, len(rows), width):
            group = rows[start : start + width]
            point = Point(*(int(group[0][name]) for name in Point._fields))
            left_out = {"number", "trace", *Point._fields}
            kept = [{str(k): v for k, v in row.items() if k not in left_out} for row in group]
            self.evaluator.remember(point, kept)
            points.append(point)
        return points

    def _generation(self, generation: int, start: int, end: int) -> None:
        """Take a generation from the store, or propose, replay and store it."""
        journaled = self.journal.tried[start:end]
        if len(journaled) == end - start:
            proposals = [Proposal(tried.point, tried.notes) for tried in journaled]
        else:
            proposals = propose(self.definition, self.past, generation, end - start)
        points = [proposal.point for proposal in proposals]
        self._check_store(points, start)
        rows = self.evaluator.rows_of(points, self._tell)
        made = [
            Tried(proposal.point, _aims(found), proposal.notes)
            for proposal, found in zip(proposals, rows, strict=True)
        ]
        for stored, again in zip(journaled, made, strict=False):
            if stored.values != again.values:
                raise self.place.damaged(
                    JOURNAL_FILE, f"its figures for {again.point} are not those of {POINTS_FILE}"
                )
        self.past += made
        self.rows += rows
        if len(self.stored) < end:
            write_parquet(self._frame(), self.place.path / POINTS_FILE)
        self.journal.append(made[len(journaled) :])

    def _tell(self, point: Point) -> None:
        self.best.add(_aims(self.evaluator.rows_of([point])[0]))
        # What an earlier process tried is told as one: it is in `done` of the stage already.
        if self.best.count > len(self.stored):
            self.progress.advance(self.best.count, self.best.text())

    def _check_store(self, points: Sequence[Point], start: int) -> None:
        """Hold what is stored against what the search proposes: they are the same, or the folder is not."""
        tried = self.journal.tried
        for at, point in enumerate(points, start=start):
            journaled = tried[at].point if at < len(tried) else point
            stored = self.stored[at] if at < len(self.stored) else None
            if journaled != point or (stored is not None and stored != point):
                raise self.place.damaged("", f"its point {at} is not {point}, which the search proposes")
            if stored is None and at < len(tried):
                raise self.place.damaged(POINTS_FILE, f"it lacks point {at}, which the journal has")

    def _frame(self) -> Any:
        """Return the table of all replays so far."""
        import pandas as pd

        return pd.DataFrame(
            {"number": number, "trace": name, **tried.point._asdict(), **row}
            for number, (tried, rows) in enumerate(zip(self.past, self.rows, strict=True))
            for name, row in zip(self.names, rows, strict=True)
        )

    def _finish(self) -> Run:
        """Replay around the recommended point, write the last files and mark the run complete."""
        per_trace = self._frame().set_index(["number", "trace"])
        run = assemble_run(self.place.path, self.definition, self.record, per_trace, None)
        center = self.past[run.recommended].point
        self.progress.stage("replaying around the recommended point")
        flatness = around(self.definition, center, self._measure)
        write_parquet(flatness, self.place.path / FLATNESS_FILE)
        self.place.complete(
            {**self.record, "recommended": run.recommended, "rule": run.rule},
            (STUDY_FILE, POINTS_FILE, FLATNESS_FILE, JOURNAL_FILE),
        )
        return load_run(self.place.path)

    def _measure(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        return [_aims(rows) for rows in self.evaluator.rows_of(points)]


def _aims(rows: Rows) -> tuple[float, float]:
    """Return the two aims of a point."""
    combined = combine(list(rows))
    return float(combined[AIMS[0]]), float(combined[AIMS[1]])


class Best:
    """The patch's point and the best so far, for who is told how far it is."""

    def __init__(self) -> None:
        self.count = 0
        self.patch: tuple[float, float] | None = None
        self.best: tuple[float, float] | None = None

    def add(self, aims: tuple[float, float]) -> None:
        """Take a point's aims; the first are the patch's."""
        self.count += 1
        if self.patch is None or self.best is None:
            self.patch = self.best = aims
        no_worse = aims[0] <= self.patch[0] and aims[1] <= self.patch[1]
        if no_worse and (aims[0] * aims[1], *aims) < (self.best[0] * self.best[1], *self.best):
            self.best = aims

    def text(self) -> str:
        """Return the best point against the patch's."""
        if self.patch is None or self.best is None:
            return ""
        return f"best {_aims_text(self.best)} (patch: {_aims_text(self.patch)})"


def _aims_text(aims: tuple[float, float]) -> str:
    """Return the two aims as people read them."""
    return f"{plural(aims[0], 'split')}, {plural(aims[1], 'page')}"
