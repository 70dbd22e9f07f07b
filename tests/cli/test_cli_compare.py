"""`pba compare`: the table in a terminal, JSON, files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pba
from pba.cli.app import run

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
