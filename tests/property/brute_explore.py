"""What the engine must return, the slow way: one replay, event by event, for every point.

The oracle of the sweep's tests; it stands in for the engine where a test is about what is built on it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import pba
from pba.engine.grid import Behaviours
from pba.kernel.state import AREA_BITS
from pba.results import CACHED_PAGE_NS_PARTS, COUNTER_COLUMNS
from pba.study.sweep.boxes import Ints


def row_of(result: pba.ReplayResult) -> tuple[list[int], int]:
    """Return a replay's counters in the engine's columns, and its hash."""
    counters = dict(result.counters)
    high, low = divmod(counters["cached_page_ns"], 1 << AREA_BITS)
    counters.update(zip(CACHED_PAGE_NS_PARTS, (high, low), strict=True))
    return [counters[name] for name in COUNTER_COLUMNS], int(result.cache_hash, 16)


def brute_explore(
    trace: pba.Trace,
    machine: pba.Machine,
    unshrinkable_pages: Ints,
    batch: Ints,
    shrink_block_min_pages: tuple[int, int],
    *,
    look: Callable[[int], None] | None = None,
) -> Behaviours:
    """Replay every point; neighbours along M that behave alike share a row."""
    keys: list[list[int]] = []
    values: list[tuple[list[int], int]] = []
    for u in unshrinkable_pages.tolist():
        for b in batch.tolist():
            if look is not None:
                look(len(values))
            for m in range(shrink_block_min_pages[0], shrink_block_min_pages[1] + 1):
                found = row_of(pba.replay(trace, pba.Thresholds(u, m, b), machine))
                if m > shrink_block_min_pages[0] and found == values[-1]:
                    keys[-1][3] = m
                else:
                    keys.append([u, b, m, m])
                    values.append(found)
    columns = np.array(keys, np.int64).T
    counters = np.array([row for row, _ in values], np.int64)
    hashes = np.array([value for _, value in values], np.uint64)
    return Behaviours(columns[0], columns[1], columns[2], columns[3], counters, hashes)
