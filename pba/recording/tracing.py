"""Which events are recorded, and what they mean: from decoded rows to raw events.

The stack behind an allocation says whether it is for a page table (`pba.tracepoints.classify`); the stack
behind a shrinker's line says whether the root cgroup's shrinkers are walked (`pba.recording.callsites`).
Addresses are used here and forgotten: no trace holds one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba.errors import RecordError
from pba.recording import callsites
from pba.recording.kallsyms import Symbols
from pba.recording.ringbuffer import (
    KEEP_NONE,
    KIND,
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
from pba.recording.tracefs import Instance, PageReader
from pba.tracepoints.background import Orders
from pba.tracepoints.classify import level_of_stack
from pba.tracepoints.raw import RAW_FREE, RAW_OTHER, RAW_TABLE, RAW_VISIT, RawEvents, pages_of, span
from pba.tracepoints.visits import RootVisits

ALLOC_EVENT: Final = "kmem/mm_page_alloc"
FREE_EVENT: Final = "kmem/mm_page_free"
SHRINK_EVENT: Final = "vmscan/mm_shrink_slab_start"
SHRINK_END_EVENT: Final = "vmscan/mm_shrink_slab_end"
ALLOC, FREE, SHRINK, SHRINK_END = 0, 1, 2, 3
"""Numbers of the wanted events in `KIND`."""
MAX_ORDER: Final = 1
"""A page table is one page; x86 with page-table isolation has two for a pgd."""
READ_PAGES: Final = 1024
"""Pages of the trace buffer that are decoded at a time."""


@dataclass(frozen=True)
class GfpBits:
    """Values of the flags that tell page tables apart, as this kernel has them."""

    zero: int
    account: int
    movable: int

    @classmethod
    def of(cls, allocation: EventFormat) -> GfpBits:
        """Read them from the format of `mm_page_alloc`."""
        names = ("__GFP_ZERO", "__GFP_ACCOUNT", "__GFP_MOVABLE")
        return cls(*(allocation.gfp_bit(name) for name in names))

    def filter(self) -> str:
        """Return the event filter that all page tables pass, and few other pages of their order.

        Tables are zeroed and not movable. (The tables of arm64's linear map are zeroed by their user; they
        are made at boot and when it is split.)
        """
        return f"gfp_flags & {self.zero} && !(gfp_flags & {self.movable})"


@dataclass(frozen=True)
class Formats:
    """Formats of the running kernel, read once."""

    page: EventFormat
    stack: EventFormat
    alloc: EventFormat
    free: EventFormat
    shrink: EventFormat
    shrink_end: EventFormat
    gfp: GfpBits

    @classmethod
    def read(cls, instance: Instance) -> Formats:
        """Read them through an instance."""
        alloc = instance.format(ALLOC_EVENT)
        return cls(
            instance.format("header_page"),
            instance.format("ftrace/kernel_stack"),
            alloc,
            instance.format(FREE_EVENT),
            instance.format(SHRINK_EVENT),
            instance.format(SHRINK_END_EVENT),
            GfpBits.of(alloc),
        )

    @property
    def page_bytes(self) -> int:
        """Size of a page of the trace buffer."""
        return sum(self.page.fields["data"])

    def switch_on(self, instance: Instance, background: Orders | None = None) -> None:
        """Enable the events; frees first, so that no recorded allocation's free is missed.

        Stacks are taken of what may be a page table only, which is what `first_pass` expects.
        """
        zeroed, sizes = self.gfp.filter(), f"order <= {MAX_ORDER}"
        instance.enable(FREE_EVENT, "" if background else sizes)
        instance.enable(SHRINK_END_EVENT)
        instance.enable(SHRINK_EVENT, stack="")
        allocations = tables = f"{zeroed} && {sizes}"
        if background:
            chunks = f"(order >= {background.lowest} && order <= {background.highest})"
            allocations, tables = f"({tables}) || {chunks}", f"{zeroed} && ({sizes} || {chunks})"
        instance.enable(ALLOC_EVENT, allocations, stack=tables)
        instance.write("tracing_on", "1")

    def first_pass(self) -> Spec:
        """Return what to decode while the recording runs: all but frees."""
        free = Wanted(self.free, ("pfn", "order"), filtered=True)
        stack_if = (2, self.gfp.zero | self.gfp.movable, self.gfp.zero)
        return make_spec(
            self.page,
            self.stack,
            (
                Wanted(self.alloc, ("pfn", "order", "gfp_flags"), stack=True, stack_if=stack_if),
                free,
                Wanted(self.shrink, callsites.FIELDS, stack=True),
                Wanted(self.shrink_end, callsites.END_FIELDS),
            ),
        )

    def second_pass(self, keep: NDArray[np.bool_], keep_from: int) -> Spec:
        """Return what to decode afterwards: frees of the pages in `keep` (by pfn), all from an order on."""
        wanted = (Wanted(self.free, ("pfn", "order"), filtered=True),)
        return make_spec(self.page, self.stack, wanted)._replace(keep=keep, keep_from=keep_from)


@dataclass
class Collector:
    """Decodes what the readers have written so far, while they go on."""

    formats: Formats
    readers: Sequence[PageReader]
    stacks: Stacks = field(default_factory=Stacks.empty)

    def __post_init__(self) -> None:
        spec = self.formats.first_pass()
        self._decoders = [Decoder(spec, self.stacks) for _ in self.readers]
        self._chunks: list[list[NDArray[np.int64]]] = [[] for _ in self.readers]
        self._positions = [0 for _ in self.readers]
        self._counts = {ALLOC: 0, FREE: 0, SHRINK: 0, SHRINK_END: 0}

    def advance(self) -> None:
        """Decode all whole pages that have been read from the kernel since the last time."""
        for cpu, (reader, decoder) in enumerate(zip(self.readers, self._decoders, strict=True)):
            end = reader.bytes_read // decoder.page_bytes * decoder.page_bytes
            for data in _pieces(reader, self._positions[cpu], end, decoder.page_bytes):
                for rows in decoder.feed(data):
                    self._chunks[cpu].append(rows)
                    for kind in self._counts:
                        self._counts[kind] += int(np.count_nonzero(rows[:, KIND] == kind))
            self._positions[cpu] = end

    def warm_up(self) -> None:
        """Load the compiled decoder before there is anything to decode, so that it does not disturb."""
        for decoder in self._decoders:
            for _ in decoder.feed(bytes(decoder.page_bytes)):
                pass

    def count(self, kind: int) -> int:
        """Return how many rows of a kind there are so far."""
        return self._counts[kind]

    @property
    def events(self) -> int:
        """Events so far, of all kinds."""
        return sum(self.events_of)

    @property
    def events_of(self) -> list[int]:
        """Events so far of each reader, in their order."""
        return [decoder.events for decoder in self._decoders]

    def rows(self, kind: int) -> NDArray[np.int64]:
        """Return the rows of one kind, in order of time, with a column more: the CPU's place."""
        parts = []
        for cpu, chunks in enumerate(self._chunks):
            rows = join_rows(chunks)
            rows = rows[rows[:, KIND] == kind]
            parts.append(np.column_stack([rows, np.full(len(rows), cpu)]))
        joined = np.concatenate(parts)
        return joined[np.argsort(joined[:, TIME], kind="stable")]

    def frees(self, keep: NDArray[np.bool_], keep_from: int = KEEP_NONE) -> NDArray[np.int64]:
        """Return time, pfn and order of the frees of pages in `keep`, all from an order on, by time."""
        spec = self.formats.second_pass(keep, keep_from)
        parts = [np.empty((0, 3), np.int64)]
        for reader in self.readers:
            decoder = Decoder(spec, Stacks.empty())
            for data in _pieces(reader, 0, reader.bytes_read, decoder.page_bytes):
                parts.extend(rows[:, [TIME, VALUES, VALUES + 1]] for rows in decoder.feed(data))
        joined = np.concatenate(parts)
        return joined[np.argsort(joined[:, 0], kind="stable")]

    def names_of_stacks(self, symbols: Symbols) -> list[tuple[str, ...]]:
        """Return the functions of every stack, innermost first."""
        frames = self.stacks.frames[: int(self.stacks.used[0])]
        known = {int(value): symbols.caller(int(value)) for value in np.unique(frames) if value}
        return [tuple(known[value] for value in stack if value) for stack in frames.tolist()]


