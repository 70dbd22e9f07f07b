"""Small traces, studies and finished runs for the tests of `pba.study`, `pba.report` and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pba.study.result import Run
from pba.study.tune import tune
from pba.trace.metadata import Metadata, Quality, Truth
from pba.trace.table import Trace

TRACES = ("alpha", "beta")

STUDY = """\
name = "small"
description = "Two made-up traces."
traces = ["alpha.parquet", "beta.parquet"]

[space.unshrinkable_pages]
high = 1024

[space.batch]
low = 64
high = 2048

[search]
points = {points}
seed = 3
sampler = "{sampler}"
"""


def make_trace(name: str, seed: int, events: int = 1500, page_size_kib: int = 4) -> Trace:
    """Make a trace of waves: page tables come, most of them go again, and then memory gets short."""
    random = np.random.default_rng(seed)
    rows: list[tuple[int, int, int]] = []
    live: list[int] = []
    fresh = 0
    while len(rows) < events:
        for _ in range(int(random.integers(100, 900))):
            rows.append((0, fresh, 0))
            live.append(fresh)
            fresh += 1
        for _ in range(int(len(live) * random.uniform(0.5, 0.95))):
            rows.append((1, live.pop(int(random.integers(len(live)))), 0))
        for _ in range(int(random.integers(1, 12))):
            rows.append((2, 0, int(random.integers(0, 5))))
    op, ids, arg = zip(*rows[:events], strict=True)
    time_ns = np.cumsum(random.integers(1_000, 1_000_000, events))
    quality = Quality(live_at_start=7, truth=Truth(100, 99, 98) if seed % 2 else None)
    metadata = Metadata(
        name=name, source="generated", kernel="6.18.0", architecture="aarch64",
        page_size_kib=page_size_kib, memory_pages=(64 << 10) // page_size_kib, quality=quality,
    )  # fmt: skip
    return Trace.from_arrays({"time_ns": time_ns, "op": op, "id": ids, "arg": arg}, metadata)


def make_study(folder: Path, points: int = 56, sampler: str = "tpe") -> Path:
    """Write two traces (4 and 16 KiB pages) and a study of them; return the study file."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(TRACES):
        make_trace(name, seed, page_size_kib=(4, 16)[seed]).write(folder / f"{name}.parquet", force=True)
    path = folder / "small.toml"
    path.write_text(STUDY.format(points=points, sampler=sampler), encoding="utf-8")
    return path


def finished_run(folder: Path, points: int = 40) -> Run:
    """Make a small run, all the way to its end, in `folder/run`."""
    return tune(make_study(folder / "study", points, "random"), folder / "run", workers=2)
