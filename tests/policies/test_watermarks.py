"""Reclaim that reacts: kernel against reference, every policy, after every event and in stretches; rule by rule."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import config

import pba
from pba import model
from pba.errors import PbaError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_SHRINK
from pba.kernel import replay as kernel
from pba.kernel import watermarks as rules
from pba.kernel.state import FREE_PAGES, NR_CACHED, NR_EVENTS, Events
from pba.kernel.watermarks import RECLAIM_COUNTERS, VISITS_AT, ReclaimHolders, Wmarks
from pba.policies.policy import Policy
from pba.trace.table import Trace
from tests import watermarks as held_against
from tests.policies.compare_rivals import FreetypeRun, GroupedRun, RivalRun, UnmappedRun
from tests.property.compare import KernelRun
from tests.property.generate import Scenario, random_scenario
from tests.reference import variants
from tests.reference.allocator import BlockAllocator
from tests.reference.freetype import Freetype
from tests.reference.grouped import Grouped
from tests.reference.machine import Event
from tests.reference.replay import Replay
from tests.reference.rivals import PteMapped, Rival, Scattered
from tests.reference.shrinker import do_shrink_slab
from tests.reference.unmapped_buddy import UnmappedBuddy
from tests.reference.watermarks import Reacting, Settings
from tests.traces import sawtooth

SEEDS = range(3) if config.DISABLE_JIT else range(24)


class OfV6:
    """The reference of v6, or of a variant, as `Reacting` asks it."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay

    def free_pages(self) -> int:
        return self.replay.pba.buddy.free_pages

    def visit(self, priority: int) -> None:
        do_shrink_slab(self.replay.pba, self.replay.thresholds, priority)
        self.replay.cached_after_passes += self.replay.pba.nr_cached

    def take(self, order: int) -> int | None:
        return self.replay.pba.buddy.alloc_pages(order)

    def take_movable(self) -> int | None:
        return self.take(0)

    def give(self, page: int, order: int) -> None:
        self.replay.pba.buddy.free_page_chunk(page, order)

    def known(self, ident: int, chunk: tuple[int, int] | None) -> None:
        if chunk is None:
            self.replay.pba.counters["background_failures"] += 1
        else:
            self.replay.background[ident] = chunk

    def pass_time(self, time_ns: int) -> None:
        before = self.replay.last_time_ns
        if before is not None:
            self.replay.cached_page_ns += self.replay.pba.nr_cached * (time_ns - before)
        self.replay.last_time_ns = time_ns

    def step(self, event: Event) -> None:
        peak, number = self.replay.peak_cached, self.replay.nr_events
        self.replay.step(event)
        # Both are of the end of an event, with what it brought about.
        self.replay.peak_cached, self.replay.nr_events = peak, number

    def end(self) -> None:
        self.replay.nr_events += 1
        self.replay.peak_cached = max(self.replay.peak_cached, self.replay.pba.nr_cached)

    def snapshot(self) -> dict[str, Any]:
        return self.replay.snapshot()


class OfRival:
    """The reference of a rival."""

    def __init__(self, rival: Rival) -> None:
        self.rival = rival

    def free_pages(self) -> int:
        return self.rival.free_pages()

    def visit(self, priority: int) -> None:
        self.rival.shrink(priority)
        self.rival.counters["held_after_passes"] += self.rival.held_pages()

    def take(self, order: int) -> int | None:
        return self.rival.system_alloc(order)

    def take_movable(self) -> int | None:
        return self.rival.buddy.alloc_pages(0)

    def give(self, page: int, order: int) -> None:
        self.rival.system_free(page, order)

    def known(self, ident: int, chunk: tuple[int, int] | None) -> None:
        if chunk is None:
            self.rival.counters["background_failures"] += 1
        else:
            self.rival.background[ident] = chunk

    def pass_time(self, time_ns: int) -> None:
        before = self.rival.last_time_ns
        if before is not None:
            self.rival.counters["held_page_ns"] += self.rival.held_pages() * (time_ns - before)
        self.rival.last_time_ns = time_ns

    def step(self, event: Event) -> None:
        kept = {name: self.rival.counters[name] for name in ("peak_held", "events")}
        self.rival.step(event)
        self.rival.counters.update({name: kept[name] - self.rival.counters[name] for name in kept})

    def end(self) -> None:
        self.rival.counters["events"] += 1
        self.rival.counters["peak_held"] = max(self.rival.counters["peak_held"], self.rival.held_pages())

    def snapshot(self) -> dict[str, Any]:
        return self.rival.snapshot()


