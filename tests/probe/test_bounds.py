"""`pba.replay_bounds`: what a replay says where a trace is imperfect."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba.analysis.faults import ALLOCATIONS, FREES, find_faults, variant
from pba.analysis.live import live_pages
from pba.cli.app import run
from pba.events import INFERRED, LEVEL_PTE, OP_ALLOC, OP_FREE
from pba.probe.bounds import METRICS, RECORDED
from pba.trace.metadata import Metadata, Quality, Truth
from pba.tracepoints.assemble import RAW_FREE, RAW_TABLE, RawEvents, assemble
from tests.traces import sawtooth

MACHINE = pba.Machine(4, 1 << 16, "pud")


def trace_of(
    *events: tuple[int, int, int, int], quality: Quality | None = None, **known: object
) -> pba.Trace:
    names = ("time_ns", "op", "id", "arg")
    columns = dict(zip(names, np.array(events).T, strict=True))
    metadata = Metadata(quality=quality or Quality(), **known)  # type: ignore[arg-type]
    return pba.Trace.from_arrays(columns, metadata)


def rows(trace: pba.Trace) -> list[tuple[int, str, int]]:
    """Return time, op and page of each event."""
    return [
        (int(time), "AFSDBb"[op], int(slot))
        for time, op, slot in zip(trace.time_ns, trace.op, trace.slot, strict=True)
    ]


def test_a_perfect_trace_says_so() -> None:
    bounds = pba.replay_bounds(sawtooth(), machine=MACHINE)
    assert bounds.is_perfect
    assert bounds.sentences() == ["the trace is perfect as far as it says: lower and upper are as recorded"]
    frame = bounds.to_frame()
    assert (frame.lower == frame.recorded).all()
    assert (frame.upper == frame.recorded).all()
    assert list(frame.index) == list(METRICS)
    result = pba.replay(sawtooth(), machine=MACHINE)
    assert frame.recorded["pmd_splits"] == result.counters["pmd_splits"]
    assert frame.recorded["mean_cached_pages"] == result.mean_cached_pages


def test_an_inferred_free_happens_at_any_time_since_its_allocation() -> None:
    trace = trace_of((10, 0, 1, 0), (20, 0, 2, 0), (40, 1, 1, INFERRED), (40, 0, 3, 0), (50, 1, 2, 0))
    faults = find_faults(trace)
    assert faults.inferred.tolist() == [2]
    late, half, at_once = (variant(trace, faults, frees, ALLOCATIONS[0]) for frees in FREES)
    assert rows(late) == rows(trace)
    assert [row[:2] for row in rows(half)] == [(10, "A"), (20, "A"), (25, "F"), (40, "A"), (50, "F")]
    assert [row[:2] for row in rows(at_once)] == [(10, "A"), (10, "F"), (20, "A"), (40, "A"), (50, "F")]
    assert live_pages(half).tolist() == [1, 2, 1, 2, 1]
    assert live_pages(at_once).tolist() == [1, 0, 1, 2, 1]


@pytest.mark.parametrize(
    ("quality", "source", "suspects"),
    [
        (Quality(), "tracefs", 0),
        (Quality(lost_events=1), "tracefs", 2),
        (Quality(lost_events=9), "tracefs", 3),
        (Quality(inferred_frees=1), "tracefs", 3),
        (Quality(), "perf", 3),
        (Quality(inferred_frees=1, truth=Truth(2, 3, 2)), "tracefs", 1),
        (Quality(lost_events=5, truth=Truth(3, 3, 3)), "tracefs", 0),
    ],
)
def test_how_many_pages_live_at_the_end_may_have_lost_their_frees(
    quality: Quality, source: str, suspects: int
) -> None:
    trace = trace_of(
        (10, 0, 1, 0), (20, 0, 2, 0), (30, 0, 3, 0), (40, 2, 0, 0), quality=quality, source=source
    )
    assert find_faults(trace).suspects.tolist() == list(range(suspects))


def test_an_unmatched_free_was_live_or_its_allocation_is_lost() -> None:
    trace = trace_of((10, 0, 1, 0), (20, 1, 1, 0), (30, 1, 1, 0), (40, 2, 0, 3), (50, 1, 7, 0), (60, 0, 7, 0))
    faults = find_faults(trace)
    assert faults.unmatched.tolist() == [2, 4]
    start = variant(trace, faults, "late", "at the start")
    # 7 was live from the first instant on, 1 since its own free before.
    assert [row[:2] for row in rows(start)] == [
        (10, "A"), (10, "A"), (20, "F"), (20, "A"), (30, "F"), (40, "S"), (50, "F"), (60, "A"),
    ]  # fmt: skip
    assert start.unknown_frees == 0
    before = variant(trace, faults, "late", "just before")
    assert [row[:2] for row in rows(before)] == [
        (10, "A"), (20, "F"), (30, "A"), (30, "F"), (40, "S"), (50, "A"), (50, "F"), (60, "A"),
    ]  # fmt: skip
    bounds = pba.replay_bounds(trace, machine=MACHINE)
    assert len(bounds.figures) == 3
    assert bounds.to_frame().loc["peak_live_pages", ["recorded", "lower", "upper"]].tolist() == [1, 1, 2]


def test_pages_that_the_kernel_knew_alone_are_added() -> None:
    quality = Quality(truth=Truth(true_pages=4, recorded_pages=2, common_pages=2))
    trace = trace_of((10, 0, 1, 0), (20, 0, 2, 0), quality=quality)
    bounds = pba.replay_bounds(trace, machine=MACHINE)
    assert bounds.faults.missed_pages == 2
    assert bounds.to_frame().loc["peak_live_pages", ["lower", "upper"]].tolist() == [2, 4]


def test_what_cannot_be_bounded_is_said() -> None:
    quality = Quality(
        live_at_start=None,
        lost_events=3,
        unparsed_lines=2,
        unknown_frees=4,
        inferred_frees=5,
        visits_rule="a rule",
    )
    trace = trace_of((10, 0, 1, 0), (20, 5, 2, 0), quality=quality, source="ftrace")
    bounds = pba.replay_bounds(trace, machine=MACHINE)
    assert not bounds.is_perfect
    said = "\n".join(bounds.faults.unbounded)
    for part in (
        "3 events are lost: shrinker passes may be among them", "2 lines of the source",
        "pages live when the recording began are unknown", "4 unmatched frees",
        "5 inferred frees are not marked here", "1 background chunks", "left no line",
    ):  # fmt: skip
        assert part in said
    assert all(f"not bounded: {text}" in bounds.sentences() for text in bounds.faults.unbounded)


def test_inferred_frees_of_old_files_are_found_by_their_page_frames() -> None:
    trace = pba.read_trace("configure-x86")
    faults = find_faults(trace)
    assert len(faults.inferred) == trace.metadata.quality.inferred_frees > 0
    assert (trace.op[faults.inferred] == OP_FREE).all()
    assert (trace.pfn[faults.inferred] == trace.pfn[faults.inferred + 1]).all()


def test_marks_survive_the_stored_form_and_cuts(tmp_path: Path) -> None:
    raw = RawEvents(
        np.array([0, 5, 9, 12]),
        np.array([RAW_TABLE, RAW_TABLE, RAW_FREE, RAW_TABLE], np.int8),
        np.array([7, 7, 7, 8]),
        np.full(4, LEVEL_PTE, np.int8),
    )
    trace = assemble(raw, Metadata())
    assert trace.arg.tolist() == [0, INFERRED, 0, 0, 0]
    again = pba.read_trace(trace.write(tmp_path / "x.parquet"))
    assert find_faults(again).inferred.tolist() == [1]
    assert find_faults(pba.cut(again, 1)).inferred.tolist() == [1]
    assert find_faults(pba.join([again, again])).inferred.tolist() == [1, 6]


events = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=60)


def _truth(drawn: list[tuple[int, int, bool]]) -> list[tuple[int, int, int, bool]]:
    """Return what happened (time, op, page) and whether the recording misses it; pages come and go."""
    live: set[int] = set()
    found, now = [], 0
    for step, page, is_lost in drawn:
        now += step
        op = OP_FREE if page in live else OP_ALLOC
        live ^= {page}
        found.append((now, op, page, is_lost))
    return found


def _live_at(trace: pba.Trace, times: np.ndarray) -> np.ndarray:
    """Return the live pages after all events of each time."""
    after = np.searchsorted(trace.time_ns, times, "right")
    return np.concatenate([[0], live_pages(trace)])[after]


@settings(max_examples=200, deadline=None)
@given(drawn=events, start=st.integers(0, 2))
def test_live_pages_lie_between_the_bounds_whatever_is_lost(drawn: list, start: int) -> None:
    truth = _truth(drawn)
    seen = [(0, OP_ALLOC, 9, False), *(row for row in truth if row[1] == OP_ALLOC or not row[3])]
    kinds = [RAW_TABLE if op == OP_ALLOC else RAW_FREE for _, op, _, _ in seen]
    raw = RawEvents(
        np.array([row[0] for row in seen], np.int64),
        np.array(kinds, np.int8),
        np.array([row[2] for row in seen], np.int64),
        np.full(len(seen), LEVEL_PTE, np.int8),
    )
    lost = sum(row[1] == OP_FREE and row[3] for row in truth)
    trace = assemble(raw, Metadata(quality=Quality(lost_events=lost)))
    # The allocations of the first pages are lost too: their frees, where seen, are unmatched.
    freed = set(trace.id[trace.op == OP_FREE].tolist())
    gone = [at for at in np.flatnonzero(trace.op == OP_ALLOC) if int(trace.id[at]) in freed][:start]
    columns = {name: np.delete(getattr(trace, name), gone) for name in ("time_ns", "op", "id", "arg", "pfn")}
    trace = pba.Trace.from_arrays(columns, trace.metadata)
    faults = find_faults(trace)
    assert len(faults.inferred) + len(faults.unmatched) >= trace.metadata.quality.inferred_frees
    times = np.unique([row[0] for row in truth])
    happened = [1 + sum(1 if row[1] == OP_ALLOC else -1 for row in truth if row[0] <= time) for time in times]
    fewest = _live_at(variant(trace, faults, "at once", ALLOCATIONS[0]), times)
    most = _live_at(variant(trace, faults, "late", "at the start"), times)
    assert (fewest <= happened).all()
    assert (happened <= most).all()


@settings(max_examples=60, deadline=None)
@given(drawn=events, lost=st.sampled_from([0, 1, 50]))
def test_every_variant_keeps_what_is_certain(drawn: list, lost: int) -> None:
    rows_ = [
        (time, op, page, INFERRED * (is_lost and op == OP_FREE)) for time, op, page, is_lost in _truth(drawn)
    ]
    rows_ += [(rows_[-1][0] + 5, 1, 30, 0), (rows_[-1][0] + 6, 2, 0, 1)]
    trace = trace_of(*rows_, quality=Quality(lost_events=lost))
    faults = find_faults(trace)
    for frees, allocations in faults.choices():
        made = variant(trace, faults, frees, allocations)
        assert made.counts()["S"] == 1
        assert made.unknown_frees == (1 if allocations == "left out" else 0)
        added = 0 if frees == "late" else len(faults.suspects)
        assert made.counts()["F"] == trace.counts()["F"] + added
        assert made.duration_ns == trace.duration_ns
    bounds = pba.replay_bounds(trace, machine=MACHINE)
    frame = bounds.to_frame()
    assert (frame.lower <= frame.recorded).all()
    assert (frame.recorded <= frame.upper).all()
    for name, row in frame.iterrows():
        assert bounds.figures[row.lower_in][name] == row.lower
        assert bounds.figures[row.upper_in][name] == row.upper
    assert bounds.variants_frame().loc[RECORDED, "pmd_splits"] == frame.recorded["pmd_splits"]


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = replace(sawtooth(), metadata=Metadata(quality=Quality(lost_events=40)))
    path = trace.write(tmp_path / "lossy.parquet")
    assert run(["replay", str(path), "--bounds"]) == 0
    shown = capsys.readouterr().out
    assert "pages live at the end whose frees may be lost: 20; 3 variants of the trace were" in shown
    assert "not bounded: 40 events are lost" in shown
    assert run(["replay", str(path), "--bounds", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    bounds = pba.replay_bounds(pba.read_trace(path))
    assert told == json.loads(bounds.to_json())
    assert told["faults"]["suspected_frees"] == 20
    assert isinstance(told["metrics"]["pmd_splits"]["upper"], int)
    assert "<li>not bounded: 40 events" in bounds._repr_html_()
