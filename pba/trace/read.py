"""Reading a trace of any supported form, found by its content and not by its name."""

from __future__ import annotations

from pathlib import Path

from pba.errors import TraceError
from pba.trace.check import refuse_unknown_frees
from pba.trace.corpus import resolve
from pba.trace.opening import open_stream
from pba.trace.piped import reads_pipes
from pba.trace.table import Trace

HEAD_BYTES = 1 << 16
FORMS = "expected Parquet, the text form ('1500 A 7'), ftrace or perf script text; plain, .gz, .xz or .zst"


@reads_pipes
def read_trace(path: str | Path, *, strict: bool = False) -> Trace:
    """Read a trace: Parquet, the text form, ftrace or `perf script` text, or CSV; plain or compressed.

    Parameters
    ----------
    path : str or Path
        The file, or the name of a recording that comes with pba (`pba.recordings()`); a file goes first. What
        it holds is found by its content. `-` is the standard input; a pipe may hold any form but Parquet.
    strict : bool
        Refuse a trace that frees what is not live, rather than count those frees (`Trace.unknown_frees`).

    Raises
    ------
    TraceError
        If there is no such file or recording, or it holds none of these forms, or its events contradict
        each other.
    """
    path = resolve(path)
    trace = _read(path, strict)
    if strict:
        refuse_unknown_frees(trace, path)
    return trace


def _read(path: Path, strict: bool) -> Trace:
    """Find a file's form and read it; the text form checks `strict` itself, as it knows the line."""
    with open_stream(path) as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise TraceError("is empty", FORMS, path=path)
    if head[:4] == b"PAR1":
        from pba.trace.store import read_parquet

        return read_parquet(path)

    from pba.trace.text import looks_like_text, read_text

    if looks_like_text(head):
        return read_text(path, strict=strict)

    from pba.trace import ftrace, perf

    if ftrace.sniff(head):
        return ftrace.read_ftrace(path)
    if perf.sniff(head):
        return perf.read_perf(path)

    from pba.trace import csv_form

    if csv_form.sniff(head):
        return csv_form.read_csv(path)
    raise TraceError("is not a trace in a form that pba knows", FORMS, path=path)
