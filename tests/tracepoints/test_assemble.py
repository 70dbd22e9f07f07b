import numpy as np
import pytest

from pba.errors import TraceError
from pba.events import INFERRED, LEVEL_PGD, LEVEL_PTE
from pba.trace.metadata import Metadata
from pba.tracepoints.assemble import assemble
from pba.tracepoints.raw import RAW_FREE, RAW_OTHER, RAW_TABLE, RAW_VISIT, RawEvents, pages_of


def raw(*events: tuple[int, int, int, int, int]) -> RawEvents:
    """Make events of (time, kind, pfn, level, order)."""
    time, kind, pfn, level, order = zip(*events, strict=True) if events else ([],) * 5
    return RawEvents(
        np.array(time, np.int64),
        np.array(kind, np.int8),
        np.array(pfn, np.int64),
        np.array(level, np.int8),
        np.array(order, np.int8),
    )


def rows(trace) -> list[tuple]:
    return list(
        zip(*(getattr(trace, n).tolist() for n in ("time_ns", "op", "id", "arg", "pfn")), strict=True)
    )


def test_frees_are_matched_by_pfn_and_others_vanish():
    trace = assemble(
        raw(
            (100, RAW_FREE, 7, 0, 0),  # not known to be a table
            (110, RAW_TABLE, 7, LEVEL_PTE, 0),
            (120, RAW_TABLE, 9, LEVEL_PTE, 0),
            (130, RAW_VISIT, 0, 12, 0),
            (140, RAW_FREE, 7, 0, 0),
            (150, RAW_FREE, 7, 0, 0),
            (160, RAW_OTHER, 8, 0, 0),
        ),
        Metadata(),
    )
    assert rows(trace) == [(10, 0, 0, 0, 7), (20, 0, 1, 0, 9), (30, 2, 0, 12, -1), (40, 1, 0, 0, 7)]
    assert trace.level.tolist() == [LEVEL_PTE, LEVEL_PTE, 0, LEVEL_PTE]
    assert trace.metadata.time_origin_ns == 100
    assert trace.metadata.duration_ns == 60


@pytest.mark.parametrize("kind", [RAW_TABLE, RAW_OTHER])
def test_a_live_page_allocated_again_was_freed_unseen(kind):
    trace = assemble(raw((0, RAW_TABLE, 7, LEVEL_PTE, 0), (5, kind, 7, LEVEL_PTE, 0)), Metadata())
    expected = [(0, 0, 0, 0, 7), (5, 1, 0, INFERRED, 7)] + ([(5, 0, 1, 0, 7)] if kind == RAW_TABLE else [])
    assert rows(trace) == expected
    assert trace.metadata.quality.inferred_frees == 1


def test_an_allocation_of_several_pages_covers_the_tables_in_it():
    trace = assemble(
        raw(
            (0, RAW_TABLE, 513, LEVEL_PTE, 0),
            (1, RAW_TABLE, 600, LEVEL_PTE, 0),
            (2, RAW_TABLE, 1024, LEVEL_PTE, 0),
            (3, RAW_OTHER, 512, 0, 9),
        ),
        Metadata(),
    )
    assert rows(trace)[3:] == [(3, 1, 0, INFERRED, 513), (3, 1, 1, INFERRED, 600)]
    assert trace.metadata.quality.inferred_frees == 2


def test_a_pgd_of_two_pages_is_two_tables():
    trace = assemble(raw((0, RAW_TABLE, 64, LEVEL_PGD, 1), (4, RAW_FREE, 64, 0, 1)), Metadata())
    assert rows(trace) == [(0, 0, 0, 0, 64), (0, 0, 1, 0, 65), (4, 1, 0, 0, 64), (4, 1, 1, 0, 65)]


def test_pages_of_events_of_several_orders():
    pages, place = pages_of(np.array([10, 64, 7]), np.array([0, 1, 2], np.int8))
    assert pages.tolist() == [10, 64, 65, 7, 8, 9, 10]
    assert place.tolist() == [0, 1, 1, 2, 2, 2, 2]
    pages, place = pages_of(np.array([5, 3]), None)
    assert (pages.tolist(), place.tolist()) == ([5, 3], [0, 1])


def test_pages_live_at_the_start_are_allocated_at_time_0():
    trace = assemble(
        raw((50, RAW_FREE, 30, 0, 0), (60, RAW_OTHER, 20, 0, 0)),
        Metadata(),
        live_at_start=np.array([30, 20, 10]),
        start_ns=40,
        end_ns=90,
    )
    assert rows(trace) == [
        (0, 0, 0, 0, 10), (0, 0, 1, 0, 20), (0, 0, 2, 0, 30), (10, 1, 2, 0, 30), (20, 1, 1, INFERRED, 20),
    ]  # fmt: skip
    assert trace.metadata.quality.live_at_start == 3
    assert trace.metadata.quality.inferred_frees == 1
    assert trace.metadata.duration_ns == 50


def test_nothing_recorded_is_an_empty_trace():
    assert len(assemble(raw(), Metadata())) == 0


def test_events_must_be_in_order_and_can_be_put_so():
    events = raw((5, RAW_FREE, 1, 0, 0), (3, RAW_TABLE, 1, LEVEL_PTE, 0), (5, RAW_OTHER, 1, 0, 0))
    with pytest.raises(TraceError, match=r"event 1: .*not sorted"):
        assemble(events, Metadata())
    in_order, step_back = events.sorted_by_time()
    assert step_back == 2
    assert in_order.kind.tolist() == [RAW_TABLE, RAW_FREE, RAW_OTHER]
    assert rows(assemble(in_order, Metadata())) == [(0, 0, 0, 0, 1), (2, 1, 0, 0, 1)]
