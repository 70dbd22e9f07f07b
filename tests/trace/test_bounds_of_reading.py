"""Small files that would take all memory, or never end: each form and kind of junk in bounded memory."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import socket
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import pba
from pba.errors import PbaError, TraceError
from pba.trace.forms import opening
from pba.trace.forms.lines import LONGEST_LINE, BoundedLines
from pba.trace.forms.opening import open_stream
from pba.trace.metadata import Metadata, Quality, Truth
from tests.traces import sawtooth

UNPACKED = {"zst": 640 << 20, "gz": 192 << 20, "xz": 192 << 20}
"""More than a file so small may unpack to."""
MEMORY_MIB = 640
"""What a reading may take, the interpreter and compiled code with it."""

HEADS = {
    "events": b"1 A 1\n2 F 1\n",
    "csv": b"time_ns,op,id\n1,A,1\n2,F,1\n",
    "ftrace": (b"# tracer: nop\n  task-1 [000] ..... 1.000000: mm_page_free: page=0x1 pfn=0x1 order=0\n"),
    "perf": b"task 1 [000] 1.000000: kmem:mm_page_free: page=0x1 pfn=0x1 order=0\n",
    "bpftrace": b"# pba bpftrace 1\ntask 1 [000] 1.000000000: kmem:mm_page_free: pfn=0x1 order=0\n",
    "systrace": (
        b'<!DOCTYPE html>\n<html>\n<script class="trace-data" type="application/text">\n# tracer: nop\n'
    ),
    "parquet": b"PAR1",
}
JUNK = {
    "zeros": b"\0",
    "spaces": b" ",
    "newlines": b"\n",
    "comments": b"# nothing\n",
    "junk": b"what is this\n",
    "line": b"7",
}

READ = textwrap.dedent(
    """
    import pathlib, sys
    import pba
    from pba.errors import PbaError

    def peak():  # not ru_maxrss: that also counts the process which started this one
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) >> 10

    for path in sys.argv[1:]:
        try:
            pba.read_trace(path)
            print("read", path)
        except PbaError as error:
            print(peak(), str(error))
    """
)


PACKERS = {"gz": gzip.compress, "xz": lambda data: lzma.compress(data, preset=0), "zst": zstandard.compress}


@pytest.mark.parametrize("pack", ["gz", "xz", "zst"])
def test_bombs_are_one_clear_error_within_bounded_memory(pack: str, tmp_path: Path) -> None:
    """One process reads all, so that its peak is that of the worst."""
    paths = []
    some = JUNK if pack == "zst" else {"zeros": b"\0", "newlines": b"\n"}
    for name, unit in some.items():
        # Streams may stand behind one another: what is much is packed once.
        piece = PACKERS[pack](unit * ((32 << 20) // len(unit)))
        for form, head in HEADS.items():
            paths.append(tmp_path / f"{form}-{name}.{pack}")
            paths[-1].write_bytes(PACKERS[pack](head) + piece * (UNPACKED[pack] // (32 << 20)))
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(paths)
    for path, line in zip(paths, told, strict=True):
        peak, _, message = line.partition(" ")
        assert message.startswith(str(path)), line
        assert int(peak) < MEMORY_MIB, f"{path.name}: {line}"


def test_the_ratio_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.events.gz"
    path.write_bytes(gzip.compress(b"1 A 1\n" + b"\n" * 1_000_000))
    monkeypatch.setattr(opening, "ALWAYS_BYTES", 1 << 16)
    with pytest.raises(TraceError, match=r"x\.events\.gz: its [\d,]+ bytes of gzip unpack to more") as caught:
        pba.read_trace(path)
    assert opening.RATIO_VARIABLE in caught.value.hint
    monkeypatch.setenv(opening.RATIO_VARIABLE, "1100")
    assert len(pba.read_trace(path)) == 1
    for wrong in ("much", "0", "nan", "inf", "-3"):
        monkeypatch.setenv(opening.RATIO_VARIABLE, wrong)
        with pytest.raises(PbaError, match=r"PBA_UNPACK_RATIO is .* not a ratio"):
            pba.read_trace(path)


def test_xz_that_takes_much_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.xz"
    # The dictionary's size is byte 15 of the block's header: 36 stands for 1 GiB. Its checksum follows.
    data = bytearray(lzma.compress(b"1 A 1\n", preset=0, check=lzma.CHECK_CRC32))
    length = (data[12] + 1) * 4
    at = data.index(b"\x21\x01", 12) + 2
    data[at] = 36
    data[12 + length - 4 : 12 + length] = zlib.crc32(data[12 : 12 + length - 4]).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(TraceError, match="unpacking it takes more than 256 MiB of memory"):
        pba.read_trace(path)


@pytest.mark.parametrize("cut", [1, 9, 13])
def test_streams_behind_one_another_and_cut_ones(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    for pack in (gzip.compress, lzma.compress, zstandard.compress):
        path.write_bytes(pack(b"1 A 1\n") + pack(b"2 F 1\n"))
        assert len(pba.read_trace(path)) == 2
        path.write_bytes((pack(b"1 A 1\n") + pack(b"2 F 1\n" * 1))[:-cut])
        with pytest.raises(TraceError, match="cannot be read as"):
            pba.read_trace(path)
    path.write_bytes(lzma.compress(b"1 A 1\n") + b"\0" * 8 + lzma.compress(b"2 F 1\n") + b"\0" * 4)
    assert len(pba.read_trace(path)) == 2


@pytest.mark.parametrize("size", [1 << 10, 1 << 20, 4 << 20])
def test_the_longest_line(size: int) -> None:
    fine = b"\n".join([b"x" * LONGEST_LINE] * 3)
    stream = BoundedLines(io.BytesIO(fine), "x", "hint")
    assert b"".join(iter(lambda: stream.read(size), b"")) == fine
    endless = BoundedLines(io.BytesIO(fine + b"x"), "x", "hint")
    with pytest.raises(TraceError, match=rf"of more than 1 MiB, which begins after {2 * LONGEST_LINE + 2:,}"):
        while endless.read(size):
            pass


def stored(path: Path, **columns: Any) -> Path:
    """Write Parquet with a trace's metadata and these columns in the place of its own."""
    whole = {"time_ns": pa.array([1]), "op": pa.array(["A"]), "id": pa.array([1]), "arg": pa.array([0])}
    table = pa.table({**whole, **columns})
    pq.write_table(table.replace_schema_metadata({"pba": b'{"format_version": 2}'}), path)
    return path


