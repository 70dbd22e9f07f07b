"""Shrinkers with the kernel's own defaults, as two of v6's rivals have: DEFAULT_SEEKS, SHRINK_BATCH (mm/shrinker.c).

A cheap object is one that is soon made again. v6 says with `seeks` = 0 that half of its pages may be scanned at
each visit, however mild; with DEFAULT_SEEKS a visit at priority p scans `2 * (freeable >> p)`.
"""

from __future__ import annotations

from typing import Final

from pba._jit import kernel_function, kernel_inline
from pba.kernel.reclaim import deferred_limit, do_shrink_slab, scans_more
from pba.kernel.shrinker import SHRINK_STOP
from pba.kernel.state import (
    NR_CACHED,
    NR_DEFERRED,
    PAGES_RELEASED,
    SCAN_CALLS,
    SCAN_STOPS,
    SHRINK_CALLS,
    Int,
    State,
    Tunables,
)
from pba.policies.rival import RIVAL

DEFAULT_SEEKS: Final = 2
"""`shrinker->seeks` that nobody set (include/linux/shrinker.h)."""
SHRINK_BATCH: Final = 128
"""What stands in for a `shrinker->batch` that nobody set."""


# Seams: what a policy counts and scans


@kernel_inline
def count_objects(state: State) -> Int:
    """`shrinker->count_objects()`: pages that may be given back."""
    return state.vars[NR_CACHED]


@kernel_function
def scan_objects(state: State, nr_to_scan: Int) -> tuple[Int, Int]:
    """`shrinker->scan_objects()`: return pages given back, or SHRINK_STOP, and `nr_scanned`."""
    return SHRINK_STOP, 0


@kernel_inline
def _scan(state: State, nr_to_scan: Int) -> tuple[Int, Int]:
    """Scan, and count that."""
    nr_freed, nr_scanned = scan_objects(state, nr_to_scan)
    state.vars[SCAN_CALLS] += 1
    state.vars[SCAN_STOPS] += nr_freed <= 0
    state.vars[PAGES_RELEASED] += max(nr_freed, 0)
    return nr_freed, nr_scanned


@kernel_function
def do_shrink_slab_by_default(state: State, tunables: Tunables, priority: Int) -> Int:
    """In place of `do_shrink_slab`: one visit with DEFAULT_SEEKS and SHRINK_BATCH; return the pages freed."""
    state.vars[SHRINK_CALLS] += 1
    freeable = count_objects(state)
    if freeable == 0:
        return 0
    nr_deferred = state.vars[NR_DEFERRED]
    limit = deferred_limit(freeable)
    delta = 4 * (freeable >> priority) // DEFAULT_SEEKS
    total = min((nr_deferred >> priority) + delta, limit)
    freed: Int = 0
    scanned: Int = 0
    while scans_more(total, SHRINK_BATCH, freeable):
        nr_freed, nr_scanned = _scan(state, min(SHRINK_BATCH, total))
        if nr_freed == SHRINK_STOP:
            break
        freed += nr_freed
        total -= nr_scanned
        scanned += nr_scanned
    state.vars[NR_DEFERRED] = min(max(nr_deferred + delta - scanned, 0), limit)
    return freed


WITH_DEFAULT_SHRINKER: Final = RIVAL | {do_shrink_slab: do_shrink_slab_by_default}
"""What a rival with such a shrinker puts in place of v6's, beside its allocation and free, and the seams here."""
