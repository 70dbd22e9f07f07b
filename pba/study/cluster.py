"""Replays on the workers of a Dask cluster: one that is there already, or one of processes on this machine.

Traces are scattered: they go to each worker once. Whoever loses them (all workers that had them were killed)
gets them again. A worker's calls are done elsewhere when it dies, which is Dask's work; the scheduler's death
ends the study, whose folder the same command goes on with. `distributed` is imported only if it is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pba import _jit
from pba.errors import ClusterError, PbaError, option
from pba.machine import Machine
from pba.printable import printable
from pba.progress import Progress
from pba.study.executors import Arguments, Executor, OnThreads, Piece, Shared
from pba.study.folder import model_hash
from pba.study.workers import check_memory, check_memory_of
from pba.units import plural

if TYPE_CHECKING:
    import distributed

Dask: TypeAlias = "str | distributed.Client"
"""A scheduler's address, `LOCAL`, or a client."""

LOCAL: Final = "local"
"""In place of an address: a cluster of processes on this machine, which ends with the work."""
CONNECT_S: Final = 5.0
"""How long a scheduler may take to answer."""
NO_WORKER_S: Final = 60.0
"""How long a cluster may be without workers: one that grows on demand begins with none."""
WORTH_A_CALL_S: Final = 0.2
"""What a call should take, where there is work enough: on loopback it costs some 6 ms besides."""
BATCHES_A_WORKER: Final = 2
"""Most calls for each worker at a time: so none is left alone with a long one at the end."""
MOST_LOSSES: Final = 3
"""How often a call is started again after its trace was lost with the workers that had it."""

_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>tcp|tls)://)?(?P<host>[A-Za-z0-9_.-]+|\[[0-9a-fA-F:.%]+\]):(?P<port>[0-9]{1,5})"
)


def check_dask(dask: Dask | Executor | None) -> None:
    """Refuse what is no cluster, before anything is read or written.

    Raises
    ------
    ClusterError
        If the address is none, nothing listens there, or `distributed` is not installed.
    """
    if dask is None or isinstance(dask, Executor):
        return
    _distributed()
    if not isinstance(dask, str) or dask == LOCAL:
        return
    found = _ADDRESS.fullmatch(dask)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        raise ClusterError(
            f"{option('dask', printable(dask, 100))} is no address of a Dask scheduler",
            f"use host:port, tcp://host:port, tls://host:port or {LOCAL}",
        )
    _be_quiet()
    try:
        with socket.create_connection((found["host"].strip("[]"), int(found["port"])), CONNECT_S):
            pass
        # Dask's own greeting: something else may listen there, and a client that meets it ends badly.
        _greeted(dask)
    except Exception as error:
        raise _no_scheduler(dask, error) from error


def _greeted(address: str) -> None:
    """Connect to a scheduler as a client does, and leave.

    In a thread of its own: in Jupyter an event loop runs in the caller's, and who listens but says nothing is
    not waited for any longer.
    """
    distributed, outcome = _distributed(), SimpleQueue[BaseException | None]()

    async def greet() -> None:
        how = distributed.Security().get_connection_args("client")
        comm = await distributed.comm.connect(address, timeout=CONNECT_S, **how)
        comm.abort()

    def run() -> None:
        try:
            outcome.put(asyncio.run(greet()))
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        failed = outcome.get(timeout=CONNECT_S)
    except Empty:
        failed = TimeoutError(f"no answer in {CONNECT_S:.0f} s")
    if failed is not None:
        raise failed


def executor_for(
    dask: Dask | Executor | None, workers: int, progress: Progress
) -> AbstractContextManager[Executor]:
    """Return threads, the cluster that is asked for, or what is at work already; what is made is closed.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached, or has no workers.
    """
    if dask is None:
        return OnThreads(workers)
    if isinstance(dask, Executor):
        return nullcontext(dask)  # whoever made it closes it
    _distributed()
    if isinstance(dask, str):
        progress.stage("starting a Dask cluster" if dask == LOCAL else "connecting to the Dask cluster")
        return OnCluster(*_connected(dask, workers), progress=progress)
    return OnCluster(dask, [], progress=progress)


