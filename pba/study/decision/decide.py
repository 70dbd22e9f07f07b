"""One answer from all that is known: the exact grid, the search, the plain alternatives, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pba.study.aims import Aim
from pba.study.decision.compare import Compared, changes
from pba.study.decision.evidence import (
    PLAIN,
    Chosen,
    ablation,
    choose,
    exact_front,
    hypervolume,
    importance,
    least_map,
    silent,
)
from pba.study.decision.outcomes import Floats, GridOutcomes, TableOutcomes, combined
from pba.study.decision.region import EXACT, box_of, in_words, span_of
from pba.study.decision.rules import RULES, Scored, scale_of
from pba.study.definition import Choice, Limit
from pba.study.space import ALTERNATIVES, PATCH_POINT, Point

if TYPE_CHECKING:
    import pandas as pd

PATCH: Final = ALTERNATIVES[0].name
RECOMMENDED: Final = "recommended"
Measure = Callable[[Sequence[Point]], Sequence[Sequence[Mapping[str, Any]]]]
"""Returns what is kept of a replay of each point on each recording."""

BETTER: Final = "better"
PLAIN_ANSWER: Final = "plain"
NO_DIFFERENCE: Final = "no difference"


@dataclass(frozen=True)
class Question:
    """What is to be decided.

    Attributes
    ----------
    aims : sequence of Aim
        The aims, the most important first.
    choice : Choice
        Rule, loss and allowance.
    constraints : mapping of Aim to Limit
        What figures must keep.
    groups : mapping of str to sequence of str
        Names of recordings, by the group's name.
    passes : mapping of str to int
        Shrinker passes of each recording.
    """

    aims: Sequence[Aim]
    choice: Choice = field(default_factory=Choice)
    constraints: Mapping[Aim, Limit] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    passes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What a study answers, as its folder keeps it. Thresholds are as for 4 KiB pages.

    Attributes
    ----------
    rule, sentence : str
        Name of the rule, and what it says of these aims.
    loss : float
        How far from the best score the region reaches.
    aims : list of dict
        The aims (`Aim.to_dict`), in their order; every list of figures below has one for each.
    recordings : list of str
        The recordings that had a say.
    recommended : Point
        The named point.
    words : str
        It again, in shares of a block.
    level : str
        How round it is.
    alternative : str
        The plain alternative that it is; empty for none.
    compared : list of Compared
        The patch, the other plain alternatives and the recommended point, with their figures on every
        recording.
    changes : list of dict
        `of`, `against`, and `aims`: what each aim changes, with interval and tests (`compare.Change`).
    verdict : dict
        `kind` ("better", "plain", "no difference") and `against`: the best plain alternative by the rule.
    best : dict
        `point`, `values` and `score` of the grid's best point by the rule; `lost`, the score that the round
        value costs beside it. Empty without a sweep.
    region : dict
        `points` of the region and of the `grid`; `box`, the largest box of it around the recommended point;
        `span`, the least and greatest value of each threshold. Empty without a sweep.
    front : list of dict
        `point`, `values` and how many `points` share them: the exact front by the first aim. Empty without a
        sweep.
    folds : list of dict
        For each recording, what the rule chooses on all others: `recording`, `point`, `words`, `alternative`,
        and for each aim the figures `patch` and `chosen` on the recording left out.
    folds_changes : list of dict
        What each aim changes over all recordings, each with the point that was chosen without it.
    groups : list of dict
        `name`, `recordings`, `values` of each compared point, `changes` of the recommended point against the
        patch, and `own`: what the rule chooses for the group alone.
    held_out : dict
        `recordings`, `compared` and `changes` on recordings that had no say.
    silent : list of dict
        `recording` and `reason`: those on which no point of the grid changes any aim.
    ablation : list of dict
        `threshold`, and for each aim the change `first`, `last` and in the `mean` of all orders.
    importance : dict
        For each aim and threshold: shares of the variation over the grid, `alone` and `with_others`.
    search : dict
        `points`, `front_share` (of the volume that the exact front dominates), `best`, `values`, `lost`; and
        `ped_anova`, Optuna's importance of each threshold for each aim, from the tried points.
    grid : str
        The grid in words, and by which rule it was thinned.
    notes : list of str
        What else a reader must know.
    """

    rule: str
    sentence: str
    loss: float
    aims: list[dict[str, str]]
    recordings: list[str]
    recommended: Point
    words: str
    level: str
    alternative: str
    compared: list[Compared]
    changes: list[dict[str, Any]]
    verdict: dict[str, str]
    best: dict[str, Any] = field(default_factory=dict)
    region: dict[str, Any] = field(default_factory=dict)
    front: list[dict[str, Any]] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    folds_changes: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    held_out: dict[str, Any] = field(default_factory=dict)
    silent: list[dict[str, str]] = field(default_factory=list)
    ablation: list[dict[str, Any]] = field(default_factory=list)
    importance: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    grid: str = ""
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["recommended"] = list(self.recommended)
        plain["compared"] = [_plain(one) for one in self.compared]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decision:
        """Read what `to_dict` gave."""
        values = dict(plain)
        values["recommended"] = Point(*values["recommended"])
        values["compared"] = [_compared(one) for one in values["compared"]]
        return cls(**values)

    def named(self, name: str) -> Compared:
        """Return a compared point by its name."""
        return next(one for one in self.compared if one.name == name)

    def changes_of(self, of: str, against: str) -> list[dict[str, Any]]:
        """Return what each aim changes from one compared point to another."""
        return next(row["aims"] for row in self.changes if (row["of"], row["against"]) == (of, against))


