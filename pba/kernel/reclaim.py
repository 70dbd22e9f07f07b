"""How memory pressure reaches the shrinker (mm/shrinker.c).

The rules of `do_shrink_slab()` are scalar functions, as three have to follow them: the replay event by event
(here), and in `pba.engine` many sets of thresholds at once (`members`) and the passes that take nothing
(`quiet`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.shrinker import SHRINK_STOP, pba_shrink_count, pba_shrink_scan
from pba.kernel.state import (
    CACHED_AFTER_PASSES,
    NR_CACHED,
    NR_DEFERRED,
    SHRINK_CALLS,
    WALKED_TO,
    Flag,
    Int,
    State,
    Tunables,
)

DROP_PRIORITY: Final = np.int64(0)
"""The priority of `drop_slab()`."""


@kernel_inline
def scan_delta(freeable: Int) -> Int:
    """`delta` of `do_shrink_slab()`: pages that a visit adds to the work, with `seeks` = 0.

    What `pba.engine.quiet` skips relies on it and on what is left to scan, `freeable - delta`, growing with
    `freeable`, and on it being less than `freeable`.
    """
    return freeable // 2


@kernel_inline
def deferred_limit(freeable: Int) -> Int:
    """Most pages that a visit may scan, and most that it may put off."""
    return 2 * freeable


@kernel_inline
def total_scan(nr_deferred: Int, freeable: Int, priority: Int) -> Int:
    """`total_scan` at the start of a visit: what was put off, shifted, and `scan_delta`."""
    return min((nr_deferred >> priority) + scan_delta(freeable), deferred_limit(freeable))


@kernel_inline
def scans_more(total: Int, batch: Int, freeable: Int) -> Flag:
    """Whether a visit with `total` pages still to scan goes on to another scan."""
    return total >= batch or total >= freeable


@kernel_inline
def nr_deferred_after(nr_deferred: Int, freeable: Int, scanned: Int) -> Int:
    """`next_deferred`: what a visit puts off in the end."""
    return min(max(nr_deferred + scan_delta(freeable) - scanned, 0), deferred_limit(freeable))


@kernel_inline
def drops_again(freed: Int, shift: Int) -> Flag:
    """Whether `drop_slab()` makes another visit after number `shift`, from 0 on, freed so many pages."""
    return freed >> shift > 1


@kernel_function
def do_shrink_slab(state: State, tunables: Tunables, priority: Int) -> Int:
    """One visit of reclaim at `priority`: `do_shrink_slab()` with `seeks` = 0; return the pages freed."""
    state.vars[SHRINK_CALLS] += 1
    freeable = pba_shrink_count(state, tunables)
    if freeable == 0:
        return 0
    nr_deferred = state.vars[NR_DEFERRED]
    total = total_scan(nr_deferred, freeable, priority)
    freed: Int = 0
    scanned: Int = 0
    while scans_more(total, tunables.batch, freeable):
        nr_freed, nr_scanned = pba_shrink_scan(state, tunables, min(tunables.batch, total))
        if nr_freed == SHRINK_STOP:
            break
        freed += nr_freed
        total -= nr_scanned
        scanned += nr_scanned
    state.vars[NR_DEFERRED] = nr_deferred_after(nr_deferred, freeable, scanned)
    state.vars[WALKED_TO] = 0
    return freed


@kernel_function
def drop_slab(state: State, tunables: Tunables) -> None:
    """`echo 2 > /proc/sys/vm/drop_caches`: `drop_slab()` of mm/vmscan.c.

    The kernel goes on while all shrinkers together free enough; here this one is the only one.
    """
    shift = 0
    while drops_again(do_shrink_slab(state, tunables, DROP_PRIORITY), shift):
        shift += 1


@kernel_inline
def count_pass(state: State) -> None:
    """Count, at the end of a pass (an event `S` or `D`), the pages that it has left on the cached list.

    The kernel has no such counter: it is what pressure asked for and did not get.
    """
    state.vars[CACHED_AFTER_PASSES] += state.vars[NR_CACHED]
