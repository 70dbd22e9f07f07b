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


PATCH_POINT: Final = Point(*Thresholds.patch(Machine(4)).to_dict().values())
"""The patch's own thresholds on 4 KiB pages: U=16 M=64 B=512."""


def first_points(definition: StudyDefinition) -> Iterator[Point]:
    """Yield the points to begin with, without end: the patch's, the space's corners, then evenly spread ones.

    The patch's is tried even where the space leaves it out, as all else is held against it. A point may
    come more than once.
    """
    yield PATCH_POINT
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
    inside = all(value in definition.space[name] for name, value in PATCH_POINT._asdict().items())
    return min(definition.points, definition.space_size + (0 if inside else 1))
