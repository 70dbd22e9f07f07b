"""A compiled trace about to run on a machine that has booted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pba import model, pool
from pba.engine.snapshot import copy_state, rewind
from pba.engine.state import PROGRESS_FIELDS, Composites, EngineState
from pba.events import OP_BG_FREE
from pba.kernel.memory import StartMemory
from pba.kernel.replay import new_holders
from pba.kernel.state import LAST_TIME, Events, State

if TYPE_CHECKING:
    from pba.engine.compiled import CompiledTrace
    from pba.machine import Machine


def new_engine_state(compiled: CompiledTrace, machine: Machine) -> tuple[EngineState, State]:
    """Return a compiled trace about to run on a booted machine, and the machine as it booted.

    Replays of a thread on the same machine share its arrays: a new one ends the one before.
    """
    memory = model.starting_memory(compiled, machine)
    origin, state = _machine(machine, memory, model.start_key(compiled, machine))
    nr_slots = compiled.nr_slots
    places = np.empty(nr_slots + 2 * machine.memory_pages, np.int32)
    holders = new_holders(0, compiled.nr_background_slots)._replace(page=places[:nr_slots])
    events, composites = compiled.events, compiled.composites
    if memory is not None and len(memory.held):
        held = model.held_at_start(compiled)
        model.hold(events, held, memory, holders)
        events, composites = _without(events, composites, held)
    engine = EngineState(
        state=state._replace(cached=places[nr_slots:]),
        holders=holders,
        events=events,
        composites=composites,
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


def _without(events: Events, composites: Composites, held: NDArray[np.intp]) -> tuple[Events, Composites]:
    """Return a compiled trace in which some background allocations do nothing."""
    op, slot = events.op.copy(), events.slot.copy()
    op[held], slot[held] = OP_BG_FREE, -1
    left = composites.background[~np.isin(composites.background, held)]
    return events._replace(op=op, slot=slot), composites._replace(background=left)


def _machine(machine: Machine, memory: StartMemory | None, of_trace: str) -> tuple[State, State]:
    """Return a machine as booted, and one to work on; they stay in the pool, for the thread's next replay.

    Its place there names what memory it started with, which may be the trace's own.
    """
    place = "compiled", machine, of_trace
    kept = pool.share(place)
    if kept is None:
        state = model.boot(machine, memory)
        kept = copy_state(state), state
        pool.give(place, kept)
    return kept[0], kept[1]
