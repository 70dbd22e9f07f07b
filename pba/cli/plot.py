"""`pba plot`: draw what is in a trace."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pba.cli.options import AsJson
from pba.cli.traces import open_trace
from pba.units import parse_time

ENDINGS = (".gz", ".xz", ".zst", ".parquet", ".events", ".ftrace", ".txt")
"""What a trace file's name loses where it names a folder."""


def plot(
    trace: Annotated[
        Path,
        typer.Argument(metavar="TRACE", help="A trace file of any form, or the name of a recording of pba."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the figures.", show_default="plots/TRACE"
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="live, rates, phases, lifetimes, bursts, drawdown, passes (all); may be repeated.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Which files: svg, png, csv.")
    ] = "svg,png,csv",
    gap: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="bursts: a run ends where its next event comes later than this, such as 500us.",
            show_default="1ms",
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="drawdown: mark the largest in any window so long, such as 200ms.",
            show_default="1s, the natural cache size",
        ),
    ] = None,
    phases: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="phases: so many equal parts of the time, instead of where the rates change."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files with other contents.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw what is in a trace, before anything is simulated.

    Each figure is written as SVG and PNG, and the data that it shows as CSV. The
    same trace gives the same bytes: figures that are there already stay as they
    are. Files with other contents are replaced with --force alone.
    """
    from pba.errors import PbaError
    from pba.report.outputs import FIGURE_KINDS, write_pictures
    from pba.report.trace_figures import TRACE_PICTURES, trace_pictures

    wanted = tuple(dict.fromkeys(filter(None, (name.strip() for name in formats.split(",")))))
    unknown = [name for name in wanted if name not in FIGURE_KINDS]
    if unknown or not wanted:
        raise PbaError(f"--format {formats!r} is unknown", "list some of svg, png, csv")
    for name in kind or ():
        if name not in TRACE_PICTURES:
            raise PbaError(f"--kind {name!r} is unknown", f"there are {', '.join(TRACE_PICTURES)}")
    settings = settings_from(gap, window, phases)
    given = open_trace(trace)
    pictures, left_out = trace_pictures(given, tuple(kind or ()), settings)
    folder = Path("plots") / stem(trace) if output is None else output
    paths = [str(path) for path in write_pictures(pictures, folder, wanted, force)]
    print(json.dumps({"files": paths, "left_out": left_out}, indent=2) if as_json else "\n".join(paths))
    for line in left_out:
        print(f"pba: {line}", file=sys.stderr)


def settings_from(gap: str | None, window: str | None, phases: int | None) -> dict[str, dict[str, int]]:
    """Return what the options say to each kind of figure.

    Raises
    ------
    PbaError
        If a time cannot be read, a window is empty, or nobody could see so many phases.
    """
    from pba.errors import PbaError
    from pba.report.trace_figures import check_phases

    settings = {}
    if gap is not None:
        settings["bursts"] = {"gap_ns": parse_time(gap, "--gap")}
    if window is not None:
        settings["drawdown"] = {"window_ns": parse_time(window, "--window")}
        if not settings["drawdown"]["window_ns"]:
            raise PbaError(f"--window {window} is not a length of time", "write it as 1s or 200ms")
    if phases is not None:
        check_phases(phases)
        settings["phases"] = {"phases": phases}
    return settings


def stem(trace: Path) -> str:
    """Return a trace's name without folder and endings: `x` of `some/x.events.gz`."""
    name, before = trace.name, ""
    while name != before:
        before = name
        for ending in ENDINGS:
            name = name.removesuffix(ending) or name
    return name
