"""Boot the simulated kernel and let it live through a trace."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry, kernel_function, kernel_inline
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.kernel.allocator import PBA_NR_RESERVED_PAGES, pba_init, pba_pgtable_alloc, pba_pgtable_free
from pba.kernel.buddy import free_one_page, rmqueue_smallest
from pba.kernel.memory import StartMemory, whole_memory
from pba.kernel.reclaim import count_pass, do_shrink_slab, drop_slab
from pba.kernel.state import (
    ALLOC_FAILURES,
    ALLOCS,
    AREA_BITS,
    AREA_HIGH,
    AREA_LOW,
    BACKGROUND_FAILURES,
    END_MANAGED,
    FIRST_MANAGED,
    FREE_PAGES,
    FREES,
    LAST_TIME,
    LEAF_CONTPMD,
    LEAF_PMD,
    LEAF_PUD,
    MAX_LISTS,
    NIL,
    NOT_MANAGED,
    NR_CACHED,
    NR_EVENTS,
    NR_NONBLOCK,
    NR_VARS,
    PAGES_RELEASED,
    PEAK_CACHED,
    PUD_SPLITS,
    SHRINK_CALLS,
    Events,
    Holders,
    Int,
    Orders,
    State,
    Tunables,
)

FNV_OFFSET = 1469598103934665603
"""What the vectors were hashed with: FNV-1a's own, 14695981039346656037, less its last digit."""
FNV_PRIME = 1099511628211
PFN_BYTES = 4
"""Bytes of a pfn that are not always 0: `State.cached` holds 32 bits of it."""
FNV_ZEROS = FNV_PRIME**4 % 2**64
"""What the four bytes of 0 after them multiply a hash by."""
AREA_LIMIT = 1 << AREA_BITS
GAP_BITS = 30
LONG_GAP_NS = 1 << GAP_BITS
"""A gap between events up to which its product with a number of pages (31 bits) fits `AREA_BITS`."""


USED_QUARTERS = 4
"""Parts of a block between one that is wholly cached and one that is wholly in use."""
TIMELINE_COLUMNS = 7
WINDOW_COLUMNS = 11
BLOCK_COLUMNS = 2 + USED_QUARTERS


class Windows(NamedTuple):
    """Stretches of a trace, and what is written down of each."""

    ends: NDArray[np.int64]  # (n,) the event after the last of each window, never descending
    rows: NDArray[
        np.int64
    ]  # (n, WINDOW_COLUMNS) nr_cached, the least and the most of it, live pages, pages outside of
    # blocks, the four splits, pages released, passes, all at the window's end
    blocks: NDArray[np.int64]  # (n, BLOCK_COLUMNS) managed blocks by how much of them is in use: none, up to
    # each quarter, all


class Operand(NamedTuple):
    """What an event is about: columns of `Events`."""

    slot: Int
    arg: Int


def new_state(
    orders: Orders, memory_pages: int, largest_leaf: int, memory: StartMemory | None = None
) -> State:
    """Return a machine that has booted.

    Parameters
    ----------
    orders : Orders
        Its orders.
    memory_pages : int
        N, a multiple of `2**orders.max_page`, at most `pba.machine.MAX_MEMORY_PAGES`.
    largest_leaf : int
        LEAF_PMD, LEAF_CONTPMD or LEAF_PUD.
    memory : StartMemory, optional
        What is free when it boots; by default all of it.
    """
    state = bare_state(orders, memory_pages)
    reboot(state, largest_leaf, memory)
    return state


def bare_state(orders: Orders, memory_pages: int) -> State:
    """Return the arrays of a machine, which say nothing yet."""
    blocks = memory_pages >> orders.block
    return State(
        orders=orders,
        buddy_next=np.zeros(memory_pages + MAX_LISTS, np.uint32),
        buddy_prev=np.zeros(memory_pages + MAX_LISTS, np.uint32),
        buddy_order=np.empty(memory_pages, np.int8),
        leaf=np.empty(blocks, np.uint8),
        contpte=np.empty(memory_pages >> orders.contpte, np.uint8),
        cached=np.empty(2 * memory_pages, np.int32),
        block_nr_free=np.empty(blocks, np.int32),
        touched=np.empty((memory_pages >> orders.max_page) + 1, np.uint8),
        vars=np.empty(NR_VARS, np.int64),
    )


def reboot(state: State, largest_leaf: int, memory: StartMemory | None = None) -> None:
    """Boot a machine, whatever its state was.

    To boot one anew is cheaper than to make another: its arrays are in place, and for a large machine the
    first touch of each of their pages costs more than a replay.
    """
    reset(state, largest_leaf, memory)
    boot(state)