class OnCluster(Executor):
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Connected to it.
    owned : list
        What is closed with the executor, in this order.
    progress : Progress
        Who is told.
    """

    def __init__(self, client: distributed.Client, owned: list[Any], progress: Progress) -> None:
        self.client, self._owned, self._progress = client, owned, progress
        self.address = client.scheduler.address if client.scheduler is not None else "?"
        self._calls: dict[Future[Any], Any] = {}
        self._scattered: dict[Shared, Any] = {}
        self._without_workers_since: float | None = None
        try:
            self._wait_for_workers()
            workers = self._workers()
            self.nr_workers = sum(worker["nthreads"] for worker in workers.values())
            self.threads_a_process = max(worker["nthreads"] for worker in workers.values())
            self._hold_against_ours()
        except BaseException:
            self.close()
            raise
        told = f"{plural(len(workers), 'worker')}, {plural(self.nr_workers, 'thread')} in all"
        progress.say(f"on the Dask cluster at {self.address}: {told}")

    def close(self) -> None:
        """Cancel what is left to do, and close what this executor opened."""
        if self.client.status == "running":
            self.client.cancel(list(self._calls.values()))
        self._calls.clear()
        self._scattered.clear()
        for part in self._owned:
            part.close(timeout=CONNECT_S)

    def check_memory(self, machines: Mapping[str, Machine], progress: Progress) -> None:
        """Hold the machines of each worker's threads against its limit."""
        if any(part is not self.client for part in self._owned):
            check_memory(machines, self.nr_workers, progress)  # all of them are here
            return
        for address, worker in self._workers().items():
            limit, threads = worker.get("memory_limit") or 0, worker["nthreads"]
            if limit:
                check_memory_of(machines, threads, limit, f" on the worker {address}")

    def packed(self, nr_points: int, seconds: Sequence[float]) -> list[list[Piece]]:
        """Return calls that are worth their cost, and as many as keep all workers busy: one each at least."""
        total = nr_points * sum(seconds)
        most = BATCHES_A_WORKER * self.nr_workers
        nr_calls = max(self.nr_workers, min(most, int(total / WORTH_A_CALL_S)))
        pieces = []
        for trace, each in enumerate(seconds):
            size = max(1, min(nr_points, int(total / nr_calls / each)))
            pieces += [Piece(trace, at, min(at + size, nr_points)) for at in range(0, nr_points, size)]
        # The longest first, each to the call that has least.
        loads, calls = [0.0] * nr_calls, [list[Piece]() for _ in range(nr_calls)]
        for piece in sorted(pieces, key=lambda one: -(one.end - one.start) * seconds[one.trace]):
            least = loads.index(min(loads))
            loads[least] += (piece.end - piece.start) * seconds[piece.trace]
            calls[least].append(piece)
        return [call for call in calls if call]

    def _start(self, function: Callable[..., Any], arguments: Arguments) -> Future[Any]:
        sent = [self._sent(item) if isinstance(item, Shared) else item for item in arguments]
        with self._watched():
            call = self.client.submit(_call, model_hash(), function, *sent, pure=False)
        outcome: Future[Any] = Future()
        self._calls[outcome] = call
        call.add_done_callback(partial(_hand_over, outcome))
        return outcome

    def _sent(self, shared: Shared) -> Any:
        """Return the scattered data for a shared value; scatter it anew if the cluster lost it."""
        found = self._scattered.get(shared)
        if found is None or found.status != "finished":
            value = shared.get()
            self._wait_for_workers()
            with self._watched():
                found = self._scattered[shared] = self.client.scatter(value, broadcast=True, hash=False)
        return found

    def _outcome(self, future: Future[Any]) -> Any:
        del self._calls[future]
        with self._watched():
            return future.result()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Make one line of what goes wrong on the cluster, other than with the work itself."""
        from distributed.scheduler import KilledWorker

        try:
            yield
        except PbaError:
            raise
        except KilledWorker as error:
            died = f"workers of the Dask cluster at {self.address} died again and again over the same work"
            raise ClusterError(f"{died}: {printable(error, 200)}", "give them more memory") from error
        except Exception as error:
            if self.client.status != "running":
                raise self._gone() from error
            raise

    def _may_start_again(self, times: int) -> bool:
        if times > MOST_LOSSES:
            raise ClusterError(
                f"the Dask cluster at {self.address} lost its data {times} times", "the same command goes on"
            )
        return True

    def _look(self) -> bool:
        has_workers = self._has_workers()
        for outcome, call in list(self._calls.items()):
            if outcome.done():
                if outcome.cancelled():
                    del self._calls[outcome]
            elif call.status in ("cancelled", "lost"):  # and its callback was lost with it
                outcome.cancel()
        return has_workers and self._forget_lost()

    def _has_workers(self) -> bool:
        """Say whether there is a worker; raise if there was none for too long, or no scheduler."""
        if self.client.status != "running":
            raise self._gone()
        if self._workers():
            self._without_workers_since = None
            return True
        now = time.monotonic()
        if self._without_workers_since is None:
            self._without_workers_since = now
            self._progress.say(f"the Dask cluster at {self.address} has no workers; waiting for one")
        if now - self._without_workers_since > NO_WORKER_S:
            raise ClusterError(
                f"the Dask cluster at {self.address} has had no workers for {NO_WORKER_S:.0f} s",
                "start some (dask worker ADDRESS); the same command goes on",
            )
        return False

    def _forget_lost(self) -> bool:
        """Forget data that no worker has any more, and say whether there is such: its calls wait for ever."""
        there = [found for found in self._scattered.values() if found.status == "finished"]
        having: Mapping[str, Any] = {}
        # Cancelled: one of them was lost while we asked; to send all again is slow and right.
        with self._watched(), suppress(CancelledError):
            having = self.client.who_has(there) if there else {}
        lost = [shared for shared, found in self._scattered.items() if not having.get(found.key)]
        for shared in lost:
            del self._scattered[shared]
        return bool(lost)

    def _wait_for_workers(self) -> None:
        while not self._has_workers():
            time.sleep(0.2)

    def _workers(self) -> dict[str, Any]:
        with self._watched():
            return dict(self.client.scheduler_info(n_workers=-1)["workers"])

    def _hold_against_ours(self) -> None:
        """Refuse workers whose pba is another: they would give other figures."""
        for _ in self.results(_nothing, [()]):
            pass

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the Dask scheduler at {self.address} went away",
            "what is done is kept: the same command goes on, with another cluster or without one",
        )


def _hand_over(outcome: Future[Any], call: Any) -> None:
    """Give what came of a call on the cluster to who waits for it."""
    if outcome.done():
        return
    with suppress(InvalidStateError):  # cancelled meanwhile
        if call.status == "finished":
            outcome.set_result(call.result())
        elif call.status == "error":
            outcome.set_exception(call.exception())
        else:
            outcome.cancel()


def _nothing() -> None:
    """Do nothing, on a worker."""


def _call(model: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function on a worker, if that has the same pba.

    Raises
    ------
    ClusterError
        If not.
    """
    if model_hash() != model:
        import distributed

        raise ClusterError(
            f"the Dask worker {distributed.get_worker().address} has another pba than this one",
            "install the same on both",
        )
    return function(*arguments)


