"""Time the replay beside the yardstick and the best C, in one run, on one thread, warm, taking turns.

    python -m tests.benchmarks.bench_replay [--yardstick PROGRAM] [--rounds N] [--json FILE]
        [--check | --store]

Timed is the replay alone: on all sides once for the events, and once with making the machine and booting it.
Neither reading the trace nor compiling counts. Each round runs the yardstick (`yardstick.c`: lists and walks,
as a kernel has them), the best C (`best.c`: the best data structures that we know) and then `pba`, so that a
change of the machine's pace falls on all; a round is the best of a few repetitions, as the programs' own is.

Also timed, as whole processes: the first replay with an empty cache of compiled code, later ones, and
`pba --help`. Bytes an event and a simulated page are counted on the arrays themselves.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pba
from pba import model
from pba.kernel import replay as kernel
from pba.kernel.state import LEAF_PMD, State
from pba.machine import LINEAR_MAPS
from tests.benchmarks import baseline, yardstick

VECTORS = Path(__file__).parents[1] / "vectors"
JUDGED = ("pressure", "recorded-mmap-churn")
"""The traces on which the replay shall take no longer than the yardstick."""
RECORDED = ("chromium-x86", "redis-bgsave-x86", "arm64-4k-7.3.4")
"""The recordings that are replayed too."""
LARGE = "large-cache"
LARGE_PAGES = 220_000
"""Page-table pages of the generated trace: 430 blocks of 4 KiB pages, all cached at once after the frees."""


@dataclass(frozen=True)
class Task:
    """A trace, a machine (KiB, pages, linear map) and thresholds (U, M, B) to replay."""

    name: str
    trace: Path
    machine: tuple[int, int, str]
    thresholds: tuple[int, int, int]


@dataclass(frozen=True)
class Timing:
    """Seconds of one side: for the events alone, and with making and booting the machine."""

    best: float
    median: float
    best_with_boot: float
    median_with_boot: float


@dataclass(frozen=True)
class Row:
    """One task on all sides."""

    name: str
    thresholds: str
    events: int
    peak_cached: int
    scans: int
    pba: Timing
    yardstick: Timing
    best_c: Timing

    @property
    def ratio(self) -> float:
        """Best time of `pba` over the yardstick's, for the events alone; below 1 `pba` is faster."""
        return self.pba.best / self.yardstick.best

    @property
    def median_ratio(self) -> float:
        """The same of the medians."""
        return self.pba.median / self.yardstick.median

    @property
    def ratio_to_best_c(self) -> float:
        """Best time of `pba` over that of the best C, for the events alone."""
        return self.pba.best / self.best_c.best

    @property
    def median_ratio_to_best_c(self) -> float:
        """The same of the medians."""
        return self.pba.median / self.best_c.median

    @property
    def ratio_with_boot(self) -> float:
        """The same with making and booting the machine; NaN where the yardstick does not time that."""
        return self.pba.best_with_boot / self.yardstick.best_with_boot


# What to replay


def large_cache_events() -> Iterator[str]:
    """Fill a large cache from interleaved blocks, then let mild pressure work on it in many small passes.

    A fifth of the pages stays in use, spread over all blocks, so that no block is ever empty.
    """
    time_ns = 0
    for page in range(LARGE_PAGES):
        time_ns += 1_000
        yield f"{time_ns} A {page}\n"
    for page in range(LARGE_PAGES):
        freed = page * 7919 % LARGE_PAGES
        if freed % 5:
            time_ns += 1_000
            yield f"{time_ns} F {freed}\n"
    for _ in range(6):
        time_ns += 1_000_000
        yield f"{time_ns} S 12\n"


def vector_tasks(folder: Path) -> list[Task]:
    """Return the vectors at their first (the seed's) thresholds and one small batch."""
    found = []
    for path in sorted(set(VECTORS.glob("*.json")) - {VECTORS / "policies.json"}):
        vector = json.loads(path.read_text())
        trace = folder / f"{path.stem}.events"
        trace.write_bytes(gzip.decompress(path.with_name(path.stem + ".events.gz").read_bytes()))
        machine = tuple(vector["machine"].values())
        cases = [tuple(case["thresholds"].values()) for case in vector["cases"]]
        smallest_batch = min(cases, key=lambda case: case[2])
        found += [Task(path.stem, trace, machine, case) for case in dict.fromkeys([cases[0], smallest_batch])]
    found.sort(key=lambda task: task.name not in JUDGED)
    return found


def write_plain(trace: pba.Trace, path: Path) -> None:
    """Write the text form without its comments: lines of metadata are too long for the programs."""
    trace.write(path)
    path.write_text("".join(line for line in path.open() if not line.startswith("#")))


