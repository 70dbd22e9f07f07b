"""Opening what is read, be it a file, a pipe or what can never be a trace; a pipe is read more than once.

A file is opened to look at it, and once more to read it. A pipe cannot be: while a reader of traces is at
work, its first bytes are kept, so that every opening finds them again. Beyond them it streams.

What may be read: files; pipes and terminals, as they come; /dev/null, which is empty. Where nothing comes for
a second (a FIFO that nobody writes to, a terminal at which nobody types, a file of tracefs that waits for
events), a line on standard error says that it is waited for. Refused at once, and not even opened, since
opening some of them does things: folders, sockets, disks, all other devices (/dev/zero would never end), and
/proc/kmsg, whose lines are gone for everyone else once they are read.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, cast

from pba.errors import TraceError

STDIN: Final = Path("/dev/stdin")
KEPT_BYTES: Final = 16 << 20
"""So much of a pipe can be read again; to find a form takes the first 64 KiB, unpacked."""
PATIENCE_MS: Final = 1000
"""So long nothing is said while nothing comes."""
KERNEL_LOG: Final = Path("/proc/kmsg")
NULL: Final = os.makedev(1, 3)
TERMINALS: Final = frozenset((4, 5, *range(136, 144)))
"""Major numbers of terminals: consoles and serial lines, /dev/tty, pseudo-terminals."""
FILES: Final = "name a file, or - for the standard input"

_held: dict[Path, _Pipe] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Pipe:
    """An open pipe and its first bytes."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.kept = bytearray()
        self.is_spent = False

    def read(self, at: int, size: int) -> bytes:
        """Return some bytes from position `at` on, which is in what is kept or where the pipe is."""
        if at < len(self.kept):
            return bytes(self.kept[at : at + size])
        new = self.raw.read(size)
        if not self.is_spent and len(self.kept) + len(new) <= KEPT_BYTES:
            self.kept += new
        elif new:
            self.is_spent = True
            self.kept.clear()
        return new


class _FromStart(io.RawIOBase):
    """A reading of a pipe from its first byte on."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self._pipe.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def opened_raw(path: Path, size: int) -> tuple[BinaryIO, bytes]:
    """Open a file, or a pipe that `reads_pipes` holds, at its first byte; return it and its first bytes.

    Raises
    ------
    TraceError
        If there is no such file, it cannot be opened or can never be a trace; or if so much of a pipe was
        read that its first bytes are gone.
    """
    refuse_what_is_no_trace(path)
    try:
        raw = _from_start(path) or _open_patiently(path)
        head = raw.read(size)
        raw = _from_start(path) or raw
        if raw.seekable():
            raw.seek(0)
    except OSError as error:
        raise _cannot_open(path, error) from error
    return raw, head


def _cannot_open(path: Path, error: OSError) -> TraceError:
    """Say why a file is not opened, and what to do."""
    if isinstance(error, FileNotFoundError):
        return TraceError("no such file", "check the name", path=path)
    return TraceError(f"cannot be opened: {error.strerror or error}", "name a readable file", path=path)


def _from_start(path: Path) -> BinaryIO | None:
    """Return a pipe that is held, from its first byte on; None if the file is not a pipe."""
    pipe = _held.get(path)
    if pipe is None:
        return None
    if pipe.is_spent:
        raise TraceError("is a pipe and cannot be read twice", "write it to a file first", path=path)
    return cast(BinaryIO, io.BufferedReader(_FromStart(pipe)))


def refuse_what_is_no_trace(path: Path) -> None:
    """Raise `TraceError` for what can never be a trace, before it is opened."""
    if path.resolve() == KERNEL_LOG:
        hint = "record with pba record, or name a file"
        raise TraceError("is the kernel's log, which holds no trace and is gone once read", hint, path=path)
    with suppress(OSError):  # what cannot be looked at: to open it says why
        about = path.stat()
        mode, major = about.st_mode, os.major(about.st_rdev)
        kind = ""
        if stat.S_ISSOCK(mode):
            kind = "a socket"
        elif stat.S_ISBLK(mode):
            kind = "a disk"
        elif stat.S_ISCHR(mode) and about.st_rdev != NULL and major not in TERMINALS:
            kind = "a device"
        if kind:
            raise TraceError(f"is {kind}, which can never be a trace", FILES, path=path)


def _open_patiently(path: Path) -> BinaryIO:
    """Open a file whose first byte is there, or its end; say so where that takes long."""
    # A FIFO is opened at once, not when somebody writes to it.
    raw = io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    try:
        poll = select.poll()
        poll.register(raw, select.POLLIN)
        if not poll.poll(PATIENCE_MS):
            what = "the standard input" if path == STDIN else ascii(str(path))[1:-1]
            print(f"pba: waiting for {what}, from which nothing has come yet", file=sys.stderr, flush=True)
            poll.poll()
        os.set_blocking(raw.fileno(), True)
        if stat.S_ISDIR(os.fstat(raw.fileno()).st_mode):
            raise IsADirectoryError(21, "Is a directory")
    except BaseException:
        raw.close()
        raise
    return io.BufferedReader(raw)


def is_pipe(path: Path) -> bool:
    """Say whether this can be read once only: a pipe, a device, a socket; `-` is the standard input."""
    if str(path) == "-":
        return True
    with suppress(OSError):
        mode = path.stat().st_mode
        once = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode) or stat.S_ISBLK(mode)
        return once or path.resolve() == KERNEL_LOG
    return False


@contextmanager
def _holding(path: Path) -> Iterator[None]:
    """Keep the first bytes of a pipe for as long as this lasts; do nothing for a file or if it is done."""
    if not is_pipe(path) or path in _held:
        yield
        return
    refuse_what_is_no_trace(path)
    try:
        raw = _open_patiently(path)
    except OSError as error:
        raise _cannot_open(path, error) from error
    with raw:
        _held[path] = _Pipe(raw)
        try:
            yield
        finally:
            del _held[path]


def is_piped(path: Path) -> bool:
    """Say whether this is a pipe that is being read."""
    return path in _held


def reads_pipes(read: _Function) -> _Function:
    """Have a function that reads a trace also take a pipe; `-` is the standard input."""

    @wraps(read)
    def reading(path: str | Path, *args: Any, **kwargs: Any) -> Any:
        if str(path) == "-":
            path = STDIN
        with _holding(Path(path)):
            return read(path, *args, **kwargs)

    return cast(_Function, reading)


__all__ = ["is_pipe", "is_piped", "opened_raw", "reads_pipes", "refuse_what_is_no_trace"]
