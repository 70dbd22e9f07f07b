from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pba.study.definition import THRESHOLD_NAMES, Range, StudyDefinition
from pba.study.flatness import TOLERANCE, around, run_around, within
from pba.study.space import Point

CENTER = Point(100, 64, 500)


def flat_range(flatness: pd.DataFrame, threshold: str, center: int) -> tuple[int, int]:
    """Return the least and the greatest value of the flat part around the recommended one."""
    line = flatness[flatness["threshold"] == threshold].reset_index(drop=True)
    aims = list(zip(line["pmd_splits"], line["mean_cached_pages"], strict=True))
    at = line["value"].tolist().index(center)
    low, high = run_around(at, [within(item, aims[at], TOLERANCE) for item in aims])
    return line["value"][low], line["value"][high]


def measure(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Splits fall off beyond U = 200, and cache above B = 1000; M does nothing."""
    assert len(set(points)) == len(points)
    return [(100.0 if u <= 200 else 50.0, 3.0 if b < 1000 else 6.0) for u, _, b in points]


def test_it_finds_the_edges_between_the_steps() -> None:
    frame = around(StudyDefinition("x"), CENTER, measure)
    assert list(frame.columns) == ["threshold", "value", "pmd_splits", "mean_cached_pages"]
    low, high = flat_range(frame, "unshrinkable_pages", 100)
    assert low == 4
    assert 200 / 1.1 < high <= 200
    low, high = flat_range(frame, "batch", 500)
    assert low == 8
    assert 1000 / 1.1 < high < 1000
    assert flat_range(frame, "shrink_block_min_pages", 64) == (1, 512)


def test_every_row_is_an_exact_replay_with_the_others_held() -> None:
    frame = around(StudyDefinition("x"), CENTER, measure)
    for name in THRESHOLD_NAMES:
        line = frame[frame["threshold"] == name]
        assert line["value"].is_monotonic_increasing
        assert line["value"].is_unique
        assert getattr(CENTER, name) in set(line["value"])
        for row in line.itertuples():
            point = CENTER._replace(**{name: int(row.value)})
            assert measure([point]) == [(row.pmd_splits, row.mean_cached_pages)]


def test_a_range_of_one_value_and_a_center_outside() -> None:
    space = {name: Range(7, 7, True) for name in THRESHOLD_NAMES}
    frame = around(StudyDefinition("x", space=space), CENTER, measure)
    assert sorted(frame[frame["threshold"] == "batch"]["value"])[0] == 7
    assert flat_range(frame, "batch", 500) == (7, 500)


def test_the_run_is_broken_by_one_value_outside() -> None:
    rows = [("batch", value, splits, 1.0) for value, splits in ((1, 10), (2, 20), (3, 10), (4, 10), (5, 11))]
    frame = pd.DataFrame(rows, columns=["threshold", "value", "pmd_splits", "mean_cached_pages"])
    assert flat_range(frame, "batch", 3) == (3, 4)


def test_within_is_a_share_of_the_center() -> None:
    assert within((105, 1.0), (100, 1.0), TOLERANCE)
    assert within((95, 0.95), (100, 1.0), TOLERANCE)
    assert not within((106, 1.0), (100, 1.0), TOLERANCE)
    assert not within((1, 1.0), (0, 1.0), TOLERANCE)
    assert within((0, 0.0), (0, 0.0), TOLERANCE)
