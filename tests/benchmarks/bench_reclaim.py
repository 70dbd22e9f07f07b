"""Time a replay whose reclaim reacts beside one with the recorded pressure, in one run, warm, taking turns.

    python -m tests.benchmarks.bench_reclaim [--rounds N]

Reclaim that reacts does more: it takes page cache from the buddy allocator and gives it back. So each recording is
replayed in three ways: as recorded; with reclaim that reacts; and as recorded with as many single pages of background
demand, written out as events, as the second took and gave back as page cache. The last is what the same work costs in
a plain replay, and `like` is the factor between the second and it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

import pba
from pba import model
from pba.events import OP_BG_ALLOC, OP_BG_FREE
from pba.trace import corpus
from pba.trace.table import Trace

FIRST_ID = 1 << 30


def written_out(trace: Trace, result: pba.ReplayResult) -> Trace:
    """Return a trace with page cache as events: spread evenly in time, oldest given back first."""
    grown, back = (result.counters[name] for name in ("page_cache_grown", "lru_reclaimed"))
    back = min(back, grown)
    steps = np.linspace(trace.time_ns[0], trace.time_ns[-1], max(grown, 1)).astype(np.int64)[:grown]
    late = steps[grown - back :]
    columns = {
        "time_ns": np.concatenate([trace.time_ns, steps, late]),
        "op": np.concatenate(
            [trace.op, np.full(grown, OP_BG_ALLOC, np.int8), np.full(back, OP_BG_FREE, np.int8)]
        ),
        "id": np.concatenate([trace.slot, FIRST_ID + np.arange(grown), FIRST_ID + np.arange(back)]),
        "arg": np.concatenate([trace.arg, np.zeros(grown + back, np.int8)]),
    }
    order = np.argsort(columns["time_ns"], kind="stable")
    return Trace.from_arrays({name: column[order] for name, column in columns.items()}, trace.metadata)


def seconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the fewest seconds of each call, in turns: what else runs only adds to them."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - begun)
    return {name: min(some) for name, some in taken.items()}


def main() -> None:
    """Print a row for each recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(f"{'ms':<22}{'recorded':>10}{'reacts':>10}{'same work':>10}{'plain':>8}{'like':>8}")
    factors = []
    for name, path in corpus.recordings().items():
        trace = pba.read_trace(path)
        machine = pba.machine_of(trace)
        if trace.metadata.free_chunks:
            machine = pba.Machine(machine.page_size_kib, machine.memory_pages, start="trace")
        marks = pba.Watermarks()
        result = model.replay(trace, machine=machine, reclaim=marks)
        same = written_out(trace, result)
        found = seconds(
            {
                "plain": lambda t=trace, m=machine: model.replay(t, machine=m),  # type: ignore[misc]
                "reacts": lambda t=trace, m=machine, w=marks: model.replay(t, machine=m, reclaim=w),  # type: ignore[misc]
                "same": lambda t=same, m=machine: model.replay(t, machine=m),  # type: ignore[misc]
            },
            rounds,
        )
        against = found["reacts"] / found["plain"], found["reacts"] / found["same"]
        factors.append(against)
        shown = "".join(f"{1e3 * found[way]:>10.2f}" for way in ("plain", "reacts", "same"))
        print(f"{name:<22}{shown}{against[0]:>8.2f}{against[1]:>8.2f}")
    middle = [statistics.median(factor) for factor in zip(*factors, strict=True)]
    print(f"{'median':<52}{middle[0]:>8.2f}{middle[1]:>8.2f}")


if __name__ == "__main__":
    main()
