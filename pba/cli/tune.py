"""`pba tune`: search the thresholds of the shrinker on recordings, and say what is best."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pba.cli.answer import show, shown, write_report
from pba.cli.batch import tune_batch
from pba.cli.live import LiveLine
from pba.cli.options import AsJson, DaskCluster, NoCache
from pba.errors import PbaError
from pba.printable import printable

STUDY = "The study (in place of what its file says)"


def tune(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY|TRACE",
            help="A study: its file (TOML), or the name of one of pba's (pba study list). Or traces: files, names "
            "or patterns of recordings. Default: the study quickstart.",
        ),
    ] = None,
    aim: Annotated[
        list[str] | None,
        typer.Option(
            "--aim",
            metavar="NAME[:OVER]",
            rich_help_panel=STUDY,
            help="What is wanted, the most important first; up to three. OVER says how recordings add up: sum, "
            "mean, worst, ratio. Default: pmd_splits and mean_cached_pages.",
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            metavar="RULE",
            rich_help_panel=STUDY,
            help="How it decides: fewest-within, no-worse-anywhere, least-regret, least-product.",
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            metavar="TRACE",
            rich_help_panel=STUDY,
            help="A trace that has no say, on which the answer is tried; may be repeated.",
        ),
    ] = None,
    page_size: Annotated[
        str | None,
        typer.Option("--page-size", metavar="KIB", rich_help_panel=STUDY, help="4, 16 or 64 for all traces."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", rich_help_panel=STUDY, help="4GiB, say, for all traces."),
    ] = None,
    linear_map: Annotated[
        str | None,
        typer.Option(
            "--linear-map",
            metavar="LEAF",
            rich_help_panel=STUDY,
            help="Largest leaf in the linear map: pmd, contpmd, pud.",
        ),
    ] = None,
    memory_from_trace: Annotated[
        bool,
        typer.Option(
            "--memory-from-trace",
            rich_help_panel=STUDY,
            help="Start each replay with what was free when its trace was recorded.",
        ),
    ] = False,
    fragmented: Annotated[
        float | None,
        typer.Option(
            "--fragmented",
            metavar="SHARE",
            rich_help_panel=STUDY,
            help="Start with half of memory free, so much of it (0 to 1) outside of whole free blocks. Its seed: "
            "--set machine.fragmented_seed=1.",
        ),
    ] = None,
    no_sweep: Annotated[
        bool,
        typer.Option("--no-sweep", rich_help_panel=STUDY, help="Search alone; decide among round points."),
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            rich_help_panel=STUDY,
            help="Any other key of a study file: decision.within=0.1; may be repeated.",
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="The run's folder. Default: runs/NAME.")
    ] = None,
    points: Annotated[
        int | None, typer.Option("--points", metavar="N", help="Distinct points to try. Quickstart: 320.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Seed of the search's random numbers.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Threads. The result does not depend on it."),
    ] = None,
    dask: DaskCluster = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Copy the trials into a database of Optuna's, for a dashboard: sqlite:///FILE, "
            "postgresql+psycopg://USER@HOST/DATABASE.",
        ),
    ] = None,
    no_cache: NoCache = False,
    force: Annotated[
        bool, typer.Option("--force", help="Forget an earlier run in that folder and run anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which thresholds to choose, from recordings, and how sure that is.

    Sweeps a grid of thresholds exactly, searches between its points, and
    decides from both: fewest PMD splits (summed over the recordings) at no
    more cached pages (weighted by time, then averaged over the recordings)
    than the patch's, or by what --aim and --rule say. The patch and the plain
    alternatives, which need no tuning, are always tried. The same command
    again goes on with a stopped run, or says that it is done.

    Searched by default, in pages: PBA_UNSHRINKABLE_PAGES 4 to 16384 on a log
    scale, PBA_SHRINK_BLOCK_MIN_PAGES 1 to 512 on a linear one, shrinker->batch
    8 to 8192 on a log scale (the last two as for 4 KiB pages; on larger pages
    they grow with the block). A study file says otherwise: pba study new.

      pba tune                                  the quickstart
      pba tune server                           another of pba's studies
      pba tune my.toml --set search.points=1000
      pba tune server phone my.toml             one after the other, and an overview
      pba tune build.parquet pgbench --memory 2GiB --aim pmd_splits --aim refills
    """
    files, traces = told_apart(studies or [])
    start = {"machine.memory_from_trace": memory_from_trace or None, "machine.fragmented": fragmented}
    said = changes_of(aim or [], rule, page_size, memory, linear_map, no_sweep, changes or [], start)
    given = {"--run": run, "--points": points, "--seed": seed}
    if len(files) > 1:
        if run is not None or held_out:
            raise PbaError(
                f"{'--run' if run else '--held-out'} is for one study", "say it in the studies' files"
            )
        shaping = {"--points": points, "--seed": seed}
        tune_batch(
            files, lambda study: command_line([study], [], said, shaping), points=points, seed=seed, changes=said,
            workers=workers, dask=dask, storage=storage, force=force, cache=not no_cache, as_json=as_json,
        )  # fmt: skip
        return
    from pba._jit import start_quickly

    start_quickly()
    from rich.console import Console

    from pba.study.tune import tune as run_study

    progress = LiveLine()
    try:
        found = run_study(
            files[0] if files else None,
            run,
            traces=traces or None,
            held_out=held_out or None,
            points=points,
            seed=seed,
            changes=said,
            workers=workers,
            dask=dask,
            storage=storage,
            force=force,
            cache=not no_cache,
            command=command_line(studies or [], held_out or [], said, given),
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.end()
        progress.say("stopped; the same command goes on from here")
        raise
    finally:
        progress.end()
    paths = write_report(found)
    if as_json:
        from pba.report.summaries import SUMMARY
        from pba.report.write import sendable

        print(sendable(found, SUMMARY), end="")
        return
    console = Console(highlight=False)
    show(found, console)
    for path in paths:
        console.print(f"report: {shown(path)}", soft_wrap=True)


def told_apart(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return which arguments are studies, and which are traces.

    Raises
    ------
    PbaError
        If there are both, or several studies.
    """
    from pba.study.shipped import is_study

    files = [one for one in arguments if is_study(one)]
    traces = [one for one in arguments if not is_study(one)]
    if files and traces:
        raise PbaError(
            f"{printable(files[0])} is a study and {printable(traces[0])} a trace",
            "name studies, or traces for a study without a file",
        )
    return files, traces


def changes_of(
    aims: list[str],
    rule: str | None,
    page_size: str | None,
    memory: str | None,
    linear_map: str | None,
    no_sweep: bool,
    changes: list[str],
    start: Mapping[str, object] | None = None,
) -> list[str]:
    """Return what the options say as changes of a study file's keys."""
    from pba.study.study_file import inline
    from pba.units import parse_bytes, parse_page_size

    said: dict[str, object] = {"decision.rule": rule, "machine.linear_map": linear_map, **(start or {})}
    if aims:
        pairs = [one.partition(":") for one in aims]
        said["aims"] = [{"name": name, "over": over} if sign else name for name, sign, over in pairs]
    if page_size is not None:
        said["machine.page_size_kib"] = parse_page_size(page_size)
    if memory is not None:
        said["machine.memory"] = f"{parse_bytes(memory) >> 10} KiB"
    if no_sweep:
        said["search.sweep"] = False
    return [*(f"{key}={inline(value)}" for key, value in said.items() if value is not None), *changes]


def command_line(
    arguments: list[str], held_out: list[str], changes: list[str], options: dict[str, Any]
) -> str:
    """Return the command that makes the same run: what does not shape it is left out."""
    words = ["pba", "tune", *arguments]
    for flag, values in (("--held-out", held_out), ("--set", changes)):
        for value in values:
            words += [flag, value]
    for flag, value in options.items():
        words += [] if value is None else [flag, str(value)]
    return shlex.join(words)