def _pieces(reader: PageReader, start: int, end: int, page_bytes: int) -> Iterator[bytes]:
    """Yield a reader's file from `start` to `end`, some pages at a time."""
    while start < end:
        data = os.pread(reader.file.fileno(), min(READ_PAGES * page_bytes, end - start), start)
        if not data:
            raise RecordError("the temporary file of the recording is shorter than it was written")
        start += len(data)
        yield data


@dataclass(frozen=True)
class Allocations:
    """Zeroed, not movable pages that were allocated, and which of them are page tables.

    Attributes
    ----------
    time_ns, pfn, order : ndarray of int64
        As recorded.
    level : ndarray of int8
        Code of `pba.events.LEVELS`; 0: something else than a page table.
    without_stack : int
        Allocations that may be page tables but whose stack is missing: none of them counts as one.
    """

    time_ns: NDArray[np.int64]
    pfn: NDArray[np.int64]
    order: NDArray[np.int64]
    level: NDArray[np.int8]
    without_stack: int

    @classmethod
    def classify(cls, rows: NDArray[np.int64], names: list[tuple[str, ...]], gfp: GfpBits) -> Allocations:
        """Classify each different (stack, flags, order) once."""
        bits = gfp.zero | gfp.movable
        rows = rows[rows[:, VALUES] > 0]  # a failed allocation says pfn 0 or -1
        keys, inverse = np.unique(rows[:, [STACK, VALUES + 1, VALUES + 2]], axis=0, return_inverse=True)
        levels = np.zeros(len(keys), np.int8)
        for place, (stack, order, flags) in enumerate(keys.tolist()):
            if stack >= 0:
                account, zero, movable = (bool(flags & bit) for bit in (gfp.account, gfp.zero, gfp.movable))
                levels[place] = level_of_stack(names[stack], account, zero, movable, order)
        return cls(
            rows[:, TIME],
            rows[:, VALUES],
            rows[:, VALUES + 1],
            levels[inverse.reshape(-1)] if len(rows) else np.empty(0, np.int8),
            int(np.count_nonzero((rows[:, STACK] < 0) & (rows[:, VALUES + 2] & bits == gfp.zero))),
        )

    def pages(self) -> NDArray[np.int64]:
        """Return every page that was a page table at some time."""
        tables = self.level > 0
        return np.unique(pages_of(self.pfn[tables], self.order[tables])[0])


