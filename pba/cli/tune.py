"""`pba tune`: search the thresholds of the shrinker on recordings, and say what is best."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pba.cli.answer import show, shown, write_report
from pba.cli.live import LiveLine
from pba.cli.options import DaskCluster, NoCache


def tune(
    study: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY]", help="A study file (TOML). Default: the quickstart study of pba."),
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
) -> None:
    """Say which thresholds to choose, from recordings, and how sure that is.

    Sweeps a grid of thresholds exactly, searches between its points, and
    decides from both: fewest PMD splits (summed over the recordings) at no
    more cached pages (weighted by time, then averaged over the recordings)
    than the patch's. A study file may say other aims and another rule. The
    patch and the plain alternatives, which need no tuning, are always tried.
    The same command again goes on with a stopped run, or says that it is done.

    Searched by default, in pages: PBA_UNSHRINKABLE_PAGES 4 to 16384 on a log
    scale, PBA_SHRINK_BLOCK_MIN_PAGES 1 to 512 on a linear one, shrinker->batch
    8 to 8192 on a log scale (the last two as for 4 KiB pages; on larger pages
    they grow with the block). A study file says otherwise: copy
    studies/quickstart.toml.
    """
    from pba._jit import start_quickly

    start_quickly()
    from rich.console import Console

    from pba.study.definition import quickstart
    from pba.study.tune import tune as run_study

    progress = LiveLine()
    try:
        found = run_study(
            quickstart() if study is None else study,
            run,
            points=points,
            seed=seed,
            workers=workers,
            dask=dask,
            storage=storage,
            force=force,
            cache=not no_cache,
            command=command_line(study, run, points, seed),
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.end()
        progress.say("stopped; the same command goes on from here")
        raise
    finally:
        progress.end()
    console = Console(highlight=False)
    show(found, console)
    for path in write_report(found):
        console.print(f"report: {shown(path)}", soft_wrap=True)


def command_line(study: Path | None, run: Path | None, points: int | None, seed: int | None) -> str:
    """Return the command that makes the same run: what does not shape it is left out."""
    words = ["pba", "tune"] + ([] if study is None else [str(study)])
    for option, value in (("--run", run), ("--points", points), ("--seed", seed)):
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)
