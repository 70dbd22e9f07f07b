"""The points of a sweep: a grid of the three thresholds, as people write it and as a machine takes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba import shown
from pba.errors import ThresholdError, option
from pba.machine import Machine
from pba.printable import printable
from pba.study.definition import BLOCK_NR_PAGES_4K
from pba.study.space import PATCH_POINT, Point

ALL: Final = "all"
AXES: Final = ("unshrinkable_pages", "batch", "shrink_block_min_pages")
"""The order of a grid's axes. M comes last: a replay carries an interval of it."""

DEFAULT_UNSHRINKABLE_PAGES: Final = (
    "4:32:4,40:128:8,144:256:16,288:512:32,576:1024:64,1152:2048:128,2560:4096:512,5120:8192:1024,"
    "10240,12288,16384"
)
DEFAULT_SHRINK_BLOCK_MIN_PAGES: Final = f"1:{BLOCK_NR_PAGES_4K}"
DEFAULT_BATCH: Final = "8,16,32,64,96,128,192,256,384,512,768,1024,1536,2048,4096,8192"

LIMITS: Final = {
    "unshrinkable_pages": (0, 1 << 26),
    "batch": (1, 1 << 26),
    "shrink_block_min_pages": (1, BLOCK_NR_PAGES_4K),
}
"""Lowest and highest value that an axis may have, in pages (M ends at a block)."""
MAX_LINES: Final = 1 << 15
"""Most pairs of U and B in a grid. Each is a row of every trace's result at least, and takes about as long as
a replay of the trace: with so many, eighteen recordings take some twenty minutes and a few GB."""

SYNTAX: Final = "write values and ranges, LOW:HIGH or LOW:HIGH:STEP, with commas between them, or all"
_ITEM: Final = re.compile(r"(\d{1,18})(?::(\d{1,18})(?::(\d{1,18}))?)?", re.ASCII)

AxisLike = str | int | Iterable[int]
"""What one axis may be given as: text in the syntax of the command line, a value, or values."""


