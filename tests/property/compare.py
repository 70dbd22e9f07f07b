"""Step the reference and the jitted kernel side by side, and compare the whole state after every event.

`KernelRun` is the one place that knows both: it drives `pba` through its own door (`Trace.from_arrays`,
`pba.model`) and puts the kernel's arrays into the words of the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pba import model
from pba.events import OP_LETTERS
from pba.kernel import replay as kernel
from pba.kernel.state import (
    CACHED_AFTER_PASSES,
    COUNTERS,
    END_MANAGED,
    FIRST_MANAGED,
    FREE_PAGES,
    LEAF_CONTPMD,
    LEAF_PMD,
    LEAF_PTE,
    LEAF_PUD,
    NIL,
    NOT_MANAGED,
    NR_CACHED,
    NR_DEFERRED,
    NR_EVENTS,
    NR_NONBLOCK,
    PEAK_CACHED,
    State,
    cached_page_ns,
)
from pba.machine import Machine, Start, Thresholds
from pba.policies import machine as policies
from pba.policies.policy import Policy
from pba.trace.metadata import Background, Metadata, Quality
from pba.trace.table import Trace
from tests.property.generate import Scenario
from tests.reference.allocator import BlockAllocator
from tests.reference.machine import Event
from tests.reference.memory import StartMemory
from tests.reference.replay import Replay

LEAF_NAMES = {LEAF_PTE: "PTE", LEAF_PMD: "PMD", LEAF_CONTPMD: "CONTPMD", LEAF_PUD: "PUD"}


class KernelRun:
    """A scenario on the jitted kernel, one event at a time: v6's, or that of another policy."""

    def __init__(
        self,
        scenario: Scenario,
        start: StartMemory | None = None,
        policy: Policy | None = None,
        own_start: Start | None = None,
    ) -> None:
        events = scenario.events
        metadata = None
        if start is not None:
            quality = Quality(background=Background(0, 13, live_at_start=len(start.held)))
            metadata = Metadata(
                page_size_kib=scenario.machine.page_size_kib,
                memory_pages=scenario.machine.memory_pages,
                buddyinfo=({"node": 0, "zone": "Normal", "free": start.free},),
                quality=quality,
            )
        self.trace = Trace.from_arrays(
            {
                "time_ns": [event.time_ns for event in events],
                "op": [OP_LETTERS.index(event.op) for event in events],
                "id": [event.ident for event in events],
                "arg": [event.arg for event in events],
            },
            metadata,
        )
        machine = Machine(*scenario.machine, start=own_start or ("free" if start is None else "trace"))
        thresholds = Thresholds(*scenario.thresholds)
        thresholds.check(machine)
        memory = model.starting_memory(self.trace, machine)
        self.state: State = (
            model.boot(machine, memory) if policy is None else model.boot_under(policy, machine, memory)
        )
        self.kernel: Any = kernel if policy is None else policies.kernel_of(policy.name)
        self.tunables, self.holders, self.events = model.prepare(self.trace, thresholds, memory)
        self.at = 0
        self.slots: dict[str, dict[int, int]] = {"A": {}, "B": {}}  # live ids -> slot

    def step(self, event: Event) -> None:
        """Take the next event."""
        self.jump([event])

    def jump(self, events: list[Event]) -> None:
        """Take the next events in one stretch."""
        end = self.at + len(events)
        self.kernel.replay_events(self.state, self.tunables, self.holders, self.events, (self.at, end))
        for at, event in enumerate(events, self.at):
            slot = int(self.trace.slot[at])
            if event.op in "AB":
                self.slots[event.op][event.ident] = slot
            elif event.op in "Fb" and slot >= 0:
                del self.slots["A" if event.op == "F" else "B"][event.ident]
        self.at = end

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state in the words of the reference's `Replay.snapshot`."""
        state, holders = self.state, self.holders
        page_of, chunk_of, order_of = (column.tolist() for column in holders)
        pages = {ident: page_of[slot] for ident, slot in self.slots["A"].items()}
        chunks = {ident: (chunk_of[slot], order_of[slot]) for ident, slot in self.slots["B"].items()}
        managed = np.flatnonzero(state.block_nr_free != NOT_MANAGED)
        return {
            "cached": self.cached().tolist(),
            "in_block": _pages_of_blocks(state, managed).tolist(),
            "block_nr_free": {int(block): int(state.block_nr_free[block]) for block in managed},
            "free_lists": free_lists(state),
            "leaves": [LEAF_NAMES[leaf] for leaf in state.leaf.tolist()],
            "contptes": contptes(state).tolist(),
            "nr_deferred": int(state.vars[NR_DEFERRED]),
            "pages": {ident: page for ident, page in pages.items() if page != NIL},
            "background": {ident: chunk for ident, chunk in chunks.items() if chunk[0] != NIL},
            "own": self.own(),
            "totals": _totals(state),
        }

    def own(self) -> Any:
        """Return what the policy keeps beside v6's state."""
        return {}

    def cached(self) -> NDArray[np.int32]:
        """Return the cached list from head to tail; the hash's function lays it down where it lies elsewhere."""
        with np.errstate(over="ignore"):
            self.kernel.cache_hash(self.state)
        return self.state.cached[: self.state.vars[NR_CACHED]][::-1]

    def check_own_counts(self) -> None:
        """Hold what the kernel keeps beside the reference's state against that state."""
        state, known = self.state, self.state.vars
        cached_blocks = self.cached() >> state.orders.block
        managed = np.flatnonzero(state.block_nr_free != NOT_MANAGED)
        assert known[NR_NONBLOCK] == np.count_nonzero(~np.isin(cached_blocks, managed))
        assert not managed.size or known[FIRST_MANAGED] <= managed.min() <= managed.max() < known[END_MANAGED]
        lists = free_lists(state)
        assert known[FREE_PAGES] == sum(len(chunks) << order for order, chunks in enumerate(lists))
        orders = {chunk: order for order, chunks in enumerate(lists) for chunk in chunks}
        starts = np.flatnonzero(state.buddy_order >= 0).tolist()
        assert {start: int(state.buddy_order[start]) for start in starts} == orders


