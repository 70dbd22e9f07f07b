"""Boot the simulated kernel and let it live through a trace."""

from __future__ import annotations

import numpy as np

from pba._jit import jit
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.kernel.allocator import pba_init, pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import free_one_page, rmqueue_smallest
from pba.kernel.reclaim import do_shrink_slab, drop_slab
from pba.kernel.state import (
    ALLOC_FAILURES,
    ALLOCS,
    AREA_BITS,
    AREA_HIGH,
    AREA_LOW,
    BACKGROUND_FAILURES,
    COUNTERS,
    FREE_PAGES,
    FREES,
    LAST_TIME,
    MAP_CONTPMD,
    MAP_PUD,
    NIL,
    NOT_MANAGED,
    NR_CACHED,
    NR_EVENTS,
    NR_SCALARS,
    PEAK_CACHED,
    PUD_SPLITS,
    Buddy,
    Cache,
    Events,
    Holders,
    LinearMap,
    Orders,
    State,
)

# ruff: noqa: ANN001, ANN201

MAX_LISTS = 14
FNV_OFFSET = 1469598103934665603
FNV_PRIME = 1099511628211
LONG_GAP_NS = 1 << 30
"""A gap between events up to which its product with a number of pages fits 61 bits."""


def new_state(orders: Orders, memory_pages: int, largest_leaf: int) -> State:
    """Return a machine that has booted.

    Parameters
    ----------
    orders : Orders
        Its orders.
    memory_pages : int
        N, a multiple of `2**orders.max_page`, at most 2**31.
    largest_leaf : int
        MAP_PMD, MAP_CONTPMD or MAP_PUD.
    """
    blocks = memory_pages >> orders.block
    puds = (memory_pages + (1 << orders.pud) - 1) >> orders.pud
    state = State(
        orders=orders,
        buddy=Buddy(
            next=np.empty(memory_pages + MAX_LISTS, np.int32),
            prev=np.empty(memory_pages + MAX_LISTS, np.int32),
            order=np.full(memory_pages, -1, np.int8),
        ),
        map=LinearMap(
            pud_leaf=np.zeros(puds, np.uint8),
            pmd_leaf=np.zeros(blocks, np.uint8),
            pmd_cont=np.zeros(blocks, np.uint8),
            pte_cont=np.zeros(memory_pages >> orders.contpte, np.uint8),
        ),
        cache=Cache(
            pages=np.empty(memory_pages, np.int32),
            block_nr_free=np.full(blocks, NOT_MANAGED, np.int32),
            managed=np.empty(blocks, np.int32),
            released=np.empty(memory_pages, np.int32),
        ),
        scalars=np.zeros(NR_SCALARS, np.int64),
        counters=np.zeros(len(COUNTERS), np.int64),
    )
    boot(state, largest_leaf)
    return state


def new_holders(nr_slots: int, nr_background_slots: int) -> Holders:
    """Return holders that hold nothing."""
    return Holders(
        page=np.full(nr_slots, NIL, np.int32),
        chunk=np.full(nr_background_slots, NIL, np.int32),
        chunk_order=np.zeros(nr_background_slots, np.int8),
    )


@jit
def boot(state, largest_leaf):
    """Fill the buddy allocator, map all memory, make the first refill."""
    _free_all_memory(state)
    _map_memory(state, largest_leaf)
    pba_init(state)
    state.scalars[PEAK_CACHED] = state.scalars[NR_CACHED]


@jit
def _free_all_memory(state):
    """Put all memory on the highest list as chunks, lowest address first: `memblock_free_all()`."""
    buddy = state.buddy
    pages = len(buddy.order)
    for node in range(pages, len(buddy.next)):
        buddy.next[node] = node
        buddy.prev[node] = node
    max_page = state.orders.max_page
    head = pages + max_page
    last = head
    for page in range(0, pages, 1 << max_page):
        buddy.order[page] = max_page
        buddy.next[last] = page
        buddy.prev[page] = last
        last = page
    buddy.next[last] = head
    buddy.prev[head] = last
    state.scalars[FREE_PAGES] = pages


@jit
def _map_memory(state, largest_leaf):
    """Give each region the largest allowed leaf that lies wholly inside memory: `map_mem()`."""
    orders = state.orders
    pages = len(state.buddy.order)
    for block in range(pages >> orders.block):
        page = block << orders.block
        pud = page >> orders.pud
        contpmd = page >> orders.contpmd
        if largest_leaf >= MAP_PUD and (pud + 1) << orders.pud <= pages:
            state.map.pud_leaf[pud] = 1
        else:
            state.map.pmd_leaf[block] = 1
            if largest_leaf >= MAP_CONTPMD and (contpmd + 1) << orders.contpmd <= pages:
                state.map.pmd_cont[block] = 1


