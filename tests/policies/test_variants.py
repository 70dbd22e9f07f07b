"""The variants of v6 against their references: the whole state, after every event."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from numba import config

import pba
from pba.policies.policy import Policy
from tests.property.compare import run_both
from tests.property.generate import Scenario, random_scenario
from tests.property.test_kernel_against_reference import scenarios
from tests.reference import variants
from tests.reference.allocator import BlockAllocator
from tests.traces import sawtooth

pytestmark = pytest.mark.kernel

VARIANTS: dict[str, tuple[Policy, type[BlockAllocator]]] = {
    "untracked": (Policy("untracked"), variants.Untracked),
    "whole-blocks": (Policy("whole-blocks"), variants.WholeBlocks),
    "whole-blocks fall": (Policy("whole-blocks", fall=True), variants.WholeBlocksFall),
    "cold-first": (Policy("cold-first"), variants.ColdFirst),
    "nonblock-first": (Policy("nonblock-first"), variants.NonblockFirst),
    "fullest-first": (Policy("fullest-first"), variants.FullestFirst),
    "fullest-first nb": (Policy("fullest-first", nb="first"), variants.FullestFirstAfterNonblock),
}
SEEDS = range(3) if config.DISABLE_JIT else range(18)
MACHINE = pba.Machine(4, 16384, "pud")


@pytest.mark.parametrize("name", VARIANTS)
@settings(
    max_examples=2 if config.DISABLE_JIT else 8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenario=scenarios())
def test_variant_matches_its_reference(name: str, scenario: Scenario) -> None:
    policy, allocator = VARIANTS[name]
    run_both(scenario, policy=policy, allocator=allocator)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_matches_its_reference_on_seeds(name: str) -> None:
    policy, allocator = VARIANTS[name]
    reached = 0
    for seed in SEEDS:
        reference = run_both(random_scenario(seed), policy=policy, allocator=allocator)
        reached += reference.totals()["pages_released"] > 0
    assert reached > len(SEEDS) // 4, "what is compared never shrinks"


def test_whole_blocks_is_a_point_of_v6_unless_it_falls() -> None:
    trace = sawtooth()
    for batch in (8, 512):
        thresholds = pba.Thresholds(16, 64, batch)
        point = pba.replay(trace, thresholds, MACHINE, policy="whole-blocks-only")
        v6 = pba.replay(trace, pba.Thresholds(16, 512, batch), MACHINE)
        ruled = pba.replay(trace, thresholds, MACHINE, policy="whole-blocks")
        assert point.counters == v6.counters == ruled.counters


def test_never_gives_nothing_back() -> None:
    result = pba.replay(sawtooth(), machine=MACHINE, policy="never")
    assert result.counters["pages_released"] == 0
    assert result.thresholds == pba.Thresholds(16384, 64, 512)


def test_without_blocks_only_cold_first_differs() -> None:
    """On 64 KiB pages no refill is a block, so that no page is ever marked."""
    machine = pba.Machine(64, 65536)
    trace = pba.read_trace(Path(__file__).parents[1] / "vectors" / "pages64k.events.gz")
    # The patch's batch is a block, 8,192 pages: with it no pass of this trace begins a scan.
    thresholds = pba.Thresholds(16, 1024, 64)
    hashes = {
        name: pba.replay(trace, thresholds, machine, policy=policy).cache_hash
        for name, (policy, _) in VARIANTS.items()
    }
    v6 = pba.replay(trace, thresholds, machine)
    assert v6.counters["pages_released"] > 0
    assert {name for name, found in hashes.items() if found != v6.cache_hash} == {"cold-first"}
