"""Names of traces, studies and folders are data: they reach no terminal, parser of mathematics or markup."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pba
from pba.cli.answer import shown
from pba.cli.app import run
from pba.cli.derived import refuse_output
from pba.report.document import Document, Section, Table
from pba.report.renderers import RENDERERS
from pba.report.trace_figures import MOST_PHASES, trace_pictures
from tests.traces import sawtooth

NAMES = [
    "$\\frac$ $\\frac",
    "\ud800",
    "[/x] [bold]",
    "\x1b[31mred\x07",
    "caf\udce9",
    "a" * 10_000,
    "\u202e<script>",
]


def named(name: str) -> pba.Trace:
    trace = sawtooth(2, 60)
    return replace(trace, metadata=trace.metadata.with_(name=name))


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_drawn_whatever_a_trace_is_called(name: str) -> None:
    pictures, _ = trace_pictures(named(name), ("live", "phases"), {})
    for picture in pictures:
        assert "\x1b" not in picture.svg()
        picture.svg().encode()
        assert picture.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", sorted(RENDERERS))
def test_reports_are_written_whatever_a_trace_is_called(form: str, name: str) -> None:
    section = Section("x", name, (name,), (name,), tables=(Table(name, (), ()),), commands=(name,))
    text = RENDERERS[form](Document(name, name, (name,), (), (section,)), [])
    text.encode()
    assert "\x1b" not in text
    assert "\u202e" not in text
    # The report's own script alone.
    assert text.count("<script") == 1 or form != "report.html"


@pytest.mark.parametrize("name", NAMES)
def test_names_reach_rich_without_markup(name: str) -> None:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(f"[bold]{shown(name)}[/bold]", soft_wrap=True)
    captured.get().encode()
    assert "\x1b" not in captured.get()


def test_a_message_has_no_escape_sequences_and_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("\x1b[31m" + "x" * 50, "y" * 200_000, "[/x]", "caf\udce9"):
        assert run(["info", name]) == 2
        told = capsys.readouterr().err
        assert "\x1b" not in told
        assert told.count("\n") == 1
        assert len(told) < 1100
        told.encode()


def test_info_shows_no_escape_sequences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = named("\x1b[31mred").write(tmp_path / "x.parquet")
    for command in ("info", "replay"):
        assert run([command, str(path)]) == 0
        told = capsys.readouterr().out
        assert "\x1b" not in told
        assert "\\x1b[31mred" in told


def test_a_folder_that_is_no_utf_8(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    path = sawtooth(1, 30).write(folder / "x.events")
    assert run(["trace", "cut", str(path), "-o", str(folder / "y.events")]) == 0
    assert b"caf\\xe9" in capfdbinary.readouterr().out
    refuse_output(folder / "z.events", force=False)


@pytest.mark.parametrize("phases", [0, -1, MOST_PHASES + 1, 1_000_000])
def test_phases_that_nobody_can_see_are_refused(
    phases: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sawtooth(1, 30).write(tmp_path / "x.events")
    command = ["plot", str(path), "--phases", str(phases), "-o", str(tmp_path / "out")]
    assert run(command) == 2
    assert f"--phases {phases} is out of range (use 1 to {MOST_PHASES})" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_backend_that_nobody_knows_is_no_obstacle(tmp_path: Path) -> None:
    path = sawtooth(1, 60).write(tmp_path / "x.events")
    words = ["plot", str(path), "--kind", "live", "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", f"from pba.cli import main; main({words!r})"],
        env={**os.environ, "MPLBACKEND": "no-such-backend"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "live.png").exists()


@pytest.mark.parametrize("name", ["\ud800", "$\\frac", "[/x]", "\x1b[31mred", "a" * 5000])
def test_searches_and_sweeps_take_any_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "[" / "x] $\\frac"
    folder.mkdir(parents=True)
    path = named(name).write(folder / "x.parquet")
    (folder / "s.toml").write_text(
        f'name = "s"\ndescription = "d"\ntraces = ["{path.name}"]\n'
        '[machine]\npage_size_kib = 4\nmemory = "64 MiB"\n[search]\npoints = 3\n'
    )
    tune = ["tune", str(folder / "s.toml"), "--run", str(folder / "run")]
    sweep = ["sweep", str(path), "-U", "16", "-M", "64", "-B", "512", "-o", str(folder / "sweep")]
    for command in (tune, tune, ["report", str(folder / "run")], sweep, sweep):
        assert run([*command]) == 0, command
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err


def test_threads_that_cannot_start_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    path = sawtooth(1, 60).write(tmp_path / "x.parquet")
    monkeypatch.setattr("threading.Thread.start", refuse)
    assert run(["sweep", str(path), "-U", "16", "-M", "64", "-B", "512", "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("pba: no more threads can be started here")


@pytest.mark.parametrize("closing", ["| head -1", ">&-"])
def test_a_reader_that_goes_away_is_no_error(closing: str) -> None:
    line = f"{sys.executable} -c \"from pba.cli import main; main(['data', 'list'])\" {closing}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
