"""`pba.compile_trace`: of a trace in memory, or of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.engine.composites import fold_trace
from pba.engine.store import compile_file
from pba.errors import PbaError
from pba.trace.table import Trace

if TYPE_CHECKING:
    from pba.engine.compiled import CompiledTrace

CHUNK_EVENTS: Final = 1024
"""Events of a chunk: those after a refill are replayed one by one up to its end."""
MOST_CHUNK_EVENTS: Final = 1 << 20
FAN: Final = 4
"""Children of a node above the chunks."""
MOST_FAN: Final = 1 << 10


def compile_trace(
    trace: Trace | str | Path, *, chunk_events: int = CHUNK_EVENTS, fan: int = FAN
) -> CompiledTrace:
    """Fold a trace into composites.

    Parameters
    ----------
    trace : Trace, str or Path
        Any trace, or what `pba.read_trace` reads: a file, or the name of a recording. What comes of a large
        file is kept in pba's cache (`pba.engine.store`), and taken from there the next time.
    chunk_events : int
        Most events of the smallest composites, 1 to 2**20. More take less memory, and more time at each
        refill.
    fan : int
        How many composites the next larger one joins, 2 to 1024.

    Returns
    -------
    CompiledTrace
        For `pba.replay` and `pba.sweep`, whatever the machine and the thresholds.

    Raises
    ------
    TraceError
        If the file is no trace.
    PbaError
        If `chunk_events` or `fan` is out of its range.
    """
    _refuse_size("chunk_events", chunk_events, 1, MOST_CHUNK_EVENTS)
    _refuse_size("fan", fan, 2, MOST_FAN)
    if not isinstance(trace, Trace):
        return compile_file(Path(trace), chunk_events, fan)
    return fold_trace(trace, chunk_events, fan)


def _refuse_size(name: str, value: int, least: int, most: int) -> None:
    """Raise `PbaError` for a value out of its range."""
    if not least <= value <= most:
        raise PbaError(f"{name} = {value} is out of range", f"it ranges from {least} to {most}")
