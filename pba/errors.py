"""Errors that a user can do something about.

Every error that `pba` raises on purpose is a `PbaError`: one line that names what is wrong and where,
and a second thought (`hint`) that says what to do. The command line prints exactly that and exits with
status 2; a traceback from `pba` is a bug.
"""

from __future__ import annotations

from pathlib import Path

EXIT_STATUS = 2
"""Exit status of the command line for every `PbaError`."""


class PbaError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : str
        What is wrong, on one line.
    hint : str, optional
        What to do about it, on one line.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split())

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


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


class OutputError(PbaError):
    """An output exists already, or cannot be written."""
