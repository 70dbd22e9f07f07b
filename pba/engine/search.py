"""All thresholds of a grid at once: they share a state for as long as they take the same pages.

A group is a set of members (see `pba.engine.members`) in one state. Where their decisions part, the state is
kept, and the classes of those that decide alike go on one after the other, the lightest first: so the
snapshots kept at once are at most the logarithm of the number of points.

The functions of a search are compiled into each other. A call of one would copy all arrays of state and search,
some 400 words, to the stack and back: that took four fifths of the time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import engine_entry, kernel_inline
from pba.engine.members import (
    ACTIVE,
    BATCH,
    CLASS,
    DEFERRED,
    NONBLOCKS,
    SCANS,
    SHRINK_BLOCK_MIN_FROM,
    SHRINK_BLOCK_MIN_TO,
    STOPS,
    TAKEN,
    TARGET,
    UNSHRINKABLE_PAGES,
    Members,
    Span,
    begin_call,
    classify,
    count_scan,
    decide,
    end_calls,
    some_scan,
    sort_by_weight,
)
from pba.engine.quiet import skip_quiet
from pba.engine.snapshot import Shelf, has_room, keep, restore
from pba.engine.state import CALL_FREED, DROP_SHIFT, IN_PASS, STRETCH, EngineState
from pba.engine.stretch import end_pass, to_pass
from pba.events import OP_DROP
from pba.kernel.reclaim import DROP_PRIORITY, drops_again
from pba.kernel.replay import cache_hash
from pba.kernel.shrinker import shrink, walk_cached_list
from pba.kernel.state import (
    BLOCKS_SPLIT_BY_SHRINKER,
    NIL,
    NONBLOCK_SCANS,
    NR_CACHED,
    NR_DEFERRED,
    NR_EVENTS,
    NR_VARS,
    SCAN_CALLS,
    SCAN_STOPS,
    SHRINK_CALLS,
    WALKED_TO,
    Flag,
    Int,
)

# --- progress[IN_PASS] ---
OUTSIDE: Final = 0
TO_DECIDE: Final = 1
TO_PART: Final = 2  # decided, but perhaps not alike
TO_ACT: Final = 3

# --- Search.cursor ---
(
    NR_PENDING,
    GROUP_FIRST,
    GROUP_END,
    DEPTH,  # snapshots kept
    NR_RESULTS,
    STEPS,  # passes that the search may still make before it returns
    CURSOR_FIELDS,
) = range(7)

# --- what `search` returns ---
DONE: Final = 0
MORE_MEMBERS: Final = 1
MORE_SHELF: Final = 2
MORE_RESULTS: Final = 3
TICK: Final = 4  # nothing is wrong: the caller may look around, and call again
GROUP_OVER: Final = 5

# --- a row of results: a member, then the state's vars ---
RESULT_HASH: Final = 4
RESULT_VARS: Final = 5


class Search(NamedTuple):
    """Where a search stands; `search` goes on from here."""

    shelf: Shelf
    members: Members  # (m, MEMBER_FIELDS); those of the current group are the last
    spare: Members  # (m, MEMBER_FIELDS)
    weights: NDArray[np.int64]  # (m,)
    pending: NDArray[np.int64]  # (m, 4): a group's first member, the one after its last, its snapshot,
    # whether it is the last that needs it
    results: NDArray[np.int64]  # (rows, RESULT_VARS + NR_VARS)
    cursor: NDArray[np.int64]  # (CURSOR_FIELDS,)


@kernel_inline
def _span(search: Search) -> Span:
    """Return the current group's members."""
    return Span(search.cursor[GROUP_FIRST], search.cursor[GROUP_END])


@kernel_inline
def _begin_call(engine: EngineState, search: Search) -> None:
    """Begin `do_shrink_slab()` for the pass at hand."""
    event = engine.composites.pass_event[engine.progress[STRETCH]]
    priority = np.int64(engine.events.arg[event])
    if engine.events.op[event] == OP_DROP:
        priority = DROP_PRIORITY
    engine.state.vars[SHRINK_CALLS] += 1
    engine.progress[CALL_FREED] = 0
    engine.progress[IN_PASS] = TO_DECIDE
    begin_call(search.members, _span(search), engine.state.vars[NR_CACHED], priority)


@kernel_inline
def _to_next_pass(engine: EngineState, search: Search) -> Flag:
    """Go on to the next pass, or the end; return whether there is a pass."""
    if to_pass(engine) < 0:
        return False
    engine.progress[DROP_SHIFT] = 0
    _begin_call(engine, search)
    return True


@kernel_inline
def _decide(engine: EngineState, search: Search) -> None:
    """Let the group decide about the next scan."""
    span = _span(search)
    engine.progress[IN_PASS] = TO_ACT
    if not some_scan(search.members, span):
        end_calls(search.members, span)
        return
    state = engine.state
    found = walk_cached_list(state)
    end = decide(search.members, span, found, state.vars[NR_CACHED], 1 << state.orders.block)
    search.cursor[GROUP_END] = end
    if end - span.first > 1:
        engine.progress[IN_PASS] = TO_PART


@kernel_inline
def _part(engine: EngineState, search: Search) -> Int:
    """Part the group where its members' decisions differ; return 0 if there is no room to keep the state."""
    span = _span(search)
    nr_classes = classify(search.members, span, search.weights)
    if nr_classes > 1:
        depth = search.cursor[DEPTH]
        if not has_room(search.shelf, engine, depth):
            return 0
        sort_by_weight(search.members, span, search.weights, search.spare)
        engine.progress[IN_PASS] = TO_ACT
        keep(search.shelf, engine, depth)
        search.cursor[DEPTH] = depth + 1
        _put_off(search, span, depth)
    engine.progress[IN_PASS] = TO_ACT
    return 1


