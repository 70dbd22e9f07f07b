"""What came out of a sweep on one trace and machine: boxes of points that behave alike.

A *behaviour* is what a replay returns: every counter and the cache's hash. A *box* is a range of each
threshold (indices on the grid's axes, both ends included) whose points all have one behaviour. The boxes of a
trace share no point and leave none out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.kernel.state import AREA_BITS
from pba.results import CACHED_PAGE_NS_PARTS, COUNTER_COLUMNS
from pba.study.sweep.grid import Grid, MachineAxes

if TYPE_CHECKING:
    from pba.engine.grid import Behaviours

Ints = NDArray[np.int64]

HIGH, LOW = CACHED_PAGE_NS_PARTS
_MIX: Final = 0x9E3779B97F4A7C15


class Boxes(NamedTuple):
    """The boxes of one trace and machine.

    Attributes
    ----------
    first, last : ndarray of int64, shape (boxes, 3)
        Indices on the grid's axes (`grid.AXES`), both included.
    behaviour : ndarray of int64, shape (boxes,)
        Row of `counters` and `cache_hash`.
    counters : ndarray of int64, shape (behaviours, counters)
        The engine's columns.
    cache_hash : ndarray of uint64, shape (behaviours,)
        Hash of the allocator's list at the end.
    """

    first: Ints
    last: Ints
    behaviour: Ints
    counters: Ints
    cache_hash: NDArray[np.uint64]

    @property
    def points(self) -> Ints:
        """How many points of the grid each box holds."""
        return np.asarray(np.prod(self.last - self.first + 1, axis=1), np.int64)

    def dense(self, start: int, end: int, shape: Sequence[int]) -> Ints:
        """Return the behaviour of every point whose index of U is in [start, end), in the axes' order."""
        inside = (self.first[:, 0] < end) & (self.last[:, 0] >= start)
        low = np.maximum(self.first[inside, 0], start)
        high = np.minimum(self.last[inside, 0], end - 1)
        first_b, last_b = self.first[inside, 1], self.last[inside, 1]
        # Each box becomes its lines along M, one for each of its pairs of U and B.
        width = last_b - first_b + 1
        pairs = (high - low + 1) * width
        box = np.repeat(np.arange(len(pairs)), pairs)
        number = np.arange(len(box)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
        line = (low[box] - start + number // width[box]) * shape[1] + first_b[box] + number % width[box]
        begin = self.first[inside, 2][box]
        order = np.argsort(line * shape[2] + begin)
        lengths = (self.last[inside, 2][box] - begin + 1)[order]
        return np.repeat(self.behaviour[inside][box][order], lengths)

    def at(self, cell: tuple[int, int, int]) -> int:
        """Return the behaviour of one point."""
        inside = ((self.first <= cell) & (self.last >= cell)).all(axis=1)
        return int(self.behaviour[np.flatnonzero(inside)[0]])

    def along(self, cell: tuple[int, int, int], axis: int, length: int) -> Ints:
        """Return the behaviours of the points on a line through one point along an axis of so many values."""
        others = [other for other in range(3) if other != axis]
        wanted = np.array(cell)[others]
        inside = ((self.first[:, others] <= wanted) & (self.last[:, others] >= wanted)).all(axis=1)
        found = np.empty(length, np.int64)
        for first, last, behaviour in zip(
            self.first[inside, axis].tolist(), self.last[inside, axis].tolist(), self.behaviour[inside].tolist(),
            strict=True,
        ):  # fmt: skip
            found[first : last + 1] = behaviour
        return found


def boxes_of(rows: Behaviours, grid: Grid, axes: MachineAxes) -> Boxes | None:
    """Merge the rows of a trace's parts into boxes; None if they do not hold each point exactly once.

    Parameters
    ----------
    rows : Behaviours
        By ascending U.
    grid : Grid
        Its points are kept, others dropped.
    axes : MachineAxes
        The grid's axes on the machine of these rows.
    """
    first, last = _on_grid(rows, axes)
    kept = (last >= first).all(axis=1)
    first, last = first[kept], last[kept]
    if not _are_whole(first, last, grid.shape):
        return None
    behaviour, shown = distinct_rows(rows.counters[kept], rows.cache_hash[kept])
    for axis in (2, 0, 1):
        first, last, behaviour = merge_along(axis, first, last, behaviour)
    order = np.lexsort((first[:, 2], first[:, 1], first[:, 0]))
    first, last, behaviour = first[order], last[order], behaviour[order]
    # Number the behaviours as they first appear, so that they do not depend on how the rows were sorted.
    _, where, inverse = np.unique(behaviour, return_index=True, return_inverse=True)
    rank = np.empty(len(where), np.int64)
    rank[np.argsort(where)] = np.arange(len(where))
    shown = shown[behaviour[np.sort(where)]]
    counters, cache_hash = rows.counters[kept], rows.cache_hash[kept]
    return Boxes(first, last, rank[inverse], counters[shown], cache_hash[shown])


def _on_grid(rows: Behaviours, axes: MachineAxes) -> tuple[Ints, Ints]:
    """Return each row's first and last indices on the grid; last < first where no point of it is inside."""
    columns = (
        (axes.unshrinkable_pages, rows.unshrinkable_pages, rows.unshrinkable_pages),
        (axes.batch, rows.batch, rows.batch),
        (axes.shrink_block_min_pages, rows.shrink_block_min_pages_from, rows.shrink_block_min_pages_to),
    )
    first = [np.searchsorted(values, low, "left") for values, low, _ in columns]
    last = [np.searchsorted(values, high, "right") - 1 for values, _, high in columns]
    return np.stack(first, axis=1).astype(np.int64), np.stack(last, axis=1).astype(np.int64)


def distinct_rows(counters: Ints, cache_hash: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Return a number for each row, equal where rows are equal, and for each number a row that has it."""
    table = np.column_stack([counters.view(np.uint64), cache_hash])
    with np.errstate(over="ignore"):
        weights = np.uint64(_MIX) * (2 * np.arange(table.shape[1], dtype=np.uint64) + np.uint64(1))
        keys = table @ (weights * weights ^ (weights >> np.uint64(29)) | np.uint64(1))
    order = np.argsort(keys, kind="stable")
    same_key = keys[order][1:] == keys[order][:-1]
    same_row = (table[order][1:] == table[order][:-1]).all(axis=1)
    if not np.array_equal(same_key, same_row):  # two different rows with one key: sort by all columns
        order = np.lexsort(table.T)
        same_row = (table[order][1:] == table[order][:-1]).all(axis=1)
    starts = np.concatenate([np.ones(min(1, len(order)), bool), ~same_row])
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(starts) - 1
    return number, order[starts]


def merge_along(axis: int, first: Ints, last: Ints, label: Ints) -> tuple[Ints, Ints, Ints]:
    """Merge boxes of one label that touch along an axis and have the same ranges on the other two."""
    others = [at for at in range(3) if at != axis]
    keys = [first[:, axis], label, *(end[:, at] for at in others for end in (last, first))]
    order = np.lexsort(keys)
    first, last, label = first[order], last[order], label[order]
    same = (label[1:] == label[:-1]) & (first[1:, axis] == last[:-1, axis] + 1)
    for at in others:
        same &= (first[1:, at] == first[:-1, at]) & (last[1:, at] == last[:-1, at])
    starts = np.concatenate([np.ones(min(1, len(label)), bool), ~same])
    ends = np.concatenate([~same, np.ones(min(1, len(label)), bool)])
    merged = last[starts].copy()
    merged[:, axis] = last[ends, axis]
    return first[starts], merged, label[starts]


def _are_whole(first: Ints, last: Ints, shape: tuple[int, int, int]) -> bool:
    """Whether lines along M, one for each pair of U and B on the machine, hold each point exactly once."""
    order = np.lexsort((first[:, 2], first[:, 1], first[:, 0]))
    first, last = first[order], last[order]
    same_line = (first[1:, :2] == first[:-1, :2]).all(axis=1)
    starts = np.concatenate([np.ones(min(1, len(first)), bool), ~same_line])
    ends = np.concatenate([~same_line, np.ones(min(1, len(first)), bool)])
    lines = np.prod(last[starts, :2] - first[starts, :2] + 1, axis=1).sum()
    return bool(
        lines == shape[0] * shape[1]
        and (first[starts, 2] == 0).all()
        and (last[ends, 2] == shape[2] - 1).all()
        and (first[1:, 2][same_line] == last[:-1, 2][same_line] + 1).all()
    )


def page_ns_of(boxes: Boxes) -> list[int]:
    """Return the time integral of the cached pages of each behaviour, in page-ns."""
    high = boxes.counters[:, COUNTER_COLUMNS.index(HIGH)].tolist()
    low = boxes.counters[:, COUNTER_COLUMNS.index(LOW)].tolist()
    return [(above << AREA_BITS) + below for above, below in zip(high, low, strict=True)]
