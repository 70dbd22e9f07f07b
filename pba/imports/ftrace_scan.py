"""The fast half of reading ftrace and perf text: one pass over the bytes of whole lines, compiled.

Nothing here knows what a page table is. It finds the events, pairs each allocation with its stack, and gives
every distinct text (stack, gfp flags) a number, so that Python looks at each only once.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.imports.scan_bytes import (
    NEWLINE,
    SPACE,
    contains,
    is_digit,
    read_number,
    skip_spaces,
    starts,
    word_of,
)
from pba.imports.scan_lines import (
    FORM_BPFTRACE,
    FORM_FTRACE,
    FORM_PERF,
    belongs_to_stack,
    first_frame,
    ftrace_prefix,
    is_user_frame,
    of_allocation,
    page_fields,
    perf_prefix,
)

ROW_TIME: Final = 0
ROW_KIND: Final = 1
ROW_PFN: Final = 2
ROW_ORDER: Final = 3
ROW_GFP: Final = 4
ROW_STACK: Final = 5
ROW_LINE: Final = 6
ROW_WIDTH: Final = 7
"""Columns of a row: time in ns, kind, pfn, order, number of the gfp text, number of the stack (-1: none,
`NO_ROOM`: there were too many), line of the file."""
NO_ROOM: Final = -2

TEXT_STACK: Final = 0
TEXT_FLAGS: Final = 1
"""What a new text is."""

NOT_UNDERSTOOD: Final = 0
UNDERSTOOD: Final = 1
STACK_FOLLOWS: Final = 2
"""What `_take` makes of an event."""

KIND_FREE: Final = 1
KIND_ALLOC: Final = 2
KIND_GONE: Final = -1
"""A row that was moved to the next chunk, where its stack may stand."""

C_ROWS: Final = 0
C_SHRINKS: Final = 1
C_LINES: Final = 2
C_EVENTS: Final = 3
C_UNPARSED: Final = 4
C_FIRST_UNPARSED_LINE: Final = 5
C_FIRST_UNPARSED_START: Final = 6
C_LOST: Final = 7
C_STACKS: Final = 8
C_STRAY_STACKS: Final = 9
C_FIRST_TIME: Final = 10
C_LAST_TIME: Final = 11
C_NEW_TEXTS: Final = 12
C_TEXTS: Final = 13
C_LATEST: Final = 14
C_STEP_BACK: Final = 15
C_SENT: Final = 16
C_NOT_FOLLOWED: Final = 17
C_WIDTH: Final = 18
"""Places in the counters: rows and shrinker lines of this chunk, lines so far, lines with an event,
lines not understood (number and place of this chunk's first), lost events, stacks, stacks without an event,
least and greatest time, new texts of this chunk, texts so far, time of the last event,
longest step back in ns, events that our bpftrace program says it sent (-1: it does not say), pages whose
free it cannot tell."""

PENDING_NS: Final = 100_000_000
"""An allocation's stack follows it on its CPU at once (0.7 ms at the first, on an emulated machine)."""

SLOTS_PER_CPU: Final = 16
CPUS: Final = 1024
"""More CPUs than this share slots; a slot holds its whole key, so that nothing is paired wrongly."""
TABLE: Final = 1 << 20
"""Places for distinct texts."""
MOST_TEXTS: Final = TABLE // 2
MOST_ORDER: Final = 31
"""No allocator has larger chunks; a line that says so is damaged."""
_FAILED_PFN: Final = 1 << 52
"""A failed allocation's pfn is 0, or -1 where raw fields of older kernels are printed."""
_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)

_ALLOC = word_of("mm_page_alloc:")
_FREE = word_of("mm_page_free:")
_SHRINK = word_of("mm_shrink_slab_start:")
_STACK = word_of("<stack trace")
_KERNEL_STACK = word_of("kernel_stack:")
_CPU = word_of("CPU:")
_CPU_IS = word_of("CPU ")
_FILE_VERSION = word_of("version = ")
_LOST = word_of("LOST")
_DROPPED = word_of("DROPPED")
_EMPTY = word_of("is empty")
_CPUS = word_of("cpus=")
_PERF_LOST = word_of("PERF_RECORD_LOST")
_BPFTRACE_LOST = word_of("Lost ")
_SENT = word_of("@sent: ")
_ATTACHED = word_of("Attach")
_NOT_FOLLOWED = word_of("pba:not_followed:")
_KMEM = word_of("kmem:")
_VMSCAN = word_of("vmscan:")


