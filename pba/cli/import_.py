"""`pba import`: bring a recording made elsewhere into pba's own form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.options import AsJson
from pba.printable import printable
from pba.units import number, parse_memory, parse_page_size

if TYPE_CHECKING:
    from pba.trace.table import Trace


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="Text of ftrace (trace, trace_pipe, trace-cmd report, systrace, atrace), perf script or "
            "the program of pba record --print-bpftrace; CSV; or any trace. Plain, .gz, .xz or .zst. - is "
            "the standard input.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where to write: .parquet, or .events[.gz] without levels and page frames.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    page_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Base page of the recorded machine: 4, 16 or 64 (KiB).")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Its memory, such as 1GiB; needs --page-size.")
    ] = None,
    kernel: Annotated[str, typer.Option(metavar="RELEASE", help="Its kernel's release.")] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Short name, instead of the file's.")] = "",
    gfp_zero: Annotated[
        str, typer.Option(metavar="BIT", help="__GFP_ZERO of its kernel, where flags are printed as numbers.")
    ] = "0x100",
    note: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="What a reader should know; may be repeated.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="MAP",
            help="IN is CSV: which column is which, as time=ts,op=kind,id=page; also arg= (priority, order), "
            "level= and pfn=. Ops are letters or alloc, free, shrink, drop, bg_alloc, bg_free.",
        ),
    ] = None,
    time_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="Unit of CSV's times: ns (default), us, ms or s.")
    ] = None,
    one_cgroup: Annotated[
        bool, typer.Option("--one-cgroup", help="It had no memory cgroup but the root: each pass counts.")
    ] = False,
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            help="Take the rest of the system's demand too (B and b events), as pba record --background "
            "does; IN must hold the allocations of these orders and all frees.",
        ),
    ] = False,
    background_orders: Annotated[
        str | None,
        typer.Option(metavar="LOW-HIGH", help="Orders of its chunks; by default all but single pages."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a recording made elsewhere.

    The text of ftrace and of perf says neither page size nor memory: give
    them, so that a replay knows the machine. For perf:
    perf record -a -g -e kmem:mm_page_alloc -e kmem:mm_page_free
    -e vmscan:mm_shrink_slab_start, then perf script > trace.txt.

    Lines of event text that cannot be understood are left out; how many there
    are and which is the first is printed, and stored with the trace.
    """
    from pba.errors import TraceError
    from pba.files import refuse_overwrite
    from pba.imports.read import read_any
    from pba.trace.forms.writing import refuse_unknown_form
    from pba.tracepoints.background import chosen_orders

    refuse_unknown_form(output)
    refuse_overwrite(output, force)
    page_size_kib, memory_pages = machine_options(page_size, memory)
    orders = chosen_orders(background, background_orders)
    if columns is not None or time_unit is not None:
        if orders:
            raise TraceError(
                "--background is of no use with CSV", "its ops say what is background: bg_alloc, bg_free"
            )
        from pba.trace.forms.csv import parse_columns, read_csv
        from pba.trace.metadata import Metadata

        told = Metadata(name=name, kernel=kernel, page_size_kib=page_size_kib, memory_pages=memory_pages)
        mapping = None if columns is None else parse_columns(columns)
        trace = read_csv(source, mapping, time_unit=time_unit or "ns", told=told)
    else:
        trace = read_any(
            source,
            page_size_kib=page_size_kib,
            memory_pages=memory_pages,
            kernel=kernel,
            name=name,
            gfp_zero=one_bit(gfp_zero),
            only_root=one_cgroup,
            background=orders,
        )
    if note:
        quality = replace(trace.metadata.quality, notes=(*trace.metadata.quality.notes, *note))
        trace = replace(trace, metadata=trace.metadata.with_(quality=quality))
    trace.write(output, force=force)
    if as_json:
        from pba.analysis.summary import summarize_trace

        print(json.dumps({"file": str(output), **summarize_trace(trace).to_dict()}, indent=2))
    else:
        print(summarize_import(output, trace))


def summarize_import(output: Path, trace: Trace) -> str:
    """Return what was imported, and how far it can be trusted, in a few lines."""
    from pba.trace.forms.writing import TEXT_LOSES

    counts = trace.counts()
    quality = trace.metadata.quality
    background = f", {number(counts['B'])} background chunks" if quality.background else ""
    lines = [
        f"{printable(output)}: {number(len(trace))} events: {number(counts['A'])} page tables allocated, "
        f"{number(counts['F'])} freed, {number(counts['S'])} shrinker passes{background}; "
        f"{number(quality.lost_events)} events lost, {number(quality.unparsed_lines)} lines left out"
    ]
    lines += [f"note: {note}" for note in quality.notes]
    if output.suffix != ".parquet":
        lines.append(f"note: {TEXT_LOSES}")
    return "\n".join(lines)


def one_bit(text: str) -> int:
    """Return a flag given as a number, which must have one bit set.

    Raises
    ------
    TraceError
        If it has none or several, or is no number.
    """
    from pba.errors import TraceError

    try:
        value = int(text, 0)
    except ValueError:
        raise TraceError(f"--gfp-zero {text!r} is not a number", "write it as 0x100") from None
    if value <= 0 or value & (value - 1):
        raise TraceError(f"--gfp-zero {text} is not one bit", "write it as 0x100")
    return value


def machine_options(page_size: str | None, memory: str | None) -> tuple[int | None, int | None]:
    """Return page size in KiB and memory in pages, where they are given.

    Raises
    ------
    MachineError
        If one is not a size, there is no such page, or memory is given without a page size.
    """
    from pba.errors import MachineError
    from pba.machine import Machine

    if page_size is None:
        if memory is not None:
            raise MachineError("--memory needs --page-size", "memory is stored in pages: add --page-size 4")
        return None, None
    page_size_kib = Machine(parse_page_size(page_size)).page_size_kib
    return page_size_kib, None if memory is None else parse_memory(memory, page_size_kib)
