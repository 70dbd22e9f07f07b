"""CSV with a mapping of its columns: what it may look like, and which line is at fault."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pba
from pba.cli.app import run
from pba.errors import TraceError
from pba.trace.forms import csv as csv_form
from pba.trace.forms.csv import parse_columns, read_csv, sniff
from tests.traces import sawtooth

COLUMNS = parse_columns("time=ts,op=kind,id=page,arg=prio,level=lv,pfn=frame")
HEADER = "ts,comment,kind,page,prio,lv,frame\n"


def rows(trace: pba.Trace) -> list[tuple]:
    return list(trace.to_frame().itertuples(index=False, name=None))


def test_letters_words_levels_and_empty_cells(written):
    path = written(
        HEADER + "1000,first,alloc,7,,PTE,0x1A\n"
        '1500,"a, b",A,8,0,pmd,17\n'
        "\n"
        "2000,,FREE,7,,,\n2500,,shrink,,12,,\n2600,,Drop,,,,\n2700,,bg_alloc,3,9,,\n2800,,b,3,,,\n"
    )
    trace = read_csv(path, COLUMNS)
    assert rows(trace) == [
        (0, "A", 7, 0, "PTE", 26), (500, "A", 8, 0, "PMD", 17), (1000, "F", 7, 0, "", -1),
        (1500, "S", 0, 12, "", -1), (1600, "D", 0, 0, "", -1),
        (1700, "B", 3, 9, "", -1), (1800, "b", 3, 0, "", -1),
    ]  # fmt: skip
    known = trace.metadata
    assert (known.source, known.name, known.time_origin_ns) == ("csv", "given", 1000)
    assert known.quality.notes


@pytest.mark.parametrize(
    ("unit", "texts", "expected"),
    [
        ("ns", ("1700000000000000001", "1700000000000000002.9"), 1),
        ("us", ("1700000000000000.001", "1700000000000000.0029"), 1),
        ("ms", ("0", "1.5"), 1_500_000),
        ("s", ("1700000000.000000001", "1700000001"), 999_999_999),
        ("s", ("1.", "1.25"), 250_000_000),
    ],
)
def test_times_are_exact(written, unit, texts, expected):
    trace = read_csv(
        written("time,op,id\n" + "".join(f"{text},A,{at}\n" for at, text in enumerate(texts))), time_unit=unit
    )
    assert trace.time_ns.tolist() == [0, expected]


def test_ids_are_any_text_and_numbers_stay_numbers(written):
    head = "time,op,id\n"
    assert read_csv(written(head + "1,A,40\n2,A,7\n3,F,40\n")).id.tolist() == [40, 7, 40]
    for text in ("0xff80,a page,0xff80", "007,7,007", "3000000000,1,3000000000", "é,ü,é"):
        one, two, three = text.split(",")
        trace = read_csv(written(f"{head}1,A,{one}\n2,A,{two}\n3,F,{three}\n"))
        assert trace.id.tolist() == [0, 1, 0]
        assert trace.unknown_frees == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.sampled_from(["0", "7", "40", "007", "2147483647", "2147483648", "-1", "a", " a ", "é"])),
    numbers=st.integers(1, 60),
    size=st.integers(1, 200),
)
def test_ids_that_turn_out_to_be_text_are_numbered_from_the_first_on(
    written, monkeypatch, ids, numbers, size
):
    monkeypatch.setattr(csv_form, "CHUNK_BYTES", size)
    monkeypatch.setattr(csv_form, "RENUMBERED", 7)
    ids = [str(number * number % 13) for number in range(numbers)] + ids
    lines = [f"{at},F,{text}\n{at},D,{text}\n{at},D,\n" for at, text in enumerate(ids)]
    trace = read_csv(written("time,op,id\n" + "".join(lines)))
    ids = [text.strip() for text in ids]
    known: dict[str, int] = {}
    expected = [known.setdefault(text, len(known)) for text in ids]
    if all(text.isdecimal() and str(int(text)) == text and int(text) < 1 << 31 for text in ids):
        expected = [int(text) for text in ids]
    assert trace.id.tolist() == [number for of_page in expected for number in (of_page, 0, 0)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_marks_and_line_ends(written, separator):
    text = "time,op,id\n1,A,1\n2,F,1\n".replace(",", separator)
    plain = rows(read_csv(written(text)))
    assert plain == rows(read_csv(written("\ufeff" + text.replace("\n", "\r\n"))))
    assert plain == rows(read_csv(written(text.rstrip("\n"))))
    assert plain == rows(read_csv(written(gzip.compress(text.encode()))))


def test_what_a_frame_writes_is_read_back(written):
    trace = sawtooth(2, 50)
    path = written(trace.to_frame().to_csv(index=False))
    assert sniff(path.read_bytes())
    again = pba.read_trace(path)
    assert rows(again) == [(time - 1700, *rest) for time, *rest in rows(trace)]
    assert not sniff(b"a letter, to somebody\n")
    assert not sniff(b"")


def test_a_chunk_may_end_anywhere(written, monkeypatch):
    path = written(sawtooth(2, 50).to_frame().to_csv(index=False).replace("\n", "\n\n"))
    whole = rows(read_csv(path))
    for size in (7, 100, 1001):
        monkeypatch.setattr(csv_form, "CHUNK_BYTES", size)
        assert rows(read_csv(path)) == whole


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("x,,A,1,,,", r"time 'x' does not parse in 'x,,A,1,,,' \(expected a number from 0 on"),
        ("-5,,A,1,,,", "time '-5' does not parse"),
        ("1e3,,A,1,,,", "time '1e3' does not parse"),
        ("99999999999999999999,,A,1,,,", "time '9+' does not parse"),
        ("9000000000000000000,,A,1,,,", "time '90+' does not parse"),
        ("20,,grow,1,,,", r"op 'grow' does not parse.*alloc, free, shrink, drop"),
        ("20,,A,,,,", "A without an id"),
        ("20,,S,,,,", "S without its arg"),
        ("20,,S,,4x,,", "arg '4x' does not parse"),
        ("20,,S,,+4,,", "arg '.4' does not parse"),
        ("20,,S,,300,,", "arg '300' does not parse"),
        ("20,,S,,13,,", "priority 13 is out of range"),
        ("20,,A,5,,page,", "level 'page' does not parse.*PGD"),
        ("20,,A,5,,,0xzz", "pfn '0xzz' does not parse"),
        ("20,,A,5,,,-2", "pfn '-2' does not parse"),
        ("20,,A,5", "4 values for 7 columns"),
        ("20,,A,5,,,,,", "9 values for 7 columns"),
        ('20,"open,A,5,,,', "values for 7 columns"),
        ("5,,A,2,,,", "time goes backwards"),
        ("20,,A,1,,,", "is allocated already"),
    ],
)
def test_the_line_at_fault_is_named(written, monkeypatch, bad, message):
    text = f"{HEADER}10,,A,1,,,\n\n12,,D,,,,\n{bad}\n30,,F,1,,,\n"
    for size in (1 << 20, 20):
        monkeypatch.setattr(csv_form, "CHUNK_BYTES", size)
        with pytest.raises(TraceError, match=r"given:5: ") as caught:
            read_csv(written(text), COLUMNS)
        assert re.search(message, str(caught.value))
        assert caught.value.hint
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no event"),
        (HEADER, "holds no event"),
        ("\n\n", r"given:1: has no column 'ts'"),
        ("dear reader\n", r"given:1: has no column 'ts'"),
        ("ts,ts,kind,page\n", "more than one column 'ts'"),
        (b"\x00\x01\xff" * 400, r"given:1: has no column 'ts'"),
        (HEADER.encode() + b"\xff\xfe,,A,1,,,\n", r"given:2: time"),
        (HEADER.encode() + b"1,,A,\xff,,,\n", r"given:2: "),
    ],
)
def test_what_is_no_recording_is_refused(written, text, message):
    with pytest.raises(TraceError, match=message):
        read_csv(written(text), COLUMNS)


@pytest.mark.parametrize(
    "mapping", ["", "time", "time=", "=ts", "when=ts", "time=a,time=b", "time=a;op=b;id=c,"]
)
def test_mappings_that_are_none(mapping):
    with pytest.raises(TraceError, match="columns: ") as caught:
        parse_columns(mapping)
    assert "fields are time, op, id" in caught.value.hint


def test_fields_that_are_not_told(written):
    with pytest.raises(TraceError, match="which column is 'op' is not told"):
        read_csv(written(HEADER), {"time": "ts"})
    with pytest.raises(TraceError, match="time unit 'h' is unknown"):
        read_csv(written(HEADER), COLUMNS, time_unit="h")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_ends_in_anything_but_a_clean_error(written, data):
    text = bytearray(b"ts,comment,kind,page,prio,lv,frame\n" + b'10,"x",A,1,0,PTE,0x10\n20,,F,1,,,\n' * 3)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 12))] = data.draw(st.binary(max_size=8))
    try:
        trace = read_csv(written(bytes(text)), COLUMNS)
    except TraceError as error:
        assert error.hint
        assert "\n" not in str(error)
    else:
        assert (np.diff(trace.time_ns) >= 0).all()


def test_the_command(written, tmp_path, capsys):
    source = written("ts,kind,page\n0.5,alloc,a\n0.75,free,a\n")
    out = tmp_path / "x.parquet"
    told = ["--columns", "time=ts,op=kind,id=page", "--time-unit", "s", "--page-size", "16", "--name", "n"]
    assert run(["import", str(source), "-o", str(out), *told]) == 0
    assert "1 page tables allocated, 1 freed" in capsys.readouterr().out
    trace = pba.read_trace(out)
    assert trace.time_ns.tolist() == [0, 250_000_000]
    assert (trace.metadata.page_size_kib, trace.metadata.name) == (16, "n")
    assert run(["import", str(source), "-o", str(out), "--force"]) == 2
    assert (
        run(["import", str(source), "-o", str(out), "--force", "--columns", "time=nix,op=kind,id=page"]) == 2
    )
    assert "has no column 'nix' (its first line names 'ts, kind, page')" in capsys.readouterr().err
