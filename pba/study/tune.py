"""A study from its file to its finished folder; begun, gone on with, or found done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from pba.errors import StudyError, option
from pba.study import folder as rooms
from pba.study.definition import StudyDefinition, read_definition
from pba.study.evaluate import Evaluator, Rows, default_workers
from pba.study.flatness import around
from pba.study.inputs import read_recordings, versions
from pba.study.journal import Journal
from pba.study.objective import AIMS, combine
from pba.study.result import (
    FLATNESS_FILE,
    JOURNAL_FILE,
    POINTS_FILE,
    STUDY_FILE,
    Run,
    assemble_run,
    check_files,
    damaged,
    file_facts,
    load_run,
    read_points,
    write_parquet,
    write_record,
)
from pba.study.search import Proposal, Tried, boundaries, propose
from pba.study.space import Point, distinct_points

MAX_WORKERS: Final = 1024


class Watch(Protocol):
    """Who is told how far a study is."""

    def say(self, text: str) -> None:
        """Hear what begins now."""

    def begin(self, total: int, done: int) -> None:
        """Hear how many points there will be, and how many there are already."""

    def point(self, aims: tuple[float, float]) -> None:
        """Hear the two aims of a point that is done; the first is the patch's."""

    def end(self) -> None:
        """Hear that no more points will come."""


class Silence:
    """Nobody is told."""

    def say(self, text: str) -> None:
        """Drop it."""

    def begin(self, total: int, done: int) -> None:
        """Drop it."""

    def point(self, aims: tuple[float, float]) -> None:
        """Drop it."""

    def end(self) -> None:
        """Drop it."""


def tune(
    study_file: str | Path,
    folder: str | Path | None = None,
    *,
    points: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    force: bool = False,
    command: str = "",
    watch: Watch | None = None,
) -> Run:
    """Run a study, or go on with it; a study that is done is only read.

    Parameters
    ----------
    study_file : str or Path
        The study's definition, TOML.
    folder : str or Path, optional
        The run's folder; `runs/NAME` unless told.
    points, seed : int, optional
        In place of what the file says.
    workers : int, optional
        Threads that replay; one per processor unless told. The result does not depend on it.
    force : bool
        Whether to forget what an earlier run left in the folder.
    command : str
        The command that does the same, for the record.
    watch : Watch, optional
        Who is told how far it is.

    Returns
    -------
    Run
        The finished run, as `load_run` would read it.

    Raises
    ------
    StudyError
        If the study file, or the folder of an earlier run, is not what it should be.
    """
    watch = watch or Silence()
    definition = _with_options(read_definition(study_file), points, seed)
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise StudyError(f"{option('workers', workers)} is out of range", f"use 1 to {MAX_WORKERS}")
    place = Path("runs") / definition.name if folder is None else Path(folder)
    asked = {
        "command": command or f"pba tune {study_file}",
        "points": definition.points,
        "seed": definition.seed,
    }
    with rooms.locked(place):
        record, recordings = _open(place, definition, asked, force, watch)
        if record["state"] == "complete":
            run = load_run(place)
            watch.say(f"{place}: done already, all {len(run.points)} points; nothing is replayed again")
            return run
        with Evaluator(recordings, workers or default_workers()) as evaluator:
            return _Session(place, definition, record, evaluator, watch).run()


def _with_options(definition: StudyDefinition, points: int | None, seed: int | None) -> StudyDefinition:
    """Return the definition with what the command line puts in place of its words."""
    if points is not None and points < 1:
        raise StudyError(f"{option('points', points)} is out of range", "use 1 or more")
    if seed is not None and not 0 <= seed < 1 << 32:
        raise StudyError(f"{option('seed', seed)} is out of range", "use 0 to 4294967295")
    return definition.with_(
        points=definition.points if points is None else points,
        seed=definition.seed if seed is None else seed,
    )


