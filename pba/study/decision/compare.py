"""Points held against each other, recording by recording: changes with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pba.paired import (
    Floats,
    Interval,
    Statistic,
    difference,
    holm,
    paired_interval,
    sign_test,
    wilcoxon,
)
from pba.study.aims import Aim
from pba.study.space import Point

RELATIVE: Final = "relative"
DIFFERENCE: Final = "difference"


class Compared(NamedTuple):
    """A point with a name, and its figures.

    Attributes
    ----------
    name : str
        What it is called: `patch`, `whole blocks only`, `recommended`.
    point : Point
        Its thresholds.
    figures : list of list of float
        For each aim, its figure on each recording.
    """

    name: str
    point: Point
    figures: list[list[float]]

    def over(self, aims: Sequence[Aim], patch: Compared, chosen: Sequence[int] | None = None) -> list[float]:
        """Return what each aim comes to over some recordings (all by default)."""
        every = range(len(self.figures[0])) if chosen is None else chosen
        return [
            float(aim.over_recordings([own[at] for at in every], [before[at] for at in every]))
            for aim, own, before in zip(aims, self.figures, patch.figures, strict=True)
        ]


class Change(NamedTuple):
    """What an aim changes from one point to another, over recordings.

    Attributes
    ----------
    aim : str
        The aim.
    before, after : float
        What it comes to.
    kind : {"relative", "difference"}
        What the interval is of: the relative change, or the difference where there is nothing before.
    estimate, low, high : float
        The change and its 95 % interval over recordings; NaN where a single recording allows none.
    fell, rose, same : int
        Recordings whose figure fell, rose, stayed.
    sign_p, wilcoxon_p : float
        Two-sided p-values of the sign test and of Wilcoxon's signed-rank test over recordings.
    better : int
        1 where the whole interval is better, -1 where all of it is worse, else 0.
    """

    aim: str
    before: float
    after: float
    kind: str
    estimate: float
    low: float
    high: float
    fell: int
    rose: int
    same: int
    sign_p: float
    wilcoxon_p: float
    better: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it: None where an end of the interval is unknown or without end."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in self._asdict().items()
        }


def statistic_of(aim: Aim, old: Sequence[float]) -> tuple[Statistic, str]:
    """Return what an aim's change is measured by: as its recordings add up, relative to what there was."""

    def relative(new: Floats, old: Floats, axis: int) -> Floats:
        columns, befores = (list(np.moveaxis(side, axis, 0)) for side in (new, old))
        after, before = (aim.over_recordings(side, befores) for side in (columns, befores))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(after == before, 0.0, after / before - 1)

    return (relative, RELATIVE) if aim.over == "ratio" or any(old) else (difference, DIFFERENCE)


def _interval(aim: Aim, new: Sequence[float], old: Sequence[float]) -> tuple[Interval, str, int]:
    """Return what an aim changes with its interval, what that is of, and whether all of it is better or worse."""
    statistic, kind = statistic_of(aim, old)
    found = paired_interval(new, old, statistic)
    low, high = aim.sign * found.low, aim.sign * found.high
    return found, kind, 1 if max(low, high) < 0 else -1 if min(low, high) > 0 else 0


def gains(aim: Aim, new: Sequence[float], old: Sequence[float]) -> bool:
    """Return whether an aim is better by more than its interval; of a single recording, which has none, at all.

    What `change` says of the same figures, without its tests, which take longer.
    """
    if len(new) == 1:
        return aim.sign * (new[0] - old[0]) < 0
    return _interval(aim, new, old)[2] > 0


def change(aim: Aim, new: Sequence[float], old: Sequence[float]) -> Change:
    """Return what an aim changes over recordings, with its interval and tests.

    Parameters
    ----------
    aim : Aim
        The aim.
    new, old : sequence of float
        Its figures after and before, for the same recordings in the same order.
    """
    found, kind, better = _interval(aim, new, old)
    signs = sign_test(new, old)
    before, after = (float(aim.over_recordings(list(side), list(old))) for side in (old, new))
    return Change(
        aim.name, before, after, kind, found.estimate, found.low, found.high,
        signs.fell, signs.rose, signs.same, signs.p_value, wilcoxon(new, old), better,
    )  # fmt: skip


def changes(aims: Sequence[Aim], new: Compared, old: Compared, chosen: Sequence[int]) -> list[Change]:
    """Return what each aim changes from one point to another over some recordings.

    The p-values are adjusted for the number of aims (Holm).
    """
    found = [
        change(aim, [after[at] for at in chosen], [before[at] for at in chosen])
        for aim, after, before in zip(aims, new.figures, old.figures, strict=True)
    ]
    signs, ranks = holm([one.sign_p for one in found]), holm([one.wilcoxon_p for one in found])
    return [
        one._replace(sign_p=sign, wilcoxon_p=rank)
        for one, sign, rank in zip(found, signs, ranks, strict=True)
    ]
