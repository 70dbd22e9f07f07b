"""A stream in pieces that end where lines end, none of which is longer than a trace's lines can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from pba.errors import TraceError

LONGEST_LINE: Final = 1 << 20
"""Bytes in which a line must end."""


class Readable(Protocol):
    """What has bytes to read, such as an open file."""

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes; none at the end."""


def whole_lines(stream: Readable, size: int, path: str | Path, hint: str) -> Iterator[tuple[int, bytes]]:
    """Yield a stream in pieces of about `size` bytes that end at line ends (the last may not).

    With each piece comes the number of its first line.

    Raises
    ------
    TraceError
        If a line is longer than `LONGEST_LINE`; `hint` says what the lines should be.
    """
    rest = b""
    line = 1
    while block := stream.read(size):
        text = rest + block
        begin = _too_long(text)
        if begin >= 0:
            raise _endless(path, hint, line=line + text.count(b"\n", 0, begin))
        cut = text.rfind(b"\n") + 1
        if cut:
            yield line, text[:cut]
            line += text.count(b"\n")
        rest = text[cut:]
    if rest:
        yield line, rest


class BoundedLines:
    """A stream of lines, given on as it comes.

    Raises
    ------
    TraceError
        While it is read: if a line is longer than `LONGEST_LINE`; `hint` says what the lines should be.
    """

    def __init__(self, stream: Readable, path: str | Path, hint: str) -> None:
        self._stream = stream
        self._path = path
        self._hint = hint
        self._given = 0
        self._begun = 0  # bytes of the line that the last block ended in

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes; none at the end."""
        block = self._stream.read(size)
        begin = _too_long(block, self._begun)
        if begin >= 0:
            begin += self._given - (self._begun if begin == 0 else 0)
            raise _endless(self._path, self._hint, after=begin)
        self._given += len(block)
        cut = block.rfind(b"\n") + 1
        self._begun = len(block) - cut + (0 if cut else self._begun)
        return block


def _too_long(text: bytes, before: int = 0) -> int:
    """Return where a line begins that is longer than `LONGEST_LINE`, or -1.

    `before` is how many bytes of the first line stand before the text.
    """
    at = 0
    room = LONGEST_LINE - before
    while len(text) - at > room:
        end = text.rfind(b"\n", at, at + room + 1)
        if end < 0:
            return at
        at = end + 1
        room = LONGEST_LINE
    return -1


def _endless(path: str | Path, hint: str, *, line: int | None = None, after: int = 0) -> TraceError:
    where = "" if line else f", which begins after {after:,} bytes"
    return TraceError(f"a line of more than {LONGEST_LINE >> 20} MiB{where}", hint, path=path, line=line)


__all__ = ["BoundedLines", "Readable", "whole_lines"]