@jit
def _add_area(scalars, elapsed):
    """Add `nr_cached` times the time since the event before to `cached_page_ns`."""
    nr_cached = scalars[NR_CACHED]
    low = scalars[AREA_LOW]
    while elapsed > 0:
        step = min(elapsed, LONG_GAP_NS)
        elapsed -= step
        low += nr_cached * step
        if low >= 1 << AREA_BITS:
            low -= 1 << AREA_BITS
            scalars[AREA_HIGH] += 1
    scalars[AREA_LOW] = low


@jit
def _alloc(state, holders, slot):
    """`A`: a page-table page is allocated, or the allocation fails."""
    page = pba_pgtable_alloc(state)
    holders.page[slot] = page
    state.counters[ALLOC_FAILURES if page == NIL else ALLOCS] += 1


@jit
def _free(state, holders, slot):
    """`F`: a page-table page is freed, unless its allocation failed."""
    page = int(holders.page[slot])
    if page != NIL:
        pba_pgtable_free(state, page)
        state.counters[FREES] += 1


@jit
def _background_alloc(state, holders, slot, order):
    """`B`: the rest of the system takes a chunk."""
    page = rmqueue_smallest(state, order)
    holders.chunk[slot] = page
    holders.chunk_order[slot] = order
    if page == NIL:
        state.counters[BACKGROUND_FAILURES] += 1


@jit
def _background_free(state, holders, slot):
    """`b`: and gives it back."""
    page = int(holders.chunk[slot])
    if page != NIL:
        free_one_page(state, page, int(holders.chunk_order[slot]))


@jit
def _rare_event(state, tunables, holders, op, where):
    """Everything but `A` and `F`; `where` is (slot, arg)."""
    slot, arg = where
    if op == OP_SHRINK:
        do_shrink_slab(state, tunables, arg)
    elif op == OP_DROP:
        drop_slab(state, tunables)
    elif op == OP_BG_ALLOC:
        _background_alloc(state, holders, slot, arg)
    elif op == OP_BG_FREE and slot >= 0:
        _background_free(state, holders, slot)


@jit
def replay_events(state, tunables, holders, events, span):
    """Replay events `span[0]` to `span[1]` - 1, which follow on those replayed before.

    A free without an allocation (slot -1) changes nothing but the clock.
    """
    scalars = state.scalars
    first, end = span
    if scalars[NR_EVENTS] == 0 and first < end:
        scalars[LAST_TIME] = events.time_ns[first]
    for i in range(first, end):
        time_ns = events.time_ns[i]
        _add_area(scalars, time_ns - scalars[LAST_TIME])
        scalars[LAST_TIME] = time_ns
        op = events.op[i]
        slot = int(events.slot[i])
        if op == OP_ALLOC:
            _alloc(state, holders, slot)
        elif op == OP_FREE:
            if slot >= 0:
                _free(state, holders, slot)
        else:
            _rare_event(state, tunables, holders, op, (slot, int(events.arg[i])))
        scalars[PEAK_CACHED] = max(scalars[PEAK_CACHED], scalars[NR_CACHED])
    scalars[NR_EVENTS] += end - first


@jit
def replay_timeline(state, tunables, holders, events, rows):
    """Replay all events, and after each write `nr_cached`, live pages and the splits so far into `rows`.

    Parameters
    ----------
    rows : ndarray of int64, shape (n, 6)
        `nr_cached`, live pages, PUD, contPMD, PMD and contPTE splits.
    """
    for i in range(len(events.op)):
        replay_events(state, tunables, holders, events, (i, i + 1))
        _write_row(state, rows[i])


@jit
def _write_row(state, row):
    """Write one row of the timeline."""
    row[0] = state.scalars[NR_CACHED]
    row[1] = state.counters[ALLOCS] - state.counters[FREES]
    for split in range(4):
        row[2 + split] = state.counters[PUD_SPLITS + split]


@jit
def cache_hash(state):
    """64-bit FNV-1a over the cached pfns from head to tail, each as 8 bytes little-endian."""
    value = np.uint64(FNV_OFFSET)
    prime = np.uint64(FNV_PRIME)
    for i in range(state.scalars[NR_CACHED] - 1, -1, -1):
        page = np.uint64(state.cache.pages[i])
        for byte in range(8):
            value = (value ^ ((page >> np.uint64(8 * byte)) & np.uint64(255))) * prime
    return value
