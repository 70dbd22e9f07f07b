"""Time each generator, arrays alone, and what writing Parquet costs, on one thread, warm.

    python -m tests.benchmarks.bench_generate [--events N] [--rounds N]

Processor time, so that other work on the machine counts less. The best of the rounds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pba
from pba.generators.fitting import take_apart
from pba.generators.making import Recipe, recipe
from pba.generators.workloads import WORKLOADS

LIKE = "pgbench-x86"


def best(work: Callable[[], object], rounds: int) -> float:
    """Return the least processor time in s of some rounds."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def played(made: Recipe) -> int:
    """Generate all events and return how many there are."""
    return sum(len(chunk.op) for chunk in made.chunks())


def main() -> None:
    """Print a line for each workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    made = {name: recipe(name, events=options.events) for name in WORKLOADS}
    made[f"like {LIKE}"] = take_apart(pba.read_trace(LIKE), 24, 2).recipe(events=options.events)
    played(recipe("fork-storm", events=1000))  # compile
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "x.parquet"
        for name, each in made.items():
            arrays = options.events / best(lambda each=each: played(each), options.rounds)  # type: ignore[misc]
            written = options.events / best(lambda each=each: each.write(out, force=True), 1)  # type: ignore[misc]
            size = out.stat().st_size / options.events
            print(
                f"{name:20} {arrays / 1e6:7.1f} million events/s, with Parquet {written / 1e6:5.1f}, "
                f"{size:.2f} bytes an event"
            )


if __name__ == "__main__":
    main()
