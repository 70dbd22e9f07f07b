"""Time every policy's replay event by event beside v6's, in one run, on one thread, warm, taking turns.

    python -m tests.benchmarks.bench_policies [RECORDING ...] [--policy NAME] [--rounds N] [--json FILE] [--check]

Timed is the replay of the events alone, on a machine whose arrays are in place and that boots anew each time. In each
round every policy takes its turn, v6 first, so that a change of the machine's pace falls on all; what counts is the
median of the rounds. A policy is wanted to take at most `WANTED` times as long as v6: `--check` fails where one takes
longer over all the recordings together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import pba
from pba import model
from pba.kernel.state import LEAF_PMD
from pba.machine import LINEAR_MAPS
from pba.policies import machine as policies
from pba.policies.policy import Policy
from pba.policies.registry import PLACES

WANTED = 1.5
RECORDED = ("pgbench-x86", "chromium-x86", "redis-bgsave-x86", "arm64-4k-7.3.4")
"""Many page tables that come and go, a cache that grows large, large processes that fork, and background demand."""


class Stand:
    """A policy, and its machine for one trace."""

    def __init__(self, trace: pba.Trace, policy: Policy) -> None:
        self.trace, self.policy = trace, policy
        self.machine = pba.machine_of(trace)
        self.thresholds = policy.thresholds_on(self.machine, None)
        self.state = model.boot_under(policy, self.machine)
        self.kernel = policies.kernel_of(policy.name)

    def seconds(self) -> float:
        """Return how long a replay takes."""
        leaf = LINEAR_MAPS.index(self.machine.linear_map) + LEAF_PMD
        policies.boot(self.policy, self.state, leaf)
        tunables, holders, events = model.prepare(self.trace, self.thresholds)
        begun = time.perf_counter()
        self.kernel.replay_events(self.state, tunables, holders, events, (0, len(self.trace)))
        return time.perf_counter() - begun


def measure(recording: str, names: list[str], rounds: int) -> dict[str, float]:
    """Return the median seconds of each policy on a recording."""
    trace = pba.read_trace(recording)
    stands = {name: Stand(trace, Policy(name)) for name in names}
    for stand in stands.values():
        stand.seconds()
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, stand in stands.items():
            taken[name].append(stand.seconds())
    return {name: statistics.median(some) for name, some in taken.items()}


def main() -> int:
    """Print a row for each policy: milliseconds on each recording, and the ratio over all of them to v6."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="*", default=RECORDED)
    parser.add_argument("--policy", action="append", choices=[name for name in PLACES if name != "v6"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    names = ["v6", *(asked.policy or [name for name in PLACES if name != "v6"])]
    found = {recording: measure(recording, names, asked.rounds) for recording in asked.recordings}
    ratios = {
        name: sum(times[name] for times in found.values()) / sum(times["v6"] for times in found.values())
        for name in names
    }
    print(f"{'ms':<20}{''.join(f'{recording:>20}' for recording in found)}{'of v6':>8}")
    for name in names:
        shown = "".join(
            f"{1e3 * times[name]:>12.2f}{times[name] / times['v6']:>8.2f}" for times in found.values()
        )
        print(f"{name:<20}{shown}{ratios[name]:>8.2f}")
    if asked.json:
        asked.json.write_text(json.dumps({"seconds": found, "of_v6": ratios}, indent=1) + "\n")
    slow = [name for name, ratio in ratios.items() if ratio > WANTED]
    if slow:
        print(f"more than {WANTED} times v6: {', '.join(slow)}", file=sys.stderr)
    return int(asked.check and bool(slow))


if __name__ == "__main__":
    raise SystemExit(main())
