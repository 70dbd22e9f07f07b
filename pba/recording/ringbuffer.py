"""The kernel's trace ring buffer in its binary form: event formats, and a decoder of raw pages.

`per_cpu/cpuN/trace_pipe_raw` hands out sub-buffers as they lie in memory: a page header (`header_page`),
then events behind 4-byte headers (`header_event`). Reading them so costs the recorded machine almost
nothing, and the decoder below reads hundreds of MB a second. It knows the container only; which events are
wanted, and where their fields lie, comes from the `format` files of the running kernel.

Source: kernel/trace/ring_buffer.c (`struct buffer_data_page`, `rb_update_read_stamp`),
include/linux/ring_buffer.h (`enum ring_buffer_type`), kernel/trace/trace_entries.h (`kernel_stack`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.errors import RecordError

NR_VALUES: Final = 9
"""Fields of an event that a decoded row can hold."""
TIME, KIND, PID, STACK, VALUES = 0, 1, 2, 3, 4
"""Columns of a decoded row: time in ns, number of the wanted event, pid, number of the stack (-1: none),
then the fields asked for."""
NR_COLUMNS: Final = VALUES + NR_VALUES
STACK_DEPTH: Final = 12
"""Frames of a stack that are kept: enough to get past the page allocator and see who asked."""
MAX_STACKS: Final = 1 << 16
"""Different stacks that are kept; further ones count as no stack."""
MAX_PENDING: Final = 32
"""Events per CPU that may wait for their stack (interrupts nest only a few deep)."""
KEEP_NONE: Final = 1 << 62
"""In `Spec.keep_from`: no value passes."""
PATCH: Final = -1
"""In `KIND`: no event, but the stack of one in an earlier chunk (its row number is the first value)."""

_FIELD = re.compile(r"field:\s*(?P<what>[^;]+);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);")
_FLAG = re.compile(r"\{([^{}]*)\"(?P<name>__GFP_\w+)\"\s*\}")
_NUMBER = re.compile(r"\b(0x[0-9a-fA-F]+|[1-9]\d*)[uUlL]*\b")
_BIT = re.compile(r"<<\s*\(?(\d+)\)?")


@dataclass(frozen=True)
class EventFormat:
    """One event's `format` file.

    Attributes
    ----------
    number : int
        `ID:`, the value of `common_type` in its records.
    fields : dict
        Field name -> (offset, size) in bytes.
    text : str
        The whole file; its `print fmt` names the bits of gfp flags.
    """

    number: int
    fields: dict[str, tuple[int, int]]
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> EventFormat:
        """Read a `format` file, or `header_page`, which has no ID (0 then)."""
        number = re.search(r"^ID:\s*(\d+)", text, re.MULTILINE)
        fields = {}
        for found in _FIELD.finditer(text):
            name = re.sub(r"\[.*\]", "", found["what"]).split()[-1].lstrip("*")
            fields[name] = (int(found["offset"]), int(found["size"]))
        return cls(int(number[1]) if number else 0, fields, text)

    def gfp_bit(self, name: str) -> int:
        """Return the value of a `__GFP_` flag as this kernel's `print fmt` has it.

        Raises
        ------
        RecordError
            If the format does not name it as a single bit.
        """
        for found in _FLAG.finditer(self.text):
            if found["name"] == name:
                bits, values = _BIT.findall(found[1]), _NUMBER.findall(found[1])
                if len(bits) == 1:
                    return 1 << int(bits[0])
                if len(values) == 1:
                    return int(values[0], 0)
        raise RecordError(f"this kernel's mm_page_alloc format does not say which bit {name} is")


@dataclass(frozen=True)
class Wanted:
    """An event to decode.

    Attributes
    ----------
    format : EventFormat
        Where its fields lie.
    fields : sequence of str
        Those to return, at most `NR_VALUES`; a name that the kernel does not have reads as -1.
    stack : bool
        Whether a stack follows it (a `stacktrace` trigger is set on it).
    stack_if : tuple of int
        (place of a field, bits, value): a stack follows only where these bits of the field have this value,
        as the trigger says.
    filtered : bool
        Whether to return it only where `keep[first field]` is set or the second field is `keep_from` or
        more.
    """

    format: EventFormat
    fields: Sequence[str]
    stack: bool = False
    stack_if: tuple[int, int, int] = (0, 0, 0)
    filtered: bool = False


class Spec(NamedTuple):
    """What the compiled decoder must know."""

    kind_of: NDArray[np.int8]
    """Number of the wanted event by `common_type`; -1 not wanted, -2 a stack."""
    fields: NDArray[np.int64]
    """(wanted, value, offset and size): where the values lie; size 0 for none."""
    stacked: NDArray[np.bool_]
    stack_if: NDArray[np.int64]
    """(wanted, 3): place of a field, bits of it and the value that they have where a stack follows."""
    filtered: NDArray[np.bool_]
    keep: NDArray[np.bool_]
    """Which values pass where `filtered`,"""
    keep_from: int
    """and from which value of the second field on all pass."""
    header: NDArray[np.int64]
    """Page size, offset of the data, of `common_pid`, of the stack's size and of its frames, all in bytes."""


