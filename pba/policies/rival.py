"""What all rivals of v6 stand on: calls that change protection, tables for splits, and their replay.

Decided here, as the rules do not say:

- A call counts, with its pages and its flush, whether or not it succeeds, as v6's do.
- What a call had split before it failed stays split.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_FREE
from pba.kernel.allocator import pba_init, pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import rmqueue_smallest
from pba.kernel.linear_map import HAS_TABLE, NEED_TABLE, NO_TABLE, is_pte_mapped, split_kernel_leaf_mapping
from pba.kernel.reclaim import do_shrink_slab, drop_slab
from pba.kernel.replay import AREA_LIMIT, LONG_GAP_NS, laid_out, replay_stretch, system_alloc, system_free
from pba.kernel.shrinker import ORDER_0
from pba.kernel.state import (
    ALLOC_FAILURES,
    ALLOCS,
    AREA_LOW,
    BACKGROUND_FAILURES,
    FREES,
    LAST_TIME,
    NIL,
    NR_CACHED,
    PEAK_CACHED,
    PROTECT_CALLS,
    PROTECT_PAGES,
    UNPROTECT_CALLS,
    UNPROTECT_PAGES,
    Events,
    Flag,
    Holders,
    Int,
    State,
    Tunables,
)
from pba.policies.state import (
    FLIPS_FROM,
    FLIPS_TO,
    FLUSH_RANGES,
    PROTECT_SINGLE_CALLS,
    SPLIT_PTP_RAW,
    UNPROTECT_SINGLE_CALLS,
)

ONE: Final = np.int64(1)
"""A single page, for `nr_pages`."""


# Tables for splits


@kernel_inline
def own_page(state: State) -> Int:
    """Take a free protected page of the policy's own, without a refill; a seam: here it has none."""
    return NIL


@kernel_function
def take_split_ptp(state: State) -> Int:
    """Take a page for a table that a split needs: the policy's own, else any, left unprotected; or NIL."""
    page = own_page(state)
    if page != NIL:
        return page
    page = rmqueue_smallest(state, ORDER_0)
    if page != NIL:
        state.vars[SPLIT_PTP_RAW] += 1
    return page


@kernel_function
def split_at(state: State, page: Int) -> Flag:
    """Split at a boundary; return whether there were tables enough."""
    has_table = NO_TABLE
    while split_kernel_leaf_mapping(state, page, has_table) == NEED_TABLE:
        if take_split_ptp(state) == NIL:
            return False
        has_table = HAS_TABLE
    return True


@kernel_inline
def set_memory(state: State, page: Int, nr_pages: Int) -> Flag:
    """Split so that these pages can be changed alone: `set_memory_pkey()`; return whether it can be done.

    A single page has one boundary that can split anything, the odd one.
    """
    if nr_pages == 1:
        return is_pte_mapped(state, page) or split_at(state, page | 1)
    return split_at(state, page) and split_at(state, page + nr_pages)


# Calls. The flush is counted apart: one policy goes without.


@kernel_inline
def protect_quietly(state: State, page: Int, nr_pages: Int) -> Flag:
    """Set the page-table pkey on a range, without a flush; return whether it could be done."""
    var = state.vars
    var[PROTECT_CALLS] += 1
    var[PROTECT_PAGES] += nr_pages
    if nr_pages == 1:
        var[PROTECT_SINGLE_CALLS] += 1
    elif nr_pages >= 1 << state.orders.block:
        var[FLIPS_TO] += 1
    return set_memory(state, page, nr_pages)


@kernel_inline
def protect(state: State, page: Int, nr_pages: Int) -> Flag:
    """`P(page, nr_pages)`: set the page-table pkey on a range; return whether it could be done."""
    state.vars[FLUSH_RANGES] += 1
    return protect_quietly(state, page, nr_pages)


@kernel_inline
def unprotect_quietly(state: State, page: Int, nr_pages: Int) -> Flag:
    """Take the page-table pkey off a range, without a flush; return whether it could be done."""
    var = state.vars
    var[UNPROTECT_CALLS] += 1
    var[UNPROTECT_PAGES] += nr_pages
    if nr_pages == 1:
        var[UNPROTECT_SINGLE_CALLS] += 1
    elif nr_pages >= 1 << state.orders.block:
        var[FLIPS_FROM] += 1
    return set_memory(state, page, nr_pages)


@kernel_inline
def unprotect(state: State, page: Int, nr_pages: Int) -> Flag:
    """`U(page, nr_pages)`: take the page-table pkey off a range; return whether it could be done."""
    state.vars[FLUSH_RANGES] += 1
    return unprotect_quietly(state, page, nr_pages)


# What is put in place of v6's


@kernel_function
def boots_with_nothing(state: State) -> None:
    """In place of `pba_init`: rivals do not refill at boot."""


@kernel_function
def no_visit(state: State, tunables: Tunables, priority: Int) -> Int:
    """In place of `do_shrink_slab`: there is no shrinker, so a visit frees nothing."""
    return 0


@kernel_function
def no_drop(state: State, tunables: Tunables) -> None:
    """In place of `drop_slab`: there is no shrinker."""


@kernel_inline
def nothing_listed(state: State) -> Int:
    """In place of `laid_out`: the policy has no list of its own."""
    return 0


@kernel_inline
def rival_stretch(state: State, holders: Holders, events: Events, first: Int, end: Int) -> Int:
    """In place of `replay_stretch`: all events but passes, frees of what is not live and long gaps.

    Does what `event` does for such an event. Returns the first that needs more, or `end`.
    """
    var = state.vars
    at = first
    while at < end:
        here = np.uint64(at)
        op = events.op[here]
        slot = events.slot[here]
        elapsed = events.time_ns[here] - var[LAST_TIME]
        area = var[AREA_LOW]
        if slot < 0 or elapsed > LONG_GAP_NS or area >= AREA_LIMIT:
            break
        if op > OP_FREE and op < OP_BG_ALLOC:
            break
        var[AREA_LOW] = area + var[NR_CACHED] * elapsed
        var[LAST_TIME] += elapsed
        place = np.uint32(slot)
        if op == OP_ALLOC:
            page = pba_pgtable_alloc(state)
            holders.page[place] = page
            var[ALLOC_FAILURES if page == NIL else ALLOCS] += 1
        elif op == OP_FREE:
            page = np.int64(holders.page[place])
            if page != NIL:
                pba_pgtable_free(state, page)
                var[FREES] += 1
        elif op == OP_BG_ALLOC:
            order = np.int64(events.arg[here])
            page = system_alloc(state, order)
            holders.chunk[place] = page
            holders.chunk_order[place] = order
            var[BACKGROUND_FAILURES] += page == NIL
        else:
            page = np.int64(holders.chunk[place])
            if page != NIL:
                system_free(state, page, np.int64(holders.chunk_order[place]))
        var[PEAK_CACHED] = max(var[PEAK_CACHED], var[NR_CACHED])
        at += 1
    return at


RIVAL: Final = {pba_init: boots_with_nothing, laid_out: nothing_listed, replay_stretch: rival_stretch}
"""What every rival puts in place of v6's, beside its allocation and free."""
WITHOUT_SHRINKER: Final = RIVAL | {do_shrink_slab: no_visit, drop_slab: no_drop}
"""And what one puts there that caches nothing."""
