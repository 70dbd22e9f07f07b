"""The data model of the simulated kernel: one value, `State`, that every function here works on.

All of it is arrays of integers. Functions of `pba.kernel` take `(state, ...)`, trust what they get, return
integers, and never raise: `pba.model` is the door that checks. Page frame numbers run from 0 to N - 1.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Int: TypeAlias = int | np.integer[Any]
"""A number as jitted functions take and return it: 64 bits, or an element of an array."""
Flag: TypeAlias = bool | np.bool_
"""Whether something is so, as jitted functions return it."""

NIL: Final = -1
"""No page: the allocation failed."""
NOT_MANAGED: Final = -1
"""In `block_nr_free`: the block is not managed, so its pages have no `in_block`."""

# What maps a PMD-sized region (`state.leaf`). At the start the last three are also the largest leaf allowed,
# in the order of pba.machine.LINEAR_MAPS.
LEAF_PTE: Final = 0  # a table of contPTE leaves and PTEs: the region is no longer block-mapped
LEAF_PMD: Final = 1
LEAF_CONTPMD: Final = 2
LEAF_PUD: Final = 3

# --- state.vars, int64: the counters, in the order of the vectors, then the rest ---
COUNTERS: Final = (
    "allocs",
    "frees",
    "alloc_failures",
    "refills_block",
    "refills_mid",
    "refills_min",
    "refill_failures",
    "protect_calls",
    "protect_pages",
    "unprotect_calls",
    "unprotect_pages",
    "pud_splits",
    "contpmd_splits",
    "pmd_splits",
    "contpte_splits",
    "split_table_pages",
    "shrink_calls",
    "scan_calls",
    "scan_stops",
    "whole_blocks_released",
    "blocks_split_by_shrinker",
    "nonblock_scans",
    "pages_released",
    "deadlocks",
    "background_failures",
    "pages_leaked",
)
(
    ALLOCS,
    FREES,
    ALLOC_FAILURES,
    REFILLS_BLOCK,
    REFILLS_MID,
    REFILLS_MIN,
    REFILL_FAILURES,
    PROTECT_CALLS,
    PROTECT_PAGES,
    UNPROTECT_CALLS,
    UNPROTECT_PAGES,
    PUD_SPLITS,
    CONTPMD_SPLITS,
    PMD_SPLITS,
    CONTPTE_SPLITS,
    SPLIT_TABLE_PAGES,
    SHRINK_CALLS,
    SCAN_CALLS,
    SCAN_STOPS,
    WHOLE_BLOCKS_RELEASED,
    BLOCKS_SPLIT_BY_SHRINKER,
    NONBLOCK_SCANS,
    PAGES_RELEASED,
    DEADLOCKS,
    BACKGROUND_FAILURES,
    PAGES_LEAKED,
    NR_CACHED,  # pages on the cached list
    NR_NONBLOCK,  # of them, those without in_block
    FIRST_MANAGED,  # no managed block lies below this block,
    END_MANAGED,  # and none from this one on
    NR_DEFERRED,  # shrinker->nr_deferred, pages
    FREE_PAGES,  # pages in the buddy allocator
    PEAK_CACHED,  # most pages cached after any event
    LAST_TIME,  # time of the event before, ns
    AREA_LOW,  # cached_page_ns, low part, below 2**(AREA_BITS + 1)
    AREA_HIGH,  # cached_page_ns, in units of 2**AREA_BITS
    CACHED_AFTER_PASSES,  # NR_CACHED right after each pass, summed: at most the memory's pages (31 bits) x
    # passes, so it fits for as long as there are no more than 2**32 passes, 60 GB of them
    NR_EVENTS,  # events replayed
    WALKED_TO,  # during a visit of reclaim: no page of no block stands at this place of the stack or above; 0:
    # nothing is known
    NR_VARS,
) = range(len(COUNTERS) + 14)

AREA_BITS: Final = 61
"""`cached_page_ns` outgrows 64 bits on long traces; it is kept in two parts."""

MAX_LISTS: Final = 14
"""Free lists of the buddy allocator: orders 0 to 13."""


class Orders(NamedTuple):
    """The orders of the machine; see `pba.machine.PageSizeOrders`. All int."""

    block: int  # BLOCK_ORDER, which is PMD_ORDER
    refill_block: int  # first refill order; only if it equals `block` are pages marked in_block
    refill_mid: int  # second
    refill_min: int  # third
    contpte: int
    contpmd: int
    pud: int
    max_page: int  # MAX_PAGE_ORDER


class Tunables(NamedTuple):
    """The thresholds; see `pba.machine.Thresholds`. All int, pages."""

    unshrinkable_pages: int  # PBA_UNSHRINKABLE_PAGES
    shrink_block_min_pages: int  # PBA_SHRINK_BLOCK_MIN_PAGES
    batch: int  # shrinker->batch


class State(NamedTuple):
    """Everything that the simulated kernel remembers; N is the memory in pages. About 17 bytes a page.

    **Buddy allocator** (`buddy_*`). Index-linked circular lists: nodes 0 to N - 1 are pages, node N + k is
    the head of the list of order k. Links mean something at the first pages of free chunks and at list heads
    only.

    **Linear map** (`leaf`, `contpte`). A PUD or contPMD leaf is written down once for each PMD-sized region
    under it.

    **Cached list** (`cached`), as a stack: the list's head is the stack's top. The kernel adds to the head
    and allocates from the head; only the shrinker takes from the middle. A stack keeps that order in
    contiguous memory. The list of pages that a scan releases grows down from the other end of the array. A
    page is on one of the two at most, but while a scan moves pages the stack still has gaps: each has a half
    of its own.

    **What has changed** (`touched`). While the flag of a chunk of the highest order is 0, all that is kept
    for its pages is as it was before boot; `leaf` alone can change. So a state can be kept, and gone back to,
    at the cost of the memory that has ever been used.

    **Blocks** (`block_nr_free`). `in_block` is the same for all pages of a block (a refill marks the block's
    every page, the shrinker unmarks every page), so it is kept once a block: not NOT_MANAGED.
    """

    orders: Orders
    buddy_next: NDArray[np.uint32]  # (N + MAX_LISTS,) the node after
    buddy_prev: NDArray[np.uint32]  # (N + MAX_LISTS,) the node before
    buddy_order: NDArray[np.int8]  # (N,) order of the free chunk that starts here, else -1
    leaf: NDArray[np.uint8]  # (N >> block,) LEAF_*
    contpte: NDArray[np.uint8]  # (N >> contpte,) 1: a contPTE; where `leaf` is LEAF_PTE
    cached: NDArray[np.int32]  # (2 N,) cached pfns from the list's tail to its head, NR_CACHED of them
    block_nr_free: NDArray[np.int32]  # (N >> block,) cached pages of a managed block, else NOT_MANAGED
    touched: NDArray[np.uint8]  # (N / 2**max_page + 1,) the last stands for the heads of the buddy's lists
    vars: NDArray[np.int64]  # (NR_VARS,) indexed by the names above


class Events(NamedTuple):
    """A trace as the kernel takes it; see `pba.trace.table.Trace` for the columns."""

    time_ns: NDArray[np.int64]
    op: NDArray[np.int8]
    slot: NDArray[np.int32]
    arg: NDArray[np.int8]


class Holders(NamedTuple):
    """What the trace's users hold."""

    page: NDArray[np.int32]  # (slots,) pfn of a live page-table page, NIL if its allocation failed
    chunk: NDArray[np.int32]  # (background slots,) first pfn of a background chunk, or NIL
    chunk_order: NDArray[np.int8]  # (background slots,)


def cached_page_ns(state: State) -> int:
    """Return the time integral of `nr_cached`, in page-ns, exactly."""
    return (int(state.vars[AREA_HIGH]) << AREA_BITS) + int(state.vars[AREA_LOW])
