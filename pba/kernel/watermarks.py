"""Watermarks, and reclaim that reacts: kswapd and direct reclaim (mm/page_alloc.c, mm/vmscan.c).

In place of the visits that were recorded. One node of one zone, one memory cgroup. What is reclaimed is page cache:
single movable pages that the rest of the system takes as time passes, and gives back oldest first. What the
shrinker gives back helps by the free pages alone: `flush_reclaim_state()` counts only what
`mm_account_reclaimed_pages()` got, and a shrinker's `__free_page()` is not in it.

Decided here, as the kernel does it where the rules do not say:

- A visit comes before the round's page cache, as the model's rule has it; `shrink_node_memcgs()` has it after.
- A run of kswapd that ends because enough is free is no failure, whatever freed it. `kswapd_failures` is 0 again
  whenever page cache was given back, by direct reclaim too.
- An allocation of the rest of the system looks at min for its order (`zone_watermark_ok`); that there is a chunk
  large enough shows when it is taken. Page tables are taken whatever is free, and their failures reclaim nothing.
- Visits of priority 0 and `drop_slab()` stay as they were recorded: `drop_caches` is a command, not pressure.
- A chunk of more than PAGE_ALLOC_COSTLY_ORDER is worth one run of direct reclaim, a smaller one up to 16.
- Of the pages scanned a share is given back; the others, in use or dirty, go round to the young end.
- Page cache that has grown since the event before is taken right before an event, one page after the other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry, kernel_function, kernel_inline
from pba.events import OP_BG_ALLOC, OP_FREE, OP_SHRINK
from pba.kernel.buddy import rmqueue_smallest
from pba.kernel.reclaim import count_pass, do_shrink_slab
from pba.kernel.replay import Operand, add_area, event, replay_stretch, system_alloc, system_free
from pba.kernel.state import (
    BACKGROUND_FAILURES,
    FREE_PAGES,
    LAST_TIME,
    NIL,
    NR_CACHED,
    NR_EVENTS,
    PEAK_CACHED,
    Events,
    Flag,
    Int,
    State,
    Tunables,
)

DEF_PRIORITY: Final = 12
SWAP_CLUSTER_MAX: Final = 32
"""Pages that direct reclaim is asked for."""
MAX_RECLAIM_RETRIES: Final = 16
"""Also after so many runs without success in a row kswapd gives up."""
PAGE_ALLOC_COSTLY_ORDER: Final = 3
ORDER_0: Final = np.int64(0)
NS: Final = 1_000_000_000
ONE_IN: Final = 1_000_000
"""Shares are in parts of so many."""

MIN_KBYTES, MAX_KBYTES = 128, 262_144
"""`min_free_kbytes` is set between these."""
MIGRATE_PCPTYPES: Final = 3
WATERMARK_SCALE_FACTOR: Final = 10
"""`vm.watermark_scale_factor`, in parts of 10,000."""

RECLAIM_COUNTERS: Final = (
    "kswapd_wakes",
    "kswapd_visits",
    "kswapd_failures",
    "direct_reclaims",
    "direct_visits",
    "lru_scanned",
    "lru_reclaimed",
    "page_cache_grown",
    "page_cache_failures",
)
"""In this order in `ReclaimHolders.reclaim`; then come the visits by their priority."""
(
    KSWAPD_WAKES,  # runs of balance_pgdat(),
    KSWAPD_VISITS,  # and their visits of the shrinkers
    KSWAPD_FAILURES,  # runs that reclaimed nothing
    DIRECT_RECLAIMS,  # runs of try_to_free_pages(),
    DIRECT_VISITS,  # and their visits
    LRU_SCANNED,  # pages of page cache looked at,
    LRU_RECLAIMED,  # and given back
    PAGE_CACHE_GROWN,  # pages taken as page cache
    PAGE_CACHE_FAILURES,  # and those that could not be
    VISITS_AT,  # visits by priority, DEF_PRIORITY + 1 of them
) = range(10)
(
    WMARK_MIN,  # pages
    WMARK_LOW,
    WMARK_HIGH,
    GROWTH,  # pages a second that page cache takes
    RECLAIMABLE,  # of those scanned, parts per million that are given back
    IS_MGLRU,  # whether kswapd begins as the multi-gen LRU does
    OLD_FIRST,  # where in `old` the oldest page is that is still there; its length: none is
    LRU_FIRST,  # where in `lru` the oldest page is
    LRU_PAGES,  # pages of page cache in both
    GROWN_AT,  # up to when page cache has grown, ns,
    REMAINDER,  # and what of a page it was short then, in 1 / NS
    FAILURES,  # pgdat->kswapd_failures
    VISITS_NOTED,  # visits up to the last event that was looked at for `visited`
    RECLAIM_VARS,
) = range(VISITS_AT + DEF_PRIORITY + 1, VISITS_AT + DEF_PRIORITY + 15)


class Wmarks(NamedTuple):
    """The watermarks of the zone, in pages."""

    min: int
    low: int
    high: int


class ReclaimHolders(NamedTuple):
    """`pba.kernel.state.Holders`, and the page cache beside them."""

    page: NDArray[np.int32]
    chunk: NDArray[np.int32]
    chunk_order: NDArray[np.int8]
    old: NDArray[np.int32]  # pfns of the page cache at the start, oldest first: never written to
    lru: NDArray[np.int32]  # (N,) those of what came or went round since, a ring, oldest first
    reclaim: NDArray[np.int64]  # (RECLAIM_VARS,) indexed by the names above
    visited: NDArray[
        np.int8
    ]  # (events,) 1: the shrinkers were visited at this event; or (0,), not written down


# Setting up, in plain Python


def int_sqrt(value: int) -> int:
    """Return the root, rounded down, bit by bit (lib/math/int_sqrt.c)."""
    root = 0
    for bit in range(value.bit_length() // 2, -1, -1):
        if (root | 1 << bit) ** 2 <= value:
            root |= 1 << bit
    return root


def calculate_min_free_kbytes(lowmem_kbytes: int) -> int:
    """Return `min_free_kbytes` of so much memory: the root of 16 times it, within bounds."""
    return max(MIN_KBYTES, min(MAX_KBYTES, int_sqrt(16 * lowmem_kbytes)))


def set_recommended_min_free_kbytes(
    min_free_kbytes: int, managed_pages: int, page_kbytes: int, pageblock_order: int
) -> int:
    """Return what khugepaged (mm/khugepaged.c) raises `min_free_kbytes` to: it wants free page blocks.

    Two, and one for each pair of the types that fall back on each other, in one zone; at most 5 % of memory.
    """
    wanted = (1 << pageblock_order) * (2 + MIGRATE_PCPTYPES * MIGRATE_PCPTYPES)
    return max(min_free_kbytes, min(wanted, managed_pages // 20) * page_kbytes)


def __setup_per_zone_wmarks(min_pages: int, managed_pages: int) -> Wmarks:
    """Return the watermarks of the one zone: each a gap above the one before."""
    gap = max(min_pages // 4, managed_pages * WATERMARK_SCALE_FACTOR // 10_000)
    return Wmarks(min_pages, min_pages + gap, min_pages + 2 * gap)


def initial_priority(lru_pages: int, goal: int) -> int:
    """Return where kswapd begins under the multi-gen LRU: `set_initial_priority()`.

    At which it would scan as much as it wants, by powers of two, in the upper half of the priorities.
    """
    wanted = lru_pages.bit_length() - 1 - (goal - 1).bit_length()
    return min(max(wanted, DEF_PRIORITY // 2), DEF_PRIORITY)


# Looking at the marks


@kernel_inline
def zone_watermark_ok(free_pages: Int, order: Int, mark: Int) -> Flag:
    """Whether so many pages are free above a mark that `2**order` may be taken: `__zone_watermark_ok()`.

    Whether there is a chunk of that order is not looked at here: it is taken, or is not there.
    """
    return free_pages - ((1 << order) - 1) > mark


@kernel_inline
def pgdat_balanced(state: State, holders: ReclaimHolders) -> Flag:
    """Whether kswapd may sleep: more is free than high."""
    return zone_watermark_ok(state.vars[FREE_PAGES], ORDER_0, holders.reclaim[WMARK_HIGH])


# Page cache


@kernel_inline
def add_to_lru(holders: ReclaimHolders, page: Int) -> None:
    """Add a page to the young end."""
    known = holders.reclaim
    place = known[LRU_FIRST] + known[LRU_PAGES] - (len(holders.old) - known[OLD_FIRST])
    room = len(holders.lru)
    holders.lru[np.uint64(place - (room if place >= room else 0))] = page
    known[LRU_PAGES] += 1


@kernel_inline
def isolate_lru_page(holders: ReclaimHolders) -> Int:
    """Take the oldest page off; there is one."""
    known = holders.reclaim
    known[LRU_PAGES] -= 1
    oldest = known[OLD_FIRST]
    if oldest < len(holders.old):
        known[OLD_FIRST] = oldest + 1
        return np.int64(holders.old[np.uint64(oldest)])
    first = known[LRU_FIRST]
    known[LRU_FIRST] = 0 if first + 1 == len(holders.lru) else first + 1
    return np.int64(holders.lru[np.uint64(first)])


@kernel_function
def shrink_lruvec(state: State, holders: ReclaimHolders, nr_to_scan: Int) -> Int:
    """Scan so many of the oldest pages; return how many were given back."""
    known = holders.reclaim
    reclaimed = 0
    for _ in range(nr_to_scan):
        page = isolate_lru_page(holders)
        before = known[LRU_SCANNED]
        known[LRU_SCANNED] = before + 1
        share = known[RECLAIMABLE]
        if (before + 1) * share // ONE_IN > before * share // ONE_IN:
            system_free(state, page, ORDER_0)
            reclaimed += 1
        else:
            add_to_lru(holders, page)
    known[LRU_RECLAIMED] += reclaimed
    return reclaimed


# Reclaim


@kernel_function
def shrink_node(state: State, tunables: Tunables, holders: ReclaimHolders, priority: Int) -> tuple[Int, Int]:
    """One round: a visit of the shrinkers, and page cache in proportion; return pages scanned, and reclaimed."""
    known = holders.reclaim
    known[VISITS_AT + priority] += 1
    do_shrink_slab(state, tunables, priority)
    count_pass(state)
    nr_to_scan = known[LRU_PAGES] >> priority
    reclaimed = shrink_lruvec(state, holders, nr_to_scan)
    if reclaimed:
        known[FAILURES] = 0
    return nr_to_scan, reclaimed


@kernel_inline
def set_initial_priority(holders: ReclaimHolders, goal: Int) -> Int:
    """`initial_priority` of the page cache that there is, where the multi-gen LRU runs; else the mildest."""
    if not holders.reclaim[IS_MGLRU]:
        return np.int64(DEF_PRIORITY)
    wanted = np.int64(-1)
    pages = holders.reclaim[LRU_PAGES]
    while pages > 0:
        pages >>= 1
        wanted += 1
    below = goal - 1
    while below > 0:
        below >>= 1
        wanted -= 1
    return max(min(wanted, np.int64(DEF_PRIORITY)), np.int64(DEF_PRIORITY // 2))


@kernel_function
def balance_pgdat(state: State, tunables: Tunables, holders: ReclaimHolders) -> None:
    """Run kswapd: rounds, ever harder, until more is free than high.

    A round that scanned as much as is wanted is repeated at its priority, as long as it reclaims anything.
    """
    known = holders.reclaim
    known[KSWAPD_WAKES] += 1
    goal = max(known[WMARK_HIGH], np.int64(SWAP_CLUSTER_MAX))
    priority = set_initial_priority(holders, goal)
    reclaimed: Int = 0
    while priority >= 1:
        if pgdat_balanced(state, holders):
            return
        known[KSWAPD_VISITS] += 1
        nr_scanned, nr_reclaimed = shrink_node(state, tunables, holders, priority)
        reclaimed += nr_reclaimed
        if nr_scanned < goal or nr_reclaimed == 0:
            priority -= 1
    if reclaimed == 0:
        known[KSWAPD_FAILURES] += 1
        known[FAILURES] += 1


@kernel_inline
def needs_kswapd(state: State, holders: ReclaimHolders) -> Flag:
    """Whether kswapd would run now: not more is free than low, and it has not given up."""
    is_low = not zone_watermark_ok(state.vars[FREE_PAGES], ORDER_0, holders.reclaim[WMARK_LOW])
    return is_low and holders.reclaim[FAILURES] < MAX_RECLAIM_RETRIES


@kernel_inline
def wakeup_kswapd(state: State, tunables: Tunables, holders: ReclaimHolders) -> None:
    """Have kswapd run, to its end, if it would."""
    if needs_kswapd(state, holders):
        balance_pgdat(state, tunables, holders)


@kernel_function
def try_to_free_pages(state: State, tunables: Tunables, holders: ReclaimHolders) -> Int:
    """Direct reclaim: rounds, ever harder, until SWAP_CLUSTER_MAX pages of page cache are back; return how many."""
    known = holders.reclaim
    known[DIRECT_RECLAIMS] += 1
    reclaimed: Int = 0
    priority = np.int64(DEF_PRIORITY)
    while priority >= 0 and reclaimed < SWAP_CLUSTER_MAX:
        known[DIRECT_VISITS] += 1
        _, nr_reclaimed = shrink_node(state, tunables, holders, priority)
        reclaimed += nr_reclaimed
        priority -= 1
    return reclaimed


# What the rest of the system takes


@kernel_inline
def get_page_from_freelist(state: State, holders: ReclaimHolders, order: Int, is_movable: Flag) -> Int:
    """Take a chunk if more than min stays free; return its first pfn, or NIL.

    A movable one is taken off the free lists as they are, an unmovable one as the policy gives it.
    """
    if not zone_watermark_ok(state.vars[FREE_PAGES], order, holders.reclaim[WMARK_MIN]):
        return NIL
    if is_movable:
        return rmqueue_smallest(state, order)
    return system_alloc(state, order)


@kernel_function
def alloc_pages_slowpath(
    state: State, tunables: Tunables, holders: ReclaimHolders, order: Int, is_movable: Flag
) -> Int:
    """Take a chunk that could not be taken, by direct reclaim: `__alloc_pages_slowpath()`; return it, or NIL.

    Beyond PAGE_ALLOC_COSTLY_ORDER the kernel does not try again (`should_reclaim_retry()`).
    """
    page: Int = NIL
    tries = MAX_RECLAIM_RETRIES if order <= PAGE_ALLOC_COSTLY_ORDER else 1
    while page == NIL and tries > 0:
        try_to_free_pages(state, tunables, holders)
        page = get_page_from_freelist(state, holders, order, is_movable)
        tries -= 1
    return page


@kernel_function
def background_alloc(
    state: State, tunables: Tunables, holders: ReclaimHolders, slot: Int, order: Int
) -> None:
    """Event `B`."""
    page = get_page_from_freelist(state, holders, order, False)
    if page == NIL:
        page = alloc_pages_slowpath(state, tunables, holders, order, False)
    holders.chunk[slot] = page
    holders.chunk_order[slot] = order
    if page == NIL:
        state.vars[BACKGROUND_FAILURES] += 1


@kernel_function
def grow_page_cache(state: State, tunables: Tunables, holders: ReclaimHolders, time_ns: Int) -> None:
    """Take the page cache that has grown up to a time, each page as an event of its own.

    In one gap between events at most as much as there is memory.
    """
    known = holders.reclaim
    gap = time_ns - known[GROWN_AT]
    short = (gap % NS) * known[GROWTH] + known[REMAINDER]
    due = min((gap // NS) * known[GROWTH] + short // NS, len(holders.lru))
    known[REMAINDER] = short % NS
    known[GROWN_AT] = time_ns
    for _ in range(due):
        page = get_page_from_freelist(state, holders, ORDER_0, True)
        if page == NIL:
            page = alloc_pages_slowpath(state, tunables, holders, ORDER_0, True)
        if page == NIL:
            known[PAGE_CACHE_FAILURES] += 1
        else:
            known[PAGE_CACHE_GROWN] += 1
            add_to_lru(holders, page)
        wakeup_kswapd(state, tunables, holders)


@kernel_inline
def next_growth(holders: ReclaimHolders) -> Int:
    """Return when the next page of page cache is due, ns; never: the latest time there is."""
    known = holders.reclaim
    if known[GROWTH] == 0:
        return np.int64((1 << 63) - 1)
    missing = NS - known[REMAINDER]
    return known[GROWN_AT] + (missing + known[GROWTH] - 1) // known[GROWTH]


# The replay


@kernel_inline
def most_taken(state: State) -> Int:
    """Most free pages that an event of a stretch may take; a seam: v6's stretches take none, as refills end them."""
    return 0