@kernel_inline
def _put_off(search: Search, span: Span, depth: Int) -> None:
    """Put off all classes of the sorted span but the last, which is the current group from now on."""
    first = span.first
    last_user = 1
    for i in range(span.first + 1, span.end):
        if search.members[i, CLASS] != search.members[first, CLASS]:
            pending = search.pending[search.cursor[NR_PENDING]]
            pending[0] = first
            pending[1] = i
            pending[2] = depth
            pending[3] = last_user
            search.cursor[NR_PENDING] += 1
            last_user = 0
            first = i
    search.cursor[GROUP_FIRST] = first


@kernel_inline
def _act(engine: EngineState, search: Search) -> Flag:
    """Do what the group has decided; return whether the pass goes on."""
    var = engine.state.vars
    member = search.members[search.cursor[GROUP_FIRST]]
    if member[ACTIVE]:
        target = member[TARGET]
        nr_target = np.int64(0)
        if target != NIL:
            nr_target = np.int64(engine.state.block_nr_free[target])
            var[BLOCKS_SPLIT_BY_SHRINKER] += nr_target != 1 << engine.state.orders.block
        nr_freed = shrink(engine.state, target, nr_target, member[TAKEN])
        engine.progress[CALL_FREED] += nr_freed
        count_scan(search.members, _span(search), member[TAKEN], nr_freed)
        engine.progress[IN_PASS] = TO_DECIDE
        return True
    var[WALKED_TO] = 0
    event = engine.composites.pass_event[engine.progress[STRETCH]]
    if engine.events.op[event] == OP_DROP and drops_again(
        engine.progress[CALL_FREED], engine.progress[DROP_SHIFT]
    ):
        engine.progress[DROP_SHIFT] += 1
        _begin_call(engine, search)
        return True
    end_pass(engine)
    engine.progress[IN_PASS] = OUTSIDE
    return False


@kernel_inline
def _through_pass(engine: EngineState, search: Search) -> Int:
    """Bring the pass at hand to its end; return GROUP_OVER, or what there is not enough of."""
    going_on: Flag = True
    while going_on:
        if engine.progress[IN_PASS] == TO_DECIDE:
            if 2 * search.cursor[GROUP_END] - search.cursor[GROUP_FIRST] > len(search.members):
                return MORE_MEMBERS
            _decide(engine, search)
        if engine.progress[IN_PASS] == TO_PART and not _part(engine, search):
            return MORE_SHELF
        going_on = _act(engine, search)
    return GROUP_OVER


@kernel_inline
def _run_group(engine: EngineState, search: Search) -> Int:
    """Bring the current group to the trace's end; return GROUP_OVER, or why not."""
    while True:
        if engine.progress[IN_PASS] == OUTSIDE:
            if search.cursor[STEPS] <= 0:
                return TICK
            search.cursor[STEPS] -= 1
            skip_quiet(engine, search.members, _span(search))
            if not _to_next_pass(engine, search):
                return GROUP_OVER
        status = _through_pass(engine, search)
        if status != GROUP_OVER:
            return status


@kernel_inline
def _write_results(engine: EngineState, search: Search) -> None:
    """Write a row for each member of the group."""
    first, end = _span(search)
    value = np.int64(cache_hash(engine.state))
    for i in range(first, end):
        row = search.results[search.cursor[NR_RESULTS]]
        member = search.members[i]
        row[0] = member[UNSHRINKABLE_PAGES]
        row[1] = member[BATCH]
        row[2] = member[SHRINK_BLOCK_MIN_FROM]
        row[3] = member[SHRINK_BLOCK_MIN_TO]
        row[RESULT_HASH] = value
        for var in range(NR_VARS):
            row[RESULT_VARS + var] = engine.state.vars[var]
        row[RESULT_VARS + SCAN_CALLS] = member[SCANS]
        row[RESULT_VARS + SCAN_STOPS] = member[STOPS]
        row[RESULT_VARS + NONBLOCK_SCANS] = member[NONBLOCKS]
        row[RESULT_VARS + NR_DEFERRED] = member[DEFERRED]
        row[RESULT_VARS + NR_EVENTS] = len(engine.events.op)
        search.cursor[NR_RESULTS] += 1


@kernel_inline
def _next_group(engine: EngineState, search: Search) -> Flag:
    """Make the group put off last the current one; return whether there is one."""
    if search.cursor[NR_PENDING] == 0:
        return False
    search.cursor[NR_PENDING] -= 1
    first, end, depth, last_user = search.pending[search.cursor[NR_PENDING]]
    restore(search.shelf, engine, depth)
    search.cursor[DEPTH] = depth + 1 - last_user
    search.cursor[GROUP_FIRST] = first
    search.cursor[GROUP_END] = end
    return True


@engine_entry
def search(engine: EngineState, search: Search) -> Int:
    """Run all groups to the end of the trace; return DONE, or what to do before calling again."""
    while True:
        if search.cursor[NR_RESULTS] + len(search.members) > len(search.results):
            return MORE_RESULTS
        status = _run_group(engine, search)
        if status != GROUP_OVER:
            return status
        _write_results(engine, search)
        if not _next_group(engine, search):
            return DONE
