"""`pte-mapped`: the whole linear map in PTEs from boot, so that a page table is protected without a split.

Decided here: the tables of the map lie outside of the memory that a replay starts with, as those of any map
do; `map_table_pages` counts them.
"""

from __future__ import annotations

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import pba_init, pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import free_one_page, rmqueue_smallest
from pba.kernel.shrinker import ORDER_0
from pba.kernel.state import LEAF_PTE, NIL, Int, State
from pba.policies.definition import Definition
from pba.policies.rival import ONE, WITHOUT_SHRINKER, protect, unprotect
from pba.policies.state import MAP_TABLE_PAGES


@kernel_function
def map_in_ptes(state: State) -> None:
    """In place of `pba_init`: no leaf is larger than a PTE, and no PTE is part of a contPTE."""
    state.leaf[:] = LEAF_PTE
    state.contpte[:] = 0
    state.vars[MAP_TABLE_PAGES] = len(state.leaf)


@kernel_inline
def alloc(state: State) -> Int:
    """Take a page and protect it; NIL if there is none."""
    page = rmqueue_smallest(state, ORDER_0)
    if page != NIL:
        protect(state, page, ONE)
    return page


@kernel_inline
def free(state: State, page: Int) -> None:
    """Unprotect a page and give it back."""
    unprotect(state, page, ONE)
    free_one_page(state, page, ORDER_0)


POLICIES = (
    Definition(
        name="pte-mapped",
        line="the linear map in PTEs from boot: no splits, no blocks",
        about=(
            "The kernel maps the whole linear map by single PTEs, without contPTE, as it does for KFENCE or "
            "rodata=full. Each page table is protected when it is allocated and unprotected when it is freed: "
            "two calls and two flushes. Nothing is ever split or held; the price is one table for each block "
            "of memory, and the reach of the TLB."
        ),
        source="v7 RFC, 5 May 2026, 20260505-kpkeys-v7-0-20c0bdd97197@arm.com, 12/24; v8, 26 May 2026",
        thresholds=(),
        replaced=WITHOUT_SHRINKER | {pba_init: map_in_ptes, pba_pgtable_alloc: alloc, pba_pgtable_free: free},
        is_rival=True,
    ),
)
