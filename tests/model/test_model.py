"""The door: what `pba.replay` accepts, refuses and returns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import pba
from pba import pool
from pba.errors import MachineError, PbaError, ThresholdError, TraceError
from pba.results import MEANINGS
from pba.trace.columns import LARGEST_TIME_NS
from tests.traces import sawtooth

MACHINE = pba.Machine(4, 16384, "pud")


def test_counters_have_a_meaning_and_an_order() -> None:
    result = pba.replay(sawtooth(), machine=MACHINE)
    assert [*MEANINGS, "cache_hash"] == list(result.counters)
    frame = result.to_frame()
    assert list(frame.index) == list(MEANINGS)
    assert frame.loc["allocs", "value"] == result.counters["allocs"]


def test_the_seed_is_the_default() -> None:
    trace = sawtooth()
    told = pba.replay(trace, pba.Thresholds(16, 64, 512), MACHINE)
    assert pba.replay(trace, machine=MACHINE).counters == told.counters
    assert told.thresholds == pba.Thresholds.patch(MACHINE)


def test_json_is_what_to_dict_says() -> None:
    result = pba.replay(sawtooth(), machine=MACHINE)
    assert json.loads(result.to_json()) == result.to_dict()
    assert result.to_dict()["machine"] == {"page_size_kib": 4, "memory_pages": 16384, "linear_map": "pud"}


def test_a_name_is_no_markup() -> None:
    trace = sawtooth()
    named = pba.Trace.from_frame(trace.to_frame(), trace.metadata.with_(name="<b>x"))
    shown = pba.replay(named, machine=MACHINE)._repr_html_()
    assert shown.startswith("<div><strong>&lt;b&gt;x: U=16 ")


def test_timeline_ends_where_the_replay_ends() -> None:
    trace = sawtooth()
    plain = pba.replay(trace, machine=MACHINE)
    result = pba.replay(trace, machine=MACHINE, timeline=True, checkpoint_every=100)
    assert result.counters == plain.counters
    timeline = result.timeline
    assert timeline is not None
    assert len(timeline) == len(trace)
    last = timeline.iloc[-1]
    for name in ("nr_cached", "pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits"):
        assert last[name] == plain.counters[name]
    assert last["live_pages"] == plain.counters["allocs"] - plain.counters["frees"]
    assert int(timeline["nr_cached"].max()) <= plain.counters["peak_cached"]
    assert result.checkpoints is not None
    at_checkpoints = timeline["nr_cached"].to_numpy()[result.checkpoints["event"].to_numpy() - 1]
    assert np.array_equal(at_checkpoints, result.checkpoints["nr_cached"])


def test_means_follow_from_the_timeline() -> None:
    trace = sawtooth()
    result = pba.replay(trace, machine=MACHINE, timeline=True)
    assert result.timeline is not None
    gaps = np.diff(trace.time_ns)
    area = int((result.timeline["nr_cached"].to_numpy()[:-1] * gaps).sum())
    booted = result.timeline["nr_cached"].iloc[0] + 1
    assert booted == 512
    assert result.counters["cached_page_ns"] == area
    assert result.mean_cached_pages == pytest.approx(area / trace.duration_ns)
    assert result.mean_cached_bytes == result.mean_cached_pages * 4096
    share = 1 - result.counters["pmd_splits"] * 512 / 16384
    assert result.block_mapped_share == pytest.approx(share)
    assert share < 1, "this trace splits blocks, or the test shows nothing"


def test_the_integral_outgrows_64_bits() -> None:
    """Gaps of 2**45 ns with 2047 pages cached: more than 2**63 in the end, and still exact."""
    times = np.arange(1, 1025, dtype=np.int64) << 45
    trace = pba.Trace.from_arrays(
        {"time_ns": times, "op": np.zeros(1024), "id": np.arange(1024), "arg": np.zeros(1024)}
        | {name: np.zeros(1024, np.int8) for name in ("op", "arg")}
    )
    result = pba.replay(trace, machine=MACHINE, timeline=True)
    assert result.timeline is not None
    expected = sum(int(cached) << 45 for cached in result.timeline["nr_cached"][:-1])
    assert result.counters["cached_page_ns"] == expected
    assert expected > 1 << 63


def test_one_gap_as_long_as_time_goes() -> None:
    """The longest gap there is, odd in its every part, is one product: neither rounded nor long to take."""
    gap = LARGEST_TIME_NS
    columns = {"time_ns": [0, 5, gap, gap], "op": [2, 2, 2, 2], "id": [0] * 4, "arg": [12] * 4}
    result = pba.replay(pba.Trace.from_arrays(columns), machine=MACHINE)
    assert result.counters["nr_cached"] == 512, "nothing was to happen but time"
    assert result.counters["cached_page_ns"] == 512 * gap
    assert result.mean_cached_pages == 512


def test_numbers_of_numpy_come_out_as_plain_ones() -> None:
    machine = pba.Machine(np.int64(4), np.int32(16384), "pud")  # type: ignore[arg-type]
    thresholds = pba.Thresholds(np.int64(16), np.int16(64), np.float64(512))  # type: ignore[arg-type]
    result = pba.replay(sawtooth(), thresholds, machine)
    assert json.loads(result.to_json()) == pba.replay(sawtooth(), machine=MACHINE).to_dict()


def test_unknown_frees_are_counted_or_refused() -> None:
    frame = sawtooth().to_frame()
    frame = frame[~((frame["op"] == "A") & (frame["id"] < 3))]
    trace = pba.Trace.from_frame(frame)
    result = pba.replay(trace, machine=MACHINE)
    assert result.unknown_frees == trace.unknown_frees == 3
    with pytest.raises(TraceError, match="is freed but not live, the first of 3"):
        pba.replay(trace, machine=MACHINE, strict=True)


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        (pba.Thresholds(-1, 64, 512), "unshrinkable_pages = -1 is out of range"),
        (pba.Thresholds(16385, 64, 512), "unshrinkable_pages = 16385 is out of range"),
        (pba.Thresholds(16, 0, 512), "shrink_block_min_pages = 0 is out of range"),
        (pba.Thresholds(16, 513, 512), "shrink_block_min_pages = 513 is out of range"),
        (pba.Thresholds(16, 64, 0), "SHRINK_BATCH"),
        (pba.Thresholds(16, 64.5, 512), "is not a whole number"),  # type: ignore[arg-type]
        (pba.Thresholds(float("nan"), 64, 512), "is not a whole number"),  # type: ignore[arg-type]
        (pba.Thresholds(16, 64, None), "batch = None is not a whole number"),  # type: ignore[arg-type]
        (pba.Thresholds(16, True, 512), "is not a whole number"),
    ],
)
def test_thresholds_out_of_range(thresholds: pba.Thresholds, words: str) -> None:
    with pytest.raises(ThresholdError, match=words):
        pba.replay(sawtooth(), thresholds, MACHINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((8, 16384, "pud"), "page size 8 KiB does not exist"),
        ((4, 1000, "pud"), "not a multiple of 1024 pages.*nearest is 1024"),
        ((4, -1024, "pud"), "not a multiple"),
        ((4, 1 << 40, "pud"), "too large"),
        ((4, 10**5000, "pud"), "too large"),
        ((4, 1024.5, "pud"), "1024.5 is not a whole number of pages"),
        ((4, "1024", "pud"), "'1024' is not a whole number of pages"),
        ((4, 16384, "huge"), "linear map 'huge' is unknown"),
        ((16, 16384, "pud"), "no pud leaves on 16 KiB"),
    ],
)
def test_machines_that_do_not_exist(arguments: tuple[Any, Any, Any], words: str) -> None:
    with pytest.raises(MachineError, match=words):
        pba.Machine(*arguments)


def test_machines_have_defaults() -> None:
    assert pba.Machine() == pba.Machine(4, 1 << 20, "pud")
    assert pba.Machine(64) == pba.Machine(64, 1 << 16, "contpmd")
    assert pba.Machine.from_bytes(16, 1 << 30).memory_pages == 1 << 16
    assert pba.Thresholds.patch(pba.Machine(16)) == pba.Thresholds(16, 256, 2048)


def test_an_order_that_the_machine_lacks() -> None:
    trace = pba.Trace.from_arrays({"time_ns": [1], "op": [4], "id": [0], "arg": [13]})
    with pytest.raises(TraceError, match="order 13 does not exist"):
        pba.replay(trace, machine=MACHINE)
    large = pba.Machine(64, 16384)
    assert pba.replay(trace, machine=large).counters["background_failures"] == 0


def test_negative_checkpoints() -> None:
    with pytest.raises(PbaError, match="checkpoint_every"):
        pba.replay(sawtooth(), machine=MACHINE, checkpoint_every=-1)


def test_an_empty_trace_boots() -> None:
    trace = pba.Trace.from_arrays({name: np.empty(0, np.int64) for name in ("time_ns", "op", "id", "arg")})
    result = pba.replay(trace, machine=MACHINE, timeline=True, checkpoint_every=5)
    assert result.counters["nr_cached"] == 512
    assert result.mean_cached_pages == 512
    assert result.timeline is not None
    assert result.timeline.empty


def test_a_replay_leaves_no_trace_in_the_next() -> None:
    """Replays on one machine share their arrays; in whatever order they come, each gives the same."""
    busy, calm = sawtooth(teeth=6), sawtooth(teeth=1, pages=40)
    asked = [
        (busy, pba.Thresholds(0, 1, 8)),
        (calm, pba.Thresholds(16, 64, 512)),
        (busy, pba.Thresholds(0, 1, 512)),
        (busy, pba.Thresholds(400, 512, 64)),
    ]
    alone = []
    for trace, thresholds in asked:
        pool.clear()
        alone.append(pba.replay(trace, thresholds, MACHINE).counters)
    assert alone[0]["pmd_splits"] > alone[1]["pmd_splits"]
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (0, 0, 1, 1)):
        for at in order:
            other = pba.Machine(4, 16384, "pmd")
            assert pba.replay(asked[at][0], asked[at][1], MACHINE).counters == alone[at]
            assert pba.replay(asked[at][0], asked[at][1], other).machine == other
