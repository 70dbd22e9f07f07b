"""Made-up runs for the tests of the report: plausible shapes, and the corners that break reports."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pba.report.document import Document
from pba.report.figures import all_pictures
from pba.report.style import Picture
from pba.report.summary import summarize_run
from pba.study.definition import StudyDefinition
from pba.study.objective import points_of
from pba.study.recommend import RULE, recommend
from pba.study.result import FLATNESS_COLUMNS, Run

NAMES = ("unshrinkable_pages", "shrink_block_min_pages", "batch")
COUNTERS = (
    "contpmd_splits", "contpte_splits", "pud_splits", "unprotect_calls", "pages_released", "shrink_calls",
    "scan_calls", "whole_blocks_released", "blocks_split_by_shrinker", "nonblock_scans",
)  # fmt: skip
TRACES = ("configure-storm", "postgres-pgbench", "chromium-pages")


def outcome(u: int, m: int, b: int, trace: int) -> dict[str, float]:
    """Invent one replay: fewer splits and more cache with a larger U and B; M matters little."""
    weight = 1 + trace
    reach = 1 / (1 + u / 64) * (1 / (1 + b / 4096)) * (1.1 if m < 16 else 1.0)
    splits = int(40 * weight * reach)
    cached = 0.3 * weight + u * 4 / 1024 * 0.8 + b / 8192 + (0.01 if m < 16 else 0)
    counters = {name: splits * (place + 1) for place, name in enumerate(COUNTERS)}
    failures = {"alloc_failures": 0, "deadlocks": 0, "pages_leaked": 0}
    return {
        **counters, **failures,
        "pmd_splits": splits, "mean_cached_mib": cached, "peak_cached_mib": 2.5 * cached,
        "mean_cached_pages": cached * 256, "block_mapped_share": 1 - splits / 1000,
    }  # fmt: skip


def traces_table(names: tuple[str, ...] = TRACES, **changes: Any) -> pd.DataFrame:
    rows = []
    for place, name in enumerate(names):
        row = {
            "trace": name, "path": f"data/{name}.parquet", "sha256": f"{place:02x}" * 32,
            "machine": "4 GiB of 4 KiB pages, pud linear map", "page_size_kib": 4, "memory_pages": 1 << 20,
            "linear_map": "pud", "events": 100_000 * (place + 1), "allocs": 51_000, "frees": 48_500,
            "passes": 40 * place, "duration_ns": 61_000_000_000 * (place + 1), "source": "tracefs",
            "kernel": "6.18.44", "architecture": "x86_64", "lost_events": 0, "unknown_frees": 0,
            "inferred_frees": 3, "live_at_start": 2113, "recall": 0.9983, "precision": 0.9991,
        }  # fmt: skip
        rows.append({**row, **changes})
    return pd.DataFrame(rows)


def make_run(
    thresholds: list[tuple[int, int, int]] | None = None,
    names: tuple[str, ...] = TRACES,
    model: Any = outcome,
    recommended: int | None = None,
    traces: pd.DataFrame | None = None,
    complete: bool = True,
) -> Run:
    """Make a run as `pba.study.result.load_run` returns it."""
    if thresholds is None:
        random = np.random.default_rng(7)
        drawn = 2 ** random.uniform([2, 0, 3], [12, 9, 13], (60, 3))
        thresholds = [(16, 64, 512), *(tuple(int(value) for value in row) for row in drawn)]
    rows = []
    for number, (u, m, b) in enumerate(thresholds):
        for place, name in enumerate(names):
            row = {"number": number, "trace": name, "unshrinkable_pages": u, "shrink_block_min_pages": m}
            rows.append({**row, "batch": b, **model(u, m, b, place)})
    per_trace = pd.DataFrame(rows).set_index(["number", "trace"])
    points = points_of(per_trace)
    front = points[points["on_front"]].sort_values(["pmd_splits", "mean_cached_pages"], kind="stable")
    chosen = recommend(points, 0) if recommended is None else recommended
    return Run(
        folder=Path("runs/made-up"),
        study=StudyDefinition(name="made-up", description="Do the thresholds matter?", points=len(points)),
        complete=complete,
        versions={"pba": "0.1.0", "python": "3.11.2", "numpy": "2.4.6", "optuna": "5.0.0"},
        command="pba tune studies/made-up.toml",
        traces=traces_table(names) if traces is None else traces,
        points=points,
        per_trace=per_trace,
        patch=0,
        recommended=chosen,
        rule=RULE,
        front=[int(number) for number in front.index],
        flatness=flatness_of(points.loc[chosen], names, model)
        if complete
        else pd.DataFrame(columns=list(FLATNESS_COLUMNS)),
    )


def flatness_of(here: pd.Series, names: tuple[str, ...], model: Any) -> pd.DataFrame:
    values = {"unshrinkable_pages": 2 ** np.arange(2, 13), "shrink_block_min_pages": 2 ** np.arange(0, 10),
              "batch": 2 ** np.arange(3, 14)}  # fmt: skip
    rows = []
    for name, tried in values.items():
        for value in tried:
            three = {**{other: int(here[other]) for other in NAMES}, name: int(value)}
            replays = [model(*(three[other] for other in NAMES), place) for place in range(len(names))]
            rows.append({
                "threshold": name, "value": int(value),
                "pmd_splits": int(sum(replay["pmd_splits"] for replay in replays)),
                "mean_cached_pages": float(np.mean([replay["mean_cached_pages"] for replay in replays])),
            })  # fmt: skip
    return pd.DataFrame(rows)


def equal_everywhere(u: int, m: int, b: int, trace: int) -> dict[str, float]:
    """A model in which no threshold does anything."""
    return {**outcome(16, 64, 512, trace), "pmd_splits": 12 * trace}


class KeptPicture(Picture):
    """A picture that is turned into SVG once: for tests that read it and do not change it."""

    def svg(self) -> str:
        if "kept" not in vars(self):
            vars(self)["kept"] = super().svg()
        return str(vars(self)["kept"])


@cache
def corner_pictures(corner: str) -> list[Picture]:
    """Draw the figures of a corner, once for all tests."""
    return [
        KeptPicture(**{item.name: getattr(picture, item.name) for item in fields(picture)})
        for picture in all_pictures(corner_runs()[corner])
    ]


@cache
def corner_document(corner: str) -> Document:
    """Write the report of a corner, once for all tests; it cannot be changed."""
    return summarize_run(corner_runs()[corner])


@cache
def corner_runs() -> dict[str, Run]:
    """Runs at the corners, by name."""
    long_names = tuple(f"{place:02d}-kernel-build-allmodconfig-under-memory-pressure" for place in range(20))
    bad = traces_table(lost_events=120, unknown_frees=7, recall=np.nan, precision=np.nan, inferred_frees=4000)
    return {
        "usual": make_run(),
        "nothing-matters": make_run(model=equal_everywhere, recommended=0),
        "one-point": make_run([(16, 64, 512)], recommended=0),
        "one-trace": make_run(names=("only",)),
        "many-long-names": make_run(names=long_names),
        "patch-recommended": make_run(recommended=0),
        "bad-data": make_run(traces=bad),
        "no-splits": make_run(model=lambda *three: {**outcome(*three), "pmd_splits": 0}),
        "incomplete": replace(make_run(complete=False), study=StudyDefinition(name="made-up", points=300)),
    }
