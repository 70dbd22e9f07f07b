"""What the process that compiles ahead (`pba.engine.ahead`) does."""

from __future__ import annotations

import os

import numpy as np

from pba.engine.alone import replay_compiled
from pba.engine.compile import compile_trace
from pba.engine.grid import behaviours_of
from pba.machine import Machine
from pba.trace.table import Trace


def compile_engine() -> None:
    """Compile the engine, by searching and replaying a trace of one event; write a byte after each."""
    compiled = compile_trace(Trace.from_arrays({"time_ns": [0], "op": [3], "id": [0], "arg": [0]}))
    machine = Machine(memory_pages=1 << 14)
    one = np.ones(1, np.int64)
    behaviours_of(compiled, machine, one, one, (1, 1))
    os.write(1, b".")
    replay_compiled(compiled, machine=machine)
    os.write(1, b".")
