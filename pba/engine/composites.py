"""Folding a trace: its stretches between two passes as composites, ready for any thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pba.engine.compiled import CompiledTrace
from pba.engine.fold import (
    Fold,
    Stretches,
    Trees,
    bundle_up,
    count_net,
    fold_bundles,
    fold_groups,
    fold_level,
)
from pba.engine.state import (
    ERA_FIELDS,
    HARDEST,
    LEAST,
    MOST,
    NO_PRIORITY,
    NODE,
    NODE_FIELDS,
    PUSH,
    SUM,
    WRITE,
    Composites,
)
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.kernel.state import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pba.trace.table import Trace

BUNDLES: Final = 4
"""A bundle of several stretches has at most a chunk's events divided by this, and one composite."""


def fold_trace(trace: Trace, chunk_events: int, fan: int) -> CompiledTrace:
    """Fold a trace in memory; see `pba.compile_trace`, which checks the sizes."""
    events = Events(trace.time_ns, trace.op, trace.slot, trace.arg)
    composites = _composites(trace, events, chunk_events, fan)
    moves = np.diff(composites.node[:, PUSH]) + np.diff(composites.node[:, WRITE])
    return CompiledTrace(
        metadata=trace.metadata,
        events=events,
        composites=composites,
        nr_slots=trace.nr_slots,
        nr_background_slots=trace.nr_background_slots,
        unknown_frees=trace.unknown_frees,
        most_moves=int(moves.max(initial=0)),
        fan=fan,
    )