def recording_tasks(folder: Path) -> list[Task]:
    """Return some recordings at the seed's thresholds and one small batch, in the programs' text form."""
    found = []
    for name in RECORDED:
        trace = pba.read_trace(name)
        machine = model.machine_of(trace)
        seed = pba.Thresholds.patch(machine)
        path = folder / f"{name}.events"
        write_plain(trace, path)
        words = (machine.page_size_kib, machine.memory_pages, machine.linear_map)
        first = (seed.unshrinkable_pages, seed.shrink_block_min_pages, seed.batch)
        found += [Task(name, path, words, first), Task(name, path, words, (*first[:2], 37))]
    return found


def tasks(folder: Path) -> list[Task]:
    """Return what to replay: the vectors, recordings, and the large cache."""
    large = folder / f"{LARGE}.events"
    with large.open("w") as lines:
        lines.writelines(large_cache_events())
    found = [Task(LARGE, large, (4, 1 << 18, "pud"), (16, 64, batch)) for batch in (512, 37)]
    return vector_tasks(folder) + recording_tasks(folder) + found


# Timing all sides


@dataclass(frozen=True)
class Sample:
    """One round of one side, in seconds."""

    events: float
    boot: float
    counters: dict[str, Any]


def pba_sample(trace: pba.Trace, task: Task, repetitions: int) -> Sample:
    """Replay a trace some times on one machine's arrays, as a series of `pba.replay` does.

    Returns the best times. One replay more comes first and does not count: it touches the memory.
    """
    machine, thresholds = pba.Machine(*task.machine), pba.Thresholds(*task.thresholds)
    state = model.boot(machine)
    samples = [_replay_once(trace, machine, thresholds, state) for _ in range(repetitions + 1)][1:]
    return Sample(
        min(sample.events for sample in samples), min(sample.boot for sample in samples), samples[0].counters
    )


def _replay_once(trace: pba.Trace, machine: pba.Machine, thresholds: pba.Thresholds, state: State) -> Sample:
    start = time.perf_counter()
    kernel.reboot(state, LINEAR_MAPS.index(machine.linear_map) + LEAF_PMD)
    tunables, holders, events = model.prepare(trace, thresholds)
    booted = time.perf_counter()
    kernel.replay_events(state, tunables, holders, events, (0, len(trace)))
    done = time.perf_counter()
    return Sample(done - booted, booted - start, model.counters_of(state))


def program_sample(program: Path, task: Task, repetitions: int) -> Sample:
    """Let a program replay a trace some times and return the best times (boot NaN if it has none)."""
    run = yardstick.run(program, task.trace, task.machine, task.thresholds, repetitions=repetitions + 1)
    return Sample(run.result["seconds"], run.result.get("boot_seconds", float("nan")), run.result)


def timing(samples: list[Sample]) -> Timing:
    """Sum rounds up."""
    alone = [sample.events for sample in samples]
    with_boot = [sample.events + sample.boot for sample in samples]
    return Timing(min(alone), statistics.median(alone), min(with_boot), statistics.median(with_boot))


def repetitions_for(seconds: float) -> int:
    """Return how often to repeat a replay of this length in a round: for about 0.1 s, 1 to 50 times."""
    return max(1, min(50, int(0.1 / max(seconds, 1e-6))))


def compare(programs: tuple[Path, Path], task: Task, rounds: int) -> Row:
    """Time a task on all sides, taking turns, and insist that all come to the same result."""
    trace = pba.read_trace(task.trace)
    warm, first = pba_sample(trace, task, 2), program_sample(programs[0], task, 1)
    repetitions = repetitions_for(max(warm.events, first.events))
    if first.events > 1:
        rounds = min(rounds, 3)
    theirs: tuple[list[Sample], list[Sample]] = ([], [])
    ours = []
    for _ in range(rounds):
        for program, samples in zip(programs, theirs, strict=True):
            samples.append(program_sample(program, task, repetitions))
        ours.append(pba_sample(trace, task, repetitions))
    counters = ours[0].counters
    for program, samples in zip(programs, theirs, strict=True):
        insist_on_equality(task, program, counters, samples[0].counters)
    return Row(
        name=task.name,
        thresholds=str(pba.Thresholds(*task.thresholds)),
        events=len(trace),
        peak_cached=counters["peak_cached"],
        scans=counters["scan_calls"],
        pba=timing(ours),
        yardstick=timing(theirs[0]),
        best_c=timing(theirs[1]),
    )


