"""Rules that make one choice out of several aims. Each says in a sentence what it prefers.

A rule gives each point a score, less being better, and says which points it may choose at all. Scores are in
units of what the patch's thresholds come to (least regret: in shares of its costs), so that a loss of 0.05 is
five per cent of the patch's figure under every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pba.study.aims import Aim
from pba.study.decision.outcomes import Floats, Outcomes, combined
from pba.study.definition import Choice

Able: TypeAlias = NDArray[np.bool_]
"""For each point whether it may be chosen."""
SLACK: Final = 1e-9
"""A hair more than a limit still keeps it: figures are rounded to eleven digits."""


class Scored(NamedTuple):
    """What a rule makes of some points.

    Attributes
    ----------
    score : ndarray of float64, shape (points,)
        Less is better.
    able : ndarray of bool, shape (points,)
        Which points the rule may choose.
    """

    score: Floats
    able: Able

    @property
    def chosen(self) -> Floats:
        """The scores, infinite where the rule may not choose."""
        return np.where(self.able, self.score, np.inf)

    @property
    def best(self) -> int:
        """The number of the point with the least score; of equals the first."""
        return int(self.chosen.argmin())


def restricted(scored: Scored, able: Able | None) -> Scored:
    """Return scores of which only some points may be chosen; where that leaves none, as they were."""
    both = scored.able if able is None else scored.able & able
    return Scored(scored.score, both if both.any() else scored.able)


class Rule(NamedTuple):
    """A rule.

    Attributes
    ----------
    name : str
        As study files name it.
    sentence : callable
        Says what it chooses, of these aims.
    scored : callable
        Scores all points over some recordings (their numbers).
    """

    name: str
    sentence: Callable[[Sequence[Aim], Choice], str]
    scored: Callable[[Outcomes, Sequence[Aim], Sequence[int], Choice], Scored]


def scale_of(value: float) -> float:
    """Return what an aim's figures are divided by: the patch's, or 1 where it has none."""
    return abs(value) if value else 1.0


def _losses(
    outcomes: Outcomes, aims: Sequence[Aim], chosen: Sequence[int]
) -> tuple[list[Floats], list[float]]:
    """Return each aim's value of every point, so that less is better, and of the patch."""
    values, patches = [], []
    for aim in aims:
        values.append(aim.sign * combined(outcomes, aim, chosen))
        before = outcomes.patch(aim)
        own = [before[recording] for recording in chosen]
        patches.append(aim.sign * float(aim.over_recordings(own, own)))
    return values, patches


def _no_more(values: Floats, limit: float) -> NDArray[np.bool_]:
    return np.asarray(values <= limit + SLACK * abs(limit), np.bool_)


def _fewest_within(outcomes: Outcomes, aims: Sequence[Aim], chosen: Sequence[int], choice: Choice) -> Scored:
    values, patches = _losses(outcomes, aims, chosen)
    able = np.ones(len(outcomes), bool)
    for value, before in zip(values[1:], patches[1:], strict=True):
        able &= _no_more(value, before + choice.within * abs(before))
    return Scored(values[0] / scale_of(patches[0]), able)


def _no_worse_anywhere(
    outcomes: Outcomes, aims: Sequence[Aim], chosen: Sequence[int], choice: Choice
) -> Scored:
    values, patches = _losses(outcomes, aims, chosen)
    able = np.ones(len(outcomes), bool)
    for aim in aims:
        before = outcomes.patch(aim)
        for recording in chosen:
            able &= _no_more(aim.sign * outcomes.figures(aim, recording), aim.sign * before[recording])
    return Scored(values[0] / scale_of(patches[0]), able)


def _least_regret(outcomes: Outcomes, aims: Sequence[Aim], chosen: Sequence[int], choice: Choice) -> Scored:
    scales = []
    for aim in aims:
        before = outcomes.patch(aim)
        scales.append(scale_of(sum(before[recording] for recording in chosen) / len(chosen)))
    worst = np.zeros(len(outcomes))
    for recording in chosen:
        cost = np.zeros(len(outcomes))
        for aim, scale in zip(aims, scales, strict=True):
            cost += aim.sign * outcomes.figures(aim, recording) / scale
        np.maximum(worst, cost - cost.min(), out=worst)
    return Scored(worst / len(aims), np.ones(len(outcomes), bool))


def _least_product(outcomes: Outcomes, aims: Sequence[Aim], chosen: Sequence[int], choice: Choice) -> Scored:
    values, patches = _losses(outcomes, aims, chosen)
    able = np.ones(len(outcomes), bool)
    product = np.ones(len(outcomes))
    for aim, value, before in zip(aims, values, patches, strict=True):
        able &= _no_more(value, before)
        # Of an aim to be large, a share of the patch's is turned round.
        with np.errstate(divide="ignore"):
            product *= value / scale_of(before) if aim.sign > 0 else scale_of(before) / -value
    return Scored(product, able)


def _names(aims: Sequence[Aim]) -> str:
    titles = [aim.title for aim in aims]
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def _best(aim: Aim) -> str:
    return f"the {'least' if aim.sign > 0 else 'most'} {aim.title}"


def _say_fewest_within(aims: Sequence[Aim], choice: Choice) -> str:
    if len(aims) == 1:
        return f"Take {_best(aims[0])}."
    more = "no worse than" if choice.within == 0 else f"at most {100 * choice.within:g} % worse than"
    return f"Take {_best(aims[0])} at {_names(aims[1:])} {more} the patch's, all recordings taken together."


def _say_no_worse_anywhere(aims: Sequence[Aim], choice: Choice) -> str:
    return f"Take {_best(aims[0])} of what is no worse than the patch in any aim on any recording."


def _say_least_regret(aims: Sequence[Aim], choice: Choice) -> str:
    return (
        f"Take what loses least where it loses most: on each recording {_names(aims)} are added up as shares of "
        "the patch's mean over the recordings, and the regret is how far that lies above the least that any point "
        "reaches there."
    )


def _say_least_product(aims: Sequence[Aim], choice: Choice) -> str:
    return (
        f"Take the least product of {_names(aims)} of what is no worse than the patch in any of them, all "
        "recordings taken together; one per cent of either then counts alike, and none of one counts for any price "
        "up to the patch's."
    )


RULES: Final[dict[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule("fewest-within", _say_fewest_within, _fewest_within),
        Rule("no-worse-anywhere", _say_no_worse_anywhere, _no_worse_anywhere),
        Rule("least-regret", _say_least_regret, _least_regret),
        Rule("least-product", _say_least_product, _least_product),
    )
}
"""The rules by name, the default first."""