def gather(
    allocations: Allocations, frees: NDArray[np.int64], visits: RootVisits, keep: NDArray[np.bool_]
) -> RawEvents:
    """Merge everything by time; of allocations none of whose pages matters (`keep`), none is kept."""
    before = np.append(0, np.cumsum(keep))  # how many pages below a page are to be kept
    first, after = allocations.pfn, allocations.pfn + span(allocations.order)
    inside = before[np.minimum(after, len(keep))] > before[np.minimum(first, len(keep))]
    kind = np.where(allocations.level > 0, RAW_TABLE, RAW_OTHER)[inside]
    none = np.zeros(len(visits), np.int64)
    raw = RawEvents(
        np.concatenate([frees[:, 0], allocations.time_ns[inside], visits.time_ns]),
        np.concatenate([np.full(len(frees), RAW_FREE), kind, none + RAW_VISIT]).astype(np.int8),
        np.concatenate([frees[:, 1], allocations.pfn[inside], none]),
        np.concatenate([np.zeros(len(frees), np.int8), allocations.level[inside], visits.priority]),
        np.concatenate([frees[:, 2], allocations.order[inside], none]).astype(np.int8),
    )
    return raw.sorted_by_time()[0]


def pages_in(pfns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a table that says by pfn whether a page is among `pfns`."""
    keep = np.zeros(int(pfns.max(initial=0)) + 2, np.bool_)
    keep[pfns] = True
    return keep


def with_chunks(keep: NDArray[np.bool_], allocations: Allocations, orders: Orders) -> NDArray[np.bool_]:
    """Return such a table with the pages of all chunks that are background demand."""
    chunks = orders.hold(allocations.order) & (allocations.level == 0)
    first = allocations.pfn[chunks]
    after = first + span(allocations.order[chunks])
    depth = np.zeros(max(len(keep), int(after.max(initial=0)) + 1), np.int32)
    np.add.at(depth, first, 1)
    np.add.at(depth, after, -1)
    within: NDArray[np.bool_] = np.cumsum(depth) > 0
    within[: len(keep)] |= keep
    return within
