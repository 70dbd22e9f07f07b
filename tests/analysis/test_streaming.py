"""A summary counted block by block has the figures of the tables, which have the whole trace in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pba
from pba.analysis.bursts import percentile, runs
from pba.analysis.drawdown import natural_cache_pages
from pba.analysis.lifetimes import LifetimeTally, lifetimes, median_lifetime_ns, survival
from pba.analysis.live import live_pages, live_table
from pba.analysis.phases import PHASE_WINDOWS, phases_table
from pba.analysis.summary import Summary, summarize_blocks, summarize_trace
from pba.cli.app import run
from pba.errors import TraceError
from pba.events import LEVELS, OP_ALLOC, OP_FREE, OP_SHRINK
from pba.machine import ORDERS
from pba.trace.forms.blocks import Blocks, blocks_of, parquet_blocks
from pba.trace.live import LiveIds
from pba.trace.metadata import Metadata, Quality
from pba.trace.ops import extent
from pba.trace.table import DTYPES

A, F, S, D, B, b = range(6)
RECORDINGS = pba.recordings()


def in_memory(trace: pba.Trace) -> dict[str, Any]:
    """Return the figures of a summary from whole columns."""
    live, (start, end) = live_pages(trace), extent(trace)
    allocs = trace.op == OP_ALLOC
    levels = np.bincount(
        trace.level[allocs] if len(trace.level) else np.zeros(allocs.sum(), int), minlength=7
    )
    passes = np.bincount(trace.arg[trace.op == OP_SHRINK])
    rows = phases_table(trace).to_dict("list")
    return {
        "events": len(trace),
        "duration_ns": end - start,
        "first_event_ns": int(trace.time_ns[0]) - start if len(trace) else 0,
        "last_event_ns": int(trace.time_ns[-1]) - start if len(trace) else 0,
        "ops": trace.counts(),
        "levels": {
            LEVELS[code] or "unknown": int(levels[code]) for code in (*range(1, 7), 0) if levels[code]
        },
        "live_start_pages": trace.metadata.quality.live_at_start,
        "live_peak_pages": int(live.max(initial=0)),
        "live_end_pages": int(live[-1]) if len(live) else 0,
        "passes": {at: int(number) for at, number in enumerate(passes) if number},
        "unknown_frees": trace.unknown_frees,
        "touched": touched(trace),
        "demand": (
            median_lifetime_ns(trace),
            percentile(runs(trace, OP_FREE), 0.99),
            natural_cache_pages(trace),
        ),
        "phases": [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)],
        "live_pages": live_table(trace, PHASE_WINDOWS).total.tolist() if trace.duration_ns else [],
    }


def touched(trace: pba.Trace) -> tuple[int, int] | None:
    if not len(trace.pfn) or trace.metadata.page_size_kib not in ORDERS:
        return None
    pages = {int(pfn) for pfn in trace.pfn[trace.op == OP_ALLOC] if pfn != -1}
    order = ORDERS[trace.metadata.page_size_kib].block
    return len(pages), len({pfn >> order for pfn in pages})


def figures(summary: Summary) -> dict[str, Any]:
    """Return a summary in the shape of `in_memory`."""
    blocks, demand = summary.blocks, summary.demand
    found = {name: getattr(summary, name) for name in Summary.__annotations__}
    del found["metadata"], found["blocks"]
    found["touched"] = None if blocks is None else (blocks.distinct_pages, blocks.touched_blocks)
    found["demand"] = (demand.median_lifetime_ns, demand.p99_free_burst_pages, demand.natural_cache_pages)
    found["phases"], found["live_pages"] = list(summary.phases), list(summary.live_pages)
    return found


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_read_in_blocks_has_the_figures_of_the_tables(name: str) -> None:
    trace = pba.read_trace(name)
    summary = summarize_blocks(parquet_blocks(RECORDINGS[name]))
    assert figures(summary) == in_memory(trace)
    assert summary.metadata == trace.metadata
    assert figures(summarize_trace(trace)) == figures(summary)


@st.composite
def any_columns(draw: st.DrawFn) -> tuple[dict[str, Any], Metadata]:
    """Return columns of events that seldom contradict each other, and what is known about them."""
    live: dict[int, set[int]] = {A: set(), B: set()}
    start = draw(st.integers(0, 3))
    rows: list[tuple[int, ...]] = [(5, A, 100 + page, 0, page, page) for page in range(start)]
    live[A] |= {100 + page for page in range(start)}
    now = 5
    for _ in range(draw(st.integers(0, 60))):
        now += draw(st.sampled_from([0, 0, 1, 3, 1000, 1_000_000, 1_000_001, 1 << 30, 17 << 30, 1 << 45]))
        op = draw(st.sampled_from([A, A, A, F, F, F, S, D, B, b]))
        allocates = A if op in (A, F) else B
        page = draw(st.sampled_from([0, 1, 2, 7, 1 << 20, (1 << 31) - 1, *sorted(live[allocates])]))
        if op in (A, B) and page in live[allocates]:
            continue
        if op in (A, B):
            live[allocates] |= {page}
        elif op in (F, b):
            live[allocates] -= {page}
        argument = draw(st.integers(0, 9)) if op in (S, B) else 0
        level, pfn = draw(st.integers(0, 6)), draw(st.sampled_from([-1, 0, 511, 512, 1 << 40]))
        rows.append((now, op, 0 if op in (S, D) else page, argument, level, pfn))
    columns = {
        name: np.array([row[at] for row in rows], dtype) for at, (name, dtype) in enumerate(DTYPES.items())
    }
    for name in draw(st.sets(st.sampled_from(["level", "pfn"]))):
        columns[name] = columns[name][:0]
    page_size = draw(st.sampled_from([None, 4, 64]))
    known = draw(st.sampled_from([start, start, 0, None]))
    return columns, Metadata(name="any", page_size_kib=page_size, quality=Quality(live_at_start=known))


@settings(deadline=None)
@given(any_columns(), st.integers(1, 9))
def test_any_trace_in_small_blocks_has_the_figures_of_the_tables(
    made: tuple[dict[str, Any], Metadata], events: int
) -> None:
    trace = pba.Trace.from_arrays(*made)
    summary = summarize_blocks(blocks_of(trace, events))
    assert figures(summary) == in_memory(trace)
    age_ns, _, _, share = survival(*lifetimes(trace)[:2])
    reached = np.flatnonzero(share <= 0.5 + 1e-12)
    assert summary.demand.median_lifetime_ns == (int(age_ns[reached[0]]) if len(reached) else None)


@settings(deadline=None)
@given(any_columns(), st.integers(1, 9), st.data())
def test_damaged_events_are_refused_as_in_a_whole_trace(
    made: tuple[dict[str, Any], Metadata], events: int, data: st.DataObject
) -> None:
    columns, _ = made
    length = len(columns["op"])
    for _ in range(data.draw(st.integers(0, 3)) if length else 0):
        name = data.draw(st.sampled_from(["time_ns", "op", "id", "arg"]))
        values = [-1, 0, 2, 6, 14, 100] + ([1 << 62] if name == "time_ns" else [])
        columns[name][data.draw(st.integers(0, length - 1))] = data.draw(st.sampled_from(values))
    whole = blockwise = None
    try:
        trace = pba.Trace.from_arrays(columns)
    except TraceError as error:
        whole = error
    live, unknown = LiveIds(), 0
    try:
        for at in range(0, length, events):
            live.take({name: values[at : at + events] for name, values in columns.items()})
        unknown = live.unknown_frees
    except TraceError as error:
        blockwise = error
    if whole is None:
        assert blockwise is None
        assert unknown == trace.unknown_frees
    elif "out of range" not in whole.message or "time" not in whole.message:  # it looks at all times first
        assert blockwise is not None
        assert (blockwise.message, blockwise.hint, blockwise.event) == (
            whole.message,
            whole.hint,
            whole.event,
        )
    else:
        assert blockwise is not None


@pytest.mark.parametrize("stride", [1, 1 << 8, 1 << 16])
def test_the_table_of_what_is_live_grows(stride: int) -> None:
    rng = np.random.default_rng(stride)
    pages = np.arange(30_000) * stride
    order = np.concatenate([rng.permutation(pages), rng.permutation(pages)[:29_000]])
    op = np.repeat([A, F], [30_000, 29_000])
    columns = {"time_ns": np.arange(59_000) * 7, "op": op, "id": order, "arg": op * 0}
    trace = pba.Trace.from_arrays(columns)
    assert figures(summarize_trace(trace)) == in_memory(trace)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 1 << 46), max_size=40),
    st.lists(st.integers(0, 1 << 46), max_size=20),
)
@example([5] * 3, [5] * 3)
@example([(1 << 45) + 1, (1 << 45) + 2, (1 << 45) + 3], [])
@example([10, 20], [15, 15])
def test_the_median_lifetime_is_that_of_kaplan_and_meier(died: list[int], censored: list[int]) -> None:
    ages = np.array(died, np.int64)
    tally = LifetimeTally()
    tally.take(np.ones(len(died) + len(censored), np.int8), ages)
    found = tally.median_ns(np.sort(np.array(censored, np.int64)), lambda: iter([ages]))
    freed = np.repeat([True, False], [len(died), len(censored)])
    age_ns, _, _, share = survival(np.array(died + censored, np.int64), freed)
    reached = np.flatnonzero(share <= 0.5 + 1e-12)
    assert found == (int(age_ns[reached[0]]) if len(reached) else None)


def storm(blocks: int) -> Blocks:
    """Return blocks of events, made when they are asked for, whose ids and lifetimes never come again."""
    events = 1 << 16

    def read(names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        op = np.tile(np.array([A, F], np.int8), events // 2)
        for at in range(blocks):
            number = np.arange(events, dtype=np.int64) + at * events
            columns = {"time_ns": number * 1000 + number % 997, "op": op, "arg": op * 0}
            yield columns | {"id": (number // 2).astype(np.int32)}

    return Blocks(Metadata(), (blocks * events - 1) * 1001, None, read)


def test_ten_times_the_events_take_no_more_memory() -> None:
    peaks = []
    for blocks in (1, 4, 40):  # the first compiles
        tracemalloc.start()
        summary = summarize_blocks(storm(blocks))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert summary.ops["F"] == blocks << 15
    assert peaks[2] < peaks[1] + (1 << 20)
    assert peaks[2] < 200 << 20


def test_info_of_a_stored_trace_does_not_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = RECORDINGS["chromium-x86"] if "chromium-x86" in RECORDINGS else next(iter(RECORDINGS.values()))
    monkeypatch.setattr(pba.Trace, "from_checked", None)
    assert run(["info", str(path)]) == 0


def test_a_damaged_file_is_refused_while_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"time_ns": [5, 4], "op": [A, F], "id": [1, 1], "arg": [0, 0]}
    path = pba.Trace.from_arrays(columns | {"time_ns": [4, 5]}).write(tmp_path / "x.parquet")
    table = pq.read_table(path)
    schema = table.schema
    pq.write_table(table.take([1, 0]).cast(schema), path)
    assert run(["info", str(path)]) == 2
    assert "time goes backwards, from 5 to 4 ns" in capsys.readouterr().err
