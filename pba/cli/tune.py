"""`pba tune`: search the thresholds of the shrinker on recordings, and say what is best."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pba.cli.live import LiveLine
from pba.cli.options import DaskCluster
from pba.errors import PbaError
from pba.printable import LONGEST_MESSAGE, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pba.study.result import Run

STUDY = "The study (in place of what its file says)"
FRONT_ROWS = 15
LONGEST_PATH = 400
"""Characters of a name or a path that the tables show."""


def tune(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY|TRACE]...",
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
    force: Annotated[
        bool, typer.Option("--force", help="Forget an earlier run in that folder and run anew.")
    ] = False,
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
      pba tune build.parquet pgbench --memory 2GiB --aim pmd_splits --aim refills
    """
    from pba._jit import start_quickly

    start_quickly()
    from rich.console import Console

    from pba.study.tune import tune as run_study

    files, traces = told_apart(studies or [])
    said = changes_of(aim or [], rule, page_size, memory, linear_map, no_sweep, changes or [])
    given = {"--run": run, "--points": points, "--seed": seed}
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
            command=command_line(studies or [], held_out or [], said, given),
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
) -> list[str]:
    """Return what the options say as changes of a study file's keys."""
    from pba.study.study_file import inline
    from pba.units import parse_bytes, parse_page_size

    said: dict[str, object] = {"decision.rule": rule, "machine.linear_map": linear_map}
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
