"""The one live line: how far long work is, on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from pba.printable import LONGEST_MESSAGE, printable
from pba.progress import Pace, draws, draws_no_more, is_quiet
from pba.units import format_time, number

DRAW_S: Final = 0.1
"""Least time from one drawing of the line to the next."""
PLAIN_S: Final = 10.0
"""How often a plain line is printed where there is no terminal to draw on."""
LEFT_AFTER_S: Final = 1.0
"""A stage says what time is left once it has gone on for so long."""
BAR: Final = 20


class LiveLine:
    """Draws `pba.progress.Progress`: one line over and over on a terminal, elsewhere a line now and then.

    Parameters
    ----------
    stream : file, optional
        Where to; standard error by default, so that results can go elsewhere.
    clock : callable
        Returns seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.on_terminal = self.stream is not None and self.stream.isatty()
        self._clock = clock
        self._name, self._unit, self._note = "", "", ""
        self._total: float | None = None
        self._pace = Pace(0)
        self._begun = self._last = clock()
        self._is_drawn = False

    def say(self, text: str) -> None:
        """Print a line that stays."""
        was_drawn = self._is_drawn
        self._wipe()
        self._write(f"{printable(text, LONGEST_MESSAGE)}\n")
        if was_drawn:
            self._draw()

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        """Begin to draw a part of the work."""
        self._name, self._total, self._unit, self._note = name, total, unit, ""
        self._pace = Pace(total or 0, done, self._clock)
        self._begun = self._last = self._clock()
        if self.on_terminal:
            self._draw()

    def advance(self, done: float, note: str = "") -> None:
        """Draw how far it is, if the line drawn last could be read by now."""
        self._pace.advance(done)
        self._note = note
        now = self._clock()
        is_last = self._total is not None and done >= self._total
        if self.on_terminal:
            if now - self._last < DRAW_S and not is_last:
                return
        elif now - self._last < PLAIN_S:
            return
        self._last = now
        if self.on_terminal:
            self._draw()
        else:
            self._write(f"{self._line(bar=False)}\n")

    def end(self) -> None:
        """Take the line off the terminal."""
        self._wipe()

    def _line(self, *, bar: bool) -> str:
        """Return the line: name, how much, note, time left."""
        done, parts = self._pace.done, []
        if self._total:
            share = min(done / self._total, 1.0)
            filled = int(BAR * share)
            counted = f"{number(done)}/{number(self._total)} {self._unit}"
            drawn = f" [{'#' * filled}{'.' * (BAR - filled)}]" if bar else ""
            parts.append(f"{self._name}{drawn} {counted if self._unit else f'{100 * share:.0f} %'}")
        else:
            parts.append(self._name if not done else f"{self._name}: {number(done)} {self._unit}".rstrip())
        if self._note:
            parts.append(self._note)
        if left := self._left():
            parts.append(left)
        return printable(", ".join(parts), LONGEST_MESSAGE)

    def _left(self) -> str:
        """Return the time left, once it can be told from more than a first piece."""
        left = self._pace.seconds_left() if self._total else None
        if left is None or left <= 0 or self._clock() - self._begun < LEFT_AFTER_S:
            return ""
        return f"{format_time(max(round(left), 1) * 1e9)} left"

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1  # a full line would wrap
        line = self._line(bar=width >= 70)
        self._is_drawn = True
        draws(self)
        self._write(f"\r\033[K{line[:width]}")

    def _wipe(self) -> None:
        if self._is_drawn:
            self._write("\r\033[K")
            self._is_drawn = False
            draws_no_more(self)

    def _write(self, text: str) -> None:
        """Write, and never end the work because nobody listens any more."""
        if is_quiet():
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError, AttributeError):
            self.on_terminal, self._is_drawn = False, False
            draws_no_more(self)
