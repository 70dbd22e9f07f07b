"""`pba.split_floor`: it is what it says, no policy at any thresholds beats it, and an allocator comes near."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

import pba
from pba.events import OP_DROP, OP_LETTERS, OP_SHRINK
from pba.policies.registry import PLACES
from pba.probe import floor as floors
from pba.probe.floor import SplitFloor, split_floor
from pba.probe.measures import measured
from pba.probe.regret import AT_ONCE, NO_BLOCKS
from pba.results import ReplayResult
from pba.trace.table import Trace
from tests.property.generate import random_scenario
from tests.property.test_engine import trace_of
from tests.reference import floor as reference

RECORDINGS = tuple(pba.recordings())
MET = {"any": 0.9, "reclaim": 0.75}
"""Of the tiny traces the share on which the best allocator there is holds just what the floor says, at least."""
WITH_BLOCKS = [name for name in PLACES if name not in NO_BLOCKS]


def tiny(seed: int) -> list[reference.Event]:
    """Return a few events: page tables that come and go, visits, some at the same time."""
    rng = random.Random(seed)
    live: list[int] = []
    events = []
    for at in range(rng.randint(1, 9)):
        op = rng.choice("AAAFFS")
        op = "A" if op == "F" and not live else op
        if op == "A":
            live.append(at)
        name = live.pop(rng.randrange(len(live))) if op == "F" else at
        events.append(reference.Event(op, name, rng.choice([0, 1, 1, 2, 5, 20])))
    return events


def traced(events: list[reference.Event]) -> Trace:
    """Return events as a trace: the last state lasts for no time."""
    columns: dict[str, list[int]] = {"time_ns": [], "op": [], "id": [], "arg": []}
    now = 100
    for event in events:
        row = (now, OP_LETTERS.index(event.op), 0 if event.op == "S" else event.name, 0)
        for name, value in zip(columns, row, strict=True):
            columns[name].append(value)
        now += event.length
    return Trace.from_arrays({name: np.array(values) for name, values in columns.items()})


def small_floor(
    events: list[reference.Event], block: int, whole_blocks: int, gives_back: floors.GivesBack
) -> tuple[SplitFloor, int]:
    """Return the floor of blocks of a few pages, and how long the trace lasts."""
    found = split_floor(traced(events), gives_back=gives_back)
    machine: Any = type("Small", (), {"block_nr_pages": block})()
    small = SplitFloor(found.trace_name, machine, gives_back, found.live_peak, whole_blocks, found._demand)
    return small, found._demand.duration


def without_last_length(events: list[reference.Event]) -> list[reference.Event]:
    """Return what a trace can tell: how long its last state lasts it does not."""
    timeless = not any(event.length for event in events[:-1])
    return [*events[:-1], events[-1]._replace(length=int(timeless))]


@pytest.mark.parametrize("gives_back", floors.WAYS)
@pytest.mark.parametrize("seed", range(60))
def test_the_floor_is_the_least_of_all_paths(seed: int, gives_back: floors.GivesBack) -> None:
    events = without_last_length(tiny(seed))
    for block, splits, whole in ((2, 0, 99), (2, 1, 99), (4, 0, 99), (4, 1, 99), (2, 1, 1), (2, 2, 0)):
        found, duration = small_floor(events, block, whole, gives_back)
        expected = reference.relaxed(events, block, splits, whole, gives_back == "reclaim")
        assert found.pages(splits) * duration == pytest.approx(expected.total)
        assert found.pages(splits, "peak") == expected.peak


@pytest.mark.parametrize("gives_back", floors.WAYS)
def test_no_way_to_place_page_tables_beats_the_floor_and_one_often_meets_it(
    gives_back: floors.GivesBack,
) -> None:
    met, tried = 0, 0
    for seed in range(150):
        events = without_last_length(tiny(seed))
        for block, splits in ((2, 0), (2, 1), (4, 0)):
            found, duration = small_floor(events, block, 99, gives_back)
            best = reference.best(events, block, splits, gives_back == "reclaim")
            assert found.pages(splits) * duration <= best.total + 1e-9
            assert found.pages(splits, "peak") <= best.peak
            met += found.pages(splits) * duration == pytest.approx(best.total)
            tried += 1
            if gives_back == "any":
                assert found.reachable_pages(splits) * duration >= best.total - 1e-9
    assert met / tried > MET[gives_back]


def replayed(trace: Trace, policy: str, **arguments: Any) -> tuple[ReplayResult, dict[str, float]]:
    result = pba.replay(trace, policy=policy, timeline=True, **arguments)
    return result, measured(trace, result)


def assert_above(trace: Trace, machine: pba.Machine, policy: str, found: dict[str, float]) -> int:
    """Hold a policy against the floor; return at how many floors it was held. What it did not serve is not told."""
    if found["alloc_failures"] or found["pages_leaked"] or found["unprotected"] or not len(trace):
        return 0
    is_at_visits = policy not in AT_ONCE and not (policy == "freetype" and found["blocks_back"])
    ways: tuple[floors.GivesBack, ...] = floors.WAYS if is_at_visits else ("any",)
    for way in ways:
        floor = split_floor(trace, machine, gives_back=way)
        splits = int(found["pmd_splits"])
        assert floor.pages(splits) <= found["held_back_mean"] * (1 + 1e-9), (policy, way)
        assert floor.splits(found["held_back_mean"]) <= splits, (policy, way)
        assert floor.pages(splits, "peak") <= found["held_back_peak"], (policy, way)
        assert floor.splits(found["held_back_peak"], "peak") <= splits, (policy, way)
    return len(ways)


@pytest.mark.parametrize("policy", WITH_BLOCKS)
def test_no_policy_beats_the_floor_whatever_happens(policy: str) -> None:
    held = 0
    for seed in range(60):
        scenario = random_scenario(seed)
        trace = trace_of(scenario)
        machine = pba.Machine(
            scenario.machine.page_size_kib, scenario.machine.memory_pages, scenario.machine.linear_map
        )
        thresholds = pba.Thresholds(*scenario.thresholds)
        takes = pba.Policy(policy).definition
        chosen = thresholds if takes.thresholds and takes.fixed is None else None
        _, found = replayed(trace, policy, thresholds=chosen, machine=machine)
        held += assert_above(trace, machine, policy, found)
    assert held >= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_no_policy_beats_the_floor_on_a_recording(name: str) -> None:
    trace = pba.read_trace(name)
    for policy in WITH_BLOCKS:
        _, found = replayed(trace, policy)
        assert assert_above(trace, pba.machine_of(trace), policy, found)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_v6_at_no_thresholds_beats_the_floor_on_a_recording(name: str) -> None:
    trace, machine = pba.read_trace(name), pba.machine_of(name)
    block = machine.block_nr_pages
    rng = random.Random(name)
    compiled = pba.compile_trace(trace)
    floor = split_floor(trace, machine, gives_back="reclaim")
    seen = set()
    for _ in range(30):
        sizes = [0, 1, 16, block // 2, block, 2 * block, rng.randrange(4 * block)]
        thresholds = pba.Thresholds(rng.choice(sizes), rng.randint(1, block), rng.choice(sizes) + 1)
        counters = compiled.replay(thresholds, machine).counters
        assert counters["alloc_failures"] == counters["pages_leaked"] == 0
        tables = counters["split_table_pages"]  # so many at the end, and never more
        held = counters["cached_page_ns"] / trace.duration_ns + tables
        seen.add((counters["pmd_splits"], held))
        assert floor.pages(0) <= held or floor.splits(held) <= counters["pmd_splits"]
    assert len(seen) > 1 or not np.isin(trace.op, (OP_SHRINK, OP_DROP)).any()


def test_what_dpkg_holds_is_the_least_there_is() -> None:
    """One block serves all: v6, which splits nothing, holds what any allocator must but for a PUD's table."""
    trace, machine = pba.read_trace("dpkg-x86"), pba.machine_of("dpkg-x86")
    _, found = replayed(trace, "v6")
    floor = split_floor(trace, machine)
    assert found["pmd_splits"] == 0
    assert floor.reachable_pages() == floor.pages() == pytest.approx(found["held_back_mean"], rel=1e-3)


