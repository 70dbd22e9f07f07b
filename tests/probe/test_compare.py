"""`pba.compare`: measures that hold for every policy, and policies and thresholds side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pba
from pba.cli.compare import render
from pba.events import OP_ALLOC, OP_DROP, OP_FREE, OP_SHRINK
from pba.machine import Machine
from pba.policies.registry import PLACES
from pba.probe.compare import QUESTION, parse_choice
from pba.probe.measures import MEASURES, measured, over_time
from pba.report.compare_figures import comparison_files, line_of
from pba.trace.table import Trace
from tests.traces import sawtooth

VECTORS = Path(__file__).parents[1] / "vectors"
SMALL = Machine(memory_pages=1 << 15)


def replayed(name: str, policy: str, machine: Machine) -> tuple[Trace, Any, dict[str, float]]:
    """Return a vector's trace, its replay and its measures."""
    trace = pba.read_trace(VECTORS / f"{name}.events.gz")
    result = pba.replay(trace, machine=machine, policy=policy, timeline=True)
    return trace, result, measured(trace, result)


@pytest.mark.parametrize("name", ["pressure", "fragmented-mix"])
@pytest.mark.parametrize("policy", PLACES)
def test_measures_agree_with_the_counters_of_every_policy(policy: str, name: str) -> None:
    trace, result, found = replayed(name, policy, SMALL)
    counters, states = result.counters, over_time(result)
    assert list(found) == list(MEASURES)
    # The time integral that the kernel keeps, and that of the states after each event.
    integral = int(np.dot(states.held[:-1], np.diff(states.time_ns)))
    assert found["held_mean"] * result.duration_ns == pytest.approx(integral, rel=1e-12)
    at_boot = counters.get("map_table_pages", 0)
    folded = counters.get("pmd_collapses", 0)
    assert int(states.tables[-1]) == counters["split_table_pages"] + at_boot - folded
    assert found["mapped_end"] == pytest.approx(1 - int(states.split_blocks[-1]) * 512 / SMALL.memory_pages)
    calls = [found[f"{way}_{kind}"] for way in ("protect", "unprotect") for kind in ("single", "range")]
    assert sum(calls) == counters["protect_calls"] + counters["unprotect_calls"]
    assert min(calls) >= 0
    after = counters.get("held_after_passes", counters.get("cached_after_passes"))
    passes = int(np.isin(trace.op, (OP_SHRINK, OP_DROP)).sum())
    assert found["after_passes"] * passes == pytest.approx(after)
    assert found["held_back_mean"] == found["held_mean"] + found["tables_mean"]
    assert found["held_back_peak"] >= states.held.max()


def test_v6_gives_back_whole_blocks_by_calls_on_ranges() -> None:
    trace = pba.read_trace("pgbench-x86")
    for policy in ("v6", "whole-blocks-only"):
        result = pba.replay(trace, policy=policy, timeline=True)
        found = measured(trace, result)
        assert result.counters["pages_leaked"] == 0
        assert found["unprotect_range"] == result.counters["whole_blocks_released"] > 0
        single = result.counters["pages_released"] - 512 * result.counters["whole_blocks_released"]
        assert found["unprotect_single"] == single


def test_a_page_stays_until_fewer_are_held_or_the_next_pass() -> None:
    """Five allocations; a pass; two at a time leave the cache; a pass; the end."""
    events = {
        "time_ns": [0, 10, 20, 30, 40, 50],
        "op": [OP_SHRINK, OP_ALLOC, OP_FREE, OP_ALLOC, OP_SHRINK, OP_ALLOC],
        "id": [0, 1, 1, 2, 0, 3],
        "arg": [12, 0, 0, 0, 12, 0],
    }
    trace = Trace.from_arrays(events)
    result = pba.replay(trace, pba.Thresholds(unshrinkable_pages=4096), SMALL, timeline=True)
    held = over_time(result).held.tolist()
    least = [held[0], held[0] - 1, held[0] - 1, held[0] - 1, held[4]]  # a page that comes back came too late
    assert held[1:4] == [held[0] - 1, held[0], held[0] - 1]
    assert held[4] == held[3]
    found = measured(trace, result)
    assert found["after_passes"] == (held[0] + held[4]) / 2
    assert found["stay_seconds"] == pytest.approx(sum(least) * 10 / (held[0] + held[4]) / 1e9)


