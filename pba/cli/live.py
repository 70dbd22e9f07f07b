"""The one live line: how far long work is, on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from pba.printable import LONGEST_MESSAGE, printable
from pba.progress import DRAW_S, Told, draws, draws_no_more, is_quiet

PLAIN_S: Final = 10.0
"""How often a plain line is printed where there is no terminal to draw on."""


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
        self._told = Told(clock)
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
        self._told.stage(name, total, unit, done)
        if self.on_terminal:
            self._draw()

    def advance(self, done: float, note: str = "") -> None:
        """Draw how far it is, if the line drawn last could be read by now."""
        is_due = self._told.advance(done, note, DRAW_S if self.on_terminal else PLAIN_S)
        if self.on_terminal and (is_due or self._told.is_done):
            self._draw()
        elif not self.on_terminal and is_due:
            self._write(f"{self._told.line(bar=False)}\n")

    def end(self) -> None:
        """Take the line off the terminal."""
        self._wipe()

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1  # a full line would wrap
        line = self._told.line(bar=width >= 70)
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
