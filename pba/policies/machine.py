"""The machine of a policy: the kernel's own functions, with the policy's in place of some, and their state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from pba._jit import kernel_inline, rebound
from pba.kernel import replay as kernel
from pba.kernel.memory import StartMemory
from pba.kernel.replay import replay_stretch
from pba.kernel.state import MAX_LISTS, Int, Orders, State
from pba.policies.policy import Policy
from pba.policies.registry import PLACES, definition
from pba.policies.state import FIRST_PARAMETER, LARGEST_LEAF, OWN_LISTS, POLICY_VARS


class Kernel(NamedTuple):
    """What Python calls: the functions of the same names in `pba.kernel.replay`, as the policy has them."""

    boot: Callable[..., Any]
    replay_events: Callable[..., Any]
    replay_timeline: Callable[..., Any]
    cache_hash: Callable[..., Any]


@cache
def kernel_of(name: str, reacts: bool = False) -> Kernel:
    """Return the functions of a policy; each is compiled when it is first called.

    With `reacts` they replay with reclaim that reacts (`pba.kernel.watermarks`), on its own holders.
    """
    replaced = dict(definition(name).replaced)
    module = f"pba.policies.{PLACES[name]}"
    if reacts:
        replaced |= reacting(replaced)
        module += "_reacting"
    entries = (kernel.boot, kernel.replay_events, kernel.replay_timeline, kernel.cache_hash)
    return Kernel(*(rebound(entry, replaced, module) for entry in entries))


def reacting(replaced: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what reclaim that reacts puts in place, under a policy that has put that in place."""
    from pba.kernel import watermarks

    found: dict[Any, Any] = {kernel.replay_events: watermarks.replay_events}
    if replay_stretch in replaced:
        found[watermarks.most_taken] = refill_and_tables
    return found


@kernel_inline
def refill_and_tables(state: State) -> Int:
    """In place of `most_taken`: stretches that go on over refills take a block and tables, and no more than twice."""
    return (2 << state.orders.block) + 64


def new_state(orders: Orders, memory_pages: int) -> State:
    """Return the arrays of a machine, not booted: as v6's, with room for the policy's own lists and counters."""
    blocks = memory_pages >> orders.block
    nodes = memory_pages + OWN_LISTS + MAX_LISTS
    return State(
        orders=orders,
        buddy_next=np.zeros(nodes, np.uint32),
        buddy_prev=np.zeros(nodes, np.uint32),
        buddy_order=np.empty(memory_pages, np.int8),
        leaf=np.empty(blocks, np.uint8),
        contpte=np.empty(memory_pages >> orders.contpte, np.uint8),
        cached=np.empty(2 * memory_pages, np.int32),
        block_nr_free=np.empty(blocks, np.int32),
        touched=np.empty((memory_pages >> orders.max_page) + 1, np.uint8),
        vars=np.zeros(POLICY_VARS, np.int64),
    )


def make_state(policy: Policy, orders: Orders, memory_pages: int) -> Any:
    """Return the arrays of a policy's machine, not booted."""
    state = new_state(orders, memory_pages)
    extend = policy.definition.extend
    return state if extend is None else extend(state)


def boot(policy: Policy, state: Any, largest_leaf: int, memory: StartMemory | None = None) -> None:
    """Boot a machine under a policy, whatever its state was."""
    kernel.reset(state, largest_leaf, memory)
    state.vars[LARGEST_LEAF] = largest_leaf
    codes = policy.codes()
    state.vars[FIRST_PARAMETER : FIRST_PARAMETER + len(codes)] = codes
    if policy.definition.prepare is not None:
        policy.definition.prepare(state)
    kernel_of(policy.name).boot(state)
