"""The engine against the replay event by event: composites, forked searches, and the state at any event."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import config

from pba import model
from pba.engine.alone import one_member, run_alone
from pba.engine.boot import new_engine_state
from pba.engine.compile import compile_trace
from pba.engine.compiled import CompiledTrace
from pba.engine.grid import Behaviours, behaviours_of
from pba.engine.state import AREA, NODE, SUM, EngineState
from pba.errors import PbaError
from pba.events import OP_LETTERS
from pba.imports.read import read_trace
from pba.kernel import replay as kernel
from pba.kernel.state import END_MANAGED, FIRST_MANAGED, NR_CACHED, Holders, State
from pba.machine import Machine, Thresholds
from pba.results import COUNTER_COLUMNS
from pba.trace.table import Trace
from tests.property.generate import Scenario, random_scenario
from tests.property.test_kernel_against_reference import scenarios

SEEDS = range(8) if config.DISABLE_JIT else range(120)
SIZES = ((1, 2), (3, 2), (16, 4), (1024, 4))
"""Events of a chunk and children of a node: the smaller, the more composites of composites."""
VECTORS = Path(__file__).parents[1] / "vectors"


def trace_of(scenario: Scenario) -> Trace:
    events = scenario.events
    return Trace.from_arrays(
        {
            "time_ns": [event.time_ns for event in events],
            "op": [OP_LETTERS.index(event.op) for event in events],
            "id": [event.ident for event in events],
            "arg": [event.arg for event in events],
        }
    )


def first_events(trace: Trace, end: int) -> Trace:
    """Return the trace's first events as a trace."""
    return Trace.from_arrays({name: getattr(trace, name)[:end] for name in ("time_ns", "op", "id", "arg")})


def event_by_event(trace: Trace, thresholds: Thresholds, machine: Machine) -> tuple[State, Holders]:
    state = model.boot(machine)
    tunables, holders, events = model.prepare(trace, thresholds)
    kernel.replay_events(state, tunables, holders, events, (0, len(trace)))
    return state, holders


def free_lists(state: State) -> list[list[int]]:
    """Return the pages on each list of the buddy allocator, from head to tail."""
    memory = len(state.buddy_order)
    lists = []
    for head in range(memory, len(state.buddy_next)):
        node = int(state.buddy_next[head])
        found = []
        while node != head:
            assert state.buddy_order[node] == head - memory
            found.append(node)
            node = int(state.buddy_next[node])
        lists.append(found)
    return lists


def assert_same_state(engine: EngineState, state: State, holders: Holders, trace: Trace) -> None:
    """Compare all that the simulated kernel remembers, and what is held by the trace's users."""
    assert engine.state.vars.tolist() == state.vars.tolist()
    nr_cached = int(state.vars[NR_CACHED])
    assert engine.state.cached[:nr_cached].tolist() == state.cached[:nr_cached].tolist()
    managed = slice(int(state.vars[FIRST_MANAGED]), int(state.vars[END_MANAGED]))
    assert engine.state.block_nr_free[managed].tolist() == state.block_nr_free[managed].tolist()
    assert np.array_equal(engine.state.block_nr_free, state.block_nr_free)
    assert np.array_equal(engine.state.leaf, state.leaf)
    assert np.array_equal(engine.state.contpte, state.contpte)
    assert np.array_equal(engine.state.buddy_order, state.buddy_order)
    assert free_lists(engine.state) == free_lists(state)
    for slot in live_slots(trace, "A", "F"):
        assert engine.holders.page[slot] == holders.page[slot]
    for slot in live_slots(trace, "B", "b"):
        assert engine.holders.chunk[slot] == holders.chunk[slot]


def live_slots(trace: Trace, taken: str, given: str) -> set[int]:
    live: set[int] = set()
    for op, slot in zip(trace.op.tolist(), trace.slot.tolist(), strict=True):
        if OP_LETTERS[op] == taken:
            live.add(slot)
        elif OP_LETTERS[op] == given:
            live.discard(slot)
    return live


def compare(scenario: Scenario, rng: random.Random) -> None:
    machine = Machine(*scenario.machine)
    thresholds = Thresholds(*scenario.thresholds)
    whole = trace_of(scenario)
    chunk_events, fan = rng.choice(SIZES)
    for end in (len(whole), rng.randint(0, len(whole))):
        trace = first_events(whole, end)
        state, holders = event_by_event(trace, thresholds, machine)
        compiled = compile_trace(trace, chunk_events=chunk_events, fan=fan)
        engine, _ = new_engine_state(compiled, machine)
        run_alone(engine, model.tunables_of(thresholds), one_member(thresholds))
        assert_same_state(engine, state, holders, trace)


