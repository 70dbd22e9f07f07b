"""Traces made of traces: cut, joined, repeated, merged, scaled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba.analysis.live import live_pages
from pba.analysis.summary import summarize_trace
from pba.events import OP_LETTERS
from pba.trace import ops
from pba.trace.metadata import Metadata, Quality, Truth
from pba.trace.table import DTYPES
from tests.property.generate import Action, expand

MACHINE = pba.Machine(4, 8192, "pmd")
A, F, S, D, B, b = range(6)

ACTIONS = st.lists(
    st.one_of(
        st.builds(Action, st.just("alloc"), st.integers(1, 60)),
        st.builds(Action, st.just("free"), st.integers(1, 60), st.integers(0, 4)),
        st.builds(Action, st.just("take"), st.integers(1, 3), st.integers(0, 6)),
        st.builds(Action, st.just("give"), st.integers(1, 3), st.integers(0, 2)),
        st.builds(Action, st.just("shrink"), st.integers(1, 2), st.sampled_from([0, 2, 12])),
        st.builds(Action, st.just("drop"), st.just(1)),
    ),
    min_size=1,
    max_size=8,
)


def trace_of(actions: list[Action], name: str = "made") -> pba.Trace:
    events = expand([Action("alloc", 1), *actions])
    columns = {
        "time_ns": [event.time_ns for event in events],
        "op": [OP_LETTERS.index(event.op) for event in events],
        "id": [event.ident for event in events],
        "arg": [event.arg for event in events],
    }
    return pba.Trace.from_arrays(columns, Metadata(name=name, source="generated"))


TRACES = st.builds(trace_of, ACTIONS)


def of(rows: list[tuple[int, ...]], **metadata: object) -> pba.Trace:
    names = tuple(DTYPES)[: len(rows[0])]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return pba.Trace.from_arrays(columns, Metadata(**({"name": "t"} | metadata)))  # type: ignore[arg-type]


def rows_of(trace: pba.Trace) -> list[tuple[int, ...]]:
    columns = (getattr(trace, name) for name in DTYPES if len(getattr(trace, name)))
    return list(zip(*(column.tolist() for column in columns), strict=True))


def live_at(trace: pba.Trace, times: np.ndarray) -> np.ndarray:
    """Return live page tables at times since the beginning, after all that happens then."""
    at = np.searchsorted(trace.time_ns - ops.extent(trace)[0], times, "right")
    return np.concatenate([[0], live_pages(trace)])[at]


def kept(trace: pba.Trace, *but: str) -> dict[str, object]:
    counters = pba.replay(trace, machine=MACHINE).counters
    return {name: value for name, value in counters.items() if name not in but}


# Cut -------------------------------------------------------------------------------------------------------


def test_a_cut_allocates_what_is_live_in_order_and_drops_frees_of_others() -> None:
    whole = of(
        [
            (1000, A, 7, 0, 5, 70),
            (1001, B, 1, 3, 0, -1),
            (1002, A, 8, 0, 4, 80),
            (1003, F, 7, 0, 5, 70),
            (1004, A, 9, 0, 0, 90),
            (1010, F, 99, 0, 0, 99),
            (1011, S, 0, 2, 0, -1),
            (1012, F, 8, 0, 4, 80),
            (1013, b, 1, 0, 0, -1),
            (1020, A, 7, 0, 0, 71),
        ],
        buddyinfo=({"node": 0, "zone": "Normal", "free": [1]},),
        quality=Quality(lost_events=2, truth=Truth(4, 2, 2), notes=("as found",)),
    )
    piece = ops.cut(whole, 6, 20)
    names = dict(zip(piece.pfn.tolist(), piece.id.tolist(), strict=True))
    assert [(time, op, arg, level, pfn) for time, op, _, arg, level, pfn in rows_of(piece)] == [
        (0, B, 3, 0, -1),
        (0, A, 0, 4, 80),
        (0, A, 0, 0, 90),
        (5, S, 2, 0, -1),
        (6, F, 0, 4, 80),
        (7, b, 0, 0, -1),
    ]
    assert names[80] != names[90]
    assert piece.unknown_frees == 0
    quality = piece.metadata.quality
    assert (quality.live_at_start, quality.unknown_frees, quality.lost_events) == (2, 1, 2)
    assert quality.truth is None
    assert quality.notes[0] == "as found"
    assert "cut from t" in quality.notes[1]
    assert any("recall 50.00 %, precision 100.00 %" in note for note in quality.notes)
    assert (piece.metadata.duration_ns, piece.metadata.time_origin_ns) == (14, 1006)
    assert piece.metadata.buddyinfo == ()
    assert ops.cut(whole, 6).metadata.quality.truth == Truth(4, 2, 2)  # it still ends where it was read


@given(TRACES)
@settings(max_examples=25, deadline=None)
def test_a_cut_of_everything_is_the_whole(trace: pba.Trace) -> None:
    piece = ops.cut(trace)
    assert kept(piece) == kept(trace)
    assert (piece.time_ns == trace.time_ns - trace.time_ns[0]).all()
    assert (live_pages(piece) == live_pages(trace)).all()


@given(TRACES, st.floats(0.05, 0.95))
@settings(max_examples=50, deadline=None)
def test_pieces_have_the_live_pages_of_the_whole(trace: pba.Trace, where: float) -> None:
    at = int(ops.extent(trace)[1] * where) - ops.extent(trace)[0]
    if not 0 < at < trace.duration_ns:
        return
    head, tail = ops.cut(trace, 0, at), ops.cut(trace, at)
    end = trace.duration_ns
    before, after = np.arange(0, at, 7), np.arange(at, end + 1, 7)
    assert (live_at(head, before) == live_at(trace, before)).all()
    assert (live_at(tail, after - at) == live_at(trace, after)).all()
    joined = ops.join([head, tail])
    left = int(live_pages(head)[-1])
    assert (live_at(joined, before) == live_at(trace, before)).all()
    assert (live_at(joined, after) == live_at(trace, after) + left).all()
    assert joined.metadata.duration_ns == end


@given(TRACES, TRACES)
@settings(max_examples=25, deadline=None)
def test_pieces_cut_where_nothing_is_live_join_to_the_whole(first: pba.Trace, second: pba.Trace) -> None:
    free_all = ops.cut(ops.repeat(first, 2, 10), 0, first.duration_ns + 1)  # one round, and all of it freed
    assert live_pages(free_all)[-1] == 0
    whole = ops.join([free_all, second], gap_ns=5)
    at = free_all.metadata.duration_ns + 3
    joined = ops.join([ops.cut(whole, 0, at), ops.cut(whole, at)])
    assert kept(joined) == kept(whole)
    assert (joined.time_ns == whole.time_ns).all()
    assert (joined.op == whole.op).all()
    assert (live_pages(joined) == live_pages(whole)).all()


@pytest.mark.parametrize(("begin", "end"), [(-1, None), (5, 5), (9, 3), (10_000, None), (10_000, 20_000)])
def test_no_such_time(begin: int, end: int | None) -> None:
    with pytest.raises(pba.PbaError, match="t: no time from"):
        ops.cut(of([(0, A, 1, 0), (100, F, 1, 0)]), begin, end)


def test_a_cut_without_events_is_refused() -> None:
    with pytest.raises(pba.PbaError, match="nothing happens from 5e-08 s to 6e-08 s"):
        ops.cut(of([(0, A, 1, 0), (10, F, 1, 0), (100, A, 1, 0)]), 50, 60)


# Join and repeat -------------------------------------------------------------------------------------------


def test_a_join_keeps_ids_apart_and_gaps() -> None:
    one = of([(0, A, 1, 0), (1, B, 1, 2), (4, F, 5, 0)], name="one", duration_ns=10, page_size_kib=4)
    two = of([(500, A, 1, 0), (501, F, 1, 0), (502, B, 1, 4)], name="two", memory_pages=2048)
    joined = ops.join([one, two], gap_ns=5)
    assert rows_of(joined) == [(0, A, 0, 0), (1, B, 0, 2), (15, A, 1, 0), (16, F, 1, 0), (17, B, 1, 4)]
    metadata = joined.metadata
    assert (metadata.name, metadata.page_size_kib, metadata.memory_pages) == ("one+two", 4, 2048)
    assert metadata.duration_ns == 17
    assert metadata.quality.unknown_frees == 1


@given(TRACES, st.integers(1, 5), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_the_counts_of_a_repetition(trace: pba.Trace, times: int, gap_ns: int) -> None:
    live = ops.live_before(trace, len(trace))
    left = {letter: int((trace.op[live] == op).sum()) for letter, op in (("F", A), ("b", B))}
    freed, leaked = (ops.repeat(trace, times, gap_ns, fate) for fate in ops.LEFTOVERS)
    for letter, count in trace.counts().items():
        assert leaked.counts()[letter] == times * count
        assert freed.counts()[letter] == times * count + (times - 1) * left.get(letter, 0)
    assert live_pages(freed)[-1] == live_pages(trace)[-1]
    assert live_pages(freed).max() == live_pages(trace).max()
    assert live_pages(leaked)[-1] == times * live_pages(trace)[-1]
    assert freed.metadata.duration_ns == times * (trace.duration_ns + gap_ns) - gap_ns
    assert leaked.duration_ns == freed.duration_ns == freed.metadata.duration_ns
    once = ops.repeat(trace, 1)
    assert kept(once) == kept(trace)


def test_what_cannot_be_repeated() -> None:
    trace = of([(0, A, 1, 0), (10**15, F, 1, 0)])
    for times, gap_ns, leftover, told in [
        (0, 0, "free", "0 rounds"),
        (2, 0, "lose", "leftover 'lose' is unknown"),
        (2, -1, "free", "negative"),
        (10**6, 0, "free", "longer than 36 years"),
    ]:
        with pytest.raises(pba.PbaError, match=told):
            ops.repeat(trace, times, gap_ns, leftover)
    with pytest.raises(pba.PbaError, match="would have 2,000,000,000 events"):
        ops.repeat(of([(0, A, 1, 0), (1, F, 1, 0)]), 10**9)


# Merge and scale -------------------------------------------------------------------------------------------


@given(TRACES, TRACES, TRACES)
@settings(max_examples=40, deadline=None)
def test_the_live_pages_of_a_merge_are_the_sum(one: pba.Trace, two: pba.Trace, three: pba.Trace) -> None:
    parts = [one, two, three]
    merged = ops.merge(parts)
    times = np.unique(np.concatenate([part.time_ns - part.time_ns[0] for part in parts]))
    assert (live_at(merged, times) == sum(live_at(part, times) for part in parts)).all()
    for letter, count in merged.counts().items():
        assert count == sum(part.counts()[letter] for part in parts)
    quiet = ops.merge(parts, passes_from=1)
    assert {key: quiet.counts()[key] for key in "SD"} == {key: two.counts()[key] for key in "SD"}
    assert (live_at(quiet, times) == live_at(merged, times)).all()


def test_a_merge_keeps_page_frames_apart() -> None:
    one = of([(0, A, 1, 0, 5, 3), (9, F, 1, 0, 5, 3)], name="one", page_size_kib=4, memory_pages=16384)
    two = of([(0, A, 1, 0, 5, 3), (9, S, 0, 3, 0, -1)], name="two", page_size_kib=4)
    bare = of([(5, A, 1, 0)], name="bare")
    merged = ops.merge([one, two, bare])
    assert rows_of(merged) == [
        (0, A, 0, 0, 5, 3),
        (0, A, 1, 0, 5, 16384 + 3),
        (0, A, 2, 0, 0, -1),
        (9, F, 0, 0, 5, 3),
        (9, S, 0, 3, 0, -1),
    ]
    blocks = summarize_trace(merged).blocks
    assert blocks is not None
    assert blocks.touched_blocks == 2
    assert "passes of all are kept" in merged.metadata.quality.notes[-1]
    assert "are those of two alone" in ops.merge([one, two], 1).metadata.quality.notes[-1]


def test_traces_that_do_not_fit() -> None:
    small, large = (of([(0, A, 1, 0)], name=name, page_size_kib=kib) for name, kib in (("s", 4), ("l", 64)))
    for make in (ops.join, ops.merge):
        with pytest.raises(pba.PbaError, match="page sizes differ: s has 4 KiB, l has 64 KiB"):
            make([small, large])
        with pytest.raises(pba.PbaError, match="no trace is given"):
            make([])
    with pytest.raises(pba.PbaError, match="passes_from = 1 is not the number of a trace"):
        ops.merge([small], 1)


@given(TRACES, st.sampled_from([1 / 3, 0.001, 1.0, 2.0, 1000.0]))
@settings(max_examples=40, deadline=None)
def test_scaling_keeps_all_but_time(trace: pba.Trace, factor: float) -> None:
    scaled = ops.scale(trace, factor)
    assert kept(scaled, "cached_page_ns") == kept(trace, "cached_page_ns")
    assert (scaled.id == trace.id).all()
    if factor >= 1:
        ratio = pba.replay(scaled, machine=MACHINE).counters["cached_page_ns"]
        assert ratio == factor * pba.replay(trace, machine=MACHINE).counters["cached_page_ns"]
    assert scaled.metadata.duration_ns == round(trace.duration_ns * factor) or len(trace) == 1


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_no_such_factor(factor: float) -> None:
    with pytest.raises(pba.PbaError, match=r"cannot be scaled|longer than 36 years"):
        ops.scale(of([(0, A, 1, 0), (10, F, 1, 0)]), factor)


def test_a_trace_of_a_recording_goes_through_everything() -> None:
    from pba.imports.read import read_trace
    from pba.trace.corpus import find

    recording = read_trace(find("redis-bgsave-x86"))
    middle = ops.cut(recording, 10**10, 3 * 10**10)
    made = ops.merge([ops.repeat(middle, 3, 10**9), ops.scale(recording, 0.5), ops.join([middle, recording])])
    assert made.unknown_frees == 0
    assert made.metadata.kernel == recording.metadata.kernel
    assert made.metadata.memory_pages == recording.metadata.memory_pages
    assert summarize_trace(made).live_end_pages == live_pages(middle)[-1] * 2 + live_pages(recording)[-1] * 2
    assert Metadata.from_dict(made.metadata.to_dict()) == made.metadata
