"""The wrappings of Android's systrace and atrace around ftrace text.

systrace writes an HTML page with a viewer's program and, in `<script class="trace-data"
type="application/text">` blocks, what its agents recorded: ftrace text in one, lists of processes in others.
atrace prints `TRACE:` and the ftrace text. Everything but the ftrace text is blanked here and its line ends
are kept, so that lines are numbered as in the file and the reader of ftrace text sees nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from pba.errors import TraceError
from pba.trace.forms.opening import HEAD_BYTES

BLOCK_BYTES: Final = 1 << 20
LONGEST_TAG: Final = 4096
"""A tag, and the first line of a block, are shorter than this."""
EXPECTED: Final = 'expected <script class="trace-data"> with ftrace text in it, as systrace writes it'

_PAGE: Final = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_ATRACE: Final = re.compile(rb"\A(?:[^\n]*\n){0,20}?TRACE:[ \t]*\r?\n")
_OPEN: Final = re.compile(rb"<script\b[^>]*\bclass=[\"']?trace-data\b[^>]*>", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"</script\s*>", re.IGNORECASE)
_FTRACE: Final = re.compile(
    rb"\s*(?:TRACE:\s*)?(?:# tracer:|[^\n]{1,60}-\d+\s+(?:\([-\s\d]+\)\s+)?\[\d+\]\s)", re.DOTALL
)


def is_page(head: bytes) -> bool:
    """Say whether a file begins as systrace's HTML pages do; the trace may stand megabytes further down."""
    return _PAGE.match(head) is not None


def is_atrace(head: bytes) -> bool:
    """Say whether a file begins with what atrace prints before its trace."""
    return _ATRACE.match(head) is not None


class Readable(Protocol):
    """What has bytes to read, such as an open file."""

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes; none at the end."""


def unwrapped(stream: BinaryIO, path: Path) -> Readable:
    """Return a stream with everything but the ftrace text blanked."""
    head = stream.read(HEAD_BYTES)
    whole = _Joined(head, stream)
    if is_page(head):
        return Page(whole, path)
    before = _ATRACE.match(head)
    return _Joined(_blank(before[0]) + head[before.end() :], stream) if before else whole


class _Joined:
    """Some bytes, and then those of a stream."""

    def __init__(self, first: bytes, stream: Readable) -> None:
        self._first = first
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Return the first bytes at once, then the stream's."""
        first, self._first = self._first, b""
        return first or self._stream.read(size)


class Page:
    """A stream that gives an HTML page with everything but its ftrace text blanked.

    Raises
    ------
    TraceError
        While it is read: if the page is cut off within a trace, or holds no ftrace text.
    """

    def __init__(self, stream: Readable, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._rest = b""
        self._inside = False
        self._kept = False
        self._found = False
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes, about as many as a block of the file; none at the end."""
        while not self._ended:
            block = self._stream.read(BLOCK_BYTES if size < 0 else min(size, BLOCK_BYTES))
            self._ended = not block
            self._rest += block
            if given := self._step():
                return given
        if not self._found:
            raise TraceError("is an HTML page without a trace in it", EXPECTED, path=self._path)
        if self._inside and self._kept:
            hint = "fetch or record it again"
            raise TraceError("ends within its trace: the page is cut off", hint, path=self._path)
        return b""

    def _step(self) -> bytes:
        """Give what is certain; keep what may be the beginning of a tag or of a block."""
        given = []
        while tag := (_CLOSE if self._inside else _OPEN).search(self._rest):
            given.append(self._take(tag.start()))
            size = len(tag[0])
            if not self._inside and not self._ended and len(self._rest) < size + LONGEST_TAG:
                return b"".join(given)  # what the block holds is not there yet
            self._inside = not self._inside
            if self._inside:
                self._kept = _FTRACE.match(self._rest[size : size + LONGEST_TAG]) is not None
                self._found = self._found or self._kept
            given.append(_blank(self._rest[:size]))
            self._rest = self._rest[size:]
        keep = 0 if self._ended else LONGEST_TAG
        given.append(self._take(max(0, len(self._rest) - keep)))
        return b"".join(given)

    def _take(self, size: int) -> bytes:
        """Take bytes off what is there, blanked unless they are ftrace text."""
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken if self._inside and self._kept else _blank(taken)


def _blank(text: bytes) -> bytes:
    return b"\n" * text.count(b"\n")