class Stacks(NamedTuple):
    """Different stacks met so far, shared by all CPUs."""

    table: NDArray[np.int32]
    """Open-addressed hash table: number of a stack, or -1."""
    frames: NDArray[np.int64]
    """(stack, depth): return addresses, innermost first, 0 behind the last. Never stored in a trace."""
    used: NDArray[np.int64]
    """(1,): how many there are."""
    scratch: NDArray[np.int64]
    """(depth,): room for the stack at hand; compiled code allocates nothing."""

    @classmethod
    def empty(cls) -> Stacks:
        """Return a table without stacks."""
        return cls(
            np.full(2 * MAX_STACKS, -1, np.int32),
            np.zeros((MAX_STACKS, STACK_DEPTH), np.int64),
            np.zeros(1, np.int64),
            np.zeros(STACK_DEPTH, np.int64),
        )


class CpuState(NamedTuple):
    """What the decoder carries from one chunk of a CPU's buffer to the next."""

    pending: NDArray[np.int64]
    """(MAX_PENDING, 2): row and pid of events whose stack has not come yet."""
    counters: NDArray[np.int64]
    """`PENDING`, `ROWS`, `EVENTS`, `GAPS`, `ORPHANS` below."""


Int: TypeAlias = Any
"""A whole number in compiled code, 64 bits wide (`int` to Python, `np.int64` to NumPy)."""
PENDING, ROWS, EVENTS, GAPS, ORPHANS = 0, 1, 2, 3, 4
"""Events that wait for a stack; rows returned so far; events seen; pages that say events are missing before
them; stacks without an event."""

_PAGE_BYTES, _DATA, _PID, _STACK_SIZE, _STACK_FRAMES = 0, 1, 2, 3, 4
_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_COMMIT_MASK = (1 << 27) - 1
_MISSED_EVENTS = 1 << 31
_TIME_STAMP_HIGH = ~((1 << 59) - 1)


def make_spec(page: EventFormat, stack: EventFormat, wanted: Sequence[Wanted]) -> Spec:
    """Gather the formats into arrays.

    Parameters
    ----------
    page : EventFormat
        `events/header_page`.
    stack : EventFormat
        `events/ftrace/kernel_stack/format`.
    wanted : sequence of Wanted
        The events to return; their place here is the number in `KIND`.
    """
    kind_of = np.full(1 << 16, -1, np.int8)
    fields = np.zeros((len(wanted), NR_VALUES, 2), np.int64)
    for kind, event in enumerate(wanted):
        kind_of[event.format.number] = kind
        for place, name in enumerate(event.fields):
            fields[kind, place] = event.format.fields.get(name, (0, 0))
    kind_of[stack.number] = -2
    data, size = page.fields["data"]
    if page.fields["commit"][0] != 8:
        raise RecordError("this kernel's trace pages have a header that pba does not know")
    header = [data + size, data, stack.fields["common_pid"][0], stack.fields["size"][0]]
    return Spec(
        kind_of,
        fields,
        np.array([event.stack for event in wanted], np.bool_),
        np.array([event.stack_if for event in wanted], np.int64),
        np.array([event.filtered for event in wanted], np.bool_),
        np.zeros(0, np.bool_),
        KEEP_NONE,
        np.array([*header, stack.fields["caller"][0]], np.int64),
    )


@jit
def _value(words: NDArray[np.uint32], base: Int, offset: Int, size: Int) -> Int:
    """Return a field of 1 to 8 bytes at byte `offset` behind word `base`; -1 for a field of size 0."""
    if size == 0:
        return -1
    word = base + (offset >> 2)
    low = np.int64(words[word])
    if size == 8:
        return low | (np.int64(words[word + 1]) << 32)
    if size == 4:
        return np.int64(np.int32(words[word]))
    return (low >> (8 * (offset & 3))) & ((1 << (8 * size)) - 1)


