"""Generated traces for the benchmarks: pba's own workloads with passes at even distances, and a storm.

The storm is hard on the shrinker: processes with tens of page tables each, many at a time, short-lived. A
base of long-lived tables is allocated first and changes slowly. Then processes are forked, live for a while
and exit; how many live at a time swings, so that the cached list fills and drains. Passes of the shrinker
stand at even distances, at priorities 12 to 8. The same seed gives the same trace.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

import pba
from pba.events import OP_ALLOC, OP_FREE, OP_SHRINK

TABLES: Final = (24, 72)
"""Page tables of a process: at least, and below."""
PROCESSES: Final = (40, 240)
"""Processes alive at a time: the lowest and the highest of the swing."""
SWINGS: Final = 40
GAP_NS: Final = 2_000
"""Mean time between two events."""


@numba.njit(nogil=True, error_model="numpy")
def _fill(time_ns, op, ident, arg, base, passes, seed):  # type: ignore[no-untyped-def]
    """Fill the columns from the first event to the last."""
    np.random.seed(seed)
    nr_events = len(op)
    first = np.empty(PROCESSES[1] + 1, np.int64)  # first id of each process alive, and its tables
    tables = np.empty(PROCESSES[1] + 1, np.int64)
    old = np.arange(base)  # ids of the base
    alive, name, at, now, passed = 0, base, 0, 0, 0
    forking, number, done = False, 0, 0  # what is being done: with which process, and how far
    while at < nr_events:
        now += np.random.randint(1, 2 * GAP_NS)
        time_ns[at] = now
        arg[at] = 0
        if at < base:
            op[at], ident[at] = OP_ALLOC, at
        elif (passed + 1) * nr_events <= at * (passes + 1):
            op[at], ident[at], arg[at] = OP_SHRINK, 0, 12 - passed % 5
            passed += 1
        elif alive > 0 and done < tables[number]:
            op[at], ident[at] = (OP_ALLOC if forking else OP_FREE), first[number] + done
            done += 1
            if done == tables[number] and not forking:
                alive -= 1
                first[number], tables[number] = first[alive], tables[alive]
                number = 0
                done = tables[0]
        elif at + 1 < nr_events and np.random.randint(2000) == 0:
            which = np.random.randint(base)
            op[at], ident[at] = OP_FREE, old[which]
            old[which] = name
            at += 1
            time_ns[at], op[at], ident[at], arg[at] = now, OP_ALLOC, name, 0
            name += 1
        else:
            swing = 0.5 - 0.5 * np.cos(2 * np.pi * SWINGS * at / nr_events)
            wanted = PROCESSES[0] + (PROCESSES[1] - PROCESSES[0]) * swing
            forking = alive == 0 or (alive < PROCESSES[1] and np.random.random() * 2 * wanted > alive)
            if forking:
                number = alive
                first[number], tables[number] = name, np.random.randint(TABLES[0], TABLES[1])
                name += tables[number]
                alive += 1
            else:
                number = np.random.randint(alive)
            op[at], ident[at] = (OP_ALLOC if forking else OP_FREE), first[number]
            done = 1
        at += 1


def workload(name: str, events: int, passes: int = 200) -> pba.Trace:
    """Return a workload of `pba generate` with so many passes at even distances, and no others."""
    from pba.probe.generate import generate

    trace = generate(name, events=events)
    kept = trace.op < OP_SHRINK
    columns: dict[str, Any] = {part: getattr(trace, part)[kept] for part in ("time_ns", "op", "id", "arg")}
    at = np.linspace(0, len(columns["op"]), passes + 2).astype(np.int64)[1:-1]
    rows = {"time_ns": columns["time_ns"][at], "op": OP_SHRINK, "id": 0, "arg": 12 - np.arange(passes) % 5}
    return pba.Trace.from_arrays(
        {part: np.insert(values, at, rows[part]) for part, values in columns.items()}, trace.metadata
    )


def storm(events: int, passes: int = 200, *, base: int = 20_000, seed: int = 1) -> pba.Trace:
    """Return a trace of so many events, passes among them, over a base of so many long-lived tables."""
    columns: dict[str, Any] = {
        "time_ns": np.empty(events, np.int64),
        "op": np.empty(events, np.int8),
        "id": np.empty(events, np.int32),
        "arg": np.empty(events, np.int8),
    }
    _fill(*columns.values(), min(base, events), passes, seed)
    return pba.Trace.from_arrays(columns, pba.Metadata(source="generated", name=f"storm-{events}"))