def reset(state: State, largest_leaf: int, memory: StartMemory | None = None) -> None:
    """Make a machine what it is right before the block allocator boots."""
    state.buddy_order[:] = -1
    state.contpte[:] = 0
    state.block_nr_free[:] = NOT_MANAGED
    state.vars[:] = 0
    state.vars[FIRST_MANAGED] = len(state.block_nr_free)
    _free_memory(state, memory or whole_memory(state.orders, len(state.buddy_order)))
    _map_memory(state, largest_leaf)
    state.touched[:] = 0


def new_holders(nr_slots: int, nr_background_slots: int) -> Holders:
    """Return holders that hold nothing."""
    return Holders(
        page=np.full(nr_slots, NIL, np.int32),
        chunk=np.full(nr_background_slots, NIL, np.int32),
        chunk_order=np.zeros(nr_background_slots, np.int8),
    )


def _free_memory(state: State, memory: StartMemory) -> None:
    """Put the memory that is free at the start on the free lists, in the order given."""
    pages = len(state.buddy_order)
    state.buddy_next[pages:] = state.buddy_prev[pages:] = np.arange(pages, len(state.buddy_next))
    for order, chunks in enumerate(memory.free):
        ring = np.concatenate([[pages + order], chunks, [pages + order]])
        state.buddy_next[ring[:-1]] = ring[1:]
        state.buddy_prev[ring[1:]] = ring[:-1]
        state.buddy_order[chunks] = order
        state.vars[FREE_PAGES] += len(chunks) << order


def _map_memory(state: State, largest_leaf: int) -> None:
    """Give each region the largest allowed leaf that lies wholly inside memory: `map_mem()`."""
    orders = state.orders
    state.leaf[:] = LEAF_PMD
    for leaf, order in ((LEAF_CONTPMD, orders.contpmd), (LEAF_PUD, orders.pud)):
        if leaf <= largest_leaf:
            whole = len(state.buddy_order) >> order
            state.leaf[: whole << (order - orders.block)] = leaf


@kernel_entry
def boot(state: State) -> None:
    """Make the first refill and protect it."""
    pba_init(state)
    state.vars[PEAK_CACHED] = state.vars[NR_CACHED]


@kernel_inline
def add_area(state: State, elapsed: Int) -> None:
    """Add `nr_cached` times the time since the event before to `cached_page_ns`.

    The gap is taken in two parts of at most 32 and 30 bits, as times have 62 bits: their products with a
    number of pages fit 63 and 61 bits, and so does the sum of all that is added here.
    """
    nr_cached = state.vars[NR_CACHED]
    coarse = nr_cached * (elapsed >> GAP_BITS)  # in units of 2**GAP_BITS page-ns
    unit_bits = AREA_BITS - GAP_BITS
    low = state.vars[AREA_LOW] + nr_cached * (elapsed & (LONG_GAP_NS - 1))
    low += (coarse & ((1 << unit_bits) - 1)) << GAP_BITS
    state.vars[AREA_HIGH] += (coarse >> unit_bits) + (low >> AREA_BITS)
    state.vars[AREA_LOW] = low & (AREA_LIMIT - 1)


@kernel_inline
def tick(state: State, time_ns: Int) -> None:
    """Let time pass up to an event."""
    add_area(state, time_ns - state.vars[LAST_TIME])
    state.vars[LAST_TIME] = time_ns


@kernel_function
def take_page(state: State, holders: Holders, slot: Int) -> None:
    """Event `A`: a page-table page is allocated, or the allocation fails."""
    page = pba_pgtable_alloc(state)
    holders.page[slot] = page
    state.vars[ALLOC_FAILURES if page == NIL else ALLOCS] += 1


@kernel_function
def give_page(state: State, holders: Holders, slot: Int) -> None:
    """Event `F`: a page-table page is freed, unless its allocation failed."""
    page = np.int64(holders.page[slot])
    if page != NIL:
        pba_pgtable_free(state, page)
        state.vars[FREES] += 1


@kernel_function
def _pass(state: State, tunables: Tunables, op: Int, priority: Int) -> None:
    """Event `S` or `D`: memory pressure, or all that can be dropped. A call, as it is seldom."""
    if op == OP_SHRINK:
        do_shrink_slab(state, tunables, priority)
    else:
        drop_slab(state, tunables)
    count_pass(state)


@kernel_inline
def system_alloc(state: State, order: Int) -> Int:
    """Give the rest of the system a chunk; return its first pfn or NIL. A seam: policies may do otherwise."""
    return rmqueue_smallest(state, order)


@kernel_inline
def system_free(state: State, page: Int, order: Int) -> None:
    """Take a chunk back from the rest of the system: the other seam."""
    free_one_page(state, page, order)


