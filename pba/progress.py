"""How long work tells how far it is: one protocol, and one object that nobody listens to.

A function that takes long takes `progress: Progress = SILENT`, and calls

- `progress.say(text)` for a line that stays ("going on: 80 of 320 points are done");
- `progress.stage(name, total, unit)` when a part of the work begins; that ends the part before;
- `progress.advance(done, note)` as it gets on, as often as it likes: whoever draws it draws no more often
  than can be read;
- `progress.end()` when the work has ended, also after an exception; twice is harmless.

All calls come from one thread. Nothing that is computed may depend on them. The command line draws one live
line from it (`pba.cli.live`), a notebook another (`NotebookLine`). A public function takes
`progress: Progress | None = None` and hands on `heard(progress)`: in Jupyter a line is drawn by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from pba.printable import LONGEST_MESSAGE, printable
from pba.units import format_time, number

DRAW_S: Final = 0.1
"""Least time from one drawing of a line to the next."""
LEFT_AFTER_S: Final = 1.0
"""A stage says what time is left once it has gone on for so long."""
BAR: Final = 20


class Progress(Protocol):
    """Who is told how far long work is."""

    def say(self, text: str) -> None:
        """Hear a line that is worth keeping."""

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        """Hear that a part of the work begins.

        Parameters
        ----------
        name : str
            What is done, as a participle: `reading the traces`.
        total : float, optional
            How much there is of it, in any unit (points, events, weights); None where nobody knows.
        unit : str
            What is counted, in the plural (`points`); empty where the amount is only good for a share.
        done : float
            How much of it was there before; it says nothing about the pace.
        """

    def advance(self, done: float, note: str = "") -> None:
        """Hear how much is done in all (not how much more), and what is worth saying about it."""

    def end(self) -> None:
        """Hear that the work has ended."""


class Silent:
    """Nobody is told."""

    def say(self, text: str) -> None:
        """Drop it."""

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        """Drop it."""

    def advance(self, done: float, note: str = "") -> None:
        """Drop it."""

    def end(self) -> None:
        """Drop it."""


_drawn: list[Progress] = []
_quiet = False


def keep_quiet(quiet: bool = True) -> None:
    """Say nothing of progress from now on, nor of what is compiled; results and errors are not progress."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether nothing is said of progress."""
    return _quiet


def draws(progress: Progress) -> None:
    """Note that a live line stands on the terminal: what else is said there goes through it."""
    if progress not in _drawn:
        _drawn.append(progress)


def draws_no_more(progress: Progress) -> None:
    """Note that a live line has gone from the terminal."""
    if progress in _drawn:
        _drawn.remove(progress)


def say_through_line(text: str) -> bool:
    """Say a line that stays above the live line on the terminal; return whether that, or silence, did for it."""
    if _quiet:
        return True
    if _drawn:
        _drawn[-1].say(text)
    return bool(_drawn)


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, whose output can be changed after it was shown."""
    shell = sys.modules.get("IPython")
    running = getattr(shell, "get_ipython", lambda: None)()
    return getattr(running, "kernel", None) is not None


SILENT: Final = Silent()
"""What a function that takes long tells its progress to by default."""


class Pace:
    """Work done, and the time that the rest will take.

    The first piece is not asked for its pace: while it is done, Numba may compile, for longer than all the
    rest takes.

    Parameters
    ----------
    total : float
        All the work, in any unit.
    done : float
        What was done before; it says nothing about the pace.
    clock : callable
        Returns seconds.
    """

    def __init__(self, total: float, done: float = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done = total, done
        self._clock = clock
        self._from: tuple[float, float] | None = None
        self._before = done

    def advance(self, done: float) -> None:
        """Note how much is done in all."""
        self.done = done
        if self._from is None and done > self._before:
            self._from = (self._clock(), done)

    def seconds_left(self) -> float | None:
        """Return what the rest will take at the pace so far, in seconds; None before there is one."""
        if self._from is None or self.done <= self._from[1]:
            return None
        begun, before = self._from
        return (self._clock() - begun) / (self.done - before) * max(0.0, self.total - self.done)


class Told:
    """What a line says: a stage's name, how much of it is done, a note, the time left.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.stage("")

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        """Note that a part of the work begins."""
        self.name, self.total, self.unit, self.note = name, total, unit, ""
        self._pace = Pace(total or 0, done, self.clock)
        self._begun = self._last = self.clock()

    def advance(self, done: float, note: str, least_s: float) -> bool:
        """Note how far it is; return whether to draw it, which is no more often than every `least_s`."""
        self._pace.advance(done)
        self.note = note
        now = self.clock()
        if now - self._last < least_s:
            return False
        self._last = now
        return True

    @property
    def is_done(self) -> bool:
        """Whether all of the stage is done."""
        return self.total is not None and self._pace.done >= self.total

    def line(self, *, bar: bool) -> str:
        """Return the line, with a bar of signs or without."""
        done, parts = self._pace.done, []
        if self.total:
            share = min(done / self.total, 1.0)
            filled = int(BAR * share)
            counted = f"{number(done)}/{number(self.total)} {self.unit}"
            drawn = f" [{'#' * filled}{'.' * (BAR - filled)}]" if bar else ""
            parts.append(f"{self.name}{drawn} {counted if self.unit else f'{100 * share:.0f} %'}")
        else:
            parts.append(self.name if not done else f"{self.name}: {number(done)} {self.unit}".rstrip())
        if left := self._left():
            parts.append(left)
        if self.note:  # last: a narrow terminal cuts it off
            parts.append(self.note)
        return printable(", ".join(parts), LONGEST_MESSAGE)

    def _left(self) -> str:
        """Return the time left, once it can be told from more than a first piece."""
        left = self._pace.seconds_left() if self.total else None
        if left is None or left <= 0 or self.clock() - self._begun < LEFT_AFTER_S:
            return ""
        return f"{format_time(max(round(left), 1) * 1e9)} left"


class NotebookLine:
    """Draws progress in a notebook: one line that changes, gone when the work has ended; what is said stays.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._told = Told(clock)
        self._said: list[str] = []
        self._handle: Any = None

    def say(self, text: str) -> None:
        """Keep a line above the one that changes."""
        self._said.append(printable(text, LONGEST_MESSAGE))
        self._draw()

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        """Begin to draw a part of the work."""
        self._told.stage(name, total, unit, done)
        self._draw()

    def advance(self, done: float, note: str = "") -> None:
        """Draw how far it is, if what was drawn last could be read by now."""
        if self._told.advance(done, note, DRAW_S) or self._told.is_done:
            self._draw()

    def end(self) -> None:
        """Take away the line that changes."""
        self._told.stage("")
        draws_no_more(self)
        if self._handle is not None:
            self._show()
            self._handle, self._said = None, []  # what was said stands there; the next line begins anew

    def _draw(self) -> None:
        if self._handle is None:
            from IPython.display import display

            self._handle = display(_Text(""), display_id=True)
        draws(self)
        self._show()

    def _show(self) -> None:
        line = self._told.line(bar=True)
        self._handle.update(_Text("\n".join([*self._said, *([line] if line else [])])))


class _Text:
    """Text that a notebook shows as it is, without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def heard(progress: Progress | None) -> Progress:
    """Return who is told: who was named, or by default a line in Jupyter, and nobody elsewhere."""
    if progress is not None:
        return progress
    return NotebookLine() if in_notebook() else SILENT
