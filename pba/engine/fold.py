"""Folding events into composites: what a run of allocations and frees does, whatever the thresholds are.

A run is played with marks instead of pages. A mark says where the page was at the run's start: a slot, or a
place on the cached list counted from its head (see `pba.engine.state.Composites`). What the marks' places are
at the end is the transfer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import engine_entry, kernel_function, kernel_inline
from pba.engine.state import (
    ALLOCS_IN,
    AREA,
    CHILD,
    CHILDREN,
    DROP,
    END,
    FIRST,
    FREES_IN,
    LAST_TIME_NS,
    NEED,
    NEVER,
    PEAK,
    PUSH,
    SPAN_NS,
    WRITE,
)
from pba.events import OP_ALLOC, OP_FREE
from pba.kernel.allocator import PBA_NR_RESERVED_PAGES
from pba.kernel.state import Events, Int

MOST_AREA: Final = 1 << 60
"""Composites keep their time integral below this, so that sums of a few fit 64 bits."""
GONE: Final = -(1 << 31)
"""No mark: the slot's page has moved on."""


class Stretches(NamedTuple):
    """What lies between passes."""

    first: NDArray[np.int64]  # (s,) the first event of each,
    end: NDArray[np.int64]  # (s,) and its pass, or the trace's end


class Trees(NamedTuple):
    """The nodes that a level has for each bundle, and for the stretch after the last pass."""

    first: NDArray[np.int64]  # (b + 1,) the first node of each,
    nr_nodes: NDArray[np.int64]  # (b + 1,) and how many there are


class Played(NamedTuple):
    """How far a node's events have been played. All int."""

    depth: Int  # marks on the stack
    lowest: Int  # pages taken off the list that it began with
    nr_touched: Int  # slots that have changed


class Fold(NamedTuple):
    """Where composites are built."""

    node: NDArray[np.int64]
    push: NDArray[np.int32]
    write: NDArray[np.int32]
    mark: NDArray[np.int32]  # (slots,) the mark in a slot, if `stamp` holds the number of this node
    stamp: NDArray[np.int32]  # (slots,)
    stack: NDArray[np.int32]  # marks laid on the list by this node
    touched: NDArray[np.int32]  # slots whose `stamp` is this node's
    moved: NDArray[np.int32]  # marks on their way
    children: NDArray[np.int64]  # (fan,) nodes to be joined
    chunk_events: int  # most events of a chunk
    fan: int  # most children of a node


@kernel_inline
def _lay(fold: Fold, at: Int, depth: Int, nr_touched: Int, lowest: Int) -> None:
    """Write down the transfer of node `at`: `depth` marks on the stack, `lowest` pages taken off the list.

    Pages that went back to where they came from at the bottom of all that is left out, and so are slots
    that hold what they held.
    """
    node = fold.node[at]
    same = 0
    while same < depth and same < lowest and fold.stack[same] == same - lowest:
        same += 1
    node[DROP] = lowest - same
    push = node[PUSH]
    for i in range(same, depth):
        fold.push[push] = fold.stack[i]
        push += 1
    write = node[WRITE]
    for i in range(nr_touched):
        slot = fold.touched[i]
        mark = fold.mark[slot]
        fold.write[write, 0] = mark
        fold.write[write, 1] = slot
        write += mark != GONE and mark != slot
    fold.node[at + 1, PUSH] = push
    fold.node[at + 1, WRITE] = write


@kernel_function
def _fold_chunk(fold: Fold, events: Events, at: Int, first: Int, end: Int) -> None:
    """Fold events `first` to `end` - 1 into node `at`."""
    node = fold.node[at]
    depth = np.int64(0)
    lowest = np.int64(0)
    nr_touched = np.int64(0)
    cached = np.int64(0)
    need = np.int64(0)
    peak = np.int64(0)
    area = np.int64(0)
    nr_allocs = np.int64(0)
    nr_frees = np.int64(0)
    last = events.time_ns[first]
    span = events.time_ns[end - 1] - last
    for i in range(first, end):
        slot = np.int64(events.slot[i])
        op = events.op[i]
        time_ns = events.time_ns[i]
        area += cached * (time_ns - last)
        last = time_ns
        if op == OP_ALLOC:
            need = max(need, PBA_NR_RESERVED_PAGES + 1 - cached)
            if depth > 0:
                depth -= 1
                mark = fold.stack[depth]
            else:
                lowest += 1
                mark = np.int32(-lowest)
            fold.touched[nr_touched] = slot
            nr_touched += fold.stamp[slot] != at
            fold.stamp[slot] = at
            fold.mark[slot] = mark
            cached -= 1
            nr_allocs += 1
        elif op == OP_FREE and slot >= 0:
            mark = np.int32(slot)
            if fold.stamp[slot] == at:
                mark = fold.mark[slot]
                fold.mark[slot] = GONE
            fold.stack[depth] = mark
            depth += 1
            cached += 1
            peak = max(peak, cached)
            nr_frees += 1
    node[FIRST] = first
    node[END] = end
    node[LAST_TIME_NS] = last
    node[ALLOCS_IN] = nr_allocs
    node[FREES_IN] = nr_frees
    node[SPAN_NS] = span
    node[NEED] = NEVER if span >= MOST_AREA // fold.chunk_events else need
    node[PEAK] = peak
    node[AREA] = area
    node[CHILDREN] = 0
    _lay(fold, at, depth, nr_touched, lowest)


