"""Opening a file, plain or compressed, found by its first bytes and not by its name."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pba.errors import TraceError
from pba.trace.forms.piped import open_piped

_ZSTD_BLOCK = 1 << 20
HEAD_BYTES = 1 << 16
"""What is read of a file to find out its form."""
MAGICS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class _Checked(io.RawIOBase):
    """A stream whose failures name the file and say what to do."""

    def __init__(self, stream: BinaryIO, path: Path, form: str) -> None:
        self._stream = stream
        self._path = path
        self._form = form

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        import zstandard

        try:
            return self._stream.read(-1 if size is None else size)
        except (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
            raise TraceError(
                f"cannot be read as {self._form}: {error}",
                "it is truncated or damaged: fetch or record it again",
                path=self._path,
            ) from error

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Zstd:
    """A reader of zstd frames that notices when the last one is cut off (zstandard's own does not)."""

    def __init__(self, raw: BinaryIO) -> None:
        import zstandard

        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._begun = False
        self._ready = b""

    def read(self, size: int = -1) -> bytes:
        parts = [self._ready]
        length = len(self._ready)
        while size < 0 or length < size:
            packed = self._raw.read(_ZSTD_BLOCK)
            if not packed:
                if self._begun:
                    raise EOFError("the last frame is cut off")
                break
            parts += self._unpack(packed)
            length = sum(map(len, parts))
        whole = b"".join(parts)
        cut = len(whole) if size < 0 else size
        self._ready = whole[cut:]
        return whole[:cut]

    def _unpack(self, packed: bytes) -> Iterator[bytes]:
        """Yield what some bytes hold, from one frame or several."""
        while packed:
            self._begun = True
            yield self._frame.decompress(packed)
            if not self._frame.eof:
                return
            packed = self._frame.unused_data
            self._frame = self._decompressor.decompressobj()
            self._begun = False

    def close(self) -> None:
        self._raw.close()


def open_stream(path: str | Path) -> BinaryIO:
    """Open a file for reading, decompressing `.gz`, `.xz` and `.zst` as its first bytes tell.

    Raises
    ------
    TraceError
        If there is no such file, it cannot be opened, or (while reading) its compression is damaged.
    """
    path = Path(path)
    try:
        raw = open_piped(path) or path.open("rb")
        head = raw.read(6)
        raw = open_piped(path) or raw
        if raw.seekable():
            raw.seek(0)
    except FileNotFoundError:
        raise TraceError("no such file", "check the name", path=path) from None
    except OSError as error:
        raise TraceError(
            f"cannot be opened: {error.strerror or error}", "name a readable file", path=path
        ) from error
    form = next((name for magic, name in MAGICS.items() if head.startswith(magic)), "")
    if form == "gzip":
        return cast(BinaryIO, _Checked(cast(BinaryIO, gzip.GzipFile(fileobj=raw)), path, form))
    if form == "xz":
        return cast(BinaryIO, _Checked(cast(BinaryIO, lzma.LZMAFile(raw)), path, form))
    if form == "zstd":
        return cast(BinaryIO, _Checked(cast(BinaryIO, _Zstd(raw)), path, form))
    return raw