def test_a_comparison_holds_what_single_replays_give() -> None:
    traces = [VECTORS / "pressure.events.gz", VECTORS / "churn.events.gz"]
    found = pba.compare(traces, ["v6", "v6:U=64,M=512", "scattered"], SMALL)
    assert found.choices == ("v6", "v6 U=64 M=512", "scattered")
    for path in traces:
        trace = pba.read_trace(path)
        for choice, thresholds, policy in (
            ("v6", None, "v6"),
            ("v6 U=64 M=512", pba.Thresholds(64, 512, 512), "v6"),
            ("scattered", None, "scattered"),
        ):
            result = pba.replay(trace, thresholds, SMALL, policy=policy, timeline=True)
            table = found.per_trace
            row = table[(table["trace"] == trace.name) & (table["choice"] == choice)].iloc[0]
            assert {name: row[name] for name in MEASURES} == measured(trace, result)
    for name, one in MEASURES.items():
        expected = found.per_trace.groupby("choice")[name].agg(one.over)
        assert found.totals.loc[name].to_dict() == expected.to_dict()


def test_the_same_again_is_the_same_to_the_bit() -> None:
    one, other = (pba.compare(VECTORS / "pressure.events.gz", QUESTION, SMALL) for _ in range(2))
    assert one.to_json() == other.to_json()
    assert one.curves.equals(other.curves)
    for path, content in comparison_files(one, Path("folder")).items():
        assert comparison_files(other, Path("folder"))[path] == content


def test_curves_end_where_the_counters_do() -> None:
    found = pba.compare(VECTORS / "pressure.events.gz", ["v6", "untracked"], SMALL)
    for choice in found.choices:
        curve = found.curves[found.curves["choice"] == choice]
        last = curve.iloc[-1]
        assert last["pmd_splits"] == found.totals.at["pmd_splits", choice]
        assert last["block_mapped_share"] == pytest.approx(found.totals.at["mapped_end", choice])
        assert curve["pmd_splits"].is_monotonic_increasing
    drawn = pba.plot_compare(found)
    assert drawn.data.equals(pba.df_compare(found))
    lines = [line for axes in drawn.figure.axes for line in axes.lines]
    assert len(lines) == 3 * len(found.choices)
    assert "untracked: " in drawn.alt


def test_files_hold_the_tables(tmp_path: Path) -> None:
    found = pba.compare(VECTORS / "churn.events.gz", ["v6", "scattered"], SMALL)
    files = {path.name: content for path, content in comparison_files(found, tmp_path).items()}
    assert json.loads(files["comparison.json"])["totals"]["v6"] == found.totals["v6"].to_dict()
    (tmp_path / "measures.csv").write_bytes(files["measures.csv"])
    assert pd.read_csv(tmp_path / "measures.csv", index_col="measure").to_dict() == found.totals.to_dict()
    assert {"per-trace.csv", "over-time.csv", "compare-churn.svg", "compare-churn.png"} <= set(files)


def test_a_trace_without_events_has_measures_and_no_curve() -> None:
    trace = Trace.from_arrays({"time_ns": [], "op": [], "id": [], "arg": []})
    found = pba.compare(trace, ["v6", "pte-mapped"], SMALL)
    assert found.curves.empty
    assert found.totals.at["mapped_end", "pte-mapped"] == 0
    assert found.totals.at["pmd_splits", "v6"] == 0


def test_each_policy_has_a_line_of_its_own() -> None:
    looks = {(line_of(name)["color"], line_of(name)["linestyle"]) for name in PLACES}
    assert len(looks) == len(PLACES)
    assert line_of("v6 U=64", ["v6"])["linestyle"] != line_of("v6")["linestyle"]


def test_what_is_asked_for_is_read() -> None:
    choice = parse_choice("freetype:fallback=true")
    assert choice.policy == pba.Policy("freetype", fallback=True)
    assert choice.thresholds == {}
    assert parse_choice("whole-blocks:U=256,fall=true,B=64") == (
        "whole-blocks fall=true U=256 B=64",
        pba.Policy("whole-blocks", fall=True),
        {"unshrinkable_pages": 256, "batch": 64},
    )


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        (["v7"], "no policy is called"),
        (["scattered:U=3"], "scattered has no threshold U"),
        (["v6:U=many"], "U=many in --policy v6:U=many is no number of pages"),
        (["v6:U=1,U=2"], "U=2 in"),
        (["v6:M=99999"], "out of range"),
        (["v6", "v6"], "v6 is named twice"),
        ([], "no policy is named"),
        (["freetype:fallbck=true"], "no parameter 'fallbck'"),
    ],
)
def test_what_cannot_be_compared_is_refused(policies: list[str], said: str) -> None:
    with pytest.raises(pba.PbaError, match=said):
        pba.compare(VECTORS / "tiny.events.gz", policies, SMALL)