@pytest.mark.parametrize("seed", SEEDS)
def test_composites_end_where_events_do(seed: int) -> None:
    compare(random_scenario(seed), random.Random(seed))


@settings(
    max_examples=3 if config.DISABLE_JIT else 60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios(), st.randoms(use_true_random=False))
def test_composites_end_where_events_do_on_drawn_scenarios(scenario: Scenario, rng: random.Random) -> None:
    compare(scenario, rng)


def many_passes(rng: random.Random) -> tuple[Trace, Machine, Thresholds]:
    """Return a trace in which passes stand close together, of which few scan: what eras are for."""
    page_size = rng.choice([4, 4, 16, 64])
    machine = Machine(page_size, 1 << 14)
    rows: list[tuple[int, int, int, int]] = []
    live: list[int] = []
    now, name = 0, 0
    swing = rng.choice([3, 30, 300])
    for _ in range(rng.randint(50, 400)):
        for _ in range(rng.choice([0, 0, 1, 2, swing])):
            now += rng.choice([0, 1, 1000])
            if live and rng.random() < 0.5:
                rows.append((now, 1, live.pop(rng.randrange(len(live))), 0))
            else:
                rows.append((now, 0, name, 0))
                live.append(name)
                name += 1
        now += rng.choice([0, 1, 1000])
        hard = rng.random() < 0.02
        rows.append((now, 3 if hard and rng.random() < 0.3 else 2, 0, 0))
        if rows[-1][1] == 2:
            rows[-1] = (now, 2, 0, rng.randint(0, 4) if hard else rng.randint(5, 12))
    trace = Trace.from_arrays(dict(zip(("time_ns", "op", "id", "arg"), np.array(rows).T, strict=True)))
    batch = rng.choice([64, machine.block_nr_pages, 2 * machine.block_nr_pages])
    return trace, machine, Thresholds(rng.choice([0, 16, 300]), machine.block_nr_pages // 8, batch)


@pytest.mark.parametrize("seed", SEEDS)
def test_passes_skipped_end_where_events_do(seed: int) -> None:
    rng = random.Random(seed)
    trace, machine, thresholds = many_passes(rng)
    state, holders = event_by_event(trace, thresholds, machine)
    chunk_events, fan = rng.choice(SIZES)
    compiled = compile_trace(trace, chunk_events=chunk_events, fan=fan)
    engine, _ = new_engine_state(compiled, machine)
    run_alone(engine, model.tunables_of(thresholds), one_member(thresholds))
    assert_same_state(engine, state, holders, trace)
    if seed % 4 == 0:
        check_search(trace, compiled, machine, ([0, 16, 300], [64, machine.block_nr_pages]))


def test_passes_are_skipped() -> None:
    """With composites of eras that are wrong by a page-ns the end is another, so they are what led to it."""
    different = 0
    for seed in SEEDS[:8]:
        trace, machine, thresholds = many_passes(random.Random(seed))
        compiled = compile_trace(trace)
        expected = compiled.replay(thresholds, machine).counters
        nodes = np.setdiff1d(compiled.composites.era[:, NODE], [-1, *compiled.composites.root])
        compiled.composites.node[nodes, AREA] += 1
        different += compiled.replay(thresholds, machine).counters != expected
    assert different > 4


def test_passes_skipped_leave_what_single_ones_do() -> None:
    """With all eras' sums wrong by a page that counter alone is wrong, by a page for each era skipped."""
    skipped = 0
    for seed in SEEDS[:8]:
        trace, machine, thresholds = many_passes(random.Random(seed))
        compiled = compile_trace(trace, chunk_events=16, fan=2)
        expected = model.replay(trace, thresholds, machine).counters
        assert compiled.replay(thresholds, machine).counters == expected
        compiled.composites.era[:, SUM] += 1
        found = compiled.replay(thresholds, machine).counters
        wrong = found["cached_after_passes"] - expected["cached_after_passes"]
        assert found == {**expected, "cached_after_passes": found["cached_after_passes"]}
        assert 0 <= wrong <= len(compiled.composites.era)
        skipped += wrong > 0
    assert skipped > 4


def vector_cases() -> list[tuple[str, int]]:
    return [
        (path.stem, case)
        for path in sorted(VECTORS.glob("*.json"))
        if path.stem != "policies"
        for case in range(len(json.loads(path.read_text())["cases"]))
    ]


@pytest.mark.skipif(config.DISABLE_JIT, reason="without the JIT the vectors take too long")
@pytest.mark.parametrize(("name", "case"), vector_cases())
def test_every_vector(name: str, case: int) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    machine = Machine(*vector["machine"].values())
    expected = vector["cases"][case]
    trace = read_trace(VECTORS / f"{name}.events.gz")
    compiled = compile_trace(trace)
    thresholds = Thresholds(*expected["thresholds"].values())
    result = compiled.replay(thresholds, machine)
    assert {name: result.counters[name] for name in expected["expected"]} == expected["expected"]
    assert result.counters == model.replay(trace, thresholds, machine).counters


def test_any_fan_will_do_and_others_are_refused() -> None:
    trace = read_trace(VECTORS / "churn.events.gz")
    machine = Machine(4, 1 << 15)
    expected = model.replay(trace, Thresholds.patch(machine), machine).counters
    for chunk_events, fan in ((1, 1024), (1, 300), (2, 2), (1 << 20, 2)):
        compiled = compile_trace(trace, chunk_events=chunk_events, fan=fan)
        assert compiled.replay(None, machine).counters == expected
    for name, value in (("fan", 1), ("fan", 1025), ("chunk_events", 0), ("chunk_events", (1 << 20) + 1)):
        with pytest.raises(PbaError, match=f"{name} = {value} is out of range"):
            compile_trace(trace, **{name: value})


# Searches


def results_at(found: Behaviours, row: int) -> dict[str, int]:
    """Return a row's counters as a replay names them."""
    counters = dict(zip(COUNTER_COLUMNS, found.counters[row].tolist(), strict=True))
    counters["cached_page_ns"] = (counters.pop("cached_page_ns_high") << 61) + counters.pop(
        "cached_page_ns_low"
    )
    counters["cache_hash"] = f"{int(found.cache_hash[row]):016x}"
    return counters


def check_search(
    trace: Trace, compiled: CompiledTrace, machine: Machine, grid: tuple[list[int], list[int]]
) -> None:
    """Hold every point of a grid against its replay."""
    unshrinkable, batch = (np.array(sorted(set(values)), np.int64) for values in grid)
    block = machine.block_nr_pages
    found = behaviours_of(compiled, machine, unshrinkable, batch, (1, block))
    covered = np.zeros((len(unshrinkable), len(batch), block + 1), np.int64)
    picks = {1, 2, block // 8, block // 2, block}
    for row in range(len(found.batch)):
        first, last = int(found.shrink_block_min_pages_from[row]), int(found.shrink_block_min_pages_to[row])
        u = int(np.flatnonzero(unshrinkable == found.unshrinkable_pages[row])[0])
        b = int(np.flatnonzero(batch == found.batch[row])[0])
        covered[u, b, first : last + 1] += 1
        for m in {first, last} | {pick for pick in picks if first <= pick <= last}:
            thresholds = Thresholds(int(unshrinkable[u]), m, int(batch[b]))
            result = model.replay(trace, thresholds, machine)
            expected = {name: result.counters[name] for name in results_at(found, row)}
            assert results_at(found, row) == expected, thresholds
    assert (covered[:, :, 1:] == 1).all()


@pytest.mark.parametrize("seed", SEEDS[: len(SEEDS) // 3])
def test_every_point_of_a_search_equals_its_replay(seed: int) -> None:
    scenario = random_scenario(seed)
    rng = random.Random(seed)
    machine = Machine(*scenario.machine)
    chunk_events, fan = rng.choice(SIZES)
    trace = trace_of(scenario)
    compiled = compile_trace(trace, chunk_events=chunk_events, fan=fan)
    most = min(2 * machine.block_nr_pages, machine.memory_pages)
    check_search(
        trace,
        compiled,
        machine,
        (
            [0, 3, 16, machine.block_nr_pages, rng.randint(0, most)],
            [1 if seed % 4 == 0 else 8, 37, machine.block_nr_pages, rng.randint(1, most)],
        ),
    )


@pytest.mark.skipif(config.DISABLE_JIT, reason="without the JIT the vectors take too long")
@pytest.mark.parametrize(
    "name", ["pressure", "processes", "fragmented-mix", "pages16k", "recorded-mmap-churn"]
)
def test_search_of_a_vector(name: str) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    machine = Machine(*vector["machine"].values())
    trace = read_trace(VECTORS / f"{name}.events.gz")
    check_search(trace, compile_trace(trace), machine, ([0, 16, 100], [64, machine.block_nr_pages]))


def test_fields_of_a_state_are_all_compared() -> None:
    """A new field of the state is to be compared here, too."""
    assert State._fields == (
        "orders", "buddy_next", "buddy_prev", "buddy_order", "leaf", "contpte", "cached", "block_nr_free",
        "touched", "vars",
    )  # fmt: skip
