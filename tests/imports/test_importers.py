"""What holds of every importer: the same events give the same trace, and damage ends in one clear line."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard

import pba
from pba.cli.app import run
from pba.errors import EXIT_STATUS, PbaError
from tests.imports.importers import EVENTS, IMPORTERS, Event, Importer

EVERY = pytest.mark.parametrize("form", IMPORTERS.values(), ids=list(IMPORTERS))
TEXTS = pytest.mark.parametrize(
    "form", [form for form in IMPORTERS.values() if form.lines], ids=[n for n in IMPORTERS if n != "parquet"]
)
PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstandard.compress}
PACKED = pytest.mark.parametrize("packer", PACKERS)

Writer = Callable[..., Path]
Refusal = Callable[[Path], str]


@pytest.fixture
def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Import what must be refused, and return the line that says why."""

    def refuse(path: Path) -> str:
        out = tmp_path / "out.parquet"
        assert run(["import", str(path), "-o", str(out)]) == EXIT_STATUS
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        assert shown.err.startswith(f"pba: {path}")
        assert shown.err.rstrip().endswith(")"), "it says what to do"
        assert not out.exists()
        assert sorted(file.name for file in tmp_path.iterdir()) == [path.name], "nothing is left behind"
        return shown.err

    return refuse


def content(trace: pba.Trace) -> list[tuple[int, ...]]:
    """What every form can tell: times, ops, pages (as slots) and priorities."""
    return list(zip(trace.time_ns, trace.op, trace.slot, trace.arg, strict=True))


EXPECTED = pba.Trace.from_arrays(
    {
        "time_ns": [event.time_us * 1_000 for event in EVENTS if event.op != "failed"],
        "op": ["AFS".index(event.op) for event in EVENTS if event.op != "failed"],
        "id": [event.pfn for event in EVENTS if event.op != "failed"],
        "arg": [event.priority for event in EVENTS if event.op != "failed"],
    }
)


@EVERY
def test_the_same_events_give_the_same_trace(form: Importer, written: Writer) -> None:
    """One of them is an allocation that failed, which leaves nothing."""
    trace = pba.read_trace(written(form.write()))
    assert content(trace) == content(EXPECTED)
    if form.name != "text":
        known = trace.to_frame()
        paged = [event for event in EVENTS if event.op != "failed"]
        assert known["level"].tolist() == [event.level for event in paged]
        assert known["pfn"].tolist() == [event.pfn if event.op != "S" else -1 for event in paged]
    if form.name != "parquet":
        assert trace.metadata.source == form.name
    assert (trace.metadata.quality.unparsed_lines, trace.metadata.quality.lost_events) == (0, 0)


@EVERY
@PACKED
def test_compression_is_found_by_content_and_not_by_name(
    form: Importer, packer: str, written: Writer
) -> None:
    expected = content(EXPECTED)
    packed = PACKERS[packer](form.write())
    for name in ("x", "x.gz", "x.xz", "x.zst", "x.parquet"):
        assert content(pba.read_trace(written(packed, name))) == expected
    assert content(pba.read_trace(written(form.write(), f"x.{packer}"))) == expected


