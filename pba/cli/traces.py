"""The trace that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pba.trace.table import Trace


def open_trace(name: Path, *, strict: bool = False) -> Trace:
    """Read a trace: a file, or a recording that comes with pba by its name; `strict` as in `read_trace`.

    Raises
    ------
    TraceError
        If there is neither, or the file is not a trace.
    """
    from pba.imports.read import read_trace

    return read_trace(name, strict=strict)
