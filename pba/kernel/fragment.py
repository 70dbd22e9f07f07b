"""Memory as the rest of the system leaves it: half of it in use, with so much of the free half in pieces.

It is made as it comes about, on the buddy allocator itself: demand of small chunks takes all of memory, and then
gives chunks back, in a random order, some blocks wholly and the others in part.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry
from pba.events import OP_BG_ALLOC, OP_BG_FREE
from pba.kernel.memory import StartMemory
from pba.kernel.replay import bare_state, new_holders, replay_events, reset
from pba.kernel.state import FREE_PAGES, LEAF_PMD, NIL, Events, Orders, State, Tunables

ONE_IN: Final = 1_000_000
"""Shares are in parts of so many."""
FREE_IN: Final = 2
"""One page in so many is free."""
LARGEST_ORDER: Final = 3
"""Of the demand: `PAGE_ALLOC_COSTLY_ORDER`, up to which the kernel expects to be served."""
GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
NO_TUNABLES: Final = Tunables(0, 1, 1)

ORDERS_DRAWN, BLOCKS_DRAWN, CHUNKS_DRAWN = range(3)
"""Streams of random numbers."""

Ints = NDArray[np.int64]


def fragmented_memory(orders: Orders, memory_pages: int, share: int, seed: int) -> StartMemory:
    """Return memory of which half is free, and so much of that lies outside of whole free blocks.

    Parameters
    ----------
    orders : Orders
        The machine's.
    memory_pages : int
        Its memory, N.
    share : int
        Free pages outside of whole free blocks, in parts per million of all free ones, 0 to 1,000,000. Whole
        blocks can only be free or not: it is met to half a block, and all else lies outside.
    seed : int
        Seed of the demand, 0 to 2**32 - 1.

    Returns
    -------
    StartMemory
        The free lists, in the order in which the frees left them. The rest is held for good.

    Notes
    -----
    Chunks of order 0 to `LARGEST_ORDER` (a half, a quarter, an eighth and an eighth of them) are taken until
    memory is full, and what is left by single pages. `free - whole` pages then come back, in a random order: all
    of so many random blocks as are to be free, and elsewhere chunks in turn, but of each block the last one
    stays; where the last chunk would be too much, single pages instead.
    """
    state = bare_state(orders, memory_pages)
    reset(state, LEAF_PMD)
    pages, sizes = _fill(state, seed)
    turn = np.argsort(draws(seed, CHUNKS_DRAWN, len(pages)), kind="stable")
    pages, sizes = pages[turn], sizes[turn]
    given = _given_back(orders, memory_pages, share, seed, pages, sizes)
    _give(state, pages[given], sizes[given])
    return _lists_of(state)


def draws(seed: int, stream: int, count: int) -> NDArray[np.uint64]:
    """Return random 64-bit numbers: splitmix64, whose outputs for its first `count` counters do not change."""
    with np.errstate(over="ignore"):  # they wrap on purpose
        start = _mixed(np.array([seed * 4 + stream], np.uint64))
        return _mixed(start + GAMMA * np.arange(1, count + 1, dtype=np.uint64))


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return mixed


def drawn_orders(seed: int, memory_pages: int) -> Ints:
    """Return orders of chunks that together have at least so many pages, the last one just crossing."""
    # By the lowest three bits: 4 of 8 give order 0, 2 order 1, one order 2, one order 3.
    table = np.array([3, 0, 1, 0, 2, 0, 1, 0])
    # 2.5 pages each on average: half of so many are as good as always enough.
    orders = table[(draws(seed, ORDERS_DRAWN, memory_pages // 2) & np.uint64(7)).astype(np.int64)]
    if (1 << orders).sum() < memory_pages:
        orders = table[(draws(seed, ORDERS_DRAWN, memory_pages) & np.uint64(7)).astype(np.int64)]
    length = int(np.searchsorted(np.cumsum(1 << orders), memory_pages)) + 1
    found: Ints = orders[:length].astype(np.int64)
    return found


def _fill(state: State, seed: int) -> tuple[Ints, Ints]:
    """Take all memory; return the chunks' first pfns and orders."""
    wanted = drawn_orders(seed, len(state.buddy_order))
    first = _take(state, wanted)
    singles = np.zeros(int(state.vars[FREE_PAGES]), np.int64)
    rest = _take(state, singles)
    served = first != NIL
    return np.concatenate([first[served], rest]), np.concatenate([wanted[served], singles])


