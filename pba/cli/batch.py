"""`pba tune` of several studies: one after the other, and an overview of what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from pba.cli.answer import shown, write_report
from pba.cli.live import LiveLine
from pba.printable import LONGEST_MESSAGE

if TYPE_CHECKING:
    from rich.console import Console

    from pba.report.overview import Row

FOLDER: Final = Path("runs")
"""Where the overview lies, beside the runs' folders."""
FAILED: Final = 1
"""Exit status where a study has failed and the others are done."""


def tune_batch(
    studies: Sequence[str],
    command: Callable[[str], str],
    *,
    points: int | None,
    seed: int | None,
    changes: Sequence[str],
    as_json: bool = False,
    **options: Any,
) -> None:
    """Run several studies, print and write what they say, and leave with status 1 if one has failed.

    Parameters
    ----------
    studies : sequence of str
        Their files or names.
    command : callable
        Returns the command that does one of them.
    points, seed, changes
        As for `pba.study.batch.ask_all`.
    as_json : bool
        Whether to print the overview as JSON rather than as a table.
    **options
        As for `pba.study.batch.run_batch`.
    """
    from rich.console import Console

    from pba.report.overview import rows_of, write_overview
    from pba.study.batch import ask_all, run_batch

    asked = ask_all(studies, points, seed, changes)
    asked = [replace(one, command=command(study)) for one, study in zip(asked, studies, strict=True)]
    progress = LiveLine()
    try:
        found = list(run_batch(asked, **options, progress=progress, begin=_start, done=write_report))
    except KeyboardInterrupt:
        progress.end()
        progress.say("stopped; the same command goes on from here")
        raise
    paths = write_overview(found, FOLDER)
    if as_json:
        print((FOLDER / "overview.json").read_text(encoding="utf-8"), end="")
        raise typer.Exit(FAILED if any(one.failed for one in rows_of(found, FOLDER)) else 0)
    console = Console(highlight=False)
    rows = rows_of(found, FOLDER)
    show_rows(rows, console)
    for row in rows:
        if row.failed:
            console.print(f"- {shown(row.study)} failed: {shown(row.verdict, LONGEST_MESSAGE)}")
    for path in paths:
        console.print(f"overview: {shown(path)}", soft_wrap=True)
    if any(row.failed for row in rows):
        raise typer.Exit(FAILED)


def _start() -> None:
    from pba._jit import start_quickly

    start_quickly()


def show_rows(rows: Sequence[Row], console: Console) -> None:
    """Print a row a study: what it says, and what its aims come to."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("study", max_width=18, overflow="fold")
    table.add_column("recordings", justify="right", no_wrap=True)
    table.add_column("answer", ratio=1, overflow="fold")
    table.add_column("patch -> recommended", no_wrap=True)
    for row in rows:
        figures = "\n".join(shown(f"{one.title} {one.shown}") for one in row.figures)
        recordings = "" if row.failed else str(row.recordings)
        table.add_row(shown(row.study), recordings, shown(row.answer), figures)
    console.print(table)
    console.print()
