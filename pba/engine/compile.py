"""Compiling a trace: its stretches between two passes as composites, ready for any thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pba.engine.fold import Fold, fold_trace
from pba.engine.state import NODE_FIELDS, PUSH, WRITE, Composites
from pba.events import OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.kernel.state import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pba.machine import Machine, Thresholds
    from pba.results import ReplayResult
    from pba.trace.metadata import Metadata
    from pba.trace.table import Trace


CHUNK_EVENTS: Final = 1024
"""Events of a chunk: those after a refill are replayed one by one up to its end."""
FAN: Final = 4
"""Children of a node above the chunks."""


@dataclass(frozen=True, eq=False)
class CompiledTrace:
    """A trace, folded.

    Attributes
    ----------
    trace : Trace
        What was compiled; its events serve around refills.
    composites : Composites
        The folded stretches.
    most_moves : int
        Pages that the largest composite moves.
    """

    trace: Trace
    composites: Composites
    most_moves: int

    def replay(
        self, thresholds: Thresholds | None = None, machine: Machine | None = None, *, strict: bool = False
    ) -> ReplayResult:
        """Replay it; see `pba.replay`, of which this is the part for compiled traces."""
        from pba.engine.explore import replay_compiled

        return replay_compiled(self, thresholds, machine, strict=strict)

    @property
    def name(self) -> str:
        """The trace's name."""
        return self.trace.name

    @property
    def metadata(self) -> Metadata:
        """What is known of the trace."""
        return self.trace.metadata

    @property
    def duration_ns(self) -> int:
        """Time from the first to the last event in ns."""
        return self.trace.duration_ns

    @property
    def nr_events(self) -> int:
        """Events of the trace."""
        return len(self.trace)

    @property
    def nbytes(self) -> int:
        """Bytes of the composites, besides the trace."""
        return sum(part.nbytes for part in self.composites)


def compile_trace(trace: Trace, *, chunk_events: int = CHUNK_EVENTS, fan: int = FAN) -> CompiledTrace:
    """Fold a trace into composites.

    Parameters
    ----------
    trace : Trace
        Any trace.
    chunk_events : int
        Most events of the smallest composites. More take less memory, and more time at each refill.
    fan : int
        How many composites the next larger one joins, at least 2.

    Returns
    -------
    CompiledTrace
        For `pba.replay` and `pba.sweep`, whatever the machine and the thresholds.
    """
    others = np.flatnonzero(trace.op > OP_FREE)
    passes = others[(trace.op[others] == OP_SHRINK) | (trace.op[others] == OP_DROP)]
    starts = np.concatenate(([0], passes + 1))
    ends = np.concatenate((passes, [len(trace)]))
    fold = _new_fold(trace, ends - starts, chunk_events, fan)
    first, count = np.empty_like(starts), np.empty_like(starts)
    events = Events(trace.time_ns, trace.op, trace.slot, trace.arg)
    nr_nodes = fold_trace(fold, events, (starts, ends), (first, count))
    last = fold.node[nr_nodes]
    composites = Composites(
        node=fold.node[: nr_nodes + 1],
        root=np.where(count > 0, first, -1),
        pass_event=passes,
        push=fold.push[: last[PUSH]],
        write=fold.write[: last[WRITE]],
        background=others[(trace.op[others] == OP_BG_ALLOC) | (trace.op[others] == OP_BG_FREE)],
    )
    moves = np.diff(composites.node[:, PUSH]) + np.diff(composites.node[:, WRITE])
    return CompiledTrace(trace, composites, int(moves.max(initial=0)))


def _new_fold(trace: Trace, lengths: NDArray[np.int64], chunk_events: int, fan: int) -> Fold:
    """Return room for the composites of stretches of so many events.

    Each level has as many moves as there are events at most. Memory that is never written to is never there.
    """
    sizes = -(-lengths // chunk_events)
    nr_nodes = int(sizes.sum())
    nr_levels = 1
    while int(sizes.max()) > 1:
        sizes = np.where(sizes > 1, -(-sizes // fan), 0)
        nr_nodes += int(sizes.sum())
        nr_levels += 1
    counts = trace.counts()
    nr_marks = 2 * trace.nr_slots + chunk_events + 1
    node = np.empty((nr_nodes + 1, NODE_FIELDS), np.int64)
    node[0, PUSH] = node[0, WRITE] = 0
    return Fold(
        node=node,
        push=np.empty(nr_levels * counts["F"], np.int32),
        write=np.empty((nr_levels * counts["A"] + 1, 2), np.int32),
        mark=np.empty(trace.nr_slots, np.int32),
        stamp=np.full(trace.nr_slots, -1, np.int32),
        stack=np.empty(nr_marks, np.int32),
        touched=np.empty(nr_marks, np.int32),
        moved=np.empty(2 * nr_marks, np.int32),
        chunk_events=chunk_events,
        fan=fan,
    )
