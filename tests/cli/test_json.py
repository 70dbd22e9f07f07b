"""`--json` prints plain values and nothing else; `--quiet` keeps progress to itself; help is plain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pba.cli.app import app
from pba.cli.app import run as pba
from pba.progress import keep_quiet
from pba.study.result import load_run
from pba.study.sweep.run import load_sweep
from tests.study.study_fixture import make_study

Printed = Callable[..., Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    make_study(folder, 9, "random")
    return folder


@pytest.fixture
def printed(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Printed]:
    """Run a command with `--json` quietly and return what it printed; nothing may be on standard error."""
    monkeypatch.chdir(home)

    def run(*arguments: str) -> Any:
        assert pba(["-q", *arguments, "--json"]) == 0
        output = capsys.readouterr()
        assert output.err == ""
        return json.loads(output.out)

    yield run
    keep_quiet(False)


def test_tune(printed: Printed, home: Path) -> None:
    found = printed("tune", "small.toml")
    run = load_run(home / "runs" / "small")
    assert run.decision is not None
    assert list(found["decision"]["recommended"].values()) == list(run.decision.recommended)
    assert found == json.loads((run.folder / "report" / "summary.json").read_text(encoding="utf-8"))


def test_several_studies(printed: Printed, home: Path) -> None:
    other = (home / "small.toml").read_text(encoding="utf-8").replace('"small"', '"other"')
    (home / "other.toml").write_text(other, encoding="utf-8")
    found = printed("tune", "small.toml", "other.toml")
    assert found == json.loads((home / "runs" / "overview.json").read_text(encoding="utf-8"))


def test_sweep(printed: Printed, home: Path) -> None:
    found = printed("sweep", "alpha.parquet", "-U", "16,64", "-M", "64:512:64", "-B", "512")
    sweep = load_sweep(home / "sweeps" / "alpha")
    (setting,) = found["settings"]
    assert len(setting["front"]) == len(sweep.front())
    assert setting["patch"]["pmd_splits"] == sweep.at(16, 64, 512)["pmd_splits"].sum()
    assert found["grid"]["points"] == len(sweep.grid)


def test_traces_made_of_others(printed: Printed) -> None:
    found = printed("trace", "cut", "alpha.parquet", "-o", "piece.parquet", "--to", "200ms")
    assert found["file"] == "piece.parquet"
    assert found["events"] == printed("info", "piece.parquet")["events"]
    found = printed("trace", "join", "alpha.parquet", "alpha.parquet", "-o", "twice.parquet")
    assert found["events"] == printed("info", "twice.parquet")["events"]


def test_import(printed: Printed, home: Path) -> None:
    (home / "x.events").write_text("100 A 1\n200 A 2\n300 F 1\n", encoding="utf-8")
    found = printed("import", "x.events", "-o", "x.parquet", "--page-size", "4", "--memory", "1GiB")
    assert (found["file"], found["events"]) == ("x.parquet", 3)


def test_plot(printed: Printed, home: Path) -> None:
    found = printed("plot", "alpha.parquet", "--kind", "live", "--format", "csv")
    assert [Path(name).name for name in found["files"]] == ["live.csv"]
    assert all((home / name).is_file() for name in found["files"])


def commands(command: Any, name: str = "pba") -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
    else:
        for word, one in below.items():
            yield from commands(one, f"{name} {word}")


PRINT_NO_RESULTS = {"pba report", "pba study show", "pba study new", "pba trace minimise"}
"""`report` has --format json; a study is a file of TOML; minimise prints how to see what it found."""


@pytest.mark.parametrize(("name", "command"), list(commands(get_command(app))), ids=str)
def test_every_command_that_prints_results_has_json(name: str, command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in options) == (name not in PRINT_NO_RESULTS)


@pytest.mark.parametrize("words", [[], ["tune"], ["trace"], ["trace", "cut"], ["cache", "clear"]])
def test_help_says_of_a_flag_what_it_does_alone(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert pba([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "bool" not in text.lower()
    assert "-h" in text
    assert pba([*words, "-h"]) == 0
    assert capsys.readouterr().out == text


def test_quiet_is_for_progress_not_for_errors(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    try:
        assert pba(["--quiet", "tune", "none.toml"]) == 2
        assert "no such study file" in capsys.readouterr().err
    finally:
        keep_quiet(False)
