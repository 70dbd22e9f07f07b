"""`pba report`: write a report again, or elsewhere; print what is sent; hand it to a script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pba.errors import OutputError
from pba.printable import printable

if TYPE_CHECKING:
    from pba.report.found import Found

FORMS: Final = {
    "letter": "cover-letter.txt", "mmtests": "mmtests.txt", "patch": "thresholds.patch", "json": "summary.json",
}  # fmt: skip
"""What `--format` prints, and the file of the report that it prints."""
PDF: Final = "pdf"


def report(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of a run, a sweep, a comparison (pba compare -o), or of a batch's overview. Default: the "
            "latest of them in runs/, sweeps/ and plots/.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the report.", show_default="FOLDER/report"
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORM",
            help=f"Print one instead: {', '.join(FORMS)}; or write report.pdf alone: pdf.",
        ),
    ] = None,
    script: Annotated[
        str | None,
        typer.Option(
            "--exec",
            metavar="PROGRAM",
            help="Run a program of your own with the summary as JSON on its input.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files with other contents.")] = False,
) -> None:
    """Write what was found: HTML, Markdown, text, figures, CSV, and what is sent.

    What is sent: cover-letter.txt for a kernel list, mmtests.txt as mmtests
    compares kernels, thresholds.patch (the three values on top of the series'
    v6, with the evidence as its message; git apply takes it), summary.json.

    The same run gives the same bytes: a report that is there already stays as
    it is. Files with other contents are replaced with --force alone.

      pba report --format letter | mail -s 'Thresholds' me
      pba report runs/server --format patch | git apply
      pba report sweeps/recordings --format pdf
      pba report --exec ./plot-my-way.py
    """
    from pba.report import write_report
    from pba.report.load import latest, load
    from pba.report.outputs import refuse_file, write_files
    from pba.report.write import PDF as PDF_FILE
    from pba.report.write import pdf_report, sendable

    if form is not None and form not in (*FORMS, PDF):
        raise OutputError(f"--format {printable(form)}: no such form", "use " + ", ".join((*FORMS, PDF)))
    place = latest() if folder is None else folder
    found = load(place)
    if script is not None:
        raise typer.Exit(executed(script, found, place))
    if form in FORMS:
        print(sendable(found, FORMS[form]), end="")
        return
    target = place / "report" if output is None else output
    if form == PDF:
        refuse_file(target)
        paths = [target / PDF_FILE]
        write_files({paths[0]: pdf_report(found)}, target, force)
    else:
        paths = write_report(found, target, force=force)
    for path in paths:
        print(path)


def executed(program: str, found: Found, place: Path) -> int:
    """Run a program with a summary on its input and `PBA_RUN` set to the folder; return its status."""
    from pba.report.summaries import SUMMARY
    from pba.report.write import sendable

    text = sendable(found, SUMMARY)
    try:
        done = subprocess.run(
            [program], input=text.encode(errors="backslashreplace"), check=False,
            env={**os.environ, "PBA_RUN": str(place)},
        )  # fmt: skip
    except OSError as error:
        raise OutputError(f"{program}: cannot be run: {error.strerror}", "name an executable file") from error
    return done.returncode