@jit
def _intern(frames: NDArray[np.int64], depth: Int, stacks: Stacks) -> Int:
    """Return the number of a stack, giving it one if it is new; -1 if the table is full."""
    size = len(stacks.table)
    slot = np.int64(0)
    for i in range(depth):
        slot = (slot ^ frames[i]) * 1099511628211
        slot ^= (slot >> 29) & 0x7FFFFFFFF
    slot &= size - 1
    while stacks.table[slot] >= 0:
        number = stacks.table[slot]
        same = True
        for i in range(STACK_DEPTH):
            if stacks.frames[number, i] != (frames[i] if i < depth else 0):
                same = False
                break
        if same:
            return number
        slot = (slot + 1) & (size - 1)
    number = stacks.used[0]
    if number >= len(stacks.frames):
        return -1
    for i in range(depth):
        stacks.frames[number, i] = frames[i]
    stacks.table[slot] = number
    stacks.used[0] = number + 1
    return number


@jit
def _take_stack(words: NDArray[np.uint32], base: Int, length: Int, spec: Spec, stacks: Stacks) -> Int:
    """Return the number of the stack whose record of `length` bytes starts at word `base`."""
    frames = stacks.scratch
    first = spec.header[_STACK_FRAMES]
    depth = min(_value(words, base, spec.header[_STACK_SIZE], 4), (length - first) // 8, STACK_DEPTH)
    for i in range(depth):
        frames[i] = _value(words, base, first + 8 * i, 8)
    return _intern(frames, depth, stacks)


@jit
def _pair(pid: Int, number: Int, cpu: CpuState, rows: NDArray[np.int64], base_row: Int) -> Int:
    """Give a stack to the latest event of the same pid that waits; return 1 if that took a `PATCH` row.

    A stack follows its event in the CPU's buffer, but an interrupt may record events and stacks of its own
    between the two: the last event that waits is the one, as with brackets.
    """
    counters = cpu.counters
    place = counters[PENDING] - 1
    while place >= 0 and cpu.pending[place, 1] != pid:
        place -= 1
    if place < 0:
        counters[ORPHANS] += 1
        return 0
    row = cpu.pending[place, 0]
    counters[PENDING] = place
    if row >= base_row:
        rows[row - base_row, STACK] = number
        return 0
    patch = counters[ROWS] - base_row
    rows[patch, KIND] = PATCH
    rows[patch, STACK] = number
    rows[patch, VALUES] = row
    counters[ROWS] += 1
    return 1


@jit
def _wait_for_stack(cpu: CpuState, row: Int, pid: Int) -> None:
    """Note that an event waits for its stack; the oldest one gives up when too many do."""
    counters = cpu.counters
    if counters[PENDING] == MAX_PENDING:
        for place in range(MAX_PENDING - 1):
            cpu.pending[place, 0] = cpu.pending[place + 1, 0]
            cpu.pending[place, 1] = cpu.pending[place + 1, 1]
        counters[PENDING] -= 1
    cpu.pending[counters[PENDING], 0] = row
    cpu.pending[counters[PENDING], 1] = pid
    counters[PENDING] += 1


@jit
def _take_event(
    words: NDArray[np.uint32], base: Int, spec: Spec, cpu: CpuState, row: NDArray[np.int64]
) -> None:
    """Decode the record at word `base` into `row` (whose time is set), if it is wanted."""
    kind = spec.kind_of[words[base] & 0xFFFF]
    fields = spec.fields[kind]
    first = _value(words, base, fields[0, 0], fields[0, 1])
    kept = 0 <= first < len(spec.keep) and spec.keep[first]
    if spec.filtered[kind] and not kept and _value(words, base, fields[1, 0], fields[1, 1]) < spec.keep_from:
        return
    row[KIND] = kind
    row[PID] = _value(words, base, spec.header[_PID], 4)
    row[STACK] = -1
    for place in range(NR_VALUES):
        row[VALUES + place] = _value(words, base, fields[place, 0], fields[place, 1])
    place, bits, value = spec.stack_if[kind]
    if spec.stacked[kind] and row[VALUES + place] & bits == value:
        _wait_for_stack(cpu, cpu.counters[ROWS], row[PID])
    cpu.counters[ROWS] += 1


@jit
def _decode_page(
    words: NDArray[np.uint32], spec: Spec, stacks: Stacks, cpu: CpuState, rows: NDArray[np.int64]
) -> None:
    """Decode one page; `rows` starts at the first row of the chunk, which is in the last counter."""
    counters = cpu.counters
    base_row = counters[-1]
    time = _value(words, 0, 0, 8)
    commit = np.int64(words[2])
    if commit & _MISSED_EVENTS:
        counters[GAPS] += 1
        counters[PENDING] = 0
    at: Int = spec.header[_DATA] >> 2
    end = min(at + ((commit & _COMMIT_MASK) >> 2), len(words))
    while at < end:
        kind = words[at] & 31
        delta = np.int64(words[at] >> 5)
        if kind == _PADDING and delta == 0:
            break
        if kind == _TIME_EXTEND:
            time += delta + (np.int64(words[at + 1]) << 27)
            at += 2
            continue
        if kind == _TIME_STAMP:
            time = (time & _TIME_STAMP_HIGH) | (delta + (np.int64(words[at + 1]) << 27))
            at += 2
            continue
        if kind == _PADDING:  # a discarded event; its delta counts unless it is the placeholder 1
            time += delta if delta > 1 else 0
            at += 1 + (np.int64(words[at + 1]) >> 2)
            continue
        time += delta
        start = at + 1 if kind else at + 2
        length = 4 * np.int64(kind) if kind else np.int64(words[at + 1]) - 4
        at = start + ((length + 3) >> 2)
        event = spec.kind_of[words[start] & 0xFFFF]
        if event == -2:
            number = _take_stack(words, start, length, spec, stacks)
            _pair(_value(words, start, spec.header[_PID], 4), number, cpu, rows, base_row)
            continue
        counters[EVENTS] += 1
        if event >= 0:
            row = rows[counters[ROWS] - base_row]
            row[TIME] = time
            _take_event(words, start, spec, cpu, row)


@jit
def _decode(
    words: NDArray[np.uint32], spec: Spec, stacks: Stacks, cpu: CpuState, rows: NDArray[np.int64]
) -> Int:
    """Decode whole pages until they end or `rows` might overflow; return how many were decoded."""
    page_words = spec.header[_PAGE_BYTES] >> 2
    nr_pages = len(words) // page_words
    cpu.counters[-1] = cpu.counters[ROWS]
    for page in range(nr_pages):
        if cpu.counters[ROWS] - cpu.counters[-1] + page_words > len(rows):
            return page
        _decode_page(words[page * page_words : (page + 1) * page_words], spec, stacks, cpu, rows)
    return nr_pages


@dataclass
class Decoder:
    """Decodes one CPU's pages, chunk by chunk, in the order in which they were read.

    Attributes
    ----------
    spec : Spec
        From `make_spec`.
    stacks : Stacks
        Shared by the decoders of all CPUs.
    """

    spec: Spec
    stacks: Stacks
    _state: CpuState = field(
        default_factory=lambda: CpuState(
            np.zeros((MAX_PENDING, 2), np.int64), np.zeros(ORPHANS + 2, np.int64)
        )
    )

    @property
    def page_bytes(self) -> int:
        """Bytes of a page (a sub-buffer)."""
        return int(self.spec.header[_PAGE_BYTES])

    @property
    def events(self) -> int:
        """Events seen so far, wanted or not, without stacks."""
        return int(self._state.counters[EVENTS])

    @property
    def gaps(self) -> int:
        """Pages that say that events are missing before them."""
        return int(self._state.counters[GAPS])

    @property
    def orphans(self) -> int:
        """Stacks whose event was not seen."""
        return int(self._state.counters[ORPHANS])

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[NDArray[np.int64]]:
        """Decode whole pages; yield rows (n, `NR_COLUMNS`) in the buffer's order, `PATCH` rows among them."""
        words = np.frombuffer(data, "<u4")
        page_words = self.page_bytes >> 2
        while len(words) >= page_words:
            rows = np.empty((max(1 << 16, 2 * page_words), NR_COLUMNS), np.int64)
            before = int(self._state.counters[ROWS])
            done = _decode(words, self.spec, self.stacks, self._state, rows)
            words = words[done * page_words :]
            yield rows[: int(self._state.counters[ROWS]) - before].copy()


def join_rows(chunks: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Join one CPU's rows and hand out the stacks that came in a later chunk than their event."""
    rows = np.concatenate([np.empty((0, NR_COLUMNS), np.int64), *chunks])
    patches = rows[:, KIND] == PATCH
    rows[rows[patches, VALUES], STACK] = rows[patches, STACK]
    events: NDArray[np.int64] = rows[~patches]
    return events
