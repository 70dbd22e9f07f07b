"""`pba tune`: search the thresholds of the shrinker on recordings, and say what is best."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.live import LiveLine
from pba.printable import LONGEST_MESSAGE, printable

if TYPE_CHECKING:
    from rich.console import Console

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
    force: Annotated[
        bool, typer.Option("--force", help="Forget an earlier run in that folder and run anew.")
    ] = False,
) -> None:
    """Search thresholds on recordings for few PMD splits and few cached pages.

    Every point is replayed exactly on every recording. Both aims are kept
    apart: PMD splits (summed over the recordings) and cached pages (weighted
    by time, then averaged over the recordings). The patch's own values are
    point 0. The same command again goes on with a stopped run, or says that
    it is done.

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
    """Print what the run found."""
    from pba.units import plural

    points = run.points
    patch, best = points.loc[run.patch], points.loc[run.recommended]
    console.print(
        f"[bold]{shown(run.study.name)}[/bold]: {plural(len(points), 'point')} on "
        f"{plural(len(run.traces), 'recording')}, in {shown(run.folder)}", soft_wrap=True,
    )  # fmt: skip
    show_comparison(run, console)
    show_front(run, console)
    if run.recommended == run.patch:
        console.print("No point does better than the patch's own thresholds by the rule.")
    console.print(f"recommended: [bold]{thresholds_text(best)}[/bold] (patch: {thresholds_text(patch)})")
    console.print(f"rule: {shown(run.rule, LONGEST_MESSAGE)}", style="dim")


def show_comparison(run: Run, console: Console) -> None:
    """Print the patch against the recommended point, recording by recording."""
    from rich.table import Table

    from pba.report.data import point, recordings_table

    title = "patch -> recommended (all: sum, means, highest peak)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("\nrecording", no_wrap=True)
    figures = {"pmd_splits": 0, "mean_cached_pages": 0, "mean_cached_mib": 2, "peak_cached_mib": 1}
    for heading in ("PMD\nsplits", "mean cached\npages", "mean cached\nMiB", "peak cached\nMiB"):
        table.add_column(heading, justify="right", no_wrap=True)

    def add(name: str, pairs: Iterable[tuple[float, float]], style: str = "") -> None:
        written = zip(pairs, figures.values(), strict=True)
        cells = [f"{before:.{digits}f} -> {after:>5.{digits}f}" for (before, after), digits in written]
        table.add_row(shown(name), *cells, style=style)

    for row in recordings_table(run).to_dict("records"):
        add(row["trace"], [(row[f"patch_{figure}"], row[f"recommended_{figure}"]) for figure in figures])
    patch, best = point(run, run.patch), point(run, run.recommended)
    add("all", [(patch[figure], best[figure]) for figure in figures], "bold")
    console.print(table)
    console.print()


def show_front(run: Run, console: Console) -> None:
    """Print the Pareto front, thinned to what fits a screen."""
    from rich.table import Table

    from pba.report.data import THRESHOLDS, front_table, thinned
    from pba.study.objective import AIMS

    front = front_table(run)
    shown = thinned(front, FRONT_ROWS)
    title = "Pareto front (thresholds and mean cached in pages)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("point", "U", "M", "B", "PMD splits", "mean cached", ""):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in shown.to_dict("records"):
        note = "<- recommended" if row["recommended"] else "<- patch" if row["patch"] else ""
        cells = [str(row[name]) for name in ("number", *THRESHOLDS, AIMS[0])]
        style = "bold" if row["recommended"] else ""
        table.add_row(*cells, f"{row[AIMS[1]]:.1f}", note, style=style)
    console.print(table)
    more = len(front) - len(shown)
    if more:
        console.print(f"and {more} more on the front, in trials.csv of the report", style="dim")
    console.print()


def shown(data: object, longest: int = LONGEST_PATH) -> str:
    """Return data fit for a terminal, and with brackets that Rich does not take for markup."""
    from rich.markup import escape

    return escape(printable(data, longest))


def thresholds_text(row: object) -> str:
    """Return a point's thresholds as text."""
    from pba.study.definition import THRESHOLD_NAMES
    from pba.study.space import Point

    return str(Point(*(int(row[name]) for name in THRESHOLD_NAMES)))  # type: ignore[index]
