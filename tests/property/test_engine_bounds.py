"""Whatever the sizes of composites, no stack or buffer of the engine is overrun.

With NUMBA_BOUNDSCHECK=1 each index is checked; without it the ends are compared with those of the events, and
the canaries behind the stacks that are sized by a bound are looked at.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from numba import config

from pba import model
from pba.engine.alone import one_member, run_alone
from pba.engine.boot import new_engine_state
from pba.engine.compile import MOST_CHUNK_EVENTS, MOST_FAN, compile_trace
from pba.machine import Machine, Thresholds
from tests.property.generate import random_scenario
from tests.property.test_engine import (
    assert_same_state,
    check_search,
    event_by_event,
    many_passes,
    trace_of,
)

SEEDS = range(4) if config.DISABLE_JIT else range(60)
CANARY = -(1 << 40)


def sizes(rng: random.Random) -> tuple[int, int]:
    """Return random sizes, the least and the most among them."""
    chunk_events = rng.choice([1, 2, 3, rng.randint(1, 64), rng.randint(1, 2000), MOST_CHUNK_EVENTS])
    return chunk_events, rng.choice([2, 3, rng.randint(2, 20), rng.randint(2, MOST_FAN), MOST_FAN])


@pytest.mark.parametrize("seed", SEEDS)
def test_no_stack_is_overrun(seed: int) -> None:
    rng = random.Random(seed)
    if seed % 2:
        trace, machine, thresholds = many_passes(rng)
    else:
        scenario = random_scenario(seed)
        trace, machine = trace_of(scenario), Machine(*scenario.machine)
        thresholds = Thresholds(*scenario.thresholds)
    chunk_events, fan = sizes(rng)
    compiled = compile_trace(trace, chunk_events=chunk_events, fan=fan)
    engine, _ = new_engine_state(compiled, machine)
    guarded = np.full(len(engine.todo) + 4096, CANARY)
    run_alone(
        engine._replace(todo=guarded[: len(engine.todo)]),
        model.tunables_of(thresholds),
        one_member(thresholds),
    )
    assert (guarded[len(engine.todo) :] == CANARY).all()
    assert_same_state(engine, *event_by_event(trace, thresholds, machine), trace)
    if seed % 6 == 0:
        check_search(trace, compiled, machine, ([0, 16], [64, machine.block_nr_pages]))
