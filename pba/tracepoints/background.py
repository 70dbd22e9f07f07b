"""The rest of the system's demand: chunks of pages that are no page tables, as `B` and `b` events.

A trace gives a chunk back whole (`b id`), but the kernel may free it in pieces: `split_page()`, the tail
that `alloc_pages_exact()` does not need, a large folio that is split. The rule here:

- A chunk is taken when it is allocated, at its order, and **given back when its last page is freed**. So
  contiguous memory is asked for as it was, and none is free before it was. What is held longer than it was
  is counted (`Background.in_pieces`, `Background.over_held_pages`).
- A free of a recorded order whose pages were in no event before was live at the start: taken at time 0, at
  the order at which it is freed (`Background.live_at_start`). Of pages that were, or that are live in part
  only, its allocation was missed: the part that is live is given back, and the free is counted
  (`Background.unknown_frees`). Frees of orders that are not recorded, of pages in no chunk, are nobody's.
- Pages of a chunk that are allocated again were freed unseen (`Background.inferred_frees`).
- A page table is never part of a chunk: its pages leave the chunk they were in, and its free is its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.errors import TraceError, option
from pba.trace.columns import MAX_ORDER
from pba.trace.metadata import Background
from pba.tracepoints.raw import RAW_FREE, RAW_OTHER, RAW_TABLE, RAW_VISIT, RawEvents, span

AT_START: Final = -1
"""In place of an event's number: live when the recording began."""
NEVER: Final = -2
"""In place of an event's number: not given back."""
MAX_PAGES: Final = 1 << 28
"""Most pages that the chunks of a recording may cover (1 TiB of 4 KiB pages): beyond, a pfn is no pfn."""

_NOBODY, _TABLE = -1, -2


@dataclass(frozen=True)
class Orders:
    """Which orders of chunks are recorded, both ends included."""

    lowest: int
    highest: int

    @classmethod
    def parse(cls, text: str) -> Orders:
        """Read `1-10` or `9`.

        Raises
        ------
        TraceError
            If it is neither, or outside of 0 to `MAX_ORDER`.
        """
        found = re.fullmatch(r"\s*(\d{1,3})(?:\s*-\s*(\d{1,3}))?\s*", text)
        lowest = int(found[1]) if found else -1
        highest = int(found[2] or lowest) if found else -1
        if not 0 <= lowest <= highest <= MAX_ORDER:
            raise TraceError(
                f"{option('background_orders', text)} is not a range of orders",
                f"write it as 1-10: lowest and highest, from 0 to {MAX_ORDER}",
            )
        return cls(lowest, highest)

    def hold(self, order: NDArray[Any]) -> NDArray[np.bool_]:
        """Say of each order whether it is one of these."""
        inside: NDArray[np.bool_] = (order >= self.lowest) & (order <= self.highest)
        return inside


DEFAULT_ORDERS: Final = Orders(1, MAX_ORDER)
"""All but single pages, which are nearly all of the events: a parallel build on two CPUs takes and gives back
260 chunks of order 1 and more a second, and 160,000 single pages (`git clone`, `cat` and `tar`: 2,700 and
76,000). Single pages fit wherever anything does, and per-CPU lists keep most from the buddy allocator."""


def chosen_orders(background: bool, orders: str | None) -> Orders | None:
    """Return what `--background` and `--background-orders` ask for.

    Raises
    ------
    TraceError
        If these are not orders, or orders are given without background.
    """
    if orders is not None and not background:
        raise TraceError(
            f"{option('background_orders')} says nothing without {option('background')}",
            f"add {option('background')}",
        )
    if not background:
        return None
    return DEFAULT_ORDERS if orders is None else Orders.parse(orders)


