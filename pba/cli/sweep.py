"""`pba sweep`: every point of a grid of thresholds, exactly, and what follows from all of them."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.live import LiveLine
from pba.cli.options import (
    B_FLAGS,
    M_FLAGS,
    MACHINE,
    U_FLAGS,
    DaskCluster,
    MemoryFromTrace,
    NoCache,
    StartSeed,
)

if TYPE_CHECKING:
    from pba.machine import Machine, Start
    from pba.trace.table import Trace

GRID = "Grid (pages, as for 4 KiB pages)"
DEFAULT_NAME = "recordings"


def sweep(
    traces: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TRACE",
            help="Trace files, names or patterns of recordings ('arm64-*'). Default: all recordings of pba.",
        ),
    ] = None,
    unshrinkable_pages: Annotated[
        str | None,
        typer.Option(
            *U_FLAGS,
            metavar="AXIS",
            rich_help_panel=GRID,
            help="PBA_UNSHRINKABLE_PAGES: 0:512:8, say. Default: 63 values from 4 to 16384.",
        ),
    ] = None,
    shrink_block_min_pages: Annotated[
        str | None,
        typer.Option(
            *M_FLAGS,
            metavar="AXIS",
            rich_help_panel=GRID,
            help="PBA_SHRINK_BLOCK_MIN_PAGES. Default: 1:512, all there are; they cost no more than a few.",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            *B_FLAGS,
            metavar="AXIS",
            rich_help_panel=GRID,
            help="shrinker->batch: 32,64,128, say. Default: 16 values from 8 to 8192.",
        ),
    ] = None,
    page_size: Annotated[
        list[str] | None,
        typer.Option(help="4, 16 or 64 (KiB); may be given again.", rich_help_panel=MACHINE, metavar="KIB"),
    ] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(
            help="4GiB, 512MiB, or 1048576pages; may be given again.", rich_help_panel=MACHINE, metavar="SIZE"
        ),
    ] = None,
    linear_map: Annotated[
        list[str] | None,
        typer.Option(
            help="Largest leaf in the linear map: pmd, contpmd, pud; may be given again.",
            rich_help_panel=MACHINE,
            metavar="LEAF",
        ),
    ] = None,
    memory_from_trace: MemoryFromTrace = False,
    fragmented: Annotated[
        list[float] | None,
        typer.Option(
            help="Start with half of memory free, so much of it (0 to 1) outside of whole free blocks; may be "
            "given again.",
            rich_help_panel=MACHINE,
            metavar="SHARE",
        ),
    ] = None,
    seed: StartSeed = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The sweep's folder. Default: sweeps/NAME."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Threads. The result does not depend on it."),
    ] = None,
    dask: DaskCluster = None,
    no_cache: NoCache = False,
    force: Annotated[
        bool, typer.Option("--force", help="Forget an earlier sweep in that folder and sweep anew.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers, as JSON.")] = False,
) -> None:
    """Evaluate a whole grid of thresholds exactly: the true Pareto front.

    pba tune samples points; pba sweep takes every one of a grid, and each as a
    replay event by event would have it. That is quick, as points share a replay
    until their thresholds first make a difference. It answers what a search
    cannot: what the best trade-offs are, how many points beat the patch's own,
    and how far a threshold can move before anything changes at all.

    An AXIS is a list of values and ranges with commas between: LOW:HIGH is every
    value from LOW to HIGH, both included; LOW:HIGH:STEP goes in steps, and takes
    HIGH too where a step meets it; "0:32:4,64,128:512:64" mixes them. "all" is the whole
    range: for U up to the most pages that a trace ever caches where nothing is
    shrunk, for M up to a block, for B twice as far as for U. On 16 and 64 KiB
    pages M and B grow with the block; U stays a number of pages.

    Options of the machine that are given several times make every combination;
    each has its own front over all traces.

    The folder gets behaviours.parquet (a row per trace, machine and box of
    thresholds that behave alike, with every counter), sweep.json (what was run)
    and summary.txt and .md (the front, the patch's place, the plateaus). The
    same command goes on after a stop or a kill, and gives the same bytes for
    any number of workers. From Python: pba.sweep, pba.load_sweep.

      pba sweep                         all recordings, 63 x 512 x 16 points
      pba sweep pgbench-x86 -U 0:512:8 -B 32,64,128
      pba sweep x.parquet --memory 2GiB --memory 8GiB -o sweeps/memory
    """
    from pba.report.sweep import write_sweep_summary
    from pba.study.sweep.grid import (
        DEFAULT_BATCH,
        DEFAULT_SHRINK_BLOCK_MIN_PAGES,
        DEFAULT_UNSHRINKABLE_PAGES,
        Grid,
    )
    from pba.study.sweep.run import sweep as run_sweep

    grid = Grid(
        DEFAULT_UNSHRINKABLE_PAGES if unshrinkable_pages is None else unshrinkable_pages,
        DEFAULT_SHRINK_BLOCK_MIN_PAGES if shrink_block_min_pages is None else shrink_block_min_pages,
        DEFAULT_BATCH if batch is None else batch,
    )
    starts = starts_from(memory_from_trace, fragmented or [], seed)
    settings = machine_rules(page_size or [], memory or [], linear_map or [], starts)
    place = output or Path("sweeps") / folder_name(traces or [])
    axes = {
        U_FLAGS[0]: unshrinkable_pages,
        M_FLAGS[0]: shrink_block_min_pages,
        B_FLAGS[0]: batch,
    }
    machines: dict[str, list[str] | None] = {
        "--page-size": page_size, "--memory": memory, "--linear-map": linear_map,
        "--fragmented": [str(share) for share in fragmented or []], "--seed": [str(seed)] if seed else None,
    }  # fmt: skip
    progress = LiveLine()
    try:
        found = run_sweep(
            traces or ["*"], grid, settings, workers=workers, dask=dask, folder=place, force=force, cache=not no_cache,
            command=command_line(traces or [], axes, machines, output, memory_from_trace), progress=progress,
        )  # fmt: skip
        paths = write_sweep_summary(found, place)
    except KeyboardInterrupt:
        progress.end()
        progress.say(f"stopped; what is done is kept in {place}, and the same command goes on from here")
        raise
    finally:
        progress.end()
    if as_json:
        from pba.report.sweep import plain_sweep

        print(json.dumps(plain_sweep(found), indent=1))
        return
    print(paths[0].read_text(encoding="utf-8"), end="")
    print(f"\nin {place}: behaviours.parquet, sweep.json, summary.txt, summary.md")


def starts_from(memory_from_trace: bool, shares: list[float], seed: int) -> list[Start]:
    """Return what memory the options have sweeps start with: all of it free, where they say nothing."""
    from pba.machine import Start

    return [Start(memory_from_trace, share, seed) for share in shares] or [Start(memory_from_trace)]


def machine_rules(
    page_sizes: list[str], memories: list[str], linear_maps: list[str], starts: list[Start]
) -> dict[str, Callable[[Trace], Machine]] | None:
    """Return a rule for each combination of the machine's options, by what it is called; None for none."""
    from pba.cli.replay import machine_from
    from pba.machine import ALL_FREE

    if not page_sizes and not memories and not linear_maps and starts == [ALL_FREE]:
        return None

    def rule(
        page_size: str | None, memory: str | None, leaf: str, start: Start
    ) -> Callable[[Trace], Machine]:
        return lambda trace: replace(machine_from(trace, page_size, memory, leaf), start=start)

    sizes: list[str | None] = [*page_sizes] or [None]
    memory_sizes: list[str | None] = [*memories] or [None]
    rules = {}
    for page_size, memory, leaf, start in itertools.product(sizes, memory_sizes, linear_maps or [""], starts):
        words = [f"{page_size} KiB pages" if page_size else "", memory or ""]
        words += [f"{leaf} linear map" if leaf else "", "" if start == ALL_FREE else str(start)]
        rules[", ".join(word for word in words if word)] = rule(page_size, memory, leaf, start)
    return rules


def folder_name(traces: list[str]) -> str:
    """Return what a sweep's folder is called: after its first trace, and how many more there are."""
    if not traces:
        return DEFAULT_NAME
    first = Path(traces[0]).name.split(".parquet")[0].replace("*", "all").replace("?", "any")
    return first if len(traces) == 1 else f"{first}-and-{len(traces) - 1}-more"


def command_line(
    traces: list[str],
    axes: dict[str, str | None],
    machines: dict[str, list[str] | None],
    output: Path | None,
    memory_from_trace: bool = False,
) -> str:
    """Return the command that makes the same sweep: what does not shape it is left out."""
    words = ["pba", "sweep", *traces]
    for option, value in axes.items():
        words += [] if value is None else [option, value]
    for option, values in machines.items():
        for value in values or []:
            words += [option, value]
    words += ["--memory-from-trace"] if memory_from_trace else []
    return shlex.join(words + ([] if output is None else ["-o", str(output)]))
