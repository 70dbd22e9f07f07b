"""The grid of a sweep: its syntax, its limits, and what it means on larger pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pba.errors import ThresholdError
from pba.machine import Machine
from pba.study.space import PATCH_POINT, Point
from pba.study.sweep.grid import LIMITS, MAX_LINES, Grid, axis_text, parse_axis

VALUES = st.sets(st.integers(0, 3000), min_size=1, max_size=60)


@given(VALUES)
def test_text_of_an_axis_reads_back_as_the_axis(values: set[int]) -> None:
    ascending = tuple(sorted(values))
    assert parse_axis("unshrinkable", axis_text(ascending)) == ascending
    assert parse_axis("unshrinkable", list(values)) == ascending


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 50), st.integers(0, 900))
def test_a_range_is_what_it_says_and_a_mixture_is_the_union(
    low: int, width: int, step: int, extra: int
) -> None:
    high = low + width
    stepped = parse_axis("unshrinkable", f"{low}:{high}:{step}")
    assert stepped is not None
    assert set(stepped) == {value for value in range(low, high + 1) if (value - low) % step == 0}
    whole = parse_axis("unshrinkable", f"{low}:{high}")
    assert whole == tuple(range(low, high + 1))
    mixed = parse_axis("unshrinkable", f" {extra} , {low}:{high}:{step},{extra}")
    assert mixed == tuple(sorted({extra, *stepped}))


@given(st.integers(1, 3), st.integers(1, 300), st.integers(2, 40))
def test_an_arithmetic_axis_is_one_item_of_text(start: int, step: int, count: int) -> None:
    values = tuple(range(start, start + step * (count + 1), step))
    assert axis_text(values).count(",") == 0


def test_the_default_is_64_by_512_by_16_and_has_the_patch() -> None:
    grid = Grid()
    assert grid.shape == (64, 16, 512)
    assert len(grid) == 64 * 16 * 512
    cell = grid.cell_of(PATCH_POINT)
    assert cell is not None
    assert grid.point_at(cell) == PATCH_POINT
    assert Grid(**grid.to_dict()) == grid
    assert "524,288" in str(grid)


@pytest.mark.parametrize(
    ("axis", "text", "told"),
    [
        ("unshrinkable", "", "is no range"),
        ("unshrinkable", "1,,2", "is no range"),
        ("unshrinkable", "1-5", "is no range"),
        ("unshrinkable", "-1", "is no range"),
        ("unshrinkable", "1:2:3:4", "is no range"),
        ("unshrinkable", "all,1", "is no range"),
        ("unshrinkable", "\u0661", "is no range"),
        ("unshrinkable", "1.5", "is no range"),
        ("batch", "9:3", "goes down"),
        ("batch", "1:9:0", "step of 0"),
        ("batch", "0", "batch: 0 is out of range"),
        ("batch", "8:67108865:67108857", "67108865 is out of range"),
        ("min_pages", "0:512", "min_pages: 0 is out of range"),
        ("min_pages", "513", "ranges from 1 to 512"),
        ("unshrinkable", f"0:{LIMITS['unshrinkable'][1]}", "more than"),
    ],
)
def test_a_bad_axis_ends_in_one_line_that_says_what_to_do(axis: str, text: str, told: str) -> None:
    with pytest.raises(ThresholdError, match=told) as caught:
        Grid(**{axis: text})
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_values_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(ThresholdError, match="whole numbers"):
        Grid(unshrinkable=[1, 2.5])  # type: ignore[list-item]
    with pytest.raises(ThresholdError, match="no value"):
        Grid(batch=[])
    assert Grid(batch=7).batch == (7,)


def test_a_grid_that_is_too_large_is_refused() -> None:
    with pytest.raises(ThresholdError, match=rf"at most {MAX_LINES:,}"):
        Grid("0:4095", "1", "1:257")


def test_all_is_every_value_that_can_matter() -> None:
    grid = Grid("all", "all", "all")
    with pytest.raises(ThresholdError, match="still says all"):
        len(grid)
    found = grid.resolved(lambda: 30)
    assert found.unshrinkable == tuple(range(31))
    assert found.min_pages == tuple(range(1, 513))
    assert found.batch == tuple(range(1, 61))
    mixed = Grid("5,6", "64", "all").resolved(lambda: 2)
    assert (mixed.unshrinkable, mixed.batch) == ((5, 6), (1, 2, 3, 4))


def test_what_says_no_all_is_not_asked_how_much_is_cached() -> None:
    grid = Grid("1", "1", "1")

    def never() -> int:
        raise AssertionError

    assert grid.resolved(never) is grid


def test_on_larger_pages_the_axes_are_what_a_study_makes_of_each_point() -> None:
    machine = Machine(64, 8192)
    grid = Grid("0,16,8192,20000", "1,64,512", "8,512,1024")
    axes = grid.on(machine)
    for at_u, u in enumerate((0, 16, 8192, 20000)):
        for at_m, m in enumerate((1, 64, 512)):
            for at_b, b in enumerate((8, 512, 1024)):
                meant = Point(u, m, b).on(machine)
                assert axes.unshrinkable[at_u] == meant.unshrinkable_pages
                assert axes.min_pages[at_m] == meant.shrink_block_min_pages
                assert axes.batch[at_b] == meant.batch
    assert axes.unshrinkable.tolist() == [0, 16, 8192, 8192]


def test_a_point_off_the_grid_has_no_cell() -> None:
    grid = Grid("0:32:8", "1:9", "8,64")
    assert grid.cell_of(Point(16, 3, 64)) == (2, 1, 2)
    for point in (Point(15, 3, 64), Point(16, 10, 64), Point(16, 3, 65), Point(99, 3, 64)):
        assert grid.cell_of(point) is None
