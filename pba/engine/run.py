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
)
from pba.events import OP_ALLOC, OP_FREE
from pba.kernel.replay import add_area, background_event, give_page, replay_stretch, take_page
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
)


@kernel_inline
def pass_time(run, time_ns):
    """Let time go on to `time_ns` with the pages that are cached now."""
    add_area(run.state, time_ns - run.state.vars[LAST_TIME])
    run.state.vars[LAST_TIME] = time_ns


@kernel_inline
def _take_up(run, at, mark, top):
    """Take up the page at a mark; return its block. `top` is the index above the list's head."""
    page = run.places[np.uint64(mark + (top if mark < 0 else 0))]
    run.spare[np.uint64(at)] = page
    return np.uint64(page) >> np.uint64(run.state.orders.block)


@kernel_inline
def _count(run, block, change):
    """Add `change` to the free pages of a block; return what of it concerns pages of no block."""
    nr_free = run.state.block_nr_free[block]
    managed = nr_free != NOT_MANAGED
    run.state.block_nr_free[block] = nr_free + (change if managed else 0)
    return 0 if managed else change


@kernel_function
def _transfer(run, node):
    """Move the pages of a composite.

    Those that come to the list and stood in a slot are counted with `inc_block_nr_free()`, those that go
    from the list to a slot with `dec_block_nr_free()`; a page that leaves the list has no other way to go.
    """
    push, push_end = run.composites.node[node, PUSH], run.composites.node[node + 1, PUSH]
    write, write_end = run.composites.node[node, WRITE], run.composites.node[node + 1, WRITE]
    list_start = len(run.holders.page)
    top = list_start + run.state.vars[NR_CACHED]
    base = top - run.composites.node[node, DROP]
    nr_pushed = push_end - push
    nonblock = np.int64(0)
    for i in range(nr_pushed):
        mark = np.int64(run.composites.push[np.uint64(push + i)])
        block = _take_up(run, i, mark, top)
        nonblock += _count(run, block, np.int64(mark >= 0))
    for i in range(write_end - write):
        mark = np.int64(run.composites.write[np.uint64(write + i), 0])
        block = _take_up(run, nr_pushed + i, mark, top)
        nonblock += _count(run, block, -np.int64(mark < 0))
    for i in range(nr_pushed):
        run.places[np.uint64(base + i)] = run.spare[np.uint64(i)]
    for i in range(write_end - write):
        slot = run.composites.write[np.uint64(write + i), 1]
        run.places[np.uint64(slot)] = run.spare[np.uint64(nr_pushed + i)]
    run.state.vars[NR_NONBLOCK] += nonblock
    run.state.vars[NR_CACHED] = base + nr_pushed - list_start


@kernel_function
def apply(run, at):
    """Do at once what all events of a composite do."""
    var = run.state.vars
    node = run.composites.node[at]
    var[PEAK_CACHED] = max(var[PEAK_CACHED], var[NR_CACHED] + node[PEAK])
    pass_time(run, node[LAST_TIME_NS])
    low = var[AREA_LOW] + node[AREA]
    var[AREA_HIGH] += low >> AREA_BITS
    var[AREA_LOW] = low & ((1 << AREA_BITS) - 1)
    var[ALLOCS] += node[ALLOCS_IN]
    var[FREES] += node[FREES_IN]
    _transfer(run, at)


@kernel_function
def catch_up(run, event):
    """Apply the background events before `event` to the buddy allocator, which is about to be used."""
    background = run.composites.background
    done = run.progress[BACKGROUND]
    while done < len(background) and background[done] < event:
        at = background[done]
        if run.events.slot[at] >= 0:
            background_event(
                run.state, run.holders, run.events.op[at], (run.events.slot[at], run.events.arg[at])
            )
        done += 1
    run.progress[BACKGROUND] = done


@kernel_function
def _single_event(run, at):
    """Replay one event that is no pass, and for which a stretch of the kernel's ends."""
    var = run.state.vars
    slot = np.int64(run.events.slot[at])
    op = run.events.op[at]
    pass_time(run, run.events.time_ns[at])
    if op == OP_ALLOC:
        take_page(run.state, run.holders, slot)
        run.progress[NR_FAILED] += run.holders.page[slot] == NIL
    elif slot >= 0:
        if op == OP_FREE:
            run.progress[NR_FAILED] -= run.holders.page[slot] == NIL
            give_page(run.state, run.holders, slot)
        else:
            background_event(run.state, run.holders, op, (slot, run.events.arg[at]))
    var[PEAK_CACHED] = max(var[PEAK_CACHED], var[NR_CACHED])


@kernel_function
def _event_by_event(run, first, end):
    """Replay the events of a chunk, background events among them."""
    catch_up(run, first)
    at = first
    while at < end:
        at = replay_stretch(run.state, run.holders, run.events, at, end)
        if at < end:
            _single_event(run, at)
            at += 1
    background = run.composites.background
    done = run.progress[BACKGROUND]
    while done < len(background) and background[done] < end:
        done += 1
    run.progress[BACKGROUND] = done


@kernel_inline
def _span_of(run, stretch):
    """Return the first event of a stretch, and the one after its last."""
    passes = run.composites.pass_event
    first = passes[stretch - 1] + 1 if stretch > 0 else np.int64(0)
    return first, passes[stretch] if stretch < len(passes) else np.int64(len(run.events.op))


@kernel_function
def through_stretch(run):
    """Go on through the current stretch, by the largest composites that need no refill.

    After a refill the rest of its chunk is replayed event by event; then composites serve again. A short
    stretch has none.
    """
    node = run.composites.node
    todo = run.todo
    stretch = run.progress[STRETCH]
    todo[0] = run.composites.root[stretch]
    left = 1
    if todo[0] < 0:
        left = 0
        _event_by_event(run, *_span_of(run, stretch))
    while left > 0:
        left -= 1
        at = todo[left]
        if run.progress[NR_FAILED] == 0 and run.state.vars[NR_CACHED] >= node[at, NEED]:
            apply(run, at)
        elif node[at, CHILDREN] == 0:
            _event_by_event(run, node[at, FIRST], node[at, END])
        else:
            for child in range(node[at, CHILD] + node[at, CHILDREN] - 1, node[at, CHILD] - 1, -1):
                todo[left] = child
                left += 1


@kernel_function
def to_pass(run):
    """Go on to the pass after the current stretch; return its event, or -1 at the trace's end."""
    through_stretch(run)
    stretch = run.progress[STRETCH]
    nr_events = len(run.events.op)
    if stretch == len(run.composites.pass_event):
        catch_up(run, nr_events)
        if nr_events > 0:
            pass_time(run, run.events.time_ns[nr_events - 1])
        return np.int64(-1)
    event = run.composites.pass_event[stretch]
    pass_time(run, run.events.time_ns[event])
    catch_up(run, event)
    return event


@kernel_inline
def end_pass(run):
    """End the pass at hand."""
    run.state.vars[PEAK_CACHED] = max(run.state.vars[PEAK_CACHED], run.state.vars[NR_CACHED])
    run.progress[STRETCH] += 1
