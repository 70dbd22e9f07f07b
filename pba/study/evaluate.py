"""Replaying points on all recordings, several at a time; the results come in the order of the points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.inputs import Input
from pba.study.objective import row_of
from pba.study.space import Point
from pba.study.workers import STATE_BYTES_PER_PAGE, Threads

if TYPE_CHECKING:
    from pba.engine.compiled import CompiledTrace
    from pba.trace.table import Trace

Rows = list[dict[str, Any]]
"""What is kept of one point: a row per recording, in the recordings' order."""

WORTH_COMPILING: Final = 2_000_000_000
"""Events replayed in all from which on the engine is compiled for it: that takes 11 s, and saves some 5 ns an
event (3 to 13 on the shipped recordings)."""
MOST_EVENTS: Final = 50_000_000
"""A longer trace is replayed as it is: one of 100 million events takes 2.4 GB to compile."""


class Evaluator:
    """Replays points in threads: the model runs without Python's lock.

    Nothing of a result depends on how many threads there are. What takes its place one day (processes,
    other machines) has to keep `rows_of` alone.
    """

    def __init__(self, inputs: Sequence[Input], workers: int, aims: Sequence[Aim] = DEFAULT_AIMS) -> None:
        self.inputs, self.aims = list(inputs), tuple(aims)
        # Long ones first, so that no thread is left alone with one at the end.
        self._order = sorted(range(len(inputs)), key=lambda at: -len(inputs[at].trace))
        self._pool = Threads(max_workers=workers, thread_name_prefix="replay")
        self._known: dict[Point, Rows] = {}
        self._workers = workers
        self._forms: list[Trace | CompiledTrace] = [one.trace for one in inputs]

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def remember(self, point: Point, rows: Rows) -> None:
        """Take a point's results as known: it is not replayed again."""
        self._known[point] = rows

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

        none: dict[str, list[int]] = {"time_ns": [0], "op": [3], "id": [0], "arg": [0]}
        replay(Trace.from_arrays(none))
        quicker = _quicker_compiled(self.inputs, self._workers)
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
        waiting: list[tuple[Point, list[Future[dict[str, Any]]]]] = []
        for point in points:
            futures: list[Future[dict[str, Any]]] = []
            if point not in self._known:
                by_recording = {at: self._pool.submit(self._replay, point, at) for at in self._order}
                futures = [by_recording[at] for at in range(len(self.inputs))]
            waiting.append((point, futures))
        for point, futures in waiting:
            if point not in self._known:
                self._known[point] = [future.result() for future in futures]
            if done is not None:
                done(point)
        return [self._known[point] for point in points]

    def _replay(self, point: Point, at: int) -> dict[str, Any]:
        from pba.engine.replay import replay

        one = self.inputs[at]
        return row_of(replay(self._forms[at], point.on(one.machine), one.machine), self.aims)


def _quicker_compiled(inputs: Sequence[Input], workers: int) -> list[int]:
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
    fits = workers * nr_pages * STATE_BYTES_PER_PAGE <= pool.limit_bytes()
    return compiled if fits else []
