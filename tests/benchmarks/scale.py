"""How the engine's cost grows: with events, passes, live pages, cache size, memory size and number of points.

    python -m tests.benchmarks.scale [--only CURVE] [--json FILE] [--svg FILE]
    python -m tests.benchmarks.scale --one '{"events": 100000000}'     # a single case, in this process
    python -m tests.benchmarks.scale --from FILE --svg FILE             # redraw the curves

Each case is a process of its own, at nice 10 and within 8 GiB of address space: it generates the trace
(`tests.benchmarks.storm`), compiles it, and takes CPU seconds (the best of a few) of a replay event by
event, of one on the composites, and of all points of a grid at once. Peak memory is the whole process's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from pba.files import replacing

ADDRESS_SPACE: Final = 8 << 30
BASE: Final[dict[str, int]] = {
    "events": 1_000_000, "passes": 200, "base": 20_000, "memory_pages": 1 << 18, "unshrinkable": 16,
    "points": 512,
}  # fmt: skip
"""A case, but for what a curve changes: `base` long-lived tables, U, and how many points are explored."""
CURVES: Final[dict[str, tuple[int, ...]]] = {
    "events": (250_000, 1_000_000, 4_000_000, 16_000_000),
    "passes": (10, 50, 200, 1_000, 5_000),
    "base": (2_000, 10_000, 50_000, 150_000),
    "unshrinkable": (0, 1_000, 4_000, 16_000),
    "memory_pages": (1 << 16, 1 << 18, 1 << 20, 1 << 22),
    "points": (1, 512, 4_096, 32_768),
}
WORDS: Final = {
    "events": "events", "passes": "passes", "base": "long-lived page tables", "points": "points of the grid",
    "unshrinkable": "U: pages that stay cached", "memory_pages": "memory, pages of 4 KiB",
}  # fmt: skip
TIMES: Final = {
    "compile": "compiling",
    "event_by_event": "a replay event by event",
    "replay": "a compiled replay",
    "explore": "all points",
}


def cpu_seconds(work: Callable[[], Any], rounds: int = 1) -> float:
    """Return the least CPU time that some work took."""
    taken = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        taken.append(time.thread_time() - start)
    return min(taken)


def copy_gb_per_second() -> float:
    """Return how many GB a second one core reads and writes when it copies what no cache of it holds."""
    source = np.ones(1 << 26, np.int64)
    target = np.zeros_like(source)
    return 2 * source.nbytes / 1e9 / cpu_seconds(lambda: np.copyto(target, source), 3)


def grid_of(case: dict[str, int]) -> tuple[Any, Any, tuple[int, int]]:
    """Return so many points: all values of M for up to 8 values of U, and for as many of B as that takes."""
    pairs = max(case["points"] // 512, 1)
    unshrinkable = case["unshrinkable"] + 8 * np.arange(min(pairs, 8))
    batch = 512 + 64 * np.arange(-(-pairs // 8))
    return unshrinkable, batch, (1, 512) if case["points"] > 1 else (64, 64)


def measure(case: dict[str, int]) -> dict[str, Any]:
    """Measure one case in this process."""
    import pba
    from pba.engine.grid import behaviours_of
    from tests.benchmarks.storm import storm

    machine = pba.Machine(4, case["memory_pages"])
    thresholds = pba.Thresholds(case["unshrinkable"], 64, 512)
    grid = grid_of(case)
    first = storm(30_000)
    behaviours_of(pba.compile_trace(first), machine, *grid)  # Numba compiles
    pba.replay(first, thresholds, machine)
    start = time.thread_time()
    trace = storm(case["events"], case["passes"], base=case["base"])
    made = time.thread_time() - start
    results: list[Any] = []
    event_by_event = cpu_seconds(lambda: results.append(pba.replay(trace, thresholds, machine)), 3)
    expected = results[0].counters
    parts: list[Any] = []
    compiling = cpu_seconds(
        lambda: parts.append(pba.compile_trace(trace)), 1 + (case["events"] <= 16_000_000)
    )
    compiled = parts[-1]
    if pba.replay(compiled, thresholds, machine).counters != expected:
        raise SystemExit("the compiled trace's counters differ")
    found: list[Any] = []
    exploring = cpu_seconds(lambda: found.append(behaviours_of(compiled, machine, *grid)))
    return {
        **case,
        "generate": made,
        "compile": compiling,
        "event_by_event": event_by_event,
        "replay": cpu_seconds(lambda: pba.replay(compiled, thresholds, machine), 3),
        "explore": exploring,
        "behaviours": len(found[0].batch),
        "scans": expected["scan_calls"],
        "peak_cached": expected["peak_cached"],
        "bytes_per_event": compiled.nbytes / case["events"],
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "copy_gb_per_second": copy_gb_per_second(),
    }


def limit() -> None:
    """Be polite, and stay within the address space."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def one(case: dict[str, int]) -> dict[str, Any]:
    """Measure one case in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--one", json.dumps(case)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the curves side by side as SVG: CPU seconds over what was changed, both logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "pba"  # the same figures give the same bytes
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 3, figsize=(11, 6), sharey=True, layout="constrained")
    for axes, (name, rows) in zip(grid.flat, curves.items(), strict=False):
        for what, label in TIMES.items():
            axes.plot([row[name] for row in rows], [row[what] for row in rows], "o-", label=label)
        axes.set(xlabel=WORDS[name], yscale="log")
        axes.set_xscale("symlog" if min(row[name] for row in rows) == 0 else "log")
        axes.grid(alpha=0.3)
    figure.supylabel("CPU seconds")
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(TIMES))
    with replacing(path, force=True) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Measure what was asked for, print it, and write and draw it."""
    parser = argparse.ArgumentParser(prog="scale", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--one", metavar="JSON", help="measure one case here, and print it as JSON")
    parser.add_argument("--only", choices=CURVES, help="only this curve")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="figures measured before")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the curves")
    options = parser.parse_args(arguments)
    if options.one:
        limit()
        print(json.dumps(measure({**BASE, **json.loads(options.one)})))
        return
    curves: dict[str, list[dict[str, Any]]] = json.loads(options.source.read_text()) if options.source else {}
    for name in [] if options.source else [options.only] if options.only else CURVES:
        curves[name] = []
        for value in CURVES[name]:
            row = one({**BASE, name: value})
            curves[name].append(row)
            times = "  ".join(f"{what} {1e3 * row[what]:9.2f} ms" for what in TIMES)
            print(f"{name:<13} {value:>9}  {times}  behaviours {row['behaviours']:>4}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(curves, indent=1) + "\n")
    if options.svg:
        draw(curves, options.svg)


if __name__ == "__main__":
    main()
