from __future__ import annotations

import csv
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import csv as arrow_csv

from pba.errors import OutputError, PbaError
from pba.report import write_report
from tests.report.report_fixture import make_run


@pytest.fixture(scope="module")
def run():
    return make_run()


@pytest.fixture(scope="module")
def written(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "new" / "report"
    paths = write_report(run, folder)
    assert paths[0] == folder / "report.html"
    assert set(paths) == {folder / name for name in files(folder)}
    return folder


@pytest.fixture
def drawn_once(run, written, monkeypatch) -> None:
    """Take the contents of a report from one that was written: for tests of what happens to the files."""
    kept = {
        path.relative_to(written): path.read_bytes() for path in sorted(written.rglob("*.*"), reverse=True)
    }

    def contents(_run: object, folder: Path) -> dict[Path, bytes]:
        return {folder / name: content for name, content in kept.items()}

    monkeypatch.setattr("pba.report.write._contents", contents)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_is_exactly_the_files_it_says(run, written):
    assert {Path(name).suffix for name in files(written)} == {
        ".html",
        ".md",
        ".txt",
        ".csv",
        ".svg",
        ".png",
        ".json",
        ".patch",
    }


def test_the_same_run_gives_the_same_bytes_in_every_file(run, written, tmp_path):
    write_report(replace(run, folder=Path("elsewhere")), tmp_path / "again")
    assert files(tmp_path / "again") == files(written)


def test_trials_csv_has_every_point_with_plain_numbers(run, written):
    after_columns = arrow_csv.ReadOptions(skip_rows=1)
    table = arrow_csv.read_csv(written / "trials.csv", after_columns).to_pandas().set_index("number")
    pd.testing.assert_frame_equal(table, run.points, check_dtype=False, check_exact=True)


def test_each_figure_has_its_data_beside_it(written):
    for name in ("front", "recordings", "region"):
        told, data = (written / "figures" / f"{name}.csv").read_text().split("\n", 1)
        rows = list(csv.DictReader(io.StringIO(data)))
        assert told.startswith("# ")
        assert rows and None not in rows[0]


@pytest.mark.usefixtures("drawn_once")
def test_other_contents_are_kept_without_force(run, written, tmp_path):
    only = tmp_path / "r" / "figures"
    only.mkdir(parents=True)
    (only / "front.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"front\.png: exists already .*force=True"):
        write_report(run, tmp_path / "r")
    assert files(tmp_path / "r") == {"figures/front.png": b"mine"}


@pytest.mark.usefixtures("drawn_once")
def test_the_same_report_is_found_again_and_what_is_missing_is_added(run, written, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(written, folder)
    (folder / "report.txt").unlink()
    before = {path: path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    assert {str(path.relative_to(folder)) for path in write_report(run, folder)} == set(files(written))
    assert files(folder) == files(written)
    assert {path: path.stat().st_ino for path in before} == before


@pytest.mark.usefixtures("drawn_once")
def test_force_replaces_an_older_report_and_touches_nothing_else(run, written, tmp_path):
    (tmp_path / "report.txt").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    write_report(run, tmp_path, force=True)
    assert files(tmp_path) == {**files(written), "notes.txt": b"mine"}


@pytest.mark.usefixtures("drawn_once")
def test_a_file_where_the_folder_should_be(run, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write_report(run, tmp_path / "taken", force=True)
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(run, tmp_path / "taken" / "below")


@pytest.mark.usefixtures("drawn_once")
def test_a_full_disk_is_one_line_and_leaves_no_half_file(run, tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pba.files.os.fsync", full)
    with pytest.raises(OutputError, match=r"trials\.csv: cannot be written: No space left"):
        write_report(run, tmp_path)
    assert files(tmp_path) == {}


def test_timeline_needs_a_replay_that_kept_one():
    import pba.explore as explore
    from pba.machine import Machine, Thresholds
    from pba.results import ReplayResult

    def replay(timeline: pd.DataFrame | None) -> ReplayResult:
        return ReplayResult("a recording", Machine(4), Thresholds(), {}, "", 0, 0, timeline=timeline)

    with pytest.raises(PbaError, match="timeline=True"):
        explore.df_timeline(replay(None))
    timeline = pd.DataFrame(
        {"time_ns": [0, 2_000_000_000], "nr_cached": [256, 512], "live_pages": [0, 1024],
         "pud_splits": [0, 0], "contpmd_splits": [0, 1], "pmd_splits": [0, 3], "contpte_splits": [0, 0]}
    )  # fmt: skip
    result = replay(timeline)
    table = explore.df_timeline(result)
    assert list(table.cached_mib) == [1.0, 2.0] and list(table.live_mib) == [0.0, 4.0]
    assert list(table.seconds) == [0.0, 2.0] and list(table.pmd_splits) == [0, 3]
    assert explore.plot_timeline(result).title == "a recording with U=16 M=64 B=512"


def test_every_plot_has_its_table():
    import pba.explore as explore

    plots = {name[5:] for name in explore.__all__ if name.startswith("plot_")}
    tables = {name[3:] for name in explore.__all__ if name.startswith("df_")}
    assert plots <= tables
    assert tables - plots == {"choices", "floor", "folds", "groups", "regret"}


@pytest.mark.usefixtures("drawn_once")
def test_the_command_writes_beside_the_run_or_elsewhere_and_keeps_what_differs(
    run, tmp_path, monkeypatch, capsys
):
    from pba.cli.app import run as command

    monkeypatch.setattr("pba.study.result.load_run", lambda folder: replace(run, folder=folder))
    folder = tmp_path / "quickstart"
    folder.mkdir()
    (folder / "run.json").touch()
    assert command(["report", str(folder)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert set(told) == {str(folder / "report" / name) for name in files(folder / "report")}
    assert command(["report", str(folder)]) == 0
    (folder / "report" / "report.md").write_text("mine")
    capsys.readouterr()
    assert command(["report", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "exists already" in said and "--force" in said
    assert command(["report", str(folder), "-o", str(tmp_path / "else")]) == 0
    assert (folder / "report" / "report.md").read_text() == "mine"
    assert command(["report", str(folder), "--force"]) == 0
    assert files(tmp_path / "else") == files(folder / "report")


def test_the_command_says_that_there_is_no_such_run(tmp_path, capsys):
    from pba.cli.app import run as command

    assert command(["report", str(tmp_path / "nothing")]) == 2
    assert "no such run folder" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