V6 = Policy("v6")
VARIANTS: dict[str, tuple[Policy, type[BlockAllocator]]] = {
    "v6": (V6, BlockAllocator),
    "untracked": (Policy("untracked"), variants.Untracked),
    "whole-blocks": (Policy("whole-blocks"), variants.WholeBlocks),
    "cold-first": (Policy("cold-first"), variants.ColdFirst),
    "nonblock-first": (Policy("nonblock-first"), variants.NonblockFirst),
    "fullest-first": (Policy("fullest-first"), variants.FullestFirst),
}
RIVALS: dict[str, tuple[Policy, type[Rival], type[RivalRun], dict[str, Any]]] = {
    "scattered": (Policy("scattered"), Scattered, RivalRun, {}),
    "pte-mapped": (Policy("pte-mapped"), PteMapped, RivalRun, {}),
    "freetype": (Policy("freetype"), Freetype, FreetypeRun, {}),
    "freetype fallback": (Policy("freetype", fallback=True), Freetype, FreetypeRun, {"fallback": True}),
    "grouped": (Policy("grouped"), Grouped, GroupedRun, {}),
    "unmapped-buddy": (Policy("unmapped-buddy"), UnmappedBuddy, UnmappedRun, {}),
}
NAMES = [*VARIANTS, *RIVALS] if config.DISABLE_JIT else ["v6", "untracked", "freetype"]
"""Compiling a policy under reclaim takes a minute, so that most of them are held against their references without."""


