"""Step a rival's reference and its jitted kernel side by side, and compare the whole state after every event."""

from __future__ import annotations

from typing import Any

import numpy as np

from pba import model
from pba.kernel.state import FREE_PAGES, NOT_MANAGED
from pba.policies.policy import Policy
from pba.policies.state import OWN, OWN_LISTS
from tests.property.compare import KernelRun, assert_same, free_lists
from tests.property.generate import Scenario
from tests.reference.rivals import Rival

UNCOUNTED = {"shrink_calls", "scan_calls", "scan_stops", "nr_deferred", "cache_hash"}


class RivalRun(KernelRun):
    """A scenario on a rival's kernel, one event at a time."""

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        super().__init__(scenario, policy=policy)
        self.policy = policy

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state in the words of the reference's `Rival.snapshot`."""
        common = super().snapshot()
        counted = model.counters_under(self.policy, self.state)
        return {
            **{name: common[name] for name in ("free_lists", "leaves", "contptes", "pages", "background")},
            "own": self.own(),
            "totals": {name: value for name, value in counted.items() if value and name not in UNCOUNTED},
        }

    def own(self) -> Any:
        """Return what the policy keeps of its own."""
        return None

    def check_own_counts(self) -> None:
        """Hold what the kernel keeps beside the reference's state against that state."""
        state = self.state
        lists, own = free_lists(state), free_lists(state, OWN_LISTS)
        orders = {chunk: order for order, chunks in enumerate(lists) for chunk in chunks}
        orders |= {chunk: order + OWN for order, chunks in enumerate(own) for chunk in chunks}
        starts = np.flatnonzero(state.buddy_order >= 0).tolist()
        assert {start: int(state.buddy_order[start]) for start in starts} == orders
        assert state.vars[FREE_PAGES] >= sum(len(chunks) << order for order, chunks in enumerate(lists))


class FreetypeRun(RivalRun):
    """Flagged blocks, and the free lists of their pages."""

    def own(self) -> Any:
        """Return flagged blocks with their free pages, and the lists."""
        flagged = np.flatnonzero(self.state.block_nr_free != NOT_MANAGED).tolist()
        return (
            {block: int(self.state.block_nr_free[block]) for block in flagged},
            free_lists(self.state, OWN_LISTS),
        )


def run_rival(scenario: Scenario, run: RivalRun, reference: Rival) -> Rival:
    """Replay a scenario on both, comparing after boot and after every event; return the reference."""
    assert_same(run, reference, f"after boot of {scenario.machine}")
    for number, event in enumerate(scenario.events):
        reference.step(event)
        run.step(event)
        assert_same(run, reference, f"after event {number}, {event}, under {run.policy}")
        if number % 16 == 0:
            run.check_own_counts()
    run.check_own_counts()
    return reference
