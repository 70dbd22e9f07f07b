from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pba.study.objective import on_front
from pba.study.recommend import CLOSE, distance_in_factors, recommend

PATCH = (16, 64, 512)

AIMS = st.tuples(st.integers(0, 12), st.integers(0, 40).map(lambda value: value / 8))
POINTS = st.tuples(st.integers(0, 64), st.integers(1, 512), st.integers(1, 1024))
TABLES = st.lists(st.tuples(POINTS, AIMS), min_size=1, max_size=40)


def table(rows: list[tuple[tuple[int, int, int], tuple[float, float]]]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [(*point, *aims) for point, aims in rows],
        columns=["unshrinkable_pages", "shrink_block_min_pages", "batch", "pmd_splits", "mean_cached_pages"],
    )
    frame.index.name = "number"
    frame["on_front"] = on_front(frame["pmd_splits"].to_numpy(), frame["mean_cached_pages"].to_numpy())
    return frame


@given(TABLES)
def test_the_front_is_what_nothing_beats(
    rows: list[tuple[tuple[int, int, int], tuple[float, float]]],
) -> None:
    frame = table(rows)
    aims = [aims for _, aims in rows]
    beaten = [any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in aims) for a in aims]
    assert frame["on_front"].tolist() == [not flag for flag in beaten]


@given(TABLES)
def test_it_is_no_worse_than_the_patch_and_nothing_beats_it(
    rows: list[tuple[tuple[int, int, int], tuple[float, float]]],
) -> None:
    rows = [(PATCH, rows[0][1]), *rows]
    frame = table(rows)
    chosen = recommend(frame, 0)
    splits, cached = rows[chosen][1]
    assert splits <= rows[0][1][0]
    assert cached <= rows[0][1][1]
    assert frame.loc[chosen, "on_front"]
    able = [a * b for _, (a, b) in rows if a <= rows[0][1][0] and b <= rows[0][1][1]]
    assert splits * cached <= min(able) * (1 + CLOSE)


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_other_points_does_not_change_what_is_chosen(
    rows: list[tuple[tuple[int, int, int], tuple[float, float]]], random: object
) -> None:
    first = [(PATCH, rows[0][1]), *dict(rows).items()]
    other = first[1:]
    random.shuffle(other)  # type: ignore[attr-defined]
    again = [first[0], *other]
    one, two = first[recommend(table(first), 0)], again[recommend(table(again), 0)]
    assert one[1] == two[1]
    frames = table([(PATCH, (0, 0)), (one[0], (0, 0)), (two[0], (0, 0))])
    distances = distance_in_factors(frames, 0)
    assert abs(distances[1] - distances[2]) < 1e-12


def test_of_equals_the_nearest_to_the_patch_is_taken() -> None:
    frame = table(
        [(PATCH, (10, 2.0)), ((4096, 1, 8), (5, 1.0)), ((20, 64, 512), (5, 1.0)), ((16, 64, 8), (5, 1.0))]
    )
    assert recommend(frame, 0) == 2


def test_a_point_within_a_percent_may_be_nearer() -> None:
    frame = table([(PATCH, (10, 4.0)), ((4096, 1, 8), (5, 1.0)), ((20, 64, 512), (2, 2.51))])
    assert recommend(frame, 0) == 2
    frame = table([(PATCH, (10, 4.0)), ((4096, 1, 8), (5, 1.0)), ((20, 64, 512), (2, 2.6))])
    assert recommend(frame, 0) == 1


def test_the_patch_stays_where_every_gain_has_a_price() -> None:
    frame = table([(PATCH, (10, 2.0)), ((8, 64, 512), (1, 2.1)), ((9, 64, 512), (11, 0.1))])
    assert recommend(frame, 0) == 0


def test_without_any_splits_less_cache_is_better() -> None:
    frame = table([(PATCH, (0, 2.0)), ((8, 64, 512), (0, 1.5)), ((9, 64, 512), (1, 0.1))])
    assert recommend(frame, 0) == 1
