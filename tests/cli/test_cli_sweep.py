"""`pba sweep` as a person types it: what it prints, what it refuses, what it returns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pba as package
from pba.cli.app import run as pba
from pba.cli.sweep import command_line, folder_name, machine_rules
from pba.study.decision.region import in_words
from pba.study.exact import recommended_of
from tests.study.sweep_fixture import GRID, arguments, write_traces


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    write_traces(folder)
    return folder


def traces(home: Path) -> list[str]:
    return [str(home / "alpha.parquet"), str(home / "beta.parquet")]


def test_it_prints_the_summary_and_again_says_it_is_done(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(traces(home), home / "out")
    assert pba([*words, "--workers", "2"]) == 0
    first = capsys.readouterr()
    assert (home / "out" / "summary.txt").read_text() in first.out
    assert all(len(line) <= 80 for line in first.out.splitlines() if str(home) not in line)
    assert "points (" in first.err and "on 2 traces and machines" in first.err
    assert pba(words) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "done already" in second.err


def test_the_summary_says_what_the_result_holds(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pba(arguments(traces(home), home / "out")) == 0
    capsys.readouterr()
    found = package.load_sweep(home / "out")
    text = (home / "out" / "summary.txt").read_text()
    place, best, front = found.patch_place(), recommended_of(found).recommended, found.front()
    flat = " ".join(text.split())
    assert f"{len(GRID):,} points" in flat
    assert f"U=16 M=64 B=512 (the patch): {place.aims.pmd_splits} PMD split" in flat
    assert re.search(rf"\b{place.beaten_by:,} points? beats? it", flat) or place.nearest is None
    assert f"{best} ({in_words(best)}): PMD splits" in flat
    assert len(front) == 1 or f"{len(front)} pairs of aims are on the front" in flat
    rows = re.findall(
        r"^[> ] +(\d+) +[\d.,]+ +[\d,]+ +\d+ +\d+ +\d+", text.split("The exact front\n")[1], re.M
    )
    assert [int(row) for row in rows][: len(front)] == front["pmd_splits"].tolist()
    assert "# An exact sweep" in (home / "out" / "summary.md").read_text()


def test_options_of_the_machine_make_every_combination(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = ["--unshrinkable-pages", "0,16", "--shrink-block-min-pages", "64", "--batch", "512"]
    machine = ["--memory", "64MiB", "--memory", "32MiB", "--linear-map", "pmd"]
    words = ["sweep", traces(home)[0], *axes, *machine, "-o", str(home / "machines")]
    assert pba(words) == 0
    out = capsys.readouterr().out
    found = package.load_sweep(home / "machines")
    assert found.settings == ["64MiB, pmd linear map", "32MiB, pmd linear map"]
    assert [case.machine.memory_pages for case in found.cases] == [16384, 8192]
    for setting in found.settings:
        assert f"The exact front ({setting})" in out
    assert machine_rules([], [], [], [package.Start()]) is None


def test_memory_in_pieces_is_an_option_of_the_machine(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments([str(home / name) for name in ("alpha.parquet",)], tmp_path / "out")
    assert pba([*words, "--fragmented", "0", "--fragmented", "1", "--seed", "3"]) == 0
    capsys.readouterr()
    found = package.load_sweep(tmp_path / "out")
    assert [case.machine.start.code for case in found.cases] == ["fragmented:0:3", "fragmented:1:3"]
    assert sorted(found.behaviours["start"].unique()) == ["fragmented:0:3", "fragmented:1:3"]
    assert "--fragmented 0.0 --fragmented 1.0 --seed 3" in found.command
    for case in found.cases:
        row = found.behaviours[found.behaviours["start"] == case.machine.start.code].iloc[0]
        thresholds = package.Thresholds(
            *(int(row[f"{name}_from"]) for name in package.Thresholds().to_dict())
        )
        replayed = package.replay(home / "alpha.parquet", thresholds, case.machine)
        assert f"{int(row['cache_hash']):016x}" == replayed.cache_hash
        assert row["pmd_splits"] == replayed.counters["pmd_splits"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--unshrinkable-pages", "9:3"], "goes down"),
        (["--shrink-block-min-pages", "0:512"], "--shrink-block-min-pages: 0 is out of range"),
        (["--unshrinkable-pages", "99999999999"], "out of range"),
        (["--batch", "x"], "is no range"),
        (["--memory", "lots"], "is not a size"),
        (["--page-size", "5"], "does not exist"),
        (["--workers", "0"], "--workers 0 is out of range"),
        (["no-such-trace"], "no trace file and no recording"),
        (["--worker", "2"], "No such option"),
    ],
)
def test_a_mistake_ends_in_one_line_and_status_2(
    home: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pba(["sweep", traces(home)[0], "-o", str(home / "never"), *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert told in said.err.splitlines()[-1]
    assert said.err.splitlines()[-1].startswith("pba: ")
    assert "Traceback" not in said.err
    assert not list((home / "never").glob("*"))


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert pba(["sweep", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for told in (
        "LOW:HIGH:STEP",
        "both included",
        '"all"',
        "63 x 512 x 16",
        "behaviours.parquet",
        "goes on after",
    ):
        assert told in words


def test_the_folder_is_called_after_the_traces() -> None:
    assert folder_name([]) == "recordings"
    assert folder_name(["x/build.parquet"]) == "build"
    assert folder_name(["arm64-*"]) == "arm64-all"
    assert folder_name(["pgbench-x86", "b", "c"]) == "pgbench-x86-and-2-more"


def test_the_command_of_the_record_leaves_out_what_does_not_shape_it() -> None:
    assert command_line([], {"--batch": None}, {"--memory": None}, None) == "pba sweep"
    said = command_line(
        ["my x"], {"--unshrinkable-pages": "0:8", "--batch": None}, {"--memory": ["1G", "2G"]}, Path("o")
    )
    assert said == "pba sweep 'my x' --unshrinkable-pages 0:8 --memory 1G --memory 2G -o o"
