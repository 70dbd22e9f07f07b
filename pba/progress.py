"""How long work tells how far it is: one protocol, and one object that nobody listens to.

A function that takes long takes `progress: Progress = SILENT`, and calls

- `progress.say(text)` for a line that stays ("going on: 80 of 320 points are done");
- `progress.stage(name, total, unit)` when a part of the work begins; that ends the part before;
- `progress.advance(done, note)` as it gets on, as often as it likes: whoever draws it draws no more often
  than can be read;
- `progress.end()` when the work has ended, also after an exception; twice is harmless.

All calls come from one thread. Nothing that is computed may depend on them. The command line draws one live
line from it (`pba.cli.live`); a notebook may draw another.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, Protocol


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
