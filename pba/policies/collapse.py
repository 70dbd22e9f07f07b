"""`v6+collapse`: v6 whose linear map folds back as soon as all pages of a split block have one pkey again.

After each call that changed a pkey: if the block that it was on is mapped by PTEs, and all pages of the block have
the same pkey, a PMD leaf maps it again, and its PTE table is freed to the cache, to the list's head, as any page
table is. Then, if all PMD leaves of the contPMD that the block lies in are whole and have the same pkey, they are
marked as one again.

Decided here:

- A call that fails folds nothing: it has changed no pkey.
- Whole PMD leaves are marked as a contPMD only where the map was allowed one, and it lies inside memory.
- A PMD fold flushes everything, as on x86. To mark a contPMD takes no flush beside the call's own: what the TLB
  holds of its leaves stays true.
- A table that a fold has freed is cached before the pages of a refill whose call folded, which so go first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import (
    TAKE_ONE,
    after_protect,
    after_unprotect,
    cached_list_del_page,
    pba_pgtable_free,
    refill_pages,
    split_boundary,
    split_boundary_refilling,
)
from pba.kernel.linear_map import HAS_TABLE, NEED_TABLE, NO_TABLE, split_kernel_leaf_mapping
from pba.kernel.replay import nr_folded
from pba.kernel.state import (
    DEADLOCKS,
    LEAF_CONTPMD,
    LEAF_PMD,
    LEAF_PTE,
    NIL,
    NR_CACHED,
    WALKED_TO,
    Flag,
    Int,
    Orders,
    State,
)
from pba.policies.definition import Definition
from pba.policies.state import CONTPMD_COLLAPSES, FLUSH_ALL, LARGEST_LEAF, PMD_COLLAPSES
from pba.policies.v6 import SOURCE


class FoldingState(NamedTuple):
    """`pba.kernel.state.State`, and what it takes to fold."""

    orders: Orders
    buddy_next: NDArray[np.uint32]
    buddy_prev: NDArray[np.uint32]
    buddy_order: NDArray[np.int8]
    leaf: NDArray[np.uint8]
    contpte: NDArray[np.uint8]
    cached: NDArray[np.int32]
    block_nr_free: NDArray[np.int32]
    touched: NDArray[np.uint8]
    vars: NDArray[np.int64]
    block_pkey_pages: NDArray[np.int32]  # (blocks,) pages that have the page-table pkey
    block_tables: NDArray[np.int32]  # (blocks,) where `leaf` is LEAF_PTE the page of its table


def with_tables(state: State) -> FoldingState:
    """Return a state with room for what it takes to fold."""
    blocks = len(state.leaf)
    return FoldingState(
        *state, block_pkey_pages=np.empty(blocks, np.int32), block_tables=np.empty(blocks, np.int32)
    )


def nothing_protected(state: FoldingState) -> None:
    """Make it ready for a boot."""
    state.block_pkey_pages[:] = 0
    state.block_tables[:] = NIL


# Tables: in place of what splits at a boundary. Of two that a split takes the PTE table is the last.


@kernel_function
def split_refilling(state: FoldingState, page: Int) -> Int:
    """In place of `split_boundary_refilling`: notes the page that becomes a table."""
    has_table = NO_TABLE
    while split_kernel_leaf_mapping(state, page, has_table) == NEED_TABLE:  # type: ignore[arg-type]
        if state.vars[NR_CACHED] == 0:
            state.vars[DEADLOCKS] += 1
            return 0
        state.block_tables[page >> state.orders.block] = cached_list_del_page(state)  # type: ignore[arg-type]
        has_table = HAS_TABLE
    return 1


@kernel_function
def split(state: FoldingState, page: Int) -> Int:
    """In place of `split_boundary`: notes the page that becomes a table."""
    has_table = NO_TABLE
    while split_kernel_leaf_mapping(state, page, has_table) == NEED_TABLE:  # type: ignore[arg-type]
        if state.vars[NR_CACHED] > 0:
            table = cached_list_del_page(state)  # type: ignore[arg-type]
        else:
            table = np.int64(refill_pages(state, TAKE_ONE))  # type: ignore[arg-type]
            if table == NIL:
                return 0
        state.block_tables[page >> state.orders.block] = table
        has_table = HAS_TABLE
    return 1


# Folds


@kernel_inline
def _has_one_pkey(state: FoldingState, block: Int) -> Flag:
    """Whether all pages of a block have the same pkey."""
    nr_pages = state.block_pkey_pages[block]
    return nr_pages == 0 or nr_pages == 1 << state.orders.block


@kernel_function
def _fold_pmd(state: FoldingState, block: Int) -> None:
    """Map a block by a PMD leaf again, and free its table."""
    state.leaf[block] = LEAF_PMD
    first = block << (state.orders.block - state.orders.contpte)
    state.contpte[first : first + (1 << (state.orders.block - state.orders.contpte))] = 0
    state.vars[FLUSH_ALL] += 1
    state.vars[PMD_COLLAPSES] += 1
    pba_pgtable_free(state, np.int64(state.block_tables[block]))  # type: ignore[arg-type]
    state.vars[WALKED_TO] = 0


@kernel_function
def _fold_contpmd(state: FoldingState, block: Int) -> None:
    """Mark the PMD leaves around a block as a contPMD again, if they can be."""
    shift = state.orders.contpmd - state.orders.block
    first = (block >> shift) << shift
    end = first + (1 << shift)
    if end > len(state.leaf):
        return
    for one in range(first, end):
        if state.leaf[one] != LEAF_PMD or state.block_pkey_pages[one] != state.block_pkey_pages[block]:
            return
    state.leaf[first:end] = LEAF_CONTPMD
    state.vars[CONTPMD_COLLAPSES] += 1


@kernel_function
def _fold(state: FoldingState, block: Int) -> None:
    """Fold what a call has made alike in a block, and then around it."""
    if not _has_one_pkey(state, block):
        return
    if state.leaf[block] == LEAF_PTE:
        _fold_pmd(state, block)
    if state.leaf[block] == LEAF_PMD and state.vars[LARGEST_LEAF] >= LEAF_CONTPMD:
        _fold_contpmd(state, block)


@kernel_inline
def fold_protected(state: FoldingState, page: Int, order: Int) -> None:
    """In place of `after_protect`. No call of v6's is on more than a block."""
    block = page >> state.orders.block
    state.block_pkey_pages[block] += 1 << order
    _fold(state, block)


