"""What every policy keeps to, whatever it is: a new one is held to it by its name in the registry alone.

Its reference and the comparison with that stand elsewhere. Marked `kernel`, these run without the JIT and with bounds
checks, too.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numba import config
from numpy.typing import NDArray

import pba
from pba.errors import PbaError, ThresholdError
from pba.events import OP_ALLOC, OP_FREE
from pba.kernel.state import NIL, NR_CACHED, PAGES_LEAKED, SPLIT_TABLE_PAGES
from pba.policies.definition import ALL_THRESHOLDS, Value
from pba.policies.policy import Policy
from pba.policies.registry import PLACES, definition
from pba.policies.state import OWN_LISTS, PMD_COLLAPSES
from tests.policies.pieces import scenario_in_pieces
from tests.property.compare import KernelRun, free_lists
from tests.property.generate import Scenario, random_scenario
from tests.traces import sawtooth

pytestmark = pytest.mark.kernel

MACHINE = pba.Machine(4, 16384, "pud")
SEEDS = range(2) if config.DISABLE_JIT else range(4)

STRETCH = 97
"""Events between looks at all pages."""


def settings_of(name: str) -> list[Policy]:
    """Return a policy at its defaults, and once with each other word, and both ends, of each parameter."""
    found = [Policy(name)]
    for each in definition(name).parameters:
        values: tuple[Value, ...] = (False, True) if each.values is None else each.values
        found += [Policy(name, **{each.name: value}) for value in values if value != each.default]
    return found


POLICIES = [policy for name in PLACES for policy in settings_of(name)]


# Pages


def pages_of(chunks: list[list[int]]) -> NDArray[np.int64]:
    """Return all pages of the chunks of free lists."""
    found = [np.arange(page, page + (1 << order)) for order, each in enumerate(chunks) for page in each]
    return np.concatenate([np.empty(0, np.int64), *found])


class Places(KernelRun):
    """Where each page of a machine is."""

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        super().__init__(scenario, policy=policy)

    def held(self) -> NDArray[np.int64]:
        """Return the pages that the policy holds: on free lists of its own, or on a list."""
        own = pages_of(free_lists(self.state, OWN_LISTS))
        held = own if len(own) else self.cached().astype(np.int64)
        assert len(held) == self.state.vars[NR_CACHED]
        return held

    def check(self) -> None:
        """No page is in two places, and all are somewhere."""
        holders, known = self.holders, self.state.vars
        background = [
            np.arange(page, page + (1 << order))
            for page, order in zip(
                *(column[list(self.slots["B"].values())].tolist() for column in holders[1:3]), strict=True
            )
            if page != NIL
        ]
        live = holders.page[list(self.slots["A"].values())].astype(np.int64)
        known_pages = np.concatenate(
            [pages_of(free_lists(self.state)), self.held(), live[live != NIL], *background]
        )
        assert len(np.unique(known_pages)) == len(known_pages), "a page is in two places"
        gone = known[SPLIT_TABLE_PAGES] - known[PMD_COLLAPSES] + known[PAGES_LEAKED]
        assert len(known_pages) + gone == len(self.state.buddy_order), "pages came or went"


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_pages_are_conserved(policy: Policy) -> None:
    """Every page is free, held, a page table, others', or gone as a table of a split."""
    for scenario in (*map(random_scenario, SEEDS), *map(scenario_in_pieces, SEEDS)):
        run = Places(scenario, policy)
        run.check()
        for first in range(0, len(scenario.events), STRETCH):
            run.jump(scenario.events[first : first + STRETCH])
            run.check()


# Counters


def replayed(policy: Policy, **arguments: Any) -> pba.ReplayResult:
    """Return a replay of a trace that goes up and down, with visits."""
    return pba.replay(sawtooth(), machine=MACHINE, policy=policy, **arguments)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_the_same_replay_gives_the_same(policy: Policy) -> None:
    """Twice, another one in between; and as a timeline, which replays event by event."""
    once = replayed(policy)
    pba.replay(sawtooth(teeth=1, pages=300), machine=MACHINE, policy=policy)
    assert replayed(policy).to_dict() == once.to_dict()
    timeline = replayed(policy, timeline=True, checkpoint_every=50)
    assert timeline.counters == once.counters
    assert timeline.cache_hash == once.cache_hash


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_counters_agree_with_each_other(policy: Policy) -> None:
    count = replayed(policy).counters
    assert all(value >= 0 for value in count.values() if not isinstance(value, str))
    assert count["alloc_failures"] == 0
    assert (count["allocs"], count["frees"]) == tuple(
        (sawtooth().op == op).sum() for op in (OP_ALLOC, OP_FREE)
    )
    assert count["split_table_pages"] == count["pud_splits"] + count["pmd_splits"]
    if definition(policy.name).is_rival:
        calls = count["protect_calls"] + count["unprotect_calls"]
        assert calls == count["pagewise_calls"] + count["range_calls"]
        assert count["pages_changed"] == count["protect_pages"] + count["unprotect_pages"]
        assert count["peak_held"] >= count["held_pages"] >= count["reserve_pages"]
        assert count["flips_to"] <= count["protect_calls"] - count["protect_single_calls"]
        assert count["flips_from"] <= count["unprotect_calls"] - count["unprotect_single_calls"]


# What is refused


@pytest.mark.parametrize("name", PLACES)
def test_a_name_that_is_nearly_right_is_told(name: str) -> None:
    with pytest.raises(
        PbaError, match=f"no policy is called '{re.escape(name)}x'.*did you mean {re.escape(name)}"
    ):
        Policy(f"{name}x")


@pytest.mark.parametrize("name", PLACES)
def test_parameters_that_it_does_not_have_are_refused(name: str) -> None:
    parameters = definition(name).parameters
    if not parameters:
        with pytest.raises(PbaError, match=f"policy {re.escape(name)} has no parameter 'mode'.*it has none"):
            Policy(name, mode="ranged")
    for each in parameters:
        with pytest.raises(PbaError, match=f"no parameter '{each.name}x'.*did you mean {each.name}"):
            Policy(name, **{f"{each.name}x": each.default})
        for value in ("nothing of the kind", None, 0.5, 1 << 40, -1, []):
            with pytest.raises(
                PbaError, match=f"policy {re.escape(name)}: {each.name} = .* is not possible.*{each.range}"
            ):
                Policy(name, **{each.name: value})


@pytest.mark.parametrize("name", PLACES)
def test_thresholds_that_it_does_not_have_are_refused_by_name(name: str) -> None:
    """Those that it has are taken."""
    known = definition(name)
    patch = pba.Thresholds.patch(MACHINE).to_dict()
    for threshold in ALL_THRESHOLDS:
        other = pba.Thresholds(**(patch | {threshold: patch[threshold] + 1}))
        if threshold in known.thresholds or (known.thresholds and known.fixed is None):
            assert Policy(name).thresholds_on(MACHINE, other) is not None
        else:
            with pytest.raises(ThresholdError, match=f"policy {name} has no ({threshold}|thresholds)"):
                Policy(name).thresholds_on(MACHINE, other)
