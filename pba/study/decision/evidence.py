"""How far a decision can be trusted, from the exact grid: folds, groups, importance, what does not react."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pba.study.aims import Aim
from pba.study.decision.outcomes import Floats, GridOutcomes, combined
from pba.study.decision.region import Named, Region, named_point, region_of
from pba.study.decision.rules import RULES, Able, Scored, restricted
from pba.study.definition import THRESHOLD_NAMES, Choice
from pba.study.factors import distance_to_patch
from pba.study.objective import on_front
from pba.study.space import Alternative, Point
from pba.study.sweep.grid import AXES

PLAIN: Final = "plain"
"""How round a plain alternative is: it needs no tuning."""


class Chosen(NamedTuple):
    """What a rule chooses on some recordings.

    Attributes
    ----------
    scored : Scored
        The scores of all points, and which it may choose.
    region : Region
        All points that lose little.
    named : Named
        The point of it that is named.
    alternative : str
        The plain alternative that this is; empty for none.
    """

    scored: Scored
    region: Region
    named: Named
    alternative: str


def choose(
    outcomes: GridOutcomes,
    aims: Sequence[Aim],
    recordings: Sequence[int],
    choice: Choice,
    able: Able | None = None,
    plain: Sequence[Alternative] = (),
) -> Chosen:
    """Apply the study's rule to some recordings: the whole search, on every point of the grid.

    Parameters
    ----------
    outcomes : GridOutcomes
        The figures of every point.
    aims : sequence of Aim
        The aims.
    recordings : sequence of int
        Which recordings have a say.
    choice : Choice
        The rule, the loss.
    able : ndarray of bool, optional
        Points that meet the study's constraints; all by default.
    plain : sequence of Alternative
        Of these, one that lies in the region is named: it needs no tuning.
    """
    scored = restricted(RULES[choice.rule].scored(outcomes, aims, recordings, choice), able)
    region = region_of(outcomes, scored, choice.loss)
    inside: list[tuple[float, int, int, str]] = []
    for alternative in plain:
        number = outcomes.number_of(alternative.point)
        if number is not None and region.mask[number]:
            inside.append((float(scored.score[number]), len(inside), number, alternative.name))
    if inside:
        _, _, number, name = min(inside)
        return Chosen(scored, region, Named(number, PLAIN), name)
    return Chosen(scored, region, named_point(outcomes, region, scored.score), "")


class Front(NamedTuple):
    """The exact front of a grid.

    Attributes
    ----------
    numbers : ndarray of int
        A point of each outcome: of those that share it, the one nearest to the patch's.
    points : ndarray of int
        How many points share the outcome.
    values : ndarray of float64, shape (outcomes, aims)
        What each aim comes to.
    """

    numbers: np.ndarray[Any, Any]
    points: np.ndarray[Any, Any]
    values: Floats


def exact_front(outcomes: GridOutcomes, aims: Sequence[Aim], able: Able | None = None) -> Front:
    """Return the outcomes that no point of the grid beats, by the first aim."""
    every = range(len(outcomes.recordings))
    values = np.column_stack([combined(outcomes, aim, every) for aim in aims])
    losses = values * [aim.sign for aim in aims]
    if able is not None and able.any():
        losses = np.where(able[:, None], losses, np.inf)
    numbers = np.flatnonzero(on_front(*losses.T))
    near = distance_to_patch([values[numbers] for values in outcomes.thresholds])
    order = np.lexsort((near, *losses[numbers].T[::-1]))
    numbers = numbers[order]
    new = np.concatenate([[True], (losses[numbers][1:] != losses[numbers][:-1]).any(axis=1)])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(numbers)))
    return Front(numbers[starts], sizes, values[numbers[starts]])


def hypervolume(losses: Floats, reference: Floats) -> float:
    """Return the volume that a front dominates below a reference point, as a share of the box from zero.

    Parameters
    ----------
    losses : ndarray of float64, shape (points, aims)
        Less is better. Points beyond the reference count for nothing.
    reference : ndarray of float64, shape (aims,)
        The corner.
    """
    inside = losses[(losses < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if losses.shape[1] == 1:
        return float(reference[0] - inside[:, 0].min())
    # Slices along the last aim, each as deep as to the next point.
    order = np.argsort(inside[:, -1], kind="stable")
    inside = inside[order]
    ends = np.append(inside[1:, -1], reference[-1])
    depths = ends - inside[:, -1]
    if losses.shape[1] == 2:
        reach = reference[0] - np.minimum.accumulate(inside[:, 0])
        return float((reach * depths).sum())
    return float(
        sum(
            depth * hypervolume(inside[: at + 1, :-1], reference[:-1])
            for at, depth in enumerate(depths)
            if depth > 0
        )
    )


def importance(outcomes: GridOutcomes, aim: Aim, recordings: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return how much of an aim's variation over the grid each threshold accounts for.

    Of the logarithm of the aim (plus one), as an effect is a factor: `alone`, the share of the variance that
    the threshold's own mean explains (a first-order Sobol index), and `with_others`, the share that goes if
    it is held (a total index). Exact for the grid, each of its points counting alike.
    """
    values = np.log1p(np.abs(combined(outcomes, aim, recordings))).reshape(outcomes.grid.shape)
    total = float(values.var())
    found = {}
    for name in THRESHOLD_NAMES:
        axis = AXES.index(name)
        others = tuple(at for at in range(3) if at != axis)
        alone = float(values.mean(axis=others).var())
        rest = float(values.var(axis=axis).mean())
        found[name] = {
            "alone": alone / total if total else 0.0,
            "with_others": rest / total if total else 0.0,
        }
    return found