@kernel_function
def _fold_stretch(fold: Fold, events: Events, at: Int, first: Int, end: Int) -> Int:
    """Fold events `first` to `end` - 1 into chunks, nodes `at` and on; return the node after them."""
    while first < end:
        stop = min(first + fold.chunk_events, end)
        _fold_chunk(fold, events, at, first, stop)
        first = stop
        at += 1
    return at


@kernel_inline
def _origin(fold: Fold, at: Int, mark: Int, depth: Int, lowest: Int) -> Int:
    """Return the mark of the page that a child finds at `mark`, as node `at` has left things so far."""
    if mark >= 0:
        return fold.mark[mark] if fold.stamp[mark] == at else np.int32(mark)
    if mark + depth >= 0:
        return np.int32(fold.stack[mark + depth])
    return np.int32(mark + depth - lowest)


@kernel_inline
def _take_away(fold: Fold, at: Int, mark: Int) -> None:
    """Note that a slot's page has moved on."""
    if mark >= 0 and fold.stamp[mark] == at:
        fold.mark[mark] = GONE


@kernel_function
def _join_child(fold: Fold, at: Int, child: Int, so_far: Played) -> Played:
    """Play a child's transfer with marks, after what was played so far; return how far it is then."""
    depth, lowest, nr_touched = so_far
    push, push_end = fold.node[child, PUSH], fold.node[child + 1, PUSH]
    write, write_end = fold.node[child, WRITE], fold.node[child + 1, WRITE]
    nr_moved = 0
    for i in range(push, push_end):
        fold.moved[nr_moved] = _origin(fold, at, np.int64(fold.push[i]), depth, lowest)
        nr_moved += 1
    for i in range(write, write_end):
        fold.moved[nr_moved] = _origin(fold, at, np.int64(fold.write[i, 0]), depth, lowest)
        nr_moved += 1
    for i in range(push, push_end):
        _take_away(fold, at, fold.push[i])
    for i in range(write, write_end):
        _take_away(fold, at, fold.write[i, 0])
    depth -= fold.node[child, DROP]
    if depth < 0:
        lowest -= depth
        depth = 0
    for i in range(push_end - push):
        fold.stack[depth] = fold.moved[i]
        depth += 1
    for i in range(write, write_end):
        slot = fold.write[i, 1]
        fold.touched[nr_touched] = slot
        nr_touched += fold.stamp[slot] != at
        fold.stamp[slot] = at
        fold.mark[slot] = fold.moved[push_end - push + i - write]
    return Played(depth, lowest, nr_touched)


@kernel_function
def _fold_children(fold: Fold, at: Int, children: NDArray[np.int64]) -> None:
    """Fold nodes that follow on each other into node `at`."""
    node = fold.node[at]
    before_ns = fold.node[children[0], LAST_TIME_NS]
    first_ns = before_ns - fold.node[children[0], SPAN_NS]
    so_far = Played(np.int64(0), np.int64(0), np.int64(0))
    cached = np.int64(0)
    widest = np.int64(1)
    node[FIRST] = fold.node[children[0], FIRST]
    node[ALLOCS_IN] = node[FREES_IN] = node[NEED] = node[PEAK] = node[AREA] = 0
    for i in range(len(children)):
        child = children[i]
        part = fold.node[child]
        need = NEVER if part[NEED] >= NEVER // 2 else part[NEED] - cached
        node[NEED] = max(node[NEED], need)
        node[PEAK] = max(node[PEAK], cached + part[PEAK])
        widest = max(widest, abs(cached) + part[ALLOCS_IN] + part[FREES_IN])
        if i > 0:
            node[AREA] += cached * (part[LAST_TIME_NS] - before_ns)
        node[AREA] += part[AREA]
        before_ns = part[LAST_TIME_NS]
        cached += part[FREES_IN] - part[ALLOCS_IN]
        node[ALLOCS_IN] += part[ALLOCS_IN]
        node[FREES_IN] += part[FREES_IN]
        so_far = _join_child(fold, at, child, so_far)
    node[END] = fold.node[children[-1], END]
    node[LAST_TIME_NS] = before_ns
    node[SPAN_NS] = before_ns - first_ns
    if node[SPAN_NS] >= MOST_AREA // widest:
        node[NEED] = NEVER
    node[CHILD] = children[0]
    node[CHILDREN] = len(children)
    depth, lowest, nr_touched = so_far
    _lay(fold, at, depth, nr_touched, lowest)


