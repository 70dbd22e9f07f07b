"""`pba record`: record this machine's page tables while a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pba.trace.record import Progress, Recording


def _print_bpftrace(wanted: bool) -> None:
    """Print the bpftrace program and leave, where `--print-bpftrace` is given."""
    if wanted:
        from pba.trace.bpftrace import program

        print(program(), end="")
        raise typer.Exit


def record(
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Trace to write: .parquet, or .events[.gz] without levels and page frames.",
        ),
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="Program to run; the recording ends with it."),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(metavar="S", min=0.1, help="Longest time to record, in seconds."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    buffer_mib: Annotated[
        int, typer.Option(metavar="MIB", min=1, max=4096, help="Trace buffer of each CPU, in MiB.")
    ] = 32,
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            help="Record the rest of the system's demand too (B and b events), so that a replay sees "
            "memory as fragmented as it was.",
        ),
    ] = False,
    background_orders: Annotated[
        str | None,
        typer.Option(
            metavar="LOW-HIGH",
            help="Orders of the chunks that --background records; all but single pages unless told. 0-13 is "
            "every page: a hundred times the events, about 0.8 MB of file a second of a busy machine.",
        ),
    ] = None,
    _program: Annotated[
        bool,
        typer.Option(
            "--print-bpftrace",
            callback=_print_bpftrace,
            is_eager=True,
            help="Print a bpftrace program for a machine without pba, and exit. It says how to run it; "
            "pba import reads its output.",
        ),
    ] = False,
) -> None:
    """Record this machine's page tables and memory pressure, system-wide (as root).

    Recorded are the page-table pages that are allocated and freed, by page
    frame and level, and the passes of the shrinkers; no names of programs, no
    addresses. With --background also what the rest of the system allocates and
    frees, so that fragmentation is the recorded one; a chunk that is freed in
    pieces counts as held until its last page is. The recording ends with the
    command, after the given time, or on Ctrl-C. It uses a tracing instance of
    its own and cleans up after itself.
    """
    from pba.trace.background import chosen_orders
    from pba.trace.record import record as record_machine

    on_terminal = sys.stderr.isatty()
    try:
        recording = record_machine(
            out,
            command or (),
            duration_s=duration,
            force=force,
            buffer_mib=buffer_mib,
            background=chosen_orders(background, background_orders),
            show=_show if on_terminal else None,
        )
    finally:
        if on_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    print(summarize(recording), file=sys.stderr)


def _show(progress: Progress) -> None:
    """Draw the live line."""
    rate = progress.events / max(progress.elapsed_s, 0.1)
    line = (
        f"recording {progress.elapsed_s:.0f} s, {rate:,.0f} events/s, "
        f"{progress.shrinker_lines} shrinker lines, Ctrl-C ends it"
    )
    if progress.lost_events:
        line += f", {progress.lost_events} LOST"
    print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def summarize(recording: Recording) -> str:
    """Return what was recorded, and how far it can be trusted, in a few lines."""
    from pba.cli.info import background_words
    from pba.trace.store import TEXT_LOSES

    trace = recording.trace
    quality, counts = trace.metadata.quality, trace.counts()
    lines = [
        f"{recording.path}: {trace.metadata.duration_ns / 1e9:.1f} s, {counts['A']} page tables allocated "
        f"({quality.live_at_start} before the start), {counts['F']} freed, {counts['S']} shrinker passes"
    ]
    if quality.truth is not None:
        lines.append(
            f"held against the kernel's list: recall {100 * quality.truth.recall:.2f} %, precision "
            f"{100 * quality.truth.precision:.2f} % of {quality.truth.true_pages} page tables at the end"
        )
    if quality.background is not None:
        lines.append(f"{counts['B']} background chunks: {background_words(quality.background)}")
    lines.append(f"lost events: {quality.lost_events}, frees inferred: {quality.inferred_frees}")
    lines += [f"note: {note}" for note in quality.notes]
    if recording.path.suffix != ".parquet":
        lines.append(f"note: {TEXT_LOSES}")
    if recording.exit_status is not None:
        lines.append(f"the command ended with exit status {recording.exit_status}")
    return "\n".join(lines)
