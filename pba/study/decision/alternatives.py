"""The choices that need no tuning, by name: what a recommendation has to beat."""

from __future__ import annotations

from typing import Final, NamedTuple

from pba.study.definition import BLOCK_NR_PAGES_4K
from pba.study.space import PATCH_POINT, Point

MOST_PAGES: Final = 1 << 26
"""More than any cache holds: `Point.on` stops at the machine's memory."""


class Alternative(NamedTuple):
    """A plain choice of thresholds.

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


PATCH: Final = Alternative("patch", PATCH_POINT, "The thresholds that the patch has.")
WHOLE_BLOCKS: Final = Alternative(
    "whole blocks only",
    PATCH_POINT._replace(shrink_block_min_pages=BLOCK_NR_PAGES_4K),
    "A block is only given back once all of it is free, so that the shrinker never splits one; U and B as in the "
    "patch.",
)
NEVER_SHRINK: Final = Alternative(
    "never shrink",
    PATCH_POINT._replace(unshrinkable_pages=MOST_PAGES),
    "No page is ever given back: the same as no shrinker.",
)
SHRINK_EVERYTHING: Final = Alternative(
    "shrink everything",
    Point(4, 1, 1),
    "Every pass takes what it can get, one page at a time, down to the four pages that splitting the linear map "
    "needs.",
)

ALTERNATIVES: Final = (PATCH, WHOLE_BLOCKS, NEVER_SHRINK, SHRINK_EVERYTHING)
"""The plain alternatives, the patch first. A study always evaluates all of them."""