def test_below_a_block_held_at_once_every_page_table_lies_in_split_blocks() -> None:
    floor = split_floor("pgbench-x86")
    assert floor.live_peak == 19800
    assert floor.splits(510, "peak") == math.ceil(19800 / 512) == 39
    assert floor.splits(511, "peak") < 39
    assert floor.pages(39, "peak") == floor.pages(1000) == 0


def test_more_splits_never_need_more_memory() -> None:
    table = split_floor("server-arm64-4k").to_frame(20)
    assert table["mean_pages"].is_monotonic_decreasing
    assert table["peak_pages"].is_monotonic_decreasing
    assert (table["reachable_pages"] >= table["mean_pages"]).all()
    assert table.index[-1] < 20  # until none helps
    assert table["mean_pages"].iloc[-1] == 0
    floor = split_floor("server-arm64-4k")
    for splits, pages in table["mean_pages"].items():
        assert floor.splits(pages) == splits
        assert floor.splits(pages - 0.01) == (splits + 1 if pages else splits)


def test_blocks_that_hold_others_pages_for_good_serve_nobody() -> None:
    name = "build-x86"
    fresh, found = (split_floor(name, memory_from_trace=wanted) for wanted in (False, True))
    assert fresh.whole_blocks == pba.machine_of(name).memory_pages >> 9
    assert 0 < found.whole_blocks < fresh.whole_blocks
    trace, machine = pba.read_trace(name), pba.machine_of(name)
    _, counted = replayed(trace, "v6", memory_from_trace=True)
    assert counted["alloc_failures"] == 0
    assert found.splits(counted["held_back_mean"]) <= counted["pmd_splits"]
    none = SplitFloor("", machine, "any", found.live_peak, 0, found._demand)
    assert none.pages(1) == float("inf")
    assert none.splits(10**6) == none.splits(10**6, "peak") == 2  # 1,017 page tables need two split blocks


def test_a_trace_without_events_needs_nothing() -> None:
    floor = split_floor(Trace.from_arrays({"time_ns": [], "op": [], "id": [], "arg": []}))
    assert (floor.pages(), floor.pages(0, "peak"), floor.splits(0)) == (0, 0, 0)


@pytest.mark.parametrize("splits", [-1, 0.5, True])
def test_what_is_no_number_of_splits_is_refused(splits: Any) -> None:
    with pytest.raises(pba.PbaError, match="no number of splits"):
        split_floor("git-x86").pages(splits)
    with pytest.raises(pba.PbaError, match="gives_back 'now' is unknown"):
        split_floor("git-x86", gives_back="now")  # type: ignore[arg-type]