def _plain(one: Compared) -> dict[str, Any]:
    return {"name": one.name, "point": list(one.point), "figures": one.figures}


def _compared(plain: Mapping[str, Any]) -> Compared:
    return Compared(plain["name"], Point(*plain["point"]), plain["figures"])


def decide(
    question: Question,
    outcomes: GridOutcomes,
    measure: Measure,
    searched: pd.DataFrame | None = None,
    held_out: tuple[Sequence[str], Measure] | None = None,
) -> Decision:
    """Decide from every point of a grid.

    Parameters
    ----------
    question : Question
        Aims, rule, constraints, groups.
    outcomes : GridOutcomes
        The figures of every point of the grid on every recording.
    measure : callable
        Replays points that the grid leaves out.
    searched : DataFrame, optional
        What a search tried, as `Run.per_trace`.
    held_out : tuple, optional
        Names of the recordings that have no say, and what replays points on them.
    """
    aims, every = question.aims, range(len(outcomes.recordings))
    able, notes = able_points(question, outcomes)
    chosen = choose(outcomes, aims, every, question.choice, able, ALTERNATIVES)
    recommended = outcomes.point(chosen.named.number)
    named = [(one.name, one.point) for one in ALTERNATIVES] + [(RECOMMENDED, recommended)]
    compared = compare(aims, named, measure)
    folds = _folds(question, outcomes, able)
    front = exact_front(outcomes, aims, able)
    return Decision(
        **_head(question, outcomes.recordings, compared),
        words=in_words(recommended),
        level=chosen.named.level,
        alternative=chosen.alternative,
        verdict=_verdict(question, compared, chosen.alternative),
        best=_best(question, outcomes, chosen),
        region={
            "points": int(chosen.region.mask.sum()),
            "grid": len(outcomes),
            "box": box_of(outcomes, chosen.region, chosen.named.number),
            "span": span_of(outcomes, chosen.region),
        },
        front=[
            {"point": list(outcomes.point(int(number))), "values": values, "points": int(points)}
            for number, values, points in zip(front.numbers, front.values.tolist(), front.points, strict=True)
        ],
        folds=folds,
        folds_changes=_folds_changes(aims, outcomes.recordings, folds),
        groups=_groups(question, outcomes, compared, able),
        held_out=_held_out(question, named, held_out),
        silent=silent(outcomes, aims, [question.passes.get(name, 0) for name in outcomes.recordings]),
        ablation=ablation(PATCH_POINT, recommended, _values(aims, measure, compared[0])),
        importance={aim.name: importance(outcomes, aim, every) for aim in aims},
        search=_search(question, searched, chosen, front.values),
        grid=str(outcomes.grid),
        notes=notes,
    )


