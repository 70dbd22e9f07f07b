"""Replaying points on all recordings, several at a time; the results come in the order of the points."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.executors import Executor
from pba.study.inputs import Input
from pba.study.objective import row_of
from pba.study.replays import Replays, result_from, trace_sha256
from pba.study.space import Point
from pba.study.workers import STATE_BYTES_PER_PAGE

if TYPE_CHECKING:
    from pba.engine.compiled import CompiledTrace
    from pba.trace.table import Trace

Rows = list[dict[str, Any]]
"""What is kept of one point: a row per recording, in the recordings' order."""

WORTH_COMPILING: Final = 2_000_000_000
"""Events replayed in all from which on the engine is compiled for it: that takes 11 s, and saves some 5 ns an
event (3 to 13 on the shipped recordings)."""
SECONDS_AN_EVENT: Final = 1e-8
"""For a first guess of what replays take beside each other."""
MOST_EVENTS: Final = 50_000_000
"""A longer trace is replayed as it is: one of 100 million events takes 2.4 GB to compile."""


class Evaluator:
    """Replays points by an executor; nothing of a result depends on which, or on how many workers it has.

    Parameters
    ----------
    inputs : sequence of Input
        The traces on their machines.
    executor : Executor
        Where replays run.
    aims : sequence of Aim
        What is kept of a replay besides its counters.
    replays : Replays, optional
        What was replayed before: taken from there, and added to.

    Attributes
    ----------
    nr_expected : int
        How many points are to be replayed in all, as far as is known: for `warm_up`.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        executor: Executor,
        aims: Sequence[Aim] = DEFAULT_AIMS,
        replays: Replays | None = None,
    ) -> None:
        self.inputs, self.aims = list(inputs), tuple(aims)
        self.executor = executor
        replays = replays or Replays(None)
        self.kept = [replays.points_of(trace_sha256(one.trace, one.machine), one.machine) for one in inputs]
        self.nr_expected, self._is_warm = 0, False
        self._known: dict[Point, Rows] = {}
        self._forms: list[Trace | CompiledTrace] = [one.trace for one in inputs]
        self._shared: list[Any] = []
        # What a point took so far on each trace, and how many did.
        self._seconds, self._count = [0.0] * len(inputs), [0] * len(inputs)

    def remember(self, point: Point, rows: Rows) -> None:
        """Take a point's results as known: it is not replayed again."""
        self._known[point] = rows

    def knows(self, points: Sequence[Point]) -> bool:
        """Say whether points need no replay."""
        return all(
            point in self._known or all(kept.get(point) is not None for kept in self.kept) for point in points
        )

    def warm_up(self, nr_points: int = 0) -> None:
        """Run the model once, on nothing much, and take each trace in the form that is replayed quicker.

        Parameters
        ----------
        nr_points : int
            How many points are to be replayed. No result depends on it: both forms give the same.
        """
        from pba._jit import is_compiled
        from pba.engine.replay import replay
        from pba.trace.table import Trace

        self._is_warm = True
        none: dict[str, list[int]] = {"time_ns": [0], "op": [3], "id": [0], "arg": [0]}
        replay(Trace.from_arrays(none))
        quicker = _quicker_compiled(self.inputs, self.executor.threads_a_process)
        nr_events = nr_points * sum(len(self.inputs[at].trace) for at in quicker)
        if nr_events and (nr_events >= WORTH_COMPILING or is_compiled("engine")):
            from pba.engine.compile import compile_trace

            for at in quicker:
                self._forms[at] = compile_trace(self.inputs[at].trace)
            # The engine too is compiled in one thread.
            replay(self._forms[quicker[0]], machine=self.inputs[quicker[0]].machine)

    def rows_of(self, points: Sequence[Point], done: Callable[[Point], None] | None = None) -> list[Rows]:
        """Replay points on all recordings.

        Parameters
        ----------
        points : sequence of Point
            What to replay; known ones are not replayed again.
        done : callable, optional
            Called with each point, in order, once it is finished.
        """
        unknown = list(dict.fromkeys(point for point in points if point not in self._known))
        told = 0
        for _ in itertools.chain([None], self._replay(unknown)):
            while told < len(points) and points[told] in self._known:
                if done is not None:
                    done(points[told])
                told += 1
        return [self._known[point] for point in points]

    def _replay(self, points: Sequence[Point]) -> Iterator[None]:
        """Replay points, and yield whenever more of them are known."""
        rows = {point: self._kept_rows(point) for point in points}
        left: dict[tuple[Point, ...], list[int]] = {}
        for trace in range(len(self.inputs)):
            unknown = tuple(point for point in points if trace not in rows[point])
            left.setdefault(unknown, []).append(trace)
        left.pop((), None)
        self._settle(rows)
        yield
        if not left:
            return
        if not self._is_warm:
            self.warm_up(self.nr_expected)
        if not self._shared:
            self._shared = [self.executor.share(partial(_itself, form)) for form in self._forms]
        packed = [pieces for unknown, traces in left.items() for pieces in self._packed(unknown, traces)]
        calls = [
            (
                self.aims,
                *(
                    part
                    for trace, some in pieces
                    for part in (self._shared[trace], self.inputs[trace].machine, some)
                ),
            )
            for pieces in packed
        ]
        for number, found in self.executor.results(replay_pieces, calls):
            for (trace, some), (made, seconds) in zip(packed[number], found, strict=True):
                self._seconds[trace] += seconds
                self._count[trace] += len(made)
                for point, row in zip(some, made, strict=True):
                    rows[point][trace] = row
                    self.kept[trace].add(point, row)
                self._settle({point: rows[point] for point in some})
            yield

    def _kept_rows(self, point: Point) -> dict[int, dict[str, Any]]:
        """Return the rows of a point that were made before, by the number of the trace."""
        found = {}
        for at, (one, kept) in enumerate(zip(self.inputs, self.kept, strict=True)):
            counters = kept.get(point)
            if counters is not None:
                found[at] = row_of(result_from(counters, point, one.trace, one.machine), self.aims)
        return found

    def _settle(self, rows: Mapping[Point, Mapping[int, dict[str, Any]]]) -> None:
        """Take the points as known that have a row of each trace."""
        for point, found in rows.items():
            if len(found) == len(self.inputs):
                self._known[point] = [found[at] for at in range(len(self.inputs))]

    def _packed(
        self, points: Sequence[Point], traces: Sequence[int]
    ) -> list[list[tuple[int, Sequence[Point]]]]:
        """Return calls that replay points on some of the traces: the number of the trace and its points."""
        seconds = self._likely_seconds()
        packed = self.executor.packed(len(points), [seconds[trace] for trace in traces])
        return [[(traces[at], points[start:end]) for at, start, end in pieces] for pieces in packed]

    def _likely_seconds(self) -> list[float]:
        """Return what a point is likely to take on each trace: as so far, or by its events."""
        events = [len(one.trace) + 1 for one in self.inputs]
        known = [at for at in range(len(events)) if self._count[at]]
        if len(known) < len(events):
            return [SECONDS_AN_EVENT * some for some in events]
        return [max(self._seconds[at] / self._count[at], 1e-6) for at in known]


