"""A compiled trace about to run on a machine that has booted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pba import model, pool
from pba.engine.snapshot import copy_state, rewind
from pba.engine.state import PROGRESS_FIELDS, EngineState
from pba.kernel.replay import new_holders
from pba.kernel.state import LAST_TIME, State

if TYPE_CHECKING:
    from pba.engine.compiled import CompiledTrace
    from pba.machine import Machine


def new_engine_state(compiled: CompiledTrace, machine: Machine) -> tuple[EngineState, State]:
    """Return a compiled trace about to run on a booted machine, and the machine as it booted.

    Replays of a thread on the same machine share its arrays: a new one ends the one before.
    """
    origin, state = _machine(machine)
    nr_slots = compiled.nr_slots
    places = np.empty(nr_slots + 2 * machine.memory_pages, np.int32)
    holders = new_holders(0, compiled.nr_background_slots)._replace(page=places[:nr_slots])
    engine = EngineState(
        state=state._replace(cached=places[nr_slots:]),
        holders=holders,
        events=compiled.events,
        composites=compiled.composites,
        places=places,
        spare=np.empty(compiled.most_moves, np.int32),
        todo=np.empty(64 * compiled.fan, np.int64),  # fewer than `fan` wait at each of at most 63 levels
        progress=np.zeros(PROGRESS_FIELDS, np.int64),
        fan=compiled.fan,
    )
    rewind(engine, origin)
    if compiled.nr_events:
        engine.state.vars[LAST_TIME] = compiled.events.time_ns[0]
    return engine, origin


def _machine(machine: Machine) -> tuple[State, State]:
    """Return a machine as booted, and one to work on; they stay in the pool, for the thread's next replay."""
    kept = pool.share(("compiled", machine))
    if kept is None:
        state = model.boot(machine)
        kept = copy_state(state), state
        pool.give(("compiled", machine), kept)
    return kept[0], kept[1]
