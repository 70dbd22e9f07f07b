"""The points that a search may try, and what they mean on a machine with larger pages."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from pba.machine import Machine, Thresholds
from pba.study.definition import BLOCK_NR_PAGES_4K, THRESHOLD_NAMES, Range, StudyDefinition

KRONECKER: Final = tuple(1.2207440846057596**-power for power in (1, 2, 3))
"""Steps of an evenly spreading sequence in three dimensions.

Inverse powers of the root of x**4 = x + 1 (M. Roberts, "The unreasonable effectiveness of quasirandom
sequences", 2018).
"""


class Point(NamedTuple):
    """Three thresholds, as for 4 KiB pages."""

    unshrinkable_pages: int
    shrink_block_min_pages: int
    batch: int

    def on(self, machine: Machine) -> Thresholds:
        """Return the thresholds on a machine.

        M and B grow with the block, as `BLOCK_NR_PAGES / 8` and `BLOCK_NR_PAGES` do in the patch; U stays
        a number of pages, as 16 does. U and B stop at the machine's memory, which no cache outgrows.
        """
        factor = machine.block_nr_pages // BLOCK_NR_PAGES_4K
        return Thresholds(
            min(self.unshrinkable_pages, machine.memory_pages),
            self.shrink_block_min_pages * factor,
            min(self.batch * factor, machine.memory_pages),
        )

    def __str__(self) -> str:
        return f"U={self.unshrinkable_pages} M={self.shrink_block_min_pages} B={self.batch}"


NEVER: Final = 1 << 26
"""More pages than any cache holds: `Point.on` stops at the machine's memory."""

PATCH_POINT: Final = Point(*Thresholds.patch(Machine(4)).to_dict().values())
"""The patch's own thresholds on 4 KiB pages: U=16 M=64 B=512."""


class Alternative(NamedTuple):
    """A plain choice of thresholds, which needs no tuning: what a recommendation has to beat.

    Attributes
    ----------
    name : str
        What it is called everywhere.
    point : Point
        Its thresholds, as for 4 KiB pages.
    text : str
        What it means for the kernel, in a sentence.
    """

    name: str
    point: Point
    text: str


ALTERNATIVES: Final = (
    Alternative("patch", PATCH_POINT, "The thresholds that the patch has."),
    Alternative(
        "whole blocks only",
        PATCH_POINT._replace(shrink_block_min_pages=BLOCK_NR_PAGES_4K),
        "A block is only given back once all of it is free, so that the shrinker never splits one; U and B are "
        "the patch's.",
    ),
    Alternative(
        "never shrink",
        PATCH_POINT._replace(unshrinkable_pages=NEVER),
        "No page is ever given back: the same as no shrinker.",
    ),
    Alternative(
        "shrink everything",
        Point(4, 1, 1),
        "Every pass takes what it can get, a page at a time, down to the four pages that splitting the linear map "
        "needs.",
    ),
)
"""The plain alternatives, the patch first. A study always evaluates all of them."""


def first_points(definition: StudyDefinition) -> Iterator[Point]:
    """Yield the points to begin with, without end.

    First the plain alternatives, even where the space leaves them out, as all else is held against them; then
    the space's corners, then evenly spread points. A point may come more than once.
    """
    yield from (alternative.point for alternative in ALTERNATIVES)
    ranges = [definition.space[name] for name in THRESHOLD_NAMES]
    for corner in itertools.product(*((item.low, item.high) for item in ranges)):
        yield Point(*corner)
    generator = random.Random(definition.seed)
    shift = [generator.random() for _ in ranges]
    for index in itertools.count(1):
        shares = ((start + index * step) % 1.0 for start, step in zip(shift, KRONECKER, strict=True))
        yield Point(*(value_at(item, share) for item, share in zip(ranges, shares, strict=True)))


def value_at(values: Range, share: float) -> int:
    """Return the value that lies at a share (0 to 1) of a range's width, on its own scale."""
    if values.log:
        # Half a page on either side, so that the lowest and the highest value get their full width.
        low, high = values.low - 0.5, values.high + 0.5
        found = round(low * float((high / low) ** share))
    else:
        found = values.low + int(share * len(values))
    return min(max(found, values.low), values.high)


def all_points(definition: StudyDefinition) -> Iterator[Point]:
    """Yield every point of the space, in order."""
    ranges = (definition.space[name] for name in THRESHOLD_NAMES)
    return (Point(*values) for values in itertools.product(*(range(r.low, r.high + 1) for r in ranges)))


def distinct_points(definition: StudyDefinition) -> int:
    """Return how many points a study will try: its budget, or all there are."""
    outside = sum(not inside(definition, alternative.point) for alternative in ALTERNATIVES)
    return min(definition.points, definition.space_size + outside)


def inside(definition: StudyDefinition, point: Point) -> bool:
    """Whether a point lies in a study's space."""
    return all(value in definition.space[name] for name, value in point._asdict().items())
