"""Opening a file, plain or compressed, found by its first bytes and not by its name.

A few bytes can unpack to any number of them. So what a compressed file unpacks to is bounded: by its own size
times a ratio that no trace comes near (event text, the most repetitive form, reaches 60), and it is unpacked
in pieces, so that no more of it is in memory than what is asked for.
"""

from __future__ import annotations

import gzip
import io
import lzma
import math
import os
import stat
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from pba.errors import PbaError, TraceError
from pba.trace.forms.piped import opened_raw

HEAD_BYTES: Final = 1 << 16
"""What is read of a file to find out its form."""
MAGICS: Final = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
PACKED_BYTES: Final = 1 << 16
"""What is read at a time of a compressed file."""

RATIO: Final = 256
"""How many times its own size a compressed file may unpack to, by default."""
RATIO_VARIABLE: Final = "PBA_UNPACK_RATIO"
"""The environment variable that says another ratio."""
ALWAYS_BYTES: Final = 64 << 20
"""So much a compressed file may unpack to, however small it is."""
XZ_MEMORY: Final = 256 << 20
"""Most memory that unpacking xz may take; `xz -9` asks for 65 MiB."""
HINT: Final = f"it is no trace; if it is, set {RATIO_VARIABLE} to a higher ratio, or unpack it first"
AGAIN: Final = "it is truncated or damaged: fetch or record it again"


def unpacked_limit(packed_bytes: int, by_default: int = RATIO) -> int:
    """Return how many bytes so many compressed ones may unpack to; `by_default` is a ratio.

    Raises
    ------
    PbaError
        If the environment variable `PBA_UNPACK_RATIO` holds no number from 1 on.
    """
    said = os.environ.get(RATIO_VARIABLE, "")
    try:
        ratio = float(said) if said else float(by_default)
    except ValueError:
        ratio = math.nan
    if not 1 <= ratio < math.inf:
        raise PbaError(
            f"{RATIO_VARIABLE} is {said[:40]!a}, not a ratio",
            f"it is a number from 1 on, such as {RATIO}",
        )
    return max(ALWAYS_BYTES, int(packed_bytes * ratio))


class _Counted(io.RawIOBase):
    """A stream of compressed bytes that knows how many there are at least: those read, or the file's size."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        about = _status(stream)
        self.size = about.st_size if about and stat.S_ISREG(about.st_mode) else 0
        self._taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._taken += len(data)
        self.size = max(self.size, self._taken)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _status(stream: BinaryIO) -> os.stat_result | None:
    try:
        return os.fstat(stream.fileno())
    except OSError:  # the pipe that is read from its start is no file
        return None


class _Unpacked(io.RawIOBase):
    """What a compressed stream holds; its failures name the file and say what to do."""

    def __init__(self, packed: _Counted, path: Path, form: str) -> None:
        self._packed = packed
        self._path = path
        self._form = form
        self._unpacker = _UNPACKERS[form](packed)
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._unpacker.read(len(buffer))
        except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
            large = isinstance(error, lzma.LZMAError) and "limit" in str(error)
            told = f"unpacking it takes more than {XZ_MEMORY >> 20} MiB of memory" if large else str(error)
            hint = "pack it with a smaller dictionary, such as that of xz -9" if large else AGAIN
            raise TraceError(f"cannot be read as {self._form}: {told}", hint, path=self._path) from error
        self._given += len(data)
        if self._given > unpacked_limit(self._packed.size):
            packed, given = self._packed.size, self._given
            raise TraceError(
                f"its {packed:,} bytes of {self._form} unpack to more than {given - len(data):,}",
                HINT,
                path=self._path,
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._packed.close()
        super().close()


class _Xz:
    """A reader of xz streams whose memory is bounded (that of `lzma.LZMAFile` is not)."""

    def __init__(self, packed: io.RawIOBase) -> None:
        self._packed = packed
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end."""
        while True:
            data = b""
            if self._decoder.eof:
                # Zeros may stand between streams and after the last one.
                data = self._decoder.unused_data.lstrip(b"\0")
                while not data:
                    more = self._packed.read(PACKED_BYTES)
                    if not more:
                        return b""
                    data = more.lstrip(b"\0")
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)
            elif self._decoder.needs_input:
                data = self._packed.read(PACKED_BYTES) or b""
                if not data:
                    raise EOFError("the last stream is cut off")
            if found := self._decoder.decompress(data, size):
                return found


def _zstd(packed: io.RawIOBase) -> Any:
    """Return a reader of zstd frames that notices when the last one is cut off (zstandard's own does not)."""
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd")


def _gzip(packed: io.RawIOBase) -> Any:
    return gzip.GzipFile(fileobj=cast(BinaryIO, packed))


_UNPACKERS: Final[dict[str, Any]] = {"gzip": _gzip, "xz": _Xz, "zstd": _zstd}


def open_stream(path: str | Path) -> BinaryIO:
    """Open a file for reading, decompressing gzip, xz and zstd as its first bytes tell.

    Returns
    -------
    BinaryIO
        Of a compressed file at most `PBA_UNPACK_RATIO` (256 by default) times its size can be read, or 64 MiB
        where that is more.

    Raises
    ------
    TraceError
        If there is no such file, it cannot be opened or can never be a trace (`pba.trace.forms.piped`); or,
        while reading, if its compression is damaged, or it unpacks to more than it may.
    """
    path = Path(path)
    raw, head = opened_raw(path, max(map(len, MAGICS)))
    form = next((name for magic, name in MAGICS.items() if head.startswith(magic)), "")
    if not form:
        return raw
    return cast(BinaryIO, io.BufferedReader(_Unpacked(_Counted(raw), path, form), PACKED_BYTES))


def is_packed(stream: BinaryIO) -> bool:
    """Say whether a stream of `open_stream` is one that is unpacked as it is read."""
    return isinstance(getattr(stream, "raw", None), _Unpacked)


__all__ = ["HEAD_BYTES", "RATIO_VARIABLE", "is_packed", "open_stream", "unpacked_limit"]
