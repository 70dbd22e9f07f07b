"""Time the engine beside C and the replay event by event: one run, one thread, warm, in turns.

    python -m tests.benchmarks.bench_engine [--only TEXT] [--rounds N] [--events N] [--json FILE]

On each recording, and on generated traces with 200 passes (`tests.benchmarks.storm`: a workload of `pba
generate` each, and a storm): one set of thresholds event by event, in C as the kernel keeps its pages
(yardstick.c), in the best C that we know (best.c) and in pba; on the composites; compiling; the whole axis
of M; and, on the recordings, a grid of 64 values of U x all of M x 16 of B. Each round takes all of them in
turn, the grid aside, which is timed once. CPU seconds are told of pba, wall seconds of C (its own best of a
few), without booting; a compiled replay counts as a whole call, with what it checks, boots and returns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

import pba
from pba import model
from pba.engine.grid import behaviours_of
from pba.kernel import replay as kernel
from tests.benchmarks import yardstick
from tests.benchmarks.storm import storm, workload

UNSHRINKABLE: Final = np.arange(0, 512, 8)
BATCHES: Final = np.array(
    [32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192]
)  # fmt: skip
"""For blocks of 512 pages; larger blocks have larger batches."""
STORM: Final = "storm"
Figures = dict[str, list[float]]


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU time that some work took."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def without_comments(path: Path) -> Path:
    """Drop comments, which may be longer than the lines that the yardstick reads; return the new file."""
    plain = path.with_suffix(".plain")
    with path.open("rb") as lines, plain.open("wb") as kept:
        kept.writelines(line for line in lines if not line.startswith(b"#"))
    path.unlink()
    return plain


class Subject:
    """A trace on its machine, with the patch's thresholds."""

    def __init__(self, trace: pba.Trace, machine: pba.Machine, folder: Path) -> None:
        self.trace, self.machine = trace, machine
        self.thresholds = pba.Thresholds.patch(machine)
        self.compiled = pba.compile_trace(trace)
        self.path = without_comments(trace.write(folder / f"{trace.name}.events"))
        self.state = model.boot(machine)

    def event_by_event(self) -> float:
        """Return the time of the events alone, replayed one by one."""
        self.state = model.boot(self.machine)
        prepared = model.prepare(self.trace, self.thresholds)
        return seconds(lambda: kernel.replay_events(self.state, *prepared, (0, len(self.trace))))

    def in_c(self, program: Path) -> float:
        """Return a C program's best time for the same."""
        machine = (self.machine.page_size_kib, self.machine.memory_pages, self.machine.linear_map)
        points = tuple(self.thresholds.to_dict().values())
        done = yardstick.run(program, self.path, machine, points, repetitions=3).result
        counters = model.counters_of(self.state)
        different = [name for name in counters if name in done and done[name] != counters[name]]
        if different or self.compiled.replay(self.thresholds, self.machine).counters != counters:
            raise SystemExit(f"{self.trace.name}: the replays differ: {', '.join(different)}")
        return float(done["seconds"])

    def explore(self, unshrinkable: Any, batch: Any) -> int:
        """Explore all M with some U and B; return how many behaviours there are."""
        every = (1, self.machine.block_nr_pages)
        return len(behaviours_of(self.compiled, self.machine, unshrinkable, batch, every).batch)

    def axis(self) -> int:
        """Explore all M with the patch's U and B."""
        return self.explore(np.array([self.thresholds.unshrinkable_pages]), np.array([self.thresholds.batch]))

    def grid(self) -> int:
        """Explore the grid."""
        return self.explore(UNSHRINKABLE, BATCHES * (self.machine.block_nr_pages // 512))

    def rounds(self, programs: dict[str, Path], times: int) -> Figures:
        """Measure all but the grid, some times over."""
        figures: Figures = {name: [] for name in ("event", *programs, "compile", "replay", "axis")}
        for _ in range(times):
            figures["event"].append(self.event_by_event())
            for name, program in programs.items():
                figures[name].append(self.in_c(program))
            figures["compile"].append(seconds(lambda: pba.compile_trace(self.trace)))
            replay = [
                seconds(lambda: pba.replay(self.compiled, self.thresholds, self.machine)) for _ in range(3)
            ]
            figures["replay"].append(min(replay))
            figures["axis"].append(seconds(self.axis))
        return figures


def ratio(figures: Figures, of: str, to: str) -> str:
    """Return how many times one is the other: of the best, of the medians, and of the worst rounds."""
    ratios = (pick(figures[of]) / pick(figures[to]) for pick in (min, statistics.median, max))
    return "/".join(f"{value:.1f}" for value in ratios)


def lines_of(name: str, row: dict[str, Any]) -> Iterator[str]:
    """Yield what was measured of one trace."""
    figures: Figures = row["seconds"]
    best = "  ".join(f"{what} {1e3 * min(values):.2f}" for what, values in figures.items())
    yield f"{name}: {row['events']} events, {row['passes']} passes; best times in ms: {best}"
    yield (
        f"    composites faster than C {ratio(figures, 'c', 'replay')} x, than the best C "
        f"{ratio(figures, 'best', 'replay')} x, than events {ratio(figures, 'event', 'replay')} x; "
        f"compile {ratio(figures, 'compile', 'event')} events; "
        f"axis of M, {row['behaviours']} behaviours, {ratio(figures, 'axis', 'replay')} replays or "
        f"{ratio(figures, 'axis', 'event')} event by event"
    )
    if "grid" in row:
        yield f"    grid {row['grid']:.2f} s, {row['grid_behaviours']} behaviours"


def names_of(options: argparse.Namespace) -> list[str]:
    """Return the recordings, and the generated traces, that are asked for."""
    from pba.generators.workloads import WORKLOADS

    generated = [*WORKLOADS, STORM] if options.events else []
    return [name for name in (*pba.recordings(), *generated) if options.only in name]


def made(name: str, events: int, folder: Path) -> Subject:
    """Return a subject by its name."""
    if name == STORM:
        return Subject(storm(events), pba.Machine(4, 1 << 18), folder)
    trace = pba.read_trace(name) if name in pba.recordings() else workload(name, events)
    return Subject(trace, pba.machine_of(trace), folder)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure everything, printing figures as they come."""
    programs = {"c": yardstick.build(folder), "best": yardstick.build(folder, yardstick.BEST)}
    rows: dict[str, Any] = {}
    for name in names_of(options):
        subject = made(name, options.events, folder)
        behaviours = subject.axis()  # the first time Numba compiles
        subject.event_by_event()
        row: dict[str, Any] = {"events": len(subject.trace)}
        row.update(passes=len(subject.compiled.composites.pass_event), behaviours=behaviours)
        row["seconds"] = subject.rounds(programs, options.rounds)
        if name in pba.recordings() and not options.no_grid:
            found: list[int] = []
            row["grid"] = seconds(lambda subject=subject, found=found: found.append(subject.grid()))
            row["grid_behaviours"] = found[0]
        rows[name] = row
        for line in lines_of(name, row):
            print(line, flush=True)
        subject.path.unlink()
    total = sum(row.get("grid", 0.0) for row in rows.values())
    print(f"the grid on all recordings: {total:.1f} CPU seconds")
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        prog="bench_engine", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each trace (default: %(default)s)")
    parser.add_argument("--events", type=int, default=5_000_000, help="of a generated trace; 0: none")
    parser.add_argument("--only", metavar="TEXT", default="", help="only traces with TEXT in their name")
    parser.add_argument("--no-grid", action="store_true", help="leave the grid out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE as well")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
