"""`pba tune`: search the thresholds of the shrinker on recordings, and say what is best."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.live import LiveLine
from pba.cli.options import DaskCluster
from pba.printable import LONGEST_MESSAGE, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pba.study.result import Run

FRONT_ROWS = 15
LONGEST_PATH = 400
"""Characters of a name or a path that the tables show."""


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


def write_report(run: Run) -> list[Path]:
    """Write the report into the run's folder, unless it is there; return the files that a person opens."""
    from pba.report import write_report as write

    folder = run.folder / "report"
    opened = [folder / "report.html", folder / "report.txt"]
    newest = run.folder / "run.json"
    if not all(path.exists() and path.stat().st_mtime >= newest.stat().st_mtime for path in opened):
        write(run, folder, force=True)
    return opened


def show(run: Run, console: Console) -> None:
    """Print what the run found: the answer, the choices, the groups, and how sure it is."""
    from pba.report.answers import folds, held_out, searched, silent, verdict
    from pba.units import plural

    tried = int(run.points["searched"].sum())
    console.print(
        f"[bold]{shown(run.study.name)}[/bold]: {plural(tried, 'point')} on "
        f"{plural(len(run.traces), 'recording')}, in {shown(run.folder)}", soft_wrap=True,
    )  # fmt: skip
    console.print()
    console.print(shown(verdict(run), LONGEST_MESSAGE), style="bold")
    console.print()
    show_choices(run, console)
    show_groups(run, console)
    for told in (folds(run), held_out(run), silent(run), searched(run), *_notes(run)):
        if told:
            console.print(f"- {shown(told, LONGEST_MESSAGE)}")
    console.print(f"- rule: {shown(run.rule, LONGEST_MESSAGE)}", style="dim")


def _notes(run: Run) -> list[str]:
    return [] if run.decision is None else run.decision.notes


def show_choices(run: Run, console: Console) -> None:
    """Print the named points beside each other: what the aims come to, and what they change with intervals."""
    from rich.table import Table

    from pba.report.data import strip_table, write_value
    from pba.study.decision.decision import RECOMMENDED

    title = "changes against the patch, with 95 % intervals over recordings"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("\n\n", no_wrap=True)
    add_columns(table, run)
    for row in strip_table(run).to_dict("records"):
        cells = []
        for aim in run.aims:
            cells += [write_value(aim, row[aim.name]), compact(row[f"change_{aim.name}"])]
        table.add_row(shown(row["name"]), *cells, style="bold" if row["name"] == RECOMMENDED else "")
    console.print(table)
    console.print()


def compact(change: object) -> str:
    """Return a change with its interval so that two of them fit beside their figures: `-64 (-85..-48)`."""
    return str(change).replace(" %", "").replace(" to ", "..")


def add_columns(table: Table, run: Run) -> None:
    """Give a table two columns for each aim: figures and changes."""
    for aim in run.aims:
        words = aim.title.split(" ")
        table.add_column("\n".join(["", "", *words][-max(3, len(words)) :]), justify="right", no_wrap=True)
        table.add_column("\n\nchange, %", justify="right", no_wrap=True)


def show_groups(run: Run, console: Console) -> None:
    """Print what the recommended point does in each group of recordings."""
    from rich.table import Table

    from pba.report.data import groups_table, write_value
    from pba.study.decision.decision import RECOMMENDED

    rows = groups_table(run).to_dict("records")
    if not rows:
        return
    title = "patch -> recommended, by group of recordings (how many)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("\n\n", no_wrap=True)
    add_columns(table, run)
    for row in rows:
        cells = []
        for aim in run.aims:
            ends = [write_value(aim, row[f"{name}_{aim.name}"]) for name in ("patch", RECOMMENDED)]
            cells += [" -> ".join(ends), compact(row[f"change_{aim.name}"])]
        table.add_row(f"{shown(row['group'])} ({row['recordings']})", *cells)
    console.print(table)
    console.print()


def shown(data: object, longest: int = LONGEST_PATH) -> str:
    """Return data fit for a terminal, and with brackets that Rich does not take for markup."""
    from rich.markup import escape

    return escape(printable(data, longest))