def decide_from_table(
    question: Question, table: pd.DataFrame, recordings: Sequence[str], measure: Measure
) -> Decision:
    """Decide among the points of a table alone, where there is no sweep: no region, no folds, no exact front.

    Parameters
    ----------
    question : Question
        Aims, rule, constraints, groups.
    table : DataFrame
        Replays, as `Run.per_trace`: the round points that every study evaluates, so that the choice depends
        on no seed.
    recordings : sequence of str
        The recordings, in their order.
    measure : callable
        Replays points.
    """
    outcomes = TableOutcomes(table, recordings)
    scored = RULES[question.choice.rule].scored(
        outcomes, question.aims, range(len(recordings)), question.choice
    )
    able, notes = able_points(question, outcomes)
    usable = scored.able & able if (scored.able & able).any() else scored.able
    score = np.where(usable, scored.score, np.inf)
    points = [outcomes.point(at) for at in range(len(outcomes))]
    least = float(score.min())
    inside = [at for at in range(len(points)) if score[at] <= least + question.choice.loss + 1e-12]
    plain = {one.point: one.name for one in reversed(ALTERNATIVES)}

    def order(at: int) -> tuple[bool, float, float, Point]:
        return points[at] not in plain, float(score[at]), _factors(points[at]), points[at]

    recommended = points[min(inside, key=order)]
    named = [(one.name, one.point) for one in ALTERNATIVES] + [(RECOMMENDED, recommended)]
    compared = compare(question.aims, named, measure)
    alternative = plain.get(recommended, "")
    return Decision(
        **_head(question, recordings, compared),
        words=in_words(recommended),
        level=PLAIN if alternative else EXACT,
        alternative=alternative,
        verdict=_verdict(question, compared, alternative),
        groups=_group_figures(question, list(recordings), compared),
        ablation=ablation(PATCH_POINT, recommended, _values(question.aims, measure, compared[0])),
        notes=[*notes, "Chosen among the points that were tried alone: no grid was swept."],
    )


def _factors(point: Point) -> float:
    return sum(
        float(np.log2((value + 1) / (before + 1))) ** 2
        for value, before in zip(point, PATCH_POINT, strict=True)
    )


def compare(aims: Sequence[Aim], named: Sequence[tuple[str, Point]], measure: Measure) -> list[Compared]:
    """Return named points with their figures on every recording."""
    rows = measure([point for _, point in named])
    return [
        Compared(name, point, [[float(row[aim.name]) for row in found] for aim in aims])
        for (name, point), found in zip(named, rows, strict=True)
    ]


def _head(question: Question, recordings: Sequence[str], compared: list[Compared]) -> dict[str, Any]:
    """Return what every decision has."""
    aims, every = question.aims, range(len(recordings))
    patch, best = compared[0], compared[-1]
    pairs = [(best, other) for other in compared[:-1]] + [(other, patch) for other in compared[1:-1]]
    return {
        "rule": question.choice.rule,
        "sentence": RULES[question.choice.rule].sentence(aims, question.choice),
        "loss": question.choice.loss,
        "aims": [aim.to_dict() for aim in aims],
        "recordings": list(recordings),
        "recommended": best.point,
        "compared": compared,
        "changes": [
            {
                "of": one.name,
                "against": other.name,
                "aims": [change.to_dict() for change in changes(aims, one, other, every)],
            }
            for one, other in pairs
        ],
    }


def able_points(
    question: Question, outcomes: GridOutcomes | TableOutcomes
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], list[str]]:
    """Return which points keep all constraints; where none does, all of them, and a note that says so."""
    every = range(len(outcomes.recordings))
    able = np.ones(len(outcomes), bool)
    for aim, limit in question.constraints.items():
        values = combined(outcomes, aim, every)
        if limit.most is not None:
            able &= values <= limit.most
        if limit.least is not None:
            able &= values >= limit.least
    if able.any():
        return able, []
    names = ", ".join(aim.title for aim in question.constraints)
    return np.ones(len(outcomes), bool), [
        f"No point keeps all constraints ({names}): the choice was made as if there were none."
    ]