@kernel_inline
def fold_unprotected(state: FoldingState, page: Int, order: Int) -> None:
    """In place of `after_unprotect`.

    The pages of a chunk that are released one by one may be told at once: while one of them has the pkey, another
    has not, so the block cannot fold before the last.
    """
    block = page >> state.orders.block
    state.block_pkey_pages[block] -= 1 << order
    _fold(state, block)


@kernel_inline
def folds_so_far(state: FoldingState) -> Int:
    """In place of `nr_folded`."""
    return state.vars[PMD_COLLAPSES]


POLICIES = (
    Definition(
        name="v6+collapse",
        line="v6 whose split blocks fold back to PMD leaves",
        about=(
            "v6, and after each call that protects or unprotects: a split block whose pages have one pkey again is "
            "mapped by a PMD leaf once more, for a flush of the whole TLB, and a contPMD range of such leaves "
            "is marked as one. The table of a folded block goes back to the cache as a freed page table. x86 "
            "folds so since cpa_collapse_large_pages(), at the end of set_memory_rox() alone; arm64 would need "
            "the like in arch/arm64/mm/mmu.c, and to know which of its pages protect what."
        ),
        source=f"a variant of v6 by this project, after x86's commit 41d88484c71c; {SOURCE}",
        replaced={
            split_boundary: split,
            split_boundary_refilling: split_refilling,
            after_protect: fold_protected,
            after_unprotect: fold_unprotected,
            nr_folded: folds_so_far,
        },
        counters=("pmd_collapses", "contpmd_collapses", "flush_all"),
        extend=with_tables,
        prepare=nothing_protected,
    ),
)
