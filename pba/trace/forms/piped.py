"""Reading a trace from a pipe, whose form is found by its first bytes like that of any other.

A file is opened to look at it, and once more to read it. A pipe cannot be: while a reader of traces is at
work, its first bytes are kept, so that every opening finds them again. Beyond them it streams.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, cast

from pba.errors import TraceError

STDIN: Final = Path("/dev/stdin")
KEPT_BYTES: Final = 16 << 20
"""So much of a pipe can be read again; to find a form takes the first 64 KiB, unpacked."""

_held: dict[Path, _Pipe] = {}
_Reader = TypeVar("_Reader", bound=Callable[..., Any])


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


def open_piped(path: Path) -> BinaryIO | None:
    """Open a pipe that is being read by `reads_pipes` from its first byte on; None if it is none.

    Raises
    ------
    TraceError
        If so much of it was read that its first bytes are gone.
    """
    pipe = _held.get(path)
    if pipe is None:
        return None
    if pipe.is_spent:
        raise TraceError("is a pipe and cannot be read twice", "write it to a file first", path=path)
    return cast(BinaryIO, io.BufferedReader(_FromStart(pipe)))


def is_pipe(path: Path) -> bool:
    """Say whether this can be read once only: a pipe, a terminal or a socket; `-` is the standard input."""
    if str(path) == "-":
        return True
    with suppress(OSError):
        mode = path.stat().st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
    return False


@contextmanager
def _holding(path: Path) -> Iterator[None]:
    """Keep the first bytes of a pipe for as long as this lasts; do nothing for a file or if it is done."""
    if not is_pipe(path) or path in _held:
        yield
        return
    try:
        raw = path.open("rb")
    except OSError as error:
        reason = error.strerror or str(error)
        raise TraceError(f"cannot be opened: {reason}", "name a readable file", path=path) from error
    with raw:
        _held[path] = _Pipe(raw)
        try:
            yield
        finally:
            del _held[path]


def is_piped(path: Path) -> bool:
    """Say whether this is a pipe that is being read."""
    return path in _held


def reads_pipes(read: _Reader) -> _Reader:
    """Have a function that reads a trace also take a pipe; `-` is the standard input."""

    @wraps(read)
    def reading(path: str | Path, *args: Any, **kwargs: Any) -> Any:
        if str(path) == "-":
            path = STDIN
        with _holding(Path(path)):
            return read(path, *args, **kwargs)

    return cast(_Reader, reading)


__all__ = ["is_pipe", "is_piped", "open_piped", "reads_pipes"]
