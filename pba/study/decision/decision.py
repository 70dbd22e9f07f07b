"""What a study answers, as its folder keeps it, and the question that it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from pba.study.aims import Aim
from pba.study.decision.compare import Compared
from pba.study.definition import Choice, Limit
from pba.study.space import ALTERNATIVES, Point

PATCH: Final = ALTERNATIVES[0].name
RECOMMENDED: Final = "recommended"
BEST_FOUND: Final = "best found"
"""The point that would be recommended if it were better than a choice without tuning by more than its interval."""
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
        The patch, the other plain alternatives, the best point found if it is not the recommended one, and the
        recommended point, with their figures on every recording.
    changes : list of dict
        `of`, `against`, and `aims`: what each aim changes, with interval and tests (`compare.Change`).
    verdict : dict
        `kind` ("better", "plain", "no difference") and `against`: the best plain alternative by the rule.
    best : dict
        `point`, `values` and `score` of the grid's best point by the rule; `lost`, the score that the recommended
        point costs beside it (None for a plain alternative that the grid leaves out). Empty without a sweep.
    region : dict
        `points` of the region and of the `grid`; `box`, the largest box of it around the recommended point or
        the best found; `span`, the least and greatest value of each threshold. Empty without a sweep.
    front : list of dict
        `point`, `values` and how many `points` share them: the exact front by the first aim. Empty without a
        sweep.
    folds : list of dict
        For each recording, what is recommended on all others: `recording`, `point`, `words`, `alternative`,
        and for each aim the figures `patch` and `chosen` on the recording left out.
    folds_changes : list of dict
        What each aim changes over all recordings, each with the point that was chosen without it.
    groups : list of dict
        `name`, `recordings`, `values` of each compared point, `changes` of the recommended point against the
        patch, and `own`: what is recommended for the group alone.
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
        plain["compared"] = [plain_of(one) for one in self.compared]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decision:
        """Read what `to_dict` gave."""
        values = dict(plain)
        values["recommended"] = Point(*values["recommended"])
        values["compared"] = [_compared(one) for one in values["compared"]]
        return cls(**values)

    @property
    def passed_over(self) -> Compared | None:
        """The best point found, where it is not better than the recommended plain alternative for sure."""
        return next((one for one in self.compared if one.name == BEST_FOUND), None)

    def named(self, name: str) -> Compared:
        """Return a compared point by its name."""
        return next(one for one in self.compared if one.name == name)

    def changes_of(self, of: str, against: str) -> list[dict[str, Any]]:
        """Return what each aim changes from one compared point to another."""
        return next(row["aims"] for row in self.changes if (row["of"], row["against"]) == (of, against))


def plain_of(one: Compared) -> dict[str, Any]:
    """Return a compared point as JSON takes it."""
    return {"name": one.name, "point": list(one.point), "figures": one.figures}


def _compared(plain: Mapping[str, Any]) -> Compared:
    return Compared(plain["name"], Point(*plain["point"]), plain["figures"])
