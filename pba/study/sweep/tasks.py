"""A sweep's pieces of work, each known by a hash of all that shapes its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from pba.machine import Machine
from pba.results import COUNTER_COLUMNS
from pba.study.result import sha256_of
from pba.study.sweep.boxes import Ints, Rows
from pba.study.sweep.grid import MachineAxes
from pba.trace.table import Trace

CHUNK: Final = 8
"""Values of U in a task. It must not depend on the workers, or the parts would."""
PART_VERSION: Final = 1

COLUMNS: Final = COUNTER_COLUMNS
"""The counters of a behaviour, in the engine's order."""


class Engine(NamedTuple):
    """What explores a chunk of a grid.

    Attributes
    ----------
    compile : callable
        Takes a trace and returns what `explore` wants of it.
    explore : callable
        Takes that, a machine, values of U, values of B, the first and last M, and `look`; returns rows
        with the fields of `Rows` in their order, sorted by U, B and M, for every point of all three. It calls
        `look` now and then with the number of points done; what that raises ends it.
    """

    compile: Callable[[Trace], Any]
    explore: Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A trace on a machine.

    Attributes
    ----------
    trace : str
        The trace's name.
    setting : str
        What the user calls the choice of machine: `recorded`, or the machine itself.
    path : str
        The trace's file; empty where there is none.
    sha256 : str
        SHA-256 of the trace's events.
    machine : Machine
        The machine.
    events, passes, duration_ns : int
        Of the trace.
    patch : tuple of int
        Of a replay with the patch's own thresholds, event by event: `pmd_splits`, `cached_page_ns`,
        `nr_cached`.
    """

    trace: str
    setting: str
    path: str
    sha256: str
    machine: Machine
    events: int
    passes: int
    duration_ns: int
    patch: tuple[int, int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Case:
        """Read what `to_dict` gave."""
        splits, cached, held = values["patch"]
        return cls(**{**values, "machine": Machine(**values["machine"]), "patch": (splits, cached, held)})


class Task(NamedTuple):
    """Some values of U, with all of B and M, on one trace and machine."""

    key: str
    trace: int
    machine: Machine
    unshrinkable: Ints
    batch: Ints
    min_pages: tuple[int, int]
    weight: float

    def run(self, engine: Engine, compiled: Any, look: Callable[[int], None]) -> Rows:
        """Explore them; `look` may raise to end it."""
        grid = (self.unshrinkable, self.batch, self.min_pages)
        found = engine.explore(compiled, self.machine, *grid, look=look)
        return Rows(*found)


def tasks_of(case: Case, trace: int, axes: MachineAxes) -> list[Task]:
    """Return the tasks of a trace (its number is `trace`) on a machine, by ascending U."""
    unshrinkable, batch = np.unique(axes.unshrinkable), np.unique(axes.batch)
    min_pages = int(axes.min_pages[0]), int(axes.min_pages[-1])
    chunks = [unshrinkable[start : start + CHUNK] for start in range(0, len(unshrinkable), CHUNK)]
    return [
        Task(
            _key(case, chunk, batch, min_pages), trace, case.machine, chunk, batch, min_pages,
            float(len(chunk) * len(batch) * (case.passes + 1)),
        )
        for chunk in chunks
    ]  # fmt: skip


def _key(case: Case, unshrinkable: Ints, batch: Ints, min_pages: Sequence[int]) -> str:
    """Return a hash of all that shapes a task's result."""
    inputs = {
        "part": PART_VERSION,
        "engine": engine_version(),
        "trace": case.sha256,
        "machine": case.machine.to_dict(),
        "grid": [unshrinkable.tolist(), batch.tolist(), list(min_pages)],
    }
    return sha256_of(json.dumps(inputs, sort_keys=True).encode())[:32]


@cache
def engine_version() -> str:
    """Return a hash of the sources that shape a point's figures."""
    package = Path(__file__).resolve().parents[2]
    names = ("events.py", "machine.py", "model.py", "_jit.py")
    sources = [
        *package.glob("kernel/*.py"),
        *package.glob("engine/*.py"),
        *(package / name for name in names),
    ]
    return sha256_of(b"\0".join(path.read_bytes() for path in sorted(sources)))[:16]


def trace_sha256(trace: Trace) -> str:
    """Return a hash of a trace's events, however it is stored: all that a replay reads of it."""
    columns = (trace.time_ns, trace.op, trace.slot, trace.arg)
    return sha256_of(b"".join(sha256_of(column.tobytes()).encode() for column in columns))
