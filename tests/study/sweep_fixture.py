"""A small sweep, and a script that runs one so slowly that it can be stopped half-way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pba
from pba.study.sweep.grid import Grid
from pba.study.sweep.parts import PART_SUFFIX
from tests.study.study_fixture import make_trace

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid("0:200:8", "60:70", "16,64,512")
"""Four chunks of U on each trace."""

SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
from pba.study.sweep import tasks
fast = tasks.behaviours_of
def slow(*args, **options):
    time.sleep(1.0)
    return fast(*args, **options)
tasks.behaviours_of = slow
from pba.cli.app import run as pba
sys.exit(pba(sys.argv[1:]))
"""


def write_traces(folder: Path) -> list[str]:
    """Write two traces and return their paths."""
    paths = []
    for seed, name in enumerate(("alpha", "beta")):
        paths.append(str(make_trace(name, seed, events=600).write(folder / f"{name}.parquet")))
    return paths


def arguments(traces: list[str], folder: Path) -> list[str]:
    """Return the command line that sweeps `GRID`."""
    axes = GRID.to_dict()
    return [
        "sweep", *traces, "-U", axes["unshrinkable_pages"], "-M", axes["shrink_block_min_pages"],
        "--batch", axes["batch"], "-o", str(folder),
    ]  # fmt: skip


def begun(words: list[str], folder: Path, parts: int, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """Start a slow sweep and return once so many of its parts are there."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *words, "--workers", "1"], cwd=cwd, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    for _ in range(1200):
        if len(list((folder / "parts").glob(f"*{PART_SUFFIX}"))) >= parts:
            return process
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the sweep did not begin in a minute")


def small_sweep(folder: Path | None = None, workers: int | None = None, **options: Any) -> pba.SweepResult:
    """Sweep the two traces, the second on 16 KiB pages."""
    traces = [make_trace("alpha", 0, events=600), make_trace("beta", 1, events=600, page_size_kib=16)]
    return pba.sweep(traces, GRID, folder=folder, workers=workers, **options)
