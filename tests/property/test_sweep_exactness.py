"""Merging loses nothing, and the front is the front: held against the plain definitions on random input."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pba.engine.grid import Behaviours
from pba.results import COUNTER_COLUMNS
from pba.study.sweep import front as fronts
from pba.study.sweep.boxes import Boxes, Ints, boxes_of, distinct_rows
from pba.study.sweep.front import Aims, Landscape, TraceAims, beats, count_dominating, front_of, points_with
from pba.study.sweep.grid import Grid, MachineAxes
from pba.study.sweep.parts import joined
from pba.study.sweep.plateau import largest_box_around, largest_plateaus, plateau_around

GRIDS = st.builds(
    Grid,
    st.sets(st.integers(0, 9), min_size=1, max_size=5),
    st.sets(st.integers(1, 14), min_size=1, max_size=9),
    st.sets(st.integers(1, 9), min_size=1, max_size=4),
)


def cells(shape: tuple[int, int, int]) -> itertools.product[tuple[int, ...]]:
    return itertools.product(*(range(size) for size in shape))


def rows_from(axes: MachineAxes, kinds: Ints, chunk: int) -> list[Behaviours]:
    """Return what an engine would of a trace that behaves as `kinds[u % 10, b % 10, m % 60]` says."""
    unshrinkable_pages, batch = np.unique(axes.unshrinkable_pages), np.unique(axes.batch)
    low, high = int(axes.shrink_block_min_pages[0]), int(axes.shrink_block_min_pages[-1])
    parts = []
    for start in range(0, len(unshrinkable_pages), chunk):
        keys: list[list[int]] = []
        values: list[int] = []
        for u in unshrinkable_pages[start : start + chunk].tolist():
            for b in batch.tolist():
                for m in range(low, high + 1):
                    kind = int(kinds[u % 10, b % 10, m % 60])
                    if m > low and values[-1] == kind and (u + m) % 5:  # now and then cut for no reason
                        keys[-1][3] = m
                    else:
                        keys.append([u, b, m, m])
                        values.append(kind)
        columns = np.array(keys, np.int64).T
        counters = np.array([[kind // 3, *range(1, len(COUNTER_COLUMNS))] for kind in values], np.int64)
        hashes = np.array([kind % 3 for kind in values], np.uint64)
        parts.append(Behaviours(columns[0], columns[1], columns[2], columns[3], counters, hashes))
    return parts


@given(GRIDS, st.integers(1, 4), st.integers(1, 9), st.integers(0, 1 << 30), st.sampled_from([1, 4]))
@settings(deadline=None)
def test_boxes_expand_to_what_they_were_made_of(
    grid: Grid, kinds: int, chunk: int, seed: int, factor: int
) -> None:
    random = np.random.default_rng(seed)
    table = random.integers(0, kinds, (10, 10, 60)) if seed % 2 else random.integers(0, kinds, (10, 1, 60))
    table = np.broadcast_to(table, (10, 10, 60))
    values = [np.array(axis) for axis in grid.values]
    # As on a machine with larger pages, and with a limit that cuts the last values off.
    axes = MachineAxes(values[0].clip(max=6), (values[1] * factor).clip(max=7 * factor), values[2] * factor)
    parts = rows_from(axes, table, chunk)
    boxes = boxes_of(joined(parts), grid, axes)
    assert boxes is not None
    assert int(boxes.points.sum()) == len(grid)
    dense = boxes.dense(0, grid.shape[0], grid.shape).reshape(grid.shape)
    for cell in cells(grid.shape):
        u, b, m = (int(axis[at]) for axis, at in zip(axes, cell, strict=True))
        kind = int(table[u % 10, b % 10, m % 60])
        row = int(dense[cell])
        assert (boxes.counters[row, 0], boxes.cache_hash[row]) == (kind // 3, kind % 3)
        assert boxes.at(cell) == row  # type: ignore[arg-type]
    for start in range(grid.shape[0]):
        part = boxes.dense(start, start + 1, grid.shape)
        assert np.array_equal(part, dense[start].reshape(-1))
    again = boxes_of(joined(rows_from(axes, table, 1)), grid, axes)
    assert again is not None
    assert all(np.array_equal(one, other) for one, other in zip(boxes, again, strict=True))


@pytest.mark.parametrize("fault", ["lost", "twice", "a whole chunk"])
def test_rows_that_are_not_each_point_once_are_no_boxes(fault: str) -> None:
    grid = Grid("0:3", "1:8", "1,2")
    axes = MachineAxes(*(np.array(axis) for axis in grid.values))
    parts = rows_from(axes, np.random.default_rng(1).integers(0, 3, (10, 10, 60)), 2)
    assert boxes_of(joined(parts), grid, axes) is not None
    rows = len(parts[0].batch)
    if fault == "a whole chunk":
        parts = parts[1:]
    else:
        kept = np.arange(rows) if fault == "twice" else np.arange(rows - 1)
        kept = np.append(kept, kept[3]) if fault == "twice" else kept
        columns: list[Any] = [column[kept] for column in parts[0]]
        parts[0] = Behaviours(*columns)
    assert boxes_of(joined(parts), grid, axes) is None


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_rows_are_numbered_alike_where_they_are_equal(rows: list[tuple[int, int]]) -> None:
    counters = np.array([[first, 7, first * first] for first, _ in rows], np.int64)
    hashes = np.array([second for _, second in rows], np.uint64)
    number, shown = distinct_rows(counters, hashes)
    assert len(set(rows)) == len(shown) == number.max() + 1
    for at, row in enumerate(rows):
        assert rows[shown[number[at]]] == row


SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))


@st.composite
def landscapes(draw: st.DrawFn) -> Landscape:
    """Return a landscape full of ties, and of means that floats cannot tell apart."""
    shape = draw(SHAPES)
    size = shape[0] * shape[1] * shape[2]
    base = draw(st.sampled_from([0, 5, 1 << 60, 10**30]))
    traces = []
    for _ in range(draw(st.integers(1, 3))):
        kinds = draw(st.integers(1, 5))
        numbers = draw(st.lists(st.integers(0, kinds - 1), min_size=size, max_size=size))
        splits = np.array(draw(st.lists(st.integers(0, 3), min_size=kinds, max_size=kinds)))
        cached = [base + part for part in draw(st.lists(st.integers(0, 3), min_size=kinds, max_size=kinds))]
        corners = np.array(list(cells(shape)), np.int64)
        counters = np.zeros((kinds, len(COUNTER_COLUMNS)), np.int64)
        boxes = Boxes(corners, corners, np.array(numbers, np.int64), counters, np.zeros(kinds, np.uint64))
        traces.append(TraceAims(boxes, splits, cached, draw(st.sampled_from([1, 3, 7, 10**9 + 7]))))
    return Landscape(traces, shape)


def all_aims(landscape: Landscape) -> list[Aims]:
    """Work out the aims of each point from their definition."""
    found = []
    for at in range(int(np.prod(landscape.shape))):
        rows = [int(trace.boxes.behaviour[at]) for trace in landscape.traces]
        pairs = list(zip(landscape.traces, rows, strict=True))
        splits = sum(int(trace.pmd_splits[row]) for trace, row in pairs)
        total = sum((Fraction(trace.cached[row], trace.duration_ns) for trace, row in pairs), Fraction())
        found.append(Aims(splits, total / len(pairs)))
    return found


@given(landscapes(), st.sampled_from([1, 4, 1 << 20]))
@settings(deadline=None)
def test_the_front_is_what_no_point_beats(landscape: Landscape, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fronts, "BLOCK_CELLS", block)
        steps = front_of(landscape)
    aims = all_aims(landscape)
    unbeaten = {at for at, one in enumerate(aims) if not any(beats(other, one) for other in aims)}
    assert {int(at) for step in steps for at in step.points} == unbeaten
    for step in steps:
        assert all(aims[at] == step.aims for at in step.points)
    assert [step.aims for step in steps] == sorted({aims[at] for at in unbeaten})


@given(landscapes(), st.data())
@settings(deadline=None)
def test_a_points_place_and_its_plateau_are_counted_exactly(
    landscape: Landscape, data: st.DataObject
) -> None:
    aims = all_aims(landscape)
    at = data.draw(st.integers(0, len(aims) - 1))
    cell = tuple(int(index) for index in np.unravel_index(at, landscape.shape))
    assert landscape.aims_at(cell) == aims[at]  # type: ignore[arg-type]
    assert count_dominating(landscape, aims[at]) == sum(beats(other, aims[at]) for other in aims)
    mask = points_with(landscape, aims[at])
    assert mask.reshape(-1).tolist() == [other == aims[at] for other in aims]
    found = plateau_around(landscape, cell)  # type: ignore[arg-type]
    assert found.points == aims.count(aims[at])
    assert found.box_points == best_box(mask, cell)


@given(landscapes())
@settings(deadline=None)
def test_the_largest_plateaus_are_the_sets_with_most_points(landscape: Landscape) -> None:
    aims = all_aims(landscape)
    found = largest_plateaus(landscape, 2)
    sizes = sorted((aims.count(one) for one in set(aims)), reverse=True)
    # Means that floats cannot tell apart are ranked together, and counted apart.
    assert all(plateau.points == aims.count(plateau.aims) for plateau in found)
    if len({one.floats for one in aims}) == len(set(aims)):
        assert [plateau.points for plateau in found] == sizes[:2]
    for plateau in found:
        box = itertools.product(*map(range, plateau.first, [end + 1 for end in plateau.last]))
        numbers = [int(np.ravel_multi_index(cell, landscape.shape)) for cell in box]
        assert numbers and all(aims[number] == plateau.aims for number in numbers)


def best_box(mask: np.ndarray, cell: tuple[int, ...]) -> int:
    """Return the size of the largest true box around a cell, by trying them all."""
    ranges = [
        [(low, high) for low in range(at + 1) for high in range(at, size)]
        for at, size in zip(cell, mask.shape, strict=True)
    ]
    best = 0
    for (u0, u1), (b0, b1), (m0, m1) in itertools.product(*ranges):
        box = mask[u0 : u1 + 1, b0 : b1 + 1, m0 : m1 + 1]
        if box.all():
            best = max(best, box.size)
    return best


@given(SHAPES, st.integers(0, 1 << 30), st.floats(0.5, 1))
@settings(deadline=None)
def test_the_largest_box_around_a_point_is_the_largest(
    shape: tuple[int, int, int], seed: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(shape) < share
    cell = tuple(int(random.integers(size)) for size in shape)
    mask[cell] = True
    first, last = largest_box_around(mask, cell)  # type: ignore[arg-type]
    box = mask[first[0] : last[0] + 1, first[1] : last[1] + 1, first[2] : last[2] + 1]
    assert box.all()
    assert box.size == best_box(mask, cell)
    assert all(low <= at <= high for low, at, high in zip(first, cell, last, strict=True))
