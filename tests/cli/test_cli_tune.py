"""`pba tune` as a person types it: what it prints, what it returns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pba.cli.app import run as pba
from pba.cli.tune import changes_of, command_line
from pba.report.answers import folds, verdict
from pba.study.result import POINTS_FILE, load_run
from pba.study.study_file import parse_definition
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
    assert command_line([], [], [], {"--run": None}) == "pba tune"
    said = command_line(["my study.toml"], ["x"], ["a.b=1"], {"--run": Path("runs/x"), "--seed": 7})
    assert said == "pba tune 'my study.toml' --held-out x --set a.b=1 --run runs/x --seed 7"


def test_options_stand_for_the_keys_of_a_file() -> None:
    said = changes_of(
        ["refills", "peak_cached:mean"], "least-regret", "16", "2GiB", "pmd", True, ["groups.a=['x']"]
    )
    study = parse_definition('name = "a"', None, said)
    assert [(aim.name, aim.over) for aim in study.aims] == [("refills", "sum"), ("peak_cached", "mean")]
    assert (study.choice.rule, study.sweep, study.groups) == ("least-regret", False, {"a": ("x",)})
    assert (study.page_size_kib, study.memory_bytes, study.linear_map) == (16, 2 << 30, "pmd")
    assert changes_of([], None, None, None, None, False, []) == []


def test_traces_alone_are_a_study(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "tune",
        str(home / "alpha.parquet"),
        "--held-out",
        str(home / "beta.parquet"),
        "--points",
        "33",
    ]
    arguments += ["--aim", "pmd_splits", "--aim", "refills:mean", "--set", "search.sampler=random"]
    assert pba([*arguments, "--run", str(home / "plain")]) == 0
    capsys.readouterr()
    run = load_run(home / "plain")
    assert [(aim.name, aim.over) for aim in run.aims] == [("pmd_splits", "sum"), ("refills", "mean")]
    assert (list(run.traces["trace"]), list(run.held_out["trace"])) == (["alpha"], ["beta"])
    assert (run.study.name, run.study.sampler) == ("alpha", "random")
    # The folder's own study file says the same: it is done already.
    again = ["tune", str(home / "plain" / "study.toml"), "--run", str(home / "plain"), "--points", "33"]
    assert pba(again) == 0
    assert "done already, all 33 points" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["quickstart", "pgbench"], "quickstart is a study and pgbench a trace"),
        (["nothing-like-it"], "no trace file and no recording of pba is called 'nothing-like-it'"),
        (["pgbench", "--aim", "pmd_split"], "this study: aims: no aim is called 'pmd_split' (did you mean pmd_splits?"),
        (["pgbench", "--aim", "refills:most"], "this study: aims: expected over to be"),
        (["pgbench", "--rule", "best"], "this study: [decision] rule: expected one of"),
        (["pgbench", "--set", "search.point=3"], "this study: [search] point: unknown key (did you mean points?"),
        (["pgbench", "--held-out", "pgbench"], "is tuned on and held out"),
        (["pgbench", "--memory", "lots"], "lots"),
    ],
)  # fmt: skip
def test_what_cannot_be_tuned_is_one_line(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pba(["tune", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert told in output.err.splitlines()[-1]
    assert "Traceback" not in output.err
