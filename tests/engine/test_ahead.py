"""The engine compiled in a process of its own: the search finds it in the cache, and does without where it failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pba.kernel.replay import replay_events

COUNTS_COMPILED = """
import sys
from numba.core import event
import pba._jit

compiled = []

class Listener(event.Listener):
    def on_start(self, said):
        compiled.append(said.data["dispatcher"].py_func.__name__)

    def on_end(self, said):
        pass

event.register("numba:compile", Listener())
from pba.engine import ahead
if sys.argv[1] == "fails":
    ahead._COMMAND = "raise SystemExit(1)"
ahead.begin()
assert (ahead._child._process is not None) == (sys.argv[1] != "again"), sys.argv[1]
from pba.engine.compiling import compile_engine
compile_engine()
assert ahead._child._process is None
print()
print(sorted({"search", "run_alone"} & set(compiled)))
"""
pytestmark = [
    pytest.mark.skipif(not hasattr(replay_events, "py_func"), reason="without the JIT nothing is compiled"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="a single processor compiles one by one"),
]


def compiled_here(how: str, cache: Path) -> str:
    """Return which of the engine's entries a new process compiles itself."""
    environment = os.environ | {"PBA_CACHE_DIR": str(cache), "PBA_QUIET": "1", "PBA_QUICK_START": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COUNTS_COMPILED, how],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_what_the_other_process_compiled_is_not_compiled_here(tmp_path: Path) -> None:
    assert compiled_here("first", tmp_path / "cache") == "[]"
    assert compiled_here("again", tmp_path / "cache") == "[]"


def test_what_the_other_process_did_not_compile_is_compiled_here(tmp_path: Path) -> None:
    assert compiled_here("fails", tmp_path / "cache") == "['run_alone', 'search']"
