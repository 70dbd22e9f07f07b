"""The jitted kernel against the reference rules: the whole state, after every event."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import event as note_event
from hypothesis import strategies as st
from numba import config

from tests.property.compare import KernelRun, run_both
from tests.property.generate import (
    MAX_BURST,
    Action,
    Scenario,
    expand,
    linear_maps,
    machine_sizes,
    random_scenario,
    take_all_memory,
)
from tests.reference.machine import ORDERS, Event, Machine, Thresholds
from tests.reference.replay import COUNTERS, Replay

SEEDS = range(150)
COMPARED_SEEDS = range(30) if config.DISABLE_JIT else SEEDS
"""Without the JIT an event takes long; the figures worked out below and a few seeds must do then."""
RARE = (
    "alloc_failures", "refill_failures", "refills_mid", "refills_min", "pud_splits", "contpmd_splits",
    "whole_blocks_released", "blocks_split_by_shrinker", "scan_stops", "pages_leaked", "deadlocks",
)  # fmt: skip
"""What random events seldom reach unless they are led there."""


# Scenarios that Hypothesis draws


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    page_size_kib = draw(st.sampled_from([4, 64, 16]))
    chunks = draw(st.sampled_from(machine_sizes(page_size_kib)))
    linear_map = draw(st.sampled_from(linear_maps(page_size_kib)))
    return Machine(page_size_kib, chunks << ORDERS[page_size_kib].max_page, linear_map)


@st.composite
def thresholds(draw: st.DrawFn, machine: Machine) -> Thresholds:
    block = 1 << machine.orders.block
    most = min(2 * block, machine.memory_pages)
    return Thresholds(
        draw(st.sampled_from([0, 1, 2, 3, 4, 5, 16, block]) | st.integers(0, most)),
        draw(st.sampled_from([1, block // 8, block]) | st.integers(1, block)),
        draw(st.sampled_from([1, 37, block // 4, block]) | st.integers(1, most)),
    )


def actions(machine: Machine) -> st.SearchStrategy[list[Action]]:
    """Draw bursts, some of which leave next to no memory."""
    orders = machine.orders
    burst = st.integers(1, 40) | st.integers(1, MAX_BURST)
    which = st.sampled_from([0, 1, 2, 3, 9])
    one = st.one_of(
        st.builds(Action, st.just("alloc"), burst),
        st.builds(Action, st.just("free"), burst, which),
        st.builds(Action, st.just("shrink"), st.integers(1, 3), st.integers(0, 12)),
        st.builds(Action, st.just("drop"), st.just(1)),
        st.builds(Action, st.just("take"), st.integers(1, 3), st.integers(0, orders.max_page)),
        st.builds(Action, st.just("give"), st.integers(1, 4), which),
        st.builds(Action, st.just("stray"), st.just(1), st.integers(0, 3)),
    )
    some = st.builds(lambda action: [action], one)
    squeeze = st.builds(take_all_memory, st.just(machine), st.integers(0, orders.block))
    return st.lists(st.one_of(some, some, squeeze), min_size=1, max_size=12).map(flatten)


def flatten(lists: list[list[Action]]) -> list[Action]:
    return [action for actions in lists for action in actions]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    machine = draw(machines())
    return Scenario(machine, draw(thresholds(machine)), expand(draw(actions(machine))))


@settings(
    max_examples=5 if config.DISABLE_JIT else 50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios())
def test_kernel_matches_reference(scenario: Scenario) -> None:
    totals = run_both(scenario).totals()
    reached = [name for name in RARE if totals[name]]
    for name in reached:
        note_event(name)
    target(float(len(reached)), label="rare counters reached")


# Scenarios from seeds: the same ones in every run


@pytest.mark.parametrize("seed", COMPARED_SEEDS)
def test_kernel_matches_reference_on_seed(seed: int) -> None:
    run_both(random_scenario(seed))


@pytest.mark.parametrize("seed", COMPARED_SEEDS)
def test_stretches_end_where_single_events_do(seed: int) -> None:
    """Held against the reference are single events; a replay takes them in stretches, of any length."""
    scenario = random_scenario(seed)
    events = scenario.events
    cuts = sorted(random.Random(seed).choices(range(len(events)), k=9))
    single, cut, whole = KernelRun(scenario), KernelRun(scenario), KernelRun(scenario)
    for first, end in pairwise([0, *cuts, len(events)]):
        for event in events[first:end]:
            single.step(event)
        cut.jump(events[first:end])
        assert cut.snapshot() == single.snapshot()
    whole.jump(events)
    assert whole.snapshot() == single.snapshot()


@cache
def reference_totals(seed: int) -> dict[str, int]:
    scenario = random_scenario(seed)
    reference = Replay(scenario.machine, scenario.thresholds)
    for step in scenario.events:
        reference.step(step)
    return reference.totals()


def test_seeds_reach_every_counter() -> None:
    """Whatever can be counted is counted in some of the scenarios that the kernel is held against."""
    reached: Counter[str] = Counter()
    for seed in SEEDS:
        reached.update(name for name in COUNTERS if reference_totals(seed)[name] > 0)
    assert [name for name in COUNTERS if reached[name] == 0] == []


def test_seeds_reach_failed_releases_of_whole_blocks() -> None:
    """A whole block that cannot be released comes back: no counter of its own tells, but two others do."""
    failed = 0
    for seed in SEEDS:
        totals, machine = reference_totals(seed), random_scenario(seed).machine
        beyond_single_pages = totals["unprotect_pages"] - totals["unprotect_calls"]
        whole, rest = divmod(beyond_single_pages, (1 << machine.orders.block) - 1)
        assert rest == 0
        failed += whole - totals["whole_blocks_released"]
    assert failed > 0


def test_seeds_cover_all_kinds_of_machines() -> None:
    scanned = {
        (machine.page_size_kib, machine.linear_map)
        for seed in SEEDS
        if reference_totals(seed)["scan_calls"] and (machine := random_scenario(seed).machine)
    }
    assert scanned == {(size, name) for size in (4, 16, 64) for name in linear_maps(size)}


# The smallest ways into the corners, with figures worked out by hand

TWO_BLOCKS = Machine(4, 1024, "pmd")
"""Pages 0 to 511, which the boot caches, and pages 512 to 1023."""


def outcome(scenario: Scenario, **wanted: int) -> None:
    """Run a scenario on both and hold some of its figures against those worked out."""
    totals = run_both(scenario).totals()
    assert {name: totals[name] for name in wanted} == wanted


def test_refill_that_needs_a_refill_is_a_deadlock() -> None:
    """A shrinker that may take every page leaves none for the refill that its own release needs.

    The other block is broken up, so that no refill of a whole block is left. The pass takes all 512 cached
    pages off the list; the release finds none cached and refills; the refill gets 16 pages at 768, inside a
    PMD leaf that must be split for them; the table for that would have to come from the cache. With any
    PBA_UNSHRINKABLE_PAGES of 2 or more this cannot be: a refill takes at most two tables (one PUD, one PMD).
    """
    events = [Event(1, "B", 1, 8), Event(2, "S", 0, 0)]
    outcome(
        Scenario(TWO_BLOCKS, Thresholds(0, 1, 128), events),
        deadlocks=1, refills_block=1, refills_mid=1, refill_failures=0, protect_calls=2, protect_pages=528,
        unprotect_calls=1, unprotect_pages=512, pmd_splits=0, split_table_pages=0,
        scan_calls=1, scan_stops=1, whole_blocks_released=0, pages_released=0,
        nr_cached=512, free_pages=256, nr_deferred=256,
    )  # fmt: skip


def test_whole_block_comes_back_if_its_release_fails() -> None:
    """With all other memory taken the release's refill fails; the pages are cached again, in no block."""
    events = [Event(1, "B", 1, 9), Event(2, "S", 0, 0)]
    scenario = Scenario(TWO_BLOCKS, Thresholds(0, 1, 128), events)
    outcome(
        scenario,
        refill_failures=1, deadlocks=0, unprotect_pages=512, whole_blocks_released=0, pages_released=0,
        scan_stops=1, nr_cached=512, free_pages=0, pages_leaked=0,
    )  # fmt: skip
    pba = run_both(scenario).pba
    assert list(pba.cached_list) == list(range(511, -1, -1))
    assert not pba.in_block
    assert not pba.block_nr_free


