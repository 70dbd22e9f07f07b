"""The folder of what pba makes once and keeps: compiled code, compiled traces and results of replays.

Whoever can write into a folder of compiled code decides what the next process runs. So such a folder is used
only if it belongs to the user and nobody else may write to it, and neither may they to the folder above it.

A folder of compiled code is called `ROOM-FINGERPRINT`, one of a compiled trace
`compiled-traces/SHA256/FINGERPRINT`, one of replays `replays/FINGERPRINT`. Whenever a new folder of code is
made, those of the same room that stood unused for `STALE_SECONDS`, and all but the `KEPT` used last, are
removed. To remove is to rename first: another process finds a folder whole or not at all, and what it has read
or mapped stays valid.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = Path(__file__).parent
TRACES: Final = "compiled-traces"
REPLAYS: Final = "replays"
STALE_SECONDS: Final = 14 * 24 * 3600
"""Compiled code that nobody has used for so long is stale."""
KEPT: Final = 4
"""How many folders of a room's older code stay at most, for who goes between two versions of pba."""
_REMOVING: Final = ".removing-"
_CODE: Final = re.compile(r"([a-z]+)-([0-9a-f]{16})")
_IMPORT: Final = re.compile(
    r"^(?:from (pba[\w.]*) import (\([^)]*\)|[^\n]*)|import (pba[\w.]*))", re.MULTILINE
)
"""An import at the top of a module: jitted functions see no others. Those for types alone are indented."""


class UntrustedCacheError(Exception):
    """The cache's folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Entry:
    """One folder of the cache.

    Attributes
    ----------
    kind : {"code", "trace", "replays"}
        Compiled code of a room of pba, a compiled trace, or results of replays.
    name : str
        The room, the SHA-256 of the trace's file, or a hash of what shaped the replays.
    path : str
        The folder.
    size_bytes : int
        What its files hold.
    used_seconds : float
        How long ago it was last used (code, replays) or written (trace).
    current : bool
        Whether this version of pba would use it; of a trace, as far as can be told without its file.
    """

    kind: str
    name: str
    path: str
    size_bytes: int
    used_seconds: float
    current: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes."""
        return asdict(self)


def cache_root() -> Path:
    """Return the folder for what can be made again: `PBA_CACHE_DIR`, or the user's cache.

    Raises
    ------
    RuntimeError
        If nothing says where, and nobody knows of a home.
    """
    told = os.environ.get("PBA_CACHE_DIR")
    if told:
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pba"


def trusted_folder(name: str) -> Path:
    """Return a folder of the cache for compiled code or for replays, made if need be.

    Raises
    ------
    UntrustedCacheError
        If it, or the cache's folder, belongs to another user, may be written to by others, or not by us.
    """
    try:
        root = cache_root()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(root, sticky_will_do=True)
        folder = root / name
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            if _CODE.fullmatch(name):
                _prune(root, name)
        _check(folder)
        with suppress(OSError):
            os.utime(folder)  # used now
    except (OSError, RuntimeError) as error:
        raise UntrustedCacheError(getattr(error, "strerror", None) or str(error)) from error
    return folder


