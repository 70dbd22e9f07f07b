"""`grouped`: a list of protected pages, refilled by blocks, and a reserve apart for the tables of splits.

The list stands in `cached` from its head on, so that its tail, where pages come and go, is the stack's top;
NR_LISTED pages. The reserve stands from N on. `buddy_prev` of a page of the policy is 1 if it is not protected:
a page that is not free has no use for its links.

Decided here:

- All pages of the list are held, protected or not: nobody else can get them.
- At boot all pages of the reserve are taken, then protected one by one in that order. A split that this needs
  takes a page of the reserve that is protected already; as long as there is none, one that is not is taken.
- A refill whose call fails gives its chunk back, and the allocation fails: only where no block is free a single
  page is tried, which counts as `refills_min`.
- A scan whose call fails ends; that page and those not reached yet stay at the list's head, as they were. It
  returns what it gave back, and never SHRINK_STOP. As the reserve has a page for each block, this takes one that
  could not be filled.
- The atomic variant is left out: traces do not say which allocations may not sleep.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import pba_init, pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import free_one_page, rmqueue_smallest
from pba.kernel.replay import laid_out
from pba.kernel.shrinker import ORDER_0
from pba.kernel.state import NIL, NR_CACHED, REFILL_FAILURES, REFILLS_BLOCK, REFILLS_MIN, Int, State
from pba.policies.default_shrinker import WITH_DEFAULT_SHRINKER, count_objects, scan_objects
from pba.policies.definition import Definition, Parameter
from pba.policies.rival import ONE, own_page, protect, unprotect
from pba.policies.state import FIRST_PARAMETER, NR_LISTED, PTP_UNPROTECTED, RESERVE_PAGES

MODES: Final = ("intended", "posted")
INTENDED: Final = MODES.index("intended")


# The reserve


@kernel_function
def fill_reserve(state: State) -> None:
    """In place of `pba_init`: a page for each table that the linear map could come to need."""
    var = state.vars
    memory_pages = len(state.buddy_order)
    wanted = (memory_pages >> state.orders.pud) + (memory_pages >> state.orders.block)
    nr_taken = 0
    while nr_taken < wanted:
        page = rmqueue_smallest(state, ORDER_0)
        if page == NIL:
            break
        state.cached[memory_pages + nr_taken] = page
        nr_taken += 1
    for at in range(memory_pages, memory_pages + nr_taken):
        page = np.int64(state.cached[at])
        if protect(state, page, ONE):
            state.cached[memory_pages + var[RESERVE_PAGES]] = page
            var[RESERVE_PAGES] += 1
            var[NR_CACHED] += 1
        else:
            free_one_page(state, page, ORDER_0)


@kernel_inline
def take_reserved(state: State) -> Int:
    """In place of `own_page`: the page that came last to the reserve, or NIL."""
    var = state.vars
    if var[RESERVE_PAGES] == 0:
        return NIL
    var[RESERVE_PAGES] -= 1
    var[NR_CACHED] -= 1
    return np.int64(state.cached[len(state.buddy_order) + var[RESERVE_PAGES]])


# Allocation and free


@kernel_inline
def _add(state: State, page: Int) -> None:
    """Put a page to the list's tail."""
    var = state.vars
    state.cached[np.uint32(var[NR_LISTED])] = page
    var[NR_LISTED] += 1
    var[NR_CACHED] += 1


@kernel_function
def _refill_block(state: State, page: Int) -> Int:
    """Protect a block, or its first page alone, list all but that and return it; NIL if it cannot be protected."""
    block = state.orders.block
    is_whole = state.vars[FIRST_PARAMETER] == INTENDED
    state.vars[REFILLS_BLOCK] += 1
    if not protect(state, page, (1 << block) if is_whole else ONE):
        free_one_page(state, page, block)
        return NIL
    state.buddy_prev[page] = 0
    for part in range(page + 1, page + (1 << block)):
        state.buddy_prev[part] = not is_whole
        _add(state, part)
    return page


