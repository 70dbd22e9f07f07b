"""The rivals of v6 against their references: the whole state, after every event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from numba import config

from pba.policies.policy import Policy
from tests.policies.compare_rivals import FreetypeRun, RivalRun, run_rival
from tests.property.generate import Scenario, random_scenario
from tests.property.test_kernel_against_reference import scenarios
from tests.reference import rivals
from tests.reference.freetype import Freetype
from tests.reference.machine import Event, Machine, Thresholds

pytestmark = pytest.mark.kernel

RIVALS: dict[str, tuple[Policy, type[RivalRun], Callable[..., rivals.Rival]]] = {
    "scattered": (Policy("scattered"), RivalRun, rivals.Scattered),
    "pte-mapped": (Policy("pte-mapped"), RivalRun, rivals.PteMapped),
    "freetype": (Policy("freetype"), FreetypeRun, Freetype),
    "freetype fallback": (Policy("freetype", fallback=True, movable_percent=30), FreetypeRun, Freetype),
    "freetype movable": (Policy("freetype", movable_percent=100), FreetypeRun, Freetype),
}
SEEDS = range(3) if config.DISABLE_JIT else range(40)
REACHED = {
    "scattered": {"alloc_failures", "contpmd_splits", "contpte_splits", "split_ptp_raw"},
    "pte-mapped": {"alloc_failures", "background_failures"},
    "freetype": {"convert_failed", "flips_to", "flips_from", "scrubbed_pages", "contpmd_splits"},
    "freetype fallback": {"convert_failed", "alloc_failures", "flips_from"},
    "freetype movable": {"convert_failed", "background_failures", "held_page_ns"},
}
"""What the seeds must reach, or the comparison shows little."""


def run(name: str, scenario: Scenario) -> rivals.Rival:
    policy, kernel_run, reference = RIVALS[name]
    return run_rival(scenario, kernel_run(scenario, policy), reference(scenario.machine, **policy.parameters))


@pytest.mark.parametrize("name", RIVALS)
@settings(
    max_examples=2 if config.DISABLE_JIT else 10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenario=scenarios())
def test_rival_matches_its_reference(name: str, scenario: Scenario) -> None:
    run(name, scenario)


@pytest.mark.parametrize("name", RIVALS)
def test_rival_matches_its_reference_on_seeds(name: str) -> None:
    reached: Counter[str] = Counter()
    for seed in SEEDS:
        reached.update(run(name, random_scenario(seed)).totals().keys())
    if not config.DISABLE_JIT:
        assert REACHED[name] - set(reached) == set()


# The smallest ways into the corners, with figures worked out by hand


def outcome(name: str, scenario: Scenario, **wanted: int) -> None:
    """Run a scenario on both and hold some of its figures against those worked out."""
    totals = run(name, scenario).totals()
    assert {each: totals.get(each, 0) for each in wanted} == wanted


def leave_single_pages(blocks: int) -> list[Event]:
    """Return events after which the first page of each block is all that is free."""
    orders = [0, *range(9)]
    takes = [
        Event(1, "B", block * len(orders) + at, order)
        for block in range(blocks)
        for at, order in enumerate(orders)
    ]
    return [*takes, *(Event(2, "b", block * len(orders)) for block in range(blocks))]


THRESHOLDS = Thresholds(16, 64, 512)


def test_the_table_of_a_split_may_need_a_split_itself() -> None:
    """Pages 0, 512, 1024, 1536 are free: the last is allocated, the others become tables, for as long as they do."""
    events = [*leave_single_pages(4), Event(3, "A", 1), Event(4, "F", 1)]
    outcome(
        "scattered",
        Scenario(Machine(4, 2048, "pmd"), THRESHOLDS, events),
        allocs=1, frees=1, pmd_splits=3, nested_splits=2, split_ptp_raw=3, pagewise_calls=5, free_pages=1,
    )  # fmt: skip


def test_a_page_whose_split_finds_no_table_is_no_page() -> None:
    outcome(
        "scattered",
        Scenario(Machine(4, 1024, "pmd"), THRESHOLDS, [*leave_single_pages(2)[:-1], Event(3, "A", 1)]),
        allocs=0, alloc_failures=1, pmd_splits=0, protect_calls=1, free_pages=1,
    )  # fmt: skip


def test_the_fallback_splits_a_block_once() -> None:
    """Half a block is free; its first page is allocated, its second becomes the table."""
    events = [Event(1, "B", 1, 8), Event(2, "B", 2, 9), Event(3, "A", 1), Event(4, "A", 2), Event(5, "F", 1)]
    outcome(
        "freetype fallback",
        Scenario(Machine(4, 1024, "pmd"), THRESHOLDS, events),
        convert_failed=2, pmd_splits=1, split_ptp_raw=1, pagewise_calls=3, free_pages=254, held_pages=0,
    )  # fmt: skip


def test_a_block_flips_to_and_back() -> None:
    """The first block holds one page and gives it back; the system gets the other block, then this one."""
    events = [Event(1, "A", 1), Event(5, "F", 1), *(Event(9 + at, "B", at, 9) for at in range(3))]
    outcome(
        "freetype",
        Scenario(Machine(4, 1024, "pmd"), THRESHOLDS, events),
        flips_to=1, flips_from=1, scrubbed_pages=512, background_failures=1, held_pages=0, peak_held=512,
        held_page_ns=4 * 511 + 4 * 512 + 512, pmd_splits=0,
    )  # fmt: skip
