"""Reading lines block by block: numbers out of cells, columns that grow, and the line of each event."""

from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pba.errors import TraceError
from pba.trace.columns import LARGEST_TIME_NS
from pba.trace.forms import gathered, lines
from pba.trace.forms.cells import Texts, plain_numbers, times_in_ns
from pba.trace.forms.csv import read_csv
from pba.trace.forms.gathered import Gathered
from pba.trace.forms.lines import whole_lines
from pba.trace.forms.text import read_text
from pba.trace.metadata import Metadata

DIGITS = st.text("0123456789", max_size=21)
ODD = st.text("0123456789.+-x ²٣", max_size=6)


@settings(deadline=None)
@given(st.lists(st.one_of(DIGITS, ODD), min_size=1, max_size=4))
def test_plain_numbers_are_those_that_python_writes(cells):
    found = plain_numbers(pa.array(cells), -7)
    plain = [not cell or (cell.isascii() and cell.isdecimal() and str(int(cell)) == cell) for cell in cells]
    if found is not None:
        assert all(plain)
        assert found.tolist() == [int(cell) if cell else -7 for cell in cells]
    else:
        assert not all(plain) or max(int(cell or 0) for cell in cells) >= 9 * 10**18


@settings(deadline=None)
@given(st.lists(st.tuples(DIGITS, st.one_of(st.none(), DIGITS)), min_size=1, max_size=4), st.integers(0, 3))
def test_times_are_exact(parts, power):
    scale = 1000**power
    cells = [whole if below is None else f"{whole}.{below}" for whole, below in parts]
    exact = [
        # Digits below the ninth of a unit say nothing: a unit is a second at most.
        int(whole or 0) * scale + int(Fraction(int((below or "")[:9].ljust(9, "0")) * scale, 10**9))
        for whole, below in parts
    ]
    found = times_in_ns(pa.array(cells), scale)
    if found is None:
        largest = LARGEST_TIME_NS // scale
        assert any(not whole or int(whole) > largest for whole, _ in parts)
    else:
        assert found.tolist() == exact


@pytest.mark.parametrize("cell", ["", ".5", "-1", "1e3", "0x10", "1.2.3", "1.x", "1.0000000000x", " 1"])
def test_what_is_no_time(cell):
    assert times_in_ns(pa.array(["1", cell]), 1000) is None


def test_cells_of_a_slice():
    cells = pa.array(["x", "12", "", "7", "y"]).slice(1, 3)
    assert plain_numbers(cells, 0).tolist() == [12, 0, 7]
    assert times_in_ns(pa.array(["x", "1.5", "2"]).slice(1), 10**6).tolist() == [1_500_000, 2_000_000]
    assert Texts().numbers(cells).tolist() == [0, 0, 1]


@settings(deadline=None)
@given(st.lists(st.lists(st.text("ab\u00e9", max_size=4), max_size=40), max_size=8))
def test_texts_are_numbered_as_they_come(blocks):
    texts = Texts()
    known: dict[str, int] = {}
    for block in blocks:
        numbers = texts.numbers(pa.array(block, pa.string())).tolist()
        assert numbers == [known.setdefault(text, len(known)) if text else 0 for text in block]


def test_many_texts_are_told_apart():
    texts = Texts()
    many = [f"{number:#x}000" for number in range(30_000)]
    for begin in range(0, len(many), 999):
        texts.numbers(pa.array(many[begin : begin + 999]))
    assert texts.numbers(pa.array(many[::-1])).tolist() == list(range(len(many)))[::-1]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 700), min_size=0, max_size=9), max_size=9), st.integers(1, 20))
def test_lines_and_events_are_found_again(blocks, step):
    events = Gathered()
    lines = []
    line = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathered, "STEP", step)
        for gaps in blocks:
            there = np.cumsum([line, *gaps])[1:].astype(np.int64)
            line = int(there[-1]) if len(there) else line
            number = np.arange(len(lines), len(lines) + len(there))
            zeros = np.zeros(len(there), np.int8)
            events.add({"time_ns": number * 10**12, "op": zeros, "id": number, "arg": zeros}, there)
            lines += there.tolist()
    assert len(events) == len(lines)
    assert [events.line_of(event) for event in range(len(lines))] == lines
    if lines:
        trace = events.trace(Metadata(name="x"), "x")
        assert trace.id.tolist() == list(range(len(lines)))
        assert trace.time_ns.tolist() == [number * 10**12 for number in range(len(lines))]
        assert trace.nbytes == 18 * len(lines)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=9), max_size=9), st.integers(1, 30))
def test_pieces_end_at_line_ends(parts, size):
    text = b"\n".join(parts)
    pieces = list(whole_lines(io.BytesIO(text), size, "x", "hint"))
    assert b"".join(piece for _, piece in pieces) == text
    assert all(piece.endswith(b"\n") for _, piece in pieces[:-1])
    before = b""
    for line, piece in pieces:
        assert line == before.count(b"\n") + 1
        before += piece


@pytest.mark.parametrize(("name", "first"), [("x.events", "5 A 1\n"), ("x.csv", "time,op,id\n")])
def test_a_line_without_end_is_refused(name, first, tmp_path, monkeypatch):
    path = tmp_path / name
    path.write_text(first + "7" * (3 << 20))
    monkeypatch.setattr(lines, "LONGEST_LINE", 1 << 20)
    with pytest.raises(TraceError, match="a line of more than 1 MiB") as caught:
        (read_csv if name == "x.csv" else read_text)(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert caught.value.hint


@pytest.mark.parametrize("form", ["csv", "events"])
def test_reading_takes_the_memory_of_the_trace(form, tmp_path: Path, monkeypatch):
    """Arrow's own memory is not seen here; it holds a chunk at a time."""
    path = tmp_path / f"x.{form}"
    separator = "," if form == "csv" else " "
    ending = ",,,\n" if form == "csv" else "\n\n"
    with path.open("w") as stream:
        stream.write("time,op,id,arg,level,pfn\n" if form == "csv" else "# x\n")
        for page in range(400_000):
            name = page % 1000
            for op in "AF":
                stream.write(separator.join((str(page * 1000), op, str(name))) + ending)
    read = read_csv if form == "csv" else read_text
    monkeypatch.setattr(gathered, "STEP", 1 << 16)
    tracemalloc.start()
    try:
        trace = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(trace) == 800_000
    assert peak < trace.nbytes + (8 << 20)
