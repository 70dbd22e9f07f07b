"""A study at work: its exact sweep, its search, and the decision that follows from both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pba.files import replacing
from pba.progress import Progress
from pba.study.aims import KNOWN_AIMS, Aim
from pba.study.asked import TRACES_FOLDER
from pba.study.decision.decide import decide, decide_from_table, maps
from pba.study.decision.decision import Decision, Question
from pba.study.decision.judge import Judge
from pba.study.decision.region import round_points
from pba.study.definition import StudyDefinition
from pba.study.evaluate import Evaluator, Rows
from pba.study.exact import outcomes_of, study_grid, sweep_study
from pba.study.folder import Folder, Record, write_parquet
from pba.study.inputs import groups_of
from pba.study.journal import JOURNAL_FILE, Journal, attributes_of
from pba.study.mirror import Mirror
from pba.study.objective import Objective
from pba.study.replays import Replays
from pba.study.result import (
    DECISION_FILE,
    MAPS_FILE,
    POINTS_FILE,
    STUDY_FILE,
    SWEEP_FOLDER,
    Run,
    load_run,
    read_points,
)
from pba.study.search import Proposal, Tried, boundaries, propose
from pba.study.space import ALTERNATIVES, Point, distinct_points
from pba.study.sweep.folder import RECORD_FILE, TABLE_FILE
from pba.study.sweep.result import SweepResult
from pba.units import number, plural

if TYPE_CHECKING:
    import pandas as pd

SWEPT_FILES: Final = (f"{SWEEP_FOLDER}/{RECORD_FILE}", f"{SWEEP_FOLDER}/{TABLE_FILE}")


def kept_aims(definition: StudyDefinition) -> tuple[Aim, ...]:
    """Return every aim whose figure a study keeps of a replay: its own, and those that it bounds."""
    bounded = [KNOWN_AIMS[name] for name in definition.constraints]
    own = {aim.name for aim in definition.aims}
    return (*definition.aims, *(aim for aim in bounded if aim.name not in own))


class Session:
    """The work on one study: the search proposes a generation, the evaluator replays it, both files take it.

    The table of replays is written before the journal, so a kill between the two leaves a table that is
    ahead: what it has is not replayed again. What the search would propose is always held against what is
    stored.

    Parameters
    ----------
    place : Folder
        The run's folder, held.
    definition : StudyDefinition
        The study.
    record : dict
        The folder's record.
    evaluator, held_out : Evaluator
        Replay points on the recordings that have a say, and on those that have none.
    workers : int
        Threads of the sweep.
    replays : Replays
        What was replayed before.
    mirror : Mirror, optional
        A database into which finished trials are copied.
    progress : Progress
        Who is told how far it is.
    """

    def __init__(
        self,
        place: Folder,
        definition: StudyDefinition,
        record: Record,
        evaluator: Evaluator,
        held_out: Evaluator,
        workers: int,
        replays: Replays,
        mirror: Mirror | None,
        progress: Progress,
    ) -> None:
        self.place, self.definition, self.record = place, definition, record
        self.evaluator, self.held_out = evaluator, held_out
        self.workers, self.replays = workers, replays
        self.mirror, self.progress = mirror, progress
        self.inputs = evaluator.inputs
        self.names = [one.name for one in self.inputs]
        self.objective = Objective(definition.aims)
        self.question = Question(
            definition.aims,
            definition.choice,
            {KNOWN_AIMS[name]: limit for name, limit in definition.constraints.items()},
            groups_of(definition, self.inputs),
            {one.name: one.passes for one in self.inputs},
        )
        self.stored = self._stored_points()
        self.journal = Journal(place, definition)
        self.past: list[Tried] = []
        self.rows: list[Rows] = []
        self.best = Best(definition)
        self.judge: Judge | None = None

    def run(self) -> Run:
        """Sweep, try all points, decide, and close the run."""
        swept, told = self._swept()
        outcomes = None if swept is None else outcomes_of(swept)
        self.judge = None if outcomes is None else Judge.of(self.question, outcomes)
        total = distinct_points(self.definition)
        self.evaluator.nr_expected = total - len(self.stored)
        if not self.evaluator.knows([one.point for one in ALTERNATIVES]):
            self.progress.stage("loading the model (the first time, it is compiled)")
            self.evaluator.warm_up(self.evaluator.nr_expected)
        if self.stored:
            self.progress.say(f"going on: {number(len(self.stored))} of {number(total)} points are done")
        self.progress.stage("trying points", total, "points", len(self.stored))
        for generation, (start, end) in enumerate(boundaries(total)):
            self._generation(generation, start, end)
        self.progress.stage("deciding: on all recordings, without each of them, and in each group")
        table = self._frame().set_index(["number", "trace"])
        held = (
            None
            if not self.held_out.inputs
            else ([one.name for one in self.held_out.inputs], self.held_out.rows_of)
        )
        if outcomes is None:
            decision, extra = self._decided_without_a_sweep()
        else:
            decision = decide(self.question, outcomes, self.evaluator.rows_of, table, held)
            decision.search["ped_anova"] = self.journal.importance()
            extra = []
            write_parquet(maps(self.question, outcomes), self.place.path / MAPS_FILE)
        decision.notes.extend(one for one in (told, _alike(self.definition)) if one)
        return self._closed(decision, extra)

    def _swept(self) -> tuple[SweepResult | None, str]:
        """Sweep the study's grid, or say why not."""
        if not self.definition.sweep:
            return None, ""
        grid, told = study_grid(self.definition, self.inputs)
        if told:
            self.progress.say(told)
        if grid is None:
            return None, told
        command = f"pba sweep (of the study {self.definition.name})"
        folder = self.place.path / SWEEP_FOLDER
        executor = self.evaluator.executor
        found = sweep_study(
            self.inputs, grid, folder, self.workers, executor, self.replays, command, self.progress
        )
        return found, told

    def _decided_without_a_sweep(self) -> tuple[Decision, list[Point]]:
        """Decide among round points, which are the same for every seed, and replay them all for it."""
        # The patch first, which all else is held against.
        plain = [one.point for one in ALTERNATIVES]
        points = list(dict.fromkeys([*plain, *round_points(self.definition)]))
        rows = self.evaluator.rows_of(points)
        table = _table(self.names, points, rows).set_index(["number", "trace"])
        return decide_from_table(self.question, table, self.names, self.evaluator.rows_of), points

    def _closed(self, decision: Decision, extra: Sequence[Point]) -> Run:
        """Write the last files and mark the run complete."""
        tried = {one.point for one in self.past}
        passed_over = [decision.passed_over.point] if decision.passed_over else []
        wanted = dict.fromkeys([*extra, *passed_over, decision.recommended])
        more = [point for point in wanted if point not in tried]
        write_parquet(self._frame(more), self.place.path / POINTS_FILE)
        text = json.dumps(decision.to_dict(), indent=1, allow_nan=False)
        with replacing(self.place.path / DECISION_FILE, force=True) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        files = [STUDY_FILE, POINTS_FILE, DECISION_FILE, JOURNAL_FILE]
        files += [MAPS_FILE, *SWEPT_FILES] if decision.region else []
        kept = self.place.path / TRACES_FOLDER
        files += [f"{TRACES_FOLDER}/{path.name}" for path in sorted(kept.glob("*.parquet"))]
        self.place.complete(self.record, files)
        return load_run(self.place.path)

    def _stored_points(self) -> list[Point]:
        """Return the points that the search has stored; the evaluator remembers the results of all in the table."""
        frame = read_points(self.place, self.names, kept_aims(self.definition))
        if frame is None:
            return []
        rows = frame.reset_index().to_dict("records")
        width, points = len(self.names), []
        for start in range(0, len(rows), width):
            group = rows[start : start + width]
            point = Point(*(int(group[0][name]) for name in Point._fields))
            left_out = {"number", "trace", "searched", *Point._fields}
            kept = [{str(k): v for k, v in row.items() if k not in left_out} for row in group]
            self.evaluator.remember(point, kept)
            if group[0]["searched"]:
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
        patch = self.rows[0] if self.rows else rows[0]
        made = [
            Tried(
                proposal.point, self.objective.values(found, patch), proposal.notes, self._violations(found)
            )
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
        done = len(journaled)
        shown = [self._shown(found, patch) for found in rows]
        self.journal.append(made[done:], shown[done:])
        if self.mirror is not None:
            self.mirror.add(start, made, shown)

    def _violations(self, rows: Rows) -> dict[str, float]:
        """Return how far a point is beyond each of the study's constraints."""
        found = {}
        for aim, limit in self.question.constraints.items():
            figures = [row[aim.name] for row in rows]
            found[aim.name] = limit.violation(float(aim.over_recordings(figures, figures)))
        return found

    def _shown(self, rows: Rows, patch: Rows) -> dict[str, Any]:
        """Return what a dashboard may show of a point: its figures on every recording, and where it lies."""
        shown = attributes_of(self.definition, self.names, rows)
        if self.judge is not None:
            shown |= self.judge.place_of(self.objective.values(rows, patch))
        return shown

    def _tell(self, point: Point) -> None:
        rows = self.evaluator.rows_of([point])[0]
        self.best.add(self.objective.values(rows, self.rows[0] if self.rows else rows))
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

    def _frame(self, more: Sequence[Point] = ()) -> pd.DataFrame:
        """Return the table of all replays so far, and of some points beside those of the search."""
        rows = [*self.rows, *self.evaluator.rows_of(more)]
        table = _table(self.names, [*(tried.point for tried in self.past), *more], rows)
        table["searched"] = table["number"] < len(self.past)
        return table


def _alike(definition: StudyDefinition) -> str:
    """Return what to say of generated traces that are hardly independent of each other; empty for none."""
    made = [one for one in definition.generated if not one.held_out]
    workloads = {one.workload for one in made}
    if len(workloads) == len(made):
        return ""
    return (
        f"{plural(len(made), 'trace')} are generated, of {plural(len(workloads), 'workload')}: those of one "
        "workload are alike, so intervals are narrower than they would be of as many recordings."
    )


def _table(names: Sequence[str], points: Sequence[Point], rows: Sequence[Rows]) -> pd.DataFrame:
    """Return replays as a table: a row per point and recording."""
    import pandas as pd

    return pd.DataFrame(
        {"number": at, "trace": name, **point._asdict(), **row}
        for at, (point, found) in enumerate(zip(points, rows, strict=True))
        for name, row in zip(names, found, strict=True)
    )


class Best:
    """The patch's point and the best so far, for who is told how far it is.

    Best is what has the first aim least (or most) at no worse further aims than the patch's: what most rules
    begin with, and quick to say.
    """

    def __init__(self, definition: StudyDefinition) -> None:
        self.aims = definition.aims
        self.count = 0
        self.patch: tuple[float, ...] | None = None
        self.best: tuple[float, ...] | None = None

    def add(self, values: tuple[float, ...]) -> None:
        """Take what a point's aims come to; the first are the patch's."""
        self.count += 1
        if self.patch is None or self.best is None:
            self.patch = self.best = values
        signs = [aim.sign for aim in self.aims]
        now, before, best = (
            tuple(sign * value for sign, value in zip(signs, each, strict=True))
            for each in (values, self.patch, self.best)
        )
        if all(value <= limit for value, limit in zip(now, before, strict=True)) and now < best:
            self.best = values

    def text(self) -> str:
        """Return the best point against the patch's."""
        if self.patch is None or self.best is None:
            return ""
        return f"best {self._text(self.best)} (patch: {self._text(self.patch)})"

    def _text(self, values: tuple[float, ...]) -> str:
        parts = []
        for aim, value in zip(self.aims, values, strict=True):
            one = aim.unit.removesuffix("s")
            parts.append(plural(value, one) if aim.unit.endswith("s") else f"{value:.3g} {aim.unit}")
        return ", ".join(parts)
