"""`pba cost`: tables in a terminal, JSON, the price list, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import pba
from pba.cli.app import run

TWO = ["--policy", "v6", "--policy", "pte-mapped"]


def test_costs_counts_and_sentences_stand_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "git-x86", *TWO, "--workload", "key-value", "--samples", "64"]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    found = pba.cost(pba.compare("git-x86", ["v6", "pte-mapped"]), workload="key-value", samples=64)
    rows = [line.split() for line in shown.splitlines()]
    for row in found.rows():
        assert row[0:2] in [tuple(cells[:2]) for cells in rows]
        assert [row[0], *row[4:]] in rows  # the parts
    assert " ".join(found.sentences()) in " ".join(shown.split())
    memory = pba.break_even_memory(pba.compare("git-x86", ["v6"])).iloc[0]
    assert ["git-x86:", "v6", f"{memory['mean_gib']:.2f}", "GiB", f"{memory['peak_gib']:.2f}", "GiB"] in rows


def test_json_holds_costs_prices_and_memory(
    capsys: pytest.CaptureFixture[str], written: Callable[..., Path]
) -> None:
    mine = written("[held_memory]\ndefault = 0\nlow = 0\nhigh = 1\n", "mine.toml")
    assert run(["cost", "git-x86", *TWO, "--prices", str(mine), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["workload"] == "web"
    assert [row["held_memory"] for row in told["totals"]] == [0, 0]
    assert {row["name"]: row["default"] for row in told["prices"]}["held_memory"] == 0
    assert [row["choice"] for row in told["memory"]] == ["v6"]


def test_the_price_list_tells_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "a166563e7ec3" in shown
    assert run(["cost", "--list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(pba.read_prices().prices)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["git-x86", "--workload", "wbe"], "did you mean web"),
        (["git-x86", "--prices", "none.toml"], "no such price list"),
        (["no-such"], "no-such"),
    ],
)
def test_what_cannot_be_weighed_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cost", *arguments]) == 2
    assert said in capsys.readouterr().err
