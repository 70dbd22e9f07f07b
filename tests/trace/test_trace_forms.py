"""The stored form and the text form: what goes in comes out, and what is wrong is named."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba.errors import OutputError, TraceError
from pba.trace.check import Slots
from pba.trace.metadata import FORMAT_VERSION, Background, Counted, Metadata, Quality, Truth
from pba.trace.table import DTYPES, NO_PFN, Trace
from tests.traces import sawtooth

FULL = Metadata(
    name="all-of-it",
    source="tracefs",
    kernel="6.18.44",
    architecture="x86_64",
    page_size_kib=4,
    memory_pages=6171021,
    buddyinfo=({"node": 0, "zone": "Normal", "free": [1, 2, 3]},),
    duration_ns=5,
    time_origin_ns=77,
    quality=Quality(
        1,
        2,
        3,
        4,
        5,
        "a rule",
        Truth(100, 99, 98),
        ("a note", "another"),
        Background(1, 9, 2, 3, 4, 5, 6.5),
        Counted(97, 101, 96, 99),
    ),
)


def same(one: Trace, other: Trace, *, pages: bool) -> None:
    """Hold two traces against each other; the text form has neither levels nor page frames."""
    for name in DTYPES if pages else ("time_ns", "op", "id", "arg"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert one.metadata == other.metadata


def with_pages() -> Trace:
    """Return a trace that has everything a trace can have."""
    base = sawtooth(teeth=1)
    rng = np.random.default_rng(1)
    columns = {name: getattr(base, name) for name in ("time_ns", "op", "id", "arg")}
    columns["level"] = rng.integers(0, 7, len(base))
    columns["pfn"] = np.where(base.op < 2, rng.integers(0, 1 << 40, len(base)), NO_PFN)
    return Trace.from_arrays(columns, FULL)


@st.composite
def events(draw: st.DrawFn) -> Trace:
    """Draw a valid trace with events of all kinds."""
    rows: list[tuple[int, int, int, int]] = []
    live: dict[int, set[int]] = {0: set(), 4: set()}
    now = draw(st.integers(0, 1 << 40))
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from([0, 1, 1000, 1 << 33]))
        op = draw(st.integers(0, 5))
        page = draw(st.sampled_from([0, 1, 2, 7, (1 << 31) - 1]))
        if op in (0, 4) and page in live[op]:
            op += 1
        if op in (0, 4):
            live[op].add(page)
        elif op in (1, 5):
            live[op - 1].discard(page)
        arg = draw(st.integers(0, 12)) if op in (2, 4) else 0
        rows.append((now, op, 0 if op in (2, 3) else page, arg))
    return Trace.from_arrays(dict(zip(("time_ns", "op", "id", "arg"), np.array(rows).T, strict=True)))


@settings(max_examples=40, deadline=None)
@given(trace=events(), ending=st.sampled_from([".parquet", ".events", ".events.gz"]))
def test_round_trip(trace: Trace, ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("forms") / f"x{ending}"
    again = pba.read_trace(trace.write(path))
    assert again.metadata.name == "x"
    same(again, Trace.from_arrays({n: getattr(trace, n) for n in DTYPES}, again.metadata), pages=True)


def test_everything_is_kept(tmp_path: Path) -> None:
    trace = with_pages()
    same(pba.read_trace(trace.write(tmp_path / "x.parquet")), trace, pages=True)
    same(pba.read_trace(trace.write(tmp_path / "x.events")), trace, pages=False)
    frame = trace.to_frame()
    same(Trace.from_frame(frame, FULL), trace, pages=True)
    assert list(frame.columns) == ["time_ns", "op", "id", "arg", "level", "pfn"]


def test_the_same_trace_gives_the_same_bytes(tmp_path: Path) -> None:
    for ending in (".parquet", ".events.gz"):
        one = with_pages().write(tmp_path / f"one{ending}")
        two = with_pages().write(tmp_path / f"two{ending}")
        assert one.read_bytes() == two.read_bytes()


def test_others_can_read_the_stored_form(tmp_path: Path) -> None:
    trace = with_pages()
    table = pq.read_table(trace.write(tmp_path / "x.parquet"))
    assert table.column("op").to_pylist()[:2] == ["A", "A"]
    assert table.column("pfn").null_count == int((trace.pfn == NO_PFN).sum())


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    trace = sawtooth()
    plain = trace.write(tmp_path / "x.events").read_bytes()
    for pack in (gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress):
        path = tmp_path / "named-otherwise.txt"
        path.write_bytes(pack(plain))
        assert len(pba.read_trace(path)) == len(trace)


def test_text_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "hand.events"
    path.write_text("# mine\n\n  5 A 1  # first\r\n7\tB 1 3\n9 D\n9 S 12\n10 b 1\n10 F 1")
    trace = pba.read_trace(path)
    assert trace.counts() == {"A": 1, "F": 1, "S": 1, "D": 1, "B": 1, "b": 1}
    assert trace.arg.tolist() == [0, 3, 0, 12, 0, 0]
    assert trace.duration_ns == 5


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("1 A 1\n2 A\n", 2, "does not parse: '2 A' .expected 'time_ns A id'"),
        ("1 A 1\n2 A 1x\n", 2, "does not parse"),
        ("1 A 1\n2 Q 1\n", 2, "unknown op 'Q'"),
        ("1 A 1\n\n-2 A 2\n", 3, "does not parse"),
        ("1 A 1\n2 S 13\n", 2, "priority 13 is out of range"),
        ("1 A 1\n2 S 500\n", 2, "does not parse"),
        ("1 A 1\n2 B 1\n", 2, "expected 'time_ns B id order'"),
        ("1 A 1\n2 B 1 14\n", 2, "argument 14 is out of range"),
        ("9 A 1\n# so\n8 A 2\n", 3, "time goes backwards, from 9 to 8 ns"),
        ("1 A 1\n2 A 1\n", 2, "id 1 is allocated already"),
        ("1 A 99999999999\n", 1, "id at most 2147483647"),
        ("99999999999999999999 A 1\n", 1, "does not parse"),
        ("1 A 1\n2", 2, "does not parse: '2'"),
    ],
)
def test_bad_text(text: str, line: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.events"
    path.write_text(text)
    with pytest.raises(TraceError, match=words) as caught:
        pba.read_trace(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)


def test_line_numbers_hold_beyond_the_first_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pba.trace.forms.text.CHUNK_BYTES", 64)
    path = tmp_path / "long.events"
    path.write_text("".join(f"{at} A {at}\n" for at in range(500)) + "oops\n")
    with pytest.raises(TraceError, match=r"long\.events:501: does not parse: 'oops'"):
        pba.read_trace(path)


def test_damaged_parquet(tmp_path: Path) -> None:
    path = with_pages().write(tmp_path / "x.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TraceError, match=r"cannot be read as Parquet.*truncated or damaged"):
        pba.read_trace(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(TraceError, match="Parquet, but not a trace"):
        pba.read_trace(path)


def test_a_newer_version_is_refused() -> None:
    values = FULL.to_dict()
    assert Metadata.from_dict(values) == FULL
    with pytest.raises(TraceError, match=f"version {FORMAT_VERSION + 1} is not known"):
        Metadata.from_dict(values | {"format_version": FORMAT_VERSION + 1})
    with pytest.raises(TraceError, match="metadata is damaged"):
        Metadata.from_dict(values | {"quality": {"nonsense": 1}})


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = sawtooth().write(tmp_path / "x.parquet")
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"exists already.*force=True"):
        with_pages().write(path)
    assert path.read_bytes() == before
    with_pages().write(path, force=True)
    assert path.read_bytes() != before
    with pytest.raises(OutputError, match="no such form"):
        sawtooth().write(tmp_path / "x.zip")
    with pytest.raises(OutputError, match="does not exist"):
        sawtooth().write(tmp_path / "nowhere" / "x.parquet")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(OutputError, match="the disk is full"):
        sawtooth().write(tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time_ns": [1], "op": [0], "id": [0]}, "column arg is missing"),
        ({"time_ns": [1], "op": [0], "id": [0], "arg": [0], "cpu": [1]}, "column cpu is unknown"),
        ({"time_ns": [1, 2], "op": [0], "id": [0], "arg": [0]}, "column op has 1 values, not 2"),
        ({"time_ns": [1.5], "op": [0], "id": [0], "arg": [0]}, "not whole numbers"),
        ({"time_ns": [1], "op": [300], "id": [0], "arg": [0]}, "op = 300 does not fit int8"),
        ({"time_ns": [1], "op": [6], "id": [0], "arg": [0]}, "op 6 is unknown"),
        ({"time_ns": [1], "op": [0], "id": [-1], "arg": [0]}, "an id is 0 or more"),
        ({"time_ns": [1], "op": [0], "id": [0], "arg": [0], "level": [9]}, "level 9 is unknown"),
        ({"time_ns": [-1], "op": [0], "id": [0], "arg": [0]}, "event 0: time -1 ns is out of range"),
        ({"time_ns": [0, 1 << 62], "op": [2, 2], "id": [0, 0], "arg": [0, 0]}, "event 1: time 46116"),
        ({"time_ns": [[1]], "op": [0], "id": [0], "arg": [0]}, "column time_ns has 2 dimensions, not 1"),
        # Ids this far apart are made dense first, and must not hide that one is no id.
        ({"time_ns": [1, 2], "op": [0, 0], "id": [-1, (1 << 31) - 1], "arg": [0, 0]}, "A -1: an id is 0"),
    ],
)
def test_bad_columns(columns: dict[str, list[int]], words: str) -> None:
    with pytest.raises(TraceError, match=words):
        Trace.from_arrays({name: np.array(values) for name, values in columns.items()})


@given(events(), st.lists(st.integers(0, 60)), st.booleans())
def test_slots_in_parts_are_those_of_the_whole(trace: Trace, ends: list[int], far_apart: bool) -> None:
    columns = {name: getattr(trace, name).copy() for name in DTYPES}
    if not far_apart:  # some ids drawn are beyond what a table by id would hold
        np.minimum(columns["id"], 9, out=columns["id"])
    slots = Slots(columns)
    for end in sorted(min(end, len(trace)) for end in ends):
        slots.advance(end)
    numbers = slots.finish()
    assert slots.slot.tolist() == trace.slot.tolist()
    assert numbers == {name: getattr(trace, name) for name in numbers}


@pytest.mark.parametrize(("column", "words"), [("op", "op None is"), ("level", "level None is")])
def test_a_frame_with_a_hole(column: str, words: str) -> None:
    frame = with_pages().to_frame().astype({column: object})
    frame.loc[2, column] = None
    with pytest.raises(TraceError, match=f"event 2: {words} unknown"):
        Trace.from_frame(frame)


def test_slots_are_dense_and_unique_among_the_live() -> None:
    trace = sawtooth()
    held: dict[int, int] = {}
    most = 0
    for op, slot, name in zip(trace.op, trace.slot, trace.id, strict=True):
        if op == 0:
            assert slot not in held
            held[slot] = name
            most = max(most, len(held))
        elif op == 1:
            assert held.pop(slot) == name
    assert trace.nr_slots == most
    sparse = Trace.from_arrays(
        {"time_ns": [1, 2, 3], "op": [0, 1, 0], "id": [7, 7, 2_000_000_000], "arg": [0] * 3}
    )
    assert sparse.slot.tolist() == [0, 0, 0]


def test_bytes_an_event() -> None:
    trace = with_pages()
    assert trace.nbytes == 27 * len(trace)


def test_strict_names_the_line_of_a_free_of_what_is_not_live(tmp_path: Path) -> None:
    path = tmp_path / "x.events"
    path.write_text("# so\n5 A 1\n6 F 2\n7 b 3\n")
    trace = pba.read_trace(path)
    assert trace.unknown_frees == 2
    assert trace.first_unknown_free() == 1
    with pytest.raises(TraceError, match=r"x\.events:3: id 2 is freed but not live, the first of 2"):
        pba.read_trace(path, strict=True)
    stored = trace.write(tmp_path / "x.parquet")
    with pytest.raises(TraceError, match=r"x\.parquet: event 1: id 2 is freed"):
        pba.read_trace(stored, strict=True)
    path.write_text("5 A 1\n6 F 1\n")
    assert pba.read_trace(path, strict=True).first_unknown_free() is None
