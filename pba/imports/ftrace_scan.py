"""The fast half of reading ftrace and perf text: one pass over the bytes of whole lines, compiled.

Nothing here knows what a page table is. It finds the events, pairs each allocation with its stack, and gives
every distinct text (stack, gfp flags) a number, so that Python looks at each only once.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit

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

FORM_FTRACE: Final = 0
FORM_PERF: Final = 1
FORM_BPFTRACE: Final = 2
"""What a line looks like: `name-pid [cpu] flags time:` with ` => function` in a stack of its own, or
`perf script`'s `name  tid [cpu] time:` with the stack's lines right after their event, or the same from our
bpftrace program, whose stacks hold indented functions alone."""

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

_SPACE: Final = ord(" ")
_NEWLINE: Final = ord("\n")


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


_ALLOC = _bytes("mm_page_alloc:")
_FREE = _bytes("mm_page_free:")
_SHRINK = _bytes("mm_shrink_slab_start:")
_STACK = _bytes("<stack trace")
_KERNEL_STACK = _bytes("kernel_stack:")
_CPU = _bytes("CPU:")
_CPU_IS = _bytes("CPU ")
_FILE_VERSION = _bytes("version = ")
_LOST = _bytes("LOST")
_DROPPED = _bytes("DROPPED")
_EMPTY = _bytes("is empty")
_CPUS = _bytes("cpus=")
_PERF_LOST = _bytes("PERF_RECORD_LOST")
_BPFTRACE_LOST = _bytes("Lost ")
_SENT = _bytes("@sent: ")
_ATTACHED = _bytes("Attach")
_NOT_FOLLOWED = _bytes("pba:not_followed:")
_KEY_PFN = _bytes("pfn=")
_KEY_ORDER = _bytes("order=")
_KEY_GFP = _bytes("gfp_flags=")
_KMEM = _bytes("kmem:")
_VMSCAN = _bytes("vmscan:")
_TRACEITER = _bytes("__traceiter_")
_RAW_EVENT = _bytes("trace_event_raw_event_")
_PERF_TRACE = _bytes("perf_trace_")
_PAGE_ALLOC = _bytes("mm_page_alloc")
_FREE_ = _bytes("free_")
_FREE__ = _bytes("__free_")


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
def _starts(buf, at, end, word):  # type: ignore[no-untyped-def]
    """Whether `word` stands at `at`."""
    if at + len(word) > end:
        return False
    for k in range(len(word)):  # noqa: SIM110 - Numba compiles no generator
        if buf[at + k] != word[k]:
            return False
    return True


@jit
def _contains(buf, at, end, word):  # type: ignore[no-untyped-def]
    """Whether `word` stands anywhere in `at:end`."""
    for i in range(at, end - len(word) + 1):  # noqa: SIM110 - as above
        if buf[i] == word[0] and _starts(buf, i, end, word):
            return True
    return False


@jit
def _skip_spaces(buf, at, end):  # type: ignore[no-untyped-def]
    while at < end and (buf[at] == _SPACE or buf[at] == 9 or buf[at] == 13):
        at += 1
    return at


@jit
def _is_digit(byte):  # type: ignore[no-untyped-def]
    return 48 <= byte <= 57


@jit
def _number(buf, at, end):  # type: ignore[no-untyped-def]
    """Read a decimal or 0x number; returns (value, its end), with the end equal to `at` if there is none.

    Values beyond 63 bits saturate.
    """
    most = np.int64(9223372036854775807)
    value = np.int64(0)
    if at + 2 < end and buf[at] == 48 and (buf[at + 1] | 32) == 120:  # 0x
        i = at + 2
        while i < end:
            byte = buf[i]
            if _is_digit(byte):
                digit = byte - 48
            elif 97 <= (byte | 32) <= 102:
                digit = (byte | 32) - 87
            else:
                break
            value = most if value >> 58 else (value << 4) | np.int64(digit)
            i += 1
        return (value, i) if i > at + 2 else (value, at)
    i = at
    while i < end and _is_digit(buf[i]):
        value = most if value > 900000000000000000 else value * 10 + np.int64(buf[i] - 48)
        i += 1
    return value, i


@jit
def _time(buf, at, end):  # type: ignore[no-untyped-def]
    """Read `seconds.fraction:` as ns; returns (time, place after the colon), place -1 if it is not a time."""
    seconds, i = _number(buf, at, end)
    if i == at or i >= end or buf[i] != 46 or seconds > 9000000000:
        return np.int64(0), -1
    i += 1
    first = i
    fraction = np.int64(0)
    scale = np.int64(1000000000)
    while i < end and _is_digit(buf[i]):
        if scale > 1:
            scale //= 10
            fraction += np.int64(buf[i] - 48) * scale
        i += 1
    if i == first or i >= end or buf[i] != 58:
        return np.int64(0), -1
    return seconds * 1000000000 + fraction, i + 1


@jit
def _pid_before(buf, start, at):  # type: ignore[no-untyped-def]
    """Read the pid of `name-pid  [cpu]` or `name-pid  (tgid) [cpu]`, backwards from `[`; -1 if none."""
    i = at - 1
    while i > start and buf[i] == _SPACE:
        i -= 1
    if i > start and buf[i] == 41:  # (tgid)
        while i > start and buf[i] != 40:
            i -= 1
        i -= 1
        while i > start and buf[i] == _SPACE:
            i -= 1
    pid = np.int64(0)
    scale = np.int64(1)
    last = i
    while i > start and _is_digit(buf[i]) and last - i < 10:
        pid += np.int64(buf[i] - 48) * scale
        scale *= 10
        i -= 1
    if i == last or buf[i] != 45:
        return np.int64(-1)
    return pid


@jit
def _tid_before(buf, start, at):  # type: ignore[no-untyped-def]
    """Read the tid of `name  tid [cpu]` or `name  pid/tid [cpu]`, backwards from `[`; -1 if none.

    A task that perf does not know is `:-1 -1`; it is read as 1, which only pairs lines.
    """
    i = at - 1
    while i > start and buf[i] == _SPACE:
        i -= 1
    pid = np.int64(0)
    scale = np.int64(1)
    last = i
    while i > start and _is_digit(buf[i]) and last - i < 10:
        pid += np.int64(buf[i] - 48) * scale
        scale *= 10
        i -= 1
    if i == last:
        return np.int64(-1)
    if buf[i] == 47:  # pid/
        i -= 1
        while i > start and _is_digit(buf[i]):
            i -= 1
    if buf[i] == 45:  # -1
        i -= 1
    return pid if i > start and buf[i] == _SPACE else np.int64(-1)


@jit
def _perf_prefix(buf, start, end):  # type: ignore[no-untyped-def]
    """Read `name  tid [cpu] time:` as `_prefix` does; perf prints no flags, so the context is 0."""
    for at in range(start + 2, min(end, start + 100)):
        if buf[at] != 91 or not _is_digit(buf[min(at + 1, end - 1)]):
            continue
        cpu, i = _number(buf, at + 1, end)
        if i >= end or buf[i] != 93:
            continue
        tid = _tid_before(buf, start, at)
        if tid < 0:
            continue
        time, after = _time(buf, _skip_spaces(buf, i + 1, end), end)
        if after >= 0:
            return tid, cpu, np.int64(0), time, after
    return np.int64(-1), np.int64(-1), np.int64(0), np.int64(0), -1


@jit
def _prefix(buf, start, end):  # type: ignore[no-untyped-def]
    """Read `name-pid [cpu] flags time:`; returns (pid, cpu, context, time, place after), place -1 if none.

    A name may hold spaces, dashes and brackets, so the first `[cpu]` counts around which everything fits.
    The context is the third flag (hard interrupt, soft interrupt, task), 0 where there are no flags.
    """
    for at in range(start + 2, min(end, start + 100)):
        if buf[at] != 91 or not _is_digit(buf[min(at + 1, end - 1)]):
            continue
        cpu, i = _number(buf, at + 1, end)
        if i >= end or buf[i] != 93:
            continue
        pid = _pid_before(buf, start, at)
        if pid < 0:
            continue
        flags = _skip_spaces(buf, i + 1, end)
        time, after = _time(buf, flags, end)
        if after >= 0:
            return pid, cpu, np.int64(0), time, after
        i = flags
        while i < end and buf[i] != _SPACE:
            i += 1
        time, after = _time(buf, _skip_spaces(buf, i, end), end)
        if after >= 0:
            context = np.int64(buf[flags + 2]) if i - flags >= 4 else np.int64(0)
            return pid, cpu, context, time, after
    return np.int64(-1), np.int64(-1), np.int64(0), np.int64(0), -1


@jit
def _fields(buf, at, end):  # type: ignore[no-untyped-def]
    """Read pfn, order and the span of gfp_flags, in any order; -1 for what is not there or no number."""
    pfn = order = np.int64(-1)
    gfp_start = gfp_end = np.int64(-1)
    i = at
    while i < end:
        if buf[i] <= _SPACE:
            i += 1
            continue
        is_pfn = _starts(buf, i, end, _KEY_PFN)
        is_order = not is_pfn and _starts(buf, i, end, _KEY_ORDER)
        value, first, stop = np.int64(0), i, i
        if is_pfn or is_order:
            first = i + (4 if is_pfn else 6)
            value, stop = _number(buf, first, end)
        elif _starts(buf, i, end, _KEY_GFP):
            gfp_start = np.int64(i + 10)
        i = stop
        while i < end and buf[i] > _SPACE:
            i += 1
        if gfp_start > gfp_end:
            gfp_end = np.int64(i)
        if first < stop == i:  # all of it is a number
            pfn, order = (value, order) if is_pfn else (pfn, value)
    return pfn, order, gfp_start, gfp_end


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
def _is_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether a line is a frame of a stack (` => function`)."""
    at = _skip_spaces(buf, start, end)
    return at + 1 < end and buf[at] == 61 and buf[at + 1] == 62


