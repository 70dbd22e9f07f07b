"""`pba policies`, and `pba replay` under a policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pba.cli.app import run
from pba.policies.registry import PLACES

TINY = str(Path(__file__).parents[1] / "vectors" / "tiny.events.gz")


def test_the_list_has_a_line_each_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PLACES)
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("name", PLACES)
def test_each_says_what_it_is_in_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policies", name]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert run(["policies", name, "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["name"] == name
    words = shown.split()
    for text in (known["line"], known["about"], known["source"]):
        assert text.split()[-1] in words
    assert {each["name"] for each in known["parameters"]} <= set(words)


def test_a_replay_says_its_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", TINY, "--policy", "freetype", "--parameter", "fallback=true"]) == 0
    shown = capsys.readouterr().out
    assert "freetype fallback=true: " in shown
    assert "thresholds" not in shown
    assert run(["replay", TINY, "--policy", "freetype", "--parameter", "fallback=true", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["policy"] == {"name": "freetype", "parameters": {"fallback": True, "movable_percent": 0}}
    assert found["thresholds"] is None
    assert found["counters"]["flips_to"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["policies", "freetyp"], "did you mean freetype?"),
        (["replay", TINY, "--policy", "scatered"], "did you mean scattered?"),
        (["replay", TINY, "--parameter", "fall=1"], "policy v6 has no parameter 'fall' (it has none)"),
        (["replay", TINY, "--policy", "freetype", "--parameter", "falback=1"], "did you mean fallback?"),
        (["replay", TINY, "--policy", "freetype", "--parameter", "fallback"], "is no KEY=VALUE"),
        (["replay", TINY, "--policy", "freetype", "--parameter", "fallback=maybe"], "true or false"),
        (
            ["replay", TINY, "--policy", "freetype", "--parameter", "movable_percent=101"],
            "0 to 100 percent",
        ),
        (["replay", TINY, "--policy", "fullest-first", "--parameter", "nb=middle"], "last, first"),
        (["replay", TINY, "--policy", "freetype", "-U", "3"], "has no threshold --unshrinkable-pages 3"),
        (["replay", TINY, "--policy", "untracked", "-M", "3"], "has no threshold --shrink-block-min-pages"),
        (["replay", TINY, "--policy", "freetype", "--bounds"], "--bounds replays under v6 alone"),
    ],
)
def test_bad_input_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert len(caught.err.splitlines()) == 1
    assert said in caught.err
