"""The memory that a simulated machine starts with: all of it free, or as fragmented as a recorded one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.kernel.state import Orders


class StartMemory(NamedTuple):
    """Which memory is free when the machine starts, and where the chunks lie that are held and named.

    All else is held for good.
    """

    free: tuple[NDArray[np.int64], ...]  # by order: first pfns of the free chunks, head of the list first
    held: NDArray[np.int64]  # first pfns of the named chunks, as they were asked for


def whole_memory(orders: Orders, memory_pages: int) -> StartMemory:
    """Return all memory as free chunks of the highest order, lowest address first: `memblock_free_all()`."""
    none = np.empty(0, np.int64)
    free = [none] * orders.max_page + [np.arange(0, memory_pages, 1 << orders.max_page)]
    return StartMemory(tuple(free), none)


def place_memory(
    orders: Orders, memory_pages: int, free: NDArray[np.int64], held: NDArray[np.int64]
) -> StartMemory | int:
    """Return memory with exactly so many free chunks of each order, and room for chunks that are held.

    Parameters
    ----------
    orders : Orders
        The machine's.
    memory_pages : int
        Its memory.
    free : ndarray of int64
        How many chunks are free, by order; `max_page + 1` numbers.
    held : ndarray of int64
        Orders of chunks that are held at the start and may be freed later.

    Returns
    -------
    StartMemory or int
        Where they lie; or the order of which there are too many for this memory.

    Notes
    -----
    Chunks of the highest order that are free lie at the top of memory, held memory below. That is halved,
    order by order: of the chunks left, each gives its upper half to the free list or none, as many as are
    wanted, spread evenly from the lowest address on; two free buddies would be one chunk. Of the halves not
    freed some become held chunks of this order, spread likewise in the order of their addresses; the others
    are halved further. So a chunk that is left always keeps a page that is held for good, and if this finds
    no place for the counts, no other layout has one. Free lists begin with the lowest address.
    """
    max_page = orders.max_page
    found: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * (max_page + 1)
    places = np.empty(len(held), np.int64)
    nr_chunks = memory_pages >> max_page
    if free[max_page] > nr_chunks:
        return max_page
    left = np.arange(nr_chunks - free[max_page], dtype=np.int64)
    found[max_page] = np.arange(len(left), nr_chunks, dtype=np.int64) << max_page
    for order in range(max_page, -1, -1):
        if order < max_page:
            if free[order] > len(left):
                return order
            given = _spread(free[order], len(left))
            found[order] = (2 * left[given] + 1) << order
            stays = np.ones((len(left), 2), np.bool_)
            stays[given, 1] = False
            left = (2 * left[:, None] + np.arange(2))[stays]
        named = np.flatnonzero(held == order)
        if len(named) > len(left):
            return order
        taken = _spread(len(named), len(left))
        places[named] = left[taken] << order
        left = np.delete(left, taken)
        if not free[:order].any() and not (held < order).any():
            break
    return StartMemory(tuple(found), places)


def _spread(count: np.int64 | int, total: int) -> NDArray[np.int64]:
    """Return `count` of the numbers below `total`, evenly spread, the first of them 0."""
    return np.arange(count, dtype=np.int64) * total // max(count, 1)