def insist_on_equality(task: Task, program: Path, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """End the run if a program comes to another result than `pba`."""
    different = [name for name in ours if ours[name] != theirs[name]]
    if different:
        raise SystemExit(f"{task.name} {task.thresholds}: {program} differs in {', '.join(different)}")


# Whole processes, and memory


def wall_seconds(command: list[str], environment: dict[str, str], times: int) -> float:
    """Return the best wall time of a command."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - start)
    return best


def start_times(tiny: Task) -> dict[str, float]:
    """Time a first replay (everything compiled), later ones, and the help text, each a process of its own."""
    program = (
        "import pba, sys; trace = pba.read_trace(sys.argv[1]); "
        f"pba.replay(trace, pba.Thresholds(*{tiny.thresholds}), pba.Machine(*{tiny.machine}))"
    )
    command = [sys.executable, "-c", program, str(tiny.trace)]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PBA_CACHE_DIR": cache}
        first = wall_seconds(command, environment, 1)
        later = wall_seconds(command, environment, 3)
        shown = wall_seconds([str(Path(sys.executable).with_name("pba")), "--help"], environment, 5)
    return {"first_replay_seconds": first, "later_replay_seconds": later, "help_seconds": shown}


def nbytes(value: Any) -> int:
    """Return the bytes of all arrays in nested tuples."""
    if isinstance(value, tuple):
        return sum(nbytes(item) for item in value)
    return int(getattr(value, "nbytes", 0))


def memory(task: Task) -> dict[str, float]:
    """Return the bytes that an event (of the trace) and a simulated page (of the state) take."""
    trace = pba.read_trace(task.trace)
    machine = pba.Machine(*task.machine)
    state = model.boot(machine)
    _, holders, _ = model.prepare(trace, pba.Thresholds(*task.thresholds))
    return {
        "bytes_per_event": trace.nbytes / len(trace),
        "bytes_per_page": nbytes(state) / machine.memory_pages,
        "bytes_of_holders": nbytes(holders),
    }


# Printing


def table(rows: list[Row]) -> Iterator[str]:
    """Yield the table's lines: times in milliseconds, ratios of `pba` to the yardstick and the best C."""
    yield (
        f"{'trace':<20} {'thresholds':<20} {'events':>7} {'peak':>7} {'scans':>6} | "
        f"{'pba best':>9} {'median':>9} | {'yardstick':>9} {'median':>9} | {'best C':>9} {'median':>9} | "
        f"{'/yard':>6} {'median':>6} {'+boot':>6} | {'/bestC':>6} {'median':>6}"
    )
    for row in rows:
        sides = (row.pba, row.yardstick, row.best_c)
        times = " | ".join(f"{1e3 * side.best:>9.3f} {1e3 * side.median:>9.3f}" for side in sides)
        yield (
            f"{row.name:<20} {row.thresholds:<20} {row.events:>7} {row.peak_cached:>7} {row.scans:>6} | "
            f"{times} | {row.ratio:>6.2f} {row.median_ratio:>6.2f} {row.ratio_with_boot:>6.2f} | "
            f"{row.ratio_to_best_c:>6.2f} {row.median_ratio_to_best_c:>6.2f}"
        )


RATIOS = ("ratio", "median_ratio", "ratio_with_boot", "ratio_to_best_c", "median_ratio_to_best_c")


def as_json(rows: list[Row], others: dict[str, float]) -> dict[str, Any]:
    """Return everything measured, in seconds and bytes."""
    with_ratios = [{**asdict(row), **{name: getattr(row, name) for name in RATIOS}} for row in rows]
    return {"rows": with_ratios, **others}


def without_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench_replay", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--yardstick", type=Path, metavar="PROGRAM",
        help="another program with the yardstick's command line; by default yardstick.c is compiled",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="rounds for each task (default: %(default)s)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only traces with TEXT in their name")
    parser.add_argument("--replay-only", action="store_true", help="leave out start times and memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE as well")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="hold ratios against the stored ones")
    either.add_argument("--store", action="store_true", help="store the ratios, with the yardstick alone")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace, folder: Path, show: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything, showing figures as they come."""
    program = options.yardstick.resolve() if options.yardstick else yardstick.build(folder)
    programs = (program, yardstick.build(folder, yardstick.BEST))
    everything = tasks(folder)
    rows = [compare(programs, task, options.rounds) for task in everything if options.only in task.name]
    for line in table(rows):
        show(line)
    others: dict[str, float] = {}
    if not options.replay_only:
        tiny = next(task for task in everything if task.name == "tiny")
        large = next(task for task in everything if task.name == JUDGED[0])
        others = {**start_times(tiny), **memory(large)}
        for name, value in others.items():
            show(f"{name:<22} {value:.3f}")
    return without_nan(as_json(rows, others))  # type: ignore[no-any-return]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write; return the exit status."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options, Path(folder), lambda line: print(line, flush=True))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    ratios = {f"{row['name']} {row['thresholds']}": row["ratio"] for row in figures["rows"]}
    if options.store:
        baseline.store(ratios)
    return baseline.check(ratios) if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
