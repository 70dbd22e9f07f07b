"""`pba study`: listing, showing, beginning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pba.cli.app import run as pba
from pba.study.shipped import studies
from pba.study.study_file import read_definition


def test_every_study_that_ships_is_listed_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert pba(["study", "list"]) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.splitlines())
    assert pba(["study", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(studies())
    assert rows[0]["name"] == "quickstart"
    for row in rows:
        assert row["name"] in text
        assert row["asks"].endswith("?")


def test_a_study_is_shown_word_for_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert pba(["study", "show"]) == 0
    assert capsys.readouterr().out == studies()["quickstart"].read_text(encoding="utf-8")


def test_a_new_study_is_a_copy_under_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my study.toml"
    assert pba(["study", "new", str(file)]) == 0
    assert f"pba tune {file}" in capsys.readouterr().out
    made, first = read_definition(file), read_definition(studies()["quickstart"])
    assert made.name == "my-study"
    assert made.with_(name=first.name) == first

    file.write_text("mine", encoding="utf-8")
    assert pba(["study", "new", str(file)]) == 2
    assert "--force" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "mine"
    assert pba(["study", "new", str(tmp_path / "x.txt")]) == 2
    assert "a study file is called something.toml" in capsys.readouterr().err


def test_an_unknown_study_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert pba(["study", "show", "quickstrat"]) == 2
    assert "did you mean quickstart? there are quickstart" in capsys.readouterr().err
