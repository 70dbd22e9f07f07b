"""A compiled trace: all that a replay needs of a trace, whatever the thresholds and the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pba import model, shown
from pba.engine.alone import replay_compiled
from pba.errors import TraceError
from pba.events import OP_BG_FREE, OP_FREE
from pba.units import format_bytes, format_time, plural

if TYPE_CHECKING:
    from pba.engine.state import Composites
    from pba.kernel.state import Events
    from pba.machine import Machine, Thresholds
    from pba.results import ReplayResult
    from pba.trace.metadata import Metadata


EVENTS_A_PASS: Final = 20
"""Events for each pass from which on a compiled replay is the quicker one, by `quicker_compiled`."""


def quicker_compiled(nr_events: int, nr_passes: int) -> bool:
    """Whether a replay of the compiled trace is likely quicker than one event by event.

    Parameters
    ----------
    nr_events, nr_passes : int
        Of the trace, `S` and `D` events among the former.

    Notes
    -----
    A compiled replay costs what passes and refills cost, the other what events cost. On the eighteen
    recordings this rule picks the quicker form each time: from 22 events a pass on the compiled one takes
    0.09 to 0.83 of the time, with 4 it takes 1.27. A trace made to be hard on the cache, with a refill every
    few hundred events, is quicker event by event whatever this says.
    """
    return nr_events >= EVENTS_A_PASS * nr_passes


@dataclass(frozen=True, eq=False)
class CompiledTrace:
    """A trace, folded: all that a replay needs, without the `Trace` that it was made of.

    Attributes
    ----------
    metadata : Metadata
        What is known of the trace.
    events : Events
        Its events: around refills they are replayed one by one.
    composites : Composites
        The folded stretches.
    nr_slots, nr_background_slots, unknown_frees : int
        As in `Trace`.
    most_moves : int
        Pages that the largest composite moves.
    fan : int
        How many composites the next larger one joins.
    content_hash : str
        SHA-256 of the bytes of the file that it was read from, in hexadecimal; empty for a trace in memory.
    """

    metadata: Metadata
    events: Events
    composites: Composites
    nr_slots: int
    nr_background_slots: int
    unknown_frees: int
    most_moves: int
    fan: int
    content_hash: str = ""

    def replay(
        self, thresholds: Thresholds | None = None, machine: Machine | None = None, *, strict: bool = False
    ) -> ReplayResult:
        """Replay it; see `pba.replay`, of which this is the part for compiled traces."""
        return replay_compiled(self, thresholds, machine, strict=strict)

    def check(self, machine: Machine, strict: bool = False) -> None:
        """Refuse what this machine cannot replay; with `strict` also frees of what is not live.

        Raises
        ------
        TraceError
            If there is such an event.
        """
        background = self.composites.background
        if len(background):
            model.check_orders(self.name, self.events.op, self.events.arg, machine)
        if strict and self.unknown_frees:
            frees = np.isin(self.events.op, (OP_FREE, OP_BG_FREE))
            raise TraceError(
                f"frees what is not live, the first of {self.unknown_frees} such frees",
                "without strict they are skipped and counted",
                path=self.name,
                event=int(np.flatnonzero(frees & (self.events.slot < 0))[0]),
            )

    @shown.never_raises
    def __repr__(self) -> str:
        """Return how many events were folded into how many bytes."""
        size = f"{plural(self.nr_events, 'event')} in {format_time(self.duration_ns)}, {format_bytes(self.nbytes)}"
        return shown.lines(f"CompiledTrace {shown.named(self.name)!r}: {size}", ())

    @property
    def name(self) -> str:
        """The trace's name."""
        return self.metadata.name or "trace"

    @property
    def duration_ns(self) -> int:
        """Time from the first to the last event in ns."""
        time_ns = self.events.time_ns
        return int(time_ns[-1] - time_ns[0]) if len(time_ns) else 0

    @property
    def nr_events(self) -> int:
        """Events of the trace."""
        return len(self.events.op)

    @property
    def nbytes(self) -> int:
        """Bytes of the composites and of the events."""
        return sum(part.nbytes for part in (*self.composites, *self.events))
