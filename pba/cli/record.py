"""`pba record`: record this machine's page tables while a command runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.live import LiveLine
from pba.cli.options import AsJson
from pba.printable import LONGEST_MESSAGE, printable
from pba.units import fine_percent, format_time, number, plural

if TYPE_CHECKING:
    from pba.recording.record import Recorded, RecordingProgress


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
            help="Trace buffer of each CPU, in MiB. By default a 32nd of the memory shared by all CPUs, "
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
            help="Orders of the chunks that --background records; by default all but single pages. 0-13 is "
            "every page: a hundred times the events, about 0.8 MB of file a second of a busy machine.",
        ),
    ] = None,
    as_json: AsJson = False,
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

    live = LiveLine()
    try:
        recording = record_machine(
            out,
            command or (),
            duration_s=duration,
            force=force,
            buffer_mib=buffer_mib,
            background=chosen_orders(background, background_orders),
            show=RecordingLine(live).show,
        )
    finally:
        live.end()
    print(recorded_text(recording), file=sys.stderr)
    if as_json:
        from pba.analysis.summary import summarize_trace

        facts = {"file": str(recording.path), "exit_status": recording.exit_status}
        print(json.dumps({**facts, **summarize_trace(recording.trace).to_dict()}, indent=2))
    if recording.exit_status and recording.ended_by != "duration":
        raise typer.Exit(recording.exit_status)


class RecordingLine:
    """Tells how a recording stands, with the events per second since a second ago or more."""

    def __init__(self, live: LiveLine) -> None:
        self.live = live
        self._then = (0.0, 0)
        self._rate = 0.0
        live.stage("recording", unit="s")

    def show(self, progress: RecordingProgress) -> None:
        """Tell it."""
        then, events = self._then
        since = progress.elapsed_s - then
        if since >= 1:
            self._rate = (progress.events - events) / since
            self._then = (progress.elapsed_s, progress.events)
        note = (
            f"{number(self._rate)} events/s, {plural(progress.live_pages, 'page table')}, "
            f"{plural(progress.shrinker_lines, 'shrinker line')}, "
            f"{plural(progress.lost_events, 'event')} lost"
        )
        self.live.advance(round(progress.elapsed_s), note)


def recorded_text(recording: Recorded) -> str:
    """Return what was recorded, and how far it can be trusted, in a few lines."""
    from pba.cli.info import background_words, counted_words
    from pba.trace.forms.writing import TEXT_LOSES

    trace = recording.trace
    quality, counts = trace.metadata.quality, trace.counts()
    lines = [
        f"{recording.path}: {format_time(trace.metadata.duration_ns)}, "
        f"{plural(counts['A'], 'page table')} allocated "
        f"({number(quality.live_at_start or 0)} before the start), "
        f"{number(counts['F'])} freed, {plural(counts['S'], 'shrinker pass', 'shrinker passes')}"
    ]
    if quality.truth is not None:
        lines.append(
            f"held against the kernel's list: recall {fine_percent(quality.truth.recall)}, precision "
            f"{fine_percent(quality.truth.precision)} of {plural(quality.truth.true_pages, 'page table')} "
            "at the end"
        )
    if quality.counted is not None:
        lines.append(f"held against the kernel's count: {counted_words(quality.counted)}")
    if quality.background is not None:
        lines.append(f"{plural(counts['B'], 'background chunk')}: {background_words(quality.background)}")
    lines.append(f"lost events: {quality.lost_events}, frees inferred: {quality.inferred_frees}")
    lines += [f"note: {note}" for note in quality.notes]
    if recording.path.suffix != ".parquet":
        lines.append(f"note: {TEXT_LOSES}")
    if recording.exit_status is not None:
        lines.append(f"the command ended with exit status {recording.exit_status}")
    return "\n".join(printable(line, LONGEST_MESSAGE) for line in lines)
