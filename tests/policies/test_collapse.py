"""`v6+collapse` against its reference, and the smallest ways into its corners, with figures worked out by hand."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numba import config

import pba
from pba.kernel.state import LEAF_PTE
from pba.policies.collapse import FoldingState
from pba.policies.policy import Policy
from pba.policies.state import CONTPMD_COLLAPSES, FLUSH_ALL, PMD_COLLAPSES
from pba.probe.measures import measured, over_time
from tests.property.compare import KernelRun, run_both
from tests.property.generate import Action, Scenario, expand, random_scenario
from tests.property.test_kernel_against_reference import scenarios
from tests.reference.collapse import Collapsing
from tests.reference.machine import Event, Machine, Thresholds

pytestmark = pytest.mark.kernel

POLICY = Policy("v6+collapse")
FOLDS = ("pmd_collapses", "contpmd_collapses")


class FoldingRun(KernelRun):
    """The kernel's side: what it knows of pkeys and tables."""

    def own(self) -> Any:
        """Return pages with the pkey by block, tables by block, and what was folded."""
        state: FoldingState = self.state  # type: ignore[assignment]
        split = np.flatnonzero(state.leaf == LEAF_PTE).tolist()
        counted = [int(state.vars[at]) for at in (PMD_COLLAPSES, CONTPMD_COLLAPSES, FLUSH_ALL)]
        return {
            "pkey_pages": {block: int(nr) for block, nr in enumerate(state.block_pkey_pages) if nr},
            "tables": {block: int(state.block_tables[block]) for block in split},
            "folds": dict(zip((*FOLDS, "flush_all"), counted, strict=True)),
        }


def run(scenario: Scenario) -> Counter[str]:
    """Run a scenario on both; return the reference's counters."""
    return run_both(scenario, policy=POLICY, allocator=Collapsing, run=FoldingRun).pba.counters


@settings(
    max_examples=2 if config.DISABLE_JIT else 15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenario=scenarios())
def test_it_matches_its_reference(scenario: Scenario) -> None:
    run(scenario)


def folding_scenario(seed: int) -> Scenario:
    """Return rounds in which a block is shrunk in part, mostly by fours, and then all of its pages are wanted again."""
    rng = random.Random(seed)
    actions = [Action("take", 1, 9)] if rng.random() < 0.9 else []
    for _ in range(rng.randint(1, 3)):
        actions += [
            Action("alloc", rng.choice([4, 8, 20, 28])),
            Action("shrink", rng.randint(2, 4), 0),
            Action("alloc", 530),
            Action("free", rng.choice([300, 600]), rng.choice([0, 1])),
        ]
    thresholds = Thresholds(
        rng.choice([8, 16, 40]), rng.choice([1, 64, 256]), rng.choice([37, 512, 512, 512])
    )
    return Scenario(Machine(4, 1024, rng.choice(["pmd", "contpmd"])), thresholds, expand(actions))


def test_it_matches_its_reference_on_seeds() -> None:
    reached: Counter[str] = Counter()
    for seed in range(2 if config.DISABLE_JIT else 24):
        reached.update(run(folding_scenario(seed) if seed % 3 else random_scenario(seed)))
    if not config.DISABLE_JIT:
        assert reached["pmd_collapses"] > 5, reached


# Figures worked out by hand. 4 KiB pages: a block has 512.


def outcome(scenario: Scenario, **wanted: int) -> Collapsing:
    """Run a scenario on both and hold some of its figures against those worked out."""
    replay = run_both(scenario, policy=POLICY, allocator=Collapsing, run=FoldingRun)
    assert {name: replay.pba.counters[name] for name in wanted} == wanted
    assert isinstance(replay.pba, Collapsing)
    return replay.pba


def test_a_block_folds_when_the_last_page_outside_of_the_cache_has_come_back() -> None:
    """There is one block, and the system has the other: the shrinker takes 488 pages out of it, and splits it.

    Its table is page 15, on which the list's head was. Refills of 16 and 4 pages bring all of it back; then the table
    is cached below the last refill's pages.
    """
    actions = [
        Action("take", 1, 9), Action("alloc", 8), Action("shrink", 2, 0), Action("alloc", 11 + 484 + 1)
    ]  # fmt: skip
    pba = outcome(
        Scenario(Machine(4, 1024, "pmd"), Thresholds(16, 1, 512), expand(actions)),
        pages_released=488, pmd_splits=1, contpte_splits=31, split_table_pages=1, refills_mid=30, refills_min=2,
        pmd_collapses=1, flush_all=1, contpmd_collapses=0,
    )  # fmt: skip
    assert list(pba.cached_list)[3:] == [15, 3, 2, 1, 0]
    assert pba.linear_map.contptes == set()


def test_a_block_folds_when_its_last_page_is_given_back() -> None:
    """The second block but its first page goes, for a table in the first one (page 3); later that page goes too."""
    events = expand([Action("alloc", 509), Action("shrink", 3, 0), Action("alloc", 2)])
    now = events[-1].time_ns
    events += [Event(now + 1, "F", 509), Event(now + 2, "S", 0, 0), Event(now + 3, "S", 0, 0)]
    pba = outcome(
        Scenario(Machine(4, 2048, "pmd"), Thresholds(4, 511, 512), events),
        pages_released=512, refills_block=3, pmd_splits=1, pmd_collapses=1, flush_all=1, contpte_splits=32,
    )  # fmt: skip
    assert pba.cached_list[0] == 3
    assert pba.linear_map.tables == {}


def test_a_contpmd_is_marked_again_for_no_flush_of_its_own() -> None:
    """The system holds the first contPMD but for the block of boot; one block of the second comes and goes whole."""
    actions = [Action("take", 1, 9), Action("take", 7, 10), Action("alloc", 509), Action("free", 1, 0)]
    scenario = Scenario(
        Machine(4, 16384, "contpmd"), Thresholds(4, 64, 512), expand([*actions, Action("shrink", 2, 0)])
    )
    outcome(
        scenario, whole_blocks_released=1, contpmd_splits=2, contpmd_collapses=1, pmd_collapses=0, flush_all=0
    )
    marks_nothing = scenario._replace(machine=Machine(4, 16384, "pmd"))
    outcome(marks_nothing, whole_blocks_released=1, contpmd_splits=0, contpmd_collapses=0)


def test_a_timeline_and_the_measures_know_what_was_folded() -> None:
    events = expand([Action("alloc", 509), Action("shrink", 3, 0), Action("alloc", 2)])
    now = events[-1].time_ns
    events += [Event(now + 1, "F", 509), Event(now + 2, "S", 0, 0), Event(now + 3, "S", 0, 0)]
    trace = KernelRun(Scenario(Machine(4, 2048, "pmd"), Thresholds(4, 511, 512), events)).trace
    machine, thresholds = pba.Machine(4, 2048, "pmd"), pba.Thresholds(4, 511, 512)
    result = pba.replay(trace, thresholds, machine, policy=POLICY, timeline=True)
    assert result.timeline is not None
    assert int(result.timeline["pmd_collapses"].iloc[-1]) == result.counters["pmd_collapses"] == 1
    states = over_time(result)
    assert states.split_blocks.max() == states.tables.max() == 1
    assert states.split_blocks[-1] == states.tables[-1] == 0
    assert result.block_mapped_share == 1
    found = measured(trace, result)
    calls = result.counters["protect_calls"] + result.counters["unprotect_calls"]
    assert found["tlb_flushes"] == calls + result.counters["flush_all"]
    assert "pmd_collapses" not in pba.replay(trace, thresholds, machine, timeline=True).timeline  # type: ignore[operator]
