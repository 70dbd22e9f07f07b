from __future__ import annotations

import itertools
import warnings
from math import log2

import pytest

from pba.study.definition import SAMPLERS, THRESHOLD_NAMES, Range, StudyDefinition
from pba.study.search import FIRST_GENERATION, GENERATION, Tried, boundaries, propose
from pba.study.space import ALTERNATIVES, PATCH_POINT, Point, distinct_points


def invented(point: Point) -> tuple[float, float]:
    """Stand in for a replay: two aims with their best points at different places."""
    u, m, b = (log2(value) for value in point)
    return 1 + abs(u - 7) + abs(m - 5), 1 + abs(u - 8) + abs(b - 9)


def search(study: StudyDefinition) -> list[Tried]:
    past: list[Tried] = []
    for generation, (start, end) in enumerate(boundaries(distinct_points(study))):
        proposals = propose(study, past, generation, end - start)
        assert len(proposals) == end - start
        past += [Tried(found.point, invented(found.point), found.notes) for found in proposals]
    return past


def test_boundaries_cover_everything_once() -> None:
    for total in (1, 5, FIRST_GENERATION, FIRST_GENERATION + 1, 100, 320):
        pieces = list(boundaries(total))
        assert pieces[0][0] == 0
        assert pieces[-1][1] == total
        assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
        assert all(end - start <= GENERATION for start, end in pieces[1:])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_study_tries_the_same_distinct_points(sampler: str) -> None:
    study = StudyDefinition("x", points=80, sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tried = search(study)
    points = [item.point for item in tried]
    assert points == [item.point for item in search(study)]
    assert len(set(points)) == 80
    assert points[0] == PATCH_POINT
    for name in THRESHOLD_NAMES:
        assert all(getattr(point, name) in study.space[name] for point in points[4:])
    assert points[:4] == [one.point for one in ALTERNATIVES]
    assert points[12:] != [item.point for item in search(study.with_(seed=2))][12:]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_longer_search_begins_with_the_shorter_one(sampler: str) -> None:
    study = StudyDefinition("x", points=FIRST_GENERATION + GENERATION + 5, sampler=sampler)
    longer = search(study.with_(points=study.points + 20))
    assert [item.point for item in longer][: study.points] == [item.point for item in search(study)]


def test_tpe_beats_points_spread_evenly() -> None:
    def best(sampler: str) -> float:
        found = [search(StudyDefinition("x", points=128, sampler=sampler, seed=seed)) for seed in (1, 2, 3)]
        return sum(min(a * b for a, b in (item.values for item in tried)) for tried in found)

    assert best("tpe") < best("random")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_small_space_is_tried_whole(sampler: str) -> None:
    space = {
        name: Range(low, low + 3, False) for name, low in zip(THRESHOLD_NAMES, (14, 62, 510), strict=True)
    }
    tried = search(StudyDefinition("x", space=space, points=1000, sampler=sampler))
    assert (
        len({item.point for item in tried}) == len(tried) == 64 + 3
    )  # the plain alternatives but the patch lie outside


def test_the_patch_may_lie_outside_the_space() -> None:
    space = {name: Range(600, 2000, True) for name in THRESHOLD_NAMES}
    space["shrink_block_min_pages"] = Range(100, 200, True)
    tried = search(StudyDefinition("x", space=space, points=60))
    assert tried[0].point == PATCH_POINT
    assert all(
        value in values
        for item in tried[4:]
        for value, values in zip(item.point, space.values(), strict=True)
    )
