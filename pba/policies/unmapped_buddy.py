"""`unmapped-buddy`: a buddy allocator of its own for protected pages, `un`, beside the page allocator's.

A page belongs to the policy from the refill or the capture that brings it to the scan that gives it back, or, in
a block without a mark, to its free. `block_nr_free` of a block with n of the policy's pages, free or in use, is n if
the block is marked, else NOT_MANAGED - n. In `cached` a 1 at N + page says that a page of the policy is not protected.

Decided here:

- All free pages of `un` are held, protected or not: nobody else can get them. What is handed out of those that
  are not protected is a `ptp_unprotected`, as a table of a split, too.
- A refill whose call fails frees its chunk as any other, so that in a marked block it is captured. It counts as a
  refill all the same, as in v6; smaller orders are not tried. Orders between a block and a single page count as
  `refills_mid`, a page as `refills_min`.
- A scan whose call fails puts the chunk back to the head of its list and ends: nothing is lost. What it gave
  back before counts; if that is nothing, it is SHRINK_STOP.
- Chunks given back merge in `sys` before they go to the tail, as with FPI_TO_TAIL. Which allocator a freed chunk
  goes to its first page's block says, also where it spans two blocks.
- `stale_marks` are marked blocks without a page of the policy, whatever left the mark: chunks larger than a block,
  and fragments. A page that is captured, or a refill, ends that.
- Free pages of `un` do not count as free in FREE_PAGES: they have been allocated.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import free_one_page, insert_after, rmqueue_smallest, unlink
from pba.kernel.replay import laid_out, system_free
from pba.kernel.shrinker import ORDER_0, SHRINK_STOP
from pba.kernel.state import (
    FREE_PAGES,
    NIL,
    NOT_MANAGED,
    NR_CACHED,
    REFILL_FAILURES,
    REFILLS_BLOCK,
    REFILLS_MID,
    REFILLS_MIN,
    WHOLE_BLOCKS_RELEASED,
    Flag,
    Int,
    State,
)
from pba.policies.default_shrinker import WITH_DEFAULT_SHRINKER, scan_objects
from pba.policies.definition import Definition, Parameter
from pba.policies.own_lists import add_own, lay_out_own, merge_own, own_head, take_own
from pba.policies.rival import ONE, own_page, protect, protect_quietly, unprotect, unprotect_quietly
from pba.policies.state import CAPTURED_PAGES, FIRST_PARAMETER, FLUSH_RANGES, PTP_UNPROTECTED, STALE_MARKS

MODES: Final = ("ranged", "posted", "pagewise")
RANGED, POSTED = MODES.index("ranged"), MODES.index("posted")
"""As the first parameter's code says; the third is neither."""
COMES, GOES = np.int64(1), np.int64(-1)
"""What a chunk does."""

# Page blocks, their marks and pages


@kernel_inline
def _is_marked(state: State, page: Int) -> Flag:
    """Whether the page block of a page is marked."""
    return state.block_nr_free[np.uint32(page >> state.orders.block)] >= 0


@kernel_inline
def _turn_mark(state: State, block: Int) -> None:
    """Mark a page block, or take its mark off."""
    state.block_nr_free[block] = NOT_MANAGED - state.block_nr_free[block]


@kernel_inline
def _is_bare(state: State, page: Int) -> Int:
    """Return 1 for a page that is not protected, else 0."""
    return np.int64(state.cached[np.uint32(len(state.buddy_order) + page)])


@kernel_inline
def _note_bare(state: State, page: Int, nr_pages: Int, bare: Int) -> None:
    """Note for pages whether they are not protected."""
    first = len(state.buddy_order) + page
    state.cached[first : first + nr_pages] = bare


@kernel_function
def _change_owned(state: State, page: Int, order: Int, sign: Int) -> None:
    """Note that a chunk comes to the policy (COMES) or leaves it (GOES)."""
    block = state.orders.block
    step = 1 << min(order, block)
    change = sign * step
    for part in range(page, page + (1 << order), step):
        at = part >> block
        before = np.int64(state.block_nr_free[at])
        if before >= 0:
            state.block_nr_free[at] = before + change
            state.vars[STALE_MARKS] += np.int64(before + change == 0) - np.int64(before == 0)
        else:
            state.block_nr_free[at] = before - change


@kernel_inline
def _add_chunk(state: State, page: Int, order: Int) -> None:
    """Free a chunk of the policy's into `un`: at the head, whatever could merge soon."""
    state.vars[NR_CACHED] += 1 << order
    page, order = merge_own(state, page, order)
    add_own(state, page, order)


# Others' chunks


@kernel_function
def _capture(state: State, page: Int, order: Int) -> None:
    """Keep a chunk of others', as it is."""
    nr_pages = 1 << order
    state.vars[CAPTURED_PAGES] += nr_pages
    _note_bare(state, page, nr_pages, 1)
    _change_owned(state, page, order, COMES)
    _add_chunk(state, page, order)


@kernel_inline
def free_to_system(state: State, page: Int, order: Int) -> None:
    """In place of `system_free`: in a marked page block it goes to `un`."""
    if _is_marked(state, page):
        _capture(state, page, order)
    else:
        free_one_page(state, page, order)


# Refill


@kernel_function
def _unmap(state: State, page: Int, order: Int) -> Flag:
    """Protect the chunk of a refill, as the mode says; return whether it could be done."""
    mode = state.vars[FIRST_PARAMETER]
    nr_pages = 1 << order
    _note_bare(state, page, nr_pages, np.int64(mode == POSTED))
    if mode == RANGED:
        return protect(state, page, nr_pages)
    if mode == POSTED:  # as many as are asked for
        _note_bare(state, page, ONE, 0)
        return protect(state, page, ONE)
    state.vars[FLUSH_RANGES] += 1
    done = True
    for part in range(page, page + nr_pages):
        # It is the first one that fails, if any does: after it no page of the block needs a table.
        done = bool(done and protect_quietly(state, part, ONE))
    return done


