"""`scattered`: single pages from anywhere, protected one by one under a block-mapped linear map.

Decided here: a table that waits to be protected stays unprotected if its own split finds no page. Nested
splits are those that take a table while waiting tables are protected.
"""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import free_one_page, rmqueue_smallest
from pba.kernel.shrinker import ORDER_0
from pba.kernel.state import NIL, SPLIT_TABLE_PAGES, Int, State
from pba.policies.definition import Definition
from pba.policies.rival import ONE, WITHOUT_SHRINKER, protect, take_split_ptp, unprotect
from pba.policies.state import NESTED_SPLITS, NR_WAITING, SPLIT_PTP_RAW


@kernel_function
def take_waiting_ptp(state: State) -> Int:
    """In place of `take_split_ptp`: any page, which waits in `cached` to be protected."""
    page = rmqueue_smallest(state, ORDER_0)
    if page != NIL:
        state.vars[SPLIT_PTP_RAW] += 1
        state.cached[state.vars[NR_WAITING]] = page
        state.vars[NR_WAITING] += 1
    return page


@kernel_function
def _protect_waiting(state: State) -> None:
    """Protect the tables that wait, first come first served, and those that this needs in turn."""
    before = state.vars[SPLIT_TABLE_PAGES]
    done = 0
    while done < state.vars[NR_WAITING]:
        protect(state, np.int64(state.cached[done]), ONE)
        done += 1
    state.vars[NR_WAITING] = 0
    state.vars[NESTED_SPLITS] += state.vars[SPLIT_TABLE_PAGES] - before


@kernel_inline
def alloc(state: State) -> Int:
    """Take a page and protect it; NIL if there is none, or none for a table."""
    page = rmqueue_smallest(state, ORDER_0)
    if page == NIL:
        return page
    done = protect(state, page, ONE)
    if state.vars[NR_WAITING] > 0:
        _protect_waiting(state)
    if not done:
        free_one_page(state, page, ORDER_0)
        return NIL
    return page


@kernel_inline
def free(state: State, page: Int) -> None:
    """Unprotect a page, which a PTE of its own maps, and give it back."""
    unprotect(state, page, ONE)
    free_one_page(state, page, ORDER_0)


POLICIES = (
    Definition(
        name="scattered",
        line="single pages from anywhere, protected one by one",
        about=(
            "The constructor of a page table sets the pkey on its page, the destructor takes it off; nothing "
            "is cached, and the first page table in a block splits it for good. The kernel would have to "
            "protect the page tables of these splits too, which may split in turn: here they wait until the "
            "call has ended and are protected then."
        ),
        source="v5 RFC, 15 Aug 2025, 20250815085512.2182322-14-kevin.brodsky@arm.com; the wait is assumed",
        thresholds=(),
        replaced=WITHOUT_SHRINKER
        | {pba_pgtable_alloc: alloc, pba_pgtable_free: free, take_split_ptp: take_waiting_ptp},
        is_rival=True,
    ),
)
