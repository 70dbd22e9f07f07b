"""How many threads work, and how much memory their machines take: checked before long work begins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from pba.errors import MachineError, PbaError, StudyError, option
from pba.machine import Machine
from pba.printable import printable
from pba.progress import Progress
from pba.units import format_bytes

MOST_WORKERS: Final = 1024
STATE_BYTES_PER_PAGE: Final = 27
"""What a simulated machine takes for each of its pages, at most (a test holds it): its state as booted, a
copy to work on, and its cached list."""
WORTH_SAYING: Final = 1 << 30
"""From so many bytes on, what machines will take is said before they are booted."""


def check_workers(workers: int | None) -> int:
    """Return how many threads to use: as asked, or one for each processor.

    Raises
    ------
    StudyError
        If so many are out of range.
    """
    if workers is None:
        return len(os.sched_getaffinity(0))
    if not 1 <= workers <= MOST_WORKERS:
        raise StudyError(f"{option('workers', workers)} is out of range", f"use 1 to {MOST_WORKERS}")
    return workers


def check_memory(machines: Mapping[str, Machine], workers: int, progress: Progress) -> None:
    """Say what the simulated machines will take, if that is much, and refuse what there is not.

    Parameters
    ----------
    machines : mapping of str to Machine
        By the name of the trace that runs on it.
    workers : int
        Threads, each with machines of its own.
    progress : Progress
        Who is told.

    Raises
    ------
    MachineError
        If a machine does not fit in the memory that is available, or not for so many threads.
    """
    available = available_bytes()
    takes, told = check_memory_of(machines, workers, available)
    if takes >= WORTH_SAYING:
        progress.say(told)


def check_memory_of(
    machines: Mapping[str, Machine], workers: int, available: int | None, where: str = ""
) -> tuple[int, str]:
    """Return how many bytes the machines of so many threads take, and how that is said.

    Raises
    ------
    MachineError
        If that is more than there is.
    """
    largest = max(machines, key=lambda name: machines[name].memory_pages)
    machine = machines[largest]
    each = machine.memory_pages * STATE_BYTES_PER_PAGE
    takes = each * workers
    told = f"to simulate {machine} (for {printable(largest)}) takes {format_bytes(each)}" + (
        f", {format_bytes(takes)} for {workers} threads" if workers > 1 else ""
    )
    if available is not None and takes > available:
        fewer = f"{option('workers', available // each)}, or " if each <= available and not where else ""
        raise MachineError(
            f"{told}, and {format_bytes(available)} are available{where}",
            f"use {fewer}a machine with less memory",
        )
    return takes, told


def available_bytes() -> int | None:
    """Return how much memory the system has left for this process, by `MemAvailable`; None if not known."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return None


class Threads(ThreadPoolExecutor):
    """A pool of threads that says clearly when the system allows no more of them."""

    def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
        """Submit a call; raise `PbaError` if the system starts no thread for it."""
        try:
            return super().submit(*arguments, **options)
        except RuntimeError as error:
            if "start new thread" not in str(error):
                raise
            raise PbaError(
                f"the system allows no {self._max_workers} threads: {error}",
                f"use {option('workers', 1)}, or raise the limit of processes (ulimit -u)",
            ) from error
