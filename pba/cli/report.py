"""`pba report`: write a run's report again, or elsewhere; print what is sent; hand it to a script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pba.errors import OutputError, StudyError
from pba.printable import printable

if TYPE_CHECKING:
    from pba.study.result import Run

FORMS: Final = {
    "letter": "cover-letter.txt", "mmtests": "mmtests.txt", "patch": "thresholds.patch", "json": "summary.json",
}  # fmt: skip
"""What `--print` takes, and the file of the report that it prints."""


def report(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run. Default: the latest in runs/.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the report.", show_default="RUN/report"
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--print", metavar="FORM", help=f"Print one instead: {', '.join(FORMS)}."),
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
    """Write what a run found: HTML, Markdown, text, figures, CSV, and what is sent.

    What is sent: cover-letter.txt for a kernel list, mmtests.txt as mmtests
    compares kernels, thresholds.patch (the three values on top of the series'
    v6, with the evidence as its message; git apply takes it), summary.json.

    The same run gives the same bytes: a report that is there already stays as
    it is. Files with other contents are replaced with --force alone.

      pba report --print letter | mail -s 'Thresholds' me
      pba report runs/server --print patch | git apply
      pba report --exec ./plot-my-way.py
    """
    from pba.report import write_report
    from pba.report.write import sendable
    from pba.study.result import load_run

    if form is not None and form not in FORMS:
        raise OutputError(f"--print {printable(form)}: no such form", "use " + ", ".join(FORMS))
    found = load_run(latest() if run is None else run)
    if script is not None:
        raise typer.Exit(executed(script, found))
    if form is not None:
        text = sendable(found, FORMS[form])
        if not text:
            raise StudyError(
                f"{found.folder}: the answer is to keep the patch's thresholds", "there is no patch"
            )
        print(text, end="")
        return
    folder = found.folder / "report" if output is None else output
    for path in write_report(found, folder, force=force):
        print(path)


def latest() -> Path:
    """Return the run in `runs/` whose record was written last.

    Raises
    ------
    StudyError
        If there is none.
    """
    from pba.study.result import RUN_FILE

    records = list(Path("runs").glob(f"*/{RUN_FILE}"))
    if not records:
        raise StudyError("there is no run in runs/", "say pba tune, or name a run's folder")
    return max(records, key=lambda path: (path.stat().st_mtime, str(path))).parent


def executed(program: str, run: Run) -> int:
    """Run a program with a run's summary on its input and `PBA_RUN` set to the folder; return its status."""
    from pba.report.write import SUMMARY, sendable

    text = sendable(run, SUMMARY)
    try:
        done = subprocess.run(
            [program], input=text.encode(errors="backslashreplace"), check=False,
            env={**os.environ, "PBA_RUN": str(run.folder)},
        )  # fmt: skip
    except OSError as error:
        raise OutputError(f"{program}: cannot be run: {error.strerror}", "name an executable file") from error
    return done.returncode
