"""`pba generate`: traces that nobody recorded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pba.cli.derived import refuse_output
from pba.cli.layout import columns, described
from pba.cli.live import LiveLine
from pba.cli.traces import open_trace
from pba.errors import PbaError
from pba.printable import printable
from pba.units import exact_time, format_time, number, parse_count, parse_time, plural

if TYPE_CHECKING:
    from pba.generators.fitting import Fit
    from pba.generators.making import Recipe
    from pba.generators.play import Columns
    from pba.probe.likeness import Likeness

FITTING = "Like a recording"


def generate(
    workload: Annotated[
        str | None,
        typer.Argument(metavar="WORKLOAD", help="Which; alone it shows what it is and its parameters."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Where to write: .parquet or .events[.gz]."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the workloads.")] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same bytes on every machine.")
    ] = 0,
    length: Annotated[
        str | None,
        typer.Option("--duration", metavar="T", help="Length, such as 90s, 5min, 24h. Default: 60s."),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="N", help="Most events, such as 250k or 10M; alone it bounds the length too."),
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="TRACE",
            help="Fit a generator to this recording, and say how close it is. Default length: its own.",
            rich_help_panel=FITTING,
        ),
    ] = None,
    scale: Annotated[
        int,
        typer.Option(metavar="S", help="So many times its demand at the same time.", rich_help_panel=FITTING),
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers, as JSON.")] = False,
) -> None:
    """Generate a trace: of a workload with parameters, or longer or larger than a recording.

    [bold]Examples[/bold]

      pba generate --list                       the workloads
      pba generate fork-storm                   what it is, and its parameters
      pba generate fork-storm -o x.parquet --duration 5min --param rate=2000
      pba generate --like pgbench-x86 -o day.parquet --duration 24h --scale 8

    Shapes of processes (tables at each level, lifetimes, bursts) come from the
    recordings of pba. A trace of any length is made in bounded memory.
    """
    if list_ or (workload is None and like is None):
        print(_listed(as_json))
        return
    if workload is not None and like is not None:
        raise PbaError("a workload and --like are two things", "give one of them")
    if workload is not None and output is None:
        print(_explained(workload, as_json))
        return
    if output is None:
        raise PbaError("there is no output", "say where to write: -o OUT")
    refuse_output(output, force)
    limits: dict[str, Any] = {
        "seed": seed,
        "duration_ns": None if length is None else parse_time(length, "--duration"),
        "events": None if events is None else parse_count(events, "--events"),
    }
    facts: dict[str, Any] = {}
    if like is not None:
        if param:
            raise PbaError("what is like a recording has no parameters", "give --duration, --events, --scale")
        taken, found = _fitted(like)
        made = taken.recipe(scale=scale, **limits)
        facts["fit"] = {"phases": taken.phases, "blocks": taken.blocks, **found.to_dict()}
        if not as_json:
            print(f"{_closeness(taken, found)}\n")
    else:
        if scale != 1:
            raise PbaError("a workload has no --scale", "set its parameters: rate, jobs, connections ...")
        from pba.generators.making import recipe

        made = recipe(str(workload), parameters=_parameters(param or []), **limits)
    live = LiveLine()
    written = Written(made, live)
    try:
        made.write(output, force=force, show=written.see)
    finally:
        live.end()
    facts = {"file": str(output), **written.facts(), "recipe": made.metadata.recipe, **facts}
    print(json.dumps(facts, indent=2) if as_json else f"{printable(output)}: {written.told()}")


def _parameters(given: list[str]) -> dict[str, str]:
    """Return what `--param` says."""
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise PbaError(f"--param {text[:60]!r} is not understood", "write it as NAME=VALUE")
        if name.strip() in found:
            raise PbaError(f"--param {name.strip()[:60]} is given twice", "give it once")
        found[name.strip()] = value.strip()
    return found


def command(recipe: Mapping[str, Any]) -> str:
    """Return the command line that makes a trace again, of its metadata's `recipe`.

    Parameters that are as this pba has them by default are left out.
    """
    from pba.generators.workloads import WORKLOADS

    like, name = recipe.get("like"), str(recipe.get("like") or recipe.get("workload"))
    words = ["--like", name] if like else [name]
    words += ["-o", f"like-{name}.parquet" if like else f"{name}.parquet"]
    if recipe.get("scale", 1) != 1:
        words += ["--scale", str(recipe["scale"])]
    if isinstance(length_ns := recipe.get("duration_ns"), int):
        words += ["--duration", exact_time(length_ns)]
    words += ["--events", str(recipe["events"])] if recipe.get("events") is not None else []
    words += ["--seed", str(recipe.get("seed", 0))]
    known = {each.name: each.default for each in WORKLOADS[name].parameters} if name in WORKLOADS else {}
    for key, value in parameters_of(recipe).items():
        words += [] if known.get(key) == value else ["--param", f"{key}={value}"]
    return shlex.join(["pba", "generate", *words])


def parameters_of(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a recipe as text; no entries where they are missing or damaged."""
    found = recipe.get("parameters")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


# --- what there is -------------------------------------------------------------------------------------


def _listed(as_json: bool) -> str:
    """Return the workloads, one a line."""
    from pba.generators.workloads import WORKLOADS

    if as_json:
        return json.dumps(
            [{"name": each.name, "summary": each.summary} for each in WORKLOADS.values()], indent=2
        )
    rows = [(each.name, each.summary) for each in WORKLOADS.values()]
    return f"{described(rows)}\n\npba generate WORKLOAD shows its parameters."