@kernel_inline
def _background_alloc(state: State, holders: Holders, slot: Int, order: Int) -> None:
    """Event `B`: the rest of the system takes a chunk."""
    page = system_alloc(state, order)
    holders.chunk[slot] = page
    holders.chunk_order[slot] = order
    if page == NIL:
        state.vars[BACKGROUND_FAILURES] += 1


@kernel_inline
def _background_free(state: State, holders: Holders, slot: Int) -> None:
    """Event `b`: and gives it back."""
    page = np.int64(holders.chunk[slot])
    if page != NIL:
        system_free(state, page, np.int64(holders.chunk_order[slot]))


@kernel_inline
def background_event(state: State, holders: Holders, op: Int, about: Operand) -> None:
    """Event `B` or `b`."""
    slot, arg = about
    if op == OP_BG_ALLOC:
        _background_alloc(state, holders, np.uint32(slot), np.int64(arg))
    else:
        _background_free(state, holders, np.uint32(slot))


@kernel_inline
def event(state: State, tunables: Tunables, holders: Holders, op: Int, about: Operand) -> None:
    """One event of any kind. A free of what is not live (slot -1) does nothing."""
    slot, arg = about
    if op == OP_ALLOC:
        take_page(state, holders, slot)
    elif op == OP_FREE and slot >= 0:
        give_page(state, holders, slot)
    elif op in (OP_SHRINK, OP_DROP):
        _pass(state, tunables, op, arg)
    elif op == OP_BG_ALLOC:
        _background_alloc(state, holders, slot, arg)
    elif op == OP_BG_FREE and slot >= 0:
        _background_free(state, holders, slot)


@kernel_inline
def replay_stretch(state: State, holders: Holders, events: Events, first: Int, end: Int) -> Int:
    """Replay allocations and frees from event `first` on for as long as the cached list alone serves them.

    Does what `event` does for such an event. Which of the two an event is cannot be predicted, so there
    is no branch on it: both are a page that moves between its holder and the list's head, and is written
    to where it goes and, once more, to where it comes from. Returns the first event that needs more, or
    `end`.
    """
    var = state.vars
    shift = np.uint32(state.orders.block)
    nr_cached = var[NR_CACHED]
    nr_nonblock = var[NR_NONBLOCK]
    peak = var[PEAK_CACHED]
    area = var[AREA_LOW]
    last_time = var[LAST_TIME]
    nr_allocs: Int = 0
    nr_background = 0
    at = first
    while at < end:
        here = np.uint64(at)
        op = events.op[here]
        slot = events.slot[here]
        elapsed = events.time_ns[here] - last_time
        if slot < 0 or elapsed > LONG_GAP_NS or area >= AREA_LIMIT:
            break
        if op > OP_FREE:
            if op < OP_BG_ALLOC:
                break
            background_event(state, holders, op, Operand(slot, events.arg[here]))
            area += nr_cached * elapsed
            last_time += elapsed
            nr_background += 1
            at += 1
            continue
        if nr_cached <= PBA_NR_RESERVED_PAGES:
            break
        owner = np.uint32(slot)
        is_alloc = OP_FREE - np.int64(op)
        head = state.cached[np.uint32(nr_cached - 1)]
        held = holders.page[owner]
        page = head if is_alloc else held
        if page == NIL:
            break
        area += nr_cached * elapsed
        last_time += elapsed
        state.cached[np.uint32(nr_cached - is_alloc)] = page
        holders.page[owner] = page
        change = 1 - 2 * is_alloc
        nr_cached += change
        nr_allocs += is_alloc
        peak = max(peak, nr_cached)
        block = np.uint32(page) >> shift
        nr_free = np.int64(state.block_nr_free[block])
        nr_nonblock += change if nr_free == NOT_MANAGED else 0
        state.block_nr_free[block] = nr_free + (0 if nr_free == NOT_MANAGED else change)
        at += 1
    var[NR_CACHED] = nr_cached
    var[NR_NONBLOCK] = nr_nonblock
    var[PEAK_CACHED] = peak
    var[AREA_LOW] = area
    var[LAST_TIME] = last_time
    var[ALLOCS] += nr_allocs
    var[FREES] += at - first - nr_allocs - nr_background
    return at


@kernel_entry
def replay_events(
    state: State, tunables: Tunables, holders: Holders, events: Events, span: tuple[int, int]
) -> None:
    """Replay events `span[0]` to `span[1]` - 1, which follow on those replayed before."""
    var = state.vars
    at: Int = span[0]
    end = span[1]
    if var[NR_EVENTS] == 0 and at < end:
        var[LAST_TIME] = events.time_ns[at]
    var[NR_EVENTS] += end - at
    while at < end:
        at = replay_stretch(state, holders, events, at, end)
        if at < end:
            tick(state, events.time_ns[at])
            about = Operand(np.int64(events.slot[at]), np.int64(events.arg[at]))
            event(state, tunables, holders, events.op[at], about)
            var[PEAK_CACHED] = max(var[PEAK_CACHED], var[NR_CACHED])
            at += 1


