from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pba.errors import StudyError
from pba.report.data import (
    flatness_table,
    front_table,
    held_out_table,
    points_table,
    quality_table,
    recordings_table,
    tolerance_table,
)
from pba.report.figures import thin
from pba.study.objective import points_of
from pba.study.recommend import recommend
from tests.report.report_fixture import corner_runs, equal_everywhere, make_run, traces_table

CORNERS = corner_runs()
corners = pytest.mark.parametrize("run", CORNERS.values(), ids=CORNERS)


@corners
def test_points_table_has_every_point_and_one_of_each_role(run):
    table = points_table(run)
    assert len(table) == len(run.points)
    roles = [role for role in table.role if role]
    assert roles in (["patch and recommended"], ["patch", "recommended"])
    assert int(table.number[table.role.str.endswith("recommended")].iloc[0]) == run.recommended


@corners
def test_no_point_beats_an_outcome_of_the_front_and_none_is_twice_there(run):
    front = front_table(run)
    assert front.pmd_splits.is_monotonic_increasing
    assert not front.duplicated(["pmd_splits", "mean_cached_pages"]).any()
    assert front.equal_points.sum() == len(run.front)
    for row in front.itertuples():
        no_worse = (run.points.pmd_splits <= row.pmd_splits) & (
            run.points.mean_cached_pages <= row.mean_cached_pages
        )
        better = (run.points.pmd_splits < row.pmd_splits) | (
            run.points.mean_cached_pages < row.mean_cached_pages
        )
        assert not (no_worse & better).any()


def test_points_with_one_outcome_share_a_row_that_names_the_recommended_one():
    run = make_run([(16, 64, 512), (8, 32, 256), (4, 16, 128)], model=equal_everywhere, recommended=2)
    front = front_table(run)
    assert len(front) == 1
    assert (front.number[0], front.equal_points[0]) == (2, 3)
    assert front.recommended[0] and front.patch[0]


@corners
def test_recordings_add_up_to_the_points(run):
    table = recordings_table(run)
    assert list(table.trace) == list(run.traces["trace"])
    for role, number in (("patch", run.patch), ("recommended", run.recommended)):
        assert table[f"{role}_pmd_splits"].sum() == run.points.pmd_splits[number]
        pages = table[f"{role}_mean_cached_pages"].mean()
        assert pages == pytest.approx(run.points.mean_cached_pages[number])
        assert table[f"{role}_mean_cached_mib"].mean() == pytest.approx(run.points.mean_cached_mib[number])
        assert table[f"{role}_peak_cached_mib"].max() == run.points.peak_cached_mib[number]
    assert np.allclose(table.change_mean_cached_mib,
                       table.recommended_mean_cached_mib - table.patch_mean_cached_mib)  # fmt: skip


def flat_run(lines: dict[str, list[tuple[int, int, float]]], here: tuple[int, int, int] = (16, 64, 512)):
    """Make a run whose recommended point has 100 splits and 10 pages, with these replays around it."""

    def model(u, m, b, trace):
        return {**equal_everywhere(u, m, b, trace), "pmd_splits": 100, "mean_cached_pages": 10.0}

    run = make_run([here], names=("only",), model=model, recommended=0)
    rows = [
        {"threshold": name, "value": value, "pmd_splits": splits, "mean_cached_pages": cached}
        for name, line in lines.items()
        for value, splits, cached in line
    ]
    return replace(run, flatness=pd.DataFrame(rows))


def test_tolerance_ends_at_the_first_neighbour_that_leaves_5_percent_in_either_aim():
    run = flat_run(
        {
            "unshrinkable_pages": [
                (2, 100, 10.0),
                (4, 106, 10.0),
                (8, 105, 9.5),
                (32, 95, 10.5),
                (64, 100, 10.6),
            ],
            "shrink_block_min_pages": [(1, 104, 10.0), (512, 100, 10.1)],
            "batch": [(8, 100, 10.0), (8192, 100, 10.0)],
        }
    )
    table = tolerance_table(run)
    u = table.loc["unshrinkable_pages"]
    # 2 pages are within again, but beyond a value that is not: the range does not jump over it.
    assert (u["from"], u["to"], u.below, u.above) == (8, 32, 4, 64)
    assert (u.tested, u.lowest, u.highest) == (6, 2, 64)
    assert (u.min_pmd_splits, u.max_pmd_splits) == (95, 106)
    assert list(table.matters) == [True, False, False]
    assert list(table.inert) == [False, False, True]
    assert np.isnan(table.below["batch"]) and np.isnan(table.above["batch"])


