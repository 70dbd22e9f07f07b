"""The cached list as a linked list, for variants of v6 that take pages from its middle at every allocation.

Beside the list there are chains: the cached pages of each managed block, and those in no block, each from the
list's head on. Whoever takes a page takes the first of a chain; which chain is the variant's own rule.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_function, kernel_inline
from pba.kernel.allocator import (
    PBA_NR_RESERVED_PAGES,
    TAKE_ONE,
    cached_list_add_pages,
    cached_list_del_page,
    mark_block_cached,
    mark_block_noncached,
    pba_pgtable_alloc,
    pba_pgtable_free,
    refill_pages,
)
from pba.kernel.replay import laid_out, replay_stretch
from pba.kernel.shrinker import first_block_with, take_pages
from pba.kernel.state import (
    END_MANAGED,
    FIRST_MANAGED,
    NIL,
    NOT_MANAGED,
    NR_CACHED,
    NR_NONBLOCK,
    Int,
    Orders,
    State,
)
from pba.policies.rival import rival_stretch

NEXT: Final = 0  # rows of `links`: the page after it, towards the list's tail,
PREV: Final = 1  # the page before it,
BELOW: Final = 2  # and the next one of its chain


class LinkedState(NamedTuple):
    """`pba.kernel.state.State`, and the list; `cached` holds pages that a scan releases, and no others."""

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
    links: NDArray[np.int32]  # (3, N + 1); node N is the list's head. What is not cached has stale links
    tops: NDArray[np.int32]  # (blocks + 1,) first page of a block's chain, or NIL; the last: of those in none
    ranks: NDArray[np.int32]  # (2, nodes) blocks by their free pages: see `fullest_first`
    rank_bits: NDArray[np.int64]  # and which numbers of free pages there are


def with_links(state: State) -> LinkedState:
    """Return a state with room for the list."""
    pages, blocks = len(state.buddy_order), len(state.block_nr_free)
    block_nr_pages = 1 << state.orders.block
    return LinkedState(
        *state,
        links=np.empty((3, pages + 1), np.int32),
        tops=np.empty(blocks + 1, np.int32),
        ranks=np.empty((2, blocks + block_nr_pages + 1), np.int32),
        rank_bits=np.empty((block_nr_pages >> 5) + 1, np.int64),
    )


def empty_links(state: LinkedState) -> None:
    """Make the list empty, before a boot."""
    state.links[:2, -1] = len(state.buddy_order)
    state.tops[:] = NIL
    state.ranks[:] = np.arange(state.ranks.shape[1])
    state.rank_bits[:] = 0


# Seams: what a variant decides


@kernel_inline
def chain_to_take(state: LinkedState) -> Int:
    """Return the chain to take a page from, a block or the last one; something is cached."""
    return len(state.block_nr_free)


@kernel_inline
def rank(state: LinkedState, block: Int) -> None:
    """Note that a block has become managed."""


@kernel_inline
def unrank(state: LinkedState, block: Int) -> None:
    """Note that a block is managed no more; its `block_nr_free` is as it was last ranked, or less."""


@kernel_inline
def rank_up(state: LinkedState, block: Int) -> None:
    """Note that a page of a block was freed."""


@kernel_inline
def rank_down(state: LinkedState, block: Int) -> None:
    """Note that a page of a block was taken, by `chain_to_take`."""


# The list and its chains


@kernel_inline
def _push(state: LinkedState, page: Int, chain: Int) -> None:
    """Add a page to the head of the list and of a chain."""
    links = state.links
    head = np.uint32(len(state.buddy_order))
    node = np.uint32(page)
    first = links[NEXT, head]
    links[NEXT, node] = first
    links[PREV, node] = head
    links[PREV, np.uint32(first)] = node
    links[NEXT, head] = node
    links[BELOW, node] = state.tops[np.uint32(chain)]
    state.tops[np.uint32(chain)] = node


@kernel_inline
def _pop(state: LinkedState, chain: Int) -> Int:
    """Take the first page of a chain off the list."""
    links = state.links
    node = np.uint32(state.tops[np.uint32(chain)])
    state.tops[np.uint32(chain)] = links[BELOW, node]
    after, before = links[NEXT, node], links[PREV, node]
    links[NEXT, np.uint32(before)] = after
    links[PREV, np.uint32(after)] = before
    return np.int64(node)


@kernel_function
def add_pages(state: LinkedState, page: Int, nr_pages: Int) -> None:
    """In place of `cached_list_add_pages`; a refill marks its block before."""
    block = page >> state.orders.block
    chain: Int = np.int64(len(state.block_nr_free))
    if state.block_nr_free[block] != NOT_MANAGED:
        chain = block
    for i in range(nr_pages):
        _push(state, page + i, chain)
    state.vars[NR_CACHED] += nr_pages


@kernel_inline
def _take(state: LinkedState) -> Int:
    """Take the page that the variant's rule names; something is cached."""
    chain = chain_to_take(state)
    page = _pop(state, chain)
    state.vars[NR_CACHED] -= 1
    if chain == len(state.block_nr_free):
        state.vars[NR_NONBLOCK] -= 1
    else:
        state.block_nr_free[chain] -= 1
        rank_down(state, chain)
    return page


