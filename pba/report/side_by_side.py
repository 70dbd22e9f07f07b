"""Runs and sweeps side by side: what differs between them, and what each of them found."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pba import shown
from pba.errors import PbaError, StudyError
from pba.paired import FEWEST
from pba.printable import printable
from pba.report.data import THRESHOLDS, front_table, interval_text, write_value
from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.decision.compare import change
from pba.study.decision.decision import PATCH, RECOMMENDED
from pba.study.exact import outcomes_of, recommended_of
from pba.study.result import RUN_FILE, SWEEP_FOLDER, Run, load_run
from pba.study.space import NEVER, PATCH_POINT, Point
from pba.study.sweep.folder import RECORD_FILE
from pba.study.sweep.result import SweepResult
from pba.study.sweep.run import load_sweep
from pba.units import number, plural

if TYPE_CHECKING:
    import pandas as pd

Figures = list[list[float]]
"""For each aim, its figure on each trace."""
NOTHING: Final = "-"
MOST_NAMES: Final = 4
"""Traces that are named at most where they differ."""


class Side(NamedTuple):
    """One of what is compared."""

    name: str
    facts: Mapping[str, str]  # how it was made: what is compared word by word
    traces: Mapping[str, str]  # name -> what tells it from another of that name
    machines: Mapping[str, str]  # trace -> the machine that it was replayed on
    aims: tuple[Aim, ...]
    choices: Sequence[tuple[str, Point, Figures]]  # the patch's first, the recommended one last
    front: pd.DataFrame  # an outcome a row, each aim by its name
    at: Callable[[Point], Figures | None]  # figures of any point, where they are known

    @property
    def patch(self) -> Figures:
        """The figures of the patch's thresholds."""
        return self.choices[0][2]

    def over(self, figures: Figures) -> list[float]:
        """Return what each aim comes to over all traces."""
        return [
            float(aim.over_recordings(list(own), list(before)))
            for aim, own, before in zip(self.aims, figures, self.patch, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Runs and sweeps side by side. Thresholds are as for 4 KiB pages.

    Attributes
    ----------
    names : tuple of str
        What is compared: names of folders; of a sweep with several choices of machine, one for each.
    aims : tuple of Aim
        The aims that all of them have, in the order of the first.
    differences : DataFrame
        A row per fact that is not the same in all (versions, traces, machines, grid, seed ...), a column per
        name; `-` where a sweep has no such thing.
    same : tuple of str
        The facts that are.
    choices : DataFrame
        A row per name and choice: `of`, `choice` (`patch`, the plain alternatives, `recommended`), the
        thresholds, each aim by its name over the traces of its own, and `change_...` against the patch in
        words, with a 95 % interval over traces (of a sweep, where there are five or more).
    crossed : DataFrame
        A row per pair: the recommended thresholds `of` one `on` the traces of another, the thresholds, each
        aim by its name, `patch_...` beside it; NaN where that point was not replayed there.
    per_trace : DataFrame
        A row per trace that all have, name and choice (`patch`, `recommended`): `trace`, `of`, `choice`,
        `machine`, each aim's figure.
    fronts : DataFrame
        A row per name and outcome of its exact front: `of`, the thresholds, each aim by its name.
    """

    names: tuple[str, ...]
    aims: tuple[Aim, ...]
    differences: pd.DataFrame = field(repr=False)
    same: tuple[str, ...] = field(repr=False)
    choices: pd.DataFrame = field(repr=False)
    crossed: pd.DataFrame = field(repr=False)
    per_trace: pd.DataFrame = field(repr=False)
    fronts: pd.DataFrame = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values; what is not known is None."""

        def rows(table: pd.DataFrame) -> Any:
            return json.loads(table.to_json(orient="records", double_precision=15))

        return {
            "names": list(self.names),
            "aims": [aim.to_dict() for aim in self.aims],
            "differences": {str(fact): dict(row) for fact, row in self.differences.iterrows()},
            "same": list(self.same),
            **{name: rows(getattr(self, name)) for name in ("choices", "crossed", "per_trace", "fronts")},
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON, indented."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def choice_rows(self, of: str) -> list[tuple[str, ...]]:
        """Return the choices of one as text: name, thresholds, then each aim and its change."""
        found = []
        for row in self.choices[self.choices["of"] == of].to_dict("records"):
            cells = [(write_value(aim, row[aim.name]), row[f"change_{aim.name}"]) for aim in self.aims]
            found.append((row["choice"], point_words(row), *(cell for pair in cells for cell in pair)))
        return found

    def crossed_rows(self) -> list[tuple[str, ...]]:
        """Return as text whose thresholds come to what on whose traces: a row per name and aim."""
        table = self.crossed.set_index(["of", "on"])
        found = []
        for of in self.names:
            for aim in self.aims:
                cells = []
                for on in self.names:
                    row: Any = table.loc[(of, on)]
                    values = (row[f"patch_{aim.name}"], row[aim.name])
                    after = NOTHING if math.isnan(values[1]) else write_value(aim, values[1])
                    cells.append(f"{write_value(aim, values[0])} -> {after}")
                found.append((of, aim.title, *cells))
        return found

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: what is compared, and what each recommends."""
        head = f"RunComparison of {', '.join(map(shown.named, self.names))}"
        return shown.lines(head, [_recommended_words(self, name) for name in self.names])

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show what differs and what was found in Jupyter."""
        head = ("of", "choice", "thresholds", *(word for aim in self.aims for word in (aim.title, "change")))
        rows = [(name, *row) for name in self.names for row in self.choice_rows(name)]
        facts = [
            (str(fact), *row)
            for fact, row in zip(self.differences.index, self.differences.to_numpy(), strict=True)
        ]
        parts = [shown.table(("what differs", *self.names), facts)] if facts else []
        parts += [shown.paragraph(f"The same: {', '.join(self.same)}."), shown.table(head, rows)]
        return shown.html(f"{plural(len(self.names), 'result')} side by side", *parts)


def _recommended_words(found: RunComparison, name: str) -> str:
    *_, last = found.choice_rows(name)
    told = [f"{aim.title} {last[2 + 2 * at]}" for at, aim in enumerate(found.aims)]
    return f"{name}: {last[1]}, {', '.join(told)}"


def point_words(row: Mapping[Any, Any]) -> str:
    """Return thresholds in short; those that never shrink as `all`."""
    values = [int(row[name]) for name in THRESHOLDS]
    return " ".join(
        f"{letter}={'all' if value >= NEVER else value}" for letter, value in zip("UMB", values, strict=True)
    )


def is_result(path: str | Path) -> bool:
    """Whether a path is the folder of a run or of a sweep."""
    folder = Path(path)
    return (folder / RUN_FILE).is_file() or (folder / RECORD_FILE).is_file()


def compare_runs(*found: Run | SweepResult | str | Path) -> RunComparison:
    """Put runs and sweeps side by side: what differs between them, and what each of them found.

    Parameters
    ----------
    *found : Run, SweepResult, str or Path
        Two or more: what `pba.tune`, `pba.load_run`, `pba.sweep` or `pba.load_sweep` returned, or folders.

    Returns
    -------
    RunComparison
        Tables. Nothing is replayed: what a point comes to on another's traces is looked up in its sweep.

    Raises
    ------
    StudyError
        If a folder is no run's and no sweep's, or is damaged, or they have no aim in common.
    PbaError
        If fewer than two are given.

    Examples
    --------
    >>> pba.compare_runs("runs/server", "runs/phone")  # doctest: +SKIP
    """
    if len(found) < 2 and not (
        len(found) == 1 and isinstance(found[0], SweepResult) and len(found[0].settings) > 1
    ):
        raise PbaError(f"{plural(len(found), 'result')} to compare", "name two or more runs or sweeps")
    sides: list[Side] = []
    for one, name in zip(found, _names(found), strict=True):
        opened = _open(one)
        if isinstance(opened, Run):
            sides.append(_of_run(opened, name))
            continue
        for setting in opened.settings:
            told = name if len(opened.settings) == 1 else f"{name} ({setting})"
            sides.append(_of_sweep(opened, setting, told))
    return _together(sides)


def _names(found: Sequence[Run | SweepResult | str | Path]) -> list[str]:
    """Return what each is called: the last part of its folder's name, or as much as tells it apart."""
    places = [_folder(one) for one in found]
    for parts in range(1, 1 + max((len(place.parts) for place in places if place), default=1)):
        names = [
            "/".join(place.parts[-parts:]) if place else f"sweep {at}" for at, place in enumerate(places, 1)
        ]
        if len(set(names)) == len(names):
            return names
    raise PbaError("one result is named twice", "name each once")


def _folder(one: Run | SweepResult | str | Path) -> Path | None:
    if isinstance(one, Run | SweepResult):
        return None if one.folder is None else one.folder.absolute()
    return Path(one).absolute()


def _open(one: Run | SweepResult | str | Path) -> Run | SweepResult:
    if isinstance(one, Run | SweepResult):
        return one
    folder = Path(one)
    if (folder / RUN_FILE).is_file():
        return load_run(folder)
    if (folder / RECORD_FILE).is_file():
        return load_sweep(folder)
    raise StudyError(
        f"{printable(str(one))} holds no run and no sweep", "name a folder of pba tune or pba sweep"
    )


# --- what is read of each -------------------------------------------------------------------------------


def _of_run(run: Run, name: str) -> Side:
    swept = (
        load_sweep(run.folder / SWEEP_FOLDER) if (run.folder / SWEEP_FOLDER / RECORD_FILE).is_file() else None
    )
    space = ", ".join(
        f"{letter} {one.low} to {one.high}" for letter, one in zip("UMB", (run.study.space[key] for key in THRESHOLDS),
                                                                  strict=True))  # fmt: skip
    facts = {
        "kind": "run", "command": run.command, **_versions(run.versions),
        "aims": ", ".join(f"{aim.title} ({aim.over})" for aim in run.aims), "rule": run.rule, "space": space,
        "grid": NOTHING if swept is None else _grid_words(swept),
        "points tried": number(int(run.points["searched"].sum())),
        "seed": str(run.study.seed), "held out": ", ".join(run.held_out["trace"]) or "none",
        "state": "complete" if run.complete else "not complete",
    }  # fmt: skip
    rows = run.traces.to_dict("records")
    traces = [str(row["trace"]) for row in rows]

    def at(point: Point) -> Figures | None:
        table = run.per_trace
        same = (table[list(THRESHOLDS)] == list(point)).all(axis=1)
        if same.any():
            of_point = table[same].droplevel("number").loc[traces]
            return [[float(value) for value in of_point[aim.name]] for aim in run.aims]
        return None if swept is None else _on_grid(swept, None, run.aims, traces, point)

    if run.decision is None:
        places = [(PATCH, run.patch), (RECOMMENDED, run.recommended)]
        tried: Any = run.points
        points = [(told, Point(*(int(tried[key][place]) for key in THRESHOLDS))) for told, place in places]
        choices = [(told, point, at(point) or []) for told, point in points]
    else:
        choices = [(one.name, one.point, one.figures) for one in run.decision.compared]
    return Side(
        name, facts, {row["trace"]: _identity(row) for row in rows},
        {row["trace"]: row["machine"] for row in rows}, run.aims, choices, front_table(run), at,
    )  # fmt: skip


def _of_sweep(result: SweepResult, setting: str, name: str) -> Side:
    cases = [case for case in result.cases if case.setting == setting]
    traces = [case.trace for case in cases]
    best = recommended_of(result, setting).recommended
    facts = {
        "kind": "sweep", "command": result.command, **_versions(result.versions),
        "aims": ", ".join(f"{aim.title} ({aim.over})" for aim in DEFAULT_AIMS), "grid": _grid_words(result),
    }  # fmt: skip

    def at(point: Point) -> Figures | None:
        return _on_grid(result, setting, DEFAULT_AIMS, traces, point)

    choices = [(told, point, at(point) or []) for told, point in ((PATCH, PATCH_POINT), (RECOMMENDED, best))]
    return Side(
        name, facts, {case.trace: _identity(vars(case)) for case in cases},
        {case.trace: str(case.machine) for case in cases}, DEFAULT_AIMS, choices, result.front(setting), at,
    )  # fmt: skip


def _versions(versions: Mapping[str, str]) -> dict[str, str]:
    return {"architecture" if name == "machine" else name: told for name, told in versions.items()}


def _grid_words(result: SweepResult) -> str:
    axes = result.grid.to_dict()
    told = "; ".join(
        f"{letter} {str(axes[axis]).replace(',', ', ')}"
        for letter, axis in zip("UMB", THRESHOLDS, strict=True)
    )
    return f"{number(len(result.grid))} points: {told}"


def _identity(row: Mapping[Any, Any]) -> str:
    """Return what tells a trace from another one of its name: a run keeps its file's hash, a sweep its events'."""
    return f"{row['events']} events, {row['passes']} passes, {row['duration_ns']} ns"


def _on_grid(
    result: SweepResult, setting: str | None, aims: Sequence[Aim], traces: Sequence[str], point: Point
) -> Figures | None:
    """Return the figures of a point of a sweep's grid; None off it, or where an aim's own function is not here."""
    outcomes = outcomes_of(result, setting)
    at = outcomes.number_of(point)
    if at is None or any(aim.code and aim.figure is None for aim in aims):
        return None
    order = [outcomes.recordings.index(name) for name in traces]
    found = [outcomes.at(aim, at) for aim in aims]
    return [[own[place] for place in order] for own in found]


# --- what is made of all --------------------------------------------------------------------------------


def _together(sides: Sequence[Side]) -> RunComparison:
    import pandas as pd

    first, *others = sides
    known = [{(aim.name, aim.over, aim.code) for aim in side.aims} for side in others]
    aims = tuple(aim for aim in first.aims if all((aim.name, aim.over, aim.code) in each for each in known))
    if not aims:
        raise StudyError(
            "they have no aim in common: " + "; ".join(side.facts["aims"] for side in sides),
            "compare what was asked the same",
        )
    names = [side.name for side in sides]
    facts = _facts(sides)
    differ = {fact: row for fact, row in facts.items() if len({told for told in row if told != NOTHING}) > 1}
    differences = pd.DataFrame.from_dict(differ, orient="index", columns=names).rename_axis("fact")
    fronts = [side.front[[*THRESHOLDS, *(aim.name for aim in aims)]].assign(of=side.name) for side in sides]
    shared = [trace for trace in first.traces if all(trace in side.traces for side in others)]
    columns = ["trace", "of", "choice", "machine", *(aim.name for aim in aims)]
    on_traces = [row for trace in shared for side in sides for row in _on_trace(side, aims, trace)]
    return RunComparison(
        tuple(names), aims, differences, tuple(fact for fact in facts if fact not in differ),
        pd.DataFrame([row for side in sides for row in _choices(side, aims)]),
        pd.DataFrame([_crossed(of, on, aims) for of in sides for on in sides]),
        pd.DataFrame(on_traces, columns=columns),
        pd.concat(fronts, ignore_index=True),
    )  # fmt: skip


def _facts(sides: Sequence[Side]) -> dict[str, list[str]]:
    """Return what can be told of each, by what it is called, in the words of each."""
    keys = list(dict.fromkeys(key for side in sides for key in side.facts))
    told = {key: [side.facts.get(key, NOTHING) for side in sides] for key in keys}
    every = list(dict.fromkeys(trace for side in sides for trace in side.traces))
    told["traces"] = [_traces_words(side, every) for side in sides]
    others = [
        trace for trace in every if len({side.traces[trace] for side in sides if trace in side.traces}) > 1
    ]
    for trace in others:
        told[f"events of {trace}"] = [side.traces.get(trace, NOTHING) for side in sides]
    moved = [
        trace
        for trace in every
        if len({side.machines[trace] for side in sides if trace in side.machines}) > 1
    ]
    told["machines"] = ["as recorded or as asked"] * len(sides) if not moved else [
        "; ".join(f"{trace}: {side.machines[trace]}" for trace in moved[:MOST_NAMES] if trace in side.machines)
        + (f"; {len(moved) - MOST_NAMES} more" if len(moved) > MOST_NAMES else "")
        for side in sides
    ]  # fmt: skip
    return told


def _traces_words(side: Side, every: Sequence[str]) -> str:
    """Say how many traces one has, and which of all are not among them."""
    lacks = [trace for trace in every if trace not in side.traces]
    told = number(len(side.traces))
    if not lacks:
        return told
    if len(lacks) > len(side.traces):
        has = list(side.traces)
        return f"{told}: {', '.join(has[:MOST_NAMES])}" + (" and others" if len(has) > MOST_NAMES else "")
    more = f" and {len(lacks) - MOST_NAMES} more" if len(lacks) > MOST_NAMES else ""
    return f"{told}, without {', '.join(lacks[:MOST_NAMES])}{more}"


def _choices(side: Side, aims: Sequence[Aim]) -> list[dict[str, Any]]:
    """Return a row per choice of one of them."""
    rows = []
    for name, point, figures in side.choices:
        row: dict[str, Any] = {"of": side.name, "choice": name, **point._asdict()}
        values = dict(zip((aim.name for aim in side.aims), side.over(figures), strict=True))
        for aim in aims:
            at = [one.name for one in side.aims].index(aim.name)
            row[aim.name] = values[aim.name]
            row[f"change_{aim.name}"] = "" if name == PATCH else _change_words(side, at, figures)
        rows.append(row)
    return rows


def _change_words(side: Side, at: int, figures: Figures) -> str:
    """Return what an aim changes against the patch, in words; of a run as its report has it."""
    told = change(side.aims[at], figures[at], side.patch[at]).to_dict()
    if side.facts["kind"] == "sweep" and len(side.traces) < FEWEST:
        told |= {"low": None, "high": None}
    return interval_text(told)


def _crossed(of: Side, on: Side, aims: Sequence[Aim]) -> dict[str, Any]:
    """Return what the recommended thresholds of one come to on the traces of another."""
    *_, (_, point, _) = of.choices
    figures = on.at(point)
    after = [math.nan] * len(on.aims) if figures is None else on.over(figures)
    row: dict[str, Any] = {"of": of.name, "on": on.name, **point._asdict()}
    names = [aim.name for aim in on.aims]
    for aim in aims:
        row[aim.name] = after[names.index(aim.name)]
        row[f"patch_{aim.name}"] = on.over(on.patch)[names.index(aim.name)]
    return row


def _on_trace(side: Side, aims: Sequence[Aim], trace: str) -> list[dict[str, Any]]:
    """Return what the patch's thresholds and the recommended ones of one come to on a trace."""
    place, names = list(side.traces).index(trace), [aim.name for aim in side.aims]
    return [
        {"trace": trace, "of": side.name, "choice": name, "machine": side.machines[trace]}
        | {aim.name: figures[names.index(aim.name)][place] for aim in aims}
        for name, _, figures in (side.choices[0], side.choices[-1])
    ]
