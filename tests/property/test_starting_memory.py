"""Starting with recorded memory: the jitted kernel against the reference rules, after every event."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from numba import config

import pba
from pba import model
from pba.errors import TraceError
from pba.trace.metadata import Background, Metadata, Quality
from pba.trace.table import Trace
from tests.property.compare import KernelRun, free_lists, run_both
from tests.property.generate import random_scenario
from tests.reference.machine import Event, Machine
from tests.reference.memory import StartMemory, lay_out

SEEDS = range(10) if config.DISABLE_JIT else range(60)
MAX_HELD = 40
START_IDS = 1_000_000
"""Ids of chunks held at the start, which no scenario uses."""


def random_start(rng: random.Random, machine: Machine) -> StartMemory:
    """Draw counts that there can be: at each order, of n chunks left n may free a half."""
    max_page = machine.orders.max_page
    left = machine.memory_pages >> max_page
    free = [0] * (max_page + 1)
    held: list[int] = []
    for order in range(max_page, -1, -1):
        if order < max_page:
            free[order] = rng.choice([0, min(1, left), left // 3, left, rng.randint(0, left)])
            left = 2 * left - free[order]
        else:
            free[order] = rng.choice([0, left // 2, left])
            left -= free[order]
        named = min(left, rng.randint(0, 3), MAX_HELD - len(held))
        held += [order] * named
        left -= named
    rng.shuffle(held)
    return StartMemory(free, held)


def with_held(events: list[Event], start: StartMemory, rng: random.Random) -> list[Event]:
    """Put the chunks held at the start before the events, and free most of them among those."""
    first = [Event(0, "B", START_IDS + at, order) for at, order in enumerate(start.held)]
    frees = [START_IDS + at for at in range(len(first)) if rng.random() < 0.8]
    rng.shuffle(frees)
    merged: list[Event] = []
    for event in events:
        merged.append(event)
        if frees and rng.random() < 0.1:
            merged.append(Event(event.time_ns, "b", frees.pop()))
    last = merged[-1].time_ns if merged else 0
    return first + merged + [Event(last, "b", ident) for ident in frees]


@pytest.mark.parametrize("seed", SEEDS)
def test_kernel_matches_reference_from_any_memory(seed: int) -> None:
    rng = random.Random(seed)
    scenario = random_scenario(seed)
    start = random_start(rng, scenario.machine)
    run_both(scenario._replace(events=with_held(scenario.events, start, rng)), start)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_free_and_held_is_what_was_asked_for_and_could_not_have_merged(seed: int) -> None:
    rng = random.Random(seed)
    scenario = random_scenario(seed)
    machine = scenario.machine
    start = random_start(rng, machine)
    run = KernelRun(scenario._replace(events=with_held([], start, rng)), start)
    memory = model.starting_memory(run.trace, pba.Machine(*machine, start="trace"))
    free = [chunks.tolist() for chunks in memory.free]
    assert [len(chunks) for chunks in free] == start.free
    taken = np.zeros(machine.memory_pages, np.int8)
    for order, chunks in enumerate(free):
        there = set(chunks)
        assert chunks == sorted(chunks)
        for pfn in chunks:
            assert pfn % (1 << order) == 0
            taken[pfn : pfn + (1 << order)] += 1
            assert order == machine.orders.max_page or pfn ^ (1 << order) not in there
    for pfn, order in zip(memory.held.tolist(), start.held, strict=True):
        assert pfn % (1 << order) == 0
        taken[pfn : pfn + (1 << order)] += 1
    assert taken.max(initial=0) <= 1


@pytest.mark.kernel
def test_when_all_is_given_back_memory_is_as_if_it_had_never_been_taken() -> None:
    machine = Machine(4, 4 << 10, "pmd")
    start = StartMemory([0] * 9 + [1, 2], [9, 10])  # one half free, the other held; one chunk held whole
    free, places = lay_out(start, machine.memory_pages, 10)
    assert free[9:] == [[1536], [2048, 3072]]
    assert places == [1024, 0]
    trace = Trace.from_arrays(
        {"time_ns": [0, 0, 5, 6], "op": [4, 4, 5, 5], "id": [0, 1, 0, 1], "arg": [9, 10, 0, 0]},
        metadata_of(start, machine),
    )
    result = pba.replay(trace, memory_from_trace=True)
    idle = Trace.from_arrays({"time_ns": [0], "op": [2], "id": [0], "arg": [12]})
    whole = pba.replay(idle, None, result.machine.at_rest)
    assert result.counters["free_pages"] == whole.counters["free_pages"]
    assert result.counters["background_failures"] == 0
    state = model.boot(result.machine, model.starting_memory(trace, result.machine))
    assert free_lists(state)[10] == [2048, 3072]  # the first refill took the free half, a block


def metadata_of(start: StartMemory, machine: Machine, zones: int = 1) -> Metadata:
    """Say in a trace's metadata what memory there was, the counts split over some zones."""
    split = [[count // zones + (at < count % zones) for count in start.free] for at in range(zones)]
    return Metadata(
        name="t",
        page_size_kib=machine.page_size_kib,
        memory_pages=machine.memory_pages,
        buddyinfo=tuple({"node": at, "zone": "Normal", "free": free} for at, free in enumerate(split)),
        quality=Quality(background=Background(0, 13, live_at_start=len(start.held))),
    )


@pytest.mark.kernel
def test_zones_are_summed_and_larger_chunks_than_the_models_are_several() -> None:
    machine = Machine(4, 8 << 10, "pmd")
    columns = {"time_ns": [0], "op": [2], "id": [0], "arg": [12]}
    start = StartMemory([1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1], [])
    trace = Trace.from_arrays(columns, metadata_of(start, machine, zones=3))
    memory = model.starting_memory(trace, replace(model.machine_of(trace), start="trace"))
    assert [len(chunks) for chunks in memory.free] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3]


@pytest.mark.kernel
def test_what_is_not_recorded_or_does_not_fit_is_refused() -> None:
    machine = Machine(4, 2 << 10, "pmd")
    columns = {"time_ns": [0], "op": [2], "id": [0], "arg": [12]}
    with pytest.raises(TraceError, match="does not say what memory was free"):
        pba.replay(Trace.from_arrays(columns, Metadata(name="t")), memory_from_trace=True)
    full = StartMemory([0] * 9 + [3, 0], [])  # three halves of two chunks: two would have merged
    trace = Trace.from_arrays(columns, metadata_of(full, machine))
    with pytest.raises(TraceError, match="no room for the chunks of order 9"):
        pba.replay(trace, memory_from_trace=True)
    with pytest.raises(TraceError, match="free memory is that of"):
        pba.replay(trace, machine=pba.Machine(4, 4 << 10), memory_from_trace=True)
    with pytest.raises(TraceError, match="free memory is that of"):
        pba.replay(trace, machine=pba.Machine(16, 2 << 11), memory_from_trace=True)


@pytest.mark.parametrize("free", [[1, -2], [1.5], [True], [], "x", None, [0] * 33])
def test_damaged_free_memory_is_refused_when_it_is_read(free: object) -> None:
    values = Metadata(name="t").to_dict() | {"buddyinfo": [{"node": 0, "zone": "Normal", "free": free}]}
    with pytest.raises(TraceError, match="metadata is damaged: buddyinfo"):
        Metadata.from_dict(values)
