from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pba.errors import StudyError
from pba.report.data import (
    folds_table,
    front_table,
    groups_table,
    interval_text,
    points_table,
    quality_table,
    recordings_table,
    strip_table,
    thinned,
    with_unit,
    write_value,
)
from pba.report.figures import thin
from pba.study.aims import KNOWN_AIMS, Aim
from pba.study.decision.compare import change
from tests.report.report_fixture import corner_runs, make_run, outcome, traces_table

CORNERS = corner_runs()
DECIDED = {name: run for name, run in CORNERS.items() if run.complete}
corners = pytest.mark.parametrize("run", CORNERS.values(), ids=CORNERS)
decided = pytest.mark.parametrize("run", DECIDED.values(), ids=DECIDED)


@corners
def test_points_table_has_every_point_and_its_roles(run):
    table = points_table(run).set_index("number")
    assert len(table) == len(run.points)
    assert "patch" in table.role[run.patch].split(" and ")
    assert "recommended" in table.role[run.recommended].split(" and ")
    if run.decision is not None:
        for one in run.decision.compared[1:-1]:
            own = table[[one.name in role.split(" and ") for role in table.role]]
            assert [tuple(row) for row in own.iloc[:, :3].to_numpy()] == [one.point]
    assert list(table.searched) == list(run.points.searched)


@corners
def test_no_point_beats_an_outcome_of_the_front_and_none_is_twice_there(run):
    front = front_table(run)
    names = [aim.name for aim in run.aims]
    signs = np.array([aim.sign for aim in run.aims])
    assert not front.duplicated(names).any()
    exact = run.decision is not None and bool(run.decision.front)
    # Off the grid the search may find better ones than the exact front of the grid has.
    losses = (front if exact else run.points)[names].to_numpy(float) * signs
    for row in front[names].to_numpy(float) * signs:
        no_worse = (losses <= row + 1e-9 * abs(row)).all(axis=1)
        assert not (no_worse & (losses < row - 1e-9 * abs(row)).any(axis=1)).any()


@decided
def test_the_strip_is_what_the_points_come_to(run):
    table = strip_table(run)
    assert list(table.name) == [
        "patch",
        "whole blocks only",
        "never shrink",
        "shrink everything",
        *(["best found"] if run.decision.passed_over else []),
        "recommended",
    ]
    for row in table.to_dict("records"):
        same = (run.points.iloc[:, :3] == [row[name] for name in run.points.columns[:3]]).all(axis=1)
        for aim in run.aims:
            assert row[aim.name] == pytest.approx(float(run.points[aim.name][same].iloc[0]))
            assert bool(row[f"change_{aim.name}"]) == (row["name"] != "patch")


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


def test_what_does_not_react_is_marked_with_the_reason():
    def model(u, m, b, trace):
        return outcome(16, 64, 512, 0) if trace == 0 else outcome(u, m, b, trace)

    table = recordings_table(make_run(model=model)).set_index("trace")
    assert "no shrinker pass" in table.silent["configure-storm"]
    assert table.silent["postgres-pgbench"] == ""


@decided
def test_folds_and_groups_are_those_of_the_decision(run):
    folds = folds_table(run)
    assert list(folds.get("trace", [])) == [fold["recording"] for fold in run.decision.folds]
    for row, fold in zip(folds.to_dict("records"), run.decision.folds, strict=True):
        assert [row["unshrinkable_pages"], row["shrink_block_min_pages"], row["batch"]] == fold["point"]
        patch = run.per_trace.loc[(run.patch, row["trace"])]
        assert [row[f"patch_{aim.name}"] for aim in run.aims] == [float(patch[aim.name]) for aim in run.aims]
    for row, group in zip(groups_table(run).to_dict("records"), run.decision.groups, strict=True):
        own = run.per_trace.loc[run.recommended].loc[group["recordings"]]
        assert row["recommended_pmd_splits"] == own["pmd_splits"].sum()
        assert row["recommended_mean_cached_pages"] == pytest.approx(own["mean_cached_pages"].mean())


def test_an_incomplete_run_has_not_decided():
    with pytest.raises(StudyError, match="has not decided yet"):
        strip_table(CORNERS["incomplete"])


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
    with pytest.raises(StudyError, match="point 999"):
        recordings_table(replace(make_run(), recommended=999))


def test_values_are_written_with_their_units():
    splits, share, ratio = (
        KNOWN_AIMS["pmd_splits"],
        KNOWN_AIMS["block_mapped_share"],
        Aim("x", "pages", over="ratio"),
    )
    assert with_unit(splits, 1) == "1 split" and with_unit(splits, 1200) == "1,200 splits"
    assert write_value(share, 0.98765) == "98.76 %" or write_value(share, 0.98765) == "98.77 %"
    assert with_unit(ratio, 1.1) == "1.10 times the patch's x"
    assert with_unit(KNOWN_AIMS["mean_cached_mib"], 3.14159) == "3.14 MiB"


def test_changes_are_written_with_their_interval():
    splits = KNOWN_AIMS["pmd_splits"]
    told = interval_text(change(splits, [5, 6, 7, 9], [10, 12, 14, 18]).to_dict())
    assert told == "-50 %"
    assert interval_text(change(splits, [1, 2], [1, 2]).to_dict()) == "0"
    assert interval_text(change(splits, [4], [8]).to_dict()) == "-50 %"
    assert interval_text(change(splits, [3, 0, 0], [0, 0, 0]).to_dict()) == "+3"


def test_thinning_keeps_the_ends():
    table = pd.DataFrame({"x": range(100)})
    assert list(thinned(table, 5).x) == [0, 25, 50, 74, 99]
    assert thinned(table, 200) is table


def test_thinning_a_timeline_keeps_its_peaks_and_ends():
    rows = 100_000
    table = pd.DataFrame({"seconds": np.arange(rows) / 10, "cached_mib": 1.0, "live_mib": 2.0})
    table.loc[70_001, "cached_mib"] = 50.0
    table.loc[12_345, "live_mib"] = 0.1
    shown = thin(table, steps=200)
    assert len(shown) < 1000
    assert {0, 12_345, 70_001, rows - 1} <= set(shown.index)
    assert shown.seconds.is_monotonic_increasing
