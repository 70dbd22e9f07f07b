"""`pba tune` as a person types it: what it prints, what it returns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pba.cli.app import run as pba
from pba.cli.tune import command_line
from pba.report.answers import folds, verdict
from pba.study.result import POINTS_FILE, load_run
from tests.study.study_fixture import make_study


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    make_study(folder, 33, "random")
    return folder


def test_it_tells_its_progress_ends_in_a_table_and_says_so_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tune", str(home / "small.toml"), "--run", str(home / "run"), "--workers", "2"]
    assert pba(arguments) == 0
    first = capsys.readouterr()
    assert all(len(line) <= 80 for line in first.out.splitlines() if str(home) not in line)
    run = load_run(home / "run")
    assert run.decision is not None
    words = " ".join(first.out.split())
    assert verdict(run) in words
    for one in run.decision.compared:
        values = one.over(run.aims, run.decision.compared[0])
        figures = rf"{values[0]:,.0f}\b.* {values[1]:,.0f}\b"
        assert re.search(rf"^{one.name} +{figures}", first.out, re.M), one.name
    assert run.rule in words
    assert folds(run) in words
    report = home / "run" / "report" / "report.html"
    assert f"report: {report}" in first.out
    assert report.exists()

    assert pba(arguments) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "points, best" not in second.err
    assert "done already, all 33 points" in second.err and "done already" not in first.err


def test_a_damaged_folder_ends_in_one_line_and_status_2(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tune", str(home / "small.toml"), "--run", str(home / "broken"), "--points", "3"]
    assert pba(arguments) == 0
    (home / "broken" / POINTS_FILE).write_bytes(b"PAR1")
    capsys.readouterr()
    assert pba(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    last = told.err.splitlines()[-1]
    assert last.startswith(f"pba: {home / 'broken' / POINTS_FILE}: damaged run folder")
    assert "--force" in last
    assert "Traceback" not in told.err
    assert pba([*arguments, "--force"]) == 0


def test_a_missing_study_ends_in_status_2(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pba(["tune", str(home / "none.toml")]) == 2
    assert "no such study file" in capsys.readouterr().err


def test_the_help_says_what_is_searched(capsys: pytest.CaptureFixture[str]) -> None:
    assert pba(["tune", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for told in ("4 to 16384", "1 to 512", "8 to 8192", "log scale", "runs/NAME"):
        assert told in words


def test_the_command_of_the_record_leaves_out_what_does_not_shape_it() -> None:
    assert command_line(None, None, None, None) == "pba tune"
    said = command_line(Path("my study.toml"), Path("runs/x"), 400, 7)
    assert said == "pba tune 'my study.toml' --run runs/x --points 400 --seed 7"
