"""One answer from all that is known: the exact grid, the search, the plain alternatives, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pba.study.aims import Aim
from pba.study.decision.compare import Compared, changes, gains
from pba.study.decision.decision import (
    BEST_FOUND,
    BETTER,
    NO_DIFFERENCE,
    PATCH,
    PLAIN_ANSWER,
    RECOMMENDED,
    Decision,
    Measure,
    Question,
    plain_of,
)
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
from pba.study.decision.outcomes import Floats, GridOutcomes, Outcomes, RowOutcomes, TableOutcomes, combined
from pba.study.decision.region import EXACT, box_of, in_words, span_of
from pba.study.decision.rules import RULES, Able, Scored, restricted, scale_of
from pba.study.factors import distance_to_patch
from pba.study.space import ALTERNATIVES, PATCH_POINT, Alternative, Point

if TYPE_CHECKING:
    import pandas as pd


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
    able = able_points(question, outcomes)
    chosen = choose(outcomes, aims, every, question.choice, able, ALTERNATIVES)
    settled = settle(question, outcomes.point(chosen.named.number), chosen.alternative, measure)
    compared, recommended = settled.compared, settled.recommended
    folds = _folds(question, outcomes, able)
    front = exact_front(outcomes, aims, able)
    return Decision(
        **_head(question, outcomes.recordings, compared),
        words=in_words(recommended),
        level=PLAIN if settled.alternative else chosen.named.level,
        alternative=settled.alternative,
        verdict=settled.verdict,
        best=_best(question, outcomes, chosen, recommended),
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
        held_out=_held_out(question, compared, held_out),
        silent=silent(outcomes, aims, [question.passes.get(name, 0) for name in outcomes.recordings]),
        ablation=ablation(PATCH_POINT, recommended, _values(aims, measure, compared[0])),
        importance={aim.name: importance(outcomes, aim, every) for aim in aims},
        search=_search(question, searched, chosen, front.values),
        grid=str(outcomes.grid),
        notes=_notes(question, able, chosen.scored),
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
        on no seed. The patch's point has number 0.
    recordings : sequence of str
        The recordings, in their order.
    measure : callable
        Replays points.
    """
    outcomes = TableOutcomes(table, recordings)
    scored = scored_points(question, outcomes)
    points = [outcomes.point(at) for at in range(len(outcomes))]
    near = distance_to_patch(list(zip(*points, strict=True)))
    least = scored.chosen.min()
    inside = np.flatnonzero(scored.chosen <= least + question.choice.loss + 1e-12)
    plain = {one.point: one.name for one in reversed(ALTERNATIVES)}

    def order(at: int) -> tuple[bool, float, float, Point]:
        return points[at] not in plain, float(scored.score[at]), float(near[at]), points[at]

    best = points[min(inside.tolist(), key=order)]
    settled = settle(question, best, plain.get(best, ""), measure)
    compared, recommended = settled.compared, settled.recommended
    return Decision(
        **_head(question, recordings, compared),
        words=in_words(recommended),
        level=PLAIN if settled.alternative else EXACT,
        alternative=settled.alternative,
        verdict=settled.verdict,
        groups=_group_figures(question, list(recordings), compared),
        ablation=ablation(PATCH_POINT, recommended, _values(question.aims, measure, compared[0])),
        notes=[
            *_notes(question, able_points(question, outcomes), scored),
            "Chosen among the points that were tried alone: no grid was swept.",
        ],
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
    for found in (one for one in compared if one.name == BEST_FOUND):
        pairs += [(found, other) for other in compared[1:-1] if other is not found]
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


def able_points(question: Question, outcomes: Outcomes) -> Able:
    """Return which points keep all of a study's constraints, over all recordings."""
    every = range(len(outcomes.recordings))
    able = np.ones(len(outcomes), bool)
    for aim, limit in question.constraints.items():
        values = combined(outcomes, aim, every)
        if limit.most is not None:
            able &= values <= limit.most
        if limit.least is not None:
            able &= values >= limit.least
    return able


def scored_points(question: Question, outcomes: Outcomes) -> Scored:
    """Return what the rule makes of points, over all recordings; of those that keep the constraints, if any do."""
    every = range(len(outcomes.recordings))
    scored = RULES[question.choice.rule].scored(outcomes, question.aims, every, question.choice)
    return restricted(scored, able_points(question, outcomes))


def _notes(question: Question, able: Able, scored: Scored) -> list[str]:
    """Say if no point that the rule may choose keeps the constraints."""
    if (scored.able & able).any():
        return []
    names = ", ".join(aim.title for aim in question.constraints)
    return [
        f"No point that the rule may choose keeps all constraints ({names}): the choice was made as if there were none."
    ]


def _values(
    aims: Sequence[Aim], measure: Measure, patch: Compared
) -> Callable[[Sequence[Point]], list[list[float]]]:
    def values(points: Sequence[Point]) -> list[list[float]]:
        found = compare(aims, [("", point) for point in points], measure)
        return [one.over(aims, patch) for one in found]

    return values


class Settled(NamedTuple):
    """What is recommended after all: the rule's choice, or the plain alternative that it does not surely beat.

    Attributes
    ----------
    compared : list of Compared
        The plain alternatives, the best found if it was passed over, and what is recommended.
    alternative : str
        The plain alternative that this is; empty for none.
    verdict : dict
        As `Decision.verdict`.
    """

    compared: list[Compared]
    alternative: str
    verdict: dict[str, str]

    @property
    def recommended(self) -> Point:
        """The recommended point."""
        return self.compared[-1].point


def settle(
    question: Question,
    chosen: Point,
    alternative: str,
    measure: Measure,
    plain: Sequence[Alternative] = ALTERNATIVES,
) -> Settled:
    """Recommend the rule's choice only if it beats the best plain alternative by more than its interval.

    Parameters
    ----------
    question : Question
        Aims, rule, constraints.
    chosen : Point
        The rule's choice.
    alternative : str
        The plain alternative that it is; empty for none.
    measure : callable
        Replays points.
    plain : sequence of Alternative
        What needs no tuning; the patch first.
    """
    aims = question.aims
    named = [(one.name, one.point) for one in plain] + [(RECOMMENDED, chosen)]
    *others, best = compare(aims, named, measure)
    if alternative:
        return Settled([*others, best], alternative, _plain_verdict(alternative))
    outcomes = RowOutcomes(measure([one.point for one in plain]))
    against = others[scored_points(question, outcomes).best]
    if any(gains(*each) for each in zip(aims, best.figures, against.figures, strict=True)):
        return Settled([*others, best], "", {"kind": BETTER, "against": against.name})
    compared = [*others, best._replace(name=BEST_FOUND), against._replace(name=RECOMMENDED)]
    return Settled(compared, against.name, _plain_verdict(against.name))


def _plain_verdict(alternative: str) -> dict[str, str]:
    return {"kind": NO_DIFFERENCE if alternative == PATCH else PLAIN_ANSWER, "against": alternative}


def _best(question: Question, outcomes: GridOutcomes, chosen: Chosen, recommended: Point) -> dict[str, Any]:
    every = range(len(outcomes.recordings))
    number = outcomes.number_of(recommended)  # None for a plain alternative that the grid leaves out
    lost = None if number is None else float(chosen.scored.score[number] - chosen.region.score)
    return {
        "point": list(outcomes.point(chosen.region.best)),
        "values": [float(combined(outcomes, aim, every)[chosen.region.best]) for aim in question.aims],
        "score": chosen.region.score,
        "lost": lost,
    }


def settled_on(
    question: Question,
    outcomes: GridOutcomes,
    recordings: Sequence[int] | None = None,
    able: Able | None = None,
) -> Settled:
    """Decide on some recordings of a sweep alone: the same rule, region, round value and verdict.

    Of the plain alternatives those count that the grid has.

    Parameters
    ----------
    question : Question
        Aims, rule, constraints.
    outcomes : GridOutcomes
        The figures of every point.
    recordings : sequence of int, optional
        Which recordings have a say; all by default.
    able : ndarray of bool, optional
        Points that keep the constraints; all by default.
    """
    every = range(len(outcomes.recordings)) if recordings is None else recordings
    aims = [*question.aims, *(aim for aim in question.constraints if aim not in question.aims)]
    chosen = choose(outcomes, question.aims, every, question.choice, able, ALTERNATIVES)
    plain = [one for one in ALTERNATIVES if outcomes.number_of(one.point) is not None]

    def measure(points: Sequence[Point]) -> list[list[dict[str, float]]]:
        found = []
        for number in map(outcomes.number_of, points):
            assert number is not None  # all of them are of the grid
            figures = {aim.name: outcomes.at(aim, number) for aim in aims}
            found.append([{name: values[at] for name, values in figures.items()} for at in every])
        return found

    return settle(question, outcomes.point(chosen.named.number), chosen.alternative, measure, plain)


def _folds(question: Question, outcomes: GridOutcomes, able: Able) -> list[dict[str, Any]]:
    """Decide without each recording in turn, on the whole grid, and try the choice on it."""
    count = len(outcomes.recordings)
    if count < 2:
        return []
    rows = []
    for left in range(count):
        rest = [at for at in range(count) if at != left]
        settled = settled_on(question, outcomes, rest, able)
        number = outcomes.number_of(settled.recommended)
        assert number is not None
        rows.append(
            {
                "recording": outcomes.recordings[left],
                "point": list(settled.recommended),
                "words": in_words(settled.recommended),
                "alternative": settled.alternative,
                "patch": [outcomes.patch(aim)[left] for aim in question.aims],
                "chosen": [outcomes.at(aim, number)[left] for aim in question.aims],
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
    able: Able,
) -> list[dict[str, Any]]:
    """Return what the compared points come to in each group, and what would be recommended for it alone."""
    rows = _group_figures(question, outcomes.recordings, compared)
    for row in rows:
        own = [outcomes.recordings.index(name) for name in row["recordings"]]
        settled = settled_on(question, outcomes, own, able)
        chosen = settled.compared[-1]
        row["own"] = {
            "point": list(chosen.point),
            "words": in_words(chosen.point),
            "alternative": settled.alternative,
            "values": chosen.over(question.aims, settled.compared[0]),
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
    named: Sequence[Compared],
    held_out: tuple[Sequence[str], Measure] | None,
) -> dict[str, Any]:
    if held_out is None:
        return {}
    names, measure = held_out
    compared = compare(question.aims, [(one.name, one.point) for one in named], measure)
    every = range(len(names))
    return {
        "recordings": list(names),
        "compared": [plain_of(one) for one in compared],
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
    scored = scored_points(question, outcomes)
    best = scored.best
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

    scored = scored_points(question, outcomes)
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
