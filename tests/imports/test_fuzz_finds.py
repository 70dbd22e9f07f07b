"""What the ten-minute runs of `tests.imports.fuzz` found, kept small."""

from __future__ import annotations

from pathlib import Path

import pytest

import pba
from pba.errors import PbaError
from pba.trace.metadata import Metadata
from tests.imports.importers import Event, as_bpftrace, as_ftrace, as_perf

EVENTS = (Event(0, "A", 0x1200, "PTE"), Event(10, "S", priority=12), Event(20, "F", 0x1200, "PTE"))
DIGITS = b"7" * 5000


@pytest.mark.parametrize("write", [as_ftrace, as_perf, as_bpftrace])
@pytest.mark.parametrize("field", [b"cache items 9", b"delta 4", b"priority 12", b"nid: 0", b"shrink 0"])
def test_a_number_of_thousands_of_digits_is_a_line_that_is_not_understood(
    tmp_path: Path, write: object, field: bytes
) -> None:
    text = write(EVENTS)  # type: ignore[operator]
    assert field in text
    path = tmp_path / "x.txt"
    path.write_bytes(text.replace(field, field.rstrip(b"0123456789") + DIGITS))
    trace = pba.read_trace(path)
    assert (trace.counts()["A"], trace.counts()["F"], trace.counts()["S"]) == (1, 1, 0)
    assert any("could not be understood" in note for note in trace.metadata.quality.notes)


def test_a_time_beyond_all_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    text = as_ftrace(EVENTS)
    first, last = text.split(b" 5.000000:", 1)[0], text
    assert first != last
    path.write_bytes(text.replace(b" 5.000020:", b" 7398068406.000020:"))
    with pytest.raises(PbaError, match=r"x\.txt: .*out of range"):
        pba.read_trace(path)


def test_metadata_with_a_control_character_in_a_name_is_one_line_of_text() -> None:
    values = Metadata(source="text").to_dict()
    values["quality"]["lost_even\x7fs"] = 1
    with pytest.raises(PbaError, match=r"damaged: .*lost_even\\x7fs") as caught:
        Metadata.from_dict(values, "x.parquet")
    assert str(caught.value).isprintable()
