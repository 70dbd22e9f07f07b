"""The one place with compile options and the cache directory.

Numba's file cache notices a change of the function's own file only, not of a callee in another file, and
not of options such as bounds checking. So the cache directory's name holds a hash of all jitted sources
and of everything that shapes the code; a stale entry cannot be found.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy as np
from numba import config

F = TypeVar("F", bound=Callable[..., Any])


def _cache_root() -> Path:
    """Return the folder for compiled code: `PBA_CACHE_DIR`, or the user's cache folder."""
    told = os.environ.get("PBA_CACHE_DIR")
    if told:
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pba"


def _fingerprint() -> str:
    """Return a hash of the jitted sources and of what else shapes the compiled code."""
    here = Path(__file__).parent
    sources = sorted([Path(__file__), here / "events.py", *here.glob("kernel/*.py"), *here.glob("trace/*.py")])
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for part in (
        numba.__version__, llvmlite.__version__, np.__version__, platform.python_version(),
        platform.machine(), str(bool(config.BOUNDSCHECK)), str(config.OPT),
    ):  # fmt: skip
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


CACHE_DIR = _cache_root() / f"jit-{_fingerprint()}"
"""Where this version of the jitted code is cached."""


@contextmanager
def _cached_here() -> Iterator[None]:
    """Point Numba's cache at `CACHE_DIR` while a function is decorated, and only then."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE_DIR)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def jit(function: F) -> F:
    """Compile with Numba: cached on disk, without the GIL, without Python's checks.

    With `NUMBA_DISABLE_JIT=1` the function is returned as it is; with `NUMBA_BOUNDSCHECK=1` an index out
    of bounds raises.
    """
    with _cached_here():
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)  # type: ignore[no-any-return]
