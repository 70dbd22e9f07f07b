"""`pba trace`: what it writes, and what it refuses."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path

import pytest

import pba
from pba.cli.app import run
from pba.cli.minimise import minimise as minimise_command
from pba.errors import EXIT_STATUS
from pba.probe.minimise import MAX_REPLAYS
from pba.units import parse_time
from tests.traces import sawtooth

NEEDED = {
    "cut": [],
    "join": [],
    "repeat": ["--times", "2"],
    "merge": [],
    "scale": ["--time", "2"],
    "minimise": ["--keep", "allocs > 2"],
}
"""Every command, with the options that it cannot do without."""


@pytest.fixture
def given(tmp_path: Path) -> Path:
    return sawtooth(teeth=2, pages=300).write(tmp_path / "given.parquet")


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    status = run(["trace", *map(str, arguments)])
    output = capsys.readouterr()
    assert status == EXIT_STATUS
    assert output.out == ""
    assert re.fullmatch(r"pba: [^\n]+\n", output.err)
    return output.err


@pytest.mark.parametrize("command", NEEDED)
def test_what_is_written_says_what_was_done(
    command: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made.parquet"
    arguments = ["trace", command, str(given), "-o", str(out), *NEEDED[command]]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    made = pba.read_trace(out)
    assert f"{out}: {len(made):,} events in " in shown
    assert made.metadata.name == "made"
    assert len(made.metadata.quality.notes) == 1
    first = out.read_bytes()
    assert "exists already" in fails(capsys, *arguments[1:])
    assert run([*arguments, "--force"]) == 0
    assert out.read_bytes() == first  # the same command gives the same bytes


@pytest.mark.parametrize("command", NEEDED)
def test_what_every_command_refuses(
    command: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more, out = NEEDED[command], tmp_path / "made.events"
    assert "no such file" in fails(capsys, command, tmp_path / "none.parquet", "-o", out, *more)
    bad = tmp_path / "bad.events"
    bad.write_text("100 A 1\n90 F 1\n")
    assert f"{bad}:2: time goes backwards" in fails(capsys, command, bad, "-o", out, *more)
    assert "no such form" in fails(capsys, command, given, "-o", tmp_path / "made.csv", *more)
    assert "does not exist" in fails(capsys, command, given, "-o", tmp_path / "no" / "made.events", *more)
    assert "Missing" in fails(capsys, command, given, *more)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("cut IN -o OUT --from soon", "--from 'soon' is not a time (write it as 12.5s, 300ms or 2min)"),
        ("cut IN -o OUT --to 12", "--to '12' is not a time"),
        ("cut IN -o OUT --from 2min", "no time from 120 s"),
        ("cut IN -o OUT --from 300us --to 200us", "no time from 0.0003 s to 0.0002 s"),
        ("join IN IN -o OUT --gap ' -3s'", "--gap ' -3s' is not a time"),
        ("repeat IN -o OUT --times 0", "0 rounds"),
        ("repeat IN -o OUT --times 2 --leftover lose", "leftover 'lose' is unknown (use free or keep)"),
        ("repeat IN -o OUT --times two", "--times"),
        ("repeat IN -o OUT --times 1000000000", "events"),
        ("merge IN IN -o OUT --passes-from other", "--passes-from other is not among the traces"),
        ("scale IN -o OUT --time 0", "cannot be scaled by 0"),
        ("scale IN -o OUT --time nan", "cannot be scaled by nan"),
        ("minimise IN -o OUT --keep 'pmd_split > 3'", "'pmd_split' is not a counter"),
        ("minimise IN -o OUT --keep 'pmd_splits >'", "cannot be read"),
        ("minimise IN -o OUT --keep 'pmd_splits > 10000'", "does not hold for the whole"),
        ("minimise IN -o OUT --keep 'pmd_splits >= 0'", "without events"),
        ("minimise IN -o OUT --keep 'allocs > 3' --batch 0", "batch"),
        ("minimise IN -o OUT --keep 'allocs > 3' --memory much", "memory 'much'"),
        ("minimise IN -o OUT --keep 'allocs > 3' --max-replays 0", "max_replays = 0"),
        ("paint IN -o OUT", "paint"),
    ],
)
def test_what_one_command_refuses(
    arguments: str, told: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"IN": str(given), "OUT": str(tmp_path / "made.events")}
    assert told in fails(capsys, *(places.get(word, word) for word in shlex.split(arguments)))
    assert not (tmp_path / "made.events").exists()


def test_the_minimised_trace_keeps_the_condition(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small.events"
    machine = ["--memory", "8192pages", "--linear-map", "pmd", "--unshrinkable-pages", "4", "--batch", "64"]
    keep = "pages_released > 20 and pmd_splits < 9"
    assert run(["trace", "minimise", str(given), "-o", str(out), "--keep", keep, *machine]) == 0
    output = capsys.readouterr()
    assert "each unit is needed" in output.out
    assert output.err == ""  # no terminal, and done in less than it takes to be told of it
    see = shlex.split(output.out.splitlines()[-1].removeprefix("see: pba "))
    assert run([*see, "--json"]) == 0
    counters = json.loads(capsys.readouterr().out)["counters"]
    assert counters["pages_released"] > 20
    assert counters["pmd_splits"] < 9
    met = ", ".join(f"{name} = {counters[name]}" for name in ("pmd_splits", "pages_released"))
    assert f"{keep}: {met}; " in output.out
    assert counters["events"] < len(pba.read_trace(given)) / 4


def test_a_search_that_ends_early_says_so(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small.parquet"
    options = ["--keep", "frees > 20", "--max-replays", "4"]
    assert run(["trace", "minimise", str(given), "-o", str(out), *options]) == 0
    assert "ended after 4 replays, not minimal" in capsys.readouterr().out
    assert "not minimal" in pba.read_trace(out).metadata.quality.notes[-1]


def test_an_input_may_be_replaced_with_force(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    length = len(pba.read_trace(given))
    assert run(["trace", "merge", str(given), str(given), "-o", str(given), "--force"]) == 0
    assert len(pba.read_trace(given)) == 2 * length


def test_without_a_command_it_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in NEEDED)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("12.5s", 12_500_000_000),
        ("300ms", 300_000_000),
        ("2min", 120 * 10**9),
        ("1 h", 3600 * 10**9),
        ("7ns", 7),
        ("1.5us", 1500),
        ("1.5µs", 1500),
        ("0", 0),
        ("0.3ms", 300_000),
        ("36.808421471s", 36_808_421_471),
    ],
)
def test_a_time(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@pytest.mark.parametrize(
    "text", ["", "12", "s", "-1s", "1e3s", "1.s", "1 fortnight", "٣s", "9" * 30 + "s", "99999999h"]
)
def test_no_time(text: str) -> None:
    with pytest.raises(pba.PbaError, match=r"is not a time|longer than 36 years"):
        parse_time(text)


def test_the_command_and_python_search_as_long() -> None:
    command = inspect.signature(minimise_command).parameters["max_replays"].default
    assert command == MAX_REPLAYS


@pytest.mark.parametrize("after", [1, 12])
def test_ctrl_c_keeps_the_smallest_trace_so_far(
    after: int,
    given: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pba.cli import minimise as module

    told = 0

    def interrupt(self: object, step: object) -> None:
        nonlocal told
        told += 1
        if told == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(module._Told, "__call__", interrupt)
    out = tmp_path / "small.parquet"
    assert run(["trace", "minimise", str(given), "-o", str(out), "--keep", "frees > 20"]) == 130
    output = capsys.readouterr()
    if after == 1:
        assert output.err == "pba: interrupted before anything was taken away: nothing is written\n"
        assert not out.exists()
        return
    assert output.err == f"pba: interrupted: {out} is the smallest found so far\n"
    assert "interrupted after" in output.out
    made = pba.read_trace(out)
    assert 20 < made.counts()["F"] < pba.read_trace(given).counts()["F"]
    assert made.metadata.quality.notes[-1].endswith("replays, not minimal")
