"""Background demand: what the rest of the system takes and gives back, chunk by chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pba.errors import TraceError
from pba.events import LEVEL_PTE, OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_FREE
from pba.imports.ftrace import read_ftrace
from pba.imports.read import read_any
from pba.trace.metadata import Background, Metadata
from pba.trace.table import Trace
from pba.tracepoints.assemble import assemble
from pba.tracepoints.background import Orders, chosen_orders
from pba.tracepoints.raw import RAW_FREE, RAW_OTHER, RAW_TABLE, RawEvents

LETTERS = {OP_ALLOC: "A", OP_FREE: "F", OP_BG_ALLOC: "B", OP_BG_FREE: "b"}


def raw(*events: tuple[int, int, int, int]) -> RawEvents:
    """Make events of (time, kind, pfn, order)."""
    time, kind, pfn, order = (np.array(column, np.int64) for column in zip(*events, strict=True))
    level = np.where(kind == RAW_TABLE, LEVEL_PTE, 0).astype(np.int8)
    return RawEvents(time, kind.astype(np.int8), pfn, level, order.astype(np.int8))


def made(*events: tuple[int, int, int, int], orders: str = "1-10", **told) -> Trace:
    return assemble(raw(*events), Metadata(), background=Orders.parse(orders), **told)


def rows(trace: Trace) -> list[tuple[int, str, int, int, int]]:
    columns = (trace.time_ns, trace.op, trace.id, trace.arg, trace.pfn)
    return [
        (time, LETTERS[op], name, arg, pfn)
        for time, op, name, arg, pfn in zip(*(column.tolist() for column in columns), strict=True)
    ]


def found(trace: Trace) -> Background:
    assert trace.metadata.quality.background is not None
    return trace.metadata.quality.background


def test_chunks_and_page_tables_stand_side_by_side() -> None:
    trace = made(
        (0, RAW_TABLE, 100, 0),
        (1, RAW_OTHER, 8, 3),
        (2, RAW_OTHER, 300, 0),  # an order that is not asked for
        (3, RAW_FREE, 8, 3),
        (4, RAW_FREE, 300, 0),
        (5, RAW_FREE, 100, 0),
    )
    assert rows(trace) == [(0, "A", 0, 0, 100), (1, "B", 0, 3, 8), (3, "b", 0, 0, 8), (5, "F", 0, 0, 100)]
    assert found(trace) == Background(1, 10)


def test_without_being_asked_for_there_are_none() -> None:
    trace = assemble(raw((0, RAW_OTHER, 8, 3), (1, RAW_TABLE, 1, 0)), Metadata())
    assert rows(trace) == [(1, "A", 0, 0, 1)]
    assert trace.metadata.quality.background is None


def test_a_chunk_freed_in_pieces_is_held_until_its_last_page_is_freed() -> None:
    trace = made(
        (0, RAW_OTHER, 8, 2),
        (10, RAW_FREE, 8, 1),
        (30, RAW_FREE, 11, 0),
        (40, RAW_FREE, 10, 0),
        (100, RAW_OTHER, 64, 1),
    )
    assert rows(trace) == [(0, "B", 0, 2, 8), (40, "b", 0, 0, 8), (100, "B", 1, 1, 64)]
    over = (2 * 30 + 10) / 100  # two pages 30 ns too long, one 10 ns
    assert found(trace) == Background(1, 10, in_pieces=1, over_held_pages=over)


def test_pieces_that_are_never_freed_keep_the_chunk_held_to_the_end() -> None:
    trace = made((0, RAW_OTHER, 8, 1), (10, RAW_FREE, 8, 0), (20, RAW_FREE, 50, 0))
    assert rows(trace) == [(0, "B", 0, 1, 8)]
    assert found(trace) == Background(1, 10, in_pieces=1, over_held_pages=0.5)


def test_a_free_of_what_no_event_took_was_live_at_the_start_lowest_first() -> None:
    trace = made((5, RAW_FREE, 64, 4), (6, RAW_FREE, 16, 2), (7, RAW_FREE, 200, 0), (8, RAW_TABLE, 3, 0))
    assert rows(trace) == [
        (0, "B", 0, 2, 16),
        (0, "B", 1, 4, 64),
        (0, "b", 1, 0, 64),
        (1, "b", 0, 0, 16),
        (3, "A", 0, 0, 3),
    ]
    assert found(trace).live_at_start == 2


def test_a_free_of_what_was_free_already_missed_its_allocation() -> None:
    trace = made((0, RAW_OTHER, 8, 1), (1, RAW_FREE, 8, 1), (2, RAW_FREE, 8, 1), (3, RAW_FREE, 8, 2))
    assert rows(trace) == [(0, "B", 0, 1, 8), (1, "b", 0, 0, 8)]
    assert found(trace).unknown_frees == 2


def test_a_larger_free_gives_back_the_part_that_is_live_and_is_counted() -> None:
    trace = made((0, RAW_OTHER, 8, 1), (1, RAW_FREE, 8, 2))
    assert rows(trace) == [(0, "B", 0, 1, 8), (1, "b", 0, 0, 8)]
    assert found(trace).unknown_frees == 1


@pytest.mark.parametrize(
    ("kind", "order", "last"), [(RAW_OTHER, 1, (9, "B", 1, 1, 8)), (RAW_TABLE, 0, (9, "A", 0, 0, 8))]
)
def test_pages_allocated_again_were_freed_unseen_and_the_free_stands_first(kind, order, last) -> None:
    trace = made((0, RAW_OTHER, 8, 1), (3, RAW_FREE, 9, 0), (9, kind, 8, order))
    assert rows(trace) == [(0, "B", 0, 1, 8), (9, "b", 0, 0, 8), last]
    assert found(trace).inferred_frees == 1


def test_page_tables_are_never_counted_twice() -> None:
    trace = made(
        (0, RAW_TABLE, 8, 1),  # the pgd of x86 with page-table isolation
        (1, RAW_FREE, 8, 1),
        (2, RAW_FREE, 40, 0),  # a table that was live at the start
        (3, RAW_FREE, 50, 0),
        orders="0-10",
        live_at_start=np.array([40]),
    )
    assert [(letter, pfn) for _, letter, _, _, pfn in rows(trace)] == [
        ("A", 40), ("B", 50), ("A", 8), ("A", 9), ("F", 8), ("F", 9), ("F", 40), ("b", 50),
    ]  # fmt: skip


def test_what_came_before_the_start_says_what_was_live_then() -> None:
    early = raw(
        (1, RAW_OTHER, 8, 1),  # lives on
        (2, RAW_OTHER, 16, 2),  # comes and goes
        (3, RAW_FREE, 16, 2),
        (4, RAW_FREE, 32, 1),  # of before; then allocated while not all was recorded
        (5, RAW_OTHER, 64, 3),  # never freed
        (6, RAW_TABLE, 128, 0),
    )
    trace = assemble(
        raw((20, RAW_FREE, 8, 1), (30, RAW_FREE, 32, 1), (40, RAW_FREE, 128, 0)),
        Metadata(),
        live_at_start=np.array([128]),
        start_ns=10,
        background=Orders(0, 10),
        early=early,
    )
    assert rows(trace) == [
        (0, "A", 0, 0, 128),
        (0, "B", 0, 1, 8),
        (0, "B", 1, 1, 32),
        (0, "B", 2, 3, 64),
        (10, "b", 0, 0, 8),
        (20, "b", 1, 0, 32),
        (30, "F", 0, 0, 128),
    ]
    assert found(trace) == Background(0, 10, live_at_start=3)


@st.composite
def histories(draw):
    """Events as a kernel makes them: what is allocated is free, what is freed is live, whole or in pieces."""
    size = 64
    owner: list[int] = [-1] * size
    live: dict[int, tuple[int, int]] = {}
    events = []
    for now in range(draw(st.integers(1, 60))):
        order = draw(st.integers(0, 3))
        pfn = draw(st.integers(0, (size >> order) - 1)) << order
        pages = range(pfn, pfn + (1 << order))
        if all(owner[page] < 0 for page in pages):
            for page in pages:
                owner[page] = now
            live[now] = (pfn, order)
            events.append((now, RAW_OTHER, pfn, order))
        elif len({owner[page] for page in pages}) == 1:
            for page in pages:
                owner[page] = -1
            events.append((now, RAW_FREE, pfn, order))
    return events


@given(histories(), st.integers(0, 2))
def test_a_chunk_is_held_from_its_allocation_to_the_free_of_its_last_page(events, lowest) -> None:
    trace = assemble(raw(*events), Metadata(), background=Orders(lowest, 13))
    expected = []
    owners: dict[int, int] = {}
    left: dict[int, int] = {}
    names: dict[int, int] = {}
    for number, (time, kind, pfn, order) in enumerate(events):
        pages = range(pfn, pfn + (1 << order))
        if kind == RAW_OTHER:
            for page in pages:
                owners[page] = number
            left[number] = len(pages)
            if order >= lowest:
                names[number] = len(names)
                expected.append((time - events[0][0], "B", names[number], order, pfn))
            continue
        chunk = owners[pfn]
        left[chunk] -= len(pages)
        if left[chunk] == 0 and chunk in names:
            expected.append((time - events[0][0], "b", names[chunk], 0, events[chunk][2]))
    assert rows(trace) == expected
    background = found(trace)
    assert (background.live_at_start, background.inferred_frees, background.unknown_frees) == (0, 0, 0)


def test_ftrace_text_gives_the_same_when_it_is_asked(tmp_path: Path) -> None:
    line = "  task-7 [000] ..... 1.{:06d}: mm_page_{}: page=0x0 pfn=0x{:x} order={}{}\n"
    flags = " migratetype=0 gfp_flags=GFP_KERNEL"
    table = " migratetype=0 gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO"
    stack = "  task-7 [000] ..... 1.000000: <stack trace>\n => __alloc_pages\n => __pte_alloc\n => do_fork\n"
    text = (
        line.format(0, "alloc", 5, 0, table)
        + stack
        + line.format(1, "alloc", 64, 3, flags)
        + line.format(2, "alloc", 80, 0, flags)
        + line.format(3, "free", 64, 2, "")
        + line.format(4, "free", 32, 4, "")
        + "".join(line.format(5 + page, "free", 68 + page, 0, "") for page in range(4))
    )
    path = tmp_path / "x.txt"
    path.write_text(text)
    trace = read_ftrace(path, background=Orders(1, 10))
    assert rows(trace) == [
        (0, "B", 0, 4, 32),
        (0, "A", 0, 0, 5),
        (1000, "B", 1, 3, 64),
        (4000, "b", 0, 0, 32),
        (8000, "b", 1, 0, 64),
    ]
    assert found(trace).in_pieces == 1
    assert read_ftrace(path).counts()["B"] == 0
    trace.write(tmp_path / "x.parquet")
    with pytest.raises(TraceError, match="not event text of a kernel"):
        read_any(tmp_path / "x.parquet", background=Orders(1, 10))


def test_page_frames_beyond_any_memory_are_refused_and_not_given_memory() -> None:
    events = [(time, RAW_OTHER, time << 40, 13) for time in range((1 << 15) + 1)]
    with pytest.raises(TraceError, match="page frame numbers are damaged"):
        made(*events, orders="13")


def test_the_orders_of_a_command_line() -> None:
    assert Orders.parse("1-10") == Orders(1, 10)
    assert Orders.parse("9") == Orders(9, 9)
    assert chosen_orders(False, None) is None
    assert chosen_orders(True, None) == Orders(1, 13)
    assert chosen_orders(True, "0-3") == Orders(0, 3)
    for text in ("", "x", "3-1", "14", "-1", "1-", "1-14"):
        with pytest.raises(TraceError, match="is not a range of orders") as caught:
            Orders.parse(text)
        assert "1-10" in str(caught.value)
    with pytest.raises(TraceError, match="says nothing without background"):
        chosen_orders(False, "1-3")
