"""Lines of ftrace, `perf script` and our bpftrace program: their prefixes, fields and frames of stacks."""

from __future__ import annotations

from typing import Final

import numpy as np

from pba._jit import jit
from pba.imports.scan_bytes import SPACE, is_digit, read_number, read_time, skip_spaces, starts, word_of

FORM_FTRACE: Final = 0
FORM_PERF: Final = 1
FORM_BPFTRACE: Final = 2
"""What a line looks like: `name-pid [cpu] flags time:` with ` => function` in a stack of its own, or
`perf script`'s `name  tid [cpu] time:` with the stack's lines right after their event, or the same from our
bpftrace program, whose stacks hold indented functions alone."""

_KEY_PFN = word_of("pfn=")
_KEY_ORDER = word_of("order=")
_KEY_GFP = word_of("gfp_flags=")
_TRACEITER = word_of("__traceiter_")
_RAW_EVENT = word_of("trace_event_raw_event_")
_PERF_TRACE = word_of("perf_trace_")
_PAGE_ALLOC = word_of("mm_page_alloc")
_FREE_ = word_of("free_")
_FREE__ = word_of("__free_")


@jit
def spaces_before(buf, start, i):  # type: ignore[no-untyped-def]
    """Return the place of the last byte up to `i` that is no space."""
    while i > start and buf[i] == SPACE:
        i -= 1
    return i


@jit
def number_before(buf, start, i):  # type: ignore[no-untyped-def]
    """Read a number of at most ten digits that ends at `i`; returns (value, place of the byte before it)."""
    value = np.int64(0)
    scale = np.int64(1)
    last = i
    while i > start and is_digit(buf[i]) and last - i < 10:
        value += np.int64(buf[i] - 48) * scale
        scale *= 10
        i -= 1
    return value, i


@jit
def pid_before(buf, start, at):  # type: ignore[no-untyped-def]
    """Read the pid of `name-pid  [cpu]` or `name-pid  (tgid) [cpu]`, backwards from `[`; -1 if none."""
    last = spaces_before(buf, start, at - 1)
    if last > start and buf[last] == 41:  # (tgid)
        while last > start and buf[last] != 40:
            last -= 1
        last = spaces_before(buf, start, last - 1)
    pid, i = number_before(buf, start, last)
    return pid if i < last and buf[i] == 45 else np.int64(-1)


@jit
def tid_before(buf, start, at):  # type: ignore[no-untyped-def]
    """Read the tid of `name  tid [cpu]` or `name  pid/tid [cpu]`, backwards from `[`; -1 if none.

    A task that perf does not know is `:-1 -1`; it is read as 1, which only pairs lines.
    """
    last = spaces_before(buf, start, at - 1)
    tid, i = number_before(buf, start, last)
    if i == last:
        return np.int64(-1)
    if buf[i] == 47:  # pid/
        i -= 1
        while i > start and is_digit(buf[i]):
            i -= 1
    if buf[i] == 45:  # -1
        i -= 1
    return tid if i > start and buf[i] == SPACE else np.int64(-1)


@jit
def perf_prefix(buf, start, end):  # type: ignore[no-untyped-def]
    """Read `name  tid [cpu] time:` as `ftrace_prefix` does; perf prints no flags, so the context is 0."""
    for at in range(start + 2, min(end, start + 100)):
        if buf[at] != 91 or not is_digit(buf[min(at + 1, end - 1)]):
            continue
        cpu, i = read_number(buf, at + 1, end)
        if i >= end or buf[i] != 93:
            continue
        tid = tid_before(buf, start, at)
        if tid < 0:
            continue
        time, after = read_time(buf, skip_spaces(buf, i + 1, end), end)
        if after >= 0:
            return tid, cpu, np.int64(0), time, after
    return np.int64(-1), np.int64(-1), np.int64(0), np.int64(0), -1


