from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pba.machine import Machine, Thresholds
from pba.study.definition import DEFAULT_SPACE, THRESHOLD_NAMES, Range, StudyDefinition
from pba.study.space import (
    ALTERNATIVES,
    PATCH_POINT,
    Point,
    all_points,
    distinct_points,
    first_points,
    value_at,
)


def test_the_patch_is_its_own_values_on_every_page_size() -> None:
    assert PATCH_POINT == (16, 64, 512)
    for page_size_kib in (4, 16, 64):
        machine = Machine(page_size_kib)
        assert PATCH_POINT.on(machine) == Thresholds.patch(machine)


def test_m_and_b_grow_with_the_block_and_u_does_not() -> None:
    assert Point(20, 3, 100).on(Machine(16)) == Thresholds(20, 12, 400)
    assert Point(20, 3, 100).on(Machine(64)) == Thresholds(20, 48, 1600)


@given(st.integers(0, 1 << 26), st.integers(1, 512), st.integers(1, 1 << 26))
def test_every_point_fits_the_smallest_machine(u: int, m: int, b: int) -> None:
    for page_size_kib, chunk in ((4, 1024), (16, 2048), (64, 8192)):
        machine = Machine(page_size_kib, chunk)
        Point(u, m, b).on(machine).check(machine)


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.booleans(), st.floats(0, 1))
def test_values_stay_in_their_range(low: int, width: int, log: bool, share: float) -> None:
    values = Range(low, low + width, log)
    assert value_at(values, share) in values
    assert value_at(values, 0.0) == low
    assert value_at(values, 1.0) == low + width


def test_the_first_points_are_plain_alternatives_the_corners_and_then_an_even_spread() -> None:
    study = StudyDefinition("x")
    points = list(itertools.islice(first_points(study), 412))
    assert points[:4] == [one.point for one in ALTERNATIVES]
    ranges = [DEFAULT_SPACE[name] for name in THRESHOLD_NAMES]
    assert set(points[4:12]) == set(itertools.product(*((r.low, r.high) for r in ranges)))
    for place, values in enumerate(ranges):
        middle = (values.low * values.high) ** 0.5 if values.log else (values.low + values.high) / 2
        below = sum(point[place] < middle for point in points[12:])
        assert 180 <= below <= 220
    assert points[12:] != list(itertools.islice(first_points(study.with_(seed=2)), 412))[12:]


def test_a_small_space_has_as_many_points_as_it_has() -> None:
    space = {name: Range(16, 18, False) for name in THRESHOLD_NAMES}
    study = StudyDefinition("x", space=space, points=500)
    assert len(set(all_points(study))) == study.space_size == 27
    # The plain alternatives lie outside, and are tried all the same.
    assert distinct_points(study) == 31
    assert distinct_points(study.with_(points=5)) == 5