def test_pages_behind_a_failed_release_are_lost() -> None:
    """The third pass at last is large enough to take all 511 pages; the first of them cannot be released."""
    events = [Event(1, "A", 1), Event(2, "B", 1, 9), *(Event(3 + i, "S", 0, 0) for i in range(3))]
    outcome(
        Scenario(TWO_BLOCKS, Thresholds(0, 1, 1024), events),
        scan_calls=1, blocks_split_by_shrinker=1, refill_failures=1, unprotect_calls=1, scan_stops=1,
        pages_leaked=510, pages_released=0, nr_cached=1, free_pages=0, nr_deferred=765,
        cached_after_passes=511 + 511 + 1,
    )  # fmt: skip


def test_whole_block_is_released_unsplit() -> None:
    """The pass takes the whole cache, refills it with the other block, and gives the first one back."""
    outcome(
        Scenario(TWO_BLOCKS, Thresholds(0, 512, 128), [Event(1, "S", 0, 0)]),
        scan_calls=1, whole_blocks_released=1, pages_released=512, unprotect_calls=1, refills_block=2,
        pmd_splits=0, contpte_splits=0, nr_cached=512, free_pages=512, nr_deferred=0,
    )  # fmt: skip


def test_empty_block_that_may_not_go_whole_stops_the_pass() -> None:
    outcome(
        Scenario(TWO_BLOCKS, Thresholds(1, 1, 128), [Event(1, "S", 0, 0)]),
        scan_calls=1, scan_stops=1, whole_blocks_released=0, pages_released=0, nr_cached=512, nr_deferred=255,
    )  # fmt: skip


