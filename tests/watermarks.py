"""Reclaim that reacts, held against what was recorded; and the parameters that fit best.

    python -m tests.watermarks

prints both. The table stands in data/README.md (`python -m tests.papers`). What is fitted are the three parameters
of page cache, on the recordings that hold passes and background demand: their kernels ran the multi-gen LRU, as the
priorities tell (kswapd begins at 6). Each recording starts with the memory that was free then.
"""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

import pba
from pba.events import OP_SHRINK
from pba.trace import corpus

GROWTHS: Final = tuple(64 * step for step in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128))
"""KiB a second."""
CACHE_SHARES: Final = (0.25, 0.5, 0.75, 1.0)
RECLAIMABLE_SHARES: Final = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
APART_NS: Final = 1_000_000_000
"""Visits so far apart are of two runs."""


@dataclass(frozen=True)
class Pressure:
    """How often pressure met the shrinker: runs of kswapd and of direct reclaim, and their visits."""

    runs: int
    visits: int


@cache
def traces() -> tuple[pba.Trace, ...]:
    """Return the recordings that hold passes and background demand."""
    every = (pba.read_trace(path) for path in corpus.recordings().values())
    return tuple(trace for trace in every if all(trace.counts()[op] for op in ("S", "B")))


def recorded(trace: pba.Trace) -> Pressure:
    """Return what was recorded, without `drop_caches`.

    A run begins where a visit is no harder than the one before, or comes a second later.
    """
    at = np.flatnonzero((trace.op == OP_SHRINK) & (trace.arg > 0))
    priority, time_ns = trace.arg[at].astype(int), trace.time_ns[at]
    goes_on = (np.diff(priority) < 0) & (np.diff(time_ns) <= APART_NS)
    return Pressure(len(at) - int(goes_on.sum()), len(at))


def reacting(trace: pba.Trace, watermarks: pba.Watermarks) -> pba.ReplayResult:
    """Replay a recording from the memory that it began with, with reclaim that reacts."""
    machine = pba.machine_of(trace)
    started = pba.Machine(machine.page_size_kib, machine.memory_pages, start="trace")
    return pba.replay(trace, machine=started, reclaim=watermarks)


def of_result(result: pba.ReplayResult) -> Pressure:
    """Return how often pressure met the shrinker in a replay."""
    counted = result.counters
    return Pressure(
        counted["kswapd_wakes"] + counted["direct_reclaims"],
        counted["kswapd_visits"] + counted["direct_visits"],
    )


def distance(found: Pressure, wanted: Pressure) -> float:
    """Return how far two are apart: factors between runs and between visits, as logarithms, added up."""
    pairs = (found.runs, wanted.runs), (found.visits, wanted.visits)
    return sum(abs(math.log((got + 1) / (want + 1))) for got, want in pairs)


def fit() -> tuple[float, pba.Watermarks]:
    """Return the parameters at which the recordings are nearest, all added up; of equals the first."""
    best: tuple[float, pba.Watermarks] | None = None
    for growth, cached, share in itertools.product(GROWTHS, CACHE_SHARES, RECLAIMABLE_SHARES):
        tried = pba.Watermarks(
            page_cache_growth=growth, page_cache_share=cached, reclaimable_share=share, mglru=True
        )
        far = sum(distance(of_result(reacting(trace, tried)), recorded(trace)) for trace in traces())
        if best is None or far < best[0] - 1e-12:
            best = far, tried
    assert best is not None
    return best


def table() -> str:
    """Return the recordings and what the defaults make of them, with either LRU."""
    lines = [
        "| name | recorded: runs, visits | multi-gen LRU: runs, visits | classic LRU: runs, visits "
        "| of them direct: multi-gen | background chunks that failed |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for trace in traces():
        was = recorded(trace)
        found = [reacting(trace, pba.Watermarks(mglru=mglru)) for mglru in (True, False)]
        often = [of_result(one) for one in found]
        failed, direct = (found[0].counters[name] for name in ("background_failures", "direct_reclaims"))
        cells = (
            f"`{trace.name}`",
            *(f"{one.runs:,}, {one.visits:,}" for one in (was, *often)),
            f"{direct:,}",
            f"{failed:,} of {trace.counts()['B']:,}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the fit and the table."""
    far, best = fit()
    print(f"nearest, {far:.2f} in all: {best}", file=sys.stderr)
    print(table())


if __name__ == "__main__":
    main()
