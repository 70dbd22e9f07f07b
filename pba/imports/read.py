"""Reading a trace of any supported form, found by its content and not by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pba.errors import TraceError, option
from pba.trace.corpus import resolve
from pba.trace.forms.opening import HEAD_BYTES, open_stream
from pba.trace.forms.piped import reads_pipes
from pba.trace.table import Trace, refuse_unknown_frees

if TYPE_CHECKING:
    from pba.imports.ftrace import Options
    from pba.trace.forms.blocks import Blocks

FORMS = (
    "expected Parquet, the text form ('1500 A 7'), CSV, text of ftrace (also systrace's), perf script or "
    "bpftrace; plain, .gz, .xz or .zst"
)


@reads_pipes
def read_trace(path: str | Path, *, strict: bool = False) -> Trace:
    """Read a trace: Parquet, the text form, CSV, or event text; plain or compressed.

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


def as_trace(given: Trace | str | Path) -> Trace:
    """Return a trace as it is; read it if its file or the name of a recording is given (`read_trace`)."""
    return given if isinstance(given, Trace) else read_trace(given)


@reads_pipes
def read_any(path: str | Path, **options: Unpack[Options]) -> Trace:
    """Read any form; what is told about a recording in event text is added to traces of other forms."""
    path = resolve(path)
    reader, tells_itself = _reader(path)
    if not tells_itself:
        return reader(path, **options)
    if options.get("background"):
        raise TraceError(
            f"is not event text of a kernel, which alone holds what {option('background')} asks for",
            f"import it without {option('background')}",
            path=path,
        )
    names = ("page_size_kib", "memory_pages", "kernel", "architecture", "name")
    told: dict[str, Any] = {name: options.get(name) for name in names if options.get(name)}
    trace = reader(path)
    return replace(trace, metadata=trace.metadata.with_(**told))


@reads_pipes
def read_blocks(path: str | Path) -> Blocks:
    """Return a trace as blocks of events: a stored one as they are read, another after it has been read.

    Parameters
    ----------
    path : str or Path
        As for `read_trace`.

    Raises
    ------
    TraceError
        As `read_trace`; for a stored trace whose events contradict each other, while its blocks are read.
    """
    from pba.trace.forms import blocks, parquet

    path = resolve(path)
    reader, _ = _reader(path)
    return blocks.parquet_blocks(path) if reader is parquet.read_parquet else blocks.blocks_of(reader(path))


def _read(path: Path, strict: bool) -> Trace:
    """Find a file's form and read it; the text form checks `strict` itself, as it knows the line."""
    from pba.trace.forms.text import read_text

    reader, _ = _reader(path)
    return reader(path, strict=strict) if reader is read_text else reader(path)


def _reader(path: Path) -> tuple[Callable[..., Trace], bool]:
    """Return what reads a file, and whether its form tells of the machine (event text does not).

    The forms whose first line tells them go first: a line of event text may stand anywhere in a head.
    """
    with open_stream(path) as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise TraceError("is empty", FORMS, path=path)
    if head.startswith(b"PAR1"):
        from pba.trace.forms.parquet import read_parquet

        return read_parquet, True

    from pba.imports import bpftrace, ftrace, perf
    from pba.trace.forms import csv as csv_form
    from pba.trace.forms import text

    if text.sniff(head):
        return text.read_text, True
    if csv_form.sniff(head):
        return csv_form.read_csv, True
    if bpftrace.sniff(head):
        return bpftrace.read_bpftrace, False
    if ftrace.sniff(head):
        return ftrace.read_ftrace, False
    if perf.sniff(head):
        return perf.read_perf, False
    raise TraceError("is not a trace in a form that pba knows", FORMS, path=path)
