"""The output of our own bpftrace program (`page_tables.bt`, `pba record --print-bpftrace`) as a trace.

Its lines are like those of `perf script`: `ftrace_scan` reads both, and `ftrace` says what they mean. The
program says why it asks what it asks. bpftrace prints what CPUs did up to 0.1 s out of order.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Final, Unpack

from pba.errors import TraceError
from pba.imports import scan_lines
from pba.imports.ftrace import Form, Options, read_events
from pba.trace.forms.opening import HEAD_BYTES, open_stream
from pba.trace.table import Trace

VERSION: Final = 1
"""The format that the program's first line names."""
EXPECTED: Final = "lines like 'task 12 [000] 1.234567890: kmem:mm_page_free: pfn=0x1a order=0'"
STACKS_HINT: Final = "record again with the program of pba record --print-bpftrace"

_HEADER: Final = re.compile(rb"^# pba bpftrace (\d{1,9})\s*$", re.MULTILINE)

BPFTRACE: Final = Form(
    name="bpftrace",
    code=scan_lines.FORM_BPFTRACE,
    is_frame=lambda line: line.startswith((b" ", b"\t")),
    frames=lambda text: text.split("\n"),
    expected=EXPECTED,
    stacks_hint=STACKS_HINT,
    stacks_always=True,
)


def program() -> str:
    """Return the bpftrace program."""
    return files("pba.imports").joinpath("page_tables.bt").read_text(encoding="utf-8")


def sniff(head: bytes) -> bool:
    """Say whether the beginning of a file is our program's output."""
    return _HEADER.search(head) is not None


def read_bpftrace(path: str | Path, **options: Unpack[Options]) -> Trace:
    """Read the output of our bpftrace program, plain or compressed.

    Parameters
    ----------
    path : str or Path
        The file.
    **options
        What is known about the recording, see `pba.imports.ftrace.Options`.

    Returns
    -------
    Trace
        Time 0 is the first event's. Lost events are those that bpftrace reports, or, where there are more,
        those that the program sent and that are not there.

    Raises
    ------
    TraceError
        If there is no such file, or it is empty, is not the program's output, was written by a later version
        of it, or has no allocations.
    """
    with open_stream(path) as stream:
        header = _HEADER.search(stream.read(HEAD_BYTES))
    if header and int(header[1]) != VERSION:
        raise TraceError(
            f"is output of version {int(header[1])} of pba's bpftrace program",
            f"this pba reads version {VERSION}: use the pba that printed the program",
            path=path,
        )
    return read_events(path, BPFTRACE, options)
