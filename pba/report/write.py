"""A report's files, and what of it is sent or printed alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.errors import StudyError
from pba.report.found import summary_of
from pba.report.outputs import csv_bytes, picture_contents, refuse_file, write_files
from pba.report.style import kept
from pba.report.summaries import KERNEL_PATCH, SUMMARY

if TYPE_CHECKING:
    import pandas as pd

    from pba.report.found import Found
    from pba.report.summaries import Summary

DOCUMENTS: Final = ("report.html", "report.md", "report.txt")
PDF: Final = "report.pdf"


def write_report(found: Found, folder: str | Path, force: bool = False) -> list[Path]:
    """Write the report of a run, a sweep, a batch of studies, or a comparison of policies.

    Parameters
    ----------
    found : Run, SweepResult, Batch or Comparison
        What `pba.load_run`, `pba.load_sweep`, `pba.report.load` or `pba.compare` returned.
    folder : str or Path
        Where the report goes; made if it does not exist.
    force : bool
        Whether files with other contents may be replaced.

    Returns
    -------
    list of Path
        The report's files, `report.html` first.

    Raises
    ------
    OutputError
        If a file of a report exists there with other contents and `force` is not given (then nothing is
        written), or a file cannot be written.
    """
    folder = Path(folder)
    refuse_file(folder)
    contents = _contents(found, folder)
    write_files(contents, folder / "figures", force)
    return list(contents)


def sendable(found: Found, name: str) -> str:
    """Return what is sent: `cover-letter.txt`, `mmtests.txt`, `thresholds.patch`, `summary.json`.

    Raises
    ------
    StudyError
        If there is nothing to send: a run has not decided yet, or its answer is to keep the patch's thresholds.
    """
    summary = summary_of(found, drawn=False)
    texts = _texts(summary)
    if name in texts:
        return texts[name]
    if not summary.data:
        raise StudyError("the run has not decided yet", "say pba tune again to go on with it")
    if name == KERNEL_PATCH and summary.kind in ("run", "sweep"):
        raise StudyError("the answer is to keep the patch's thresholds", "there is no patch")
    there = ", ".join(texts)
    raise StudyError(f"a {summary.kind} has no {name}", f"it has {there}")


def _texts(summary: Summary) -> dict[str, str]:
    """Return what is sent, by the file's name."""
    found = dict(summary.sent)
    if summary.data:
        found[SUMMARY] = json.dumps(summary.data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return found


def _contents(found: Found, folder: Path) -> dict[Path, bytes]:
    """Return every file's bytes."""
    from pba.report.renderers import RENDERERS

    summary = summary_of(found)
    document, pictures = summary.document, [kept(picture) for picture in summary.pictures]
    contents = {folder / name: RENDERERS[name](document, pictures).encode() for name in DOCUMENTS}
    for name, text in _texts(summary).items():
        contents[folder / name] = text.encode(errors="backslashreplace")
    for name, table in summary.tables.items():
        contents[folder / f"{name}.csv"] = _described(summary, table)
    for picture in pictures:
        base = folder / "figures" / picture.name
        contents |= picture_contents(picture, base, ("svg", "png"))
        contents[base.with_name(f"{base.name}.csv")] = _described(summary, picture.data)
    return contents


def _described(summary: Summary, table: pd.DataFrame) -> bytes:
    """Return a table as CSV, under a line that says what each column is."""
    from pba.report.columns import described

    told = described(table, summary.aims, summary.columns)
    return f"{told}\n".encode(errors="backslashreplace") + csv_bytes(table)


def pdf_report(found: Found) -> bytes:
    """Return a report as PDF: what it says first, then the figures, then all of its text."""
    from pba.report.pdf import render_pdf

    return render_pdf(summary_of(found))
