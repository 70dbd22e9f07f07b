"""Running a compiled trace: between two passes whole composites, around a refill single events."""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.engine.state import (
    ALLOCS_IN,
    AREA,
    BACKGROUND,
    CHILD,
    CHILDREN,
    DROP,
    END,
    FIRST,
    FREES_IN,
    LAST_TIME_NS,
    NEED,
    NR_FAILED,
    PEAK,
    PUSH,
    STRETCH,
    WRITE,
    EngineState,
)
from pba.events import OP_ALLOC, OP_FREE
from pba.kernel.reclaim import count_pass
from pba.kernel.replay import Operand, add_area, background_event, give_page, replay_stretch, take_page
from pba.kernel.state import (
    ALLOCS,
    AREA_BITS,
    AREA_HIGH,
    AREA_LOW,
    FREES,
    LAST_TIME,
    NIL,
    NOT_MANAGED,
    NR_CACHED,
    NR_NONBLOCK,
    PEAK_CACHED,
    Int,
)


@kernel_inline
def pass_time(engine: EngineState, time_ns: Int) -> None:
    """Let time go on to `time_ns` with the pages that are cached now."""
    add_area(engine.state, time_ns - engine.state.vars[LAST_TIME])
    engine.state.vars[LAST_TIME] = time_ns


@kernel_inline
def _take_up(engine: EngineState, at: Int, mark: Int, top: Int) -> np.uint64:
    """Take up the page at a mark; return its block. `top` is the index above the list's head."""
    page = engine.places[np.uint64(mark + (top if mark < 0 else 0))]
    engine.spare[np.uint64(at)] = page
    return np.uint64(page) >> np.uint64(engine.state.orders.block)


@kernel_inline
def _count(engine: EngineState, block: Int, change: Int) -> Int:
    """Add `change` to the free pages of a block; return what of it concerns pages of no block."""
    nr_free = engine.state.block_nr_free[block]
    managed = nr_free != NOT_MANAGED
    engine.state.block_nr_free[block] = nr_free + (change if managed else 0)
    return 0 if managed else change


@kernel_function
def _transfer(engine: EngineState, node: Int) -> None:
    """Move the pages of a composite.

    Those that come to the list and stood in a slot are counted with `inc_block_nr_free()`, those that go
    from the list to a slot with `dec_block_nr_free()`; a page that leaves the list has no other way to go.
    """
    push, push_end = engine.composites.node[node, PUSH], engine.composites.node[node + 1, PUSH]
    write, write_end = engine.composites.node[node, WRITE], engine.composites.node[node + 1, WRITE]
    list_start = len(engine.holders.page)
    top = list_start + engine.state.vars[NR_CACHED]
    base = top - engine.composites.node[node, DROP]
    nr_pushed = push_end - push
    nonblock = np.int64(0)
    for i in range(nr_pushed):
        mark = np.int64(engine.composites.push[np.uint64(push + i)])
        block = _take_up(engine, i, mark, top)
        nonblock += _count(engine, block, np.int64(mark >= 0))
    for i in range(write_end - write):
        mark = np.int64(engine.composites.write[np.uint64(write + i), 0])
        block = _take_up(engine, nr_pushed + i, mark, top)
        nonblock += _count(engine, block, -np.int64(mark < 0))
    for i in range(nr_pushed):
        engine.places[np.uint64(base + i)] = engine.spare[np.uint64(i)]
    for i in range(write_end - write):
        slot = engine.composites.write[np.uint64(write + i), 1]
        engine.places[np.uint64(slot)] = engine.spare[np.uint64(nr_pushed + i)]
    engine.state.vars[NR_NONBLOCK] += nonblock
    engine.state.vars[NR_CACHED] = base + nr_pushed - list_start


@kernel_function
def apply(engine: EngineState, at: Int) -> None:
    """Do at once what all events of a composite do."""
    var = engine.state.vars
    node = engine.composites.node[at]
    var[PEAK_CACHED] = max(var[PEAK_CACHED], var[NR_CACHED] + node[PEAK])
    pass_time(engine, node[LAST_TIME_NS])
    low = var[AREA_LOW] + node[AREA]
    var[AREA_HIGH] += low >> AREA_BITS
    var[AREA_LOW] = low & ((1 << AREA_BITS) - 1)
    var[ALLOCS] += node[ALLOCS_IN]
    var[FREES] += node[FREES_IN]
    _transfer(engine, at)


