"""Bad input ends in one clear line on standard error and exit status 2, never in a traceback."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import pba
from pba import _jit
from pba.cli.app import run
from pba.errors import EXIT_STATUS, OutputError
from pba.trace.metadata import FORMAT_VERSION, Metadata

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
TINY = VECTORS / "tiny.events.gz"
GOOD = "100 A 1\n200 A 2\n300 F 1\n400 S 12\n500 D\n600 B 1 3\n700 b 1\n"

NOISE = np.random.default_rng(1).bytes(3000).hex().encode()

PACKERS = [gzip.compress, lzma.compress, zstandard.compress]

Complaint = Callable[..., str]


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Complaint:
    """Run a command that must fail as it should, and return its one line."""

    def complain(*arguments: str | Path) -> str:
        status = run([str(argument) for argument in arguments])
        output = capsys.readouterr()
        assert status == EXIT_STATUS
        assert output.out == ""
        assert output.err.endswith("\n")
        assert output.err.count("\n") == 1
        assert output.err.startswith("pba: ")
        return output.err.strip()

    return complain


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def small_trace() -> pba.Trace:
    columns = {"time_ns": [0, 5, 9], "op": [0, 0, 1], "id": [1, 2, 1], "arg": [0, 0, 0]}
    return pba.Trace.from_arrays(columns, Metadata(name="small", page_size_kib=4))


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


# Files that are no trace -----------------------------------------------------------------------------------


def parquet_of(folder: Path) -> bytes:
    return small_trace().write(folder / "whole.parquet").read_bytes()


def foreign_parquet(folder: Path) -> bytes:
    path = folder / "other.parquet"
    pd.DataFrame({"x": np.arange(3)}).to_parquet(path)
    return path.read_bytes()


def newer_parquet(folder: Path) -> bytes:
    """Return a trace whose metadata says that a later version wrote it."""
    path = small_trace().write(folder / "whole.parquet")
    table = pq.read_table(path)
    values = json.loads(table.schema.metadata[b"pba"]) | {"format_version": FORMAT_VERSION + 1}
    pq.write_table(table.replace_schema_metadata({b"pba": json.dumps(values).encode()}), path)
    return path.read_bytes()


def other_column(folder: Path, name: str, values: list[Any], *, twice: bool = False) -> bytes:
    """Return a trace one of whose columns is another (or stands there twice)."""
    path = small_trace().write(folder / "whole.parquet")
    table = pq.read_table(path)
    if name in table.column_names and not twice:
        table = table.drop_columns([name])
    pq.write_table(table.append_column(name, pa.array(values)), path)
    return path.read_bytes()


FILES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "empty gzip": (lambda _: gzip.compress(b""), "is empty"),
    "comments only": (lambda _: b"# nothing\n\n", "no event|not a trace"),
    "truncated gzip": (
        lambda _: half(gzip.compress(os.urandom(3000).hex().encode())),
        "truncated or damaged",
    ),
    "truncated xz": (lambda _: half(lzma.compress(os.urandom(3000).hex().encode())), "truncated or damaged"),
    "truncated text gzip": (lambda _: half(TINY.read_bytes()), "truncated or damaged"),
    "truncated zstd": (lambda _: half(zstandard.compress(NOISE)), "truncated or damaged"),
    "damaged zstd": (lambda _: zstandard.compress(NOISE)[:20] + NOISE, "truncated or damaged"),
    "truncated Parquet": (lambda folder: half(parquet_of(folder)), "truncated or damaged"),
    "Parquet's first bytes": (lambda _: b"PAR1", "truncated or damaged"),
    "foreign Parquet": (foreign_parquet, "not a trace of pba"),
    "newer Parquet": (newer_parquet, "format version"),
    "Parquet, no op": (
        lambda folder: other_column(folder, "op", ["A", None, "F"]),
        "event 1: there is no op",
    ),
    "Parquet, no id": (lambda folder: other_column(folder, "id", [1, 2, None]), "event 2: there is no id"),
    "Parquet, no level": (lambda folder: other_column(folder, "level", ["PTE", "PTE", None]), "is no level"),
    "Parquet, ops as numbers": (
        lambda folder: other_column(folder, "op", [0, 0, 1]),
        "holds int64, not names",
    ),
    "Parquet, time in words": (
        lambda folder: other_column(folder, "time_ns", ["0", "5", "9"]),
        "holds string, not whole numbers",
    ),
    "Parquet, pfn in words": (
        lambda folder: other_column(folder, "pfn", ["a", "b", None]),
        "pfn holds string, not whole numbers",
    ),
    "Parquet, two ops": (lambda folder: other_column(folder, "op", ["A"] * 3, twice=True), "two columns"),
    "Parquet, negative time": (lambda folder: other_column(folder, "time_ns", [-1, 5, 9]), "time -1 ns"),
    "a picture": (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(200), "not a trace"),
    "prose": (lambda _: b"Dear list,\n\nhere is my trace.\n", "not a trace"),
    "a shell script": (lambda _: b"#!/bin/sh\necho hello\n", "not a trace"),
    "random bytes": (lambda _: bytes(range(256)) * 40, "not a trace"),
}


@pytest.mark.parametrize("command", ["info", "replay"])
@pytest.mark.parametrize("content", FILES)
def test_a_file_that_is_no_trace(content: str, command: str, tmp_path: Path, complaint: Complaint) -> None:
    make, expected = FILES[content]
    path = write(tmp_path / "given", make(tmp_path))
    line = complaint(command, path)
    assert str(path) in line
    assert re.search(expected, line)


@pytest.mark.parametrize("command", ["info", "replay"])
def test_no_such_file(command: str, tmp_path: Path, complaint: Complaint) -> None:
    assert f"{tmp_path}/none.parquet: no such file" in complaint(command, tmp_path / "none.parquet")
    assert "no recording of pba is called 'none'" in complaint(command, "none")


def test_a_folder(tmp_path: Path, complaint: Complaint) -> None:
    assert f"{tmp_path}: " in complaint("info", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path, complaint: Complaint) -> None:
    path = write(tmp_path / "x.events", GOOD)
    path.chmod(0)
    assert "Permission denied" in complaint("info", path)


@pytest.mark.parametrize(
    "compress", [gzip.compress, lzma.compress, zstandard.compress], ids=["gz", "xz", "zst"]
)
def test_a_compressed_trace_cut_anywhere_is_never_a_shorter_trace(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    lines = "".join(f"{number * 100} A {number}\n" for number in range(5000))
    whole = compress(lines.encode())
    assert len(pba.read_trace(write(tmp_path / "whole", whole))) == 5000
    for cut in np.linspace(7, len(whole) - 1, 9).astype(int):
        with pytest.raises(pba.PbaError, match="truncated or damaged"):
            pba.read_trace(write(tmp_path / "cut", whole[:cut]))


METADATA = {
    "{": "is damaged",
    "[" * 100_000: "is damaged",
    "[]": "metadata is damaged: []",
    "5": "metadata is damaged: 5",
    '{"format_version": true}': "version True is not known",
    '{"format_version": 1, "memory_pages": "lots"}': "memory_pages is 'lots', not int | None",
    '{"format_version": 1, "memory_pages": NaN}': "memory_pages is nan, not int | None",
    '{"format_version": 1, "name": 5}': "name is 5, not str",
    '{"format_version": 1, "buddyinfo": [5]}': "buddyinfo holds 5, not the free chunks",
    '{"format_version": 1, "quality": null}': "metadata is damaged",
    '{"format_version": 1, "quality": {"lost_events": "x"}}': "lost_events is 'x', not int",
    '{"format_version": 1, "quality": {"notes": [1]}}': "notes is (1,)",
    '{"format_version": 1, "quality": {"truth": {"true_pages": 1}}}': "missing 2 required",
    '{"format_version": 1, "quality": {"truth":'
    ' {"true_pages": "x", "recorded_pages": 1, "common_pages": 1}}}': "true_pages is 'x', not int",
}


@pytest.mark.parametrize("text", METADATA, ids=lambda text: text[-60:])
def test_metadata_that_somebody_spoilt(text: str, tmp_path: Path, complaint: Complaint) -> None:
    path = write(tmp_path / "x.events", f"# pba metadata {text}\n{GOOD}")
    line = complaint("info", path)
    assert str(path) in line
    assert METADATA[text] in line


def test_a_name_that_cannot_be(complaint: Complaint) -> None:
    assert "File name too long" in complaint("info", "x" * 300)


def test_a_pipe_holds_no_parquet(complaint: Complaint) -> None:
    parquet = pba.recordings()["redis-bgsave-x86"]
    reader, writer = os.pipe()
    os.write(writer, parquet.read_bytes()[:60_000])
    os.close(writer)
    line = complaint("info", f"/dev/fd/{reader}")
    os.close(reader)
    assert f"/dev/fd/{reader}: Parquet cannot be read from a pipe" in line


def test_a_long_comment_before_the_first_event(tmp_path: Path) -> None:
    assert len(pba.read_trace(write(tmp_path / "x", "# so\n" * 100 + GOOD))) == 7


# Lines and events ------------------------------------------------------------------------------------------

LINES = {
    "a word for a time": ("oops A 3", "'oops A 3'"),
    "no op": ("800", "'800'"),
    "no id": ("800 A", "'800 A'"),
    "a word for an id": ("800 A seven", "'800 A seven'"),
    "a negative id": ("800 A -7", "'800 A -7'"),
    "an id beyond 31 bits": ("800 A 2147483648", "2147483648"),
    "a time beyond 63 bits": ("99999999999999999999 A 3", "99999999999999999999"),
    "a decimal time": ("800.5 A 3", "'800.5 A 3'"),
    "no order": ("800 B 3", "'800 B 3'"),
    "something after it": ("800 A 3 extra", "'800 A 3 extra'"),
    "an unknown op": ("800 Q 3", "unknown op 'Q'"),
    "bytes that are no text": ("800 \xff 3", "unknown op"),
    "a priority that is none": ("800 S 13", "priority 13"),
    "an order that is none": ("800 B 3 14", "14 is out of range"),
    "time going backwards": ("699 A 3", "time goes backwards, from 700 to 699 ns"),
    "a double allocation": ("800 A 2", "id 2 is allocated already"),
    "a double background chunk": ("800 B 2 0\n800 B 2 0", "id 2 is allocated already"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("case", LINES)
def test_a_bad_line(case: str, packed: bool, tmp_path: Path, complaint: Complaint) -> None:
    bad, expected = LINES[case]
    text = f"# a comment\n{GOOD}{bad}\n900 A 9\n"
    number = 8 + 1 + bad.count("\n")
    content = text.encode("latin-1")
    path = write(tmp_path / "x.events", gzip.compress(content) if packed else content)
    line = complaint("replay", path)
    assert f"{path}:{number}: " in line
    assert expected in line


def test_a_long_line_is_cut(tmp_path: Path, complaint: Complaint) -> None:
    line = complaint("info", write(tmp_path / "x", f"{GOOD}800 A {'7' * 5000}\n"))
    assert len(line) < 300 + len(str(tmp_path))


def test_unknown_frees_are_counted_and_refused_with_strict(
    tmp_path: Path, complaint: Complaint, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "x.events", f"{GOOD}800 F 77\n801 b 5\n802 F 1\n")
    assert run(["replay", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["unknown_frees"] == 3
    assert result["counters"]["frees"] == 1
    assert run(["replay", str(path)]) == 0
    assert "3 frees of ids that were not live" in capsys.readouterr().out
    line = complaint("replay", path, "--strict")
    assert "id 77 is freed but not live" in line
    assert "first of 3" in line


def test_strict_takes_a_trace_without_unknown_frees(tmp_path: Path) -> None:
    assert run(["replay", str(write(tmp_path / "x.events", GOOD)), "--strict"]) == 0


def test_a_chunk_that_the_machine_does_not_have(tmp_path: Path, complaint: Complaint) -> None:
    path = write(tmp_path / "x.events", "100 A 1\n200 B 1 12\n")
    assert "order 12 does not exist" in complaint("replay", path)
    assert run(["replay", str(path), "--page-size", "64"]) == 0


# What the other commands are given -------------------------------------------------------------------------


def test_a_study_that_is_not_there(tmp_path: Path, complaint: Complaint) -> None:
    assert f"{tmp_path}/none.toml: no such study file" in complaint("tune", tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["points = ", "nonsense = 1\n", '[search]\npoints = "many"\n', "\xff"])
def test_a_study_that_cannot_be_read(text: str, tmp_path: Path, complaint: Complaint) -> None:
    path = write(tmp_path / "study.toml", text.encode("latin-1"))
    assert str(path) in complaint("tune", path, "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_is_none(tmp_path: Path, complaint: Complaint) -> None:
    assert f"{tmp_path}/none: " in complaint("report", tmp_path / "none")
    assert "nothing to report: it has none of run.json, sweep.json" in complaint("report", tmp_path)
    write(tmp_path / "run.json", "{")
    assert str(tmp_path) in complaint("report", tmp_path)


def test_an_import_of_what_is_no_trace(tmp_path: Path, complaint: Complaint) -> None:
    out = tmp_path / "out.parquet"
    assert "no such file" in complaint("import", tmp_path / "none", "-o", out)
    prose = write(tmp_path / "prose", "Dear list,\n")
    assert str(prose) in complaint("import", prose, "-o", out)
    assert not out.exists()
    write(out, "precious")
    assert "exists already" in complaint("import", prose, "-o", out)
    assert out.read_text() == "precious"


def test_a_recording_that_would_replace_a_file(tmp_path: Path, complaint: Complaint) -> None:
    out = write(tmp_path / "out.parquet", "precious")
    assert "exists already" in complaint("record", "-o", out, "--", "true")
    assert out.read_text() == "precious"


# Machines and thresholds -----------------------------------------------------------------------------------

OPTIONS = {
    "--memory 1025pages": "not a multiple of 1024 pages",
    "--memory 1001MB": "not a multiple of 1024 pages",
    "--memory 4097K": "not a multiple of the page size",
    "--memory 0pages": "cannot have 0 pages of memory",
    "--memory 4": "write it as 4GiB",
    "--memory much": "write it as 4GiB",
    "--memory 64TiB": "too large",
    "--memory 999999999999999999p": "too large",
    f"--memory {'9' * 400}g": "write it as 4GiB",
    f"--memory {'9' * 5000}p": "write it as 4GiB",
    f"--page-size {'9' * 5000}": "use 4, 16 or 64",
    "--page-size 8": "page size 8 KiB does not exist",
    "--page-size 0": "page size 0 KiB does not exist",
    "--page-size 4096": "use 4, 16 or 64",
    "--page-size big": "use 4, 16 or 64",
    "--linear-map pte": "use pmd, contpmd, pud",
    "--page-size 16 --linear-map pud": "no pud leaves on 16 KiB pages",
    "--fragmented 1.01": "--fragmented 1.01 is out of range",
    "--fragmented -0.1": "the share of the free memory outside of whole free blocks: 0 to 1",
    "--fragmented nan": "--fragmented nan is out of range",
    "--fragmented half": "--fragmented",
    "--fragmented 0.5 --seed -1": "--seed -1 is out of range",
    "--fragmented 0.5 --memory-from-trace": "say --memory-from-trace or --fragmented 0.5",
    "--reclaim often": "use recorded or watermarks",
    "--mglru": "--mglru is about reclaim that reacts (say --reclaim watermarks, too)",
    "--reclaim watermarks --min-free-kbytes 4194304": "is more than the memory: 4 GiB of 4 KiB pages",
    "--reclaim watermarks --min-free-kbytes -1": "--min-free-kbytes -1 is out of range",
    "--reclaim watermarks --reclaimable-share 1.5": "--reclaimable-share 1.5 is out of range",
    "--memory-from-trace": "does not say what memory was free at its start",
    "--unshrinkable-pages -1": "unshrinkable_pages = -1 is out of range",
    "--unshrinkable-pages 1048577": "out of range",
    "--shrink-block-min-pages 0": "shrink_block_min_pages = 0 is out of range",
    "--shrink-block-min-pages 513": "1 to 512 pages",
    "--batch 0": "say 128 for that",
    "--batch many": "--batch",
    "--batch 1.5": "--batch",
}


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options[:40])
def test_a_machine_or_threshold_that_cannot_be(options: str, complaint: Complaint) -> None:
    assert OPTIONS[options] in complaint("replay", TINY, *options.split())


@pytest.mark.parametrize(
    ("options", "pages"),
    [
        ("--memory 1GiB", 262144),
        ("--memory 1G", 262144),
        ("--memory 1.5g", 393216),
        ("--memory 1024MB", 262144),
        ("--memory 4096pages", 4096),
        ("--memory 4096p", 4096),
        ("--page-size 16KiB --memory 1GiB", 65536),
        ("--page-size 64", 65536),
        ("", 1048576),
    ],
)
def test_sizes_are_read_as_people_write_them(
    options: str, pages: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", str(TINY), *options.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["machine"]["memory_pages"] == pages


# Outputs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.parquet", "x.events", "x.events.gz"])
def test_an_existing_output_is_kept(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, "precious")
    with pytest.raises(OutputError, match=r"exists already.*force=True"):
        small_trace().write(path)
    assert path.read_text() == "precious"
    small_trace().write(path, force=True)
    assert len(pba.read_trace(path)) == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x.csv", "x", "none/x.parquet"])
def test_an_output_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        small_trace().write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_and_a_device_are_no_outputs(tmp_path: Path) -> None:
    """Not even with `force`: root could put a file in the place of a device."""
    (tmp_path / "x.parquet").mkdir()
    (tmp_path / "x.events").symlink_to(os.devnull)
    for name, words in (("x.parquet", "is a folder"), ("x.events", "is no regular file")):
        for force in (False, True):
            with pytest.raises(OutputError, match=words):
                small_trace().write(tmp_path / name, force=force)
    assert Path(os.devnull).is_char_device()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["x.parquet", "x.events"])
def test_a_full_disk(name: str, tiny_disk: Path) -> None:
    events = 200_000
    generator = np.random.default_rng(1)
    columns = {
        "time_ns": np.sort(generator.integers(0, 1 << 60, events)),
        "op": np.zeros(events, np.int8),
        "id": generator.permutation(events),
        "arg": np.zeros(events, np.int8),
    }
    with pytest.raises(OutputError, match=r"No space left.*free some space") as caught:
        pba.Trace.from_arrays(columns).write(tiny_disk / name)
    assert "\n" not in str(caught.value)
    assert list(tiny_disk.iterdir()) == [], "half a file was left"


def pba_process(*arguments: str | Path, stdout: object = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pba.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)  # type: ignore[call-overload,no-any-return]


def test_standard_output_that_is_full() -> None:
    with Path("/dev/full").open("w") as full:
        done = pba_process("info", TINY, stdout=full)
    assert done.returncode == EXIT_STATUS
    assert done.stderr == "pba: cannot write the output: No space left on device (free some space)\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be it noticed while a command prints or when the rest is flushed."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    done = pba_process("replay", TINY, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_no_standard_output_at_all() -> None:
    program = f"{sys.executable} -c 'from pba.cli import main; main()' info {TINY} >&-"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.events"))
    done = pba_process("info", write(path, GOOD))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xff" in done.stdout


def test_memory_that_runs_out(monkeypatch: pytest.MonkeyPatch, complaint: Complaint) -> None:
    def large(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("pba.analysis.summary.summarize_blocks", large)
    assert "not enough memory" in complaint("info", TINY)


def test_a_cache_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "PBA_CACHE_DIR": "/dev/null/cache", "TMPDIR": str(tmp_path)}
    script = "import pba._jit as j; d = j.cache_dir('kernel'); (d / 'x').touch(); print(d)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{tmp_path}/pba-jit-")
    assert list(tmp_path.iterdir()) == []


def test_nobody_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("PBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", classmethod(homeless))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _jit.cache_dir.__wrapped__("kernel").parent == tmp_path


# The command line ------------------------------------------------------------------------------------------

USES = {
    "frobnicate": "No such command 'frobnicate'",
    "--frobnicate": "No such option",
    "info": "TRACE",
    "info a b": "b",
    "info --colour x": "No such option",
    "replay x --batch": "--batch",
    "import x": "--output",
    "report a b": "b",
    "tune --points many": "--points",
    "record -o": "-o",
}


@pytest.mark.parametrize("arguments", USES)
def test_a_wrong_command_line(arguments: str, complaint: Complaint) -> None:
    line = complaint(*arguments.split())
    assert USES[arguments] in line
    assert line.endswith("--help)")


def test_a_report_where_nothing_was_tuned(
    complaint: Complaint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaint("report") == (
        "pba: there is no run in runs/, sweep in sweeps/ or comparison in plots/ (say pba tune, or name a folder)"
    )


def test_a_process_says_it_in_one_line_too() -> None:
    done = pba_process("info", "/no/such/file")
    assert done.returncode == EXIT_STATUS
    assert done.stdout == ""
    assert done.stderr == "pba: /no/such/file: no such file (check the name)\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pba.analysis.summary.summarize_blocks", broken)
    with pytest.raises(ZeroDivisionError):
        run(["info", str(TINY)])


def test_ctrl_c_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pba.analysis.summary.summarize_blocks", interrupted)
    assert run(["info", str(TINY)]) == 130
    assert capsys.readouterr().err == ""


def test_nothing_given_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "pba tune" in capsys.readouterr().out
