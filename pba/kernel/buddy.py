"""The buddy allocator: one zone, one migrate type, no per-CPU lists (mm/page_alloc.c)."""

from __future__ import annotations

from pba._jit import jit
from pba.kernel.state import FREE_PAGES, NIL

# ruff: noqa: ANN001, ANN201


@jit
def _unlink(buddy, page):
    """`list_del()`."""
    before = buddy.prev[page]
    after = buddy.next[page]
    buddy.next[before] = after
    buddy.prev[after] = before


@jit
def _insert_after(buddy, node, page):
    """`list_add()`: after a list's head, that is at its front; after its last node, at its tail."""
    after = buddy.next[node]
    buddy.next[page] = after
    buddy.prev[page] = node
    buddy.next[node] = page
    buddy.prev[after] = page


@jit
def rmqueue_smallest(state, order):
    """Take a chunk of `2**order` pages; return its first pfn or NIL.

    `__rmqueue_smallest()` and `expand()`: the head of the first non-empty list; while it is too large, the
    upper half goes to the head of the next lower list.
    """
    buddy = state.buddy
    first_head = len(buddy.order)
    max_page = state.orders.max_page
    for current in range(order, max_page + 1):
        head = first_head + current
        page = int(buddy.next[head])
        if page == head:
            continue
        _unlink(buddy, page)
        buddy.order[page] = -1
        while current > order:
            current -= 1
            upper = page + (1 << current)
            buddy.order[upper] = current
            _insert_after(buddy, first_head + current, upper)
        state.scalars[FREE_PAGES] -= 1 << order
        return page
    return NIL


@jit
def _is_free_chunk(buddy, page, order):
    """`page_is_buddy()`: a free chunk of exactly this order starts at `page`, inside memory."""
    return page + (1 << order) <= len(buddy.order) and buddy.order[page] == order


@jit
def free_one_page(state, page, order):
    """Give a chunk back: `__free_one_page()`.

    Merges with its buddy as far as it goes. The chunk goes to its list's tail if the one that it would merge
    into could merge at once (`buddy_merge_likely()`), else to the head.
    """
    buddy = state.buddy
    max_page = state.orders.max_page
    state.scalars[FREE_PAGES] += 1 << order
    while order < max_page:
        other = page ^ (1 << order)
        if not _is_free_chunk(buddy, other, order):
            break
        _unlink(buddy, other)
        buddy.order[other] = -1
        page &= other
        order += 1
    head = len(buddy.order) + order
    node = head
    if order < max_page - 1:
        merged = page & ~(1 << order)
        if _is_free_chunk(buddy, merged ^ (2 << order), order + 1):
            node = int(buddy.prev[head])
    buddy.order[page] = order
    _insert_after(buddy, node, page)
