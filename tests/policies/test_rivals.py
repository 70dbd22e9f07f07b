"""The rivals of v6 against their references: the whole state, after every event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from numba import config

from pba.kernel.state import NR_CACHED
from pba.policies.policy import Policy
from pba.policies.state import RESERVE_PAGES
from tests.policies.compare_rivals import FreetypeRun, GroupedRun, RivalRun, UnmappedRun, run_rival
from tests.policies.pieces import scenario_in_pieces
from tests.property.generate import Scenario, random_scenario
from tests.property.test_kernel_against_reference import scenarios
from tests.reference import rivals
from tests.reference.freetype import Freetype
from tests.reference.grouped import Grouped
from tests.reference.machine import Event, Machine, Thresholds
from tests.reference.unmapped_buddy import UnmappedBuddy

pytestmark = pytest.mark.kernel

RIVALS: dict[str, tuple[Policy, type[RivalRun], Callable[..., rivals.Rival]]] = {
    "scattered": (Policy("scattered"), RivalRun, rivals.Scattered),
    "pte-mapped": (Policy("pte-mapped"), RivalRun, rivals.PteMapped),
    "freetype": (Policy("freetype"), FreetypeRun, Freetype),
    "freetype fallback": (Policy("freetype", fallback=True, movable_percent=30), FreetypeRun, Freetype),
    "freetype movable": (Policy("freetype", movable_percent=100), FreetypeRun, Freetype),
    "grouped": (Policy("grouped"), GroupedRun, Grouped),
    "grouped posted": (Policy("grouped", mode="posted"), GroupedRun, Grouped),
    "unmapped-buddy": (Policy("unmapped-buddy"), UnmappedRun, UnmappedBuddy),
    "unmapped-buddy posted": (Policy("unmapped-buddy", mode="posted"), UnmappedRun, UnmappedBuddy),
    "unmapped-buddy pagewise": (Policy("unmapped-buddy", mode="pagewise"), UnmappedRun, UnmappedBuddy),
}
SEEDS = range(3) if config.DISABLE_JIT else range(40)
PIECES = range(1000, 1002) if config.DISABLE_JIT else range(1000, 1030)
"""Seeds of scenarios in pieces."""
GROUPED = {
    "reserve_pages", "pages_released", "refills_block", "refills_min", "refill_failures", "split_ptp_raw",
    "nr_deferred", "alloc_failures",
}  # fmt: skip
UNMAPPED = {
    "captured_pages", "stale_marks", "ptp_unprotected", "whole_blocks_released", "pages_released", "scan_stops",
    "refills_block", "refills_mid", "refills_min", "refill_failures", "split_ptp_raw", "nr_deferred", "alloc_failures",
}  # fmt: skip
REACHED = {
    "scattered": {"alloc_failures", "contpmd_splits", "contpte_splits", "split_ptp_raw"},
    "pte-mapped": {"alloc_failures", "background_failures"},
    "freetype": {"convert_failed", "flips_to", "flips_from", "scrubbed_pages", "contpmd_splits"},
    "freetype fallback": {"convert_failed", "alloc_failures", "flips_from"},
    "freetype movable": {"convert_failed", "background_failures", "held_page_ns"},
    "grouped": GROUPED | {"flips_to"},
    "grouped posted": GROUPED | {"ptp_unprotected"},
    "unmapped-buddy": UNMAPPED | {"flips_to", "flips_from"},
    "unmapped-buddy posted": UNMAPPED | {"ptp_unprotected"},
    "unmapped-buddy pagewise": UNMAPPED,
}
"""What the seeds must reach, or the comparison shows little."""
THRESHOLDS = Thresholds(16, 64, 512)


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
    for scenario in (*map(random_scenario, SEEDS), *map(scenario_in_pieces, PIECES)):
        reached.update(run(name, scenario).totals().keys())
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


def test_a_pass_without_tables_leaves_the_list_as_it_was() -> None:
    """Block 1 is on the list, others hold the rest; without a reserve none of it can be unprotected.

    Each of eight scans fails at its first page and has scanned 128: 1,024 were to be scanned.
    """
    takes = [Event(2 + at, "B", at, order) for at, order in enumerate((10, 8, 7, 6, 5, 4, 3, 1, 0))]
    events = [Event(1, "A", 1), *takes, Event(20, "F", 1), Event(21, "S", 0, 0), Event(22, "A", 2)]
    scenario = Scenario(Machine(4, 2048, "pmd"), THRESHOLDS, events)
    sides = GroupedRun(scenario, Policy("grouped")), Grouped(scenario.machine)
    assert sides[1].reserve == [0, 1, 2, 3]
    sides[0].state.vars[[NR_CACHED, RESERVE_PAGES]] -= 4
    sides[1].reserve.clear()
    totals = run_rival(scenario, *sides).totals()
    wanted = {
        "scan_calls": 8,
        "scan_stops": 8,
        "unprotect_calls": 8,
        "held_pages": 511,
        "split_table_pages": 1,
    }
    assert {name: totals.get(name) for name in wanted} == wanted
    assert "pages_released" not in totals


def test_a_block_is_given_back_from_the_end_that_is_older() -> None:
    """As many pages as are put off, and half of it is counted twice: 128 of 512 go at each scan, the lowest first."""
    events = [Event(1, "A", 1), Event(2, "F", 1), Event(3, "S", 0, 1)]
    outcome(
        "grouped",
        Scenario(Machine(4, 2048, "pmd"), THRESHOLDS, events),
        scan_calls=2, pages_released=256, pagewise_calls=256 + 4, nr_deferred=0, held_pages=256 + 3, pmd_splits=2,
        split_ptp_raw=1, reserve_pages=3,
    )  # fmt: skip


def test_a_neighbours_pages_are_captured_and_handed_out_unprotected() -> None:
    """Half of block 2 is a refill, the other half others', who free it into the marked block.

    256 pages are protected, the next one is not. A scan for 128 of the 255 that are left takes 1, 2, 4, 8, 16, 32
    and 64: what is left to take shrinks by all that was taken at each order. The next takes the rest.
    """
    takes = [Event(1, "B", at, order) for at, order in enumerate((7, 8, 9, 8, 9), 1)]
    allocs = [Event(2, "A", at) for at in range(256)]
    events = [*takes, *allocs, Event(3, "b", 4), Event(4, "A", 256), Event(5, "S", 0, 0)]
    outcome(
        "unmapped-buddy",
        Scenario(Machine(4, 2048, "pmd"), THRESHOLDS, events),
        refills_mid=1, captured_pages=256, ptp_unprotected=1, pages_released=255, scan_calls=3, scan_stops=1,
        unprotect_calls=8, flush_ranges=9, pmd_splits=1, contpte_splits=1, held_pages=0, stale_marks=0, free_pages=382,
    )  # fmt: skip


def test_a_mark_stays_behind_a_chunk_of_two_blocks() -> None:
    """Two blocks are refills, merge, and go back at once: whatever others free there is the policy's from then on."""
    allocs = [Event(1, "A", at) for at in range(513)]
    frees = [Event(2, "F", at) for at in range(513)]
    events = [*allocs, *frees, Event(3, "S", 0, 0), Event(4, "B", 1, 0), Event(5, "b", 1)]
    outcome(
        "unmapped-buddy",
        Scenario(Machine(4, 1024, "pmd"), THRESHOLDS, events),
        refills_block=2, flips_to=2, flips_from=1, whole_blocks_released=2, captured_pages=1, stale_marks=1,
        held_pages=1, free_pages=1023, pmd_splits=0,
    )  # fmt: skip