@kernel_inline
def react(state: State, tunables: Tunables, holders: ReclaimHolders, op: Int, about: Operand) -> None:
    """Take an event, with what it brings about; recorded visits but those of priority 0 are left out."""
    slot, arg = about
    if op == OP_BG_ALLOC:
        background_alloc(state, tunables, holders, slot, arg)
    elif op != OP_SHRINK or arg == 0:
        event(state, tunables, holders, op, about)  # type: ignore[arg-type]  # has what Holders has
    wakeup_kswapd(state, tunables, holders)


@kernel_inline
def pass_time(state: State, time_ns: Int) -> None:
    """Let time pass up to an event."""
    add_area(state, time_ns - state.vars[LAST_TIME])
    state.vars[LAST_TIME] = time_ns


@kernel_inline
def quiet_end(events: Events, first: Int, end: Int, due_ns: Int) -> Int:
    """Return the first event that is no allocation or free of anybody's, or comes when page cache is due."""
    at = first
    while at < end:
        here = np.uint64(at)
        op = events.op[here]
        is_quiet = op <= OP_FREE or op > OP_BG_ALLOC
        if not is_quiet or events.time_ns[here] >= due_ns:
            break
        at += 1
    return at


@kernel_inline
def stretch_end(state: State, holders: ReclaimHolders, first: Int, end: Int) -> Int:
    """Return up to where no event from `first` on can make kswapd run, whatever the events are."""
    known = holders.reclaim
    most = most_taken(state)
    if most == 0 or known[FAILURES] >= MAX_RECLAIM_RETRIES:
        return end
    return min(end, first + max(state.vars[FREE_PAGES] - known[WMARK_LOW] - 1, 0) // most)


@kernel_inline
def note_visits(holders: ReclaimHolders, at: Int) -> None:
    """Write down whether there were visits since the last time, as of event `at`."""
    known = holders.reclaim
    visits = known[KSWAPD_VISITS] + known[DIRECT_VISITS]
    if len(holders.visited) and visits != known[VISITS_NOTED]:
        holders.visited[at] = 1
        known[VISITS_NOTED] = visits


@kernel_entry
def replay_events(
    state: State, tunables: Tunables, holders: ReclaimHolders, events: Events, span: tuple[int, int]
) -> None:
    """In place of `pba.kernel.replay.replay_events`: with reclaim that reacts."""
    var = state.vars
    at: Int = span[0]
    end = span[1]
    if var[NR_EVENTS] == 0 and at < end:
        var[LAST_TIME] = events.time_ns[at]
        holders.reclaim[GROWN_AT] = events.time_ns[at]
    var[NR_EVENTS] += end - at
    due_ns = next_growth(holders)
    quiet: Int = at  # no event from `at` up to this one is anything but an allocation or a free
    while at < end:
        time_ns = events.time_ns[at]
        if time_ns >= due_ns:
            pass_time(state, time_ns)
            grow_page_cache(state, tunables, holders, time_ns)
            due_ns = next_growth(holders)
            note_visits(holders, at)
        if quiet <= at:
            quiet = quiet_end(events, at, end, due_ns)
        if at < quiet and not needs_kswapd(state, holders):
            last = stretch_end(state, holders, at, quiet)
            at = replay_stretch(state, holders, events, at, last)  # type: ignore[arg-type]  # as above
        if at < end and events.time_ns[at] < due_ns:
            pass_time(state, events.time_ns[at])
            about = Operand(np.int64(events.slot[at]), np.int64(events.arg[at]))
            react(state, tunables, holders, events.op[at], about)
            var[PEAK_CACHED] = max(var[PEAK_CACHED], var[NR_CACHED])
            note_visits(holders, at)
            at += 1
