"""A tracing instance of our own: what is switched on in tracefs, and that it is switched off again.

Everything happens in `instances/pba-<pid>`, so that nobody else's tracing is touched and one `rmdir`
removes it all. No function tracer, no probes, no BPF: event filters and `stacktrace` triggers only.

Source: Documentation/trace/ftrace.rst ("Instances", "Per-CPU"), Documentation/trace/events.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from pba.errors import OutputError, RecordError, option
from pba.recording.ringbuffer import EventFormat

ROOT_HINT: Final = "run as root (or with CAP_SYS_ADMIN, CAP_SYSLOG and access to tracefs)"
PREFIX: Final = "pba-"
PIPE_BYTES: Final = 1 << 20
POLL_MS: Final = 100
LOST: Final = ("overrun", "commit overrun", "dropped events")
"""The counts of a buffer's `stats` that say what is not in it."""
CLOCK: Final = "mono"
"""`CLOCK_MONOTONIC`: one time for all CPUs, and the same that `time.monotonic_ns()` reads."""


def tracing_folder(mounts: str = "") -> Path:
    """Return where tracefs is mounted.

    Parameters
    ----------
    mounts : str, optional
        Text of `/proc/mounts`; read by default.

    Raises
    ------
    RecordError
        If it is not.
    """
    for line in (mounts or Path("/proc/mounts").read_text()).splitlines():
        _, where, kind, *_ = line.split()
        if kind == "tracefs":
            return Path(where)
    raise RecordError(
        "tracefs is not mounted, so this machine cannot be recorded",
        "as root: mount -t tracefs nodev /sys/kernel/tracing",
    )


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the kernel refuses into a `RecordError`."""
    try:
        yield
    except PermissionError as error:
        raise RecordError(f"no permission to {what} ({error.filename})", ROOT_HINT) from error
    except FileNotFoundError as error:
        raise RecordError(
            f"cannot {what}: this kernel has no {error.filename}", "it needs CONFIG_EVENT_TRACING"
        ) from error
    except OSError as error:
        hint = f"use a smaller {option('buffer_mib')}" if error.errno == errno.ENOMEM else ROOT_HINT
        raise RecordError(f"cannot {what}: {error.strerror} ({error.filename})", hint) from error


class Instance:
    """A tracing instance, removed when the `with` block is left, however it is left.

    Parameters
    ----------
    root : Path
        Where tracefs is mounted.
    buffer_kib : int
        Size of each CPU's buffer in KiB.
    """

    def __init__(self, root: Path, buffer_kib: int) -> None:
        self.root = root
        self.path = root / "instances" / f"{PREFIX}{os.getpid()}"
        self.buffer_kib = buffer_kib

    def __enter__(self) -> Instance:
        with explained("trace in an instance of its own"):
            remove_stale(self.root)
            self.path.mkdir()
        try:
            with explained("set up tracing"):
                self.write("tracing_on", "0")
                self.write("trace_clock", CLOCK)
                self.write("buffer_size_kb", str(self.buffer_kib))
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def write(self, name: str, text: str) -> None:
        """Write one of the instance's files."""
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def format(self, event: str) -> EventFormat:
        """Return the format of an event such as `kmem/mm_page_alloc`, or of `header_page`."""
        path = self.path / "events" / event
        with explained("read the format of an event"):
            return EventFormat.parse((path / "format" if path.is_dir() else path).read_text())

    def enable(self, event: str, filter_: str = "", *, stack: str | None = None) -> None:
        """Switch an event on, filtered, and with a stack behind each one as `stack` says ("": all)."""
        with explained(f"trace {event}"):
            if filter_:
                self.write(f"events/{event}/filter", filter_)
            if stack is not None:
                self.write(f"events/{event}/trigger", f"stacktrace if {stack}" if stack else "stacktrace")
            self.write(f"events/{event}/enable", "1")

    def cpus(self) -> list[int]:
        """Return the CPUs that have a buffer."""
        found = (re.fullmatch(r"cpu(\d+)", entry.name) for entry in (self.path / "per_cpu").iterdir())
        return sorted(int(match[1]) for match in found if match)

    def lost_events(self) -> dict[int, int]:
        """Return how many events each CPU's buffer had no room for."""
        lost = {}
        for cpu in self.cpus():
            lines = (self.path / f"per_cpu/cpu{cpu}/stats").read_text().splitlines()
            values = dict(line.split(":", 1) for line in lines if ":" in line)
            lost[cpu] = sum(int(values.get(name, 0)) for name in LOST)
        return lost

    def remove(self) -> None:
        """Switch tracing off and remove the instance; events, filters and triggers go with it."""
        if self.path.is_dir():
            with contextlib.suppress(OSError):
                self.write("tracing_on", "0")
            with explained("remove the tracing instance"):
                self.path.rmdir()


