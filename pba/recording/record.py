"""Recording this machine: page-table pages as they come and go, and memory pressure, system-wide.

Nothing but event filters and stack triggers is used, in a tracing instance of our own, which is removed
however the recording ends. The kernel's own list of page tables (`/proc/kpageflags`) is read at the start,
so that later frees of older pages are known, and at the end, so that the recording can be held against it.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import numpy as np

from pba.errors import RecordError, option
from pba.files import abandoned, refuse_overwrite
from pba.recording import callsites
from pba.recording.buffers import default_buffer_mib, lost_words
from pba.recording.described import describe_machine
from pba.recording.group import Group, Guard
from pba.recording.held import Count, HeldAgainstTruth, hold_against, hold_against_counts, live_after, witness
from pba.recording.kallsyms import Symbols
from pba.recording.kpageflags import Snapshot
from pba.recording.ringbuffer import KEEP_NONE
from pba.recording.tracefs import Instance, PageReader, explained, stale, tracing_folder
from pba.recording.tracing import (
    ALLOC,
    SHRINK,
    SHRINK_END,
    Allocations,
    Collector,
    Formats,
    gather,
    pages_in,
    with_chunks,
)
from pba.trace.forms.writing import ENDINGS, refuse_unknown_form
from pba.trace.metadata import Metadata, Quality
from pba.trace.table import Trace
from pba.tracepoints.assemble import assemble
from pba.tracepoints.background import Orders

SETTLE_S: Final = 0.5
"""After the command: freed tables leave in RCU batches, some hundred ms late."""
STEP_S: Final = 0.2
END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class RecordingProgress:
    """How a recording stands, for a live line.

    Attributes
    ----------
    elapsed_s : float
        Since tracing was switched on.
    events, shrinker_lines, lost_events : int
        So far.
    live_pages : int
        Page-table pages now, as the kernel counts them (`nr_page_table_pages`, which costs nothing to ask).
    """

    elapsed_s: float
    events: int
    live_pages: int
    shrinker_lines: int
    lost_events: int


@dataclass(frozen=True)
class Recorded:
    """What `record` made.

    Attributes
    ----------
    path : Path
        The file written.
    trace : Trace
        What is in it.
    exit_status : int or None
        Of the command, as a shell reports it; None where there was none.
    ended_by : str
        `command`, `duration`, or the name of the signal.
    """

    path: Path
    trace: Trace
    exit_status: int | None
    ended_by: str


def record(
    out: Path,
    command: Sequence[str] = (),
    *,
    duration_s: float | None = None,
    force: bool = False,
    buffer_mib: int | None = None,
    background: Orders | None = None,
    show: Callable[[RecordingProgress], None] | None = None,
) -> Recorded:
    """Record this machine while a command runs, for a time, or until a signal.

    Parameters
    ----------
    out : Path
        The trace to write; its ending says in which form.
    command : sequence of str, optional
        Program and arguments; the whole system is recorded, not only this command. It runs in a process
        group of its own, and what is left of the group at the end is ended.
    duration_s : float, optional
        Longest time in seconds; the command is then asked to end.
    force : bool, optional
        Whether `out` may exist already.
    buffer_mib : int, optional
        Buffer of each CPU in MiB; by default `default_buffer_mib`.
    background : Orders, optional
        Record the rest of the system's demand too, chunks of these orders; see `pba.tracepoints.background`.
    show : callable, optional
        Called a few times a second while recording.

    Raises
    ------
    RecordError
        If this machine cannot be recorded, or the command cannot be started.
    OutputError
        If `out` exists, names no form of a trace, or cannot be written.
    """
    out = Path(out)
    refuse_unknown_form(out)
    refuse_overwrite(out, force)
    if duration_s is not None and not duration_s > 0:
        raise RecordError(
            f"{option('duration_s', duration_s, '--duration')} is out of range", "give a time above 0 s"
        )
    command = _resolve(command)
    buffer_mib = buffer_mib or default_buffer_mib()
    root = tracing_folder()
    symbols = Symbols.read()
    with ExitStack() as stack:
        request = _Request(command, duration_s, buffer_mib, background, show)
        captured = _capture(stack, root, out.parent, request)
        trace = _make_trace(captured, symbols, _short_name(out), background)
    trace.write(out, force=force)
    return Recorded(out, trace, captured.exit_status, captured.ended_by)


def clean_up(folder: Path) -> list[Path]:
    """Remove what killed recorders left: their tracing instances, and half-written files in a folder.

    What a live process owns is not touched: both bear their owner's pid.

    Raises
    ------
    RecordError
        If there is something that cannot be removed.
    """
    removed = []
    for path in [*stale(tracing_folder()), *abandoned(folder)]:
        with (
            explained("remove what a killed recorder left"),
            suppress(FileNotFoundError),
        ):  # another removed it
            path.unlink() if path.is_file() else path.rmdir()
            removed.append(path)
    return removed


def _short_name(out: Path) -> str:
    """Return a file's name without the ending that says its form."""
    ending = next(ending for ending in ENDINGS if out.name.endswith(ending))
    return out.name.removesuffix(ending)


