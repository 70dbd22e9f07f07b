"""Made-up runs for the tests of the report: plausible shapes, and the corners that break reports."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pba.report.document import Document
from pba.report.figures import all_pictures
from pba.report.style import Picture, kept
from pba.report.summary import summarize_run
from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.decision.decide import decide, decide_from_table, maps
from pba.study.decision.decision import Question
from pba.study.definition import Choice, StudyDefinition
from pba.study.result import Run, assemble_run
from pba.study.space import ALTERNATIVES, Point
from tests.study.decision.decision_fixture import MadeOutcomes

NAMES = ("unshrinkable_pages", "shrink_block_min_pages", "batch")
COUNTERS = (
    "contpmd_splits", "contpte_splits", "pud_splits", "unprotect_calls", "pages_released", "shrink_calls",
    "scan_calls", "whole_blocks_released", "blocks_split_by_shrinker", "nonblock_scans",
)  # fmt: skip
TRACES = ("configure-storm", "postgres-pgbench", "chromium-pages")


def outcome(u: int, m: int, b: int, trace: int) -> dict[str, float]:
    """Invent one replay: fewer splits and more cache with a larger U and B; fewer splits alone with M of half a
    block and more, but not of a whole one.
    """
    weight = 1 + trace
    reach = 1 / (1 + u / 64) * (1 / (1 + b / 4096)) * (1.1 if m < 16 else 0.6 if 256 <= m < 512 else 1.0)
    splits = int(40 * weight * reach)
    cached = 0.3 * weight + u * 4 / 1024 * 0.8 + b / 8192 + (0.01 if m < 16 or m == 512 else 0)
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
    names: tuple[str, ...] = TRACES,
    model: Any = outcome,
    traces: pd.DataFrame | None = None,
    complete: bool = True,
    thresholds: list[tuple[int, int, int]] | None = None,
    groups: dict[str, list[str]] | None = None,
    aims: tuple[Aim, ...] = DEFAULT_AIMS,
    swept: bool = True,
    held_out: tuple[str, ...] = (),
    choice: Choice | None = None,
) -> Run:
    """Make a run as `pba.study.result.load_run` returns it: `decide` itself makes its decision."""
    if thresholds is None:
        random = np.random.default_rng(7)
        drawn = 2 ** random.uniform([2, 0, 3], [12, 9, 13], (57, 3))
        thresholds = [tuple(int(value) for value in row) for row in drawn]
    tried = list(dict.fromkeys([*(one.point for one in ALTERNATIVES), *(Point(*row) for row in thresholds)]))
    study = StudyDefinition(
        name="made-up", description="Do the thresholds matter?", points=len(tried), aims=aims,
        choice=choice or Choice(),
    )  # fmt: skip

    def kept(point: Point, place: int) -> dict[str, float]:
        row = model(min(point.unshrinkable_pages, 1 << 20), point.shrink_block_min_pages, point.batch, place)
        return {**row, **{aim.name: aim.of(row) for aim in aims}}

    question = Question(
        aims,
        study.choice,
        {},
        groups or {},
        dict(zip(names, traces_table(names)["passes"].tolist(), strict=True)),
    )
    outcomes = MadeOutcomes(kept, names)
    decision = None
    points = list(tried)
    if complete and swept:
        others = MadeOutcomes(lambda point, at: kept(point, at + 5), held_out)
        held = (list(held_out), others.measure) if held_out else None
        table = per_trace_of(tried, names, kept, len(tried))
        decision = decide(question, outcomes, outcomes.measure, table, held)
    elif complete:
        table = per_trace_of(tried, names, kept, len(tried))
        decision = decide_from_table(question, table, list(names), outcomes.measure)
    if decision is not None:
        named = [decision.recommended, *([decision.passed_over.point] if decision.passed_over else [])]
        points += [point for point in named if point not in tried]
    record = {
        "traces": [
            {**row, "held_out": False}
            for row in (traces_table(names) if traces is None else traces).to_dict("records")
        ]
        + [{**row, "held_out": True} for row in traces_table(held_out).to_dict("records")],
        "versions": {"pba": "0.1.0", "python": "3.11.2", "numpy": "2.4.6", "optuna": "5.0.0"},
        "command": "pba tune studies/made-up.toml",
    }
    per_trace = per_trace_of(points, names, kept, len(tried))
    shown = maps(question, outcomes) if complete and swept else None
    return assemble_run(Path("runs/made-up"), study, record, per_trace, decision, shown)


def per_trace_of(points: list[Point], names: tuple[str, ...], kept: Any, searched: int) -> pd.DataFrame:
    """Return the table of replays of points."""
    rows = [
        {
            "number": number,
            "trace": name,
            **point._asdict(),
            **kept(point, place),
            "searched": number < searched,
        }
        for number, point in enumerate(points)
        for place, name in enumerate(names)
    ]
    return pd.DataFrame(rows).set_index(["number", "trace"])


def equal_everywhere(u: int, m: int, b: int, trace: int) -> dict[str, float]:
    """A model in which no threshold does anything."""
    return {**outcome(16, 64, 512, trace), "pmd_splits": 12 * trace}


def luck(u: int, m: int, b: int, trace: int) -> dict[str, float]:
    """A model in which other thresholds help on one recording alone, which proves nothing."""
    lucky = trace == 3 and u == 64
    return {**outcome(16, 64, 512, trace), "pmd_splits": 0 if lucky else 30, "mean_cached_pages": 10.0}


@cache
def corner_pictures(corner: str) -> list[Picture]:
    """Draw the figures of a corner, once for all tests."""
    return [kept(picture) for picture in all_pictures(corner_runs()[corner])]


@cache
def corner_document(corner: str) -> Document:
    """Write the report of a corner, once for all tests; it cannot be changed."""
    return summarize_run(corner_runs()[corner])


@cache
def corner_runs() -> dict[str, Run]:
    """Runs at the corners, by name."""
    long_names = tuple(f"{place:02d}-kernel-build-allmodconfig-under-memory-pressure" for place in range(20))
    bad = traces_table(lost_events=120, unknown_frees=7, recall=np.nan, precision=np.nan, inferred_frees=4000)
    share = Aim(
        "kept", "share", "maximize", "worst", label="share kept", figure=lambda row: row["block_mapped_share"]
    )
    groups = {"small": ["configure-storm"], "large": ["postgres-pgbench", "chromium-pages"]}
    return {
        "usual": make_run(groups=groups),
        "nothing-matters": make_run(model=equal_everywhere),
        "one-point": make_run(thresholds=[(16, 64, 512)]),
        "one-trace": make_run(names=("only",)),
        "many-long-names": make_run(names=long_names),
        "three-aims": make_run(aims=(*DEFAULT_AIMS, share), held_out=("another", "more")),
        "without-a-sweep": make_run(swept=False),
        "bad-data": make_run(traces=bad),
        "luck": make_run(
            names=tuple(f"r{place}" for place in range(12)), model=luck, choice=Choice(loss=0.0)
        ),
        "no-splits": make_run(model=lambda *three: {**outcome(*three), "pmd_splits": 0}),
        "incomplete": replace(make_run(complete=False), study=StudyDefinition(name="made-up", points=300)),
    }
