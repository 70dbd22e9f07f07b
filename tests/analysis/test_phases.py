"""Where rates change: the segmentation, the phases of a trace, and what is drawn of them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba import explore
from pba.analysis.phases import PENALTY, SQRT_OF_COUNT_SD, change_points
from pba.cli.app import run
from pba.trace.metadata import Metadata

SECOND = 10**9


def poisson(rates: list[tuple[int, float]], seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.poisson(rate, windows) for windows, rate in rates])[:, None]


@pytest.mark.parametrize("seed", range(20))
def test_steps_in_a_rate_are_found(seed: int) -> None:
    found = change_points(poisson([(60, 20), (80, 60), (60, 5)], seed), 4).tolist()
    assert len(found) == 4
    assert np.abs(np.array(found[1:3]) - [60, 140]).max() <= 1


@pytest.mark.parametrize("rate", [0, 0.02, 1, 50, 10_000])
def test_a_rate_that_keeps_is_one_phase(rate: float) -> None:
    several = [seed for seed in range(100) if len(change_points(poisson([(200, rate)], seed), 4)) > 2]
    assert len(several) <= 2


def test_bursts_that_come_and_go_are_no_phases() -> None:
    counts = np.tile([0, 400], 100)[:, None]
    assert change_points(counts, 4).tolist() == [0, 200]


def cost(counts: np.ndarray, bounds: tuple[int, ...]) -> float:
    """Return what a segmentation costs, by the definition."""
    roots = np.sqrt(counts)
    noise = np.maximum(np.sqrt((np.diff(roots, axis=0) ** 2).mean(axis=0) / 2), SQRT_OF_COUNT_SD)
    scaled = roots / noise
    distance = sum(
        float(((scaled[a:b] - scaled[a:b].mean(axis=0)) ** 2).sum()) for a, b in itertools.pairwise(bounds)
    )
    return distance + (len(bounds) - 1) * PENALTY * (counts.shape[1] + 1) * np.log(len(counts))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=1, max_size=11), st.integers(1, 4)
)
def test_no_other_segmentation_costs_less(rows: list[tuple[int, int]], least: int) -> None:
    counts, windows = np.array(rows), len(rows)
    found = tuple(change_points(counts, least).tolist())
    if windows < 2 * least:
        assert found == (0, windows)
        return
    possible = (
        (0, *inner, windows)
        for number in range(windows)
        for inner in itertools.combinations(range(1, windows), number)
    )
    costs = {
        bounds: cost(counts, bounds)
        for bounds in possible
        if all(b - a >= least for a, b in itertools.pairwise(bounds))
    }
    assert found in costs
    assert costs[found] <= min(costs.values()) + 1e-6


def three_phases() -> pba.Trace:
    """Return 30 s: 50 pages a second come, then come and go, then only go."""
    rows: list[tuple[int, int, int, int]] = [(at * SECOND // 50, 0, at, 0) for at in range(500)]  # 0 to 10 s
    rows += [
        (10 * SECOND + at * SECOND // 50 + part, 1 - part, 900 + at if part else 900 + at - 1, 0)
        for at in range(1, 500)
        for part in (0, 1)
        if at > 1 or part
    ]
    rows += [(20 * SECOND + at * SECOND // 50, 1, at, 0) for at in range(500)]
    names = ("time_ns", "op", "id", "arg")
    columns = dict(zip(names, np.array(rows).T, strict=True))
    return pba.Trace.from_arrays(columns, Metadata(name="three", source="text", duration_ns=40 * SECOND))


def test_the_phases_of_a_trace() -> None:
    trace = three_phases()
    table = explore.df_phases(trace)
    assert len(table) == 3
    assert table.from_seconds.tolist() == pytest.approx([0, 10, 20], abs=0.31)
    assert table.to_seconds.tolist()[:-1] == table.from_seconds.tolist()[1:]
    assert table.change_per_second.tolist() == pytest.approx([50, 0, -50], abs=1.5)
    assert table.allocs.sum() == trace.counts()["A"]
    assert table.frees.sum() == trace.counts()["F"]
    assert table.allocs_per_second.tolist() == pytest.approx(
        (table.allocs / (table.to_seconds - table.from_seconds)).tolist()
    )
    assert table.live_pages.iloc[-1] == trace.counts()["A"] - trace.counts()["F"]
    equal = explore.df_phases(trace, 7)
    assert len(equal) == 7
    assert np.ptp(equal.to_seconds - equal.from_seconds) < 1e-9


def test_info_tells_phases_and_both_lengths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = three_phases().write(tmp_path / "three.parquet")
    assert run(["info", str(path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "length 40 s, 1,997 events, the last after 30 s" in text
    assert "phases 3, each with its own rates; live pages shrink or grow by" in text
    assert run(["info", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["duration_ns"], told["first_event_ns"]) == (40 * SECOND, 0)
    assert told["last_event_ns"] == 20 * SECOND + 499 * SECOND // 50
    assert [phase["change_pages"] for phase in told["phases"]] == explore.df_phases(
        three_phases()
    ).change_pages.tolist()


def test_plot_takes_a_gap_a_window_and_phases(tmp_path: Path) -> None:
    trace = three_phases()
    path = trace.write(tmp_path / "three.parquet")
    out = tmp_path / "figures"
    options = ["--gap", "30ms", "--window", "200ms", "--phases", "5"]
    kinds = [word for kind in ("bursts", "drawdown", "phases") for word in ("--kind", kind)]
    assert run(["plot", str(path), "-o", str(out), *options, *kinds]) == 0
    assert (out / "phases.csv").read_text().count("\n") == 6
    assert (out / "bursts.csv").read_text() == explore.df_bursts(trace, 30_000_000).to_csv(
        index=False, lineterminator="\n"
    )
    assert "after 30 ms without one" in explore.plot_bursts(trace, 30_000_000).caption
    assert "largest in 200 ms: 11 pages" in (out / "drawdown.svg").read_text()
    assert "natural cache size: 51 pages" in explore.plot_drawdown(trace).svg()
    assert "one of 5 equal parts" in explore.plot_phases(trace, 5).caption


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--gap", "much"], "--gap 'much' is not a time"),
        (["--window", "0"], "--window 0 is not a length of time"),
        (["--window", "-1s"], "--window '-1s' is not a time"),
        (["--phases", "0"], "--phases 0 is out of range"),
    ],
)
def test_what_plot_refuses(
    option: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = three_phases().write(tmp_path / "three.parquet")
    assert run(["plot", str(path), "-o", str(tmp_path / "f"), *option]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "f").exists()
