"""The linear map of arm64 with live block splitting (arch/arm64/mm/mmu.c).

A split that replaces a block leaf needs a page for the new table, which comes from the block allocator,
which may have to split the linear map to give one. To keep that loop out of the call graph,
`split_kernel_leaf_mapping` does not allocate: it says that it needs a table, and is called again with one.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.state import (
    CONTPMD_SPLITS,
    CONTPTE_SPLITS,
    LEAF_CONTPMD,
    LEAF_PMD,
    LEAF_PTE,
    LEAF_PUD,
    PMD_SPLITS,
    PUD_SPLITS,
    SPLIT_TABLE_PAGES,
    Flag,
    Int,
    State,
)

NO_TABLE: Final = np.int64(0)
HAS_TABLE: Final = np.int64(1)
"""For `has_table`. Numba would compile a function once for each plain number that is passed to it."""
DONE: Final = 0
"""The map has a boundary there now."""
NEED_TABLE: Final = 1
"""A page-table page is needed to go on: call again with one."""


@kernel_inline
def _aligned(page: Int, order: Int) -> Flag:
    """`IS_ALIGNED(page, 1 << order)`."""
    return page & ((1 << order) - 1) == 0


@kernel_inline
def is_pte_mapped(state: State, page: Int) -> Flag:
    """Whether a PTE of its own maps this page, so that nothing around it can be split any more."""
    orders = state.orders
    return state.leaf[page >> orders.block] == LEAF_PTE and state.contpte[page >> orders.contpte] == 0


@kernel_function
def split_kernel_leaf_mapping(state: State, page: Int, has_table: Int) -> Int:
    """Split the leaf that maps across the boundary before `page`: `split_kernel_leaf_mapping_locked()`.

    Parameters
    ----------
    page : int
        The boundary, as the pfn after it.
    has_table : int
        HAS_TABLE if the caller holds a page for one new table, else NO_TABLE. The first split that needs a
        table uses it up; a caller that offers one has been told NEED_TABLE, so it never goes unused.

    Returns
    -------
    int
        DONE or NEED_TABLE.
    """
    orders = state.orders
    if page >= len(state.buddy_order) or _aligned(page, orders.pud):
        return DONE
    pmd = page >> orders.block
    if state.leaf[pmd] == LEAF_PUD:
        if not has_table:
            return NEED_TABLE
        has_table = NO_TABLE
        _split_pud(state, page >> orders.pud)
    if _aligned(page, orders.contpmd):
        return DONE
    if state.leaf[pmd] != LEAF_PTE:
        if state.leaf[pmd] == LEAF_CONTPMD:
            _split_contpmd(state, page >> orders.contpmd)
        if _aligned(page, orders.block):
            return DONE
        if not has_table:
            return NEED_TABLE
        _split_pmd(state, pmd)
    if not _aligned(page, orders.contpte) and state.contpte[page >> orders.contpte]:
        state.contpte[page >> orders.contpte] = 0
        state.vars[CONTPTE_SPLITS] += 1
    return DONE


@kernel_function
def _split_pud(state: State, pud: Int) -> None:
    """Make a PUD leaf contPMD leaves under a new table: `split_pud()`."""
    shift = state.orders.pud - state.orders.block
    for pmd in range(pud << shift, (pud + 1) << shift):
        state.leaf[pmd] = LEAF_CONTPMD
    state.vars[PUD_SPLITS] += 1
    state.vars[SPLIT_TABLE_PAGES] += 1


@kernel_function
def _split_contpmd(state: State, contpmd: Int) -> None:
    """All PMD leaves of a contPMD lose the mark: `split_contpmd()`."""
    shift = state.orders.contpmd - state.orders.block
    for pmd in range(contpmd << shift, (contpmd + 1) << shift):
        state.leaf[pmd] = LEAF_PMD
    state.vars[CONTPMD_SPLITS] += 1


@kernel_function
def _split_pmd(state: State, pmd: Int) -> None:
    """Make a PMD leaf contPTE leaves under a new table: `split_pmd()`."""
    shift = state.orders.block - state.orders.contpte
    state.leaf[pmd] = LEAF_PTE
    for contpte in range(pmd << shift, (pmd + 1) << shift):
        state.contpte[contpte] = 1
    state.vars[PMD_SPLITS] += 1
    state.vars[SPLIT_TABLE_PAGES] += 1