@kernel_function
def del_page(state: LinkedState) -> Int:
    """In place of `cached_list_del_page`."""
    return _take(state)


@kernel_inline
def alloc(state: LinkedState) -> Int:
    """In place of `pba_pgtable_alloc`."""
    if state.vars[NR_CACHED] > PBA_NR_RESERVED_PAGES:
        return _take(state)
    return refill_pages(state, TAKE_ONE)  # type: ignore[arg-type]  # compiled for what it is given


@kernel_inline
def free(state: LinkedState, page: Int) -> None:
    """In place of `pba_pgtable_free`."""
    block = page >> state.orders.block
    state.vars[NR_CACHED] += 1
    if state.block_nr_free[block] == NOT_MANAGED:
        state.vars[NR_NONBLOCK] += 1
        _push(state, page, len(state.block_nr_free))
    else:
        state.block_nr_free[block] += 1
        _push(state, page, block)
        rank_up(state, block)


@kernel_function
def mark_cached(state: LinkedState, page: Int, nr_pages: Int) -> None:
    """In place of `mark_block_cached`."""
    block = page >> state.orders.block
    state.block_nr_free[block] = nr_pages
    state.vars[FIRST_MANAGED] = min(state.vars[FIRST_MANAGED], block)
    state.vars[END_MANAGED] = max(state.vars[END_MANAGED], block + 1)
    rank(state, block)


@kernel_function
def mark_noncached(state: LinkedState, block: Int) -> None:
    """In place of `mark_block_noncached`: the block's cached pages join those in no block, in list order."""
    unrank(state, block)
    state.vars[NR_NONBLOCK] += state.block_nr_free[block]
    state.block_nr_free[block] = NOT_MANAGED
    if state.tops[block] == NIL:
        return
    state.tops[block] = NIL
    nonblock = len(state.block_nr_free)
    state.tops[nonblock] = NIL
    page = np.int64(state.links[PREV, len(state.buddy_order)])
    while page < len(state.buddy_order):
        if state.block_nr_free[page >> state.orders.block] == NOT_MANAGED:
            state.links[BELOW, page] = state.tops[nonblock]
            state.tops[nonblock] = page
        page = np.int64(state.links[PREV, page])


@kernel_function
def take_chain(state: LinkedState, target: Int, wanted: Int) -> None:
    """In place of `take_pages`: the first pages of a chain are those that a walk from the head meets."""
    chain = np.int64(len(state.block_nr_free)) if target == NIL else np.int64(target)
    last = len(state.cached) - 1
    for taken in range(wanted):
        state.cached[last - taken] = _pop(state, chain)
    state.vars[NR_CACHED] -= wanted


@kernel_function
def first_listed_block_with(state: LinkedState, nr_free: Int) -> Int:
    """In place of `first_block_with`."""
    page = np.int64(state.links[NEXT, len(state.buddy_order)])
    while page < len(state.buddy_order):
        block = page >> state.orders.block
        if state.block_nr_free[block] == nr_free:
            return block
        page = np.int64(state.links[NEXT, page])
    return NIL


@kernel_function
def lay_out(state: LinkedState) -> Int:
    """In place of `laid_out`: the list goes to `cached`, from its tail to its head."""
    page = np.int64(state.links[PREV, len(state.buddy_order)])
    length = 0
    while page < len(state.buddy_order):
        state.cached[length] = page
        length += 1
        page = np.int64(state.links[PREV, page])
    return length


LINKED: Final = {
    cached_list_add_pages: add_pages,
    cached_list_del_page: del_page,
    mark_block_cached: mark_cached,
    mark_block_noncached: mark_noncached,
    pba_pgtable_alloc: alloc,
    pba_pgtable_free: free,
    take_pages: take_chain,
    first_block_with: first_listed_block_with,
    laid_out: lay_out,
    replay_stretch: rival_stretch,
}
"""What keeps the list in this way, whatever the rule."""