@EVERY
@PACKED
def test_a_truncated_stream_is_refused(
    form: Importer, packer: str, written: Writer, refusal: Refusal
) -> None:
    packed = PACKERS[packer](form.write())
    for cut in (8, len(packed) // 2, len(packed) - 1):
        assert "truncated or damaged" in refusal(written(packed[:cut]))


@EVERY
def test_empty_and_garbage_are_refused(form: Importer, written: Writer, refusal: Refusal) -> None:
    assert "is empty" in refusal(written(b""))
    assert "is empty" in refusal(written(gzip.compress(b"")))
    noise = np.random.default_rng(7).bytes(20_000)
    assert "not a trace" in refusal(written(noise))
    whole = form.write()
    head = whole[: len(whole) // 3]
    try:  # the beginning is good, then noise
        trace = pba.read_trace(written(head + noise))
    except PbaError:
        refusal(written(head + noise))
    else:
        assert len(trace) < len(EXPECTED)
        assert trace.metadata.quality.unparsed_lines > 0


@EVERY
def test_a_file_cut_anywhere_is_shorter_or_refused(form: Importer, written: Writer) -> None:
    whole = form.write()
    for cut in range(1, len(whole), max(1, len(whole) // 200)):
        try:
            trace = pba.read_trace(written(whole[:cut]))
        except PbaError as error:
            assert error.hint
            assert "given" in str(error)
            continue
        assert form.lines
        found, expected = content(trace), content(EXPECTED)
        assert len(found) <= len(expected)
        assert found[:-1] == expected[: max(0, len(found) - 1)], "only the last line may be another"


@TEXTS
def test_a_line_of_another_form_is_counted_or_refused_with_its_number(
    form: Importer, written: Writer, refusal: Refusal
) -> None:
    lines = form.write().decode().splitlines()
    last = next(at for at, line in enumerate(lines) if str(EVENTS[-1].time_us)[-6:] in line)
    path = written("\n".join([*lines[:last], form.alien, form.alien, *lines[last:], ""]).encode())
    if not form.counts_lines:
        assert f"{path}:{last + 1}: " in refusal(path)
        return
    trace = pba.read_trace(path)
    assert content(trace) == content(EXPECTED)
    quality = trace.metadata.quality
    assert quality.unparsed_lines == 2
    assert f"2 lines could not be understood, the first is line {last + 1}" in quality.notes


@EVERY
def test_a_clock_that_jumps(form: Importer, written: Writer, refusal: Refusal) -> None:
    ahead = (*EVENTS[:-1], replace(EVENTS[-1], time_us=10**9))
    trace = pba.read_trace(written(form.write(ahead)))
    assert trace.time_ns[-1] == 10**12
    back = (*EVENTS[:-1], replace(EVENTS[-1], time_us=1_000))
    path = written(form.write(back))
    if form.counts_lines and form.lines:
        trace = pba.read_trace(path)
        assert (np.diff(trace.time_ns) >= 0).all()
        assert any("time steps back by 3.999 s: a clock jumped" in n for n in trace.metadata.quality.notes)
    else:
        message = refusal(path)
        assert "time goes backwards" in message
        assert f"{path}:" in message, "its line, or its event"


@TEXTS
@pytest.mark.parametrize("change", ["crlf", "no final newline", "blank lines", "byte order mark"])
def test_line_ends_do_not_matter(form: Importer, change: str, written: Writer) -> None:
    text = form.write()
    if change == "byte order mark" and form.name == "text":
        pytest.skip("no program writes one there")
    changed = {
        "crlf": text.replace(b"\n", b"\r\n"),
        "no final newline": text.rstrip(b"\n"),
        "blank lines": text + b"\n\n",
        "byte order mark": b"\xef\xbb\xbf" + text,
    }[change]
    trace = pba.read_trace(written(changed))
    assert content(trace) == content(EXPECTED)
    assert trace.metadata.quality.unparsed_lines <= (change == "byte order mark")


@TEXTS
def test_names_that_are_no_text(form: Importer, written: Writer) -> None:
    text = form.write()
    name = {"csv": b",4608,", "text": b" 0\n"}.get(form.name, form.task)
    if form.name == "bpftrace":
        pytest.skip("the program prints no names")
    odd = {"csv": b",\xff\xfe4608,", "text": b" 0 # \xff\xfe\n"}.get(form.name, b"\xff\xfe\x80" + form.task)
    path = written(text.replace(name, odd))
    if form.name == "csv":
        with pytest.raises(PbaError, match=rf"{path}:2: "):
            pba.read_trace(path)
    else:
        assert content(pba.read_trace(path)) == content(EXPECTED)


@TEXTS
def test_a_very_long_line(form: Importer, written: Writer, refusal: Refusal) -> None:
    """Nearly as long as a line may be."""
    lines = form.write().splitlines(keepends=True)
    at = len(lines) - 3
    path = written(b"".join([*lines[:at], b"x" * 1_000_000 + b"\n", *lines[at:]]))
    if not form.counts_lines:
        message = refusal(path)
        assert f"{path}:{at + 1}: " in message
        assert len(message) < len(str(path)) + 400
        return
    trace = pba.read_trace(path)
    assert content(trace) == content(EXPECTED)
    assert trace.metadata.quality.unparsed_lines == 1


@TEXTS
def test_a_line_that_is_too_long(form: Importer, written: Writer, refusal: Refusal) -> None:
    """Longer than the pieces in which files are read."""
    lines = form.write().splitlines(keepends=True)
    at = len(lines) - 3
    path = written(b"".join([*lines[:at], b"x" * (9 << 20) + b"\n", *lines[at:]]))
    message = refusal(path)
    assert "a line of more than 1 MiB" in message
    assert str(path) in message


@pytest.mark.parametrize("form", [f for f in IMPORTERS.values() if f.lost], ids=lambda form: form.name)
def test_lost_events_are_counted(form: Importer, written: Writer) -> None:
    lines = form.write().splitlines(keepends=True)
    last = next(at for at, line in enumerate(lines) if str(EVENTS[-1].time_us)[-6:].encode() in line)
    lost = b"".join([*lines[:last], form.lost + b"\n", *lines[last:]])
    trace = pba.read_trace(written(lost))
    assert content(trace)[-1] == content(EXPECTED)[-1]
    assert trace.metadata.quality.lost_events == 12


@EVERY
def test_many_events_are_the_same_whatever_the_pieces(form: Importer, written: Writer) -> None:
    """Enough for several of the pieces in which a small file may be read; pages are used again and again."""
    many = tuple(Event(1_000 * at, "AF"[at // 50 % 2], 0x1200 + at % 50, "PTE") for at in range(2_000))
    trace = pba.read_trace(written(form.write(many)))
    assert trace.counts()["A"] == trace.counts()["F"] == 1_000
    assert trace.nr_slots == 50
    assert trace.time_ns[-1] == 1_999_000_000
