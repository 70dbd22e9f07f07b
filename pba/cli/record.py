"""`pba record`: record this machine's page tables while a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

if TYPE_CHECKING:
    from pba.recording.record import Progress, Recording


PLAIN_LINE_S: Final = 10.0
"""How often a recording says how it stands where it cannot draw over its line."""


def _print_bpftrace(wanted: bool) -> None:
    """Print the bpftrace program and leave, where `--print-bpftrace` is given."""
    if wanted:
        from pba.imports.bpftrace import program

        print(program(), end="")
        raise typer.Exit


def _clean_up(wanted: bool) -> None:
    """Remove what killed recorders left and leave, where `--cleanup` is given."""
    if wanted:
        from pba.recording.record import clean_up

        for path in (removed := clean_up(Path())):
            print(f"removed {path}")
        if not removed:
            print("nothing to remove")
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
        int | None,
        typer.Option(
            metavar="MIB",
            min=1,
            max=4096,
            help="Trace buffer of each CPU, in MiB. Unless told, a 32nd of the memory shared by all CPUs, "
            "4 to 128 each. Where events are lost, the recording suggests a size.",
            show_default=False,
        ),
    ] = None,
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
    _cleanup: Annotated[
        bool,
        typer.Option(
            "--cleanup",
            callback=_clean_up,
            is_eager=True,
            help="Remove what killed recorders left (tracing instances; half-written files in this folder), "
            "say what, and exit. Live recordings are not touched.",
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
    its own and cleans up after itself; after kill -9, --cleanup does.

    The command runs in a process group of its own, with the terminal, and what
    is left of the group at the end of the recording is ended. The exit status is
    the command's, 128+n if signal n ended it; 0 without a command, and where
    --duration ended it; 2 if the recording failed.
    """
    from pba.recording.record import record as record_machine
    from pba.tracepoints.background import chosen_orders

    live = LiveLine(sys.stderr)
    try:
        recording = record_machine(
            out,
            command or (),
            duration_s=duration,
            force=force,
            buffer_mib=buffer_mib,
            background=chosen_orders(background, background_orders),
            show=live.show,
        )
    finally:
        live.clear()
    print(summarize(recording), file=sys.stderr)
    if recording.exit_status and recording.ended_by != "duration":
        raise typer.Exit(recording.exit_status)


class LiveLine:
    """How the recording stands: one line drawn over and over on a terminal, else a plain one every 10 s."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.on_terminal = stream.isatty()
        self._then = (0.0, 0)

    def show(self, progress: Progress) -> None:
        """Draw or print the line, with the events per second since it was last due."""
        then, events = self._then
        since = progress.elapsed_s - then
        if not self.on_terminal and since < PLAIN_LINE_S:
            return
        rate = (progress.events - events) / max(since, 0.1)
        if since >= (1 if self.on_terminal else PLAIN_LINE_S):
            self._then = (progress.elapsed_s, progress.events)
        line = (
            f"recording {progress.elapsed_s:.0f} s, {rate:,.0f} events/s, {progress.live_pages} page tables, "
            f"{progress.shrinker_lines} shrinker lines, {progress.lost_events} events lost"
        )
        if self.on_terminal:
            print(f"\r\033[K{line}", end="", file=self.stream, flush=True)
        else:
            print(line, file=self.stream, flush=True)

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self.on_terminal:
            print("\r\033[K", end="", file=self.stream, flush=True)


def summarize(recording: Recording) -> str:
    """Return what was recorded, and how far it can be trusted, in a few lines."""
    from pba.cli.info import background_words, counted_words
    from pba.trace.forms.writing import TEXT_LOSES

    trace = recording.trace
    quality, counts = trace.metadata.quality, trace.counts()
    lines = [
        f"{recording.path}: {trace.metadata.duration_ns / 1e9:.1f} s, {counts['A']} page tables allocated "
        f"({quality.live_at_start or 0} before the start), {counts['F']} freed, {counts['S']} shrinker passes"
    ]
    if quality.truth is not None:
        lines.append(
            f"held against the kernel's list: recall {100 * quality.truth.recall:.2f} %, precision "
            f"{100 * quality.truth.precision:.2f} % of {quality.truth.true_pages} page tables at the end"
        )
    if quality.counted is not None:
        lines.append(f"held against the kernel's count: {counted_words(quality.counted)}")
    if quality.background is not None:
        lines.append(f"{counts['B']} background chunks: {background_words(quality.background)}")
    lines.append(f"lost events: {quality.lost_events}, frees inferred: {quality.inferred_frees}")
    lines += [f"note: {note}" for note in quality.notes]
    if recording.path.suffix != ".parquet":
        lines.append(f"note: {TEXT_LOSES}")
    if recording.exit_status is not None:
        lines.append(f"the command ended with exit status {recording.exit_status}")
    return "\n".join(lines)
