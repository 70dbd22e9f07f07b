"""The smallest part of a trace that still shows something: delta debugging on traces.

After A. Zeller and R. Hildebrandt, "Simplifying and isolating failure-inducing input" (2002), with removals
only: parts are taken away in chunks, halved until they are single, and what is not needed stays away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.errors import PbaError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_SHRINK
from pba.imports.read import as_trace
from pba.trace.table import DTYPES, Trace

MAX_REPLAYS: Final = 20_000
"""Replays after which a search ends with what it has, by default."""


@dataclass(frozen=True)
class Step:
    """How far a search is.

    Attributes
    ----------
    chunk : int
        Units that are taken away at a time.
    left, total : int
        Units that are left, and that there were.
    events : int
        Events that are left.
    replays : int
        Replays so far.
    """

    chunk: int
    left: int
    total: int
    events: int
    replays: int


@dataclass(frozen=True, eq=False)
class Minimised:
    """What a search found.

    Attributes
    ----------
    trace : Trace
        A part of the given trace for which the condition holds.
    value : object
        What the condition returned for this trace: the value that it met.
    replays : int
        Replays that it took.
    is_minimal : bool
        Whether the condition fails as soon as any single unit is taken away (1-minimal); False where the
        search ended early.
    was_interrupted : bool
        Whether it was Ctrl-C that ended it.
    """

    trace: Trace
    value: Any
    replays: int
    is_minimal: bool
    was_interrupted: bool = False


def minimise(
    trace: Trace | str | Path,
    keep: Callable[[Trace], Any],
    *,
    max_replays: int = MAX_REPLAYS,
    watch: Callable[[Step], None] | None = None,
) -> Minimised:
    """Take away from a trace what a condition does not need.

    The units are an allocation with its free, a shrinker pass, and a background chunk's allocation with its
    free, so that every part is a trace. Chunks are tried from the end of the trace on; the same arguments
    give the same result. Ctrl-C (`KeyboardInterrupt`) ends a search that has begun with what it has.

    Parameters
    ----------
    trace : Trace, str or Path
        The whole; a file or the name of a recording is read.
    keep : callable
        The condition: it replays a trace, and returns what is true if it holds (`True`, or better the value
        that met it). The same trace must give the same answer.
    max_replays : int
        Replays after which the search ends with what it has.
    watch : callable, optional
        Told how far the search is, before each size of chunks and after each chunk that went.

    Returns
    -------
    Minimised
        The part, and the value that the condition met.

    Raises
    ------
    PbaError
        If the condition does not hold for the whole, or holds for nothing, or `max_replays` is less than 2.
    """
    trace = as_trace(trace)
    if max_replays < 2:
        raise PbaError(
            f"max_replays = {max_replays} allows too few",
            "2 are needed to begin: of the whole, and of nothing",
        )
    value = keep(trace)
    if not value:
        raise PbaError(
            f"the condition does not hold for the whole of {trace.name}",
            "see what does with pba replay, with the same machine and thresholds",
        )
    search = _Search(trace, keep, value, max_replays, watch)
    if keep(search.trace_of(search.units[:0])):
        raise PbaError(
            "the condition holds for a trace without events, too", "state what only some events bring about"
        )
    try:
        is_minimal, was_interrupted = search.run(), False
    except KeyboardInterrupt:
        is_minimal, was_interrupted = False, True
    return Minimised(search.trace_of(search.units), search.value, search.replays, is_minimal, was_interrupted)


def units_of(trace: Trace) -> NDArray[np.int64]:
    """Return the unit of each event: an allocation with its free, or an event alone.

    Units are numbered in the order of their first events.
    """
    owner = np.arange(len(trace), dtype=np.int64)
    for space in (trace.op < OP_SHRINK, trace.op >= OP_BG_ALLOC):
        events = np.flatnonzero(space & (trace.slot >= 0))
        events = events[np.argsort(trace.slot[events], kind="stable")]  # by slot, then in order
        opens = np.isin(trace.op[events], (OP_ALLOC, OP_BG_ALLOC))
        # A slot's events alternate: an allocation, its free, the next allocation.
        latest = np.maximum.accumulate(np.where(opens, np.arange(len(events)), 0))
        owner[events] = events[latest]
    return np.unique(owner, return_inverse=True)[1].astype(np.int64)


class _Search:
    """The units that are left, and the replays that it took to know."""

    def __init__(
        self,
        trace: Trace,
        keep: Callable[[Trace], Any],
        value: Any,
        max_replays: int,
        watch: Callable[[Step], None] | None,
    ) -> None:
        self.whole, self.keep, self.max_replays, self.watch = trace, keep, max_replays, watch
        self.value = value
        self.unit = units_of(trace)
        self.total = int(self.unit.max(initial=-1)) + 1
        self.units = np.arange(self.total)
        self.sizes = np.bincount(self.unit, minlength=self.total)
        self.replays = 2  # of the whole, and of nothing

    def run(self) -> bool:
        """Take away what can go; return whether each unit that is left is needed."""
        chunk = max(self.total // 2, 1)
        while True:
            self._tell(chunk)
            went = self._sweep(chunk)
            if went is None:
                return False
            if chunk > 1:
                chunk //= 2
            elif not went:
                return True

    def _sweep(self, chunk: int) -> bool | None:
        """Take away each chunk that can go, the last first; return whether one went, None out of replays."""
        went = False
        end = len(self.units)
        while end > 0:
            start = max(end - chunk, 0)
            rest = np.concatenate([self.units[:start], self.units[end:]])
            if self.replays >= self.max_replays:
                return None
            self.replays += 1
            value = self.keep(self.trace_of(rest))
            if value:
                self.units, self.value = rest, value
                went = True
                self._tell(chunk)
            end = start
        return went

    def trace_of(self, units: NDArray[Any]) -> Trace:
        """Return the trace of some units."""
        wanted = np.zeros(self.total, np.bool_)
        wanted[units] = True
        return part_of(self.whole, wanted[self.unit])

    def _tell(self, chunk: int) -> None:
        if self.watch is not None:
            events = int(self.sizes[self.units].sum())
            self.watch(Step(chunk, len(self.units), self.total, events, self.replays))


def part_of(trace: Trace, wanted: NDArray[np.bool_]) -> Trace:
    """Return some events of a trace, with what is known of it."""
    columns = {name: values[wanted] for name in DTYPES if len(values := getattr(trace, name))}
    columns = {name: columns.get(name, getattr(trace, name)) for name in DTYPES}
    quality = trace.metadata.quality
    at_start = np.flatnonzero(trace.op == OP_ALLOC)[: quality.live_at_start or 0]
    known = None if quality.live_at_start is None else int(np.count_nonzero(wanted[at_start]))
    changed = replace(quality, live_at_start=known, truth=None)
    return Trace.from_arrays(columns, trace.metadata.with_(quality=changed))


def with_note(trace: Trace, note: str) -> Trace:
    """Return a trace with one more note of what was done to it."""
    quality = replace(trace.metadata.quality, notes=(*trace.metadata.quality.notes, note))
    return replace(trace, metadata=trace.metadata.with_(quality=quality))


__all__ = ["MAX_REPLAYS", "Minimised", "Step", "minimise", "part_of", "units_of", "with_note"]
