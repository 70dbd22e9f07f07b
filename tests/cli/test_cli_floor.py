"""`pba floor`: the table in a terminal, JSON, and what it refuses."""

from __future__ import annotations

import json

import pytest

import pba
from pba.cli.app import run


def test_the_table_says_what_python_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["floor", "server-arm64-16k", "dpkg-x86", "--policy", "v6", "--splits", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    rows = [line.split() for line in shown.splitlines()]
    floors = [pba.split_floor("server-arm64-16k", gives_back=way).pages() for way in ("any", "reclaim")]
    assert ["0", f"{floors[0]:,.0f}", "2,047", "1,731", f"{floors[1]:,.0f}"] in rows
    found = pba.df_regret(["server-arm64-16k", "dpkg-x86"], ["v6"]).set_index("trace")
    row = found.loc["server-arm64-16k"]
    assert ["v6", "1", f"{row['held_back_mean']:,.0f}", "1", "1"] in rows
    assert ["v6", "0", "99", "0", "0"] in rows
    assert row["regret"] == 0


def test_json_holds_floors_and_policies(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["floor", "server-arm64-16k", "--policy", "v6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["floors"][0]["any"] == pba.split_floor("server-arm64-16k").to_dict()
    assert told["policies"][0]["least_splits"] == 1
    assert [row["splits"] for row in told["floors"][0]["any"]["frontier"]] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such"], "no-such"),
        (["git-x86", "--policy", "pte-mapped"], "pte-mapped has no blocks"),
        (["git-x86", "--policy", "v7"], "no policy is called"),
        (["git-x86", "--splits", "-1"], "--splits"),
    ],
)
def test_what_cannot_be_told_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["floor", *arguments]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert said in shown.err
    assert shown.err.count("\n") == 1
