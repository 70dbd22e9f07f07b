"""`pba trace minimise`: the smallest part of a trace that still shows something."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.derived import finish, refuse_output
from pba.cli.live import LiveLine
from pba.cli.options import Batch, LinearMap, Memory, PageSize, ShrinkBlockMinPages, UnshrinkablePages
from pba.cli.traces import open_trace
from pba.units import number, plural

if TYPE_CHECKING:
    from pba.machine import Machine, Thresholds
    from pba.probe.condition import Property
    from pba.probe.minimise import Minimised, Step
    from pba.trace.table import Trace

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell has it."""


def minimise(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="A trace file of any form, or the name of a recording of pba."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Where to write: .parquet or .events[.gz].")
    ],
    keep: Annotated[
        str,
        typer.Option("--keep", metavar="CONDITION", help="What must stay true: 'pmd_splits > 3'."),
    ],
    max_replays: Annotated[
        int, typer.Option(metavar="N", help="Replays after which the search ends with what it has.")
    ] = 20_000,
    unshrinkable_pages: UnshrinkablePages = None,
    shrink_block_min_pages: ShrinkBlockMinPages = None,
    batch: Batch = None,
    page_size: PageSize = None,
    memory: Memory = None,
    linear_map: LinearMap = "",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
) -> None:
    """Take away what a condition on the replay does not need.

    The condition compares counters of pba replay: their names, numbers,
    < <= > >= == !=, and or not, + - * //, and parentheses. One that divides by
    0 does not hold.

    Allocations go together with their frees, first in chunks, then one by one;
    so do background chunks; passes go alone. At the end each one that is left
    is needed. Times and priorities stay as they were. Ctrl-C ends the search,
    and what it has by then is written (exit status 130).
    """
    from pba._jit import start_quickly

    start_quickly()
    from pba.cli.replay import machine_from, thresholds_from
    from pba.model import replay
    from pba.probe.condition import parse_property
    from pba.probe.minimise import minimise as search
    from pba.probe.minimise import with_note

    condition = parse_property(keep)
    refuse_output(output, force)
    whole = open_trace(source)
    machine = machine_from(whole, page_size, memory, linear_map)
    thresholds = thresholds_from(machine, unshrinkable_pages, shrink_block_min_pages, batch)

    def met(part: Trace) -> dict[str, int] | None:
        counters = replay(part, thresholds, machine).counters
        return counters if condition.holds(counters) else None

    live = LiveLine()
    try:
        found = search(whole, met, max_replays=max_replays, watch=_Told(live))
    finally:
        live.end()
    if found.was_interrupted and len(found.trace) == len(whole):
        print("pba: interrupted before anything was taken away: nothing is written", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    options = replay_options(machine, thresholds)
    how = ended(found)
    note = (
        f"minimised from {number(len(whole))} events of {whole.name} while {condition.text!r} held for "
        f"pba replay {options}; {how}"
    )
    finish(with_note(found.trace, note), output, force)
    print(found_text(found, condition, how))
    print(f"see: pba replay {shlex.quote(str(output))} {options}")
    if found.was_interrupted:
        print(f"pba: interrupted: {output} is the smallest found so far", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


def ended(found: Minimised) -> str:
    """Return how a search ended."""
    if found.is_minimal:
        return "each unit is needed"
    by = "interrupted" if found.was_interrupted else "ended"
    return f"{by} after {plural(found.replays, 'replay')}, not minimal"


def found_text(found: Minimised, condition: Property, how: str) -> str:
    """Return what was found in a line: the condition, the values that met it, and what it took."""
    values = ", ".join(f"{name} = {number(found.value[name])}" for name in condition.names)
    return f"{condition.text}: {values}; {plural(found.replays, 'replay')}, {how}"


def replay_options(machine: Machine, thresholds: Thresholds) -> str:
    """Return the options that name a machine and thresholds in full."""
    return (
        f"--page-size {machine.page_size_kib} --memory {machine.memory_pages}pages "
        f"--linear-map {machine.linear_map} --unshrinkable-pages {thresholds.unshrinkable_pages} "
        f"--shrink-block-min-pages {thresholds.shrink_block_min_pages} --batch {thresholds.batch}"
    )


class _Told:
    """Tells how far a search is."""

    def __init__(self, live: LiveLine) -> None:
        self._live, self._chunk = live, 0

    def __call__(self, step: Step) -> None:
        if step.chunk != self._chunk:
            self._chunk = step.chunk
            self._live.stage(f"chunks of {number(step.chunk)}", unit="units left")
        note = f"of {number(step.total)} ({plural(step.events, 'event')}), {plural(step.replays, 'replay')}"
        self._live.advance(step.left, note)
