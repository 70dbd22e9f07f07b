"""Starting in fragmented memory: the kernel against the reference, and the engine against replays."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from numba import config

import pba
from pba import model, pool
from pba.engine.compile import compile_trace
from pba.errors import MachineError
from pba.kernel.memory import StartMemory
from pba.trace.metadata import Background, Metadata, Quality
from pba.trace.table import Trace
from tests.property.compare import run_both
from tests.property.generate import Scenario, random_scenario
from tests.property.test_engine import check_search, trace_of
from tests.property.test_starting_memory import metadata_of, random_start, with_held
from tests.reference.fragmented import fragmented
from tests.reference.machine import Machine

SEEDS = range(4) if config.DISABLE_JIT else range(40)
SHARES = (0.0, 0.1, 0.5, 0.9, 1.0)


def drawn_start(seed: int) -> pba.Start:
    rng = random.Random(seed)
    return pba.Start(fragmented=rng.choice([*SHARES, rng.random()]), seed=rng.choice([0, 1, (1 << 32) - 1]))


def lists_of(machine: Machine, start: pba.Start) -> list[list[int]]:
    return fragmented(machine, Fraction(start.share_ppm, 1_000_000), start.seed)


def memory_of(machine: pba.Machine) -> StartMemory:
    idle = Trace.from_arrays({"time_ns": [0], "op": [2], "id": [0], "arg": [12]})
    found = model.starting_memory(idle, machine)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_kernel_matches_reference_in_fragmented_memory(seed: int) -> None:
    scenario = random_scenario(seed)
    start = drawn_start(seed)
    run_both(scenario, fragmented=(start, lists_of(scenario.machine, start)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_compiled_trace_and_a_search_equal_replays_in_fragmented_memory(seed: int) -> None:
    scenario = random_scenario(seed)
    machine = pba.Machine(*scenario.machine, start=drawn_start(seed))
    check_engine(trace_of(scenario), scenario, machine, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_compiled_trace_and_a_search_equal_replays_in_recorded_memory(seed: int) -> None:
    rng = random.Random(seed)
    scenario = random_scenario(seed)
    start = random_start(rng, scenario.machine)
    scenario = scenario._replace(events=with_held(scenario.events, start, rng))
    trace = trace_of(scenario)
    trace = Trace.from_arrays(
        {"time_ns": trace.time_ns, "op": trace.op, "id": [event.ident for event in scenario.events],
         "arg": trace.arg}, metadata_of(start, scenario.machine),
    )  # fmt: skip
    check_engine(trace, scenario, pba.Machine(*scenario.machine, start="trace"), seed)


def check_engine(trace: Trace, scenario: Scenario, machine: pba.Machine, seed: int) -> None:
    """Hold the engine against replays event by event, on a machine and again beside one that is all free."""
    thresholds = pba.Thresholds(*scenario.thresholds)
    compiled = compile_trace(trace, chunk_events=16, fan=2)
    for one in (machine, machine.at_rest, machine):
        expected = model.replay(trace, thresholds, one).counters
        assert compiled.replay(thresholds, one).counters == expected
    if seed % 4 == 0:
        check_search(trace, compiled, machine, ([0, 16], [37, machine.block_nr_pages]))


@pytest.mark.kernel
@pytest.mark.parametrize("kib", [4, 16, 64])
@pytest.mark.parametrize("share", SHARES)
def test_so_much_of_the_free_half_lies_outside_of_whole_blocks(kib: int, share: float) -> None:
    chunks = 24 if kib < 64 else 6
    pages = chunks << pba.Machine(kib).orders.max_page
    machine = pba.Machine(kib, pages, start=pba.Start(fragmented=share, seed=kib))
    free = np.zeros(pages, np.int8)
    for order, firsts in enumerate(memory_of(machine).free):
        for pfn in firsts.tolist():
            free[pfn : pfn + (1 << order)] += 1
    assert free.max() <= 1
    assert free.sum() == pages // 2
    whole = free.reshape(-1, machine.block_nr_pages).all(axis=1).sum() * machine.block_nr_pages
    assert abs((pages // 2 - whole) - share * (pages // 2)) <= machine.block_nr_pages / 2


@pytest.mark.kernel
def test_a_seed_gives_the_same_memory_and_another_one_another() -> None:
    lists = [
        [chunks.tolist() for chunks in memory_of(pba.Machine(4, 8192, start=start)).free]
        for start in (pba.Start(fragmented=0.5, seed=seed) for seed in (3, 3, 4))
    ]
    assert lists[0] == lists[1] != lists[2]


@pytest.mark.kernel
def test_replays_say_how_memory_started_and_machines_keep_it_apart() -> None:
    trace = Trace.from_arrays({"time_ns": [0, 5], "op": [0, 2], "id": [1, 0], "arg": [0, 0]})
    machine = pba.Machine(4, 8192)
    whole = pba.replay(trace, machine=machine)
    pieces = pba.replay(trace, machine=machine, fragmented=1.0, seed=2)
    assert pieces.machine.start == pba.Start(fragmented=1.0, seed=2)
    assert whole.counters["refills_block"] == 1
    assert pieces.counters["refills_block"] == 0
    assert pieces.to_dict()["machine"]["start"] == "fragmented:1:2"
    assert "start" not in whole.to_dict()["machine"]
    assert pba.Machine(**pieces.to_dict()["machine"]) == pieces.machine
    again = pba.replay(trace, machine=machine)
    assert again.counters == whole.counters
    pool.clear()


@pytest.mark.kernel
@pytest.mark.parametrize("code", ["free", "trace", "fragmented:0.25:7", "fragmented:0:0", "fragmented:1:3"])
def test_a_start_is_its_code(code: str) -> None:
    assert pba.Start.of(code).code == code
    assert pba.Machine(4, 8192, start=code).start.code == code


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"fragmented": 1.5}, "fragmented=1.5 is out of range"),
        ({"fragmented": float("nan")}, "fragmented=nan is out of range"),
        ({"fragmented": "x"}, "fragmented='x' is out of range"),
        ({"fragmented": 0.5, "seed": -1}, "seed=-1 is out of range"),
        ({"fragmented": 0.5, "from_trace": True}, "both as it was recorded and fragmented"),
    ],
)
def test_a_start_that_cannot_be_is_refused(words: dict[str, object], told: str) -> None:
    with pytest.raises(MachineError, match=told):
        pba.Start(**words)  # type: ignore[arg-type]


@pytest.mark.kernel
def test_a_machine_starts_in_one_way() -> None:
    trace = Trace.from_arrays({"time_ns": [0], "op": [2], "id": [0], "arg": [12]})
    with pytest.raises(MachineError, match="starts with half of memory free, 50 % of it outside"):
        pba.replay(trace, machine=pba.Machine(4, 8192, start="fragmented:0.5"), memory_from_trace=True)
    with pytest.raises(MachineError, match="start 'whole' is unknown"):
        pba.Machine(4, 8192, start="whole")


@pytest.mark.kernel
def test_what_was_free_when_it_was_recorded_shapes_what_is_kept_of_a_replay() -> None:
    from pba.study.replays import trace_sha256

    columns = {"time_ns": [0, 4], "op": [4, 2], "id": [1, 0], "arg": [3, 12]}
    metadata = Metadata(page_size_kib=4, memory_pages=8192)
    traces = [
        Trace.from_arrays(
            columns,
            metadata.with_(
                buddyinfo=({"node": 0, "zone": "Normal", "free": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, nr]},),
                quality=Quality(background=Background(0, 13, live_at_start=live)),
            ),
        )
        for nr, live in ((4, 0), (5, 0), (4, 1))
    ]
    started = pba.Machine(4, 8192, start="trace")
    assert len({trace_sha256(trace, started) for trace in traces}) == 3
    assert len({trace_sha256(trace, started.at_rest) for trace in traces}) == 1
