"""Errors that a user can do something about.

Every error that `pba` raises on purpose is a `PbaError`: one line that names what is wrong and where,
and a second thought (`hint`) that says what to do. The command line prints exactly that and exits with
status 2; a traceback from `pba` is a bug.

The same error reaches users of Python and of the command line. Where a message or a hint names an argument,
`option("force", True)` stands for it: Python users read `force=True`, those of the command line `--force`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXIT_STATUS = 2
"""Exit status of the command line for every `PbaError`."""

_OPEN, _MIDDLE, _CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
"""Signs that no text has (Unicode keeps them for such uses); between them stand both names of an argument."""
_OPTION = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_MIDDLE}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_NO_VALUE = object()


def option(name: str, value: Any = _NO_VALUE, flag: str = "") -> str:
    """Name an argument in the text of a `PbaError`, for users of Python and of the command line alike.

    Parameters
    ----------
    name : str
        The argument's name in Python, such as `from_ns`.
    value : object, optional
        Its value: `force=True` and `--force`, `workers=0` and `--workers 0`. Without one only the name is
        said: `batch` and `--batch`.
    flag : str
        Its name on the command line, where it is not the same with dashes: `--from`.
    """
    python, line = name, flag or f"--{name.replace('_', '-')}"
    if value is not _NO_VALUE:
        python = f"{name}={str(value) if isinstance(value, Path) else value!r}"
        line = line if value is True else f"{line} {value}"
    return f"{_OPEN}{_bare(python)}{_MIDDLE}{_bare(line)}{_CLOSE}"


def _bare(text: str) -> str:
    """Return a text without the signs that stand around an option."""
    return text.translate({ord(sign): None for sign in (_OPEN, _MIDDLE, _CLOSE)})


def meant(name: str, known: Sequence[str]) -> str:
    """Return a hint: the known name that is nearest to a misspelt one, and all of them."""
    near = difflib.get_close_matches(name, known, 1)
    every = "known: " + ", ".join(known)
    return f"did you mean {near[0]}? {every}" if near else every


class PbaError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : str
        What is wrong, on one line.
    hint : str, optional
        What to do about it, on one line.

    Both may name arguments by `option`. The attributes `message` and `hint` have them as Python has them.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self._given = (" ".join(message.split()), " ".join(hint.split()))
        self.message, self.hint = (_OPTION.sub(r"\1", text) for text in self._given)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def for_command_line(self) -> str:
        """Return message and hint with arguments as the command line has them: `--force`."""
        message, hint = (_OPTION.sub(r"\2", text) for text in self._given)
        return f"{message} ({hint})" if hint else message


class TraceError(PbaError):
    """A trace cannot be read, or its events contradict each other.

    Parameters
    ----------
    message, hint : str
        As for `PbaError`.
    path : str or Path, optional
        The file at fault.
    line : int, optional
        Its line at fault, counted from 1.
    event : int, optional
        The event at fault, counted from 0, where there is no line.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        path: str | Path | None = None,
        line: int | None = None,
        event: int | None = None,
    ) -> None:
        where = "" if path is None else str(path)
        if line is not None:
            where = f"{where}:{line}" if where else f"line {line}"
        elif event is not None:
            where = f"{where}: event {event}" if where else f"event {event}"
        super().__init__(f"{where}: {message}" if where else message, hint)
        self.path = None if path is None else Path(path)
        self.line = line
        self.event = event


class MachineError(PbaError):
    """The described machine cannot exist (page size, memory size, linear map)."""


class ThresholdError(PbaError):
    """A threshold of the shrinker is out of its range."""


class RecordError(PbaError):
    """Recording is impossible here: no tracefs, no permission, a failed command."""


class StudyError(PbaError):
    """A study file or a run folder is wrong or damaged."""


class ClusterError(PbaError):
    """A Dask cluster cannot be reached, cannot work, or went away."""


class OutputError(PbaError):
    """An output exists already, or cannot be written."""