def test_a_trace_that_is_not_compared_is_refused() -> None:
    found = pba.compare([VECTORS / "tiny.events.gz", VECTORS / "churn.events.gz"], ["v6"], SMALL)
    with pytest.raises(pba.PbaError, match="2 traces are compared"):
        pba.df_compare(found)
    with pytest.raises(pba.PbaError, match="no trace 'chrn'"):
        pba.df_compare(found, "chrn")
    assert set(pba.df_compare(found, "churn")["choice"]) == {"v6"}
    with pytest.raises(pba.PbaError, match="two traces are called"):
        pba.compare(
            [pba.read_trace(VECTORS / "tiny.events.gz")] * 1 + [pba.scale(VECTORS / "tiny.events.gz", 1)],
            ["v6"],
        )


def test_changes_have_intervals_from_five_traces_on() -> None:
    names = ["pressure", "churn", "fragmented-mix", "tiny", "exhausted"]
    paths = [VECTORS / f"{name}.events.gz" for name in names]
    machine = pba.Machine(memory_pages=1 << 17)
    few = pba.compare(paths[:4], ["v6", "untracked"], machine)
    assert few.changes["low"].isna().all() and few.change_rows() == []
    found = pba.compare(paths, ["v6", "untracked"], machine)
    changes = found.changes.set_index("measure")
    wide = found.per_trace.pivot(index="trace", columns="choice", values="tlb_flushes")
    row = changes.loc["tlb_flushes"]
    assert row["estimate"] == pytest.approx(wide["untracked"].sum() / wide["v6"].sum() - 1)
    assert row["low"] < row["estimate"] < row["high"]
    again = np.random.default_rng(3).choice(len(wide), (4000, len(wide)))
    drawn = wide.to_numpy()[again].sum(axis=1)
    columns = list(wide.columns)
    ratios = drawn[:, columns.index("untracked")] / drawn[:, columns.index("v6")] - 1
    low, high = np.quantile(ratios, [0.025, 0.975])  # plain percentiles: near the BCa ends, not at them
    assert row["low"] == pytest.approx(low, abs=0.5 * (high - low))
    assert row["high"] == pytest.approx(high, abs=0.5 * (high - low))
    share = found.per_trace.pivot(index="trace", columns="choice", values="mapped_end")
    assert changes.loc["mapped_end", "estimate"] == pytest.approx((share["untracked"] - share["v6"]).mean())
    assert found.to_dict()["changes"][0]["measure"] == "pmd_splits"
    assert found.change_rows()[0][0] == "PMD splits"


def test_pressure_that_follows_free_memory_is_measured_as_it_came() -> None:
    trace = sawtooth()
    marks = pba.Watermarks(min_free_kbytes=2048, page_cache_growth=1 << 24, mglru=True)
    machine = Machine(memory_pages=1 << 14, start="fragmented:0.5")
    found = pba.compare(trace, ["v6", "never"], machine, reclaim=marks)
    assert (found.start.code, found.watermarks) == ("fragmented:0.5:0", marks)
    assert (found.totals.loc["visits"] > 0).all()
    result = pba.replay(trace, machine=machine, reclaim=marks, timeline=True)
    assert result.timeline is not None
    visited = result.timeline["visited"].to_numpy()
    assert 0 < visited.sum() <= found.totals.at["visits", "v6"] + 4  # and four of priority 0
    at = np.flatnonzero(visited)
    held = result.timeline["nr_cached"].to_numpy()[at]
    assert found.totals.at["after_passes", "v6"] == pytest.approx(held.mean())
    text = render(found, 80)
    assert "half of memory free, 50 % of it outside of whole blocks (seed 0)" in text
    assert "pressure follows free memory" in text
    assert found.to_dict()["watermarks"] == marks.to_dict()
    plain = pba.compare(trace, ["v6"], machine.at_rest)
    assert plain.totals.at["visits", "v6"] == 0
    assert {"start", "watermarks"}.isdisjoint(plain.to_dict())


def test_watermarks_that_exceed_memory_are_refused_before_anything_is_replayed() -> None:
    with pytest.raises(pba.PbaError, match="high watermark, 49152 pages, is more than the memory"):
        pba.compare(sawtooth(), ["v6"], SMALL, reclaim=pba.Watermarks(min_free_kbytes=1 << 17))