def _values(
    aims: Sequence[Aim], measure: Measure, patch: Compared
) -> Callable[[Sequence[Point]], list[list[float]]]:
    def values(points: Sequence[Point]) -> list[list[float]]:
        found = compare(aims, [("", point) for point in points], measure)
        return [one.over(aims, patch) for one in found]

    return values


class _NamedOutcomes:
    """The figures of compared points, as a rule takes them; the patch's point is the first."""

    def __init__(self, aims: Sequence[Aim], compared: Sequence[Compared]) -> None:
        self.recordings = [str(at) for at in range(len(compared[0].figures[0]))]
        self._compared, self._at = compared, {aim.name: at for at, aim in enumerate(aims)}

    def __len__(self) -> int:
        return len(self._compared)

    def figures(self, aim: Aim, recording: int) -> Floats:
        return np.array([one.figures[self._at[aim.name]][recording] for one in self._compared])

    def patch(self, aim: Aim) -> list[float]:
        return self._compared[0].figures[self._at[aim.name]]


def _verdict(question: Question, compared: list[Compared], alternative: str) -> dict[str, str]:
    """Say whether the recommended point is better than the best plain alternative by more than its interval."""
    plain, best = compared[:-1], compared[-1]
    if alternative:
        kind = NO_DIFFERENCE if alternative == PATCH else PLAIN_ANSWER
        return {"kind": kind, "against": alternative}
    outcomes = _NamedOutcomes(question.aims, plain)
    every = range(len(outcomes.recordings))
    scored = RULES[question.choice.rule].scored(outcomes, question.aims, every, question.choice)
    against = plain[int(np.where(scored.able, scored.score, np.inf).argmin())]
    found = changes(question.aims, best, against, every)
    if any(change.better > 0 for change in found):
        return {"kind": BETTER, "against": against.name}
    return {"kind": NO_DIFFERENCE if against.name == PATCH else PLAIN_ANSWER, "against": against.name}


def _best(question: Question, outcomes: GridOutcomes, chosen: Chosen) -> dict[str, Any]:
    every = range(len(outcomes.recordings))
    scored = RULES[question.choice.rule].scored(outcomes, question.aims, every, question.choice)
    return {
        "point": list(outcomes.point(chosen.region.best)),
        "values": [float(combined(outcomes, aim, every)[chosen.region.best]) for aim in question.aims],
        "score": chosen.region.score,
        "lost": float(scored.score[chosen.named.number] - chosen.region.score),
    }


def _folds(
    question: Question, outcomes: GridOutcomes, able: np.ndarray[Any, np.dtype[np.bool_]]
) -> list[dict[str, Any]]:
    """Choose without each recording in turn, on the whole grid, and try the choice on it."""
    count = len(outcomes.recordings)
    if count < 2:
        return []
    rows = []
    for left in range(count):
        rest = [at for at in range(count) if at != left]
        chosen = choose(outcomes, question.aims, rest, question.choice, able, ALTERNATIVES)
        point = outcomes.point(chosen.named.number)
        rows.append(
            {
                "recording": outcomes.recordings[left],
                "point": list(point),
                "words": in_words(point),
                "alternative": chosen.alternative,
                "patch": [outcomes.patch(aim)[left] for aim in question.aims],
                "chosen": [outcomes.at(aim, chosen.named.number)[left] for aim in question.aims],
            }
        )
    return rows


