"""A replay of a compiled trace with one set of thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pba import model
from pba._jit import engine_entry
from pba.engine import ahead
from pba.engine.boot import new_engine_state
from pba.engine.members import (
    BATCH,
    DEFERRED,
    MEMBER_FIELDS,
    SHRINK_BLOCK_MIN_FROM,
    SHRINK_BLOCK_MIN_TO,
    UNSHRINKABLE_PAGES,
    Members,
    Span,
)
from pba.engine.quiet import skip_quiet
from pba.engine.state import EngineState
from pba.engine.stretch import end_pass, to_pass
from pba.events import OP_DROP
from pba.kernel.reclaim import do_shrink_slab, drop_slab
from pba.kernel.state import NR_DEFERRED, NR_EVENTS, Tunables
from pba.machine import Machine, Thresholds
from pba.results import ReplayResult

if TYPE_CHECKING:
    from pba.engine.compiled import CompiledTrace


@engine_entry
def run_alone(engine: EngineState, tunables: Tunables, members: Members) -> None:
    """Run one set of thresholds from boot to the trace's end.

    Parameters
    ----------
    members : ndarray of int64, shape (1, MEMBER_FIELDS)
        The same thresholds as a member, for the passes that take nothing.
    """
    while True:
        members[0, DEFERRED] = engine.state.vars[NR_DEFERRED]
        skip_quiet(engine, members, Span(np.int64(0), np.int64(1)))
        engine.state.vars[NR_DEFERRED] = members[0, DEFERRED]
        event = to_pass(engine)
        if event < 0:
            break
        if engine.events.op[event] == OP_DROP:
            drop_slab(engine.state, tunables)
        else:
            do_shrink_slab(engine.state, tunables, np.int64(engine.events.arg[event]))
        end_pass(engine)
    engine.state.vars[NR_EVENTS] = len(engine.events.op)


def replay_compiled(
    compiled: CompiledTrace,
    thresholds: Thresholds | None = None,
    machine: Machine | None = None,
    *,
    strict: bool = False,
) -> ReplayResult:
    """Replay a compiled trace; the result is that of the replay event by event, bit for bit.

    Parameters and errors are those of `pba.replay`.
    """
    machine = machine or model.machine_of(compiled)
    thresholds = thresholds or Thresholds.patch(machine)
    thresholds.check(machine)
    compiled.check(machine, strict)
    engine, _ = new_engine_state(compiled, machine)
    ahead.wait(ahead.ALONE)
    run_alone(engine, model.tunables_of(thresholds), one_member(thresholds))
    counters = model.counters_of(engine.state)
    return ReplayResult(
        trace_name=compiled.name,
        machine=machine,
        thresholds=thresholds,
        counters=counters,
        cache_hash=counters["cache_hash"],
        duration_ns=compiled.duration_ns,
        unknown_frees=compiled.unknown_frees,
    )


def one_member(thresholds: Thresholds) -> NDArray[np.int64]:
    """Return the table of members (`pba.engine.members`) of one set of thresholds."""
    members = np.zeros((1, MEMBER_FIELDS), np.int64)
    members[0, UNSHRINKABLE_PAGES], members[0, BATCH] = thresholds.unshrinkable_pages, thresholds.batch
    members[0, SHRINK_BLOCK_MIN_FROM] = members[0, SHRINK_BLOCK_MIN_TO] = thresholds.shrink_block_min_pages
    return members