def _open(
    place: Path, definition: StudyDefinition, asked: dict[str, Any], force: bool, watch: Watch
) -> tuple[dict[str, Any], list[Any]]:
    """Read the inputs and open the folder: its record, new or old, and the recordings."""
    begun = rooms.is_run(place, force)
    watch.say("reading the recordings")
    recordings = read_recordings(definition)
    assert definition.path is not None
    text = definition.path.read_bytes()
    wanted = rooms.new_record(text, [item.row() for item in recordings], versions(), asked)
    if not begun:
        rooms.begin(place, text, wanted)
        return wanted, recordings
    record = rooms.resume(place, wanted)
    if record["state"] == "complete":
        check_files(place, record)
    else:
        write_record(place, record)
    return record, recordings


class _Session:
    """One process's work on a run: what is stored, what is known, and the loop over generations."""

    def __init__(
        self,
        place: Path,
        definition: StudyDefinition,
        record: dict[str, Any],
        evaluator: Evaluator,
        watch: Watch,
    ) -> None:
        self.place, self.definition, self.record = place, definition, record
        self.evaluator, self.watch = evaluator, watch
        self.names = [row["trace"] for row in record["traces"]]
        self.stored = self._stored_points()
        self.journal = Journal(place, definition)
        self.past: list[Tried] = []
        self.rows: list[Rows] = []

    def run(self) -> Run:
        """Try all points, look around the recommended one, and close the run."""
        total = distinct_points(self.definition)
        self.watch.say("loading the model (the first time, it is compiled)")
        self.evaluator.warm_up()
        self.watch.begin(total, len(self.stored))
        for number, (start, end) in enumerate(boundaries(total)):
            self._generation(number, start, end)
        self.watch.end()
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

    def _generation(self, number: int, start: int, end: int) -> None:
        """Take a generation from the store, or propose, replay and store it."""
        journaled = self.journal.tried[start:end]
        if len(journaled) == end - start:
            proposals = [Proposal(tried.point, tried.notes) for tried in journaled]
        else:
            proposals = propose(self.definition, self.past, number, end - start)
        points = [proposal.point for proposal in proposals]
        self._check_store(points, start)
        rows = self.evaluator.rows_of(points, self._tell)
        generation = [
            Tried(proposal.point, _aims(found), proposal.notes)
            for proposal, found in zip(proposals, rows, strict=True)
        ]
        for stored, made in zip(journaled, generation, strict=False):
            if stored.values != made.values:
                raise damaged(
                    self.journal.path, f"its figures for {made.point} are not those of {POINTS_FILE}"
                )
        self.past += generation
        self.rows += rows
        if len(self.stored) < end:
            write_parquet(self._frame(), self.place / POINTS_FILE)
        self.journal.append(generation[len(journaled) :])

    def _tell(self, point: Point) -> None:
        self.watch.point(_aims(self.evaluator.rows_of([point])[0]))

    def _check_store(self, points: Sequence[Point], start: int) -> None:
        """Hold what is stored against what the search proposes: they are the same, or the folder is not."""
        for offset, point in enumerate(points):
            number = start + offset
            journaled = self.journal.tried[number].point if number < len(self.journal.tried) else point
            stored = self.stored[number] if number < len(self.stored) else None
            if journaled != point or (stored is not None and stored != point):
                raise damaged(self.place, f"its point {number} is not {point}, which the search proposes")
            if stored is None and number < len(self.journal.tried):
                raise damaged(self.place / POINTS_FILE, f"it lacks point {number}, which the journal has")

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
        run = assemble_run(self.place, self.definition, self.record, per_trace, None)
        center = self.past[run.recommended].point
        self.watch.say("replaying around the recommended point")
        flatness = around(self.definition, center, self._measure)
        write_parquet(flatness, self.place / FLATNESS_FILE)
        kept = (STUDY_FILE, POINTS_FILE, FLATNESS_FILE, JOURNAL_FILE)
        self.record = {
            **self.record,
            "state": "complete",
            "recommended": run.recommended,
            "rule": run.rule,
            "files": {name: file_facts(self.place / name) for name in kept},
        }
        write_record(self.place, self.record)
        return load_run(self.place)

    def _measure(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        return [_aims(rows) for rows in self.evaluator.rows_of(points)]


def _aims(rows: Rows) -> tuple[float, float]:
    """Return the two aims of a point."""
    combined = combine(list(rows))
    return float(combined[AIMS[0]]), float(combined[AIMS[1]])
