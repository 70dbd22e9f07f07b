"""`pba tune` of several studies, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pba.cli.app import run as pba
from pba.study.result import POINTS_FILE, load_run
from tests.study.batch_fixture import NAMES, make_studies

STUDIES = [f"{name}.toml" for name in NAMES]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_studies(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_batch_ends_in_a_table_reports_and_an_overview_and_again_in_the_same(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tune", *STUDIES, "--points", "5", "--workers", "2"]
    assert pba(arguments) == 0
    first = capsys.readouterr()
    lines = first.out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    for name in NAMES:
        run = load_run(home / "runs" / name)
        assert run.command == f"pba tune {name}.toml --points 5"
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        before, after = (run.points.loc[at, "pmd_splits"] for at in (run.patch, run.recommended))
        assert line.split()[1] == "2"
        assert f"PMD splits {before} -> {after}" in line
        assert (home / "runs" / name / "report" / "report.html").exists()
    assert lines[-2:] == ["overview: runs/overview.html", "overview: runs/overview.json"]
    written = json.loads((home / "runs" / "overview.json").read_text())
    assert [row["study"] for row in written["studies"]] == list(NAMES)
    page = (home / "runs" / "overview.html").read_bytes()

    assert pba(arguments) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err.splitlines() == [f"{at}/3 {name}: done already" for at, name in enumerate(NAMES, 1)]
    assert (home / "runs" / "overview.html").read_bytes() == page


def test_one_that_fails_leaves_with_1_and_the_others_done(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pba(["tune", "two.toml", "--points", "4"]) == 0
    (home / "runs" / "two" / POINTS_FILE).write_bytes(b"PAR1")
    capsys.readouterr()
    assert pba(["tune", *STUDIES, "--points", "4"]) == 1
    told = capsys.readouterr()
    assert "2/3 two: failed: runs/two/points.parquet: damaged run folder" in told.err
    words = " ".join(told.out.split())
    assert "- two failed: runs/two/points.parquet: damaged run folder" in words
    assert "--force begins anew there" in words
    assert "Traceback" not in told.err
    rows = json.loads((home / "runs" / "overview.json").read_text())["studies"]
    assert [row["failed"] for row in rows] == [False, True, False]
    assert pba(["tune", *STUDIES, "--points", "4", "--force"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["one.toml", "one.toml"], "one.toml and one.toml have both the name one"),
        (["one.toml", "none.toml"], "none.toml: no such study file"),
        (["one.toml", "alpha.parquet"], "one.toml is a study and alpha.parquet a trace"),
        (["one.toml", "two.toml", "--run", "x"], "--run is for one study"),
        (["one.toml", "two.toml", "--held-out", "alpha"], "--held-out is for one study"),
        (["one.toml", "two.toml", "--points", "0"], "--points 0 is out of range"),
        (["one.toml", "two.toml", "--workers", "0"], "--workers 0"),
        (["one.toml", "two.toml", "--dask", "nowhere at all"], "no address of a Dask scheduler"),
        (["one.toml", "two.toml", "--storage", "nowhere"], "--storage"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_begins(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert pba(["tune", *words]) == 2
    ended = capsys.readouterr()
    assert told in ended.err.splitlines()[-1]
    assert ended.out == ""
    assert not (home / "runs").exists()
