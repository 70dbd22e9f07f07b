"""The buddy allocator: one zone, one migrate type, no per-CPU lists (mm/page_alloc.c)."""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.state import FREE_PAGES, NIL


@kernel_inline
def _touch(state, node):
    """Note that something changes at this node, a page or a list's head."""
    state.touched[np.int64(node) >> state.orders.max_page] = 1


@kernel_inline
def _unlink(state, page):
    """`list_del()`."""
    before = state.buddy_prev[page]
    after = state.buddy_next[page]
    _touch(state, page)
    _touch(state, before)
    _touch(state, after)
    state.buddy_next[before] = after
    state.buddy_prev[after] = before


@kernel_inline
def _insert_after(state, node, page):
    """`list_add()`: after a list's head, that is at its front; after its last node, at its tail."""
    after = state.buddy_next[node]
    _touch(state, node)
    _touch(state, page)
    _touch(state, after)
    state.buddy_next[page] = after
    state.buddy_prev[page] = node
    state.buddy_next[node] = page
    state.buddy_prev[after] = page


@kernel_function
def rmqueue_smallest(state, order):
    """Take a chunk of `2**order` pages; return its first pfn or NIL.

    `__rmqueue_smallest()` and `expand()`: the head of the first non-empty list; while it is too large, the
    upper half goes to the head of the next lower list.
    """
    first_head = len(state.buddy_order)
    max_page = state.orders.max_page
    for current in range(order, max_page + 1):
        head = first_head + current
        page = np.int64(state.buddy_next[head])
        if page == head:
            continue
        _unlink(state, page)
        state.buddy_order[page] = -1
        while current > order:
            current -= 1
            upper = page + (1 << current)
            state.buddy_order[upper] = current
            _insert_after(state, first_head + current, upper)
        state.vars[FREE_PAGES] -= 1 << order
        return page
    return NIL


@kernel_inline
def _is_free_chunk(state, page, order):
    """`page_is_buddy()` (mm/internal.h): whether a free chunk of exactly this order starts at `page`."""
    return page + (1 << order) <= len(state.buddy_order) and state.buddy_order[page] == order


@kernel_inline
def free_one_page(state, page, order):
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
        _unlink(state, other)
        state.buddy_order[other] = -1
        page &= other
        order += 1
    head = len(state.buddy_order) + order
    node = head
    if order < max_page - 1:
        merged = page & ~(1 << order)
        if _is_free_chunk(state, merged ^ (2 << order), order + 1):
            node = np.int64(state.buddy_prev[head])
    state.buddy_order[page] = order
    _insert_after(state, node, page)
