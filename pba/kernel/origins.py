"""Where splits come from: a replay over time that also writes down each split of a PMD leaf, and every block.

It does what `replay_windows` does, and looks around each scan of the shrinker.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry, kernel_function
from pba.events import OP_DROP, OP_SHRINK
from pba.kernel.reclaim import (
    DROP_PRIORITY,
    count_pass,
    drops_again,
    nr_deferred_after,
    scans_more,
    total_scan,
)
from pba.kernel.replay import Operand, Windows, event, tick, write_window
from pba.kernel.shrinker import (
    SHRINK_STOP,
    TAKE_NONBLOCK,
    TAKE_PART_OF_BLOCK,
    choose_scan,
    pba_shrink_count,
    pba_shrink_scan,
    walk_cached_list,
)
from pba.kernel.state import (
    LAST_TIME,
    LEAF_PTE,
    NR_CACHED,
    NR_DEFERRED,
    NR_EVENTS,
    PMD_SPLITS,
    SHRINK_CALLS,
    WALKED_TO,
    Events,
    Holders,
    Int,
    State,
    Tunables,
)

BY_REFILL: Final = 0
"""To protect a chunk of less than a block: at a refill, for a split's own table too, and at boot."""
BY_BLOCK: Final = 1
"""To shrink a block in part."""
BY_PAGES: Final = 2
"""To give pages outside of blocks back."""

ORIGIN_COLUMNS: Final = 7


class Origins(NamedTuple):
    """What is written down. A PMD leaf is split once at most, so that there is a row for each block."""

    windows: Windows  # (n windows)
    nr_free: NDArray[np.int32]  # (n, blocks) `block_nr_free` at each window's end
    rows: NDArray[
        np.int64
    ]  # (blocks, ORIGIN_COLUMNS) how many events had happened, the block, BY_*, and right before:
    # free pages of the block that the scan chose (0 if none), cached pages outside of blocks, cached pages,
    # `nr_to_scan` (0 outside of scans)
    seen: NDArray[np.uint8]  # (blocks,) whether the block's split is written down
    nr_rows: NDArray[np.int64]  # (1,) how many are


@kernel_function
def _write_splits(
    state: State, log: Origins, event: Int, before: tuple[Int, Int, Int, Int, Int, Int]
) -> None:
    """Write down the blocks that are split and were not before."""
    cause, target, nr_target, nr_nonblock, nr_cached, nr_to_scan = before
    for block in range(len(state.leaf)):
        if state.leaf[block] != LEAF_PTE or log.seen[block]:
            continue
        log.seen[block] = 1
        row = log.rows[log.nr_rows[0]]
        log.nr_rows[0] += 1
        row[0] = event
        row[1] = block
        # A table for the split of one block may have come from another one.
        row[2] = BY_REFILL if cause == BY_BLOCK and block != target else cause
        row[3] = nr_target if block == target else 0
        row[4] = nr_nonblock
        row[5] = nr_cached
        row[6] = nr_to_scan


@kernel_function
def _scan(state: State, tunables: Tunables, nr_to_scan: Int, log: Origins, event: Int) -> tuple[Int, Int]:
    """`pba_shrink_scan()`, and what it splits."""
    found = walk_cached_list(state)
    choice, _ = choose_scan(
        found, nr_to_scan, pba_shrink_count(state, tunables), 1 << state.orders.block,
        tunables.shrink_block_min_pages,
    )  # fmt: skip
    nr_cached, splits = state.vars[NR_CACHED], state.vars[PMD_SPLITS]
    outcome = pba_shrink_scan(state, tunables, nr_to_scan)
    if state.vars[PMD_SPLITS] > splits:
        cause: Int = BY_REFILL
        if choice == TAKE_PART_OF_BLOCK:
            cause = BY_BLOCK
        elif choice == TAKE_NONBLOCK:
            cause = BY_PAGES
        before = (
            cause, np.int64(found.target_block), np.int64(found.nr_pages_target_block),
            np.int64(found.nr_pages_nonblock), nr_cached, nr_to_scan,
        )  # fmt: skip
        _write_splits(state, log, event, before)
    return outcome


@kernel_function
def _slab(state: State, tunables: Tunables, priority: Int, log: Origins, event: Int) -> Int:
    """`do_shrink_slab()`, scan by scan."""
    state.vars[SHRINK_CALLS] += 1
    freeable = pba_shrink_count(state, tunables)
    if freeable == 0:
        return 0
    nr_deferred = state.vars[NR_DEFERRED]
    total = total_scan(nr_deferred, freeable, priority)
    freed: Int = 0
    scanned: Int = 0
    while scans_more(total, tunables.batch, freeable):
        nr_freed, nr_scanned = _scan(state, tunables, min(tunables.batch, total), log, event)
        if nr_freed == SHRINK_STOP:
            break
        freed += nr_freed
        total -= nr_scanned
        scanned += nr_scanned
    state.vars[NR_DEFERRED] = nr_deferred_after(nr_deferred, freeable, scanned)
    state.vars[WALKED_TO] = 0
    return freed


@kernel_function
def _pass(state: State, tunables: Tunables, about: tuple[Int, Int], log: Origins, event: Int) -> None:
    """Event `S` or `D`."""
    op, priority = about
    if op == OP_SHRINK:
        _slab(state, tunables, priority, log, event)
    else:
        shift = 0
        while drops_again(_slab(state, tunables, DROP_PRIORITY, log, event), shift):
            shift += 1
    count_pass(state)


@kernel_entry
def replay_origins(state: State, tunables: Tunables, holders: Holders, events: Events, log: Origins) -> None:
    """Replay the events up to the last window's end one by one; write down each split and each window's blocks."""
    var = state.vars
    nothing = (np.int64(BY_REFILL), np.int64(-1), np.int64(0), np.int64(0), np.int64(0), np.int64(0))
    _write_splits(state, log, 0, nothing)
    at: Int = 0
    if len(events.op):
        var[LAST_TIME] = events.time_ns[0]
    for window in range(len(log.windows.ends)):
        least: Int = var[NR_CACHED]
        most: Int = least
        while at < log.windows.ends[window]:
            tick(state, events.time_ns[at])
            op = events.op[at]
            about = Operand(np.int64(events.slot[at]), np.int64(events.arg[at]))
            at += 1
            if op in (OP_SHRINK, OP_DROP):
                _pass(state, tunables, (np.int64(op), about.arg), log, at)
            else:
                nr_cached, splits = var[NR_CACHED], var[PMD_SPLITS]
                event(state, tunables, holders, op, about)
                if var[PMD_SPLITS] > splits:
                    _write_splits(state, log, at, (*nothing[:4], nr_cached, nothing[5]))
            least = min(least, var[NR_CACHED])
            most = max(most, var[NR_CACHED])
        var[NR_EVENTS] = at
        write_window(state, log.windows, window, (least, most))
        for block in range(len(state.block_nr_free)):
            log.nr_free[window, block] = state.block_nr_free[block]