@kernel_function
def _refill(state: State) -> Flag:
    """Take a chunk from the page allocator, of a block or what there is; return whether there was one."""
    var = state.vars
    block = state.orders.block
    for order in range(block, -1, -1):
        page = rmqueue_smallest(state, order)
        if page == NIL:
            continue
        var[REFILLS_BLOCK if order == block else REFILLS_MID if order else REFILLS_MIN] += 1
        if not _unmap(state, page, order):
            free_to_system(state, page, order)
            return False
        _change_owned(state, page, order, COMES)
        if not _is_marked(state, page):
            _turn_mark(state, page >> block)
        _add_chunk(state, page, order)
        return True
    var[REFILL_FAILURES] += 1
    return False


# Allocation and free


@kernel_function
def take_unmapped(state: State) -> Int:
    """Take a free page of `un`, or NIL: also for a table of a split, in place of `own_page`."""
    page = take_own(state, ORDER_0)
    if page != NIL:
        state.vars[NR_CACHED] -= 1
        state.vars[PTP_UNPROTECTED] += _is_bare(state, page)
    return page


@kernel_inline
def alloc(state: State) -> Int:
    """Take a free page of `un`, after a refill if there is none."""
    page = take_own(state, ORDER_0)
    if page == NIL:
        if not _refill(state):
            return NIL
        page = take_own(state, ORDER_0)
    state.vars[NR_CACHED] -= 1
    state.vars[PTP_UNPROTECTED] += _is_bare(state, page)
    return page


@kernel_inline
def free(state: State, page: Int) -> None:
    """Free a page into `un`; one that was captured with a block that has no mark goes to the page allocator."""
    if _is_marked(state, page):
        _add_chunk(state, page, ORDER_0)
    else:
        _change_owned(state, page, ORDER_0, GOES)
        free_one_page(state, page, ORDER_0)


# Shrinker


@kernel_function
def _map_again(state: State, page: Int, order: Int) -> Flag:
    """Unprotect a chunk, as the mode says; return whether it could be done."""
    if state.vars[FIRST_PARAMETER] == RANGED:
        return unprotect(state, page, 1 << order)
    for part in range(page, page + (1 << order)):
        if not unprotect_quietly(state, part, ONE):
            return False
        _note_bare(state, part, ONE, 1)
    return True


@kernel_function
def _free_to_tail(state: State, page: Int, order: Int) -> None:
    """`__free_one_page()` with FPI_TO_TAIL."""
    state.vars[FREE_PAGES] += 1 << order
    while order < state.orders.max_page:
        other = page ^ (1 << order)
        if other >= len(state.buddy_order) or state.buddy_order[other] != order:
            break
        unlink(state, other)
        page &= other
        order += 1
    insert_after(state, np.int64(state.buddy_prev[len(state.buddy_order) + order]), page, order)


@kernel_function
def _release(state: State, page: Int, order: Int) -> Flag:
    """Give a free chunk of `un` back to the page allocator; return whether it could be unprotected."""
    block = state.orders.block
    unlink(state, page)
    state.vars[NR_CACHED] -= 1 << order
    if not _map_again(state, page, order):
        add_own(state, page, order)
        state.vars[NR_CACHED] += 1 << order
        return False
    if order == block and _is_marked(state, page):
        _turn_mark(state, page >> block)
    _change_owned(state, page, order, GOES)
    if order >= block:
        state.vars[WHOLE_BLOCKS_RELEASED] += 1 << (order - block)
    _free_to_tail(state, page, order)
    return True


@kernel_function
def scan(state: State, nr_to_scan: Int) -> tuple[Int, Int]:
    """In place of `scan_objects`: chunks from the smallest on, until so many pages are given back, or more."""
    total = 0
    left = nr_to_scan
    for order in range(state.orders.max_page + 1):
        head = own_head(state, order)
        taken = 0
        failed = False
        while taken < left and state.buddy_next[head] != head:
            if not _release(state, np.int64(state.buddy_next[head]), order):
                failed = True
                break
            taken += 1 << order
        total += taken
        if failed or total >= left:
            break
        left -= total  # all of it, not what this order gave
    return (total if total else SHRINK_STOP), total


POLICIES = (
    Definition(
        name="unmapped-buddy",
        line="a second buddy allocator, for protected pages",
        about=(
            "A GFP flag leads to a buddy allocator of protected pages with lists of its own, refilled by a block "
            "or the largest smaller chunk that there is. Page blocks are marked: whatever is freed in one, by "
            "whomever, goes there. A shrinker with the default seeks and batch gives chunks back, the smallest "
            "first, which splits blocks, and whole blocks last. The kernel needs the flag, a type of page block, a "
            "hook in each free, and must keep others' pages in marked blocks from being handed out unprotected."
        ),
        source="RFC, 8 Mar 2023, 20230308094106.227365-2-rppt@kernel.org, 1/5 and 3/5 (Rapoport)",
        parameters=(
            Parameter(
                "mode",
                "ranged",
                MODES,
                "",
                "a chunk is protected and unprotected at once; as posted, only the pages asked for are protected, "
                "the rest stays as it is; or page by page, which splits its block",
            ),
        ),
        thresholds=(),
        replaced=WITH_DEFAULT_SHRINKER
        | {
            pba_pgtable_alloc: alloc,
            pba_pgtable_free: free,
            own_page: take_unmapped,
            system_free: free_to_system,
            scan_objects: scan,
            laid_out: lay_out_own,
        },
        is_rival=True,
    ),
)