def _connected(dask: str, workers: int) -> tuple[distributed.Client, list[Any]]:
    """Return a client and what is to be closed with it."""
    distributed = _distributed()
    _be_quiet()
    address, owned = dask, []
    try:
        if dask == LOCAL:
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                dashboard_address=None, silence_logs=logging.CRITICAL, memory_limit=0,
                env={_jit.QUICK_VARIABLE: "1"} if _jit.starts_quickly() else None,
            )  # fmt: skip
            owned.append(cluster)
            address = cluster.scheduler_address
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except Exception as error:
        for part in owned:
            part.close(timeout=CONNECT_S)
        if dask != LOCAL:
            raise _no_scheduler(dask, error) from error
        raise ClusterError(
            f"no local Dask cluster can be started: {printable(error, 200)}",
            'a script that starts one needs: if __name__ == "__main__":',
        ) from error
    return client, [client, *owned]


def _be_quiet() -> None:
    """Keep Dask's own lines off the screen: what matters of them is said in ours."""
    for name in ("distributed", *logging.Logger.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _distributed() -> Any:
    """Return the package, or say how to get it."""
    try:
        import distributed
    except ImportError as error:
        raise PbaError(
            f"{option('dask')} needs the package distributed: {error}", "pip install 'pba[dask]'"
        ) from error
    return distributed


def _no_scheduler(address: str, error: Exception) -> ClusterError:
    reason = getattr(error, "strerror", None) or error
    return ClusterError(
        f"no Dask scheduler answers at {address}: {printable(reason, 200)}",
        "start one (dask scheduler), or leave out " + option("dask"),
    )
