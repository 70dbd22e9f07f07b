"""Where a single point lies beside the exact sweep: for who watches a search while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pba.study.aims import Aim
from pba.study.decision.decide import able_points
from pba.study.decision.decision import Question
from pba.study.decision.evidence import exact_front
from pba.study.decision.outcomes import Floats, GridOutcomes

NEAR = 1e-9


class Judge(NamedTuple):
    """The exact front of a study's grid.

    Attributes
    ----------
    aims : sequence of Aim
        The study's aims.
    front : ndarray of float64, shape (outcomes, aims)
        The front, less being better in each aim.
    """

    aims: Sequence[Aim]
    front: Floats

    @classmethod
    def of(cls, question: Question, outcomes: GridOutcomes) -> Judge:
        """Return the judge that a study's sweep makes."""
        front = exact_front(outcomes, question.aims, able_points(question, outcomes))
        return cls(question.aims, front.values * [aim.sign for aim in question.aims])

    def place_of(self, values: Sequence[float]) -> dict[str, Any]:
        """Return where a point lies: on the exact front or beyond it, or how many of its outcomes beat it."""
        losses = [aim.sign * value for aim, value in zip(self.aims, values, strict=True)]
        slack = [NEAR * abs(loss) for loss in losses]
        no_worse = (self.front <= [loss + more for loss, more in zip(losses, slack, strict=True)]).all(axis=1)
        better = (self.front < [loss - more for loss, more in zip(losses, slack, strict=True)]).any(axis=1)
        beaten_by = int((no_worse & better).sum())
        return {"on the exact front": beaten_by == 0, "outcomes of the exact front that beat it": beaten_by}