@dataclass(frozen=True)
class Chunks:
    """Chunks by when they were taken; an array of int64 each, and what was found out on the way.

    Attributes
    ----------
    begin, end : ndarray of int64
        Number of the event that took it and gave it back; `AT_START`, `NEVER`.
    pfn, order : ndarray of int64
        Where it lay and how large it was.
    found : Background
        What a reader should know.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    pfn: NDArray[np.int64]
    order: NDArray[np.int64]
    found: Background


def find_chunks(
    raw: RawEvents, orders: Orders, *, nr_early: int, tables_at_start: NDArray[np.int64], end_ns: int
) -> Chunks:
    """Match the allocations and frees of chunks that are no page tables.

    Parameters
    ----------
    raw : RawEvents
        The events, sorted by time.
    orders : Orders
        Which chunks.
    nr_early : int
        How many of the events lie before the recording's start. Numbers of events count from there on.
    tables_at_start : ndarray of int64
        Pages that are page tables at the start.
    end_ns : int
        End of the recording on its own clock.

    Raises
    ------
    TraceError
        If the chunks cover more memory than there is.
    """
    order = np.zeros(len(raw), np.int64) if raw.order is None else raw.order.astype(np.int64)
    wanted = orders.hold(order) & ((raw.kind == RAW_OTHER) | (raw.kind == RAW_FREE))
    known = Covered.by(raw.pfn[wanted], raw.pfn[wanted] + span(order[wanted]))
    low, high = known.place(raw.pfn), known.place(raw.pfn + span(order))
    kept = np.flatnonzero((high > low) & (raw.kind != RAW_VISIT))
    early = int(np.searchsorted(kept, nr_early))
    start_ns = int(raw.time_ns[nr_early]) if nr_early < len(raw) else end_ns
    tables = np.unique(known.place(tables_at_start)[known.holds(tables_at_start)])
    columns = (raw.time_ns, raw.kind, raw.pfn, order)
    events = (*(column[kept] for column in columns), wanted[kept], low[kept], high[kept])
    chunks = np.empty((5, int(np.count_nonzero(wanted))), np.int64)
    over = np.zeros(chunks.shape[1])
    counts = np.zeros(3, np.int64)
    _match_chunks(events, tables, (early, start_ns, end_ns, known.pages), (chunks, over), counts)
    chunks, over = chunks[:, : counts[0]], over[: counts[0]]
    begin, end = (np.where(row >= 0, kept[np.maximum(row, 0)] - nr_early, row) for row in chunks[:2])
    begin[(chunks[0] >= 0) & (begin < 0)] = AT_START
    stays = (chunks[1] < 0) | (end >= 0)  # or else it came and went before the start
    begin, end, (pfn, size, in_pieces), over = begin[stays], end[stays], chunks[2:, stays], over[stays]
    found = Background(
        lowest_order=orders.lowest,
        highest_order=orders.highest,
        live_at_start=int(np.count_nonzero(begin == AT_START)),
        inferred_frees=int(counts[1]),
        unknown_frees=int(counts[2]),
        in_pieces=int(np.count_nonzero(in_pieces)),
        over_held_pages=float(over.sum() / max(end_ns - start_ns, 1)),
    )
    rank = np.lexsort((np.where(begin == AT_START, pfn, 0), begin))
    return Chunks(begin[rank], end[rank], pfn[rank], size[rank], found)


@dataclass(frozen=True)
class Covered:
    """The pages that some ranges cover, numbered without the gaps, so that tables are no larger than needed.

    Attributes
    ----------
    first, after, number : ndarray of int64
        Of each stretch without a gap: its first page, the page behind it, the number of its first page.
    pages : int
        How many pages there are.
    """

    first: NDArray[np.int64]
    after: NDArray[np.int64]
    number: NDArray[np.int64]
    pages: int

    @classmethod
    def by(cls, first: NDArray[np.int64], after: NDArray[np.int64]) -> Covered:
        """Join the ranges `first:after`."""
        rank = np.argsort(first, kind="stable")
        first, after = first[rank], np.maximum.accumulate(after[rank]) if len(after) else after
        opens = np.append(True, first[1:] > after[:-1])[: len(first)]
        begins = np.flatnonzero(opens)
        first, after = first[begins], after[np.append(begins[1:] - 1, len(after) - 1)[: len(begins)]]
        size = after - first
        pages = int(size.sum())
        if pages > MAX_PAGES:
            raise TraceError(
                f"its chunks cover {pages} pages, more than {MAX_PAGES}",
                "its page frame numbers are damaged: record it again, or import it without "
                f"{option('background')}",
            )
        return cls(first, after, np.cumsum(size) - size, pages)

    def and_those(self, first: NDArray[np.int64], after: NDArray[np.int64]) -> Covered:
        """Return these pages and those of the ranges `first:after`."""
        return Covered.by(np.concatenate([self.first, first]), np.concatenate([self.after, after]))

    def place(self, pfn: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each page's number; in a gap, that of the next page behind it."""
        if not len(self.first):
            return np.zeros(len(pfn), np.int64)
        stretch = np.maximum(np.searchsorted(self.first, pfn, side="right") - 1, 0)
        inside = np.minimum(pfn, self.after[stretch]) - self.first[stretch]
        numbers: NDArray[np.int64] = self.number[stretch] + np.maximum(inside, 0)
        return numbers

    def holds(self, pfn: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of each page whether it is among them."""
        if not len(self.first):
            return np.zeros(len(pfn), np.bool_)
        stretch = np.searchsorted(self.first, pfn, side="right") - 1
        inside: NDArray[np.bool_] = (stretch >= 0) & (pfn < self.after[np.maximum(stretch, 0)])
        return inside


@jit
def _match_chunks(events, tables, limits, room, counts):  # type: ignore[no-untyped-def]
    """Walk the events; fill `chunks` (begin, end, pfn, order, in pieces), a column a chunk.

    `over` gets the page-ns that each is held longer than its pages were; `counts` the chunks, and from the
    start on the inferred and the unknown frees.
    """
    _, kind, pfn, order, wanted, low, high = events
    early, start_ns, end_ns, nr_pages = limits
    chunks, over = room
    owner = np.full(nr_pages, _NOBODY, np.int32)
    seen = np.zeros(nr_pages, np.bool_)
    left = np.empty(chunks.shape[1], np.int64)
    for event in range(len(kind) + 1):
        if event == early:
            seen &= owner != _NOBODY  # what was freed before all was recorded may live again, unseen
            for page in tables:
                owner[page] = _TABLE
                seen[page] = True
        if event == len(kind):
            break
        freed = kind[event] == RAW_FREE
        is_new, live, given = _release(events, event, (owner, seen, left, start_ns), room)
        if freed and wanted[event] and live < high[event] - low[event]:
            if is_new:
                chunk = _new_chunk(chunks, left, (counts[0], AT_START, pfn[event], order[event]))
                chunks[1, chunk] = event
                counts[0] += 1
            elif event >= early:
                counts[2] += 1
        if not freed:
            counts[1] += given if event >= early else 0
            holder = _TABLE if kind[event] == RAW_TABLE else _NOBODY
            if wanted[event]:
                holder = _new_chunk(chunks, left, (counts[0], event, pfn[event], order[event]))
                counts[0] += 1
            owner[low[event] : high[event]] = holder
    for chunk in range(counts[0]):
        given = (1 << chunks[3, chunk]) - left[chunk]
        if chunks[1, chunk] == NEVER and given > 0:  # freed in part until the end
            over[chunk] += float(given) * (end_ns - start_ns)
        elif chunks[1, chunk] == chunks[4, chunk] or given == 0:
            chunks[4, chunk] = NEVER
    chunks[4] = chunks[4] != NEVER


@jit
def _new_chunk(chunks, left, taken):  # type: ignore[no-untyped-def]
    """Note a chunk that is taken: its number, event, first page and order; return the number."""
    chunk, begin, pfn, order = taken
    chunks[0, chunk], chunks[1, chunk], chunks[2, chunk], chunks[3, chunk] = begin, NEVER, pfn, order
    chunks[4, chunk] = NEVER  # the event that freed the first piece
    left[chunk] = 0 if begin == AT_START else 1 << order
    return chunk


@jit
def _release(events, event, state, room):  # type: ignore[no-untyped-def]
    """Take an event's pages from whoever has them.

    Returns whether none of them was in an event before, how many were live, and from how many chunks.
    """
    time, low, high = events[0], events[5], events[6]
    owner, seen, left, start_ns = state
    chunks, over = room
    when = float(max(time[event], start_ns) - start_ns)
    is_new, live, given, last = True, 0, 0, _NOBODY
    for page in range(low[event], high[event]):
        if seen[page]:
            is_new = False
        seen[page] = True
        chunk = owner[page]
        owner[page] = _NOBODY
        if chunk == _NOBODY:
            continue
        live += 1
        if chunk == _TABLE:
            continue
        if chunk != last:
            given += 1
            last = chunk
        if chunks[4, chunk] == NEVER:
            chunks[4, chunk] = event
        left[chunk] -= 1
        over[chunk] -= when
        if left[chunk] == 0:
            chunks[1, chunk] = event
            over[chunk] += when * (1 << chunks[3, chunk])
    return is_new, live, given
