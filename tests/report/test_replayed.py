"""Why it works and where splits come from: what the report says of replays over time follows from the replays."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import pba
from pba.report.replayed import Replayed, mechanism_section, origins_section, replayed
from pba.report.summary import summarize_run
from pba.study.result import Run
from pba.study.space import Point
from tests.study.study_fixture import finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("replayed"))


@pytest.fixture(scope="module")
def found(run: Run) -> Replayed:
    return replayed(run)


def test_each_replay_is_the_runs_own(run: Run, found: Replayed) -> None:
    assert found.splits and not found.left_out
    for name, named in found.splits.items():
        for role, number in (("patch", run.patch), ("recommended", run.recommended)):
            if role in named:
                assert len(named[role].table) == run.per_trace.loc[(number, name), "pmd_splits"]
                mean = named[role].result.mean_cached_pages
                assert mean == pytest.approx(run.per_trace.loc[(number, name), "mean_cached_pages"])
    splits = [run.per_trace.loc[number]["pmd_splits"] for number in (run.patch, run.recommended)]
    gains = splits[0] - splits[1]
    assert gains[found.shown] == gains.max()


def test_the_sentences_count_what_the_tables_hold(run: Run, found: Replayed) -> None:
    (section,) = mechanism_section(run, found)
    tables = [named["patch"] for named in found.splits.values()]
    of_blocks = [one.table[one.table["cause"] == "block"] for one in tables]
    best = Point(*(int(run.points.loc[run.recommended, name]) for name in (
        "unshrinkable_pages", "shrink_block_min_pages", "batch",
    )))  # fmt: skip
    spared = sum(
        int((rows["free_pages"] < best.on(one.result.machine).shrink_block_min_pages).sum())
        for one, rows in zip(tables, of_blocks, strict=True)
    )
    total = sum(len(one.table) for one in tables)
    by_block = sum(map(len, of_blocks))
    assert section.text[0].startswith(
        f"With the patch's thresholds {by_block:,} of {total:,} splits come from blocks"
    )
    if run.patch != run.recommended:
        assert (
            f"; {spared:,} of them had fewer than the recommended M={best.shrink_block_min_pages}"
            in section.text[0]
        )
    assert section.figure == "watch" and found.shown in section.text[-1]
    (origins,) = origins_section(run, found)
    causes, *lists = origins.tables
    assert causes.rows[-1][1] == f"{total:,}"
    for role, table in zip(found.named, lists, strict=False):
        rows = found.named[role].table
        assert [row[2] for row in table.rows] == [
            f"{block:,}" for block in rows["block"].head(len(table.rows))
        ]
        assert [row[4] for row in table.rows] == [
            f"{free:,}" if free else "-" for free in rows["free_pages"].head(40)
        ]


def test_the_report_has_both_figures_and_their_tables(run: Run, found: Replayed) -> None:
    pictures = {picture.name: picture for picture in found.pictures()}
    assert set(pictures) == {"watch", "splits"}
    counts = pictures["splits"].data["thresholds"].value_counts()
    assert {role: int(counts[role]) for role in found.named} == {
        role: len(one.table) for role, one in found.named.items()
    }
    keys = [section.key for section in summarize_run(run, found).sections]
    assert (
        keys.index("recommendation") < keys.index("mechanism") < keys.index("costs") < keys.index("origins")
    )


def test_what_is_not_there_any_more_is_said(run: Run, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    traces = run.traces.assign(path=[str(tmp_path / "nowhere"), *run.traces["path"][1:]])
    gone = replayed(replace(run, traces=traces))
    assert run.traces["trace"][0] in gone.left_out and gone.why == "the file is not where it was"
    changed = run.traces.assign(sha256="0" * 64)
    counted = run.per_trace.assign(pmd_splits=run.per_trace["pmd_splits"] + 1)
    assert "does not start free" in replayed(replace(run, per_trace=counted)).why
    other = replayed(replace(run, traces=changed))
    assert other.shown == "" and other.pictures() == [] and other.why == "the file holds something else now"
    said = " ".join(mechanism_section(replace(run, traces=changed), other)[0].text)
    assert "Not replayed over time:" in said and origins_section(run, other) == ()


def test_splits_are_public() -> None:
    found = pba.splits("pgbench-x86")
    assert len(found.table) == found.result.counters["pmd_splits"] == found.watch.aims[0]
    assert pba.df_splits(found).equals(found.table)
    assert pba.plot_splits(found).name == "splits"
    assert "31" in repr(found) and "a block was shrunk in part: 31 splits" in repr(found)
