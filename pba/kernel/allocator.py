"""The block allocator for page-table pages (v6 14/30 and 15/30, mm/kpkeys_hardened_pgtables.c).

Functions that end in `_refilling` run while a refill is in progress, when another refill would deadlock.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.buddy import free_one_page, rmqueue_smallest
from pba.kernel.linear_map import HAS_TABLE, NEED_TABLE, NO_TABLE, is_pte_mapped, split_kernel_leaf_mapping
from pba.kernel.state import (
    DEADLOCKS,
    END_MANAGED,
    FIRST_MANAGED,
    NIL,
    NOT_MANAGED,
    NR_CACHED,
    NR_NONBLOCK,
    PROTECT_CALLS,
    PROTECT_PAGES,
    REFILL_FAILURES,
    REFILLS_BLOCK,
    REFILLS_MID,
    REFILLS_MIN,
    WALKED_TO,
    Flag,
    Int,
    State,
)

PBA_NR_RESERVED_PAGES: Final = 4
"""Cached pages that only a split of the linear map may take."""
KEEP_ALL: Final = np.int64(0)
TAKE_ONE: Final = np.int64(1)
"""For `take_one`: whether the caller of a refill takes its first page at once."""


@kernel_function
def cached_list_add_pages(state: State, page: Int, nr_pages: Int) -> None:
    """Add `nr_pages` pages from `page` on, each to the head of the cached list, lowest first.

    `cached_list_add_pages()`, which counts neither `block_nr_free` nor, here, non-block pages: the caller
    says with the functions below what kind of pages they are.
    """
    nr_cached = state.vars[NR_CACHED]
    for i in range(nr_pages):
        state.cached[nr_cached + i] = page + i
    state.vars[NR_CACHED] = nr_cached + nr_pages


@kernel_function
def cached_list_add_nonblock(state: State, page: Int, nr_pages: Int) -> None:
    """Add pages that lie in no managed block."""
    cached_list_add_pages(state, page, nr_pages)
    state.vars[NR_NONBLOCK] += nr_pages
    state.vars[WALKED_TO] = 0


@kernel_function
def cached_list_del_page(state: State) -> Int:
    """Take the head of the list, which must not be empty; `dec_block_nr_free()` is part of it."""
    nr_cached = state.vars[NR_CACHED] - 1
    state.vars[NR_CACHED] = nr_cached
    page = np.int64(state.cached[nr_cached])
    block = page >> state.orders.block
    if state.block_nr_free[block] == NOT_MANAGED:
        state.vars[NR_NONBLOCK] -= 1
    else:
        state.block_nr_free[block] -= 1
    return page


@kernel_function
def mark_block_cached(state: State, page: Int, nr_pages: Int) -> None:
    """`mark_block_cached()`: all pages of the block become `in_block`, `nr_pages` of them free."""
    block = page >> state.orders.block
    state.block_nr_free[block] = nr_pages
    state.vars[FIRST_MANAGED] = min(state.vars[FIRST_MANAGED], block)
    state.vars[END_MANAGED] = max(state.vars[END_MANAGED], block + 1)


@kernel_function
def mark_block_noncached(state: State, block: Int) -> None:
    """`mark_block_noncached()`: all pages of the block lose `in_block`, also those still cached or in use."""
    state.vars[NR_NONBLOCK] += state.block_nr_free[block]
    state.block_nr_free[block] = NOT_MANAGED
    state.vars[WALKED_TO] = 0


@kernel_function
def split_boundary_refilling(state: State, page: Int) -> Int:
    """Split at a boundary with cached pages alone; return 1, or 0 if they run out."""
    has_table = NO_TABLE
    while split_kernel_leaf_mapping(state, page, has_table) == NEED_TABLE:
        if state.vars[NR_CACHED] == 0:
            state.vars[DEADLOCKS] += 1
            return 0
        cached_list_del_page(state)
        has_table = HAS_TABLE
    return 1


@kernel_function
def split_boundary(state: State, page: Int) -> Int:
    """Split at a boundary, refilling the cache if it runs out of tables; return 1, or 0 on failure."""
    has_table = NO_TABLE
    while split_kernel_leaf_mapping(state, page, has_table) == NEED_TABLE:
        if state.vars[NR_CACHED] > 0:
            cached_list_del_page(state)
        elif refill_pages(state, TAKE_ONE) == NIL:
            return 0
        has_table = HAS_TABLE
    return 1


@kernel_inline
def after_protect(state: State, page: Int, order: Int) -> None:
    """Note that `2**order` pages have got the page-table pkey. A seam: policies may do something then."""


@kernel_inline
def after_unprotect(state: State, page: Int, order: Int) -> None:
    """Note that `2**order` pages have lost it: the other seam."""


@kernel_function
def set_pkey_pgtable(state: State, page: Int, order: Int) -> Int:
    """Protect a refill's pages: `set_memory_pkey()` while the refill is in progress; return 1, or 0.

    The preparation (`pba_prepare_direct_map_split()`) goes on at once then.
    """
    state.vars[PROTECT_CALLS] += 1
    state.vars[PROTECT_PAGES] += 1 << order
    if not split_boundary_refilling(state, page):
        return 0
    if not split_boundary_refilling(state, page + (1 << order)):
        return 0
    after_protect(state, page, order)
    return 1


@kernel_inline
def set_pkey_default(state: State, page: Int, nr_pages: Int) -> Int | Flag:
    """Unprotect pages that leave the cache: `set_memory_pkey()` outside of a refill; return 1, or 0.

    First `pba_prepare_direct_map_split()`: with fewer than the reserve cached, refill. A single page has one
    boundary that can split anything, the odd one: the even one is a boundary of every leaf that the odd
    one splits.
    """
    if state.vars[NR_CACHED] < PBA_NR_RESERVED_PAGES and refill_pages(state, KEEP_ALL) == NIL:
        return 0
    if nr_pages == 1:
        return is_pte_mapped(state, page) or split_boundary(state, page | 1)
    return split_boundary(state, page) and split_boundary(state, page + nr_pages)


@kernel_function
def _take_from_buddy(state: State) -> tuple[Int, Int]:
    """Take the largest refill that the buddy allocator can give; return (first pfn or NIL, its order)."""
    orders = state.orders
    page = rmqueue_smallest(state, orders.refill_block)
    if page != NIL:
        state.vars[REFILLS_BLOCK] += 1
        return page, orders.refill_block
    page = rmqueue_smallest(state, orders.refill_mid)
    if page != NIL:
        state.vars[REFILLS_MID] += 1
        return page, orders.refill_mid
    page = rmqueue_smallest(state, orders.refill_min)
    if page != NIL:
        state.vars[REFILLS_MIN] += 1
        return page, orders.refill_min
    state.vars[REFILL_FAILURES] += 1
    return NIL, 0


@kernel_function
def add_refill(state: State, page: Int, order: Int, take_one: Int) -> None:
    """`__refill_pages_add_to_cache()`: mark the block, if it is one, and add all but a page taken at once."""
    nr_pages = (1 << order) - take_one
    if order == state.orders.block:
        mark_block_cached(state, page, nr_pages)
        cached_list_add_pages(state, page + take_one, nr_pages)
    else:
        cached_list_add_nonblock(state, page + take_one, nr_pages)


@kernel_function
def refill_pages(state: State, take_one: Int) -> Int:
    """Refill the cache: `refill_pages()` (KEEP_ALL), `refill_pages_and_alloc_one()` (TAKE_ONE).

    Never called while a refill is in progress. Returns the refill's first pfn, which with `take_one` is
    the caller's, or NIL.
    """
    page, order = _take_from_buddy(state)
    if page == NIL:
        return NIL
    if not set_pkey_pgtable(state, page, order):
        free_one_page(state, page, order)
        return NIL
    add_refill(state, page, order, take_one)
    return page


@kernel_function
def pba_pgtable_alloc(state: State) -> Int:
    """Allocate a page-table page; return its pfn or NIL. An ordinary caller may not use the reserve."""
    if state.vars[NR_CACHED] > PBA_NR_RESERVED_PAGES:
        return cached_list_del_page(state)
    return refill_pages(state, TAKE_ONE)


@kernel_function
def pba_pgtable_free(state: State, page: Int) -> None:
    """Free a page-table page to the head of the list: `pba_pgtable_free()`, with `inc_block_nr_free()`."""
    nr_cached = state.vars[NR_CACHED]
    state.cached[nr_cached] = page
    state.vars[NR_CACHED] = nr_cached + 1
    block = page >> state.orders.block
    if state.block_nr_free[block] == NOT_MANAGED:
        state.vars[NR_NONBLOCK] += 1
    else:
        state.block_nr_free[block] += 1


@kernel_function
def pba_init(state: State) -> None:
    """Boot: one refill before pkeys can be set, then `set_pkey_pgtable()` on that region (`pba_init_late()`).

    A failure to set its pkey is ignored, as in the kernel.
    """
    page, order = _take_from_buddy(state)
    if page == NIL:
        return
    add_refill(state, page, order, KEEP_ALL)
    state.vars[PROTECT_CALLS] += 1
    state.vars[PROTECT_PAGES] += 1 << order
    if state.vars[NR_CACHED] < PBA_NR_RESERVED_PAGES and refill_pages(state, KEEP_ALL) == NIL:
        return
    if split_boundary(state, page) and split_boundary(state, page + (1 << order)):
        after_protect(state, page, order)
