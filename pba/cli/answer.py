"""What `pba tune` prints of a run: the answer, the choices beside each other, the groups, and its report's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.printable import LONGEST_MESSAGE, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pba.study.result import Run

LONGEST_PATH: Final = 400
"""Characters of a name or a path that the tables show."""


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
    from pba.report.answers import caveats, searched, verdict
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
    for told in (*caveats(run), searched(run), *_notes(run)):
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