def silent(outcomes: GridOutcomes, aims: Sequence[Aim], passes: Sequence[int]) -> list[dict[str, str]]:
    """Return the recordings on which no point of the grid changes any aim, with the reason."""
    found = []
    for at, name in enumerate(outcomes.recordings):
        if outcomes.varies(aims, at):
            continue
        if passes[at] == 0:
            reason = "no shrinker pass: the thresholds never act"
        elif outcomes.most("scan_calls", at) == 0:
            reason = "its passes find no page above U, or too few for a batch"
        elif outcomes.most("pages_released", at) == 0:
            reason = "its passes find no page that could be given back"
        else:
            reason = "its passes come when what they give back changes no aim"
        found.append({"recording": name, "reason": reason})
    return found


def ablation(
    start: Point, end: Point, values: Callable[[Sequence[Point]], Sequence[Sequence[float]]]
) -> list[dict[str, Any]]:
    """Move from one point to another one threshold at a time, in every order.

    Parameters
    ----------
    start, end : Point
        The patch's point and the recommended one.
    values : callable
        Returns the aims of points.

    Returns
    -------
    list of dict
        For each threshold that differs: `first`, what each aim changes when it moves before all others;
        `last`, after all others; `mean`, over all orders (its Shapley value: they add up to the whole
        change).
    """
    moved = [name for name in THRESHOLD_NAMES if getattr(start, name) != getattr(end, name)]
    corners = {}
    for size in range(len(moved) + 1):
        for names in itertools.combinations(moved, size):
            corners[frozenset(names)] = start._replace(**{name: getattr(end, name) for name in names})
    found = dict(zip(corners, values(list(corners.values())), strict=True))
    rows = []
    orders = list(itertools.permutations(moved))
    for name in moved:
        steps = []
        for order in orders:
            before = frozenset(order[: order.index(name)])
            steps.append(np.subtract(found[before | {name}], found[before]))
        everything = frozenset(moved)
        rows.append(
            {
                "threshold": name,
                "first": np.subtract(found[frozenset({name})], found[frozenset()]).tolist(),
                "last": np.subtract(found[everything], found[everything - {name}]).tolist(),
                "mean": np.mean(steps, axis=0).tolist(),
            }
        )
    return rows


def least_map(
    outcomes: GridOutcomes, scored: Scored, axes: tuple[str, str]
) -> tuple[list[int], list[int], Floats]:
    """Return the least score over the third threshold, for each pair of two: what a map shows.

    Returns
    -------
    tuple
        The values of both thresholds, and the scores, a row for each value of the first; infinite where the
        rule may choose nothing.
    """
    score = scored.chosen.reshape(outcomes.grid.shape)
    first, second = (AXES.index(name) for name in axes)
    (third,) = {0, 1, 2} - {first, second}
    least = score.min(axis=third)
    if first > second:
        least = least.T
    values = outcomes.grid.values
    return list(values[first]), list(values[second]), least
