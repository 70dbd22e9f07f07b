"""`pba compare`: the table in a terminal, JSON, files, and what it refuses."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import pba
from pba.cli.app import run
from pba.cli.compare import compare

VECTORS = Path(__file__).parents[1] / "vectors"
PRESSURE = str(VECTORS / "pressure.events.gz")


def test_the_table_fits_80_columns_and_says_what_single_replays_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    policies = [word for name in ("v6", "untracked", "scattered", "pte-mapped", "freetype:fallback=true")
                for word in ("--policy", name)]  # fmt: skip
    assert run(["compare", PRESSURE, *policies]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert shown.startswith("5 policies on pressure\n")
    heads = [word for line in shown.splitlines() if line.startswith("   ") for word in line.split()]
    assert heads == ["v6", "untracked", "scattered", "pte-mapped", "freetype", "fallback=true"]
    splits = [
        word for line in shown.splitlines() if line.startswith("PMD splits") for word in line.split()[3:]
    ]
    expected = [
        pba.replay(PRESSURE, policy=policy).counters["pmd_splits"]
        for policy in ("v6", "untracked", "scattered", "pte-mapped", pba.Policy("freetype", fallback=True))
    ]
    assert splits == [f"{count:,}" for count in expected]


def test_json_and_files_hold_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "found"
    command = ["compare", PRESSURE, "--policy", "v6", "--policy", "v6:M=512", "-o", str(folder), "--json"]
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == json.loads((folder / "comparison.json").read_text())
    assert json.loads(printed)["choices"] == ["v6", "v6 M=512"]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(command) == 0  # the same again changes nothing
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    capsys.readouterr()


def test_other_results_are_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "found"
    assert run(["compare", PRESSURE, "--policy", "v6", "-o", str(folder)]) == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    other = ["compare", PRESSURE, "--policy", "scattered", "-o", str(folder)]
    assert run(other) == 2
    output = capsys.readouterr()
    assert "scattered" in output.out  # what was found is not lost
    assert "exists already" in output.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert run([*other, "--force"]) == 0


def test_options_of_the_machine_hold_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", PRESSURE, "--policy", "v6", "--memory", "1GiB", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["per_trace"]
    assert row["machine"].startswith("1 GiB")


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Folders of two sweeps that differ in their traces."""
    folder = tmp_path_factory.mktemp("sweeps")
    churn = str(VECTORS / "churn.events.gz")
    for name, traces in (("one", [PRESSURE]), ("both", [PRESSURE, churn])):
        axes = ["-U", "16,64", "-M", "64,512", "-B", "512"]
        assert run(["sweep", *traces, *axes, "--memory", "128MiB", "-o", str(folder / name)]) == 0
    return [str(folder / "one"), str(folder / "both")]


def test_sweeps_stand_side_by_side(
    sweeps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    capsys.readouterr()
    assert run(["compare", *sweeps]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert shown.startswith("2 results: one, both\n")
    differing = shown.split("\n\n")[1]
    assert "  traces\n    one: 1, without churn\n    both: 2" in differing
    assert "model" in differing.split("the same:")[1]
    assert run(["compare", *sweeps, "--json", "-o", str(tmp_path / "found")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "found" / "comparison.json").read_text())
    assert printed["names"] == ["one", "both"]
    assert (tmp_path / "found" / "fronts.svg").is_file()


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([PRESSURE], "holds a result and"),
        (["--policy", "v6"], "nothing is replayed"),
        ([], "1 result to compare"),
    ],
)
def test_results_do_not_stand_beside_traces(
    sweeps: list[str], others: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", sweeps[0], *others]) == 2
    assert said in capsys.readouterr().err


def test_thresholds_stand_beside_the_patchs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", PRESSURE, "--thresholds", "U=64,M=480", "--thresholds", "B=1024", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["choices"] == ["v6", "v6 U=64 M=480", "v6 B=1024"]
    result = pba.replay(PRESSURE, pba.Thresholds(64, 480, 512))
    assert found["totals"]["v6 U=64 M=480"]["pmd_splits"] == result.counters["pmd_splits"]
    assert run(["compare", PRESSURE, "--thresholds", "256"]) == 2
    assert "say U=256,M=480,B=1024" in capsys.readouterr().err


def test_the_help_breaks_no_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["compare", "--help"]) == 0
    examples = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("   pba ")]
    told = (inspect.getdoc(compare) or "").splitlines()
    assert examples == [line.strip() for line in told if line.startswith("  pba ")]
    assert len(examples) > 4
