"""Where replays run: on threads here, or on the workers of a Dask cluster (`pba.study.cluster`).

Both have one contract, `Executor`: calls of a module's function, whose results come as they are ready. What
is computed depends on neither the executor nor the number of its workers, so a folder that was begun on one
is gone on with on another, to the same bytes.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from pba.machine import Machine
from pba.progress import Progress
from pba.study.workers import Threads, check_memory

Arguments = tuple[Any, ...]

LOOK_AFTER_S: Final = 1.0
"""How often an executor is asked how it is, while nothing is ready."""


class Shared:
    """Stands for a value that goes to a worker once, and is made when it is first needed."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make: Callable[[], Any] | None = make
        self._value: Any = None
        self._lock = threading.Lock()

    def get(self) -> Any:
        """Return the value."""
        with self._lock:
            if self._make is not None:
                self._value, self._make = self._make(), None
            return self._value


class Piece(NamedTuple):
    """Some points on one trace: its number, the first point's and that after the last."""

    trace: int
    start: int
    end: int


class Executor(ABC):
    """Takes calls, and gives their results as they are ready.

    Attributes
    ----------
    nr_workers : int
        Calls that run at a time.
    threads_a_process : int
        How many of these share a process, and so its pool of machines.
    """

    nr_workers: int
    threads_a_process: int

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End the calls that have not begun, and let go of what was taken."""

    def share(self, make: Callable[[], Any]) -> Shared:
        """Return what stands for a value in the arguments of calls: it goes to a worker once, not each time.

        Parameters
        ----------
        make : callable
            Returns the value. Called once, when a call first needs it.
        """
        return Shared(make)

    @abstractmethod
    def check_memory(self, machines: Mapping[str, Machine], progress: Progress) -> None:
        """Refuse machines that do not fit where the calls run; see `pba.study.workers.check_memory`."""

    @abstractmethod
    def packed(self, nr_points: int, seconds: Sequence[float]) -> list[list[Piece]]:
        """Return calls that replay points on all traces: pieces of work for each.

        Parameters
        ----------
        nr_points : int
            How many points there are.
        seconds : sequence of float
            What a point is likely to take on each trace.
        """

    @abstractmethod
    def _start(self, function: Callable[..., Any], arguments: Arguments) -> Future[Any]:
        """Start one call."""

    @abstractmethod
    def _look(self) -> bool:
        """Return whether all that runs is to be started again; raise if no result is to be expected."""

    def _outcome(self, future: Future[Any]) -> Any:
        """Return what a finished call returned, or raise."""
        return future.result()

    def _may_start_again(self, times: int) -> bool:
        """Say whether a call is to be started again that somebody else cancelled, for so many times now."""
        return False

    def results(self, function: Callable[..., Any], calls: Sequence[Arguments]) -> Iterator[tuple[int, Any]]:
        """Call a module's function with each of these arguments.

        Yields
        ------
        number : int
            Which call it was.
        result : object
            What it returned. A call that raises ends all others.
        """
        ready: SimpleQueue[Future[Any]] = SimpleQueue()
        running: dict[Future[Any], int] = {}
        lost = [0] * len(calls)

        def start(number: int) -> None:
            future = self._start(function, calls[number])
            running[future] = number
            future.add_done_callback(ready.put)

        try:
            for number in range(len(calls)):
                start(number)
            while running:
                try:
                    future = ready.get(timeout=LOOK_AFTER_S)
                except Empty:
                    if self._look():
                        for stuck in list(running):
                            stuck.cancel()  # and so it is ready
                    continue
                number = running.pop(future)
                if future.cancelled():
                    self._look()
                    lost[number] += 1
                    if not self._may_start_again(lost[number]):
                        raise CancelledError
                    start(number)
                    continue
                yield number, self._outcome(future)
        finally:
            for future in running:
                future.cancel()


class OnThreads(Executor):
    """Threads of this process: the model runs without Python's lock.

    Parameters
    ----------
    workers : int
        How many.
    """

    def __init__(self, workers: int) -> None:
        self.nr_workers = self.threads_a_process = workers
        self._pool = Threads(max_workers=workers, thread_name_prefix="replay")
        self._stopped = threading.Event()

    def close(self) -> None:
        """End also the calls that have begun, where they look (`stop_if_asked`)."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def check_memory(self, machines: Mapping[str, Machine], progress: Progress) -> None:
        """Hold the machines of all threads against what this system has left."""
        check_memory(machines, self.nr_workers, progress)

    def packed(self, nr_points: int, seconds: Sequence[float]) -> list[list[Piece]]:
        """Return a call for each point on each trace: it costs next to nothing."""
        order = sorted(range(len(seconds)), key=lambda trace: -seconds[trace])
        return [[Piece(trace, at, at + 1)] for at in range(nr_points) for trace in order]

    def _start(self, function: Callable[..., Any], arguments: Arguments) -> Future[Any]:
        return self._pool.submit(self._call, function, arguments)

    def _look(self) -> bool:
        """Return False: threads do not go away."""
        return False

    def _call(self, function: Callable[..., Any], arguments: Arguments) -> Any:
        _here.stopped = self._stopped
        return function(*(item.get() if isinstance(item, Shared) else item for item in arguments))


class _Here(threading.local):
    """What a call's thread knows of its executor."""

    stopped: threading.Event | None = None


_here: Final = _Here()


def stop_if_asked(_: int = 0) -> None:
    """End the call that runs in this thread, if its executor is closed: long calls look now and then.

    Raises
    ------
    CancelledError
        If it is.
    """
    if _here.stopped is not None and _here.stopped.is_set():
        raise CancelledError
