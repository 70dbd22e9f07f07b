"""Telling how far a sweep is: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Console

from pba.printable import LONGEST_MESSAGE, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES: Final = 5.0


class SweepWatch(Protocol):
    """Who is told how far a sweep is."""

    def say(self, text: str) -> None:
        """Hear what begins now."""

    def begin(self, weights: list[float], done: int) -> None:
        """Hear how much work each task is, in the order in which they will be done, and how many are done."""

    def task(self, weight: float) -> None:
        """Hear that a task is done."""

    def end(self) -> None:
        """Hear that no more tasks will be done."""


class Silence:
    """Nobody is told."""

    def say(self, text: str) -> None:
        """Drop it."""

    def begin(self, weights: list[float], done: int) -> None:
        """Drop it."""

    def task(self, weight: float) -> None:
        """Drop it."""

    def end(self) -> None:
        """Drop it."""


class Pace:
    """Work done, and the time that the rest will take.

    The first task is not asked for its pace: while it is done, Numba may compile, for longer than all the
    rest takes.

    Parameters
    ----------
    weights : list of float
        The work of each task that is left to do, in any unit.
    clock : callable
        Returns seconds.
    """

    def __init__(self, weights: list[float], clock: Callable[[], float] = time.monotonic) -> None:
        self._left, self._done = sum(weights), 0.0
        self._clock = clock
        self._start: float | None = None

    def add(self, weight: float) -> None:
        """Count a task."""
        self._left -= weight
        if self._start is None:
            self._start = self._clock()
        else:
            self._done += weight

    def seconds_left(self) -> float | None:
        """Return what the rest will take at the pace so far; None before there is one."""
        if self._start is None or self._done <= 0:
            return None
        return (self._clock() - self._start) / self._done * max(0.0, self._left)


class SweepProgress:
    """Tells on a console (standard error, so that the tables can go elsewhere)."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._clock, self._last = clock, clock()
        self._pace = Pace([], clock)
        self._count, self._tasks = 0, 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        """Say what begins now."""
        self.console.print(printable(text, LONGEST_MESSAGE), style="dim", soft_wrap=True, markup=False)

    def begin(self, weights: list[float], done: int) -> None:
        """Begin to count tasks."""
        self._pace, self._last = Pace(weights, self._clock), self._clock()
        self._count, self._tasks = done, done + len(weights)
        if done:
            self.say(f"going on: {done} of {self._tasks} pieces are done")
        if not self.console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        told = TextColumn("{task.fields[told]}")
        columns = (TextColumn("pieces"), MofNCompleteColumn(), BarColumn(bar_width=24), told)
        self._bar = Bar(*columns, console=self.console, transient=True)
        self._task = self._bar.add_task("pieces", total=self._tasks, completed=done, told="")
        self._bar.start()

    def task(self, weight: float) -> None:
        """Count a task."""
        self._count += 1
        self._pace.add(weight)
        left = self._pace.seconds_left()
        told = "" if left is None or self._count == self._tasks else f"{left:.0f} s left"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._count, told=told)
        elif self._count == self._tasks or self._clock() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = self._clock()
            line = f"{self._count}/{self._tasks} pieces"
            self.console.print(f"{line}, {told}" if told else line, soft_wrap=True)

    def end(self) -> None:
        """Take the live line away. Harmless where there is none."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
