"""How flat it is around the recommended point: one threshold moved at a time, replayed exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pba.study.definition import THRESHOLD_NAMES, StudyDefinition
from pba.study.space import Point, value_at

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE: Final = 0.05
"""Both aims stay within this share of their values at the recommended point."""
STEPS: Final = 12
"""Values along each range, evenly on its own scale, beside the recommended one."""
HALVINGS: Final = 3
"""How often the edge of the flat part is halved in: to 1/8 of a step."""

FLATNESS_COLUMNS: Final = ("threshold", "value", "pmd_splits", "mean_cached_pages")
"""Columns of the table of replays around a point."""

Aims = tuple[float, float]


def around(
    definition: StudyDefinition, center: Point, measure: Callable[[Sequence[Point]], list[Aims]]
) -> pd.DataFrame:
    """Replay along each threshold, the others held.

    Parameters
    ----------
    definition : StudyDefinition
        Its space gives the ranges.
    center : Point
        The recommended point.
    measure : callable
        Returns the two aims of each of some points.

    Returns
    -------
    DataFrame
        `threshold, value, pmd_splits, mean_cached_pages`, sorted by value within a threshold; the
        recommended value is always among them.
    """
    import pandas as pd

    known: dict[Point, Aims] = {}

    def need(points: Sequence[Point]) -> None:
        missing = list(dict.fromkeys(point for point in points if point not in known))
        known.update(zip(missing, measure(missing), strict=True))

    lines = {name: _line(definition, center, name) for name in THRESHOLD_NAMES}
    need([point for line in lines.values() for point in line])
    for _ in range(HALVINGS):
        middles = {name: _middles(name, center, line, known) for name, line in lines.items()}
        need([point for found in middles.values() for point in found])
        lines = {name: sorted({*lines[name], *middles[name]}) for name in THRESHOLD_NAMES}
    rows = [(name, getattr(point, name), *known[point]) for name, line in lines.items() for point in line]
    return pd.DataFrame(rows, columns=list(FLATNESS_COLUMNS))


def within(aims: Aims, center: Aims, tolerance: float) -> bool:
    """Whether both aims are within a share of what they are at the center (0 allows 0 alone)."""
    # A hair more than the share: 0.95 is within 5 % of 1, though not in binary.
    share = tolerance * (1 + 1e-9)
    return all(abs(value - there) <= share * there for value, there in zip(aims, center, strict=True))


def _line(definition: StudyDefinition, center: Point, name: str) -> list[Point]:
    """Return the points along one threshold, evenly spread over its range, the center among them."""
    values = {value_at(definition.space[name], step / (STEPS - 1)) for step in range(STEPS)}
    return sorted(center._replace(**{name: value}) for value in {*values, getattr(center, name)})


def _middles(name: str, center: Point, line: list[Point], known: dict[Point, Aims]) -> list[Point]:
    """Return the points half-way over the two edges of the flat part, where there still are some."""
    low, high = run_around(
        line.index(center), [within(known[point], known[center], TOLERANCE) for point in line]
    )
    found = []
    for inside, outside in ((low, low - 1), (high, high + 1)):
        if 0 <= outside < len(line):
            ends = getattr(line[inside], name), getattr(line[outside], name)
            middle = round(((ends[0] + 1) * (ends[1] + 1)) ** 0.5) - 1
            if middle not in ends:
                found.append(center._replace(**{name: middle}))
    return found


def run_around(at: int, flags: list[bool]) -> tuple[int, int]:
    """Return the first and last index of the unbroken run of true flags around `at`."""
    low = high = at
    while low > 0 and flags[low - 1]:
        low -= 1
    while high + 1 < len(flags) and flags[high + 1]:
        high += 1
    return low, high