@engine_entry
def bundle_up(stretches: Stretches, limit: Int, bundle: NDArray[np.int64]) -> Int:
    """Bundle stretches that follow on each other, until a bundle has more than `limit` events, passes too.

    Parameters
    ----------
    stretches : Stretches
        All of the trace.
    limit : int
        Events.
    bundle : ndarray of int64, shape (s + 1,)
        Gets the first stretch of each bundle, and at last that after which no pass comes: it is in none.

    Returns
    -------
    int
        How many bundles there are.
    """
    starts, ends = stretches
    nr_bundles = 0
    first = 0
    nr_passes = len(starts) - 1
    while first < nr_passes:
        bundle[nr_bundles] = first
        nr_bundles += 1
        last = first
        while last + 1 < nr_passes and ends[last + 1] - starts[first] < limit:
            last += 1
        first = last + 1
    bundle[nr_bundles] = nr_passes
    return nr_bundles


@engine_entry
def fold_bundles(
    fold: Fold, events: Events, stretches: Stretches, bundle: NDArray[np.int64], trees: Trees
) -> Int:
    """Fold each bundle, and the stretch after the last, into chunks.

    Parameters
    ----------
    stretches : Stretches
        All of the trace.
    bundle : ndarray of int64, shape (b + 1,)
        See `bundle_up`.
    trees : Trees
        Gets the chunks of each.

    Returns
    -------
    int
        How many nodes there are.
    """
    starts, ends = stretches
    first, count = trees
    at: Int = np.int64(0)
    for i in range(len(bundle)):
        end = ends[bundle[i + 1] - 1] if i + 1 < len(bundle) else ends[-1]
        first[i] = at
        at = _fold_stretch(fold, events, at, starts[bundle[i]], end)
        count[i] = at - first[i]
    return at


@engine_entry
def fold_level(fold: Fold, trees: Trees, at: Int) -> Int:
    """Join the nodes of each bundle that has more than one, nodes `at` and on; return the node after them.

    `trees` are those of `fold_bundles`, of the level that has been reached.
    """
    first, count = trees
    for i in range(len(first)):
        if count[i] > 1:
            child, end = first[i], first[i] + count[i]
            first[i] = at
            while child < end:
                nr_children = min(fold.fan, end - child)
                for number in range(nr_children):
                    fold.children[number] = child + number
                _fold_children(fold, at, fold.children[:nr_children])
                child += nr_children
                at += 1
            count[i] = at - first[i]
    return at


@engine_entry
def fold_groups(fold: Fold, groups: NDArray[np.int64], found: NDArray[np.int64], at: Int) -> Int:
    """Fold each group of nodes into one, nodes `at` and on; return the node after them.

    Parameters
    ----------
    groups : ndarray of int64, shape (g, fan)
        Nodes that follow on each other, or -1 for what has no events.
    found : ndarray of int64, shape (g,)
        Gets the node of each group, or -1.
    """
    for group in range(len(groups)):
        nr_children = 0
        for number in range(groups.shape[1]):
            fold.children[nr_children] = groups[group, number]
            nr_children += groups[group, number] >= 0
        found[group] = fold.children[0] if nr_children > 0 else -1
        if nr_children > 1:
            _fold_children(fold, at, fold.children[:nr_children])
            found[group] = at
            at += 1
    return at


@engine_entry
def count_net(events: Events, stretches: Stretches, net: NDArray[np.int64]) -> None:
    """Write for each stretch, into `net`, the frees less the allocations of all stretches before it."""
    starts, ends = stretches
    so_far = np.int64(0)
    for i in range(len(starts)):
        net[i] = so_far
        for at in range(starts[i], ends[i]):
            op = events.op[np.uint64(at)]
            so_far += np.int64(op == OP_FREE and events.slot[np.uint64(at)] >= 0) - np.int64(op == OP_ALLOC)
