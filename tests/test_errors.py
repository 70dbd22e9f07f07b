from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import pba
from pba.cli.app import run
from pba.errors import OutputError, PbaError, TraceError, option
from tests.traces import sawtooth


def test_an_option_is_named_as_its_user_has_it() -> None:
    error = PbaError(
        f"{option('workers', 0)} is out of range", f"say {option('force', True)} or drop {option('batch')}"
    )
    assert str(error) == "workers=0 is out of range (say force=True or drop batch)"
    assert error.message == "workers=0 is out of range"
    assert error.for_command_line() == "--workers 0 is out of range (say --force or drop --batch)"
    other = PbaError("x", f"choose another {option('from_ns', '1 s', flag='--from')}")
    assert str(other) == "x (choose another from_ns='1 s')"
    assert other.for_command_line() == "x (choose another --from 1 s)"


def test_a_copied_error_says_the_same() -> None:
    error = OutputError("x: exists already", f"say {option('force', True)}")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(again), again.for_command_line()) == (str(error), error.for_command_line())


def test_data_cannot_forge_an_option() -> None:
    hostile = option("force", option("x", True) + "\ufdd0a\ufdd1b\ufdd2")
    assert str(PbaError(hostile)).count("\ufdd0") == 0
    assert TraceError("bad", path="a{b}\\g<2>").for_command_line() == "a{b}\\g<2>: bad"


def test_who_writes_over_a_file_is_told_force_in_their_own_tongue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.events"
    sawtooth(1, 10).write(path)
    with pytest.raises(pba.PbaError, match="force=True") as caught:
        sawtooth(1, 10).write(path)
    assert "--" not in str(caught.value)
    assert run(["trace", "cut", str(path), "-o", str(path)]) == 2
    told = capsys.readouterr().err
    assert "--force" in told
    assert "force=True" not in told
