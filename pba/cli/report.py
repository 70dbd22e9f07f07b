"""`pba report`: write a run's report again, or elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, such as runs/quickstart.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the report.", show_default="RUN/report"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files with other contents.")] = False,
) -> None:
    """Write what a run found: HTML, Markdown, text for a mail, figures, CSV.

    The same run gives the same bytes: a report that is there already stays as
    it is. Files with other contents are replaced with --force alone.
    """
    from pba.report import write_report
    from pba.study.result import load_run

    folder = run / "report" if output is None else output
    for path in write_report(load_run(run), folder, force=force):
        print(path)
