"""What every engine must do: each point of a sweep is a replay of it. One suite for all engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba.engine.grid import Behaviours, behaviours_of
from pba.errors import ThresholdError
from pba.results import COUNTER_COLUMNS
from pba.study.sweep.boxes import distinct_rows
from tests.property.brute_explore import brute_explore, row_of
from tests.property.generate import random_scenario
from tests.study.study_fixture import make_trace
from tests.traces import sawtooth

Explore = Callable[..., Behaviours]


def engine_explore(trace: pba.Trace, *grid: Any, **options: Any) -> Behaviours:
    return behaviours_of(pba.compile_trace(trace), *grid, **options)


ENGINES: dict[str, Explore] = {"brute force": brute_explore, "engine": engine_explore}
OPS = {letter: code for code, letter in enumerate("AFSDBb")}


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Explore:
    return ENGINES[request.param]


def explored(engine: Explore, trace: pba.Trace, machine: pba.Machine, grid: Any) -> Behaviours:
    u, b, m = grid
    return engine(trace, machine, np.array(u), np.array(b), m)


def assert_each_point_is_its_replay(
    rows: Behaviours, trace: pba.Trace, machine: pba.Machine, grid: Any
) -> None:
    u, b, m = grid
    met = []
    for at in range(len(rows.batch)):
        for least in range(
            int(rows.shrink_block_min_pages_from[at]), int(rows.shrink_block_min_pages_to[at]) + 1
        ):
            point = (int(rows.unshrinkable_pages[at]), least, int(rows.batch[at]))
            counters, cache_hash = row_of(pba.replay(trace, pba.Thresholds(*point), machine))
            assert dict(zip(COUNTER_COLUMNS, rows.counters[at].tolist(), strict=True)) == dict(
                zip(COUNTER_COLUMNS, counters, strict=True)
            ), point
            assert int(rows.cache_hash[at]) == cache_hash, point
            met.append((point[0], point[2], least))
    assert met == [(x, y, z) for x in u for y in b for z in range(m[0], m[1] + 1)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("page_size_kib", [4, 16, 64])
def test_each_point_is_its_replay(engine: Explore, seed: int, page_size_kib: int) -> None:
    trace = make_trace("waves", seed, events=1200, page_size_kib=page_size_kib)
    machine = pba.machine_of(trace)
    block = machine.block_nr_pages
    batch = sorted({1, 64, block, min(4 * block, machine.memory_pages)})
    grid = ((0, 3, 16, 200), batch, (block // 8 - 5, block // 8 + 5))
    assert_each_point_is_its_replay(explored(engine, trace, machine, grid), trace, machine, grid)


def test_all_of_m_is_all_of_its_replays(engine: Explore) -> None:
    trace, machine = sawtooth(teeth=3), pba.Machine(4, 8192)
    grid = ((0, 40), (48,), (1, 512))
    rows = explored(engine, trace, machine, grid)
    assert len(set(rows.cache_hash.tolist())) > 3
    assert_each_point_is_its_replay(rows, trace, machine, grid)


@given(st.integers(0, 1 << 20))
@settings(deadline=None, max_examples=25)
def test_random_scenarios_are_as_by_brute_force(seed: int) -> None:
    scenario = random_scenario(seed)
    events = [(event.time_ns, OPS[event.op], event.ident, event.arg) for event in scenario.events]
    names = ("time_ns", "op", "id", "arg")
    trace = pba.Trace.from_arrays(dict(zip(names, np.array(events).T, strict=True)))
    about = scenario.machine
    machine = pba.Machine(about.page_size_kib, about.memory_pages, about.linear_map)
    m = scenario.thresholds.shrink_block_min_pages
    u = sorted({0, scenario.thresholds.unshrinkable_pages, 30})
    b = sorted({1, scenario.thresholds.batch, min(512, machine.memory_pages)})
    grid = (u, b, (max(1, m - 2), min(m + 2, machine.block_nr_pages)))
    found = explored(engine_explore, trace, machine, grid)
    right = brute_explore(trace, machine, np.array(u), np.array(b), grid[2])
    wanted = {key: value for key, *value in expanded(right)}
    assert {key: value for key, *value in expanded(found)} == wanted


def expanded(rows: Behaviours) -> list[tuple[Any, ...]]:
    return [
        (
            (int(rows.unshrinkable_pages[at]), int(rows.batch[at]), m),
            rows.counters[at].tolist(),
            int(rows.cache_hash[at]),
        )
        for at in range(len(rows.batch))
        for m in range(int(rows.shrink_block_min_pages_from[at]), int(rows.shrink_block_min_pages_to[at]) + 1)
    ]


def test_a_threshold_out_of_range_is_refused(engine: Explore) -> None:
    trace, machine = sawtooth(teeth=1), pba.Machine(4, 8192)
    with pytest.raises(ThresholdError):
        explored(engine, trace, machine, ((9000,), (8,), (1, 2)))


def test_what_look_raises_ends_it(engine: Explore) -> None:
    trace, machine = sawtooth(teeth=1), pba.Machine(4, 8192)

    def look(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        engine(trace, machine, np.array([0]), np.array([8]), (1, 2), look=look)


def test_points_that_differ_in_what_passes_leave_alone_are_two_behaviours(engine: Explore) -> None:
    """One gives 199 of 412 pages back at the first of two passes, one at the second; one splits."""
    events = {"time_ns": [0] * 102, "op": [OPS["A"]] * 100 + [OPS["S"]] * 2}
    trace = pba.Trace.from_arrays({**events, "id": [*range(100), 0, 0], "arg": [0] * 102})
    rows = explored(engine, trace, pba.Machine(4, 4096), ([0, 100], [199], (1, 1)))
    one, other = (dict(zip(COUNTER_COLUMNS, row, strict=True)) for row in rows.counters.tolist())
    assert (one["pages_released"], one["cached_after_passes"]) == (199, 212 + 212)
    assert other == {**one, "cached_after_passes": 412 + 212}
    assert rows.cache_hash[0] == rows.cache_hash[1]
    number, _ = distinct_rows(rows.counters, rows.cache_hash)
    assert number[0] != number[1]
