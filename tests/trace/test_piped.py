"""Traces from pipes: found by content as files are, streamed, and read once."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zstandard

import pba
from pba.errors import TraceError
from pba.imports.read import read_any
from pba.trace.forms import piped
from pba.trace.table import DTYPES
from tests.traces import sawtooth

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    assert not piped._held, "the pipe is still held"


def feed(fifo: Path, data: bytes) -> threading.Thread:
    def write() -> None:
        with suppress(BrokenPipeError):  # where the reader refuses what it sees
            fifo.write_bytes(data)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def assert_same(found: pba.Trace, expected: pba.Trace) -> None:
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)


@pytest.mark.parametrize("name", ["arm64-6.12.ftrace", "x86-6.18.perf.xz", "trace-cmd-3.3-arm64.ftrace"])
def test_event_text(name: str, fifo: Path) -> None:
    thread = feed(fifo, (GOLDEN / name).read_bytes())
    assert_same(read_any(fifo), read_any(GOLDEN / name))
    thread.join()


@pytest.mark.parametrize("pack", [bytes, lzma.compress, zstandard.ZstdCompressor().compress])
def test_the_text_form_time_and_again(pack: object, fifo: Path, tmp_path: Path) -> None:
    """A pipe that is opened anew brings something new: nothing is left of the one before."""
    for teeth in (1, 2):
        path = sawtooth(teeth, 300).write(tmp_path / f"{teeth}.events")
        thread = feed(fifo, pack(path.read_bytes()))  # type: ignore[operator]
        assert_same(pba.read_trace(fifo), pba.read_trace(path))
        thread.join()


def test_longer_than_what_is_kept(fifo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piped, "KEPT_BYTES", 1 << 17)
    path = sawtooth(60, 900).write(tmp_path / "long.events")
    assert path.stat().st_size > 1 << 20
    thread = feed(fifo, path.read_bytes())
    assert_same(pba.read_trace(fifo), pba.read_trace(path))
    thread.join()


def test_what_is_gone_is_not_read_again(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pba.trace.forms.opening import open_stream

    monkeypatch.setattr(piped, "KEPT_BYTES", 100)

    @piped.reads_pipes
    def twice(path: str | Path) -> None:
        for _ in range(2):
            with open_stream(path) as stream:
                stream.read()

    thread = feed(fifo, b"1 A 1\n" * 5000)
    with pytest.raises(TraceError, match=r"is a pipe and cannot be read twice \(write it to a file first\)"):
        twice(fifo)
    thread.join()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"PAR1 and so on", "Parquet cannot be read from a pipe (write it to a file first)"),
        (b"\x1f\x8b\x08", "cannot be read as gzip"),
        (b"nothing that is known\n", "is not a trace"),
        (b"1 A 1\n2 A 1\n", "pipe:2: A 1: id 1 is allocated already"),
    ],
)
def test_what_a_pipe_cannot_hold(data: bytes, told: str, fifo: Path) -> None:
    thread = feed(fifo, data)
    with pytest.raises(TraceError) as failure:
        pba.read_trace(fifo)
    assert told in str(failure.value)
    thread.join()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_the_standard_input_on_the_command_line(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from pba.cli import main; main()", "import", name]
    golden = GOLDEN / "arm64-6.12.ftrace"
    command += ["-o", str(tmp_path / "x.parquet"), "--page-size", "16", "--memory", "1GiB", "--name", "guest"]
    done = subprocess.run(command, input=golden.read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    found = pba.read_trace(tmp_path / "x.parquet")
    assert_same(found, read_any(golden))
    assert (found.name, found.metadata.page_size_kib) == ("guest", 16)
