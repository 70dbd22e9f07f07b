"""What a study found, as its folder holds it.

    runs/NAME/
      study.toml        the study file, word for word
      run.json          state, versions, command, seed, traces with their sha256, the recommendation
      optuna.journal    Optuna's storage (`JournalStorage`): a finished trial per point
      points.parquet    a row per point and recording: every counter
      sweep/            every point of a grid on the same recordings (`pba.load_sweep` reads it)
      decision.json     what is recommended, and how sure that is
      maps.parquet      how the rule's score lies over pairs of thresholds
      traces/           the traces that have no file of their own: generated, or given in memory
      report/           what `pba report` writes

The same inputs and seed leave the same bytes, whatever the clock says; only Optuna's journal has times in it
(and run.json the journal's hash).
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba import shown
from pba.errors import StudyError
from pba.study.aims import Aim
from pba.study.asked import TRACES_FOLDER
from pba.study.decision.decision import PATCH, RECOMMENDED, Decision
from pba.study.decision.outcomes import TableOutcomes
from pba.study.decision.region import in_words
from pba.study.decision.rules import RULES
from pba.study.definition import THRESHOLD_NAMES, StudyDefinition
from pba.study.folder import COMPLETE, Folder, Kind, Record, sha256_of
from pba.study.journal import JOURNAL_FILE
from pba.study.objective import points_of
from pba.study.space import NEVER
from pba.study.study_file import parse_definition
from pba.units import number, plural

if TYPE_CHECKING:
    import optuna
    import pandas as pd

STUDY_FILE: Final = "study.toml"
RUN_FILE: Final = "run.json"
POINTS_FILE: Final = "points.parquet"
DECISION_FILE: Final = "decision.json"
MAPS_FILE: Final = "maps.parquet"
SWEEP_FOLDER: Final = "sweep"

RUN: Final = Kind(
    noun="run",
    command="pba tune",
    flag="--run",
    record=RUN_FILE,
    own=(
        RUN_FILE,
        STUDY_FILE,
        JOURNAL_FILE,
        POINTS_FILE,
        DECISION_FILE,
        MAPS_FILE,
        SWEEP_FOLDER,
        TRACES_FOLDER,
    ),
    # In 1, the second aim was in MiB; in 2, the record had no hash of itself; in 3, nothing was swept and a counter
    # was missing; in 4, a point that is not better than a plain alternative was called recommended.
    version=5,
    keys={"traces": list, "study_sha256": str, "points": int, "seed": int, "changes": list, "aims": list},
    grows=JOURNAL_FILE,  # a dashboard may add notes
    first=STUDY_FILE,
    folders=(SWEEP_FOLDER, TRACES_FOLDER),
)
"""The folder of a study."""

PATCH_NUMBER: Final = 0
"""Number of the point with the patch's own thresholds."""

