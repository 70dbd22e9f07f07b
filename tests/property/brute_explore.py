"""What the engine must return, the slow way: one replay, event by event, for every point.

The oracle of the sweep's tests; it stands in for the engine where a test is about what is built on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import pba
from pba.kernel.state import AREA_BITS
from pba.study.sweep.boxes import HIGH, LOW, Ints, Rows
from pba.study.sweep.tasks import COLUMNS, Engine


def row_of(result: pba.ReplayResult) -> tuple[list[int], int]:
    """Return a replay's counters in the engine's columns, and its hash."""
    counters = dict(result.counters)
    high, low = divmod(counters["cached_page_ns"], 1 << AREA_BITS)
    counters.update({HIGH: high, LOW: low})
    return [counters[name] for name in COLUMNS], int(result.cache_hash, 16)


def brute_explore(
    trace: pba.Trace,
    machine: pba.Machine,
    unshrinkable: Ints,
    batch: Ints,
    min_pages: tuple[int, int],
    *,
    look: Callable[[int], None] | None = None,
) -> Rows:
    """Replay every point; neighbours along M that behave alike share a row."""
    keys: list[list[int]] = []
    values: list[tuple[list[int], int]] = []
    for u in unshrinkable.tolist():
        for b in batch.tolist():
            if look is not None:
                look(len(values))
            for m in range(min_pages[0], min_pages[1] + 1):
                found = row_of(pba.replay(trace, pba.Thresholds(u, m, b), machine))
                if m > min_pages[0] and found == values[-1]:
                    keys[-1][3] = m
                else:
                    keys.append([u, b, m, m])
                    values.append(found)
    columns = np.array(keys, np.int64).T
    counters = np.array([row for row, _ in values], np.int64)
    hashes = np.array([value for _, value in values], np.uint64)
    return Rows(columns[0], columns[1], columns[2], columns[3], counters, hashes)


def brute_engine() -> Engine:
    """Return the stand-in for the engine."""

    def same(trace: pba.Trace) -> Any:
        return trace

    return Engine(same, brute_explore)
