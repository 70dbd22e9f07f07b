"""What systrace and atrace wrap around ftrace text: found by content, blanked, lines numbered."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pba.errors import TraceError
from pba.imports import ftrace, systrace
from pba.imports.read import read_trace
from tests.traces import events_shown

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PAGE = GOLDEN / "systrace.html"
OPEN, CLOSE = b'<script class="trace-data" type="application/text">\n', b"</script>"
EXPECTED = [
    ("A", 0xA1B2C, "PTE"),
    ("A", 0xA1B30, "PMD"),
    ("S", -1, ""),
    ("F", 0xA1B2C, "PTE"),
]


@pytest.mark.parametrize("name", ["systrace.html", "atrace.txt"])
def test_a_recording_in_its_wrapping(name):
    trace = read_trace(GOLDEN / name)
    assert events_shown(trace) == EXPECTED
    assert trace.metadata.source == "systrace"
    assert trace.metadata.architecture == "aarch64"
    assert trace.metadata.name == name.partition(".")[0]
    quality = trace.metadata.quality
    assert (quality.lost_events, quality.unparsed_lines) == (4 + 3, 0)


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_a_page_may_be_read_in_pieces_of_any_size(size, tmp_path, monkeypatch):
    monkeypatch.setattr(systrace, "BLOCK_BYTES", size)
    monkeypatch.setattr(systrace, "LONGEST_TAG", 200)
    with PAGE.open("rb") as stream:
        page = systrace.Page(stream, PAGE)
        given = b"".join(iter(page.read, b""))
    whole = PAGE.read_bytes()
    assert given.count(b"\n") == whole.count(b"\n")
    start, end = whole.index(b"# tracer"), whole.index(b'</script>\n<script class="trace-data" type', 1500)
    assert given.strip(b"\n") == whole[start:end].strip(b"\n")
    assert given.split(b"\n").index(b"# tracer: nop") == whole.split(b"\n").index(b"# tracer: nop")


def test_the_trace_may_stand_behind_megabytes_of_the_viewers_program(tmp_path):
    viewer = b"<script>" + b"var a = 'mm_page_alloc:';\n" * 100_000 + b"</script>\n"
    path = tmp_path / "big"
    path.write_bytes(gzip.compress(PAGE.read_bytes().replace(b"<body>", b"<body>" + viewer)))
    assert events_shown(read_trace(path)) == EXPECTED


def test_lines_are_numbered_as_in_the_file(tmp_path):
    path = tmp_path / "x.html"
    text = PAGE.read_bytes().replace(b"CPU:1 [LOST 4 EVENTS]", b"what is this")
    path.write_bytes(text)
    number = text.split(b"\n").index(b"what is this") + 1
    quality = read_trace(path).metadata.quality
    assert quality.unparsed_lines == 1
    assert f"1 lines could not be understood, the first is line {number}" in quality.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"<!DOCTYPE html>\n<p>a letter</p>\n", "HTML page without a trace"),
        (b"<html>" + OPEN + b"USER PID\n" + CLOSE, "HTML page without a trace"),
        (PAGE.read_bytes().partition(b"CPU:1")[0], "the page is cut off"),
        (b"<html>" + OPEN + b"# tracer: nop\n" + CLOSE, "is not systrace text"),
    ],
)
def test_pages_without_a_whole_trace_are_refused(text, message, tmp_path):
    path = tmp_path / "x.html"
    path.write_bytes(text)
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)
    assert caught.value.hint
    assert str(path) in str(caught.value)


def test_it_is_found_by_content():
    assert ftrace.sniff(b"\xef\xbb\xbf\n<!doctype HTML>\n")
    assert systrace.is_atrace((GOLDEN / "atrace.txt").read_bytes())
    assert not systrace.is_atrace((GOLDEN / "x86-trace.ftrace").read_bytes())
    assert not systrace.is_page(b"a letter about <html>")
