"""A second set of free lists, the policy's own, beside the buddy allocator's in the same arrays.

A free chunk on an own list has OWN added to its order, so it never merges with one of the buddy allocator's,
nor the other way round.
"""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.buddy import insert_after, unlink
from pba.kernel.state import NIL, Int, State
from pba.policies.state import OWN, OWN_LISTS


@kernel_inline
def own_head(state: State, order: Int) -> Int:
    """Return the head of the own list of an order, as a node."""
    return len(state.buddy_order) + OWN_LISTS + order


@kernel_inline
def add_own(state: State, page: Int, order: Int) -> None:
    """Put a free chunk to the head of its own list."""
    insert_after(state, own_head(state, order), page, order + OWN)


@kernel_inline
def take_own(state: State, order: Int) -> Int:
    """Take a chunk of `2**order` pages off the own lists as `rmqueue_smallest` does; return it, or NIL."""
    for current in range(order, state.orders.max_page + 1):
        head = own_head(state, current)
        page = np.int64(state.buddy_next[np.uint32(head)])
        if page == head:
            continue
        unlink(state, page)
        while current > order:
            current -= 1
            add_own(state, page + (1 << current), current)
        return page
    return NIL


@kernel_inline
def is_own_chunk(state: State, page: Int, order: Int) -> bool | np.bool_:
    """Whether a free chunk of exactly this order on an own list starts at `page`."""
    return page < len(state.buddy_order) and state.buddy_order[np.uint32(page)] == order + OWN


@kernel_inline
def merge_own(state: State, page: Int, order: Int) -> tuple[Int, Int]:
    """Merge a chunk with free buddies on own lists as far as it goes; return (first page, order)."""
    while order < state.orders.max_page:
        other = page ^ (1 << order)
        if not is_own_chunk(state, other, order):
            break
        unlink(state, other)
        page &= other
        order += 1
    return page, order


@kernel_function
def lay_out_own(state: State) -> Int:
    """In place of `laid_out`: the first pages of all own chunks, so that a hash reads order 0 first."""
    length = 0
    for order in range(state.orders.max_page, -1, -1):
        head = own_head(state, order)
        page = np.int64(state.buddy_prev[head])
        while page != head:
            state.cached[length] = page
            length += 1
            page = np.int64(state.buddy_prev[page])
    return length
