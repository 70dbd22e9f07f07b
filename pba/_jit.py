"""The one place with compile options and the cache directory.

Numba's file cache notices a change of the function's own file only, not of a callee in another file, and
not of options such as bounds checking. So the cache directory's name holds a hash of the sources and of
everything else that shapes the code; a stale entry cannot be found.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy as np
from numba import config

F = TypeVar("F", bound=Callable[..., Any])


def cache_root() -> Path:
    """Return the folder for what is compiled, code and traces: `PBA_CACHE_DIR`, or the user's cache."""
    told = os.environ.get("PBA_CACHE_DIR")
    if told:
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pba"


def hash_of_sources(*rooms: str) -> hashlib._Hash:
    """Return a hash, to be updated, of the sources of some rooms and of those that they all use."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    sources = [path for name in rooms for path in sorted((here / name).rglob("*.py"))]
    for path in (Path(__file__), here / "events.py", *sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest


def _fingerprint(room: str) -> str:
    """Return a hash of a room's sources and of what else shapes the code compiled from them.

    Jitted functions call others of their own room (a folder of `pba`, with the folders in it) and use
    `pba.events` alone; those of the engine also call the kernel's.
    """
    digest = hash_of_sources(*(("kernel", "engine") if room == "engine" else (room,)))
    for part in (
        numba.__version__, llvmlite.__version__, np.__version__, platform.python_version(),
        platform.machine(), str(bool(config.BOUNDSCHECK)), str(config.OPT),
    ):  # fmt: skip
        digest.update(part.encode() + b"\0")
    return str(digest.hexdigest()[:16])


@cache
def cache_dir(room: str) -> Path:
    """Return where the compiled code of a room (`kernel`, `trace`) is cached; the folder exists.

    Falls back on a folder of this process's own, removed at its end, if the cache cannot be written.
    """
    try:
        folder = cache_root() / f"{room}-{_fingerprint(room)}"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: nobody knows of a home
        pass
    own = Path(tempfile.mkdtemp(prefix="pba-jit-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


@contextmanager
def _cached_in(room: str) -> Iterator[None]:
    """Point Numba's cache at a room's folder while a function is decorated, and only then."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_dir(room))
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _room_of(function: Callable[..., Any]) -> str:
    """Return the room of `pba` that a function lives in."""
    return function.__module__.split(".")[1]


def jit(function: F) -> F:
    """Compile with Numba: cached on disk, without the GIL, without Python's checks.

    With `NUMBA_DISABLE_JIT=1` the function is returned as it is; with `NUMBA_BOUNDSCHECK=1` an index out
    of bounds raises.
    """
    with _cached_in(_room_of(function)):
        return _compile(function, cache=True)


def kernel_entry(function: F) -> F:
    """Compile a function of the simulated kernel that Python calls: as `jit`, without reference counts.

    The player of generated traces is compiled like this too. Such a function cannot make arrays; it works on
    those that it is given. To count references to each array at each call made a replay ten times slower.
    """
    with _cached_in(_room_of(function)):
        return _compile(function, cache=True, _nrt=False)


def engine_entry(function: F) -> F:
    """Compile a function of the engine that Python calls: as `kernel_entry`."""
    with _cached_in("engine"):
        return _compile(function, cache=True, _nrt=False)


def kernel_function(function: F) -> F:
    """Compile a function that only other functions of the kernel call: no way in from Python, no cache.

    It lives inside the entries' compiled code; leaving out the rest saves a fourth of the compile time.
    """
    return _compile(function, _nrt=False, **_INNER)


def kernel_inline(function: F) -> F:
    """Compile as `kernel_function`, into every caller.

    For what runs once a page or an event: to pass the state's arrays to a call costs more than these do.
    """
    return _compile(function, _nrt=False, forceinline=True, **_INNER)


_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _compile(function: F, **options: bool) -> F:
    """Decorate with the common options and these."""
    return numba.njit(nogil=True, error_model="numpy", **options)(function)  # type: ignore[no-any-return]
