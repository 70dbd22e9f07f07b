"""`pba.watch`: a replay over time, held against the timeline event by event."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba.analysis.pages import windows_of
from pba.errors import PbaError, ThresholdError
from pba.kernel.state import NOT_MANAGED
from pba.model import boot, prepare
from pba.probe.watch import BLOCKS, OVER_TIME
from pba.report.replay_figures import WatchFigure, curve_of, round_up
from tests.study.study_fixture import make_trace
from tests.traces import sawtooth

VECTORS = Path(__file__).parents[1] / "vectors"

MACHINES = [pba.Machine(4, 16384), pba.Machine(16, 4096), pba.Machine(64, 8192)]
SPLITS = ("pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits")


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1000),
    windows=st.sampled_from([1, 2, 7, 100, 2000]),
    machine=st.sampled_from(MACHINES),
    thresholds=st.builds(
        pba.Thresholds, st.integers(0, 300), st.integers(1, 512), st.sampled_from([1, 16, 512, 4096])
    ),
)
def test_each_window_has_what_the_timeline_has(
    seed: int, windows: int, machine: pba.Machine, thresholds: pba.Thresholds
) -> None:
    trace = make_trace("alpha", seed)
    watched = pba.watch(trace, thresholds, machine, windows=windows)
    told = pba.replay(trace, thresholds, machine, timeline=True)
    assert watched.result.counters == told.counters
    assert watched.result.cache_hash == told.cache_hash
    timeline = told.timeline
    assert timeline is not None
    edges, bounds = windows_of(trace, windows)
    assert watched.over_time["seconds"].tolist() == watched.blocks["seconds"].tolist() == edges[1:].tolist()
    at_end = timeline.iloc[bounds[1:] - 1] if bounds[1] else None
    if at_end is not None:  # the first window has an event, as time begins with one
        assert watched.over_time["cached"].tolist() == at_end["nr_cached"].tolist()
        assert watched.over_time["live"].tolist() == at_end["live_pages"].tolist()
        for name in SPLITS:
            assert watched.over_time[name].tolist() == at_end[name].tolist()
    cached = timeline["nr_cached"].to_numpy()
    for row, (first, end) in zip(watched.over_time.itertuples(), pairwise(bounds), strict=True):
        seen = cached[max(first - 1, 0) : end] if first else cached[:end]
        assert row.least_cached <= seen.min()
        assert row.most_cached >= seen.max()
        if first:
            assert (row.least_cached, row.most_cached) == (seen.min(), seen.max())
    assert watched.splits["pmd_splits"].sum() == told.counters["pmd_splits"]
    last = watched.over_time.iloc[-1]
    assert last["pages_released"] == told.counters["pages_released"]
    assert last["passes"] == told.counters["shrink_calls"]


def blocks_after(
    trace: pba.Trace, thresholds: pba.Thresholds, machine: pba.Machine, events: int
) -> list[int]:
    """Return the blocks by how full they are after so many events, counted one by one."""
    from pba.kernel import replay

    state = boot(machine)
    replay.replay_events(state, *prepare(trace, thresholds), (0, events))
    found = [0] * len(BLOCKS)
    size = machine.block_nr_pages
    for free in state.block_nr_free.tolist():
        if free != NOT_MANAGED:
            share = (size - free) / size
            found[
                0 if share == 0 else 5 if share == 1 else 1 + sum(share > at for at in (0.25, 0.5, 0.75))
            ] += 1
    return found


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_blocks_are_counted_by_how_full_they_are(machine: pba.Machine) -> None:
    trace, thresholds = sawtooth(6, 3000), pba.Thresholds(64, machine.block_nr_pages // 2, 512)
    watched = pba.watch(trace, thresholds, machine, windows=40)
    _, bounds = windows_of(trace, 40)
    for at in (0, 5, 17, 39):
        row = watched.blocks.iloc[at][list(BLOCKS)].astype(int).tolist()
        assert row == blocks_after(trace, thresholds, machine, int(bounds[at + 1]))
    total = watched.blocks[list(BLOCKS)].to_numpy().sum()
    assert (total == 0) == (machine.page_size_kib == 64)  # there no refill has a block's order


def test_the_defaults_are_the_recorded_machine_and_the_patch() -> None:
    watched = pba.watch("git-x86")
    machine = pba.machine_of("git-x86")
    assert watched.result.machine == machine
    assert watched.thresholds == pba.Thresholds.patch(machine)
    assert watched.aims == (watched.result.counters["pmd_splits"], watched.result.mean_cached_pages)
    assert list(watched.over_time) == ["seconds", *OVER_TIME]
    assert len(watched.over_time) == 600


def test_what_cannot_be_watched_is_said() -> None:
    trace = sawtooth()
    for windows in (0, -1, 100_001, True):
        with pytest.raises(PbaError, match=r"windows = .* is out of range"):
            pba.watch(trace, windows=windows)
    with pytest.raises(ThresholdError, match="shrink_block_min_pages"):
        pba.watch(trace, pba.Thresholds(1, 513, 1))
    nothing = pba.Trace.from_arrays({"time_ns": [], "op": [], "id": [], "arg": []})
    with pytest.raises(PbaError, match="nothing to watch"):
        pba.watch(nothing)


def test_events_at_one_time_are_one_window() -> None:
    one = pba.Trace.from_arrays({"time_ns": [5, 5], "op": [0, 1], "id": [1, 1], "arg": [0, 0]})
    watched = pba.watch(one)
    assert len(watched.over_time) == 1
    assert b"PNG" in pba.plot_watch(watched).png()[:8]


def test_the_curve_shows_every_peak_and_trough() -> None:
    watched = pba.watch(sawtooth(), machine=MACHINES[0], windows=50)
    seconds, pages = curve_of(watched)
    assert len(seconds) == len(pages) == 150
    assert pages.max() == watched.over_time["most_cached"].max() == watched.result.counters["peak_cached"]
    assert pages.min() == watched.over_time["least_cached"].min()
    assert bool(np.all(np.diff(seconds) >= 0))


def test_a_figure_drawn_again_is_the_one_drawn_at_once() -> None:
    trace, machine = sawtooth(), MACHINES[0]
    patch = pba.watch(trace, machine=machine)
    others = [pba.watch(trace, pba.Thresholds(u, 256, 512), machine) for u in (0, 100, 800)]
    again, at_once = WatchFigure(patch), WatchFigure(patch)
    for one in (*others, *reversed(others)):
        again.show(one, others[:2])
        again.png()
    again.show(others[1])
    at_once.show(others[1])
    assert again.png() == at_once.png()
    again.show(others[2])
    assert again.png() != at_once.png()


def test_a_picture_has_its_table_and_names_what_stands_behind() -> None:
    trace, machine = sawtooth(), MACHINES[0]
    one, patch = pba.watch(trace, pba.Thresholds(100, 64, 512), machine), pba.watch(trace, machine=machine)
    picture = pba.plot_watch(one, patch)
    assert picture.data is one.over_time
    assert f"(patch: {patch.aims[0]})" in picture.title
    assert picture.svg() == pba.plot_watch(one, patch).svg()
    assert "patch" not in pba.plot_watch(one).title


@pytest.mark.parametrize("value", [0, 1, 9, 10, 99, 100, 1023, 4_900_000])
def test_an_axis_ends_just_above(value: int) -> None:
    assert value < round_up(value) <= max(1.5 * value, 2)


@pytest.mark.kernel
def test_windows_are_those_of_single_events() -> None:
    trace, machine = sawtooth(2, 60), pba.Machine(4, 4096)
    watched = pba.watch(trace, pba.Thresholds(8, 16, 32), machine, windows=len(trace) // 3)
    told = pba.replay(trace, pba.Thresholds(8, 16, 32), machine, timeline=True)
    assert watched.result.counters == told.counters
    assert told.timeline is not None
    _, bounds = windows_of(trace, len(trace) // 3)
    assert (
        watched.over_time["cached"].tolist() == told.timeline["nr_cached"].to_numpy()[bounds[1:] - 1].tolist()
    )
    assert watched.blocks[list(BLOCKS)].to_numpy().any()


@pytest.mark.parametrize("policy", ["whole-blocks-only", "scattered"])
def test_a_replay_under_another_policy_is_that_of_replay(policy: str) -> None:
    path = VECTORS / "pressure.events.gz"
    machine = pba.Machine(memory_pages=1 << 15)
    found = pba.watch(path, machine=machine, windows=50, policy=policy)
    result = pba.replay(path, machine=machine, policy=policy, timeline=True)
    assert found.result.counters == result.counters
    table, timeline = found.over_time, result.timeline
    assert timeline is not None
    assert table["cached"].iloc[-1] == timeline["nr_cached"].iloc[-1]
    assert table["pmd_splits"].iloc[-1] == result.counters["pmd_splits"]
    seconds = (timeline["time_ns"] - timeline["time_ns"].iloc[0]) / 1e9
    before = 0.0
    for at, row in enumerate(table.to_dict("records")):
        is_last = at == len(table) - 1
        inside = timeline[(seconds >= before) & ((seconds < row["seconds"]) | is_last)]["nr_cached"]
        if len(inside):
            assert row["cached"] == inside.iloc[-1]
            assert row["least_cached"] <= inside.min() and inside.max() <= row["most_cached"]
            assert row["least_cached"] in timeline["nr_cached"].to_numpy()
        before = row["seconds"]
    assert policy in found.called
    assert policy in pba.plot_watch(found).title
