"""Runs of frees and of allocations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry
from pba.analysis.pages import Ints, steps
from pba.events import OP_ALLOC, OP_FREE
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd

BURST_GAP_NS: Final = 1_000_000
"""A run of frees (or allocations) ends where the next one comes later than this: 1 ms."""
COUNTED_SIZES: Final = 1 << 16
"""Runs of fewer pages are counted in place while a trace goes by."""
KIND, SIZE, LAST_NS, NR_STATE = 0, 1, 2, 3
"""Places in the state of `_count_free_runs`: the run that goes on, 1 or -1 as `steps`; its size; its end."""


def runs(trace: Trace, op: int, gap_ns: int = BURST_GAP_NS) -> Ints:
    """Return the sizes in pages of the runs of frees (`OP_FREE`) or of allocations (`OP_ALLOC`), in order.

    A run goes on while the next page-table event of the machine is of the same kind and comes at most
    `gap_ns` after the one before; passes and background chunks between do not end it. So a run of frees
    lays its size into the cache with nothing taken meanwhile.
    """
    step = steps(trace)
    moving = np.flatnonzero(step)
    kind, time_ns = step[moving], trace.time_ns[moving]
    begins = np.ones(len(moving), np.bool_)
    begins[1:] = (kind[1:] != kind[:-1]) | (np.diff(time_ns) > gap_ns)
    first = np.flatnonzero(begins)
    sizes: Ints = np.diff(np.append(first, len(moving))).astype(np.int64)
    mine = kind[first] == (1 if op == OP_ALLOC else -1)
    return np.asarray(sizes[mine], np.int64)


def bursts_table(trace: Trace, gap_ns: int = BURST_GAP_NS) -> pd.DataFrame:
    """Return how large the runs of frees and of allocations are (`runs`).

    Returns
    -------
    DataFrame
        A row per kind (`free`, `alloc`) and size that occurs: `kind`, `size_pages`, `runs` (of that size),
        `runs_share` and `pages_share` (the share of the kind's runs that are at least so large, and of its
        pages that move in them).
    """
    import pandas as pd

    tables = []
    for kind, op in (("free", OP_FREE), ("alloc", OP_ALLOC)):
        sizes, number = np.unique(runs(trace, op, gap_ns), return_counts=True)
        pages = sizes * number
        columns = {"kind": kind, "size_pages": sizes, "runs": number}
        shares = {"runs_share": _at_least(number), "pages_share": _at_least(pages)}
        tables.append(pd.DataFrame({**columns, **shares}))
    return pd.concat(tables, ignore_index=True)


class FreeRunTally:
    """Counts the runs of frees of each size, as `runs` finds them, block by block."""

    def __init__(self, gap_ns: int = BURST_GAP_NS) -> None:
        self._gap_ns = gap_ns
        self._state = np.zeros(NR_STATE, np.int64)
        self._counts = np.zeros(COUNTED_SIZES, np.int64)
        self._large = [np.empty(0, np.int64)]

    def take(self, time_ns: Ints, step: NDArray[np.int8]) -> None:
        """Count the runs that end in the next events, of which `steps` says what each adds."""
        # Those too large to be counted in place are few: each has more pages than there are places.
        large = np.empty(len(step) // COUNTED_SIZES + 2, np.int64)
        found = _count_free_runs(time_ns, step, self._gap_ns, self._state, self._counts, large)
        self._large.append(large[:found])

    def percentile(self, share: float) -> int:
        """Return the size that at least this share of the runs does not exceed; the last run has ended."""
        last = self._state[SIZE : SIZE + 1] if self._state[KIND] < 0 else self._state[:0]
        large, number = np.unique(np.concatenate([*self._large, last]), return_counts=True)
        sizes = np.concatenate([np.arange(COUNTED_SIZES), large])
        counts = np.concatenate([self._counts, number])
        order = np.argsort(sizes, kind="stable")
        below = np.cumsum(counts[order])
        if not below[-1]:
            return 0
        return int(sizes[order][np.searchsorted(below, _rank(share, int(below[-1])))])


@kernel_entry
def _count_free_runs(
    time_ns: Ints, step: NDArray[np.int8], gap_ns: int, state: Ints, counts: Ints, large: Ints
) -> int:
    """Count each run of frees that ends; return how many sizes it put into `large`."""
    found = 0
    for i in range(len(step)):
        kind = step[i]
        if kind == 0:
            continue
        if kind != state[KIND] or time_ns[i] - state[LAST_NS] > gap_ns:
            if state[KIND] < 0:
                if state[SIZE] < len(counts):
                    counts[state[SIZE]] += 1
                else:
                    large[found] = state[SIZE]
                    found += 1
            state[KIND], state[SIZE] = kind, 0
        state[SIZE] += 1
        state[LAST_NS] = time_ns[i]
    return found


def _at_least(weights: Ints) -> NDArray[np.float64]:
    return np.cumsum(weights[::-1])[::-1] / max(int(weights.sum()), 1)


def percentile(sizes: Ints, share: float, zeros: int = 0) -> int:
    """Return the least value that at least this share of the values (and so many zeros) does not exceed."""
    total = len(sizes) + zeros
    if not total:
        return 0
    rank = _rank(share, total)
    return 0 if rank <= zeros else int(np.sort(sizes)[rank - zeros - 1])


def _rank(share: float, total: int) -> int:
    """Return which of `total` values in order is the least that this share of them does not exceed."""
    return max(1, int(np.ceil(share * total - 1e-9)))