def _take(state: State, orders: Ints) -> Ints:
    """Take chunks of these orders; return their first pfns, NIL where there was none."""
    holders = new_holders(0, len(orders))
    slots = np.arange(len(orders), dtype=np.int32)
    events = Events(
        np.zeros(len(orders), np.int64),
        np.full(len(orders), OP_BG_ALLOC, np.int8),
        slots,
        orders.astype(np.int8),
    )
    replay_events(state, NO_TUNABLES, holders, events, (0, len(orders)))
    return holders.chunk.astype(np.int64)


def _give(state: State, pages: Ints, orders: Ints) -> None:
    """Give chunks back in this order."""
    holders = new_holders(0, len(pages))
    holders.chunk[:], holders.chunk_order[:] = pages, orders
    slots = np.arange(len(pages), dtype=np.int32)
    ops = np.full(len(pages), OP_BG_FREE, np.int8)
    events = Events(np.zeros(len(pages), np.int64), ops, slots, np.zeros(len(pages), np.int8))
    replay_events(state, NO_TUNABLES, holders, events, (0, len(pages)))


def _given_back(
    orders: Orders, memory_pages: int, share: int, seed: int, pages: Ints, sizes: Ints
) -> NDArray[np.bool_]:
    """Return which of the chunks, that are in a random order, come back."""
    block_pages = 1 << orders.block
    free = memory_pages // FREE_IN
    whole = min((2 * free * (ONE_IN - share) + ONE_IN * block_pages) // (2 * ONE_IN * block_pages),
                free // block_pages)  # fmt: skip
    outside = free - whole * block_pages
    emptied = np.zeros(memory_pages >> orders.block, np.bool_)
    emptied[np.argsort(draws(seed, BLOCKS_DRAWN, len(emptied)), kind="stable")[:whole]] = True
    block = pages >> orders.block
    given = emptied[block]
    stays = np.zeros(len(pages), np.bool_)
    last_in = np.full(len(emptied), -1, np.int64)
    last_in[block] = np.arange(len(pages))  # the last one written is the last in turn
    stays[last_in] = True
    may = np.flatnonzero(~given & ~stays)
    reach = int(np.searchsorted(np.cumsum(1 << sizes[may]), outside, side="right"))
    given[may[:reach]] = True
    missing = outside - int((1 << sizes[may[:reach]]).sum())
    left = may[reach:]
    given[left[sizes[left] == 0][:missing]] = True
    return given


@kernel_entry
def write_free_lists(state: State, chunks: Ints, ends: Ints) -> None:
    """Write the free chunks, order by order and each list from its head, and where each list ends."""
    first_head = len(state.buddy_order)
    at = 0
    for order in range(state.orders.max_page + 1):
        head = first_head + order
        page = np.int64(state.buddy_next[head])
        while page != head:
            chunks[at] = page
            at += 1
            page = np.int64(state.buddy_next[page])
        ends[order] = at


def _lists_of(state: State) -> StartMemory:
    """Return the free lists of a state as the memory that a machine starts with."""
    chunks = np.empty(int((state.buddy_order >= 0).sum()), np.int64)
    ends = np.zeros(state.orders.max_page + 1, np.int64)
    write_free_lists(state, chunks, ends)
    return StartMemory(tuple(np.split(chunks, ends[:-1])), np.empty(0, np.int64))