@jit
def ftrace_prefix(buf, start, end):  # type: ignore[no-untyped-def]
    """Read `name-pid [cpu] flags time:`; returns (pid, cpu, context, time, place after), place -1 if none.

    A name may hold spaces, dashes and brackets, so the first `[cpu]` counts around which everything fits.
    The context is the third flag (hard interrupt, soft interrupt, task), 0 where there are no flags.
    """
    for at in range(start + 2, min(end, start + 100)):
        if buf[at] != 91 or not is_digit(buf[min(at + 1, end - 1)]):
            continue
        cpu, i = read_number(buf, at + 1, end)
        if i >= end or buf[i] != 93:
            continue
        pid = pid_before(buf, start, at)
        if pid < 0:
            continue
        flags = skip_spaces(buf, i + 1, end)
        time, after = read_time(buf, flags, end)
        if after >= 0:
            return pid, cpu, np.int64(0), time, after
        i = flags
        while i < end and buf[i] != SPACE:
            i += 1
        time, after = read_time(buf, skip_spaces(buf, i, end), end)
        if after >= 0:
            context = np.int64(buf[flags + 2]) if i - flags >= 4 else np.int64(0)
            return pid, cpu, context, time, after
    return np.int64(-1), np.int64(-1), np.int64(0), np.int64(0), -1


@jit
def page_fields(buf, at, end):  # type: ignore[no-untyped-def]
    """Read pfn, order and the span of gfp_flags, in any order; -1 for what is not there or no number."""
    pfn = order = np.int64(-1)
    gfp_start = gfp_end = np.int64(-1)
    i = at
    while i < end:
        if buf[i] <= SPACE:
            i += 1
            continue
        is_pfn = starts(buf, i, end, _KEY_PFN)
        is_order = not is_pfn and starts(buf, i, end, _KEY_ORDER)
        value, first, stop = np.int64(0), i, i
        if is_pfn or is_order:
            first = i + (4 if is_pfn else 6)
            value, stop = read_number(buf, first, end)
        elif starts(buf, i, end, _KEY_GFP):
            gfp_start = np.int64(i + 10)
        i = stop
        while i < end and buf[i] > SPACE:
            i += 1
        if gfp_start > gfp_end:
            gfp_end = np.int64(i)
        if first < stop == i:  # all of it is a number
            pfn, order = (value, order) if is_pfn else (pfn, value)
    return pfn, order, gfp_start, gfp_end


@jit
def is_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether a line is a frame of a stack (` => function`)."""
    at = skip_spaces(buf, start, end)
    return at + 1 < end and buf[at] == 61 and buf[at + 1] == 62


@jit
def first_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Return where a stack begins: `trace-cmd report` (3.3) puts the first frame on the stack's line."""
    for at in range(start, end - 1):
        if buf[at] == 61 and buf[at + 1] == 62:
            return at
    return end + 1


@jit
def is_perf_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether a line is a frame of perf's (`address symbol+0x10 (object)` after a tab).

    An event's name may be indented with spaces; where tabs were expanded, the object's bracket tells, but
    for events that end in one (`... priority 6 (in-irq)`), which have a time.
    """
    if start == end:
        return False
    last = end - 1
    while last > start and (buf[last] == SPACE or buf[last] == 13):
        last -= 1
    if buf[start] == 9:
        return True
    return buf[start] == SPACE and buf[last] == 41 and perf_prefix(buf, start, end)[4] < 0


@jit
def is_user_frame(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether perf's frame has an address that is not the kernel's, which is 16 digits and begins with ff."""
    at = skip_spaces(buf, start, end)
    i = at
    while i < end and (is_digit(buf[i]) or 97 <= buf[i] <= 102):
        i += 1
    if i == at or i >= end or buf[i] != SPACE:
        return False
    return i - at < 16 or buf[at] != 102 or buf[at + 1] != 102


@jit
def of_allocation(buf, start, end):  # type: ignore[no-untyped-def]
    """Whether a stack is one of `mm_page_alloc`, by its innermost frame; other events may have stacks too."""
    at = skip_spaces(buf, start, end)
    at = skip_spaces(buf, at + 2, end)
    stop = at
    while stop < end and buf[stop] > SPACE and buf[stop] != 43:
        stop += 1
    for word in (_TRACEITER, _RAW_EVENT, _PERF_TRACE):
        if starts(buf, at, stop, word):
            return stop - at == len(word) + len(_PAGE_ALLOC) and starts(
                buf, at + len(word), stop, _PAGE_ALLOC
            )
    return not (starts(buf, at, stop, _FREE_) or starts(buf, at, stop, _FREE__))


@jit
def belongs_to_stack(buf, start, end, form):  # type: ignore[no-untyped-def]
    """Whether a line is a frame of a stack."""
    if form == FORM_FTRACE:
        return is_frame(buf, start, end)
    if form == FORM_PERF:
        return is_perf_frame(buf, start, end)
    return start < end and (buf[start] == SPACE or buf[start] == 9)
