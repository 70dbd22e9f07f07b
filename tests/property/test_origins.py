"""Where splits come from, held against the reference, scan by scan; and against the plain replay, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numba import config

import pba
from pba import model
from pba.kernel.origins import BY_BLOCK, BY_PAGES, BY_REFILL
from pba.machine import Machine, Thresholds
from tests.property.compare import KernelRun
from tests.property.generate import Scenario, random_scenario
from tests.reference import shrinker
from tests.reference.linear_map import Leaf
from tests.reference.replay import Replay

SEEDS = range(9 if config.DISABLE_JIT else 150)


def by_the_reference(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, ...]]:
    """Yield what splits each block: how many events had happened, block, cause, and what was cached before."""
    run = Replay(scenario.machine, scenario.thresholds)
    pba = run.pba
    order = scenario.machine.orders.block

    def split() -> set[int]:
        return {at for at, leaf in enumerate(pba.linear_map.leaves) if leaf is Leaf.PTE}

    known = split()
    yield from ((0, block, BY_REFILL, 0, 0, 0, 0) for block in sorted(known))
    scans: list[tuple[Any, ...]] = []
    plain = shrinker.pba_shrink_scan

    def watched(pba: Any, thresholds: Any, nr_to_scan: int) -> Any:
        before, nr_cached = split(), pba.nr_cached
        found = shrinker.find_emptiest_block(pba)
        outside = sum(pba.block_head_page(page) is None for page in pba.cached_list)
        whole = found.nr_pages_target_block == pba.block_nr_pages
        part = not whole and shrinker.block_worth_shrinking(found, thresholds, nr_to_scan)
        cause = BY_BLOCK if part else BY_REFILL if whole else BY_PAGES
        target = None if found.target_block is None else found.target_block >> order
        outcome = plain(pba, thresholds, nr_to_scan)
        for block in sorted(split() - before):
            chosen = block == target
            own = BY_REFILL if cause == BY_BLOCK and not chosen else cause
            free = found.nr_pages_target_block if chosen else 0
            scans.append((block, own, free, outside, nr_cached, nr_to_scan))
        return outcome

    monkeypatch.setattr(shrinker, "pba_shrink_scan", watched)
    for at, event in enumerate(scenario.events, 1):
        scans.clear()
        before, nr_cached = split(), pba.nr_cached
        run.step(event)
        yield from ((at, *row) for row in scans)
        others = split() - before - {row[0] for row in scans}
        yield from ((at, block, BY_REFILL, 0, 0, nr_cached, 0) for block in sorted(others))


@pytest.mark.kernel
@pytest.mark.parametrize("seed", SEEDS)
def test_each_split_is_the_references(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = random_scenario(seed)
    run = KernelRun(scenario)
    machine, thresholds = Machine(*scenario.machine), Thresholds(*scenario.thresholds)
    ends = np.linspace(0, len(run.trace), 5).astype(np.int64)[1:]
    result, log = model.replay_origins(run.trace, thresholds, machine, ends)
    assert [tuple(row) for row in log.rows.tolist()] == list(by_the_reference(scenario, monkeypatch))
    assert len(log.rows) == result.counters["pmd_splits"]
    plain = pba.replay(run.trace, thresholds, machine)
    assert result.counters == plain.counters
    other, windows = model.replay_windows(run.trace, thresholds, machine, ends)
    assert other.counters == plain.counters
    assert (windows.rows == log.windows.rows).all() and (windows.blocks == log.windows.blocks).all()
    run.jump(scenario.events)
    assert (log.nr_free[-1] == run.state.block_nr_free).all()


def test_seeds_reach_every_cause() -> None:
    seen: set[int] = set()
    for seed in SEEDS:
        run = KernelRun(scenario := random_scenario(seed))
        ends = np.array([len(run.trace)])
        log = model.replay_origins(
            run.trace, Thresholds(*scenario.thresholds), Machine(*scenario.machine), ends
        )[1]
        seen |= set(log.rows[:, 2].tolist())
    assert seen >= ({BY_REFILL} if config.DISABLE_JIT else {BY_REFILL, BY_BLOCK, BY_PAGES})