def stale(root: Path) -> list[Path]:
    """Return the instances of recorders that were killed, those that had our own pid too.

    In a container pids are few and come again soon.
    """
    found = []
    for path in sorted((root / "instances").glob(f"{PREFIX}*")):
        number = path.name.removeprefix(PREFIX)
        if number == str(os.getpid()) or (number.isdigit() and not Path("/proc", number).exists()):
            found.append(path)
    return found


def remove_stale(root: Path) -> list[Path]:
    """Remove the instances of killed recorders and return which; the kernel keeps what is in use."""
    removed = []
    for path in stale(root):
        with contextlib.suppress(OSError):
            path.rmdir()
            removed.append(path)
    return removed


def _nameless_file(folder: Path) -> IO[bytes]:
    """Return a temporary file that is gone when it is closed, or when this process is."""
    try:
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError as error:
        reason = f"{folder}: the recording's temporary file cannot be made there: {error.strerror}"
        raise OutputError(reason, "write to another folder") from error


class PageReader(threading.Thread):
    """Moves one CPU's pages from the kernel to a temporary file without copying them (`splice`).

    Parameters
    ----------
    instance : Instance
        Whose buffer.
    cpu : int
        Which one.
    folder : Path
        Where the file lies; it has no name, so nothing is left of it whatever happens.
    page_bytes : int
        Size of a page of the buffer.
    """

    def __init__(self, instance: Instance, cpu: int, folder: Path, page_bytes: int) -> None:
        super().__init__(name=f"trace-cpu{cpu}", daemon=True)
        self.page_bytes = page_bytes
        self.error: OSError | None = None
        self.bytes_read = 0
        self._ending = threading.Event()
        with contextlib.ExitStack() as undo:
            self.file: IO[bytes] = undo.enter_context(_nameless_file(folder))
            raw = instance.path / f"per_cpu/cpu{cpu}/trace_pipe_raw"
            self._source = os.open(raw, os.O_RDONLY | os.O_NONBLOCK)
            undo.pop_all()

    def run(self) -> None:
        """Read until told to end; then what is left."""
        try:
            with self._pipe() as (pipe_out, pipe_in):
                poll = select.poll()
                poll.register(self._source, select.POLLIN)
                while not self._ending.is_set():
                    poll.poll(POLL_MS)
                    self._move_pages(pipe_out, pipe_in)
                self._move_pages(pipe_out, pipe_in)
            self._copy_rest()
        except OSError as error:
            self.error = error
        finally:
            os.close(self._source)

    @contextlib.contextmanager
    def _pipe(self) -> Iterator[tuple[int, int]]:
        """Make a pipe that holds many pages."""
        import fcntl

        pipe_out, pipe_in = os.pipe()
        try:
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe_in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            yield pipe_out, pipe_in
        finally:
            os.close(pipe_out)
            os.close(pipe_in)

    def _move_pages(self, pipe_out: int, pipe_in: int) -> None:
        """Move all pages that are full."""
        flags = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
        while True:
            try:
                waiting = os.splice(self._source, pipe_in, PIPE_BYTES, flags=flags)
            except BlockingIOError:
                return
            if waiting == 0:
                return
            while waiting:
                moved = os.splice(pipe_out, self.file.fileno(), waiting, flags=os.SPLICE_F_MOVE)
                waiting -= moved
                self.bytes_read += moved

    def _copy_rest(self) -> None:
        """Copy the pages that are not full, after the tracing has ended."""
        while True:
            try:
                data = os.read(self._source, self.page_bytes)
            except BlockingIOError:
                return
            if not data:
                return
            data = data.ljust(self.page_bytes, b"\0")
            while data:
                written = self.file.write(data)
                self.bytes_read += written
                data = data[written:]

    def end(self) -> None:
        """Tell it to end, and wait until it has."""
        self._ending.set()
        if self.is_alive():
            self.join()

    def __enter__(self) -> PageReader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self.file.close()