def _resolve(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command, after a look whether there is such a program."""
    if command and shutil.which(command[0]) is None:
        raise RecordError(f"{command[0]}: no such program", "check its name, or give its path after --")
    return tuple(command)


class _Request(NamedTuple):
    """What `record` was asked for."""

    command: tuple[str, ...]
    duration_s: float | None
    buffer_mib: int
    background: Orders | None
    show: Callable[[RecordingProgress], None] | None


@dataclass(frozen=True)
class _Captured:
    """What a recording leaves behind; the readers' files live as long as their `ExitStack`."""

    collector: Collector
    start: Snapshot
    end: Snapshot
    counts: tuple[Count, Count]
    before: Metadata
    lost: dict[int, int]
    buffer_mib: int
    exit_status: int | None
    ended_by: str


def _capture(stack: ExitStack, root: Path, folder: Path, request: _Request) -> _Captured:
    """Trace while the command runs; the tracing instance is gone when this returns.

    Signals are noted from before the instance is made until it is gone, so that none leaves it behind.
    """
    before = describe_machine()
    with ExitStack() as running:
        ending = running.enter_context(_ended_by_signals())
        guard = running.enter_context(Guard.start())
        instance = running.enter_context(Instance(root, request.buffer_mib * 1024))
        formats = Formats.read(instance)
        readers = []
        for cpu in instance.cpus():
            with explained("read the trace buffers"):
                reader = stack.enter_context(PageReader(instance, cpu, folder, formats.page_bytes))
            running.callback(reader.end)  # an instance that is being read cannot be removed
            readers.append(reader)
        collector = Collector(formats, readers)
        collector.warm_up()
        watch = _Watch(instance, collector, request.show)
        formats.switch_on(instance, request.background)
        start, count = Snapshot.take(), Count.take()
        status, ended_by = _run(request, guard, ending, watch)
        with witness():
            time.sleep(SETTLE_S)
            end, counts = Snapshot.take(), (count, Count.take())
        time.sleep(SETTLE_S)
        instance.write("tracing_on", "0")
        lost = instance.lost_events()
        for reader in readers:
            reader.end()
        watch.step()
    return _Captured(collector, start, end, counts, before, lost, request.buffer_mib, status, ended_by)


class _Watch:
    """Keeps the decoding up with the recording, looks for trouble, and reports."""

    def __init__(
        self, instance: Instance, collector: Collector, show: Callable[[RecordingProgress], None] | None
    ) -> None:
        self.instance = instance
        self.collector = collector
        self.show = show
        self.started = time.monotonic()

    def step(self) -> None:
        """Decode what has come, report, and raise if a reader failed."""
        for reader in self.collector.readers:
            if reader.error is not None:
                reason = reader.error.strerror or str(reader.error)
                raise RecordError(
                    f"the recording's temporary file cannot be written: {reason}",
                    "free some space in the folder of the output, or write elsewhere",
                ) from reader.error
        self.collector.advance()
        if self.show is not None:
            elapsed = time.monotonic() - self.started
            lost = sum(self.instance.lost_events().values())
            lines = self.collector.count(SHRINK)
            live = Count.take(refresh=False).pages
            self.show(RecordingProgress(elapsed, self.collector.events, live, lines, lost))


@contextmanager
def _ended_by_signals() -> Iterator[list[signal.Signals]]:
    """Note the signals that ask to end, instead of dying of them (under `nohup` SIGHUP asks for nothing)."""
    got: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        got.append(signal.Signals(number))

    if threading.current_thread() is not threading.main_thread():
        yield got  # signals reach the main thread only
        return
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    before = {number: signal.signal(number, note) for number in END_SIGNALS if number not in ignored}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(
    request: _Request, guard: Guard, ending: list[signal.Signals], watch: _Watch
) -> tuple[int | None, str]:
    """Run the command, or wait; return its exit status and what ended the recording."""
    command, duration_s = request.command, request.duration_s
    deadline = time.monotonic() + duration_s if duration_s is not None else float("inf")
    if ending:  # while tracing was set up
        return 128 + ending[0] if command else None, ending[0].name
    try:
        group = Group.start(command) if command else None
        if group is not None:
            guard.watch(group)
    except OSError as error:
        reason = f"{command[0]}: cannot be started: {error.strerror}"
        raise RecordError(reason, "check the command") from error
    try:
        while True:
            watch.step()
            if ending:
                return group.end(ending[0]) if group else None, ending[0].name
            if group is not None and group.has_ended():
                return group.end(signal.SIGTERM), "command"
            if time.monotonic() >= deadline:
                return group.end(signal.SIGTERM) if group else None, "duration"
            time.sleep(min(STEP_S, max(0.0, deadline - time.monotonic())))
    except BaseException:
        if group is not None:
            group.end(signal.SIGTERM)
        raise


def _make_trace(captured: _Captured, symbols: Symbols, name: str, background: Orders | None) -> Trace:
    """Decode the frees, match everything, and hold the result against the kernel's own list."""
    collector = captured.collector
    allocations = Allocations.classify(
        collector.rows(ALLOC), collector.names_of_stacks(symbols), collector.formats.gfp
    )
    stacks = collector.stacks.frames[: int(collector.stacks.used[0])]
    visits, rule = callsites.recorded_visits(
        collector.rows(SHRINK), collector.rows(SHRINK_END), stacks, symbols
    )
    keep = pages_in(np.union1d(allocations.pages(), captured.start.pfns))
    if background:
        keep = with_chunks(keep, allocations, background)
    frees = collector.frees(keep, background.lowest if background else KEEP_NONE)
    everything = gather(allocations, frees, visits, keep)
    live, raw = live_after(captured.start, everything)
    quality = Quality(lost_events=sum(captured.lost.values()), visits_rule=rule if len(visits) else "")
    trace = assemble(
        raw,
        captured.before.with_(name=name, quality=quality),
        live_at_start=live,
        start_ns=captured.start.end_ns,
        background=background,
        early=everything.first(len(everything) - len(raw)),
    )
    held = hold_against(trace, captured.end)
    notes = (*visits.notes, *_notes(captured, allocations, held))
    counted = hold_against_counts(trace, *captured.counts)
    quality = replace(trace.metadata.quality, truth=held.truth, counted=counted, notes=notes)
    return replace(trace, metadata=trace.metadata.with_(quality=quality))


def _notes(captured: _Captured, allocations: Allocations, held: HeldAgainstTruth) -> Iterator[str]:
    """Say what a reader of figures should know, one sentence each."""
    yield from held.notes()
    if allocations.without_stack:
        yield f"{allocations.without_stack} allocations have no stack and are left out"
    lost = {cpu: count for cpu, count in captured.lost.items() if count}
    if lost:
        yield lost_words(
            captured.buffer_mib, lost, dict(zip(captured.lost, captured.collector.events_of, strict=True))
        )
    if captured.ended_by.startswith("SIG"):
        yield f"the recording was ended by {captured.ended_by}"
    if captured.exit_status:
        yield f"the recorded command ended with exit status {captured.exit_status}"


__all__ = ["Recorded", "RecordingProgress", "clean_up", "record"]