@kernel_entry
def replay_timeline(
    state: State, tunables: Tunables, holders: Holders, events: Events, rows: NDArray[np.int64]
) -> None:
    """Replay all events, and after each write `nr_cached`, live pages and the splits so far into `rows`.

    Parameters
    ----------
    rows : ndarray of int64, shape (n, TIMELINE_COLUMNS)
        `nr_cached`, live pages, PUD, contPMD, PMD and contPTE splits, and PMD leaves folded again.
    """
    for i in range(len(events.op)):
        replay_events(state, tunables, holders, events, (i, i + 1))
        _write_row(state, rows[i])


@kernel_inline
def _write_row(state: State, row: NDArray[np.int64]) -> None:
    """Write one row of the timeline."""
    row[0] = state.vars[NR_CACHED]
    row[1] = state.vars[ALLOCS] - state.vars[FREES]
    for split in range(4):
        row[2 + split] = state.vars[PUD_SPLITS + split]
    row[6] = nr_folded(state)


@kernel_inline
def nr_folded(state: State) -> Int:
    """Return the split blocks that were folded to a PMD leaf again. A seam: here none ever is."""
    return 0


@kernel_inline
def laid_out(state: State) -> Int:
    """Lay the cached list down in `state.cached`, from its tail to its head, and return its length.

    It lies there; a policy that keeps another list puts its own function in place of this one.
    """
    return state.vars[NR_CACHED]


@kernel_entry
def replay_windows(
    state: State, tunables: Tunables, holders: Holders, events: Events, windows: Windows
) -> None:
    """Replay the events up to the last window's end one by one, and write down each window."""
    var = state.vars
    at: Int = 0
    if len(events.op):
        var[LAST_TIME] = events.time_ns[0]
    for window in range(len(windows.ends)):
        least: Int = var[NR_CACHED]
        most: Int = least
        while at < windows.ends[window]:
            tick(state, events.time_ns[at])
            about = Operand(np.int64(events.slot[at]), np.int64(events.arg[at]))
            event(state, tunables, holders, events.op[at], about)
            least = min(least, var[NR_CACHED])
            most = max(most, var[NR_CACHED])
            at += 1
        var[NR_EVENTS] = at
        write_window(state, windows, window, (least, most))


@kernel_inline
def write_window(state: State, windows: Windows, window: Int, ends: tuple[Int, Int]) -> None:
    """Write down a window whose least and most cached pages are `ends`."""
    var = state.vars
    least, most = ends
    var[PEAK_CACHED] = max(var[PEAK_CACHED], most)
    _write_blocks(state, windows.blocks[window])
    row = windows.rows[window]
    row[0] = var[NR_CACHED]
    row[1] = least
    row[2] = most
    row[3] = var[ALLOCS] - var[FREES]
    row[4] = var[NR_NONBLOCK]
    for split in range(4):
        row[5 + split] = var[PUD_SPLITS + split]
    row[9] = var[PAGES_RELEASED]
    row[10] = var[SHRINK_CALLS]


@kernel_inline
def _write_blocks(state: State, row: NDArray[np.int64]) -> None:
    """Write a row of `Windows.blocks`: the managed blocks by how much of them is in use."""
    pages = 1 << state.orders.block
    row[:] = 0
    for block in range(state.vars[FIRST_MANAGED], state.vars[END_MANAGED]):
        nr_free = np.int64(state.block_nr_free[block])
        if nr_free == NOT_MANAGED:
            continue
        used = pages - nr_free
        # From 1 to USED_QUARTERS for what is in use in part.
        quarter = 0 if used == 0 else 1 + (used * USED_QUARTERS - 1) // pages
        row[quarter if nr_free else USED_QUARTERS + 1] += 1


@kernel_entry
def cache_hash(state: State) -> np.uint64:
    """64-bit FNV-1a, from `FNV_OFFSET`, over the pfns from head to tail, each as 8 bytes little-endian."""
    value = np.uint64(FNV_OFFSET)
    prime = np.uint64(FNV_PRIME)
    zeros = np.uint64(FNV_ZEROS)
    for i in range(laid_out(state) - 1, -1, -1):
        page = np.uint64(state.cached[i])
        for byte in range(PFN_BYTES):
            value = (value ^ ((page >> np.uint64(8 * byte)) & np.uint64(255))) * prime
        value *= zeros
    return value