def _composites(trace: Trace, events: Events, chunk_events: int, fan: int) -> Composites:
    """Return the stretches of a trace folded, in trees and in eras."""
    others = np.flatnonzero(trace.op > OP_FREE)
    passes = others[(trace.op[others] == OP_SHRINK) | (trace.op[others] == OP_DROP)]
    stretches = Stretches(np.concatenate(([0], passes + 1)), np.concatenate((passes, [len(trace)])))
    bundle = np.empty(len(passes) + 2, np.int64)
    bundle = bundle[: bundle_up(stretches, chunk_events // BUNDLES, bundle) + 1]
    nr_nodes = _count_nodes(stretches, bundle, chunk_events, fan)
    fold = _new_fold(trace, nr_nodes, chunk_events, fan)
    trees = Trees(np.empty_like(bundle), np.empty_like(bundle))
    nr_nodes = int(fold_bundles(fold, events, stretches, bundle, trees))
    nr_nodes = _fold_trees(fold, nr_nodes, trees)
    net = np.empty(len(passes) + 1, np.int64)
    count_net(events, stretches, net)
    node = np.where(trees.nr_nodes > 0, trees.first, -1)
    priority = np.where(trace.op[passes] == OP_DROP, NO_PRIORITY, trace.arg[passes]).astype(np.int8)
    levels = [_bundles_as_eras((node[:-1], bundle[:-1]), net, priority)]
    nr_nodes = _fold_eras(fold, nr_nodes, levels)
    last = fold.node[nr_nodes]
    return Composites(
        node=fold.node[: nr_nodes + 1],
        root=_roots(node, bundle, len(net)),
        pass_event=passes,
        priority=priority,
        push=fold.push[: last[PUSH]],
        write=fold.write[: last[WRITE]],
        background=others[(trace.op[others] == OP_BG_ALLOC) | (trace.op[others] == OP_BG_FREE)],
        net=net,
        bundle=bundle,
        era=np.concatenate(levels),
        era_level=np.cumsum([0, *(len(level) for level in levels)]),
    )


def _fold_trees(fold: Fold, nr_nodes: int, trees: Trees) -> int:
    """Join the chunks of each bundle, level by level, into one node; return how many nodes there are then."""
    since = 0
    while int(trees.nr_nodes.max()) > 1:
        _make_room(fold, nr_nodes, np.arange(since, nr_nodes))
        since, nr_nodes = nr_nodes, int(fold_level(fold, trees, nr_nodes))
    return nr_nodes


def _make_room(fold: Fold, nr_nodes: int, children: NDArray[np.int64]) -> None:
    """Make room for the moves of a level: no more than its nodes' children have."""
    for array, field in ((fold.push, PUSH), (fold.write, WRITE)):
        nr_moves = int((fold.node[children + 1, field] - fold.node[children, field]).sum())
        needed = int(fold.node[nr_nodes, field]) + nr_moves + 1
        if needed > len(array):
            array.resize((needed, *array.shape[1:]), refcheck=False)


def _roots(node: NDArray[np.int64], bundle: NDArray[np.int64], nr_stretches: int) -> NDArray[np.int64]:
    """Return the node of each stretch that has one of its own: it is a bundle by itself, or the last."""
    root = np.full(nr_stretches, -1)
    alone = np.diff(bundle, append=nr_stretches) == 1
    root[bundle[alone]] = node[alone]
    return root


def _bundles_as_eras(
    bundles: tuple[NDArray[np.int64], NDArray[np.int64]], net: NDArray[np.int64], priority: NDArray[np.int8]
) -> NDArray[np.int64]:
    """Return the first level of eras: a bundle each. `bundles` are their nodes and first stretches."""
    node, first = bundles
    level = np.empty((len(node), ERA_FIELDS), np.int64)
    if len(node):
        level[:, NODE] = node
        level[:, MOST] = np.maximum.reduceat(net[1:], first)
        level[:, LEAST] = np.minimum.reduceat(net[1:], first)
        level[:, SUM] = np.add.reduceat(net[1:], first)
        level[:, HARDEST] = np.minimum.reduceat(priority, first)
    return level


def _fold_eras(fold: Fold, nr_nodes: int, levels: list[NDArray[np.int64]]) -> int:
    """Join eras, level by level, each added to `levels`; return how many nodes there are then."""
    while len(levels[-1]) >= fold.fan:
        whole = len(levels[-1]) - len(levels[-1]) % fold.fan
        groups = levels[-1][:whole].reshape(-1, fold.fan, ERA_FIELDS)
        level = np.empty((len(groups), ERA_FIELDS), np.int64)
        node = np.empty(len(groups), np.int64)
        children = np.ascontiguousarray(groups[:, :, NODE])
        _make_room(fold, nr_nodes, children[children >= 0])
        nr_nodes = int(fold_groups(fold, children, node, nr_nodes))
        level[:, NODE] = node
        level[:, MOST] = groups[:, :, MOST].max(axis=1)
        level[:, LEAST] = groups[:, :, LEAST].min(axis=1)
        level[:, SUM] = groups[:, :, SUM].sum(axis=1)
        level[:, HARDEST] = groups[:, :, HARDEST].min(axis=1)
        levels.append(level)
    return nr_nodes


def _count_nodes(stretches: Stretches, bundle: NDArray[np.int64], chunk_events: int, fan: int) -> int:
    """Return how many nodes there will be: chunks, what joins those of a bundle, and eras of bundles."""
    bundle_ends = np.append(stretches.end[bundle[1:] - 1], stretches.end[-1])
    sizes = -(-(bundle_ends - stretches.first[bundle]) // chunk_events)
    nr_nodes = int(sizes.sum())
    while int(sizes.max()) > 1:
        sizes = np.where(sizes > 1, -(-sizes // fan), 0)
        nr_nodes += int(sizes.sum())
    nr_eras = (len(bundle) - 1) // fan
    while nr_eras > 0:
        nr_nodes += nr_eras
        nr_eras //= fan
    return nr_nodes


def _new_fold(trace: Trace, nr_nodes: int, chunk_events: int, fan: int) -> Fold:
    """Return room for so many nodes.

    The bounds, which `tests.property.test_engine_bounds` holds. A chunk pushes at most its frees and writes
    at most its allocations; what joins nodes moves no more than they do (`_make_room`), seldom twice as much
    in all levels together. Memory that is never written to is never there. While a node is folded, the marks
    on its stack are different pages: those of slots, and those that were taken off the list, which at the
    moment when most of them were all stood in slots. So they are at most two for each slot, and so are those
    on their way; in `touched` each slot stands once. One more element is written to before it is known
    whether it counts.
    """
    nr_allocs = int(np.count_nonzero(trace.op == OP_ALLOC))
    nr_frees = int(np.count_nonzero(trace.op == OP_FREE))
    nr_marks = 2 * trace.nr_slots
    node = np.zeros((nr_nodes + 1, NODE_FIELDS), np.int64)  # chunks have no CHILD: no chance bytes
    return Fold(
        node=node,
        push=np.empty(3 * nr_frees + 1, np.int32),
        write=np.empty((3 * nr_allocs + 1, 2), np.int32),
        mark=np.empty(trace.nr_slots, np.int32),
        stamp=np.full(trace.nr_slots, -1, np.int32),
        stack=np.empty(nr_marks, np.int32),
        touched=np.empty(trace.nr_slots + 1, np.int32),
        moved=np.empty(nr_marks + trace.nr_slots, np.int32),
        children=np.empty(fan, np.int64),
        chunk_events=chunk_events,
        fan=fan,
    )