def _explained(name: str, as_json: bool) -> str:
    """Return what a workload is, and its parameters with units, ranges and defaults."""
    from dataclasses import asdict

    from pba.generators.workloads import find

    kind = find(name)
    if as_json:
        parameters = [asdict(parameter) for parameter in kind.parameters]
        return json.dumps({"name": name, "summary": kind.summary, "parameters": parameters}, indent=2)
    about = "\n".join(line.strip() for line in kind.about.strip().splitlines())
    rows = [("parameter", "default", "unit", "range", "meaning; where the default comes from")]
    for each in kind.parameters:
        limits = f"{each.least}..{each.most}"
        rows.append((each.name, each.default, each.unit, limits, f"{each.meaning}; {each.origin}"))
    table = columns(rows, "lrlll")
    example = (
        f"pba generate {name} -o {name}.parquet --duration 5min --seed 1 --param {kind.parameters[0].name}="
    )
    return f"{kind.name}: {kind.summary}\n\n{about}\n\n{table}\n\n{example}{kind.parameters[0].default}"


# --- like a recording ----------------------------------------------------------------------------------


def _fitted(path: Path) -> tuple[Fit, Likeness]:
    """Fit a generator to a recording, with a live line."""
    from pba.probe.likeness import fit

    recording = open_trace(path)
    live = LiveLine()
    live.stage(f"fitting {recording.name}")
    try:
        return fit(recording, lambda what: live.advance(0, what))
    finally:
        live.end()


def _closeness(taken: Fit, found: Likeness) -> str:
    """Return how close the fit is, at the recording's own length and scale 1."""
    from pba.probe.likeness import CLOSE_KS, CLOSE_LIVE

    demand = found.demand
    rows = [("at its own length, scale 1", "recording", "generated", "off by", "limit")]
    for what, distance in (
        ("lifetimes", demand.lifetimes),
        ("sizes of runs of frees", demand.free_runs),
        ("sizes of runs of allocations", demand.alloc_runs),
    ):
        rows.append((what, "", "", f"KS {distance:.4f}", f"{CLOSE_KS:g}"))
    for name, (one, two) in demand.live_pages.items():
        off = f"{100 * abs(one - two) / max(one, 1):.1f} %"
        rows.append(
            (f"live pages, at most, {name} of the time", number(one), number(two), off, f"{CLOSE_LIVE:.0%}")
        )
    for each in found.metrics:
        recorded, generated = (number(round(value)) for value in (each.recorded, each.generated))
        rows.append((each.name, recorded, generated, f"{100 * each.off:.1f} %", f"{each.limit:,.0f}"))
    order = (
        "the recording itself in each round: no shuffling was close"
        if taken.fineness == 1
        else f"{number(taken.blocks)} blocks of {format_time(taken.length_ns // taken.blocks)}, in a random "
        f"order within each of {number(taken.phases)} phases"
    )
    left = f"; {number(taken.dropped)} frees of unknown pages are left out" if taken.dropped else ""
    return f"like {taken.recording.name}: {order}{left}\n\n{columns(rows, 'lrrrr')}"


# --- progress ------------------------------------------------------------------------------------------


class Written:
    """Counts what is written, and tells how far it is."""

    def __init__(self, made: Recipe, live: LiveLine) -> None:
        self.made, self.line = made, live
        if made.events:
            live.stage("generating", made.events, "events")
        else:
            live.stage("generating", made.duration_ns)
        self.counts = [0] * 6
        self.live = self.peak = self.last_ns = 0

    def see(self, chunk: Columns) -> None:
        """Take note of some events."""
        import numpy as np

        found = np.bincount(chunk.op, minlength=6)
        self.counts = [before + int(more) for before, more in zip(self.counts, found, strict=True)]
        live = np.cumsum((chunk.op == 0).astype(np.int64) - (chunk.op == 1))
        self.peak = max(self.peak, self.live + int(live.max()))
        self.live += int(live[-1])
        self.last_ns = int(chunk.time_ns[-1])
        events = sum(self.counts)
        note = f"{number(events)} events, {format_time(self.last_ns)}, Ctrl-C ends it and leaves nothing"
        self.line.advance(events if self.made.events else self.last_ns, note)

    def facts(self) -> dict[str, int]:
        """Return what was written, as plain numbers."""
        allocs, frees, shrinks, drops, chunks, _ = self.counts
        return {
            "events": sum(self.counts),
            "last_event_ns": self.last_ns,
            "allocs": allocs,
            "frees": frees,
            "passes": shrinks + drops,
            "background_chunks": chunks,
            "peak_live_pages": self.peak,
            "end_live_pages": self.live,
        }

    def told(self) -> str:
        """Return what was written, in words."""
        facts = self.facts()
        chunks = (
            f", {number(facts['background_chunks'])} background chunks" if facts["background_chunks"] else ""
        )
        return (
            f"{number(facts['events'])} events in {format_time(self.last_ns)}: "
            f"{plural(facts['allocs'], 'page table')} allocated, {number(facts['frees'])} freed, "
            f"{plural(facts['passes'], 'shrinker pass', 'shrinker passes')}"
            f"{chunks}; {number(facts['peak_live_pages'])} live at the peak, "
            f"{number(facts['end_live_pages'])} at the end"
        )
