"""The text of `perf script` (x86 and arm64) as a trace.

Its events are the ones that ftrace prints, its lines another form of them: `ftrace_scan` reads both, and
`ftrace` says what they mean. A stack stands right after its event; its part in user space is cut off.

Frees can be missing though perf reports nothing lost: in a recording with perf 6.1, 93 of 10,045 allocations
took a page whose free was not there. For page tables they are counted as inferred frees.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Unpack

from pba.imports import scan_lines
from pba.imports.ftrace import Form, Options, read_events
from pba.trace.table import Trace

EXPECTED: Final = "lines like 'name 12 [000] 1.234567: kmem:mm_page_free: page=0x1a pfn=0x1a order=0'"
STACKS_HINT: Final = (
    "record with: perf record -a -g -e kmem:mm_page_alloc -e kmem:mm_page_free (or pba record)"
)

_LINE: Final = re.compile(
    rb"^ *\S[^\n]{0,60}?[ ]+(?:\d+/)?-?\d+ +\[\d+\] +\d+\.\d+: +[\w-]+:[\w-]+: ", re.MULTILINE
)
_CPU: Final = re.compile(rb"\[\d+\]")
_KERNEL_ADDRESS: Final = re.compile(r"^\s*(?:ff[0-9a-f]{14}\s+)?")


def _is_frame(line: bytes) -> bool:
    """Whether the beginning of a line is a frame's: a tab, or spaces (tabs were expanded) and no `[cpu]`."""
    return line.startswith(b"\t") or (line.startswith(b" ") and not _CPU.search(line))


def _frames(text: str) -> list[str]:
    """Return the functions of a stack, without the addresses before them."""
    return [_KERNEL_ADDRESS.sub("", line) for line in text.split("\n")]


PERF: Final = Form(
    name="perf",
    code=scan_lines.FORM_PERF,
    is_frame=_is_frame,
    frames=_frames,
    expected=EXPECTED,
    stacks_hint=STACKS_HINT,
    note="perf can miss frees without telling: pages may seem to live longer than they did",
)


def sniff(head: bytes) -> bool:
    """Say whether the beginning of a file looks like the output of `perf script`."""
    return b"\0" not in head and bool(_LINE.search(head))


def read_perf(path: str | Path, **options: Unpack[Options]) -> Trace:
    """Read the output of `perf script`, plain or compressed.

    The recording must hold `kmem:mm_page_alloc` with stacks and `kmem:mm_page_free`, of all CPUs:

        perf record -a -g -e kmem:mm_page_alloc -e kmem:mm_page_free -e vmscan:mm_shrink_slab_start

    Parameters
    ----------
    path : str or Path
        The file.
    **options
        What is known about the recording, see `pba.imports.ftrace.Options`.

    Returns
    -------
    Trace
        Time 0 is the first line's. Events that perf lost count where it prints them
        (`perf script --show-lost-events`).

    Raises
    ------
    TraceError
        If there is no such file, or it is empty, is not `perf script`'s, or has no allocations or no stacks.
    """
    return read_events(path, PERF, options)
