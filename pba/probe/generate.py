"""Generate a trace: a workload by its name, or one like a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pba.errors import PbaError
from pba.generators.making import Recipe, recipe
from pba.imports.read import as_trace
from pba.progress import Progress, heard
from pba.trace.table import Trace
from pba.units import time_in_ns


def generate(
    workload: str | None = None,
    *,
    like: Trace | str | Path | None = None,
    seed: int = 0,
    duration_ns: int | str | None = None,
    events: int | None = None,
    scale: int = 1,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Generate a trace in memory; the same arguments give the same events on every machine.

    Parameters
    ----------
    workload : str, optional
        Name of a workload (`pba generate --list`).
    like : Trace, str or Path, optional
        Instead of a workload: a recording that the trace shall be like, or its file or name.
    seed : int
        Of all draws, 0 or more.
    duration_ns : int or str, optional
        Length in ns or as `"5min"`; by default a minute, or as long as the recording, or as long
        as the events last.
    events : int, optional
        The most events.
    scale : int
        With `like`: so many times the recording's demand at the same time.
    parameters : mapping of str to number or str, optional
        Of the workload, in the units that `pba generate WORKLOAD` shows.
    progress : Progress, optional
        Who is told how far it is: by default a line in Jupyter, nobody elsewhere.

    Returns
    -------
    Trace
        Its `metadata.recipe` says how to make it again.

    Raises
    ------
    PbaError
        If there is no such workload or parameter, or a value is out of range.

    Notes
    -----
    For a trace that does not fit in memory: `pba generate -o`.
    """
    duration_ns = None if duration_ns is None else time_in_ns(duration_ns, "duration_ns")
    if (workload is None) == (like is None):
        raise PbaError("a workload or a recording to be like is needed, and not both", "name one of them")
    if like is None:
        if scale != 1:
            raise PbaError("a workload has no scale", "set its parameters: rate, jobs, connections ...")
        made = recipe(str(workload), seed=seed, duration_ns=duration_ns, events=events, parameters=parameters)
        return _told(made, heard(progress))
    if parameters:
        raise PbaError("what is like a recording has no parameters", "give duration_ns, events and scale")
    from pba.probe.likeness import fit

    told = heard(progress)
    told.stage("fitting a generator to the recording")
    try:
        fitted, _ = fit(as_trace(like), lambda what: told.advance(0, what))
        return _told(fitted.recipe(seed=seed, duration_ns=duration_ns, events=events, scale=scale), told)
    finally:
        told.end()


def _told(made: Recipe, progress: Progress) -> Trace:
    """Make a trace, and tell how far it is."""
    try:
        return made.trace(progress)
    finally:
        progress.end()
