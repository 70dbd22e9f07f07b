"""The shrinker of the block allocator (v6 17/30, mm/kpkeys_hardened_pgtables.c).

The kernel walks the whole cached list to count what is on it. Here the counts are kept as pages come and go,
and a walk happens only where the list's order decides: to find the first of several equally empty blocks, and
to take pages out. What a scan takes is a rule of numbers alone (`choose_scan`), as `pba.engine.members`
follows it for many sets of thresholds at once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import (
    PBA_NR_RESERVED_PAGES,
    after_unprotect,
    cached_list_add_nonblock,
    mark_block_noncached,
    set_pkey_default,
    split_boundary,
)
from pba.kernel.buddy import free_one_page
from pba.kernel.linear_map import is_pte_mapped
from pba.kernel.state import (
    BLOCKS_SPLIT_BY_SHRINKER,
    CONTPTE_SPLITS,
    END_MANAGED,
    FIRST_MANAGED,
    NIL,
    NONBLOCK_SCANS,
    NOT_MANAGED,
    NR_CACHED,
    NR_NONBLOCK,
    PAGES_LEAKED,
    PAGES_RELEASED,
    SCAN_CALLS,
    SCAN_STOPS,
    UNPROTECT_CALLS,
    UNPROTECT_PAGES,
    WALKED_TO,
    WHOLE_BLOCKS_RELEASED,
    Flag,
    Int,
    State,
    Tunables,
)

SHRINK_STOP: Final = -1
"""What `pba_shrink_scan` returns when it freed nothing."""
ORDER_0: Final = np.int64(0)
"""A single page."""
RICH: Final = PBA_NR_RESERVED_PAGES + 2
"""Cached pages with which no page of a block needs a refill: the splits in it take at most two tables."""


# --- what a scan chooses to take: `choose_scan` ---
TAKE_NOTHING: Final = 0
TAKE_WHOLE_BLOCK: Final = 1
TAKE_PART_OF_BLOCK: Final = 2
TAKE_NONBLOCK: Final = 3


class ListWalk(NamedTuple):
    """What the first loop of `pba_shrink_scan()` finds on the cached list. All int."""

    target_block: Int  # the emptiest block, NIL if no cached page is in a block
    nr_pages_target_block: Int  # cached pages in it
    nr_pages_nonblock: Int  # cached pages in no block


@kernel_inline
def count_shrinkable_pages(nr_cached: Int, unshrinkable_pages: Int) -> Int:
    """`count_shrinkable_pages()`: cached pages above PBA_UNSHRINKABLE_PAGES."""
    return max(nr_cached - unshrinkable_pages, 0)


@kernel_inline
def pba_shrink_count(state: State, tunables: Tunables) -> Int:
    """`pba_shrink_count()`; 0 stands for SHRINK_EMPTY."""
    return count_shrinkable_pages(state.vars[NR_CACHED], tunables.unshrinkable_pages)


@kernel_function
def first_block_with(state: State, nr_free: Int) -> Int:
    """Return the block of the first page on the list whose block has `nr_free` free pages."""
    shift = state.orders.block
    for i in range(state.vars[NR_CACHED] - 1, -1, -1):
        block = np.int64(state.cached[i]) >> shift
        if state.block_nr_free[block] == nr_free:
            return block
    return NIL


@kernel_function
def _emptiest_block(state: State) -> tuple[Int, Int]:
    """Return the managed block with the most free pages, or NIL, and how many they are.

    Among equals the one that a walk from the list's head meets first.
    """
    first = state.vars[FIRST_MANAGED]
    end = state.vars[END_MANAGED]
    best = np.int64(0)
    for block in range(first, end):
        best = max(best, np.int64(state.block_nr_free[block]))
    if best == 0:
        return NIL, 0
    equals = 0
    target: Int = NIL
    for block in range(first, end):
        if state.block_nr_free[block] == best:
            equals += 1
            target = block
    if equals > 1:
        target = first_block_with(state, best)
    return target, best


@kernel_inline
def walk_cached_list(state: State) -> ListWalk:
    """Find what there is to take: the first loop of `pba_shrink_scan()`."""
    target, nr_target = _emptiest_block(state)
    return ListWalk(np.int64(target), np.int64(nr_target), state.vars[NR_NONBLOCK])


@kernel_inline
def block_worth_shrinking(found: ListWalk, nr_to_scan: Int, shrink_block_min_pages: Int) -> Flag:
    """`block_worth_shrinking()`: whether to split a block rather than to take non-block pages."""
    return (
        found.nr_pages_nonblock < found.nr_pages_target_block
        and found.nr_pages_nonblock < nr_to_scan
        and found.nr_pages_target_block >= shrink_block_min_pages
    )


@kernel_inline
def choose_scan(
    found: ListWalk, nr_to_scan: Int, nr_shrinkable: Int, block_nr_pages: Int, shrink_block_min_pages: Int
) -> tuple[Int, Int]:
    """Choose what a scan takes: the rules of `pba_shrink_scan()` between its two loops.

    Parameters
    ----------
    found : ListWalk
        What is on the list.
    nr_to_scan : int
        `sc->nr_to_scan`.
    nr_shrinkable : int
        `count_shrinkable_pages()`.
    block_nr_pages : int
        Pages of a block.
    shrink_block_min_pages : int
        PBA_SHRINK_BLOCK_MIN_PAGES; it is only ever compared with `found.nr_pages_target_block`.

    Returns
    -------
    choice : int
        TAKE_WHOLE_BLOCK, TAKE_PART_OF_BLOCK, TAKE_NONBLOCK; or TAKE_NOTHING for an empty block that cannot
        be released whole: SHRINK_STOP.
    nr_pages : int
        Pages to take.
    """
    if found.nr_pages_target_block == block_nr_pages:
        if nr_shrinkable < block_nr_pages:
            return TAKE_NOTHING, 0
        return TAKE_WHOLE_BLOCK, block_nr_pages
    if block_worth_shrinking(found, nr_to_scan, shrink_block_min_pages):
        return TAKE_PART_OF_BLOCK, min(nr_to_scan, found.nr_pages_target_block, nr_shrinkable)
    return TAKE_NONBLOCK, min(nr_to_scan, found.nr_pages_nonblock, nr_shrinkable)


@kernel_inline
def is_wanted(state: State, page: Int, target: Int) -> Flag:
    """Whether a cached page lies in block `target`, or, with `target` NIL, in no managed block."""
    block = page >> state.orders.block
    if target == NIL:
        return state.block_nr_free[block] == NOT_MANAGED
    return block == target


@kernel_inline
def _where_walk_begins(state: State, target: Int) -> Int:
    """Return the place of the stack above which no page of block `target` (NIL: of no block) stands.

    Nothing is freed to the cache during a visit of reclaim, so a scan for pages of no block can go on where the
    one before it ended, past the pages that it kept.
    """
    nr_cached = state.vars[NR_CACHED]
    walked_to = state.vars[WALKED_TO]
    return min(walked_to, nr_cached) if target == NIL and walked_to > 0 else nr_cached


@kernel_function
def take_pages(state: State, target: Int, wanted: Int) -> None:
    """Move pages of block `target` (NIL: of no block) to the release list, as a walk from the head goes.

    `wanted` is at most what there is. The second loop of `pba_shrink_scan()`; the counts are the caller's.
    Whether a page is wanted is as good as random, and a branch would be guessed wrongly every other time: so
    each page is written to the place of the next wanted one and to that of the next kept one, below it, and
    only one of the two moves on.
    """
    cached = state.cached
    begin = np.uint64(_where_walk_begins(state, target))
    last = np.uint64(len(cached) - 1)
    one = np.uint64(1)
    taken, kept = np.uint64(0), np.uint64(0)
    lowest = begin
    nr_wanted = np.uint64(wanted)
    spare = last - nr_wanted
    while taken < nr_wanted:
        lowest -= one
        page = cached[lowest]
        cached[last - taken] = page
        cached[spare - kept] = page
        is_taken = np.uint64(is_wanted(state, np.int64(page), target))
        taken += is_taken
        kept += is_taken ^ one
    first = spare + one - kept
    for i in range(kept):
        cached[lowest + i] = cached[first + i]
    above = np.uint64(state.vars[NR_CACHED]) - begin
    if taken > 0:
        for i in range(above):
            cached[lowest + kept + i] = cached[begin + i]
    state.vars[NR_CACHED] = np.int64(lowest + kept + above)
    if target == NIL:
        state.vars[WALKED_TO] = np.int64(lowest)


@kernel_function
def _chunk_order(state: State, at: Int, end: Int) -> Int:
    """Return the largest order of which the pages of the release list from `at` on make one whole chunk.

    They may stand in any order: as they are different pages, `2**order` of them that agree in all higher bits
    are all pages of that chunk. At most BLOCK_ORDER, and not past `end`.
    """
    first = state.cached[at]
    differ = first ^ first
    nr_pages = 1
    order = 0
    while order < state.orders.block and at + 2 * nr_pages <= end:
        for i in range(at + nr_pages, at + 2 * nr_pages):
            differ |= state.cached[i] ^ first
        nr_pages *= 2
        if np.int64(differ) >= nr_pages:
            break
        order += 1
    return order


@kernel_function
def _release_chunk(state: State, page: Int, order: Int) -> None:
    """Unprotect the pages of a chunk one by one, and free it.

    For one who has pages enough in the cache that no page of the chunk needs a refill (RICH). Freeing the
    pages of a whole chunk one after the other, in any order, leaves the buddy allocator as freeing the chunk
    does: each part's buddy is in the chunk, so parts only ever merge with each other until it is whole.
    """
    if not is_pte_mapped(state, page):
        split_boundary(state, page | 1)
    shift = state.orders.contpte
    for contpte in range((page >> shift) + 1, ((page + (1 << order) - 1) >> shift) + 1):
        if state.contpte[contpte]:
            state.contpte[contpte] = 0
            state.vars[CONTPTE_SPLITS] += 1
    free_one_page(state, page, order)
    after_unprotect(state, page, order)


@kernel_function
def release_page_list(state: State, nr_pages: Int) -> Int:
    """Unprotect and free pages one by one, the last taken first: `release_page_list()`; return how many.

    On a failure that page returns to the list and the pages not reached are lost: nothing points to them.
    """
    end = len(state.cached)
    at = end - nr_pages
    while at < end:
        page = np.int64(state.cached[at])
        order: Int = np.int64(0)
        if state.vars[NR_CACHED] >= RICH:
            order = _chunk_order(state, at, end)
            _release_chunk(state, page & -(1 << order), order)
        elif set_pkey_default(state, page, 1):
            free_one_page(state, page, ORDER_0)
            after_unprotect(state, page, ORDER_0)
        else:
            cached_list_add_nonblock(state, page, 1)
            state.vars[PAGES_LEAKED] += end - 1 - at
            break
        at += 1 << order
    nr_freed = at - (end - nr_pages)
    nr_tried = min(nr_freed + 1, nr_pages)
    state.vars[UNPROTECT_CALLS] += nr_tried
    state.vars[UNPROTECT_PAGES] += nr_tried
    return nr_freed


@kernel_function
def release_whole_block(state: State, block: Int) -> Int:
    """Unprotect an empty block at once, then free its pages: `release_whole_block()`; return how many.

    Freeing them one by one leaves the buddy allocator as freeing the block does (see `_release_chunk`).
    """
    head = block << state.orders.block
    nr_pages = 1 << state.orders.block
    state.vars[UNPROTECT_CALLS] += 1
    state.vars[UNPROTECT_PAGES] += nr_pages
    if not set_pkey_default(state, head, nr_pages):
        cached_list_add_nonblock(state, head, nr_pages)
        return 0
    free_one_page(state, head, state.orders.block)
    after_unprotect(state, head, state.orders.block)
    state.vars[WHOLE_BLOCKS_RELEASED] += 1
    return nr_pages


@kernel_function
def choose_pages(state: State, tunables: Tunables, nr_to_scan: Int) -> tuple[Int, Int, Int]:
    """Choose what a scan takes; return (block or NIL, its free pages, pages to take or SHRINK_STOP)."""
    found = walk_cached_list(state)
    nr_shrinkable = pba_shrink_count(state, tunables)
    block_nr_pages = 1 << state.orders.block
    choice, nr_pages = choose_scan(
        found, nr_to_scan, nr_shrinkable, block_nr_pages, tunables.shrink_block_min_pages
    )
    if choice == TAKE_NOTHING:
        return NIL, found.nr_pages_target_block, SHRINK_STOP
    if choice == TAKE_NONBLOCK:
        state.vars[NONBLOCK_SCANS] += 1
        return NIL, found.nr_pages_target_block, nr_pages
    if choice == TAKE_PART_OF_BLOCK:
        state.vars[BLOCKS_SPLIT_BY_SHRINKER] += 1
    return found.target_block, found.nr_pages_target_block, nr_pages


@kernel_function
def pba_shrink_scan(state: State, tunables: Tunables, nr_to_scan: Int) -> tuple[Int, Int]:
    """One pass of the shrinker: `pba_shrink_scan()`.

    Returns
    -------
    nr_freed : int
        Pages given back, or SHRINK_STOP where there are none.
    nr_scanned : int
        Pages taken off the list.
    """
    state.vars[SCAN_CALLS] += 1
    target, nr_target, nr_taken = choose_pages(state, tunables, nr_to_scan)
    if nr_taken == SHRINK_STOP:
        state.vars[SCAN_STOPS] += 1
        return SHRINK_STOP, 0
    nr_freed = shrink(state, target, nr_target, nr_taken)
    if nr_freed == 0:
        state.vars[SCAN_STOPS] += 1
        return SHRINK_STOP, nr_taken
    return nr_freed, nr_taken


@kernel_function
def shrink(state: State, target: Int, nr_target: Int, nr_taken: Int) -> Int:
    """Do what a scan has decided: the second half of `pba_shrink_scan()`; return the pages given back.

    Parameters
    ----------
    target, nr_target : int
        The block to take pages from and its free pages; NIL to take pages of no block.
    nr_taken : int
        How many, at most what there are.
    """
    take_pages(state, target, nr_taken)
    if target == NIL:
        state.vars[NR_NONBLOCK] -= nr_taken
        nr_freed = release_page_list(state, nr_taken)
    else:
        state.block_nr_free[target] -= nr_taken
        mark_block_noncached(state, target)
        if nr_target == 1 << state.orders.block:
            nr_freed = release_whole_block(state, target)
        else:
            nr_freed = release_page_list(state, nr_taken)
    state.vars[PAGES_RELEASED] += nr_freed
    return nr_freed