def replay_pieces(aims: Sequence[Aim], *pieces: Any) -> list[tuple[list[dict[str, Any]], float]]:
    """Replay points on traces, given as trace, machine, points, trace, machine, points and so on.

    Returns
    -------
    list of (rows, seconds)
        For each trace what is kept of each point, and what they took in all.
    """
    from pba.engine.replay import replay

    found = []
    for at in range(0, len(pieces), 3):
        form, machine, points = pieces[at : at + 3]
        begun = time.perf_counter()
        rows = [row_of(replay(form, point.on(machine), machine), aims) for point in points]
        found.append((rows, time.perf_counter() - begun))
    return found


def _itself(form: Trace | CompiledTrace) -> Trace | CompiledTrace:
    return form


def _quicker_compiled(inputs: Sequence[Input], threads: int) -> list[int]:
    """Return which traces are replayed quicker compiled, as long as all machines stay in the pool.

    A point goes round all machines, so a pool that is too small for them would keep none until it is needed
    again: to boot one each time costs more than the compiled replay saves.
    """
    from pba import pool
    from pba.engine.compiled import quicker_compiled

    def may_be(trace: Trace) -> bool:
        counts = trace.counts()
        return len(trace) <= MOST_EVENTS and quicker_compiled(len(trace), counts["S"] + counts["D"])

    compiled = [at for at, one in enumerate(inputs) if may_be(one.trace)]
    by_events = {one.machine for at, one in enumerate(inputs) if at not in compiled}
    nr_pages = sum(machine.memory_pages for machine in by_events)
    nr_pages += sum(machine.memory_pages for machine in {inputs[at].machine for at in compiled})
    fits = threads * nr_pages * STATE_BYTES_PER_PAGE <= pool.limit_bytes()
    return compiled if fits else []