def _totals(state: State) -> dict[str, int]:
    """Return what `pba.model.counters_of` does but the hash: the list itself is compared."""
    known = state.vars.tolist()
    return {
        "events": known[NR_EVENTS],
        **dict(zip(COUNTERS, known, strict=False)),
        "nr_cached": known[NR_CACHED],
        "peak_cached": known[PEAK_CACHED],
        "cached_page_ns": cached_page_ns(state),
        "cached_after_passes": known[CACHED_AFTER_PASSES],
        "nr_deferred": known[NR_DEFERRED],
        "free_pages": known[FREE_PAGES],
    }


def contptes(state: State) -> NDArray[np.intp]:
    """Return the numbers of all contPTEs; the flag means nothing under a larger leaf."""
    per_region = 1 << (state.orders.block - state.orders.contpte)
    under_table = np.repeat(state.leaf == LEAF_PTE, per_region)
    return np.flatnonzero(under_table & (state.contpte == 1))


def _pages_of_blocks(state: State, blocks: NDArray[np.intp]) -> NDArray[np.intp]:
    nr_pages = 1 << state.orders.block
    return (blocks[:, None] * nr_pages + np.arange(nr_pages)).ravel()


def free_lists(state: State, first_head: int = 0) -> list[list[int]]:
    """Return the free list of each order, head first, and check its backward links on the way.

    `first_head` counts the heads of other lists that stand before these.
    """
    found: list[list[int]] = []
    after, back = state.buddy_next.tolist(), state.buddy_prev.tolist()  # ten times as fast as cell by cell
    for order in range(state.orders.max_page + 1):
        head = len(state.buddy_order) + first_head + order
        chunks: list[int] = []
        node, before = after[head], head
        while node != head:
            assert back[node] == before
            assert len(chunks) < len(state.buddy_order)
            chunks.append(node)
            before, node = node, after[node]
        assert back[head] == before
        found.append(chunks)
    return found


def assert_same(kernel_run: Any, reference: Any, where: str) -> None:
    """Compare the whole state; a difference names the part and the event."""
    got, wanted = kernel_run.snapshot(), reference.snapshot()
    assert got.keys() == wanted.keys()
    for part, value in wanted.items():
        assert got[part] == value, f"{part} differs {where}"


def run_both(
    scenario: Scenario,
    start: StartMemory | None = None,
    policy: Policy | None = None,
    allocator: type[BlockAllocator] = BlockAllocator,
    fragmented: tuple[Start, list[list[int]]] | None = None,
    run: Callable[..., KernelRun] = KernelRun,
) -> Replay:
    """Replay a scenario on both, comparing after boot and after every event; return the reference.

    `fragmented`: how the kernel's memory starts, and the free lists that the reference starts with; `run`: the
    kernel's side.
    """
    own_start, lists = fragmented or (None, None)
    reference = Replay(scenario.machine, scenario.thresholds, start or lists, allocator)
    kernel_run = run(scenario, start, policy, own_start)
    assert_same(kernel_run, reference, f"after boot of {scenario.machine}")
    for number, event in enumerate(scenario.events):
        reference.step(event)
        kernel_run.step(event)
        assert_same(kernel_run, reference, f"after event {number}, {event}, {scenario.thresholds}")
        if number % 16 == 0:
            kernel_run.check_own_counts()
    kernel_run.check_own_counts()
    return reference