class Scanner:
    """What is carried from one chunk of lines to the next.

    Attributes
    ----------
    counters : ndarray of int64
        See `C_ROWS` and its fellows.
    rows : ndarray of int64, shape (capacity, ROW_WIDTH)
        The chunk's events, `counters[C_ROWS]` of them.
    shrinks : ndarray of int64, shape (capacity, 4)
        The chunk's `mm_shrink_slab_start` lines: time in ns, pid, first and last byte.
    texts : ndarray of int64, shape (capacity, 4)
        The chunk's new texts: number, first and last byte, `TEXT_STACK` or `TEXT_FLAGS`.
    """

    def __init__(self, chunk_bytes: int, form: int = FORM_FTRACE) -> None:
        self.form = form
        self.counters = np.zeros(C_WIDTH, np.int64)
        self.counters[C_FIRST_TIME] = np.iinfo(np.int64).max
        self.counters[C_LAST_TIME] = np.iinfo(np.int64).min
        self.counters[C_SENT] = -1
        self._pending = np.full((CPUS * SLOTS_PER_CPU, 3), -1, np.int64)  # key, row, time
        self._hashes = np.zeros(TABLE, np.uint64)
        self._numbers = np.full(TABLE, -1, np.int32)
        self._grow(chunk_bytes)

    def _grow(self, chunk_bytes: int) -> None:
        self._room = chunk_bytes
        carried = CPUS * SLOTS_PER_CPU
        self.rows = np.empty((chunk_bytes // 40 + carried, ROW_WIDTH), np.int64)
        self.shrinks = np.empty((chunk_bytes // 60 + 1, 4), np.int64)
        self.texts = np.empty((chunk_bytes // 20 + 1, 4), np.int64)

    def scan(self, chunk: bytes) -> None:
        """Take in whole lines; a stack must not be cut."""
        carried = self._carry()
        if len(chunk) > self._room:
            self._grow(len(chunk))
        self.rows[: len(carried)] = carried
        self.counters[C_ROWS] = len(carried)
        for place in (C_SHRINKS, C_NEW_TEXTS):
            self.counters[place] = 0
        self.counters[C_FIRST_UNPARSED_LINE] = self.counters[C_FIRST_UNPARSED_START] = -1
        outputs = (self.rows, self.shrinks, self.texts)
        interned = (self._hashes, self._numbers)
        _scan(np.frombuffer(chunk, np.uint8), outputs, self.counters, self._pending, interned, self.form)

    def finish_chunk(self) -> None:
        """Mark the rows whose stack may still come; the next `scan` begins with them."""
        waiting = self._waiting()
        self._carried = self.rows[self._pending[waiting, 1]].copy()
        self.rows[self._pending[waiting, 1], ROW_KIND] = KIND_GONE
        self._pending[waiting, 1] = np.arange(len(waiting))

    def _waiting(self) -> NDArray[np.int64]:
        """Return the slots of allocations young enough for a stack to come, and clear all others."""
        old = self._pending[:, 2] < self.counters[C_LATEST] - PENDING_NS
        self._pending[old] = -1
        return np.flatnonzero(self._pending[:, 0] != -1)

    def _carry(self) -> NDArray[Any]:
        carried: NDArray[Any] = getattr(self, "_carried", np.empty((0, ROW_WIDTH), np.int64))
        return carried


@jit
def _hash(buf, start, end, salt):  # type: ignore[no-untyped-def]
    """64-bit FNV-1a."""
    value = _FNV_OFFSET ^ np.uint64(salt)
    for i in range(start, end):
        value = (value ^ np.uint64(buf[i])) * _FNV_PRIME
    return value if value else np.uint64(1)


@jit
def _intern(span, what, buf, texts, counters, interned):  # type: ignore[no-untyped-def]
    """Return the number of a text, a new one if it was never seen; `NO_ROOM` if there are too many."""
    hashes, numbers = interned
    start, end = span
    value = _hash(buf, start, end, what)
    at = np.int64(value & np.uint64(TABLE - 1))
    while numbers[at] >= 0:
        if hashes[at] == value:
            return np.int64(numbers[at])
        at = (at + 1) & (TABLE - 1)
    if counters[C_TEXTS] >= MOST_TEXTS:
        return np.int64(NO_ROOM)
    number = counters[C_TEXTS]
    hashes[at], numbers[at] = value, number
    counters[C_TEXTS] += 1
    row = counters[C_NEW_TEXTS]
    texts[row, 0], texts[row, 1], texts[row, 2], texts[row, 3] = number, start, end, what
    counters[C_NEW_TEXTS] += 1
    return number


@jit
def _slot(pid, cpu, context):  # type: ignore[no-untyped-def]
    """Return the key of a task on a CPU in a context, and the slot where it waits for a stack."""
    key = (pid << 28) | ((cpu & 0xFFFFF) << 8) | context
    return key, (cpu % CPUS) * SLOTS_PER_CPU + ((pid ^ (context >> 1)) & (SLOTS_PER_CPU - 1))


@jit
def _lost(buf, start, end, counters, pending):  # type: ignore[no-untyped-def]
    """Take in `CPU:n [LOST m EVENTS]` or `CPU:n [m EVENTS DROPPED]`; False if the line is neither."""
    if not (contains(buf, start, end, _LOST) or contains(buf, start, end, _DROPPED)):
        return False
    cpu, i = read_number(buf, start + 4, end)
    while i < end and not is_digit(buf[i]):
        i += 1
    count, stop = read_number(buf, i, end)
    counters[C_LOST] += count if stop > i else 1
    first = (cpu % CPUS) * SLOTS_PER_CPU
    pending[first : first + SLOTS_PER_CPU] = -1
    return True


@jit
def _count_lost(buf, at, end, counters):  # type: ignore[no-untyped-def]
    """Take in the number in `PERF_RECORD_LOST lost m`, `PERF_RECORD_LOST_SAMPLES lost m`, `Lost m events`."""
    while at < end and not is_digit(buf[at]):
        at += 1
    count, stop = read_number(buf, at, end)
    counters[C_LOST] += count if stop > at else 1


@jit
def _page_event(buf, at, end, kind, when, who, state):  # type: ignore[no-untyped-def]
    """Take in an allocation or a free; False if a field is missing."""
    (rows, _, texts), counters, pending, interned = state
    pfn, order, gfp_start, gfp_end = page_fields(buf, at, end)
    if pfn < 0 or not 0 <= order <= MOST_ORDER or (kind == KIND_ALLOC and gfp_end <= gfp_start):
        return False
    gfp = np.int64(-1)
    if kind == KIND_ALLOC:
        key, slot = _slot(who[0], who[1], who[2])
        pending[slot] = -1
        if pfn == 0 or pfn >= _FAILED_PFN:
            return True
        gfp = _intern((gfp_start, gfp_end), TEXT_FLAGS, buf, texts, counters, interned)
        pending[slot, 0], pending[slot, 1], pending[slot, 2] = key, counters[C_ROWS], when
    row = rows[counters[C_ROWS]]
    row[ROW_TIME], row[ROW_KIND], row[ROW_PFN] = when, kind, pfn
    row[ROW_ORDER], row[ROW_GFP], row[ROW_STACK], row[ROW_LINE] = order, gfp, -1, counters[C_LINES]
    counters[C_ROWS] += 1
    return True


@jit
def _stack(buf, start, end, when, who, state, form):  # type: ignore[no-untyped-def]
    """Give a stack to the allocation that it belongs to: the same task, CPU and context, just before."""
    (rows, _, texts), counters, pending, interned = state
    if start >= end or (form == FORM_FTRACE and not of_allocation(buf, start, end)):
        return
    counters[C_STACKS] += 1
    key, slot = _slot(who[0], who[1], who[2])
    if pending[slot, 0] != key or not 0 <= when - pending[slot, 2] <= PENDING_NS:
        counters[C_STRAY_STACKS] += 1
        return
    rows[pending[slot, 1], ROW_STACK] = _intern((start, end), TEXT_STACK, buf, texts, counters, interned)
    pending[slot] = -1


@jit
def _event(buf, start, end, counters, form):  # type: ignore[no-untyped-def]
    """Read a line's prefix; returns (pid, cpu, context, time, place of the event), place -1 if none."""
    if form == FORM_FTRACE:
        pid, cpu, context, time, at = ftrace_prefix(buf, start, end)
    else:
        pid, cpu, context, time, at = perf_prefix(buf, start, end)
    if at < 0:
        return pid, cpu, context, time, at
    counters[C_EVENTS] += 1
    counters[C_FIRST_TIME] = min(counters[C_FIRST_TIME], time)
    counters[C_LAST_TIME] = max(counters[C_LAST_TIME], time)
    counters[C_STEP_BACK] = max(counters[C_STEP_BACK], counters[C_LAST_TIME] - time)
    counters[C_LATEST] = time
    at = skip_spaces(buf, at, end)
    for system in (_KMEM, _VMSCAN):
        if starts(buf, at, end, system):
            at += len(system)
    return pid, cpu, context, time, at


@jit
def _take(buf, span, when, who, state, form):  # type: ignore[no-untyped-def]
    """Take in an event, if it is one of those that matter; says whether it was understood."""
    (_, shrinks, _), counters, _, _ = state
    line, at, end = span
    if starts(buf, at, end, _FREE):
        found = _page_event(buf, at + len(_FREE), end, KIND_FREE, when, who, state)
        return UNDERSTOOD if found else NOT_UNDERSTOOD
    if starts(buf, at, end, _ALLOC):
        if not _page_event(buf, at + len(_ALLOC), end, KIND_ALLOC, when, who, state):
            return NOT_UNDERSTOOD
        return UNDERSTOOD if form == FORM_FTRACE else STACK_FOLLOWS
    if starts(buf, at, end, _SHRINK):
        row = shrinks[counters[C_SHRINKS]]
        row[0], row[1], row[2], row[3] = when, who[0], line, end
        counters[C_SHRINKS] += 1
    elif form == FORM_FTRACE:
        if starts(buf, at, end, _STACK) or starts(buf, at, end, _KERNEL_STACK):
            return STACK_FOLLOWS
    elif starts(buf, at, end, _PERF_LOST):
        _count_lost(buf, at, end, counters)
    elif starts(buf, at, end, _NOT_FOLLOWED):
        counters[C_NOT_FOLLOWED] += 1
    return UNDERSTOOD


@jit
def _not_understood(counters, start):  # type: ignore[no-untyped-def]
    counters[C_UNPARSED] += 1
    if counters[C_FIRST_UNPARSED_LINE] < 0:
        counters[C_FIRST_UNPARSED_LINE] = counters[C_LINES]
        counters[C_FIRST_UNPARSED_START] = start


@jit
def _of_trace_cmd(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether a line is of trace-cmd's heading: `version = 6`, `CPU 0 is empty`, `cpus=2`."""
    if starts(buf, start, end, _CPU_IS):
        return contains(buf, start, end, _EMPTY)
    return starts(buf, start, end, _CPUS) or starts(buf, start, end, _FILE_VERSION)


@jit
def _no_event(buf, start, end, form, counters, pending):  # type: ignore[no-untyped-def]
    """Take in a line that belongs to no event: empty, a comment, a count of lost events; False if it may."""
    if skip_spaces(buf, start, end) == end or buf[start] == 35:
        return True
    if form == FORM_FTRACE:
        if buf[start] == SPACE:
            return False
        if starts(buf, start, end, _CPU):
            if not _lost(buf, start, end, counters, pending):
                _not_understood(counters, start)
            return True
        return _of_trace_cmd(buf, start, end)
    if form == FORM_BPFTRACE:
        if starts(buf, start, end, _BPFTRACE_LOST):
            _count_lost(buf, start, end, counters)
            return True
        if starts(buf, start, end, _SENT):
            counters[C_SENT], _ = read_number(buf, start + len(_SENT), end)
            return True
        return starts(buf, start, end, _ATTACHED)
    return False


@jit
def _scan(buf, outputs, counters, pending, interned, form):  # type: ignore[no-untyped-def]
    """Go through the lines of a chunk."""
    size = len(buf)
    state = (outputs, counters, pending, interned)
    start = 0
    found = NOT_UNDERSTOOD
    stack_start = stack_end = 0
    when = np.int64(0)
    who = (np.int64(0), np.int64(0), np.int64(0))
    while start < size:
        end = start
        while end < size and buf[end] != NEWLINE:
            end += 1
        counters[C_LINES] += 1
        line, start = start, end + 1
        if belongs_to_stack(buf, line, end, form):
            # What user space was doing tells nothing, and would make every stack another one.
            if stack_end == line and not (form == FORM_PERF and is_user_frame(buf, line, end)):
                stack_end = min(start, size)
            continue
        if found == STACK_FOLLOWS:
            _stack(buf, stack_start, stack_end, when, who, state, form)
        found = NOT_UNDERSTOOD
        if _no_event(buf, line, end, form, counters, pending):
            continue
        pid, cpu, context, when, at = _event(buf, line, end, counters, form)
        if at < 0:
            _not_understood(counters, line)
            continue
        who = (pid, cpu, context)
        found = _take(buf, (line, at, end), when, who, state, form)
        if found == NOT_UNDERSTOOD:
            counters[C_EVENTS] -= 1
            _not_understood(counters, line)
        stack_end = min(start, size)
        own_line = found == STACK_FOLLOWS and form == FORM_FTRACE
        stack_start = first_frame(buf, at, end) if own_line else stack_end
    if found == STACK_FOLLOWS:
        _stack(buf, stack_start, stack_end, when, who, state, form)
