"""The buddy allocator: one zone, one migrate type, no per-CPU lists (mm/page_alloc.c)."""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_inline
from pba.kernel.state import FREE_PAGES, NIL, Flag, Int, State


@kernel_inline
def _touch(state: State, node: Int) -> None:
    """Note that something changes at this node, a page or a list's head."""
    state.touched[np.int64(node) >> state.orders.max_page] = 1


@kernel_inline
def unlink(state: State, page: Int) -> None:
    """`list_del()`."""
    node = np.uint32(page)
    before = state.buddy_prev[node]
    after = state.buddy_next[node]
    _touch(state, node)
    _touch(state, before)
    _touch(state, after)
    state.buddy_next[before] = after
    state.buddy_prev[after] = before
    state.buddy_order[node] = -1


@kernel_inline
def insert_after(state: State, before: Int, page: Int, order: Int) -> None:
    """`list_add()`: after a list's head, that is at its front; after its last node, at its tail."""
    node = np.uint32(page)
    before = np.uint32(before)
    after = state.buddy_next[before]
    _touch(state, node)
    _touch(state, before)
    _touch(state, after)
    state.buddy_next[node] = after
    state.buddy_prev[node] = before
    state.buddy_next[before] = node
    state.buddy_prev[after] = node
    state.buddy_order[node] = order


@kernel_inline
def rmqueue_smallest(state: State, order: Int) -> Int:
    """Take a chunk of `2**order` pages; return its first pfn or NIL.

    `__rmqueue_smallest()` and `expand()`: the head of the first non-empty list; while it is too large, the
    upper half goes to the head of the next lower list.
    """
    first_head = len(state.buddy_order)
    max_page = state.orders.max_page
    for current in range(order, max_page + 1):
        head = first_head + current
        page = np.int64(state.buddy_next[np.uint32(head)])
        if page == head:
            continue
        unlink(state, page)
        while current > order:
            current -= 1
            insert_after(state, first_head + current, page + (1 << current), current)
        state.vars[FREE_PAGES] -= 1 << order
        return page
    return NIL


@kernel_inline
def _is_free_chunk(state: State, page: Int, order: Int) -> Flag:
    """`page_is_buddy()` (mm/internal.h): whether a free chunk of exactly this order starts at `page`."""
    return page < len(state.buddy_order) and state.buddy_order[np.uint32(page)] == order


@kernel_inline
def free_one_page(state: State, page: Int, order: Int) -> None:
    """Give a chunk back: `__free_one_page()`.

    Merges with its buddy as far as it goes. The chunk goes to its list's tail if the one that it would merge
    into could merge at once (`buddy_merge_likely()`), else to the head.
    """
    max_page = state.orders.max_page
    state.vars[FREE_PAGES] += 1 << order
    while order < max_page:
        other = page ^ (1 << order)
        if not _is_free_chunk(state, other, order):
            break
        unlink(state, other)
        page &= other
        order += 1
    before = np.uint32(len(state.buddy_order) + order)
    if order < max_page - 1:
        merged = page & ~(1 << order)
        if _is_free_chunk(state, merged ^ (2 << order), order + 1):
            before = state.buddy_prev[before]
    insert_after(state, before, page, order)
