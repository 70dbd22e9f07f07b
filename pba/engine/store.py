"""Compiled traces on disk, so that a large file is read and folded once.

They lie in pba's cache and not beside the trace: recordings may lie where nobody may write, and a folder of
data is no place for what can be made again. A trace's folder is named by the SHA-256 of its file's bytes; in
it a folder is named by all else that shapes the result: the file's name, the sizes of the composites and the
sources that read and fold. It holds an .npy file for each array, to be mapped into memory, and `about.json`
with their checksums. A folder is written under another name first and then renamed, so that it is whole or
not there; one that is damaged is noticed when it is read, and made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba import caches
from pba.engine.compiled import CompiledTrace
from pba.engine.composites import fold_trace
from pba.engine.state import Composites
from pba.errors import TraceError
from pba.imports.read import read_trace
from pba.kernel.state import Events
from pba.trace.corpus import resolve
from pba.trace.forms.piped import is_pipe
from pba.trace.metadata import Metadata

FOLDER: Final = "compiled-traces"
ABOUT: Final = "about.json"
WRITING: Final = ".writing-"
MIN_EVENTS: Final = 1_000_000
"""Shorter traces are not kept: to read and fold them takes less than half a second."""
ABANDONED_SECONDS: Final = 24 * 3600
"""A folder that has been written to for this long was left behind by a process that was killed."""


def compile_file(path: Path, chunk_events: int, fan: int, *, min_events: int = MIN_EVENTS) -> CompiledTrace:
    """Compile a file or recording, or take what came of it before from the cache; a pipe is only compiled.

    Parameters
    ----------
    path : Path
        As for `pba.read_trace`.
    chunk_events, fan : int
        As for `compile_trace`.
    min_events : int
        Keep what has at least so many events.

    Raises
    ------
    TraceError
        If it is no trace.
    """
    digest = None
    if not is_pipe(path):
        path = resolve(path)
        with suppress(OSError):  # what cannot be read `read_trace` refuses
            digest = _sha256(path)
    if digest is None:
        return fold_trace(read_trace(path), chunk_events, fan)
    place = _place(path, digest, chunk_events, fan)
    found = _load(place, digest)
    if found is None:
        compiled = fold_trace(read_trace(path), chunk_events, fan)
        found = CompiledTrace(**{**vars(compiled), "content_hash": digest})
        if found.nr_events >= min_events:
            with suppress(OSError):  # full, or not to be written to: then the next time takes as long as this
                _keep(found, place)
    return found


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _place(path: Path, digest: str, chunk_events: int, fan: int) -> Path | None:
    """Return where a file's compiled form lies, if there is a place for caches at all."""
    try:
        root = caches.cache_root()
    except RuntimeError:  # nobody knows of a home
        return None
    rooms = ("trace", "tracepoints", "imports", "kernel", "engine")
    files = [file for room in rooms for file in sorted((caches.PACKAGE / room).rglob("*.py"))]
    sources = caches.hash_of_sources([caches.PACKAGE / "events.py", *files])
    sources.update(json.dumps([path.name, chunk_events, fan]).encode())
    return root / FOLDER / digest / str(sources.hexdigest()[:16])


def _arrays(compiled: CompiledTrace) -> dict[str, NDArray[Any]]:
    """Return all arrays of a compiled trace by their names."""
    return {**compiled.events._asdict(), **compiled.composites._asdict()}


def _checksum(array: NDArray[Any]) -> int:
    """Return the CRC-32 of an array's bytes."""
    return zlib.crc32(array.reshape(-1).view(np.uint8).data) if array.size else 0


def _load(place: Path | None, digest: str) -> CompiledTrace | None:
    """Return the compiled trace at a place, its arrays mapped; None if there is none, or it is damaged."""
    if place is None:
        return None
    try:
        about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
        if about.pop("checksum") != _about_checksum(about):
            return None
        arrays = {name: _mapped(place / f"{name}.npy") for name in about["arrays"]}
        if any(_checksum(arrays[name]) != value for name, value in about["arrays"].items()):
            return None
        return CompiledTrace(
            metadata=Metadata.from_dict(about["metadata"]),
            events=Events(*(arrays[name] for name in Events._fields)),
            composites=Composites(*(arrays[name] for name in Composites._fields)),
            content_hash=digest,
            **about["numbers"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TraceError):
        return None


def _mapped(path: Path) -> NDArray[Any]:
    """Map an array; as if it could be written to, as Numba takes read-only arrays for another type."""
    array = np.load(path, mmap_mode="c")
    return np.asarray(array)


def _about_checksum(about: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _keep(compiled: CompiledTrace, place: Path | None) -> None:
    """Write a compiled trace to its place, in the stead of what lies there and of older pba's forms."""
    if place is None:
        return
    top = place.parent.parent
    top.mkdir(parents=True, exist_ok=True)
    _sweep_up(top)
    folder = Path(tempfile.mkdtemp(prefix=WRITING, dir=top))
    try:
        (folder / "new").mkdir()
        _write(compiled, folder / "new")
        place.parent.mkdir(exist_ok=True)
        for number, other in enumerate(place.parent.iterdir()):
            with suppress(OSError):  # another process was first to move it
                other.rename(folder / f"old-{number}")
        with suppress(FileExistsError):  # another process wrote the same meanwhile
            (folder / "new").rename(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(compiled: CompiledTrace, folder: Path) -> None:
    """Write a compiled trace's files into a folder."""
    arrays = _arrays(compiled)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    about: dict[str, Any] = {
        "metadata": compiled.metadata.to_dict(),
        "numbers": {
            name: getattr(compiled, name)
            for name in ("nr_slots", "nr_background_slots", "unknown_frees", "most_moves", "fan")
        },
        "arrays": {name: _checksum(np.ascontiguousarray(array)) for name, array in arrays.items()},
    }
    about["checksum"] = _about_checksum(about)
    (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def _sweep_up(top: Path) -> None:
    """Remove what killed processes have left half-written."""
    for left in top.glob(f"{WRITING}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