def test_from_no_splits_any_split_is_a_change():
    def model(u, m, b, trace):
        return {**equal_everywhere(u, m, b, trace), "pmd_splits": 0}

    run = make_run([(16, 64, 512)], names=("only",), model=model, recommended=0)
    flat = run.flatness.copy()
    flat.loc[flat.index[0], "pmd_splits"] = 1
    table = flatness_table(replace(run, flatness=flat))
    assert list(table.within[:3]) == [False, True, True]


def test_flatness_always_holds_the_recommended_point_once():
    for run in (make_run(), make_run(complete=False), make_run(recommended=3)):
        table = flatness_table(run)
        for name in ("unshrinkable_pages", "shrink_block_min_pages", "batch"):
            line = table[table.threshold == name]
            own = line[line.value == run.points[name][run.recommended]]
            assert len(own) == 1 and own.within.all()
            assert line.value.is_unique and line.value.is_monotonic_increasing


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"lost_events": 1200}, ["1,200 events lost"]),
        ({"unknown_frees": 7}, ["7 frees without a known allocation"]),
        ({"inferred_frees": 485}, []),
        ({"inferred_frees": 970}, ["2.0 % of the frees only inferred"]),
        ({"recall": 0.971}, ["recall 97.10 %"]),
        ({"recall": 0.98999}, ["recall 98.99 %"]),
        ({"precision": 0.5}, ["precision 50.00 %"]),
        ({"recall": np.nan, "precision": np.nan}, ["never held against kpageflags"]),
        ({"lost_events": 1, "recall": 0.9}, ["1 event lost", "recall 90.00 %"]),
    ],
)
def test_imperfect_recordings_are_flagged_and_perfect_ones_are_not(changes, words):
    run = make_run(traces=traces_table(**changes))
    assert quality_table(run)["imperfect"].iloc[0].split("; ") == (words or [""])


def test_a_run_without_the_point_it_recommends_is_damaged():
    run = replace(make_run(), recommended=999)
    with pytest.raises(StudyError, match="point 999"):
        recordings_table(run)
    with pytest.raises(StudyError, match="point 999"):
        flatness_table(run)


def test_thinning_a_timeline_keeps_its_peaks_and_ends():
    rows = 100_000
    table = pd.DataFrame({"seconds": np.arange(rows) / 10, "cached_mib": 1.0, "live_mib": 2.0})
    table.loc[70_001, "cached_mib"] = 50.0
    table.loc[12_345, "live_mib"] = 0.1
    shown = thin(table, steps=200)
    assert len(shown) < 1000
    assert {0, 12_345, 70_001, rows - 1} <= set(shown.index)
    assert shown.seconds.is_monotonic_increasing


def test_a_recording_held_out_has_no_say_in_the_choice_and_judges_it():
    def model(u, m, b, trace):
        # Recording 2 alone prefers the large U, by far; the others prefer the small one.
        splits = {8: 10, 512: 19}.get(u, 20) if trace < 2 else {512: 0}.get(u, 900)
        return {**equal_everywhere(u, m, b, trace), "pmd_splits": splits}

    run = make_run([(16, 64, 512), (8, 64, 512), (512, 64, 512)], model=model)
    assert run.recommended == 2
    table = held_out_table(run)
    assert list(table.number) == [2, 2, 1]
    assert list(table.unshrinkable_pages) == [512, 512, 8]
    assert list(table.patch_pmd_splits) == [20, 20, 900] and list(table.chosen_pmd_splits) == [19, 19, 900]
    assert held_out_table(make_run(names=("only",))).empty


@corners
def test_holding_out_agrees_with_a_study_of_the_other_recordings(run):
    for row in held_out_table(run).itertuples():
        others = points_of(run.per_trace.drop(index=row.trace, level="trace"))
        assert row.number == recommend(others, run.patch)