@pytest.mark.parametrize("name", ["op", "level", "time_ns", "id", "arg", "pfn"])
@pytest.mark.parametrize(
    "odd",
    [
        pa.array([["A"]]),
        pa.array([{"x": "A"}]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([1.5]),
        pa.array([b"A"]),
        pa.array([True]),
        pa.nulls(1),
        pa.array([1]).cast(pa.decimal128(20, 0)),
        pa.array([[{"x": [{"y": "A"}]}]]),
    ],
    ids=lambda odd: str(odd.type)[:20],
)
def test_parquet_with_odd_columns(name: str, odd: pa.Array, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=rf"column {name} holds .*, not (names|whole numbers)"):
        pba.read_trace(stored(tmp_path / "x.parquet", **{name: odd}))


def test_parquet_that_claims_too_much(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    count = 30_000_000
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array(["D"]))
    zeros = pa.array(np.zeros(count, np.int8))
    columns = {"time_ns": pa.array(np.zeros(count, np.int64)), "op": same, "id": zeros, "arg": zeros}
    table = pa.table(columns).replace_schema_metadata({"pba": b'{"format_version": 2}'})
    pq.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 500_000
    with pytest.raises(TraceError, match=r"claims 30,000,000 events in [0-9,]+ bytes") as caught:
        pba.read_trace(path)
    assert opening.RATIO_VARIABLE in caught.value.hint


def metadata_of(values: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "x.parquet"
    table = pa.table({"time_ns": [1], "op": ["A"], "id": [1], "arg": [0]})
    pq.write_table(table.replace_schema_metadata({"pba": values}), path)
    return path


@pytest.mark.parametrize(
    "values",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"format_version": 2, "recipe": ' + b'{"a":' * 400 + b"1" + b"}" * 401,
        b'{"format_version": 2, "quality": {"truth": {"true_pages": 1'
        + b"0" * 400
        + b', "recorded_pages": 1, '
        b'"common_pages": 1}}}',
        b'{"format_version": 2, "memory_pages": 1' + b"0" * 30 + b"}",
        b'{"format_version": 1' + b"0" * 5000 + b"}",
    ],
    ids=["deep", "deep recipe", "truth", "memory", "digits"],
)
@pytest.mark.parametrize("form", ["parquet", "events"])
def test_odd_metadata_is_one_clear_error(values: bytes, form: str, tmp_path: Path) -> None:
    path = metadata_of(values, tmp_path)
    if form == "events":
        path = tmp_path / "x.events"
        path.write_bytes(b"# pba metadata " + values + b"\n1 A 1\n")
    with pytest.raises(TraceError, match=r"damaged|cannot be read as Parquet|not known here") as caught:
        pba.read_trace(path)
    assert len(str(caught.value)) < 500


def _told_by_info(path: Path) -> bytes:
    words = [sys.executable, "-c", "from pba.cli import main; main()", "info", os.fsencode(path)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0
    return done.stderr


@pytest.mark.parametrize("ending", ["parquet", "events", "events.gz"])
def test_names_that_are_not_utf8(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    path = folder / os.fsdecode(b"a\xffb." + ending.encode())
    trace = sawtooth(2, 100)
    named = pba.Trace.from_arrays(
        {name: getattr(trace, name) for name in ("time_ns", "op", "id", "arg")},
        Metadata(name=os.fsdecode(b"x\xfe"), quality=Quality(notes=("a\ud800b",))),
    )
    named.write(path)
    found = pba.read_trace(path)
    assert (found.name, found.metadata.quality.notes) == ("x\\xfe", ("a\\ud800b",))
    plain = folder / f"plain.{ending}"
    found.write(plain)
    assert pba.read_trace(plain).metadata == found.metadata
    assert b"Traceback" not in _told_by_info(plain)
    monkeypatch.chdir(folder)
    assert len(pba.read_trace(plain.name)) == len(trace)
    anonymous = metadata_of(b'{"format_version": 2}', tmp_path)
    odd = path.with_name(os.fsdecode(b"c\xff.parquet"))
    anonymous.rename(odd)
    pba.read_trace(odd).name.encode()
    assert b"Traceback" not in _told_by_info(path)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/dev/zero", "is a device, which can never be a trace"),
        ("/dev/random", "is a device, which can never be a trace"),
        ("/proc/kmsg", "is the kernel's log"),
        ("/dev/null", "is empty"),
        ("/tmp", "Is a directory"),
    ],
)
def test_what_can_never_be_a_trace(path: str, told: str) -> None:
    for ask in (pba.read_trace, lambda path: open_stream(path).read(1) or pba.read_trace(path)):
        with pytest.raises(TraceError, match=told):
            ask(path)


def test_a_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(TraceError, match="is a socket, which can never be a trace"):
            pba.read_trace(tmp_path / "s")


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Callable[[Any], subprocess.Popen[str]]]:
    started = []

    def start(path: Any, **more: Any) -> subprocess.Popen[str]:
        script = f"import pba; print(len(pba.read_trace({str(path)!r})))"
        command = [sys.executable, "-c", script]
        reader = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        started.append(reader)
        return reader

    yield start
    for reader in started:
        reader.kill()
        reader.communicate()


def test_a_pipe_that_nobody_writes_to_is_waited_for_aloud(waiting: Any, tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = waiting(fifo)
    assert reader.stderr.readline() == f"pba: waiting for {fifo}, from which nothing has come yet\n"
    fifo.write_bytes(b"1 A 1\n2 F 1\n")
    assert reader.communicate(timeout=60) == ("2\n", "")


def test_a_standard_input_from_which_nothing_comes(waiting: Any) -> None:
    reader = waiting("-", stdin=subprocess.PIPE)
    told = reader.stderr.readline()
    assert told == "pba: waiting for the standard input, from which nothing has come yet\n"
    out, error = reader.communicate("1 A 1\n", timeout=60)
    assert (out, error) == ("1\n", "")


def test_an_unknown_start_is_stored_and_older_files_know_theirs() -> None:
    unknown = Metadata(quality=Quality(live_at_start=None))
    values = unknown.to_dict()
    assert (values["format_version"], values["quality"]["live_at_start"]) == (3, None)
    assert Metadata.from_dict(values) == unknown
    assert Metadata().to_dict()["format_version"] == 2
    for source in ("ftrace", "systrace", "perf", "bpftrace", "csv", "text", "tracefs"):
        for truth in (None, Truth(1, 1, 1)):
            older = Metadata(source=source, quality=Quality(truth=truth)).to_dict()
            found = Metadata.from_dict(older)
            assert found.start_is_unknown == (source not in ("text", "tracefs") and truth is None)
