"""How memory pressure reaches the shrinker (mm/shrinker.c)."""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import kernel_function
from pba.kernel.shrinker import SHRINK_STOP, pba_shrink_count, pba_shrink_scan
from pba.kernel.state import NR_DEFERRED, SHRINK_CALLS

DROP_PRIORITY: Final = np.int64(0)
"""The priority of `drop_slab()`."""


@kernel_function
def do_shrink_slab(state, tunables, priority):
    """One visit of reclaim at `priority`: `do_shrink_slab()` with `seeks` = 0; return the pages freed."""
    state.vars[SHRINK_CALLS] += 1
    freeable = pba_shrink_count(state, tunables)
    if freeable == 0:
        return 0
    nr = state.vars[NR_DEFERRED]
    delta = freeable // 2
    total_scan = min((nr >> priority) + delta, 2 * freeable)
    freed = 0
    scanned = 0
    while total_scan >= tunables.batch or total_scan >= freeable:
        nr_freed, nr_scanned = pba_shrink_scan(state, tunables, min(tunables.batch, total_scan))
        if nr_freed == SHRINK_STOP:
            break
        freed += nr_freed
        total_scan -= nr_scanned
        scanned += nr_scanned
    state.vars[NR_DEFERRED] = min(max(nr + delta - scanned, 0), 2 * freeable)
    return freed


@kernel_function
def drop_slab(state, tunables):
    """`echo 2 > /proc/sys/vm/drop_caches`: `drop_slab()` of mm/vmscan.c.

    The kernel goes on while all shrinkers together free enough; here this one is the only one.
    """
    shift = 0
    while do_shrink_slab(state, tunables, DROP_PRIORITY) >> shift > 1:
        shift += 1
