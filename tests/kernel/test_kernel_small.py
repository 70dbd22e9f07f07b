"""The simulated kernel on the beginning of every vector: short enough to run without the JIT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pba
from pba.analysis.live import live_pages
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_FREE, OP_SHRINK

pytestmark = pytest.mark.kernel

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
NAMES = sorted(path.name.removesuffix(".events.gz") for path in VECTORS.glob("*.events.gz"))
MOST_EVENTS = 16000


def head_of(trace: pba.Trace, events: int) -> pba.Trace:
    """Return the first events of a trace."""
    columns = {name: getattr(trace, name)[:events] for name in ("time_ns", "op", "id", "arg")}
    return pba.Trace.from_arrays(columns, trace.metadata)


def first_and_last(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return cases if len(cases) == 1 else [cases[0], cases[-1]]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_checkpoints_agree(name: str) -> None:
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    every = vector["checkpoint_every"]
    whole = max(1, MOST_EVENTS // every)
    trace = head_of(pba.read_trace(VECTORS / f"{name}.events.gz"), whole * every)
    machine = pba.Machine(**vector["machine"])
    for case in first_and_last(vector["cases"]):
        result = pba.replay(trace, pba.Thresholds(**case["thresholds"]), machine, checkpoint_every=every)
        assert result.checkpoints is not None
        expected = case["checkpoints"][:whole]
        assert expected
        assert result.checkpoints.to_dict("records") == expected


def crowded_trace(events: int) -> pba.Trace:
    """Return a trace that asks for more pages than a small machine has, with pressure in between."""
    rows = []
    for number in range(events):
        at = number * 1000
        if number % 7 == 6:
            rows.append((at, OP_SHRINK, 0, number % 13))
        elif number % 5 == 4:
            rows.append((at, OP_BG_ALLOC, number, number % 4))
        elif number % 11 == 10 and number > 40:
            rows.append((at, OP_FREE, number - 10, 0))
        else:
            rows.append((at, OP_ALLOC, number, 0))
    columns = dict(zip(("time_ns", "op", "id", "arg"), zip(*rows, strict=True), strict=True))
    return pba.Trace.from_arrays(columns)


def test_no_page_is_made_or_lost_when_memory_runs_out() -> None:
    machine = pba.Machine(4, 2048, "pmd")
    trace = crowded_trace(4000)
    result = pba.replay(trace, pba.Thresholds(0, 1, 16), machine, timeline=True)
    counters = result.counters
    assert counters["alloc_failures"] > 0
    assert counters["background_failures"] > 0
    assert result.timeline is not None
    live = int(result.timeline["live_pages"].iloc[-1])
    assert live == counters["allocs"] - counters["frees"]
    taken = sum(1 << int(order) for order in trace.arg[trace.op == OP_BG_ALLOC])
    known = live + counters["nr_cached"] + counters["free_pages"] + counters["pages_leaked"]
    rest = machine.memory_pages - known - counters["split_table_pages"]
    assert 0 < rest <= taken, "what is neither live, cached, free nor a table of a split is background"


def test_the_timeline_ends_where_the_counters_do() -> None:
    trace = pba.read_trace(VECTORS / "tiny.events.gz")
    result = pba.replay(trace, timeline=True, checkpoint_every=100)
    timeline, checkpoints = result.timeline, result.checkpoints
    assert timeline is not None
    assert checkpoints is not None
    assert len(timeline) == len(trace)
    assert timeline["time_ns"].tolist() == trace.time_ns.tolist()
    assert timeline["live_pages"].tolist() == live_pages(trace).tolist()
    for name in ("nr_cached", "pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits"):
        assert timeline[name].iloc[-1] == result.counters[name]
    at = checkpoints["event"] - 1
    assert timeline["nr_cached"].iloc[at].tolist() == checkpoints["nr_cached"].tolist()
    assert timeline["pmd_splits"].iloc[at].tolist() == checkpoints["pmd_splits"].tolist()
