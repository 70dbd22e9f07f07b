"""Step a rival's reference and its jitted kernel side by side, and compare the whole state after every event."""

from __future__ import annotations

from typing import Any

import numpy as np

from pba import model
from pba.kernel.state import FREE_PAGES, NIL, NOT_MANAGED
from pba.policies.policy import Policy
from pba.policies.state import NR_LISTED, OWN, OWN_LISTS, RESERVE_PAGES
from tests.property.compare import KernelRun, assert_same, free_lists
from tests.property.generate import Scenario
from tests.reference.rivals import Rival


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
            "totals": {name: value for name, value in counted.items() if value and name != "cache_hash"},
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


class UnmappedRun(RivalRun):
    """A second buddy allocator, the marks of its blocks, and its pages, free and in use."""

    def own(self) -> Any:
        """Return its lists, marked blocks, its pages by block, and which of them are not protected."""
        state = self.state
        known = state.block_nr_free
        marked = np.flatnonzero(known >= 0).tolist()
        counts = np.where(known >= 0, known, NOT_MANAGED - known)
        nr_owned = {block: int(counts[block]) for block in np.flatnonzero(counts).tolist()}
        lists = free_lists(state, OWN_LISTS)
        chunks = [np.arange(page, page + (1 << order)) for order, each in enumerate(lists) for page in each]
        live = self.holders[0][list(self.slots["A"].values())]
        pages = np.concatenate([live[live != NIL], *chunks])
        bare = state.cached[len(state.buddy_order) + pages] == 1
        return lists, marked, nr_owned, np.sort(pages[bare]).tolist()

    def check_own_counts(self) -> None:
        """And that the pages of `un` are no free pages of the page allocator."""
        super().check_own_counts()
        lists = free_lists(self.state)
        assert self.state.vars[FREE_PAGES] == sum(len(chunks) << order for order, chunks in enumerate(lists))


class GroupedRun(RivalRun):
    """A list, a reserve, and which pages of both and of those in use are not protected."""

    def own(self) -> Any:
        """Return the list from its head, the reserve, and its pages that are not protected."""
        state, known = self.state, self.state.vars
        pages = len(state.buddy_order)
        listed = state.cached[: known[NR_LISTED]]
        reserve = state.cached[pages : pages + known[RESERVE_PAGES]]
        live = self.holders[0][list(self.slots["A"].values())]
        ours = np.concatenate([listed, live[live != NIL]])
        bare = ours[state.buddy_prev[ours] == 1] if self.policy.parameters["mode"] == "posted" else ours[:0]
        return listed.tolist(), reserve.tolist(), np.sort(bare).tolist()

    def check_own_counts(self) -> None:
        """And that both are what is laid out to be hashed."""
        super().check_own_counts()
        listed, reserve, _ = self.own()
        assert self.cached()[::-1].tolist() == [*listed, *reserve]


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
