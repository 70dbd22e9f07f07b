"""`freetype`: page blocks of the page allocator itself are flagged as protected, and hold page tables alone.

`block_nr_free` of a flagged block is the number of its free pages, else NOT_MANAGED. Held are all free pages of
flagged blocks; FREE_PAGES counts them, as NR_FREE_PAGES does.

Decided here:

- A convert that finds no chunk, and one whose call fails, is a `convert_failed` alike; `fallback` serves both.
- `movable_percent` of the chunks that the system asks for are movable: the n-th is if the number of movable
  ones, n * percent / 100 rounded down, grows by it. A share is no property of a trace, so no chunk is drawn.
"""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import insert_after, rmqueue_smallest, unlink
from pba.kernel.replay import laid_out, system_alloc, system_free
from pba.kernel.shrinker import ORDER_0
from pba.kernel.state import FREE_PAGES, NIL, NOT_MANAGED, NR_CACHED, Flag, Int, State
from pba.policies.definition import Definition, Parameter
from pba.policies.own_lists import add_own, lay_out_own, merge_own, own_head, take_own
from pba.policies.rival import ONE, WITHOUT_SHRINKER, own_page, protect, unprotect
from pba.policies.state import (
    CONVERT_FAILED,
    FIRST_PARAMETER,
    NR_SEEN,
    OWN,
    SCRUBBED_PAGES,
    SECOND_PARAMETER,
)

ORDER_MASK = OWN - 1
"""What is left of `buddy_order` is the order, whichever list the chunk is on; MAX_PAGE_ORDER is below it."""


@kernel_inline
def _likely_to_merge(state: State, page: Int, order: Int) -> Flag:
    """`buddy_merge_likely()`, which looks at the chunk one order up whatever its flag."""
    if order >= state.orders.max_page - 1:
        return False
    other = (page & ~(1 << order)) ^ (2 << order)
    if other >= len(state.buddy_order):
        return False
    return np.int64(state.buddy_order[np.uint32(other)]) & ORDER_MASK == order + 1


@kernel_inline
def _add_likely(state: State, head: Int, page: Int, order: Int, code: Int) -> None:
    """Put a free chunk to the head of a list, or to its tail if it is likely to merge soon."""
    before = np.int64(state.buddy_prev[np.uint32(head)]) if _likely_to_merge(state, page, order) else head
    insert_after(state, before, page, code)


@kernel_inline
def free_to_system(state: State, page: Int, order: Int) -> None:
    """`free_one_page` beside flagged chunks, with which nothing merges."""
    state.vars[FREE_PAGES] += 1 << order
    while order < state.orders.max_page:
        other = page ^ (1 << order)
        if other >= len(state.buddy_order) or state.buddy_order[np.uint32(other)] != order:
            break
        unlink(state, other)
        page &= other
        order += 1
    _add_likely(state, len(state.buddy_order) + order, page, order, order)


@kernel_inline
def _count_free(state: State, page: Int, change: Int) -> None:
    """Count pages of a flagged block that become free, or are taken."""
    state.vars[NR_CACHED] += change
    state.vars[FREE_PAGES] += change
    state.block_nr_free[np.uint32(page >> state.orders.block)] += change


@kernel_function
def take_flagged(state: State) -> Int:
    """Take a free page of a flagged block, or NIL: also for a table of a split, in place of `own_page`."""
    page = take_own(state, ORDER_0)
    if page != NIL:
        _count_free(state, page, -1)
    return page


@kernel_function
def _convert(state: State) -> Int:
    """Flag a wholly free block and take its first page; NIL if there is none, or its call fails."""
    block = state.orders.block
    page = rmqueue_smallest(state, block)
    if page == NIL:
        return NIL
    if not protect(state, page, 1 << block):
        free_to_system(state, page, block)
        return NIL
    state.block_nr_free[page >> block] = 0
    _count_free(state, page, (1 << block) - 1)
    for order in range(block - 1, -1, -1):
        add_own(state, page + (1 << order), order)
    return page


@kernel_function
def _fall_back(state: State) -> Int:
    """Take any page and protect it alone; NIL if there is none, or none for a table."""
    page = rmqueue_smallest(state, ORDER_0)
    if page != NIL and not protect(state, page, ONE):
        free_to_system(state, page, ORDER_0)
        return NIL
    return page