@dataclass(frozen=True, init=False)
class Grid:
    """A grid of thresholds, in pages as for 4 KiB pages.

    Parameters
    ----------
    unshrinkable_pages, shrink_block_min_pages, batch : str, int or iterable of int
        Values of U, M and B: `0:512:8` (from 0 up to 512 in steps of 8; 512 itself too where a step meets
        it, as here), `1:512` (every one, both ends included), `32,64,128`, mixtures of these with commas, or
        `all`. `all` is for M every value up to a block; for U every value up to the most pages that any
        trace ever caches where nothing is shrunk (from there on nothing is); for B every value up to twice
        that (no pass has more work). Order and repetition do not matter.

    Attributes
    ----------
    unshrinkable_pages, batch : tuple of int, or None
        Values, ascending; None for `all`, until `resolved` with what the traces need.
    shrink_block_min_pages : tuple of int
        Values, ascending.

    Raises
    ------
    ThresholdError
        If an axis cannot be read, a value is out of its range, or the grid is too large.
    """

    unshrinkable_pages: tuple[int, ...] | None
    shrink_block_min_pages: tuple[int, ...]
    batch: tuple[int, ...] | None

    def __init__(
        self,
        unshrinkable_pages: AxisLike = DEFAULT_UNSHRINKABLE_PAGES,
        shrink_block_min_pages: AxisLike = DEFAULT_SHRINK_BLOCK_MIN_PAGES,
        batch: AxisLike = DEFAULT_BATCH,
    ) -> None:
        object.__setattr__(self, "unshrinkable_pages", parse_axis("unshrinkable_pages", unshrinkable_pages))
        minimum = parse_axis("shrink_block_min_pages", shrink_block_min_pages)
        object.__setattr__(self, "shrink_block_min_pages", minimum or tuple(range(1, BLOCK_NR_PAGES_4K + 1)))
        object.__setattr__(self, "batch", parse_axis("batch", batch))
        self._check_size()

    def resolved(self, most_cached: Callable[[], int]) -> Grid:
        """Return the grid with `all` spelt out.

        Parameters
        ----------
        most_cached : callable
            Returns the most pages (as for 4 KiB pages) that any trace caches where nothing is shrunk; called
            if it is needed.
        """
        if self.unshrinkable_pages is not None and self.batch is not None:
            return self
        most = max(1, most_cached())
        unshrinkable_pages = range(most + 1) if self.unshrinkable_pages is None else self.unshrinkable_pages
        batch = range(1, 2 * most + 1) if self.batch is None else self.batch
        return Grid(unshrinkable_pages, self.shrink_block_min_pages, batch)

    def with_patch(self) -> Grid:
        """Return the grid with the patch's own values on each axis, so that it holds the patch's point."""
        axes = zip(self.values, (getattr(PATCH_POINT, name) for name in AXES), strict=True)
        unshrinkable, batch, minimum = (sorted({*values, value}) for values, value in axes)
        return Grid(unshrinkable, minimum, batch)

    def _check_size(self) -> None:
        if self.unshrinkable_pages is None or self.batch is None:
            return
        lines = len(self.unshrinkable_pages) * len(self.batch)
        if lines > MAX_LINES:
            raise ThresholdError(
                f"the grid has {lines:,} pairs of U and B, and a sweep takes at most {MAX_LINES:,}",
                "take larger steps: 0:16384:64",
            )

    @property
    def values(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The values of the axes in the order of `AXES`."""
        if self.unshrinkable_pages is None or self.batch is None:
            raise ThresholdError("the grid still says all", "resolve it first: Grid.resolved")
        return self.unshrinkable_pages, self.batch, self.shrink_block_min_pages

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many values each of `AXES` has."""
        unshrinkable_pages, batch, shrink_block_min_pages = self.values
        return len(unshrinkable_pages), len(batch), len(shrink_block_min_pages)

    def __len__(self) -> int:
        shape = self.shape
        return shape[0] * shape[1] * shape[2]

    def cell_of(self, point: Point) -> tuple[int, int, int] | None:
        """Return where a point lies, as indices in the order of `AXES`; None where the grid leaves it out."""
        wanted = point.unshrinkable_pages, point.batch, point.shrink_block_min_pages
        found = []
        for values, value in zip(self.values, wanted, strict=True):
            at = int(np.searchsorted(np.asarray(values), value))
            if at == len(values) or values[at] != value:
                return None
            found.append(at)
        return found[0], found[1], found[2]

    def point_at(self, cell: tuple[int, int, int]) -> Point:
        """Return the point at indices in the order of `AXES`."""
        unshrinkable_pages, batch, shrink_block_min_pages = self.values
        return Point(unshrinkable_pages[cell[0]], shrink_block_min_pages[cell[2]], batch[cell[1]])

    def on(self, machine: Machine) -> MachineAxes:
        """Return the axes on a machine, by the rule of `Point.on`: M and B grow with the block."""
        unshrinkable_pages, batch, shrink_block_min_pages = self.values
        return MachineAxes(
            np.array([Point(value, 1, 1).on(machine).unshrinkable_pages for value in unshrinkable_pages]),
            np.array([Point(0, 1, value).on(machine).batch for value in batch]),
            np.array(
                [Point(0, value, 1).on(machine).shrink_block_min_pages for value in shrink_block_min_pages]
            ),
        )

    def to_dict(self) -> dict[str, str]:
        """Return the axes as text in the syntax of the command line, as JSON takes it."""
        return {name: axis_text(values) for name, values in zip(AXES, self.values, strict=True)}

    @shown.never_raises
    def __repr__(self) -> str:
        """Return the axes in the command line's syntax, in a line or two."""
        return shown.lines(
            f"Grid of {self._size()}", [", ".join(f"{name} {said}" for name, said in self._axes())]
        )

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the axes in Jupyter."""
        return shown.html(f"Grid of {self._size()}", shown.pairs(self._axes()))

    def _axes(self) -> list[tuple[str, str]]:
        """Return the axes by their letters, as short text."""
        axes = {"U": self.unshrinkable_pages, "M": self.shrink_block_min_pages, "B": self.batch}
        return [
            (name, ALL if values is None else printable(axis_text(values), 70))
            for name, values in axes.items()
        ]

    def _size(self) -> str:
        return "points that the traces decide" if None in (self.unshrinkable_pages, self.batch) else str(self)

    def __str__(self) -> str:
        sizes = " x ".join(str(size) for size in (self.shape[0], self.shape[2], self.shape[1]))
        return f"{sizes} (U x M x B) = {len(self):,} points"


class MachineAxes(NamedTuple):
    """The values of a grid's axes on one machine; never descending, and equal where a limit cuts them off."""

    unshrinkable_pages: NDArray[np.int64]
    batch: NDArray[np.int64]
    shrink_block_min_pages: NDArray[np.int64]


def parse_axis(name: str, given: AxisLike) -> tuple[int, ...] | None:
    """Return the values of an axis, ascending, each once; None for `all`."""
    if isinstance(given, str):
        if given.strip() == ALL:
            return None
        ranges = list(_ranges(name, given))
    else:
        values = [given] if isinstance(given, int) else list(given)
        if any(isinstance(value, bool) or int(value) != value for value in values):
            raise ThresholdError(f"{option(name)}: not whole numbers of pages", SYNTAX)
        ranges = [range(int(value), int(value) + 1) for value in values]
    low, high = LIMITS[name]
    if not ranges:
        raise ThresholdError(f"{option(name)}: there is no value", SYNTAX)
    for part in ranges:
        for end in (part[0], part[-1]):
            if not low <= end <= high:
                raise ThresholdError(
                    f"{option(name)}: {end} is out of range",
                    f"it ranges from {low} to {high} pages, as for 4 KiB pages",
                )
    if sum(map(len, ranges)) > MAX_LINES:
        raise ThresholdError(f"{option(name)}: more than {MAX_LINES:,} values", "take larger steps")
    return tuple(sorted(set().union(*ranges)))


def _ranges(name: str, text: str) -> Iterator[range]:
    """Yield the ranges of an axis in text."""
    for item in text.split(","):
        match = _ITEM.fullmatch(item.strip())
        if match is None:
            raise ThresholdError(f"{option(name)} {text[:60]!r}: {item.strip()[:30]!r} is no range", SYNTAX)
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        step = 1 if match[3] is None else int(match[3])
        if step == 0:
            raise ThresholdError(f"{option(name)} {text[:60]!r}: a step of 0 goes nowhere", SYNTAX)
        if last < first:
            raise ThresholdError(f"{option(name)} {text[:60]!r}: {item.strip()} goes down", SYNTAX)
        yield range(first, last + 1, step)


def axis_text(values: tuple[int, ...]) -> str:
    """Return values as short text that `parse_axis` reads back: `0:32:4,40,48`."""
    parts, start = [], 0
    while start < len(values):
        end = start + 1
        step = values[end] - values[start] if end < len(values) else 1
        while end < len(values) and values[end] - values[end - 1] == step:
            end += 1
        if end - start < 3:
            parts.append(str(values[start]))
            start += 1
            continue
        parts.append(f"{values[start]}:{values[end - 1]}" + ("" if step == 1 else f":{step}"))
        start = end
    return ",".join(parts)