@pytest.mark.parametrize("batch", [1, 512])
@pytest.mark.parametrize("which", [0, 2, 9])
def test_pages_of_two_blocks_are_told_apart_when_all_memory_is_cached(which: int, batch: int) -> None:
    """Nothing may be lost where the cached list and the release list together are as long as memory."""
    bursts = [Action("alloc", 1020), Action("free", 1020, which), Action("shrink", 1, 0)]
    outcome(
        Scenario(TWO_BLOCKS, Thresholds(0, 1, batch), expand(bursts)),
        refills_block=2, whole_blocks_released=1, pages_released=512, nr_cached=512, free_pages=512,
    )  # fmt: skip


def test_free_of_a_failed_allocation_changes_nothing() -> None:
    """All memory is taken and the cache is down to the reserve; the id is free to be used again."""
    allocs = [Event(2 + i, "A", i) for i in range(509)]
    events = [Event(1, "B", 1, 9), *allocs, Event(600, "F", 508), Event(601, "F", 0), Event(602, "A", 508)]
    outcome(
        Scenario(TWO_BLOCKS, Thresholds(16, 64, 512), events),
        allocs=509, alloc_failures=1, refill_failures=1, frees=1, nr_cached=4, free_pages=0,
    )  # fmt: skip


def test_halves_of_the_largest_chunk_never_go_to_the_tail() -> None:
    """What the chunk at 2560 and its buddy would make cannot merge again, though its neighbour is free."""
    takes = [Event(number, "B", number, 9) for number in range(1, 6)]  # 512, 1024, 1536, 2048, 2560
    scenario = Scenario(
        Machine(4, 4096, "pmd"), Thresholds(16, 64, 512), [*takes, Event(6, "b", 1), Event(7, "b", 5)]
    )
    assert list(run_both(scenario).pba.buddy.free_area[9]) == [2560, 512]


def test_as_many_nonblock_pages_as_asked_for_spare_the_block() -> None:
    """A pass leaves three pages in no block; a refill brings a block; the next pass asks for three."""
    allocs = [Event(number, "A", number) for number in range(505)]
    events = [*allocs, Event(600, "S", 0, 0), Event(601, "A", 505)]
    scenario = Scenario(TWO_BLOCKS, Thresholds(0, 1, 3), events)
    outcome(scenario, blocks_split_by_shrinker=1, nonblock_scans=0, nr_cached=514, refills_block=2)
    # 257 pages wanted by threes: the 3 in no block, 3 of the block (split), then 83 times what is left of it.
    outcome(
        scenario._replace(events=[*events, Event(602, "S", 0, 0)]),
        blocks_split_by_shrinker=2, nonblock_scans=84,
    )  # fmt: skip
