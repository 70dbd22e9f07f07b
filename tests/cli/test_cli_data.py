"""`pba data`, and names of recordings where a path is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pba
from pba.cli import data as command
from pba.cli.app import run
from pba.errors import TraceError
from pba.trace import corpus
from pba.trace.metadata import Metadata, Quality, Truth
from tests.traces import sawtooth

RECORDINGS = """
[a-one]
what_ran = "`make -j4` of something"
scripts = ["make.sh"]

[b-two]
what_ran = "the same on another kernel"
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three recordings, one without a description and one without metadata."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    quality = Quality(lost_events=3, truth=Truth(100, 99, 99))
    trace = sawtooth(2, 50)
    known = Metadata(
        name="a-one",
        kernel="6.1",
        architecture="aarch64",
        page_size_kib=16,
        memory_pages=65536,
        quality=quality,
    )
    for name, metadata in (("a-one", known), ("b-two", Metadata()), ("c-three", Metadata())):
        columns = {"time_ns": trace.time_ns, "op": trace.op, "id": trace.id, "arg": trace.arg}
        pba.Trace.from_arrays(columns, metadata).write(folder / f"{name}.parquet")
    (folder / "recordings.toml").write_text(RECORDINGS)
    monkeypatch.setattr(corpus, "data_dir", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_line_each(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list"]) == 0
    head, one, two, three, _, *notes = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["name", "kernel", "pages"]
    events = len(sawtooth(2, 50))
    assert one.split()[:6] == ["a-one", "6.1", "16", "KiB", "1", "GiB"]
    assert f" {events}  " in one
    assert " 6  make -j4 of something" in one
    assert two.endswith("  the same on another kernel")
    assert notes[:2] == [
        "3 events lost: a-one", "not held against the kernel's own list of page tables: b-two, c-three"
    ]  # fmt: skip
    assert "of the others recall is at least 99.00 % and precision 100.00 %" in notes
    assert three.split()[:4] == ["c-three", "?", "?", "?"]


@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit_a_terminal(width: int) -> None:
    found = [corpus.describe(name) for name in corpus.recordings()]
    lines = command.render_list(found, width).splitlines()
    assert max(map(len, lines)) <= width
    for one in found:
        (line,) = (line for line in lines if line.startswith(f"{one.name} "))
        assert one.what_ran[:12] in line
        assert f" {one.events:,} " in line


def test_json(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list", "--json"]) == 0
    one, two, three = json.loads(capsys.readouterr().out)
    assert (one["name"], one["what_ran"], one["passes"]) == ("a-one", "make -j4 of something", 6)
    assert (one["quality"]["lost_events"], one["memory_pages"]) == (3, 65536)
    assert one["events"] == two["events"] == len(sawtooth(2, 50))
    assert (one["scripts"], two["scripts"]) == (["make.sh"], [])
    assert three["what_ran"] == ""
    assert run(["data", "show", "a-one", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["what_ran"], shown["passes"]) == ("make -j4 of something", {"0": 2, "2": 2, "4": 2})


def test_show(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "show", "a-one"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("make -j4 of something\n\nname ")
    assert "recall 99.00 %" in out
    assert run(["data", "show", "c-three"]) == 0
    assert capsys.readouterr().out.startswith("what ran is not told\n")


def test_what_is_wrong_is_said(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "show", "d"]) == 2
    expected = "pba: no recording of pba is called 'd' (there are a-one, b-two, c-three)\n"
    assert capsys.readouterr().err == expected
    assert run(["data"]) == 2
    assert run(["data", "lost"]) == 2
    capsys.readouterr()
    (shelf / "b-two.parquet").write_bytes((shelf / "a-one.parquet").read_bytes()[:500])
    assert run(["data", "list"]) == 2
    error = capsys.readouterr().err
    assert "b-two.parquet: cannot be read as Parquet" in error
    assert error.count("\n") == 1
    (shelf / "recordings.toml").write_text("[a-one\n")
    assert run(["data", "show", "a-one"]) == 2
    error = capsys.readouterr().err
    assert "recordings.toml: not a TOML file" in error
    assert error.count("\n") == 1


def test_names_where_a_path_is_taken(shelf: Path) -> None:
    assert pba.read_trace("a-one").name == "a-one"
    assert len(pba.read_trace(Path("b-two"))) == len(sawtooth(2, 50))
    Path("a-one").write_text("100 A 1\n")
    assert len(pba.read_trace("a-one")) == 1  # a file goes first
    with pytest.raises(TraceError, match=r"called 'd' \(there are a-one, b-two, c-three\)"):
        pba.read_trace("d")
    with pytest.raises(TraceError, match="no such file"):
        pba.read_trace("shelf/d")


def test_every_recording_says_what_ran(capsys: pytest.CaptureFixture[str]) -> None:
    found = [corpus.describe(name) for name in pba.recordings()]
    assert len(found) >= 18
    for recording in found:
        assert len(recording.what_ran) > 10, recording.name
        assert not {
            name for name in recording.scripts if not (corpus.data_dir() / "scripts" / name).is_file()
        }
        assert recording.metadata.kernel
    assert run(["data", "list"]) == 0
    table, _ = capsys.readouterr().out.split("\n\n")
    assert len(table.splitlines()) == len(found) + 1
