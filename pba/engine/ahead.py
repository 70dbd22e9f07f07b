"""Compiling the engine in a process of its own, while this one compiles and runs the rest.

Numba compiles one function at a time within a process. On a fresh machine the engine takes longest to compile,
and is needed last: after the kernel's replay, and after traces are read and folded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from threading import Lock
from typing import Final

from pba import _jit

SEARCH: Final = 1
"""How far the process is when a search is compiled,"""
ALONE: Final = 2
"""and a replay of a compiled trace."""

_COMMAND: Final = "from pba.engine.compiling import compile_engine; compile_engine()"


class _Child:
    """The process, of which there is one at most, and how far it is known to be."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._done = 0

    def begin(self) -> None:
        """See `begin`."""
        with self._lock:
            is_alone = len(os.sched_getaffinity(0)) == 1
            if self._process is not None or is_alone or not _jit.is_kept("engine"):
                return
            if _jit.is_compiled("engine"):
                return
            variables = os.environ | {"PBA_QUIET": "1", _jit.QUICK_VARIABLE: str(int(_jit.starts_quickly()))}
            with suppress(OSError):
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _COMMAND],
                    env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                )  # fmt: skip

    def wait(self, stage: int) -> None:
        """See `wait`."""
        with self._lock:
            if self._process is None or self._process.stdout is None:
                return
            while self._done < stage and self._process.stdout.read(1):
                self._done += 1
            if stage == ALONE or self._done < stage:
                self._process.stdout.close()
                self._process.wait()
                self._process = None


_child: Final = _Child()


def begin() -> None:
    """Begin to compile the engine, unless it is compiled, or compiled code is not kept on disk.

    What needs it waits (`wait`), and then finds it in the cache. What becomes of the process changes no result:
    where it failed, what is missing is compiled here.
    """
    _child.begin()


def wait(stage: int) -> None:
    """Wait until what was begun is at a stage, SEARCH or ALONE, or has ended; at once where nothing was begun."""
    _child.wait(stage)
