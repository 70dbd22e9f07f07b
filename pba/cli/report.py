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
    force: Annotated[bool, typer.Option("--force", help="Replace an older report.")] = False,
) -> None:
    """Write what a run found: HTML, Markdown, text for a mail, figures, CSV."""
    from pba.report import refuse_report, write_report
    from pba.study.run import load_run

    folder = run / "report" if output is None else output
    if run.is_dir():
        refuse_report(folder, force)
    for path in write_report(load_run(run), folder, force=force):
        print(path)