class Side:
    """A scenario on both sides under a policy, with reclaim that reacts."""

    def __init__(self, name: str, scenario: Scenario, rng: random.Random) -> None:
        self.kernel, self.system = self._sides(name, scenario)
        policy = (VARIANTS.get(name) or RIVALS[name])[0]
        free = int(self.kernel.state.vars[FREE_PAGES])
        low = max(free - rng.choice([1, 100, 600, 2000]), 40)
        low_marks = Wmarks(low - rng.choice([1, 20, low // 4]), low, low + rng.choice([1, 40, 700]))
        growth = rng.choice([0, 1_000_000, 10_000_000, 40_000_000])
        share = rng.choice([0, 250_000, 333_333, 1_000_000])
        cache = self._some_pages(rng.choice([0, 40, 3000]))
        mglru = rng.random() < 0.5
        self.reference = Reacting(
            self.system, Settings(tuple(low_marks), growth, Fraction(share, 1_000_000), mglru, list(cache))
        )
        plain = self.kernel.holders
        holders = model.reclaiming_holders(
            plain,
            scenario.machine.memory_pages,
            low_marks,
            growth,
            share,
            mglru,
            np.array(cache, np.int32),
            len(scenario.events),
        )
        self.kernel.holders = holders  # type: ignore[assignment]
        self.kernel.kernel = model.kernel_functions(policy, reacts=True)

    def _sides(self, name: str, scenario: Scenario) -> tuple[KernelRun, OfV6 | OfRival]:
        if name in VARIANTS:
            policy, allocator = VARIANTS[name]
            run = KernelRun(scenario, policy=None if policy == V6 else policy)
            return run, OfV6(Replay(scenario.machine, scenario.thresholds, None, allocator))
        policy, rival, runs, parameters = RIVALS[name]
        return runs(scenario, policy), OfRival(rival(scenario.machine, **parameters))

    def _some_pages(self, count: int) -> list[int]:
        """Take page cache before the start, on both sides."""
        taken = []
        for _ in range(min(count, self.system.free_pages() // 2)):
            page = self.system.take_movable()
            assert page is not None
            taken.append(page)
        run, count = self.kernel, len(taken)
        slots = np.arange(count, dtype=np.int32)
        ops, zeros = np.full(count, OP_BG_ALLOC, np.int8), np.zeros(count, np.int8)
        holders = kernel.new_holders(0, count)
        events = Events(np.zeros(count, np.int64), ops, slots, zeros)
        run.kernel.replay_events(run.state, run.tunables, holders, events, (0, count))
        run.state.vars[NR_EVENTS] = 0
        assert holders.chunk.tolist() == taken
        return taken

    def check(self, where: str) -> None:
        """Compare everything."""
        got, wanted = self.snapshot(), self.system.snapshot()
        for part, value in wanted.items():
            assert got[part] == value, f"{part} differs {where}"
        assert reclaim_of(self.kernel.holders) == self.reference.totals(), where

    def snapshot(self) -> dict[str, Any]:
        """Return the kernel's side: its holders are more than a plain run's."""
        whole = self.kernel.holders
        self.kernel.holders = whole[:3]  # type: ignore[assignment]
        try:
            return self.kernel.snapshot()
        finally:
            self.kernel.holders = whole


def reclaim_of(holders: Any) -> dict[str, Any]:
    """Return what the kernel counts of reclaim, and its page cache, in the reference's words."""
    known = holders.reclaim
    counted = dict(zip(RECLAIM_COUNTERS, known.tolist(), strict=False))
    first, count = int(known[rules.LRU_FIRST]), int(known[rules.LRU_PAGES])
    old = holders.old[known[rules.OLD_FIRST] :].tolist()
    ring = np.roll(holders.lru, -first)[: count - len(old)]
    visits = {at: int(number) for at, number in enumerate(known[VISITS_AT : VISITS_AT + 13]) if number}
    return {
        **{name: count for name, count in counted.items() if count},
        "cache": [*old, *ring.tolist()],
        "visits": visits,
    }


def react(name: str, scenario: Scenario, seed: int) -> Side:
    """Replay a scenario on both, comparing after every event."""
    side = Side(name, scenario, random.Random(seed))
    side.check("at the start")
    for number, event in enumerate(scenario.events):
        before = sum(side.reference.by_priority.values())
        side.reference.step(event)
        side.kernel.step(event)
        side.check(f"after event {number}, {event}, under {name}")
        visited = sum(side.reference.by_priority.values()) > before
        assert bool(side.kernel.holders.visited[number]) is visited  # type: ignore[attr-defined]
    return side


@pytest.mark.kernel
@pytest.mark.parametrize("name", NAMES)
def test_policy_under_reclaim_matches_its_reference(name: str) -> None:
    reached: dict[str, int] = {}
    for seed in SEEDS:
        for key, value in react(name, random_scenario(seed), seed).reference.counted.items():
            reached[key] = reached.get(key, 0) + value
    wanted = {"kswapd_wakes", "lru_reclaimed", "page_cache_grown", "direct_reclaims"}
    assert wanted <= reached.keys() or config.DISABLE_JIT


@pytest.mark.kernel
@pytest.mark.parametrize("name", NAMES)
def test_stretches_end_where_single_events_do(name: str) -> None:
    for seed in SEEDS:
        scenario = random_scenario(seed)
        side = Side(name, scenario, random.Random(seed))
        cuts = random.Random(seed)
        done = 0
        while done < len(scenario.events):
            events = scenario.events[done : done + cuts.choice([1, 7, 100, 5000])]
            for event in events:
                side.reference.step(event)
            side.kernel.jump(events)
            done += len(events)
            side.check(f"after event {done}, under {name}, seed {seed}")


@pytest.mark.kernel
@settings(
    max_examples=2 if config.DISABLE_JIT else 5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(seed=st.integers(0, 1 << 20), of=st.integers(1000, 1 << 20))
def test_v6_under_reclaim_matches_its_reference_on_any_seed(seed: int, of: int) -> None:
    react("v6", random_scenario(of), seed)


# Rule by rule


@pytest.mark.kernel
@given(value=st.integers(0, 1 << 60))
def test_int_sqrt(value: int) -> None:
    assert rules.int_sqrt(value) == math.isqrt(value)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("kbytes", "found"), [(16 << 20, 16384), (1 << 20, 4096), (100, 128), (1 << 40, 262144), (1023, 128)]
)
def test_calculate_min_free_kbytes(kbytes: int, found: int) -> None:
    assert rules.calculate_min_free_kbytes(kbytes) == found


@pytest.mark.kernel
def test_set_recommended_min_free_kbytes_wants_eleven_page_blocks_and_at_most_a_twentieth() -> None:
    assert rules.set_recommended_min_free_kbytes(4096, 4 << 20, 4, 9) == 11 * 2048
    assert rules.set_recommended_min_free_kbytes(4096, 20_000, 4, 9) == 4096  # a twentieth is 4000 KiB
    assert rules.set_recommended_min_free_kbytes(3000, 20_000, 4, 9) == 4000
    assert rules.set_recommended_min_free_kbytes(90_000, 4 << 20, 4, 9) == 90_000


@pytest.mark.kernel
def test_setup_per_zone_wmarks_of_16_gib() -> None:
    setup = rules.__setup_per_zone_wmarks
    assert setup(4096, 4 << 20) == (4096, 8290, 12484)  # the gap is a thousandth of memory
    assert setup(40_960, 4 << 20) == (40_960, 51_200, 61_440)  # or a quarter of min


@pytest.mark.kernel
def test_watermarks_of_a_machine() -> None:
    machine = pba.Machine(4, 4 << 20)
    assert model.marks_of(pba.Watermarks(thp=False), machine) == (4096, 8290, 12484)
    assert model.marks_of(pba.Watermarks(), machine).min == 11 * 512
    assert model.marks_of(pba.Watermarks(min_free_kbytes=400), machine).min == 100
    with pytest.raises(PbaError, match="the high watermark, 1572864 pages, is more than the memory: 4 GiB"):
        model.marks_of(pba.Watermarks(min_free_kbytes=4 << 20), pba.Machine(4, 1 << 20))


def kept(
    free: int = 1000,
    marks: tuple[int, int, int] = (100, 200, 300),
    cache: int = 0,
    share: int = 1_000_000,
    mglru: bool = False,
    growth: int = 0,
) -> tuple[Any, Any, Any]:
    """Return a state of 4096 pages of which so many are free, its thresholds and holders with page cache."""
    state = model.boot(pba.Machine(4, 4096, "pmd"))
    none = Trace.from_arrays({"time_ns": [], "op": [], "id": [], "arg": []})
    tunables, plain, _ = model.prepare(none, pba.Thresholds(16, 64, 512))
    taken = int(state.vars[FREE_PAGES]) - free
    holders = kernel.new_holders(0, taken)
    slots = np.arange(taken, dtype=np.int32)
    ops, zeros = np.full(taken, OP_BG_ALLOC, np.int8), np.zeros(taken, np.int8)
    kernel.replay_events(
        state, tunables, holders, Events(np.zeros(taken, np.int64), ops, slots, zeros), (0, taken)
    )
    state.vars[NR_EVENTS] = 0
    pages = holders.chunk[:cache].copy()
    return state, tunables, model.reclaiming_holders(plain, 4096, Wmarks(*marks), growth, share, mglru, pages)


def replayed(kept: tuple[Any, Any, Any], *events: tuple[int, int, int, int]) -> dict[str, Any]:
    """Replay events (time, op, slot, arg) and return what is counted."""
    state, tunables, holders = kept
    columns = [np.array(column) for column in zip(*events, strict=True)]
    types = (np.int64, np.int8, np.int32, np.int8)
    given = Events(*(column.astype(kind) for column, kind in zip(columns, types, strict=True)))
    slots = ReclaimHolders(
        np.full(9, -1, np.int32), np.full(9, -1, np.int32), np.zeros(9, np.int8), *holders[3:]
    )
    rules.replay_events(state, tunables, slots, given, (0, len(events)))
    return {**reclaim_of(slots), "free": int(state.vars[FREE_PAGES]), "chunk": slots.chunk.tolist()}


QUIET = (1, OP_BG_FREE, -1, 0)
"""An event that does nothing."""


@pytest.mark.kernel
def test_wakeup_kswapd_runs_at_low_and_not_above() -> None:
    assert "kswapd_wakes" not in replayed(kept(201), QUIET)
    assert replayed(kept(200), QUIET)["kswapd_wakes"] == 1


@pytest.mark.kernel
def test_balance_pgdat_goes_from_the_mildest_priority_until_more_than_high_is_free() -> None:
    found = replayed(kept(200, cache=1024), QUIET)
    # 1024 pages scanned at 12 to 1 in shares of 2 ** p: none down to 11, then 1, 1, 3, 7, 15, ...
    assert found["visits"] == {12: 1, 11: 1, 10: 1, 9: 1, 8: 1, 7: 1, 6: 1, 5: 1, 4: 1}
    assert found["free"] > 300
    assert found["lru_reclaimed"] == found["free"] - 200 == 1024 - len(found["cache"])


@pytest.mark.kernel
def test_balance_pgdat_keeps_a_priority_at_which_it_scans_as_much_as_it_wants() -> None:
    found = replayed(kept(20, (10, 20, 33), cache=2600, share=125_000), QUIET)
    # 2600 pages of page cache are 40 at 6, and 33 are wanted.
    assert [priority for priority, times in found["visits"].items() if times > 1] == [6]
    # With nothing given back it goes on to the next, however much it scans.
    found = replayed(kept(20, (10, 20, 33), cache=2600, share=0), QUIET)
    assert set(found["visits"].values()) == {1}
    assert found["kswapd_failures"] == 1
    # 650 of 2600 pages at 2, more than the goal of 600: it repeats 2 until that is no longer so.
    found = replayed(kept(20, (10, 20, 600), cache=2600, share=100_000), QUIET)
    assert found["visits"][2] > 1


@pytest.mark.kernel
def test_kswapd_gives_up_after_sixteen_runs_that_reclaim_nothing() -> None:
    found = replayed(kept(200), *([QUIET] * 40))
    assert found["kswapd_wakes"] == found["kswapd_failures"] == 16
    assert found["kswapd_visits"] == 16 * 12


@pytest.mark.kernel
def test_a_run_that_the_shrinker_alone_ends_is_no_failure() -> None:
    state, _, holders = kept(1, (0, 1, 2))
    tunables = model.tunables_of(pba.Thresholds(16, 1, 64))
    assert state.vars[NR_CACHED] == 512
    found = replayed(
        (state, tunables, holders), (1, OP_ALLOC, 0, 0)
    )  # or the whole block is more than may go
    assert found["kswapd_wakes"] == 1
    assert "kswapd_failures" not in found
    assert found["kswapd_visits"] == 1
    assert found["free"] > 2


@pytest.mark.kernel
def test_set_initial_priority_of_the_multi_gen_lru() -> None:
    for pages, goal, found in [(131072, 8448, 6), (1 << 20, 32, 12), (1 << 20, 512, 11), (100, 100, 6)]:
        assert rules.initial_priority(pages, goal) == found
    assert min(replayed(kept(200, cache=1024, mglru=True), QUIET)["visits"]) == 4
    assert max(replayed(kept(200, cache=1024, mglru=True), QUIET)["visits"]) == 6


@pytest.mark.kernel
def test_zone_watermark_ok_leaves_min_free() -> None:
    marks = (100, 1, 2)
    found = replayed(kept(163, marks), (1, OP_BG_ALLOC, 0, 6))
    assert found["chunk"][0] == -1  # 63 beyond the first page: 100 are left, and min is 100
    found = replayed(kept(164, marks), (1, OP_BG_ALLOC, 0, 6))
    assert found["chunk"][0] != -1


@pytest.mark.kernel
def test_try_to_free_pages_stops_at_32_and_is_tried_sixteen_times_for_small_chunks() -> None:
    found = replayed(kept(100, (100, 1, 2), cache=2048), (1, OP_BG_ALLOC, 0, 0))
    assert found["direct_reclaims"] == 1
    assert found["lru_reclaimed"] == 58  # 1, 1, 3, 7, 15 and then 31
    assert min(found["visits"]) == 6
    assert found["free"] == 157
    for order, tries in ((3, 16), (4, 1)):
        found = replayed(kept(100, (100, 1, 2)), (1, OP_BG_ALLOC, 0, order))
        assert found["direct_reclaims"] == tries
        assert found["visits"] == dict.fromkeys(range(13), tries)
        assert found["chunk"][0] == -1


@pytest.mark.kernel
def test_shrink_lruvec_gives_back_a_share_oldest_first_and_the_rest_goes_round() -> None:
    state, tunables, holders = kept(100, (100, 1, 2), cache=4, share=500_000)
    oldest = holders.old.tolist()
    found = replayed((state, tunables, holders), (1, OP_BG_ALLOC, 0, 4))
    # 2 of 4 at priority 1, one of which goes; then all 3 at 0, the second and the one that went round.
    assert found["lru_scanned"] == 6
    assert found["cache"] == [oldest[0]]


@pytest.mark.kernel
def test_page_cache_grows_with_time_to_the_page() -> None:
    start, second = (0, OP_BG_FREE, -1, 0), 10**9
    for end, pages in [(second // 3, 0), (second // 3 + 1, 1), (second, 3), (2 * second, 6)]:
        found = replayed(kept(900, growth=3), start, (end // 2, *QUIET[1:]), (end, *QUIET[1:]))
        assert found.get("page_cache_grown", 0) == pages
        assert len(found["cache"]) == pages


@pytest.mark.kernel
def test_recorded_visits_are_left_out_but_those_of_drop_caches() -> None:
    for priority, calls in ((12, 0), (1, 0), (0, 1)):
        state, tunables, holders = kept()
        replayed((state, tunables, holders), (1, OP_SHRINK, 0, priority))
        assert model.counters_of(state)["shrink_calls"] == calls


# What users see


@pytest.mark.kernel
def test_without_it_a_replay_is_what_it_was() -> None:
    trace = sawtooth()
    machine = pba.Machine(4, 16384, "pud")
    plain = pba.replay(trace, machine=machine)
    assert pba.replay(trace, machine=machine, reclaim="recorded").to_json() == plain.to_json()
    assert "watermarks" not in plain.to_dict()
    reacts = pba.replay(trace, machine=machine, reclaim="watermarks", timeline=True, checkpoint_every=100)
    assert reacts.to_dict()["watermarks"] == pba.Watermarks().to_dict()
    assert reacts.counters["kswapd_visits"] == 0
    assert list(reacts.to_frame().index)[-1] == "page_cache_pages"
    assert reacts.timeline is not None
    stays = (trace.op == OP_DROP) | ((trace.op == OP_SHRINK) & (trace.arg == 0))
    assert (reacts.timeline["visited"] == stays).all()
    assert reacts.checkpoints is not None
    assert len(reacts.checkpoints) == len(trace) // 100


@pytest.mark.kernel
def test_page_cache_at_the_start_is_held_memory_and_nobody_elses() -> None:
    trace = pba.read_trace("dpkg-x86")
    machine = pba.Machine(4, 262144, start="trace")
    memory = model.starting_memory(trace, machine)
    _, holders, _ = model.prepare(trace, None, memory)
    whole = model.page_cache_at_start(machine, memory, holders, 1_000_000)
    assert len(whole) == len(set(whole.tolist()))
    free = sum(len(chunks) << order for order, chunks in enumerate(memory.free)) if memory else 0
    named = sum(1 << int(order) for order in holders.chunk_order[holders.chunk >= 0])
    assert len(whole) + free + named == machine.memory_pages
    half = model.page_cache_at_start(machine, memory, holders, 500_000)
    assert half.tolist() == whole[: len(whole) // 2].tolist()


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"min_free_kbytes": -1}, "min_free_kbytes=-1 is out of range"),
        ({"page_cache_growth": 1.5}, "page_cache_growth=1.5 is out of range"),
        ({"reclaimable_share": 2}, "reclaimable_share=2 is out of range"),
        ({"page_cache_share": float("nan")}, "page_cache_share=nan is out of range"),
        ({"mglru": 1}, "mglru=1 is not possible"),
    ],
)
def test_parameters_out_of_range_are_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(PbaError, match=told):
        pba.Watermarks(**words)


@pytest.mark.kernel
def test_other_reclaim_is_refused() -> None:
    with pytest.raises(PbaError, match="reclaim='often' is not possible"):
        pba.replay(sawtooth(), reclaim="often")
    with pytest.raises(PbaError, match="a compiled trace is replayed with the recorded pressure"):
        pba.replay(pba.compile_trace(sawtooth()), reclaim="watermarks")


# Against what was recorded


@pytest.mark.skipif(config.DISABLE_JIT, reason="without the JIT the recordings take too long")
def test_the_defaults_of_page_cache_are_what_fits_the_recordings() -> None:
    assert [trace.name for trace in held_against.traces()] == ["containers-x86", "dpkg-x86", "stress-x86"]
    _, best = held_against.fit()
    assert best == pba.Watermarks(mglru=True)


def test_runs_are_told_apart_by_priority_and_time() -> None:
    times = [0, 1, 2, 3, 10**9 + 4, 10**9 + 5, 10**9 + 6]
    trace = Trace.from_arrays({"time_ns": times, "op": [2] * 7, "id": [0] * 7, "arg": [6, 5, 6, 5, 4, 4, 0]})
    # 6 5, 6 5, then 4 a second later, another 4; and drop_caches is none.
    assert held_against.recorded(trace) == held_against.Pressure(4, 6)