def _folds_changes(
    aims: Sequence[Aim], recordings: Sequence[str], folds: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    if not folds:
        return []
    sides = [
        Compared(side, PATCH_POINT, [[row[side][at] for row in folds] for at in range(len(aims))])
        for side in ("chosen", "patch")
    ]
    return [change.to_dict() for change in changes(aims, sides[0], sides[1], range(len(recordings)))]


def _groups(
    question: Question,
    outcomes: GridOutcomes,
    compared: list[Compared],
    able: np.ndarray[Any, np.dtype[np.bool_]],
) -> list[dict[str, Any]]:
    """Return what the compared points come to in each group, and what would be chosen for it alone."""
    rows = _group_figures(question, outcomes.recordings, compared)
    for row in rows:
        own = [outcomes.recordings.index(name) for name in row["recordings"]]
        chosen = choose(outcomes, question.aims, own, question.choice, able, ALTERNATIVES)
        point = outcomes.point(chosen.named.number)
        figures = [outcomes.at(aim, chosen.named.number) for aim in question.aims]
        row["own"] = {
            "point": list(point),
            "words": in_words(point),
            "alternative": chosen.alternative,
            "values": Compared("own", point, figures).over(question.aims, compared[0], own),
        }
    return rows


def _group_figures(
    question: Question, recordings: list[str], compared: list[Compared]
) -> list[dict[str, Any]]:
    rows = []
    for name, members in question.groups.items():
        own = [recordings.index(member) for member in members]
        rows.append(
            {
                "name": name,
                "recordings": list(members),
                "values": {one.name: one.over(question.aims, compared[0], own) for one in compared},
                "changes": [
                    change.to_dict() for change in changes(question.aims, compared[-1], compared[0], own)
                ],
            }
        )
    return rows


def _held_out(
    question: Question,
    named: Sequence[tuple[str, Point]],
    held_out: tuple[Sequence[str], Measure] | None,
) -> dict[str, Any]:
    if held_out is None:
        return {}
    names, measure = held_out
    compared = compare(question.aims, named, measure)
    every = range(len(names))
    return {
        "recordings": list(names),
        "compared": [_plain(one) for one in compared],
        "values": {one.name: one.over(question.aims, compared[0]) for one in compared},
        "changes": [change.to_dict() for change in changes(question.aims, compared[-1], compared[0], every)],
    }


def _search(
    question: Question, searched: pd.DataFrame | None, chosen: Chosen, front: Floats
) -> dict[str, Any]:
    """Hold the search against the exact front."""
    if searched is None:
        return {}
    aims = question.aims
    recordings = list(dict.fromkeys(searched.index.get_level_values("trace")))
    outcomes = TableOutcomes(searched, recordings)
    every = range(len(recordings))
    signs = np.array([aim.sign for aim in aims], float)
    losses = np.column_stack([combined(outcomes, aim, every) for aim in aims]) * signs
    patch = [float(aim.over_recordings(outcomes.patch(aim), outcomes.patch(aim))) for aim in aims]
    corner = np.array(
        [2 * scale_of(value) if aim.sign > 0 else 0.0 for aim, value in zip(aims, patch, strict=True)]
    )
    whole = hypervolume(front * signs, corner)
    scored = RULES[question.choice.rule].scored(outcomes, aims, every, question.choice)
    best = int(np.where(scored.able, scored.score, np.inf).argmin())
    relative = question.choice.rule != "least-regret"  # a regret depends on which other points there are
    return {
        "points": len(outcomes),
        "front_share": hypervolume(losses, corner) / whole if whole else None,
        "best": list(outcomes.point(best)),
        "values": (losses[best] * signs).tolist(),
        "lost": float(scored.score[best] - chosen.region.score) if relative else None,
    }


def maps(question: Question, outcomes: GridOutcomes) -> pd.DataFrame:
    """Return how the score lies over U and B, and over M and B: the least over the third threshold.

    Returns
    -------
    DataFrame
        `across` and `up` (names of thresholds), `x`, `y` (pages), `score` (infinite where the rule may choose
        nothing there).
    """
    import pandas as pd

    able, _ = able_points(question, outcomes)
    scored = RULES[question.choice.rule].scored(
        outcomes, question.aims, range(len(outcomes.recordings)), question.choice
    )
    scored = Scored(scored.score, scored.able & able)
    frames = []
    for across in ("unshrinkable_pages", "shrink_block_min_pages"):
        xs, ys, least = least_map(outcomes, scored, (across, "batch"))
        frames.append(
            pd.DataFrame(
                {
                    "across": across,
                    "up": "batch",
                    "x": np.repeat(xs, len(ys)),
                    "y": np.tile(ys, len(xs)),
                    "score": least.reshape(-1),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