@kernel_function
def catch_up(engine: EngineState, event: Int) -> None:
    """Apply the background events before `event` to the buddy allocator, which is about to be used."""
    background = engine.composites.background
    done = engine.progress[BACKGROUND]
    while done < len(background) and background[done] < event:
        at = background[done]
        if engine.events.slot[at] >= 0:
            about = Operand(engine.events.slot[at], engine.events.arg[at])
            background_event(engine.state, engine.holders, engine.events.op[at], about)
        done += 1
    engine.progress[BACKGROUND] = done


@kernel_function
def _single_event(engine: EngineState, at: Int) -> None:
    """Replay one event that is no pass, and for which a stretch of the kernel's ends."""
    var = engine.state.vars
    slot = np.int64(engine.events.slot[at])
    op = engine.events.op[at]
    pass_time(engine, engine.events.time_ns[at])
    if op == OP_ALLOC:
        take_page(engine.state, engine.holders, slot)
        engine.progress[NR_FAILED] += engine.holders.page[slot] == NIL
    elif slot >= 0:
        if op == OP_FREE:
            engine.progress[NR_FAILED] -= engine.holders.page[slot] == NIL
            give_page(engine.state, engine.holders, slot)
        else:
            background_event(engine.state, engine.holders, op, Operand(slot, engine.events.arg[at]))
    var[PEAK_CACHED] = max(var[PEAK_CACHED], var[NR_CACHED])


@kernel_function
def _event_by_event(engine: EngineState, first: Int, end: Int) -> None:
    """Replay the events of a chunk, background events among them."""
    catch_up(engine, first)
    at = first
    while at < end:
        at = replay_stretch(engine.state, engine.holders, engine.events, at, end)
        if at < end:
            _single_event(engine, at)
            at += 1
    background = engine.composites.background
    done = engine.progress[BACKGROUND]
    while done < len(background) and background[done] < end:
        done += 1
    engine.progress[BACKGROUND] = done


@kernel_inline
def _span_of(engine: EngineState, stretch: Int) -> tuple[Int, Int]:
    """Return the first event of a stretch, and the one after its last."""
    passes = engine.composites.pass_event
    first = passes[stretch - 1] + 1 if stretch > 0 else np.int64(0)
    end = passes[stretch] if stretch < len(passes) else len(engine.events.op)
    return np.int64(first), np.int64(end)


@kernel_function
def through_stretch(engine: EngineState) -> None:
    """Go on through the current stretch, by the largest composites that need no refill.

    After a refill the rest of its chunk is replayed event by event; then composites serve again. A short
    stretch has none.
    """
    node = engine.composites.node
    todo = engine.todo
    stretch = engine.progress[STRETCH]
    todo[0] = engine.composites.root[stretch]
    left = 1
    if todo[0] < 0:
        left = 0
        _event_by_event(engine, *_span_of(engine, stretch))
    while left > 0:
        left -= 1
        at = todo[left]
        if engine.progress[NR_FAILED] == 0 and engine.state.vars[NR_CACHED] >= node[at, NEED]:
            apply(engine, at)
        elif node[at, CHILDREN] == 0:
            _event_by_event(engine, node[at, FIRST], node[at, END])
        else:
            for child in range(node[at, CHILD] + node[at, CHILDREN] - 1, node[at, CHILD] - 1, -1):
                todo[left] = child
                left += 1


@kernel_function
def to_pass(engine: EngineState) -> Int:
    """Go on to the pass after the current stretch; return its event, or -1 at the trace's end."""
    through_stretch(engine)
    stretch = engine.progress[STRETCH]
    nr_events = len(engine.events.op)
    if stretch == len(engine.composites.pass_event):
        catch_up(engine, nr_events)
        if nr_events > 0:
            pass_time(engine, engine.events.time_ns[nr_events - 1])
        return np.int64(-1)
    event = engine.composites.pass_event[stretch]
    pass_time(engine, engine.events.time_ns[event])
    catch_up(engine, event)
    return event


@kernel_inline
def end_pass(engine: EngineState) -> None:
    """End the pass at hand."""
    count_pass(engine.state)
    engine.state.vars[PEAK_CACHED] = max(engine.state.vars[PEAK_CACHED], engine.state.vars[NR_CACHED])
    engine.progress[STRETCH] += 1