def _check(folder: Path, *, sticky_will_do: bool = False) -> None:
    """Raise unless a folder is the user's own; a root where all may only add folders will do (`/tmp`)."""
    facts = folder.stat() if sticky_will_do else folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise UntrustedCacheError(f"{folder} is no folder")
    sticky = sticky_will_do and bool(facts.st_mode & stat.S_ISVTX)
    if facts.st_uid != os.geteuid() and not sticky:
        raise UntrustedCacheError(f"{folder} belongs to another user")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
        raise UntrustedCacheError(f"others may write to {folder}: chmod go-w it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UntrustedCacheError(f"{folder} cannot be written to")


def sources_behind(room: str, package: Path = PACKAGE) -> list[Path]:
    """Return the sources that shape the compiled code of a room: its jitted modules, and all they import.

    Parameters
    ----------
    room : str
        A folder of the package.
    package : Path, optional
        The package's folder.

    Returns
    -------
    list of Path
        Sorted. Imports are followed from module to module, into other rooms too.
    """
    waiting = [path for path in (package / room).rglob("*.py") if "pba._jit import" in _text(path)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(_text(path), package)
    return sorted(found)


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _imported(text: str, package: Path) -> Iterator[Path]:
    """Yield the files of the package's modules that a module imports."""
    for base, names, plain in _IMPORT.findall(text):
        dotted = base or plain
        here = package.joinpath(*dotted.split(".")[1:])
        # `from pba.kernel import replay` names a module in its second half.
        inside = [here / f"{name}.py" for name in re.findall(r"\w+", names)]
        for path in (here.with_suffix(".py"), here / "__init__.py", *inside):
            if path.is_file():
                yield path


def hash_of_sources(paths: Iterable[Path], package: Path = PACKAGE) -> hashlib._Hash:
    """Return a hash, to be updated, of some of the package's files and of their places."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest


def entries(current: Iterable[str] = ()) -> list[Entry]:
    """Return what lies in the cache: code first, then replays, then traces, the largest of each first.

    Parameters
    ----------
    current : iterable of str
        Names of the folders of code and replays that this version of pba uses (`pba._jit.current_folders`,
        `pba.study.replays.current_folder`).
    """
    root = _root_or_none()
    names = set(current)
    found = []
    for path in _folders(root):
        known = _CODE.fullmatch(path.name)
        if known:
            found.append(_entry("code", known[1], path, path.name in names))
    for path in _folders(root / REPLAYS if root else None):
        found.append(_entry("replays", path.name, path, f"{REPLAYS}/{path.name}" in names))
    for trace in _folders(root / TRACES if root else None):
        if not trace.name.startswith("."):
            found += [_entry("trace", trace.name, path, True) for path in _folders(trace)]
    return sorted(found, key=lambda entry: (entry.kind, -entry.size_bytes, entry.path))


def clear(current: Iterable[str] = (), *, everything: bool = False) -> list[Entry]:
    """Remove what is stale, or everything; return what went. Safe while another pba runs.

    Stale is compiled code of other versions of pba or of what it stands on, replays of those, and a compiled
    trace that was written more than `STALE_SECONDS` ago.
    """
    root = _root_or_none()
    gone = []
    for entry in entries(current):
        old_trace = entry.kind == "trace" and entry.used_seconds > STALE_SECONDS
        if (everything or not entry.current or old_trace) and root is not None and remove(Path(entry.path)):
            gone.append(entry)
            with suppress(OSError):
                Path(entry.path).parent.rmdir()  # of a trace without any form; the root is not empty
    for left in _folders(root):
        if left.name.startswith(_REMOVING):
            shutil.rmtree(left, ignore_errors=True)
    return gone


def remove(folder: Path) -> bool:
    """Remove a folder of the cache at once as others see it; return whether it went by our hand."""
    root = _root_or_none() or folder.parent
    try:
        grave = Path(tempfile.mkdtemp(prefix=_REMOVING, dir=root))
        try:
            folder.rename(grave / "old")
        finally:
            shutil.rmtree(grave, ignore_errors=True)
    except OSError:
        return False
    return True


def _prune(root: Path, new: str) -> None:
    """Remove the older code of the room whose new folder has just been made (see the module)."""
    room = new.rpartition("-")[0]
    others = [path for path in _folders(root) if path.name != new and _room_of(path) == room]
    others.sort(key=_last_use, reverse=True)
    for number, path in enumerate(others):
        if number >= KEPT or time.time() - _last_use(path) > STALE_SECONDS:
            remove(path)


def _room_of(folder: Path) -> str:
    """Return the room whose code a folder holds; empty if it holds none."""
    known = _CODE.fullmatch(folder.name)
    return known[1] if known else ""


def _root_or_none() -> Path | None:
    try:
        return cache_root()
    except RuntimeError:
        return None


def _folders(folder: Path | None) -> list[Path]:
    """Return the folders in a folder; none if it is not there or may not be read."""
    try:
        return sorted(path for path in (folder.iterdir() if folder else ()) if path.is_dir())
    except OSError:
        return []


def _last_use(folder: Path) -> float:
    with suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def _entry(kind: str, name: str, path: Path, is_current: bool) -> Entry:
    """Return a folder as an entry."""
    size = 0
    for file in path.rglob("*"):
        with suppress(OSError):  # another process removes it
            size += file.stat().st_size if file.is_file() else 0
    return Entry(kind, name, str(path), size, max(0.0, time.time() - _last_use(path)), is_current)
