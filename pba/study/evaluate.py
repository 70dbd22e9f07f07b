"""Replaying points on all recordings, several at a time; the results come in the order of the points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from pba.study.inputs import Input
from pba.study.objective import row_of
from pba.study.space import Point
from pba.study.workers import Threads

Rows = list[dict[str, Any]]
"""What is kept of one point: a row per recording, in the recordings' order."""


class Evaluator:
    """Replays points in threads: the model runs without Python's lock.

    Nothing of a result depends on how many threads there are. What takes its place one day (processes,
    other machines) has to keep `rows_of` alone.
    """

    def __init__(self, inputs: Sequence[Input], workers: int) -> None:
        self.inputs = list(inputs)
        # Long ones first, so that no thread is left alone with one at the end.
        self._order = sorted(range(len(inputs)), key=lambda at: -len(inputs[at].trace))
        self._pool = Threads(max_workers=workers, thread_name_prefix="replay")
        self._known: dict[Point, Rows] = {}

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def remember(self, point: Point, rows: Rows) -> None:
        """Take a point's results as known: it is not replayed again."""
        self._known[point] = rows

    def warm_up(self) -> None:
        """Run the model once, on nothing much: compile it in one thread, and have it in memory."""
        from pba.model import replay
        from pba.trace.table import Trace

        none: dict[str, list[int]] = {"time_ns": [0], "op": [3], "id": [0], "arg": [0]}
        replay(Trace.from_arrays(none))

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
        from pba.model import replay

        one = self.inputs[at]
        return row_of(replay(one.trace, point.on(one.machine), one.machine))
