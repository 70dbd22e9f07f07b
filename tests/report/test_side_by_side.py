"""Runs and sweeps side by side: what differs, what each found, and what that comes to for the others."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import pba
from pba.explore import df_choices
from pba.report.side_by_side import compare_runs, is_result
from pba.report.side_by_side_figures import run_comparison_files
from pba.study.aims import KNOWN_AIMS
from pba.study.space import PATCH_POINT, Point
from tests.report.report_fixture import make_run

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = ("pressure", "churn")


@pytest.fixture(scope="module")
def swept() -> dict[str, pba.SweepResult]:
    """Two sweeps: of two traces, and of one of them on a coarser grid."""
    paths = [VECTORS / f"{name}.events.gz" for name in NAMES]
    machine = pba.Machine(memory_pages=1 << 15)
    return {
        "both": pba.sweep(paths, pba.Grid("0:256:32", "1:512:73", "64,512"), machine),
        "one": pba.sweep(paths[0], pba.Grid("0,16,64", "1,64", "512"), machine),
    }


def test_what_differs_is_said_and_what_does_not(swept: dict[str, pba.SweepResult]) -> None:
    found = compare_runs(swept["both"], swept["one"])
    assert found.names == ("sweep 1", "sweep 2")
    assert list(found.differences.index) == ["grid", "traces"]
    assert found.differences.loc["traces"].tolist() == ["2", "1, without churn"]
    assert {"pba", "model", "numba", "aims", "machines"} <= set(found.same)


def test_figures_are_those_of_replays(swept: dict[str, pba.SweepResult]) -> None:
    found = compare_runs(swept["both"], swept["one"])
    for row in found.per_trace.to_dict("records"):
        of = found.choices[
            (found.choices["of"] == row["of"]) & (found.choices["choice"] == row["choice"])
        ].iloc[0]
        thresholds = pba.Thresholds(*(int(of[name]) for name in PATCH_POINT._fields))
        trace = pba.read_trace(VECTORS / f"{row['trace']}.events.gz")
        result = pba.replay(trace, thresholds, pba.Machine(memory_pages=1 << 15))
        assert row["pmd_splits"] == result.counters["pmd_splits"]
        assert row["mean_cached_pages"] == pytest.approx(result.mean_cached_pages, rel=1e-12)
    assert set(found.per_trace["trace"]) == {"pressure"}  # the one that both have


def test_the_recommended_point_of_one_is_looked_up_on_the_others_traces(
    swept: dict[str, pba.SweepResult],
) -> None:
    found = compare_runs(swept["both"], swept["one"])
    table = found.crossed.set_index(["of", "on"])
    assert len(table) == 4
    for (_, on), row in table.iterrows():
        result = swept["both" if on == "sweep 1" else "one"]
        point = [int(row[name]) for name in PATCH_POINT._fields]
        if result.grid.cell_of(Point(*point)) is not None:
            assert row["pmd_splits"] == result.at(*point)["pmd_splits"].sum()
        else:
            assert math.isnan(row["pmd_splits"])
    own = found.choices[found.choices["choice"] == "recommended"].set_index("of")
    assert table.loc[("sweep 1", "sweep 1"), "pmd_splits"] == own.loc["sweep 1", "pmd_splits"]


def test_runs_say_what_their_reports_say() -> None:
    one, other = (
        make_run(),
        replace(make_run(names=("a", "b")), folder=Path("runs/other"), versions={"pba": "0.2"}),
    )
    found = compare_runs(one, other)
    assert found.names == ("made-up", "other")
    assert found.differences.loc["pba"].tolist() == ["0.1.0", "0.2"]
    assert "traces" in found.differences.index
    assert one.decision is not None
    rows = found.choices[found.choices["of"] == "made-up"]
    assert rows["choice"].tolist() == [each.name for each in one.decision.compared]
    values = one.decision.named("recommended").over(one.aims, one.decision.named("patch"))
    assert rows[[aim.name for aim in one.aims]].iloc[-1].tolist() == values
    strip = df_choices(one)
    assert rows["change_pmd_splits"].tolist() == strip["change_pmd_splits"].tolist()
    assert found.per_trace.empty  # no trace that both have


def test_a_run_that_is_not_complete_is_compared_as_far_as_it_is() -> None:
    found = compare_runs(make_run(), replace(make_run(complete=False), folder=Path("runs/half")))
    assert found.differences.loc["state"].tolist() == ["complete", "not complete"]
    assert found.choices[found.choices["of"] == "half"]["choice"].tolist() == ["patch", "recommended"]


def test_a_trace_of_one_name_and_other_events_is_told(swept: dict[str, pba.SweepResult]) -> None:
    one = swept["one"]
    other = replace(one, cases=(replace(one.cases[0], events=7),))
    found = compare_runs(one, other)
    assert found.differences.loc["events of pressure"].tolist()[1].startswith("7 events")


def test_runs_without_an_aim_in_common_are_refused() -> None:
    one, other = (
        make_run(),
        replace(make_run(aims=(KNOWN_AIMS["mean_cached_mib"],)), folder=Path("runs/other")),
    )
    with pytest.raises(pba.PbaError, match="no aim in common"):
        compare_runs(one, other)


def test_one_result_or_twice_the_same_is_refused() -> None:
    with pytest.raises(pba.PbaError, match="1 result to compare"):
        compare_runs(make_run())
    with pytest.raises(pba.PbaError, match="named twice"):
        compare_runs(make_run(), make_run())
    with pytest.raises(pba.PbaError, match="holds no run and no sweep"):
        compare_runs(VECTORS, make_run())
    assert not is_result(VECTORS)


def test_the_figure_and_the_files_hold_the_tables(swept: dict[str, pba.SweepResult], tmp_path: Path) -> None:
    found = compare_runs(swept["both"], swept["one"])
    picture = pba.plot_compare(found)
    assert picture.data.equals(pba.df_compare(found))
    (axes,) = picture.figure.axes
    fronts = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert [len(line.get_xdata()) for line in fronts] == [
        int((found.fronts["of"] == name).sum()) for name in found.names
    ]
    files = {path.name: content for path, content in run_comparison_files(found, tmp_path).items()}
    assert json.loads(files["comparison.json"]) == found.to_dict()
    (tmp_path / "choices.csv").write_bytes(files["choices.csv"])
    read = pd.read_csv(tmp_path / "choices.csv", keep_default_na=False)
    assert read["pmd_splits"].tolist() == found.choices["pmd_splits"].tolist()
    assert {"fronts.svg", "fronts.png", "crossed.csv", "per-trace.csv", "differences.csv"} <= set(files)


def test_it_shows_itself_in_a_few_lines(swept: dict[str, pba.SweepResult]) -> None:
    found = compare_runs(swept["both"], swept["one"])
    assert len(repr(found).splitlines()) == 3
    shown = found._repr_html_()
    assert "what differs" in shown and "recommended" in shown