_TRACE_COLUMNS: Final = (
    "trace", "path", "sha256", "machine", "page_size_kib", "memory_pages", "linear_map", "events", "allocs",
    "frees", "passes", "duration_ns", "source", "kernel", "architecture", "lost_events", "unknown_frees",
    "inferred_frees", "live_at_start", "recall", "precision",
    "held_out",
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
        Whether all points were tried and the study has decided.
    versions : dict of str to str
        Versions of pba, of its model (a hash of all sources that shape a figure), Python and libraries.
    command : str
        The command that makes this run again.
    traces : DataFrame
        A row per recording that has a say: `trace` (name), `path`, `sha256`, `machine`, `page_size_kib`,
        `memory_pages`, `linear_map`, `events`, `allocs`, `frees`, `passes`, `duration_ns`, `source`,
        `kernel`, `architecture`, `lost_events`, `unknown_frees`, `inferred_frees`, `live_at_start`,
        `recall`, `precision` (NaN where there was no truth to hold it against).
    held_out : DataFrame
        The same of the recordings that have none.
    points : DataFrame
        Indexed by `number`: the thresholds as for 4 KiB pages, each aim by its name over the recordings (by
        default `pmd_splits`, their sum, and `mean_cached_pages`, the mean over recordings of the
        time-weighted mean), the same in `mean_cached_mib`, `peak_cached_mib` (the largest), other counters'
        sums, `on_front` (of these points), and `searched`: False for a recommended point, or the best found,
        that the search did not come upon.
    per_trace : DataFrame
        Indexed by `number` and `trace`: the thresholds, every counter, `mean_cached_pages`,
        `mean_cached_mib`, `peak_cached_mib`, `block_mapped_share`, other aims, `searched`.
    patch : int
        Number of the point with the patch's thresholds.
    recommended : int
        Number of the point that the study recommends; while a run is not complete, of the tried point that is
        best by the rule.
    rule : str
        The rule, in words.
    front : list of int
        Numbers of the points that no other beats, by the first aim.
    decision : Decision or None
        What was decided and how sure that is; None while a run is not complete.
    maps : DataFrame
        `across`, `up`, `x`, `y`, `score`: the least score of the rule over the third threshold, in units of
        the patch's. Empty without a sweep.
    """

    folder: Path
    study: StudyDefinition
    complete: bool
    versions: dict[str, str]
    command: str
    traces: pd.DataFrame
    held_out: pd.DataFrame
    points: pd.DataFrame
    per_trace: pd.DataFrame
    patch: int
    recommended: int
    rule: str
    front: list[int]
    decision: Decision | None
    maps: pd.DataFrame

    @property
    def aims(self) -> tuple[Aim, ...]:
        """The study's aims, the most important first."""
        return self.study.aims

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: what was tried, the answer, and what it comes to beside the patch."""
        patch, best = self._words_of(self.patch), self._words_of(self.recommended)
        rows = (self._answer(), f"patch: {patch}", f"{RECOMMENDED}: {best}")
        return shown.lines(f"Run {shown.named(self.folder)!r}: {self._size()}", rows)

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the answer, the choices and the front in Jupyter."""
        choices = self._choices()
        head = ("choice", "U", "M", "B", *(aim.title for aim in self.aims))
        rows = [(name, *map(_pages, point), *map(number, values)) for name, point, values in choices]
        title = f"Run {shown.named(self.folder)}"
        parts = [shown.paragraph(self._size()), shown.paragraph(self._answer()), shown.table(head, rows)]
        return shown.html(title, *parts, self._front_svg(choices))

    def _size(self) -> str:
        tried, recordings = plural(len(self.points), "point"), plural(len(self.traces), "recording")
        return f"study {shown.named(self.study.name)}, {tried} on {recordings}" + (
            "" if self.complete else ", not complete"
        )

    def _answer(self) -> str:
        """Say in a sentence what to choose; the report says how much better that is, and how sure."""
        decision = self.decision
        if decision is None:
            return "Not decided yet: of the points tried so far the recommended one is best by the rule."
        if not decision.alternative:
            against = decision.verdict["against"]
            return f"Choose {decision.words}: better than {against}, the best choice that needs no tuning."
        kept = decision.alternative == PATCH
        chosen = (
            "Keep the patch's thresholds" if kept else f"Choose {decision.alternative!r}, {decision.words}"
        )
        if (best := decision.passed_over) is None:
            return f"{chosen}."
        return (
            f"{chosen}: the best found, {in_words(best.point)}, is not better by more than chance explains."
        )

    def _choices(self) -> list[tuple[str, tuple[int, ...], list[float]]]:
        """Return the named points: name, thresholds, aims."""
        if self.decision is not None:
            patch = self.decision.named(PATCH)
            return [
                (one.name, tuple(one.point), one.over(self.aims, patch)) for one in self.decision.compared
            ]
        found = []
        for name, at in ((PATCH, self.patch), (RECOMMENDED, self.recommended)):
            row: Any = self.points.loc[at]
            aims = [float(row[aim.name]) for aim in self.aims]
            found.append((name, tuple(int(row[each]) for each in THRESHOLD_NAMES), aims))
        return found

    def _front_svg(self, choices: list[tuple[str, tuple[int, ...], list[float]]]) -> str:
        """Draw the front and the named points; nothing where there is but one aim, or more is better."""
        if len(self.aims) != 2 or any(aim.sign < 0 for aim in self.aims):
            return ""
        if self.decision is not None and self.decision.front:
            steps = [tuple(row["values"]) for row in self.decision.front]
        else:
            steps = list(self.points.loc[self.front, [aim.name for aim in self.aims]].itertuples(index=False))
        colours = {PATCH: "#0072b2", RECOMMENDED: "#d55e00"}
        named = [(values[0], values[1]) for name, _, values in choices if name in colours]
        ends = [
            2 * max(values) for values in zip(*named, strict=True)
        ]  # what lies far off would flatten the rest
        near = [(one, two) for one, two in steps if one <= ends[0] and two <= ends[1]]
        marks = [
            (name, (values[0], values[1]), colours.get(name, "#009e73"))
            for name, _, values in choices
            if values[0] <= ends[0] and values[1] <= ends[1]
        ]
        return shown.front_svg(near, marks, (self.aims[0].title, self.aims[1].title))

    def _words_of(self, at: int) -> str:
        row: Any = self.points.loc[at]
        aims = ", ".join(f"{aim.title} {number(float(row[aim.name]))}" for aim in self.aims)
        return (
            " ".join(
                f"{letter}={int(row[name])}" for letter, name in zip("UMB", THRESHOLD_NAMES, strict=True)
            )
            + f": {aims}"
        )

    @property
    def optuna_study(self) -> optuna.Study:
        """The search as an Optuna study in memory: for `optuna.visualization` and whatever else takes one.

        Each trial has the thresholds as parameters, the aims as values under their names, its constraints,
        and as attributes its figures on every recording, whether it lies on the front of the tried points,
        and whether in the region.
        """
        from pba.study.journal import study_in_memory

        return study_in_memory(self)


def _pages(value: int) -> str:
    return "all" if value >= NEVER else number(value)


def load_run(folder: str | Path) -> Run:
    """Read a run's folder, finished or not.

    Raises
    ------
    StudyError
        If it is no run's folder, is damaged, or holds no point yet.
    """
    place = Folder(Path(folder), RUN)
    record = read_run_record(place)
    complete = record["state"] == COMPLETE
    if complete:
        place.check_files(record)
    study = _read_study(place, record)
    per_trace = read_points(place, names_of(record), study.aims)
    if per_trace is None or PATCH_NUMBER not in per_trace.index.get_level_values("number"):
        raise StudyError(f"{folder}: the run holds no point yet", "say pba tune again to go on with it")
    decision, maps = (_read_decision(place), _read_maps(place)) if complete else (None, None)
    return assemble_run(place.path, study, record, per_trace, decision, maps)


def names_of(record: Record, held_out: bool = False) -> list[str]:
    """Return the names of the recordings that have a say, or of those that have none."""
    return [row["trace"] for row in record["traces"] if row["held_out"] == held_out]


def assemble_run(
    folder: Path,
    study: StudyDefinition,
    record: Record,
    per_trace: pd.DataFrame,
    decision: Decision | None,
    maps: pd.DataFrame | None,
) -> Run:
    """Put a `Run` together from its parts; points and front follow from `per_trace`."""
    import pandas as pd

    points = points_of(per_trace, study.aims)
    points["searched"] = per_trace.groupby(level="number", sort=True)["searched"].first()
    front = points[points["on_front"]]
    names = [aim.name for aim in study.aims]
    signed = front[names] * [aim.sign for aim in study.aims]
    traces = pd.DataFrame(record["traces"]).astype({"recall": "float64", "precision": "float64"})
    held_out = traces.pop("held_out").astype(bool)
    rule = RULES[study.choice.rule]
    return Run(
        folder=folder,
        study=study,
        complete=decision is not None,
        versions=dict(record["versions"]),
        command=record["command"],
        traces=traces[~held_out].reset_index(drop=True),
        held_out=traces[held_out].reset_index(drop=True),
        points=points,
        per_trace=per_trace,
        patch=PATCH_NUMBER,
        recommended=_number_of(points, per_trace, study, decision),
        rule=rule.sentence(study.aims, study.choice),
        front=[int(number) for number in signed.sort_values(names, kind="stable").index],
        decision=decision,
        maps=pd.DataFrame(columns=["across", "up", "x", "y", "score"]) if maps is None else maps,
    )


def _number_of(
    points: pd.DataFrame, per_trace: pd.DataFrame, study: StudyDefinition, decision: Decision | None
) -> int:
    """Return the number of the recommended point, or of the best one so far."""
    if decision is None:
        names = list(dict.fromkeys(per_trace.index.get_level_values("trace")))
        outcomes = TableOutcomes(per_trace, names)
        scored = RULES[study.choice.rule].scored(outcomes, study.aims, range(len(names)), study.choice)
        return int(points.index[scored.best])
    same = (points[list(THRESHOLD_NAMES)] == list(decision.recommended)).all(axis=1)
    return int(points.index[same][0])


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
    study = parse_definition(content.decode("utf-8"), place.path / STUDY_FILE, record["changes"])
    return study.with_(points=record["points"], seed=record["seed"])


def read_points(place: Folder, traces: list[str], aims: Sequence[Aim]) -> pd.DataFrame | None:
    """Read the table of replays, indexed by number and trace; None where there is none yet."""
    if not (place.path / POINTS_FILE).exists():
        return None
    frame = _read_parquet(place, POINTS_FILE)
    wanted = {"number", "trace", *THRESHOLD_NAMES, "mean_cached_pages", "mean_cached_mib", "peak_cached_mib"}
    wanted |= {"searched", *(aim.name for aim in aims)}
    if not wanted <= set(frame.columns):
        raise place.damaged(POINTS_FILE, f"the column {min(wanted - set(frame.columns))} is missing")
    numbers = len(frame) // len(traces)
    expected = [(number, trace) for number in range(numbers) for trace in traces]
    if list(zip(frame["number"].tolist(), frame["trace"].tolist(), strict=True)) != expected:
        raise place.damaged(POINTS_FILE, "it does not have a row for each point and recording")
    return frame.set_index(["number", "trace"])


def _read_decision(place: Folder) -> Decision:
    """Read what was decided."""
    try:
        return Decision.from_dict(json.loads((place.path / DECISION_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, LookupError) as error:
        raise place.damaged(DECISION_FILE, error) from error


def _read_maps(place: Folder) -> pd.DataFrame | None:
    """Read how the score lies over pairs of thresholds; None where nothing was swept."""
    return _read_parquet(place, MAPS_FILE) if (place.path / MAPS_FILE).exists() else None


def _read_parquet(place: Folder, name: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(io.BytesIO((place.path / name).read_bytes())).to_pandas()
        return frame
    except (OSError, ValueError, pa.ArrowException) as error:
        raise place.damaged(name, error) from error
