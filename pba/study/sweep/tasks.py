"""A sweep's pieces of work, each known by a hash of all that shapes its result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pba.engine.compiled import CompiledTrace
from pba.engine.grid import Behaviours, behaviours_of
from pba.machine import Machine
from pba.study.executors import stop_if_asked
from pba.study.folder import model_hash, sha256_of
from pba.study.sweep.boxes import Ints
from pba.study.sweep.case import Case
from pba.study.sweep.grid import MachineAxes

CHUNK: Final = 8
"""Values of U in a task. It must not depend on the workers, or the parts would."""
PART_VERSION: Final = 3


class Task(NamedTuple):
    """Some values of U, with all of B and M, on one trace and machine."""

    key: str
    trace: int
    machine: Machine
    unshrinkable_pages: Ints
    batch: Ints
    shrink_block_min_pages: tuple[int, int]
    weight: float


def run_task(compiled: CompiledTrace, task: Task) -> Behaviours:
    """Return what the trace does at a task's thresholds."""
    axes = (task.unshrinkable_pages, task.batch, task.shrink_block_min_pages)
    return behaviours_of(compiled, task.machine, *axes, look=stop_if_asked)


def tasks_of(case: Case, trace: int, axes: MachineAxes) -> list[Task]:
    """Return the tasks of a trace (its number is `trace`) on a machine, by ascending U."""
    unshrinkable_pages, batch = np.unique(axes.unshrinkable_pages), np.unique(axes.batch)
    shrink_block_min_pages = int(axes.shrink_block_min_pages[0]), int(axes.shrink_block_min_pages[-1])
    chunks = [unshrinkable_pages[start : start + CHUNK] for start in range(0, len(unshrinkable_pages), CHUNK)]
    return [
        Task(
            _key(case, chunk, batch, shrink_block_min_pages), trace, case.machine,
            chunk, batch, shrink_block_min_pages,
            float(len(chunk) * len(batch) * (case.passes + 1)),
        )
        for chunk in chunks
    ]  # fmt: skip


def _key(case: Case, unshrinkable_pages: Ints, batch: Ints, shrink_block_min_pages: Sequence[int]) -> str:
    """Return a hash of all that shapes a task's result."""
    inputs = {
        "part": PART_VERSION,
        "model": model_hash(),
        "trace": case.sha256,
        "machine": case.machine.to_dict(),
        "grid": [unshrinkable_pages.tolist(), batch.tolist(), list(shrink_block_min_pages)],
    }
    return sha256_of(json.dumps(inputs, sort_keys=True).encode())[:32]


def case_key(tasks: Sequence[Task]) -> str:
    """Return a hash of all that shapes the results of all tasks of a trace on a machine."""
    return sha256_of("".join(task.key for task in tasks).encode())[:32]
