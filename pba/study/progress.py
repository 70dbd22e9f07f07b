"""Telling how far a study is: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rich.console import Console

from pba.printable import LONGEST_MESSAGE, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_LINES: Final = 10
"""How many lines a study prints where there is no terminal."""


class Tally:
    """Points done, the best so far, and the time left.

    Parameters
    ----------
    total : int
        Points that there will be.
    already : int
        Of them, those that an earlier process replayed; they say nothing about this one's speed.
    clock : callable
        Returns seconds.
    """

    def __init__(self, total: int, already: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.already, self.done = total, already, 0
        self.patch: tuple[float, float] | None = None
        self.best: tuple[float, float] | None = None
        self._clock, self._start = clock, clock()

    def add(self, aims: tuple[float, float]) -> None:
        """Count a point; the first is the patch's."""
        self.done += 1
        if self.done <= self.already:
            self._start = self._clock()
        if self.patch is None or self.best is None:
            self.patch = self.best = aims
        no_worse = aims[0] <= self.patch[0] and aims[1] <= self.patch[1]
        if no_worse and (aims[0] * aims[1], *aims) < (self.best[0] * self.best[1], *self.best):
            self.best = aims

    def seconds_left(self) -> float | None:
        """Return the time that the rest will take at the pace so far; None before there is one."""
        fresh = self.done - self.already
        if fresh <= 0:
            return None
        return (self._clock() - self._start) / fresh * (self.total - self.done)

    def text(self) -> str:
        """Return the best point against the patch's, and the time left."""
        if self.patch is None or self.best is None:
            return ""
        left = self.seconds_left()
        told = f"best {aims_text(self.best)} (patch: {aims_text(self.patch)})"
        return told if left is None or self.done == self.total else f"{told}, {left:.0f} s left"


def aims_text(aims: tuple[float, float]) -> str:
    """Return the two aims as people read them."""
    pages = f"{aims[1]:,.0f}" if aims[1] >= 100 else f"{aims[1]:.3g}"
    return f"{aims[0]:.0f} splits, {pages} pages"


class ProgressWatch:
    """Tells on a console (standard error, so that the tables can go elsewhere)."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._tally = Tally(1, 0)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        """Say what begins now."""
        self.console.print(printable(text, LONGEST_MESSAGE), style="dim", soft_wrap=True, markup=False)

    def begin(self, total: int, done: int) -> None:
        """Begin to count points."""
        self._tally = Tally(total, done)
        if done:
            self.say(f"going on: {done} of {total} points are done")
        if not self.console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        told = TextColumn("{task.fields[told]}")
        columns = (TextColumn("points"), MofNCompleteColumn(), BarColumn(bar_width=12), told)
        self._bar = Bar(*columns, console=self.console, transient=True)
        self._task = self._bar.add_task("points", total=total, told="")
        self._bar.start()

    def point(self, aims: tuple[float, float]) -> None:
        """Count a point."""
        tally = self._tally
        tally.add(aims)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=tally.done, told=tally.text())
        elif tally.done > tally.already and self._at_a_line(tally.done):
            self.console.print(f"{tally.done}/{tally.total} points, {tally.text()}", soft_wrap=True)

    def _at_a_line(self, done: int) -> bool:
        total = self._tally.total
        return done * PLAIN_LINES // total != (done - 1) * PLAIN_LINES // total

    def end(self) -> None:
        """Take the live line away. Harmless where there is none."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