@kernel_function
def _alloc_slowly(state: State) -> Int:
    """Allocate a page where no flagged one is free."""
    page = _convert(state)
    if page == NIL:
        state.vars[CONVERT_FAILED] += 1
        if state.vars[FIRST_PARAMETER]:
            page = _fall_back(state)
    return page


@kernel_inline
def alloc(state: State) -> Int:
    """Take a free page of a flagged block, or flag another block."""
    page = take_own(state, ORDER_0)
    if page == NIL:
        return _alloc_slowly(state)
    _count_free(state, page, -1)
    return page


@kernel_inline
def free(state: State, page: Int) -> None:
    """Free a page: in its flagged block it stays protected; one of the fallback goes back to the system."""
    if state.block_nr_free[np.uint32(page >> state.orders.block)] == NOT_MANAGED:
        unprotect(state, page, ONE)
        free_to_system(state, page, ORDER_0)
        return
    _count_free(state, page, 1)
    merged, order = merge_own(state, page, ORDER_0)
    _add_likely(state, own_head(state, order), merged, order, order + OWN)


@kernel_function
def _flip_back(state: State, order: Int) -> Int:
    """Serve the system with `2**order` pages of flagged blocks that are wholly free, or NIL."""
    block = state.orders.block
    chunk = max(order, block)
    page = take_own(state, chunk)
    if page == NIL:
        return NIL
    unprotect(state, page, 1 << chunk)  # its borders were split when it was flagged: this cannot fail
    state.vars[SCRUBBED_PAGES] += 1 << chunk
    for flagged in range(page >> block, (page + (1 << chunk)) >> block):
        state.block_nr_free[flagged] = NOT_MANAGED
    state.vars[NR_CACHED] -= 1 << chunk
    state.vars[FREE_PAGES] -= 1 << order
    while chunk > order:
        chunk -= 1
        insert_after(state, len(state.buddy_order) + chunk, page + (1 << chunk), chunk)
    return page


@kernel_function
def _is_movable(state: State) -> Flag:
    """Whether the chunk that the system asks for now is a movable one."""
    percent = state.vars[SECOND_PARAMETER]
    state.vars[NR_SEEN] += 1
    seen = state.vars[NR_SEEN]
    return seen * percent // 100 > (seen - 1) * percent // 100


@kernel_inline
def alloc_to_system(state: State, order: Int) -> Int:
    """In place of `system_alloc`: an unmovable chunk may take a flagged block back."""
    movable = _is_movable(state)
    page = rmqueue_smallest(state, order)
    return page if page != NIL or movable else _flip_back(state, order)


POLICIES = (
    Definition(
        name="freetype",
        line="protected page blocks inside the page allocator",
        about=(
            "The page allocator keeps, for unmovable pages, a second set of free lists of page blocks that are "
            "flagged as protected. Without a free page there it converts a wholly free block by one call. "
            "Nothing is aged or given back in the background: a block that is wholly free again is flipped "
            "back, and zeroed, when an unmovable request finds no other memory. Free pages of a block in part "
            "use are held, though the watermarks count them. The kernel needs the new dimension of free lists "
            "in mm/page_alloc.c, and tables for its own splits that do not recurse."
        ),
        source="v2, 20 Mar 2026, 20260320-...-v2-0-28bf1bd54f41, 19/22, and v3, 26 Jul 2026, "
        "20260726-...-v3-0-6f5729aa9832 (Jackman); zeroing from v4",
        parameters=(
            Parameter(
                "fallback",
                False,
                None,
                "",
                "where no block can be converted, a single page is protected instead, which splits its block",
            ),
            Parameter(
                "movable_percent",
                0,
                (0, 100),
                "percent",
                "of the system's chunks, which never take a flagged block back",
            ),
        ),
        thresholds=(),
        replaced=WITHOUT_SHRINKER
        | {
            pba_pgtable_alloc: alloc,
            pba_pgtable_free: free,
            own_page: take_flagged,
            system_alloc: alloc_to_system,
            system_free: free_to_system,
            laid_out: lay_out_own,
        },
        is_rival=True,
    ),
)