@kernel_function
def _refill(state: State) -> Int:
    """Return a page of a new block, else a single one, protected; NIL if there is none, or none for a table."""
    page = rmqueue_smallest(state, state.orders.block)
    if page != NIL:
        return _refill_block(state, page)
    page = rmqueue_smallest(state, ORDER_0)
    if page == NIL:
        state.vars[REFILL_FAILURES] += 1
        return NIL
    state.vars[REFILLS_MIN] += 1
    if not protect(state, page, ONE):
        free_one_page(state, page, ORDER_0)
        return NIL
    state.buddy_prev[page] = 0
    return page


@kernel_inline
def alloc(state: State) -> Int:
    """Take the page at the list's tail, after a refill if there is none."""
    var = state.vars
    if var[NR_LISTED] == 0:
        return _refill(state)
    var[NR_LISTED] -= 1
    var[NR_CACHED] -= 1
    page = np.int64(state.cached[np.uint32(var[NR_LISTED])])
    if var[FIRST_PARAMETER] != INTENDED:
        var[PTP_UNPROTECTED] += state.buddy_prev[np.uint32(page)]
    return page


@kernel_inline
def free(state: State, page: Int) -> None:
    """Put a page to the list's tail, protected or not."""
    _add(state, page)


# Shrinker


@kernel_inline
def count_listed(state: State) -> Int:
    """In place of `count_objects`: the reserve stays."""
    return state.vars[NR_LISTED]


@kernel_function
def scan(state: State, nr_to_scan: Int) -> tuple[Int, Int]:
    """In place of `scan_objects`: pages from the list's head on, those that lie deeper first.

    What is freed is added to `nr_scanned`, which the caller has set to `nr_to_scan` already.
    """
    listed = state.vars[NR_LISTED]
    first = min(nr_to_scan, listed)
    left = first
    while left > 0:
        page = np.int64(state.cached[left - 1])
        if not unprotect(state, page, ONE):
            break
        free_one_page(state, page, ORDER_0)
        left -= 1
    nr_freed = first - left
    for at in range(first, listed):
        state.cached[at - nr_freed] = state.cached[at]
    state.vars[NR_LISTED] -= nr_freed
    state.vars[NR_CACHED] -= nr_freed
    return nr_freed, nr_to_scan + nr_freed


@kernel_function
def lay_out_reserve(state: State) -> Int:
    """In place of `laid_out`: the reserve above the list's tail, so that a hash reads it first."""
    listed = state.vars[NR_LISTED]
    for at in range(state.vars[RESERVE_PAGES]):
        state.cached[listed + at] = state.cached[len(state.buddy_order) + at]
    return state.vars[NR_CACHED]


POLICIES = (
    Definition(
        name="grouped",
        line="a list of pages from protected blocks, a reserve for splits",
        about=(
            "Page tables come from the tail of a list, which a whole block refills, and go back there; no page knows "
            "its block. A shrinker with the default seeks and batch unprotects and frees single pages from the "
            "list's head, which splits whatever block they lie in. Tables of splits come from a reserve that is "
            "filled at boot, as large as a map in PTEs would need. The kernel needs the list, the shrinker and the "
            "reserve. As posted, a refill protects its first page alone, and hands the others out unprotected."
        ),
        source="PKS tables RFC v2, 30 Aug 2021, 20210830235927.6443-4-rick.p.edgecombe@intel.com, also -17 and -18 "
        "(Edgecombe); the whole block is protected in v1, 20210505003032.489164-",
        parameters=(
            Parameter(
                "mode",
                "intended",
                MODES,
                "",
                "a refill protects its whole block, as in v1; or, as v2 was posted, its first page alone",
            ),
        ),
        thresholds=(),
        replaced=WITH_DEFAULT_SHRINKER
        | {
            pba_init: fill_reserve,
            pba_pgtable_alloc: alloc,
            pba_pgtable_free: free,
            own_page: take_reserved,
            count_objects: count_listed,
            scan_objects: scan,
            laid_out: lay_out_reserve,
        },
        is_rival=True,
    ),
)
