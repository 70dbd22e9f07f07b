"""The trace ring buffer's pages, built by hand, come out as the events that were put in."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest

from pba.errors import RecordError
from pba.recording.ringbuffer import (
    KIND,
    PID,
    STACK,
    TIME,
    VALUES,
    Decoder,
    EventFormat,
    Spec,
    Stacks,
    Wanted,
    join_rows,
    make_spec,
)

PAGE_BYTES = 4096
COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
"""
ALLOC = EventFormat.parse(
    "name: mm_page_alloc\nID: 653\nformat:\n"
    + COMMON
    + """
\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;
\tfield:unsigned int order;\toffset:16;\tsize:4;\tsigned:0;
\tfield:unsigned long gfp_flags;\toffset:24;\tsize:8;\tsigned:0;

print fmt: "gfp_flags=%s", __print_flags(REC->gfp_flags, "|",
 {( unsigned long)((( gfp_t)(((((1UL))) << (10))|((((1UL))) << (11))))), "GFP_NOIO"},
 {( unsigned long)(( gfp_t)((((1UL))) << (8))), "__GFP_ZERO"},
 {(unsigned long)((( gfp_t)0x400000u)), "__GFP_ACCOUNT"},
 {( unsigned long)(( gfp_t)(((((1UL))) << (10))|((((1UL))) << (11)))), "__GFP_RECLAIM"}, { 0, ((void *)0) } )
"""
)
FREE = EventFormat.parse(
    "name: mm_page_free\nID: 655\nformat:\n"
    + COMMON
    + "\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
    + "\tfield:unsigned int order;\toffset:16;\tsize:4;\tsigned:0;\n"
)
KERNEL_STACK = EventFormat.parse(
    "name: kernel_stack\nID: 4\nformat:\n"
    + COMMON
    + "\tfield:int size;\toffset:8;\tsize:4;\tsigned:1;\n"
    + "\tfield:unsigned long caller[8];\toffset:16;\tsize:64;\tsigned:0;\n"
)
HEADER_PAGE = EventFormat.parse(
    "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
    "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
    "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
    "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n"
)