@jit
def _first_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Return where a stack begins: `trace-cmd report` (3.3) puts the first frame on the stack's line."""
    for at in range(start, end - 1):
        if buf[at] == 61 and buf[at + 1] == 62:
            return at
    return end + 1


@jit
def _is_perf_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether a line is a frame of perf's (`address symbol+0x10 (object)` after a tab).

    An event's name may be indented with spaces; where tabs were expanded, the object's bracket tells, but
    for events that end in one (`... priority 6 (in-irq)`), which have a time.
    """
    if start == end:
        return False
    last = end - 1
    while last > start and (buf[last] == _SPACE or buf[last] == 13):
        last -= 1
    if buf[start] == 9:
        return True
    return buf[start] == _SPACE and buf[last] == 41 and _perf_prefix(buf, start, end)[4] < 0


@jit
def _is_user_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether perf's frame has an address that is not the kernel's, which is 16 digits and begins with ff."""
    at = _skip_spaces(buf, start, end)
    i = at
    while i < end and (_is_digit(buf[i]) or 97 <= buf[i] <= 102):
        i += 1
    if i == at or i >= end or buf[i] != _SPACE:
        return False
    return i - at < 16 or buf[at] != 102 or buf[at + 1] != 102


@jit
def _of_allocation(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether a stack is one of `mm_page_alloc`, by its innermost frame; other events may have stacks too."""
    at = _skip_spaces(buf, start, end)
    at = _skip_spaces(buf, at + 2, end)
    stop = at
    while stop < end and buf[stop] > _SPACE and buf[stop] != 43:
        stop += 1
    for word in (_TRACEITER, _RAW_EVENT, _PERF_TRACE):
        if _starts(buf, at, stop, word):
            return stop - at == len(word) + len(_PAGE_ALLOC) and _starts(
                buf, at + len(word), stop, _PAGE_ALLOC
            )
    return not (_starts(buf, at, stop, _FREE_) or _starts(buf, at, stop, _FREE__))


@jit
def _slot(pid, cpu, context):  # type: ignore[no-untyped-def]
    """Return the key of a task on a CPU in a context, and the slot where it waits for a stack."""
    key = (pid << 28) | ((cpu & 0xFFFFF) << 8) | context
    return key, (cpu % CPUS) * SLOTS_PER_CPU + ((pid ^ (context >> 1)) & (SLOTS_PER_CPU - 1))


@jit
def _lost(buf, start, end, counters, pending):  # type: ignore[no-untyped-def]
    """Take in `CPU:n [LOST m EVENTS]` or `CPU:n [m EVENTS DROPPED]`; False if the line is neither."""
    if not (_contains(buf, start, end, _LOST) or _contains(buf, start, end, _DROPPED)):
        return False
    cpu, i = _number(buf, start + 4, end)
    while i < end and not _is_digit(buf[i]):
        i += 1
    count, stop = _number(buf, i, end)
    counters[C_LOST] += count if stop > i else 1
    first = (cpu % CPUS) * SLOTS_PER_CPU
    pending[first : first + SLOTS_PER_CPU] = -1
    return True


@jit
def _count_lost(buf, at, end, counters):  # type: ignore[no-untyped-def]
    """Take in the number in `PERF_RECORD_LOST lost m`, `PERF_RECORD_LOST_SAMPLES lost m`, `Lost m events`."""
    while at < end and not _is_digit(buf[at]):
        at += 1
    count, stop = _number(buf, at, end)
    counters[C_LOST] += count if stop > at else 1


@jit
def _page_event(buf, at, end, kind, when, who, state):  # type: ignore[no-untyped-def]
    """Take in an allocation or a free; False if a field is missing."""
    (rows, _, texts), counters, pending, interned = state
    pfn, order, gfp_start, gfp_end = _fields(buf, at, end)
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
    if start >= end or (form == FORM_FTRACE and not _of_allocation(buf, start, end)):
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
        pid, cpu, context, time, at = _prefix(buf, start, end)
    else:
        pid, cpu, context, time, at = _perf_prefix(buf, start, end)
    if at < 0:
        return pid, cpu, context, time, at
    counters[C_EVENTS] += 1
    counters[C_FIRST_TIME] = min(counters[C_FIRST_TIME], time)
    counters[C_LAST_TIME] = max(counters[C_LAST_TIME], time)
    counters[C_STEP_BACK] = max(counters[C_STEP_BACK], counters[C_LAST_TIME] - time)
    counters[C_LATEST] = time
    at = _skip_spaces(buf, at, end)
    for system in (_KMEM, _VMSCAN):
        if _starts(buf, at, end, system):
            at += len(system)
    return pid, cpu, context, time, at


@jit
def _take(buf, span, when, who, state, form):  # type: ignore[no-untyped-def]
    """Take in an event, if it is one of those that matter; says whether it was understood."""
    (_, shrinks, _), counters, _, _ = state
    line, at, end = span
    if _starts(buf, at, end, _FREE):
        found = _page_event(buf, at + len(_FREE), end, KIND_FREE, when, who, state)
        return UNDERSTOOD if found else NOT_UNDERSTOOD
    if _starts(buf, at, end, _ALLOC):
        if not _page_event(buf, at + len(_ALLOC), end, KIND_ALLOC, when, who, state):
            return NOT_UNDERSTOOD
        return UNDERSTOOD if form == FORM_FTRACE else STACK_FOLLOWS
    if _starts(buf, at, end, _SHRINK):
        row = shrinks[counters[C_SHRINKS]]
        row[0], row[1], row[2], row[3] = when, who[0], line, end
        counters[C_SHRINKS] += 1
    elif form == FORM_FTRACE:
        if _starts(buf, at, end, _STACK) or _starts(buf, at, end, _KERNEL_STACK):
            return STACK_FOLLOWS
    elif _starts(buf, at, end, _PERF_LOST):
        _count_lost(buf, at, end, counters)
    elif _starts(buf, at, end, _NOT_FOLLOWED):
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
    if _starts(buf, start, end, _CPU_IS):
        return _contains(buf, start, end, _EMPTY)
    return _starts(buf, start, end, _CPUS) or _starts(buf, start, end, _FILE_VERSION)


@jit
def _no_event(buf, start, end, form, counters, pending):  # type: ignore[no-untyped-def]
    """Take in a line that belongs to no event: empty, a comment, a count of lost events; False if it may."""
    if _skip_spaces(buf, start, end) == end or buf[start] == 35:
        return True
    if form == FORM_FTRACE:
        if buf[start] == _SPACE:
            return False
        if _starts(buf, start, end, _CPU):
            if not _lost(buf, start, end, counters, pending):
                _not_understood(counters, start)
            return True
        return _of_trace_cmd(buf, start, end)
    if form == FORM_BPFTRACE:
        if _starts(buf, start, end, _BPFTRACE_LOST):
            _count_lost(buf, start, end, counters)
            return True
        if _starts(buf, start, end, _SENT):
            counters[C_SENT], _ = _number(buf, start + len(_SENT), end)
            return True
        return _starts(buf, start, end, _ATTACHED)
    return False


@jit
def _belongs_to_stack(buf, start, end, form):  # type: ignore[no-untyped-def]
    """Whether a line is a frame of a stack."""
    if form == FORM_FTRACE:
        return _is_frame(buf, start, end)
    if form == FORM_PERF:
        return _is_perf_frame(buf, start, end)
    return start < end and (buf[start] == _SPACE or buf[start] == 9)


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
        while end < size and buf[end] != _NEWLINE:
            end += 1
        counters[C_LINES] += 1
        line, start = start, end + 1
        if _belongs_to_stack(buf, line, end, form):
            # What user space was doing tells nothing, and would make every stack another one.
            if stack_end == line and not (form == FORM_PERF and _is_user_frame(buf, line, end)):
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
        stack_start = _first_frame(buf, at, end) if own_line else stack_end
    if found == STACK_FOLLOWS:
        _stack(buf, stack_start, stack_end, when, who, state, form)