def entry(delta: int, payload: bytes) -> bytes:
    """An event behind its header: short form up to 112 bytes, else with a length word."""
    assert len(payload) % 4 == 0
    if len(payload) <= 112:
        return struct.pack("<I", len(payload) // 4 | delta << 5) + payload
    return struct.pack("<II", delta << 5, len(payload) + 4) + payload


def alloc(delta: int, pid: int, pfn: int, order: int = 0, gfp: int = 0x400100) -> bytes:
    return entry(delta, struct.pack("<HBBiQIIQ", 653, 0, 0, pid, pfn, order, 0, gfp))


def free(delta: int, pid: int, pfn: int, order: int = 0) -> bytes:
    return entry(delta, struct.pack("<HBBiQI", 655, 0, 0, pid, pfn, order))


def stack(delta: int, pid: int, frames: Sequence[int]) -> bytes:
    head = struct.pack("<HBBiiI", 4, 0, 0, pid, len(frames), 0)
    return entry(delta, head + struct.pack(f"<{len(frames)}Q", *frames))


def page(time: int, *entries: bytes, missed: bool = False) -> bytes:
    data = b"".join(entries)
    commit = len(data) | (1 << 31 if missed else 0)
    return (struct.pack("<QQ", time, commit) + data).ljust(PAGE_BYTES, b"\xa5")


def spec(keep: Sequence[int] = ()) -> Spec:
    wanted = (
        Wanted(ALLOC, ("pfn", "order", "gfp_flags", "no_such_field"), stack=True),
        Wanted(FREE, ("pfn", "order"), filtered=True),
    )
    passing = np.zeros(1 << 12, np.bool_)
    passing[list(keep)] = True
    return make_spec(HEADER_PAGE, KERNEL_STACK, wanted)._replace(keep=passing)


def decode(decoder: Decoder, *pages: bytes) -> np.ndarray:
    return join_rows([rows for data in pages for rows in decoder.feed(data)])


def test_formats_say_where_the_fields_lie() -> None:
    assert ALLOC.number == 653
    assert ALLOC.fields["gfp_flags"] == (24, 8)
    assert KERNEL_STACK.fields["caller"] == (16, 64)
    assert HEADER_PAGE.fields["data"] == (16, 4080)


def test_gfp_bits_are_read_from_the_format_in_both_notations() -> None:
    assert ALLOC.gfp_bit("__GFP_ZERO") == 0x100
    assert ALLOC.gfp_bit("__GFP_ACCOUNT") == 0x400000
    with pytest.raises(RecordError, match="__GFP_RECLAIM"):
        ALLOC.gfp_bit("__GFP_RECLAIM")  # two bits
    with pytest.raises(RecordError, match="__GFP_MOVABLE"):
        ALLOC.gfp_bit("__GFP_MOVABLE")  # not named


def test_events_stacks_and_times() -> None:
    extend = struct.pack("<II", 30 | 5 << 5, 2)  # + 5 + 2 * 2**27 ns
    discarded = struct.pack("<II", 29 | 7 << 5, 12) + bytes(8)  # a delta of 7 counts
    placeholder = struct.pack("<II", 29 | 1 << 5, 12) + bytes(8)  # the placeholder 1 does not
    rest = struct.pack("<I", 29)  # nothing behind it
    decoder = Decoder(spec(keep=[70]), Stacks.empty())
    data = page(
        1000,
        alloc(0, 11, 50),
        stack(3, 11, [0x10, 0x20]),
        extend,
        free(1, 12, 70),
        free(1, 12, 71),
        discarded,
        placeholder,
        alloc(2, -1, 51, order=1),
        rest,
        free(1, 12, 70),
    )
    rows = decode(decoder, data)
    later = 1000 + 3 + 5 + (2 << 27)
    assert rows[:, TIME].tolist() == [1000, later + 1, later + 1 + 1 + 7 + 2]
    assert rows[:, KIND].tolist() == [0, 1, 0]
    assert rows[:, PID].tolist() == [11, 12, -1]
    assert rows[:, STACK].tolist() == [0, -1, -1]
    assert rows[0, VALUES : VALUES + 4].tolist() == [50, 0, 0x400100, -1]
    assert rows[1, VALUES : VALUES + 2].tolist() == [70, 0]
    assert rows[2, VALUES + 1] == 1
    assert decoder.events == 4
    assert decoder.stacks.frames[0, :3].tolist() == [0x10, 0x20, 0]


def test_an_absolute_time_stamp_keeps_the_high_bits_of_the_page() -> None:
    high = 3 << 59
    stamp = struct.pack("<II", 31 | 9 << 5, 1)
    rows = decode(Decoder(spec(), Stacks.empty()), page(high + 5, stamp, alloc(4, 1, 2)))
    assert rows[:, TIME].tolist() == [high + (1 << 27) + 9 + 4]


def test_a_stack_belongs_to_the_event_that_an_interrupt_has_not_taken_it_from() -> None:
    rows = decode(
        Decoder(spec(), Stacks.empty()),
        page(
            0,
            alloc(1, 7, 50),  # interrupted before its stack is written
            alloc(1, 7, 60),  # the interrupt's own, with the same pid
            stack(1, 7, [0x600]),
            stack(1, 7, [0x500]),
            alloc(1, 8, 70),
            stack(1, 9, [0x900]),  # nobody's
            stack(1, 8, [0x500]),
        ),
    )
    assert dict(zip(rows[:, VALUES].tolist(), rows[:, STACK].tolist(), strict=True)) == {50: 1, 60: 0, 70: 1}


def test_a_stack_in_the_next_chunk_finds_its_event() -> None:
    decoder = Decoder(spec(), Stacks.empty())
    first = page(0, *(alloc(1, pid, pid) for pid in range(1, 4)))
    second = page(100, stack(1, 3, [0x30]), stack(1, 2, [0x20]), alloc(1, 9, 9), stack(1, 9, [0x90]))
    rows = decode(decoder, first, second)
    assert rows[:, VALUES].tolist() == [1, 2, 3, 9]
    assert [rows[i, STACK] for i in range(4)] == [-1, 1, 0, 2]


def test_missing_events_are_counted_and_pair_with_nothing() -> None:
    decoder = Decoder(spec(), Stacks.empty())
    rows = decode(decoder, page(0, alloc(1, 5, 50)), page(9, stack(1, 5, [0x1]), missed=True))
    assert rows[:, STACK].tolist() == [-1]
    assert decoder.gaps == 1
    assert decoder.orphans == 1


def test_long_stacks_are_cut_and_equal_ones_share_a_number() -> None:
    decoder = Decoder(spec(), Stacks.empty())
    frames = list(range(0x1000, 0x1000 + 40))
    events = [(alloc(1, 5, pfn), stack(1, 5, frames[pfn % 2 :])) for pfn in range(3)]
    rows = decode(decoder, page(0, *(part for event in events for part in event)))
    assert rows[:, STACK].tolist() == [0, 1, 0]
    assert decoder.stacks.frames[1].tolist() == frames[1:13]


def test_more_rows_than_fit_at_once() -> None:
    decoder = Decoder(spec(), Stacks.empty())
    per_page, pages = 90, 1000
    data = b"".join(
        page(number * 1000, *(alloc(1, 1, number * per_page + i) for i in range(per_page)))
        for number in range(pages)
    )
    rows = decode(decoder, data)
    assert rows[:, VALUES].tolist() == list(range(per_page * pages))
    assert (np.diff(rows[:, TIME]) > 0).all()


def test_an_incomplete_page_is_left_for_the_next_time() -> None:
    assert len(decode(Decoder(spec(), Stacks.empty()), page(0, alloc(1, 1, 1))[:4000])) == 0
