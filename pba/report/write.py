"""Writing a report's files: all of them, or an error before the first.

The same run gives the same bytes, so a report that is there already is no obstacle: it is only found again.
Files with other contents are somebody's, and are replaced on demand alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.errors import OutputError, StudyError
from pba.files import output_error, refuse_overwrite, replacing
from pba.report.style import kept
from pba.report.summaries import KERNEL_PATCH, SUMMARY, summary_of

if TYPE_CHECKING:
    import pandas as pd

    from pba.report.style import Picture
    from pba.report.summaries import Found, Summary

DOCUMENTS: Final = ("report.html", "report.md", "report.txt")
PDF: Final = "report.pdf"
FIGURE_KINDS: Final = ("svg", "png", "csv")


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


def write_pictures(
    pictures: list[Picture], folder: str | Path, formats: tuple[str, ...] = FIGURE_KINDS, force: bool = False
) -> list[Path]:
    """Write figures into a folder, each as `NAME.FORMAT`; `csv` is the data that it shows.

    Returns
    -------
    list of Path
        The files, in the order of the figures.

    Raises
    ------
    OutputError
        If a file exists there with other contents and `force` is not given (then nothing is written), a file
        cannot be written, or a format is unknown.
    """
    folder = Path(folder)
    unknown = [name for name in formats if name not in FIGURE_KINDS]
    if unknown or not formats:
        raise OutputError(f"format {unknown[0] if unknown else ''!r} is unknown", "use svg, png, csv")
    refuse_file(folder)
    contents: dict[Path, bytes] = {}
    for picture in pictures:
        contents |= picture_contents(picture, folder / picture.name, formats)
    write_files(contents, folder, force)
    return list(contents)


def refuse_file(folder: Path) -> None:
    """Raise `OutputError` if a folder is a file."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder", "name a folder")


def write_files(contents: dict[Path, bytes], folder: Path, force: bool) -> None:
    """Write what is not there yet as it is, or nothing; `folder` is made."""
    changed = {path: content for path, content in contents.items() if not _holds(path, content)}
    for path in changed:
        if path.exists():
            refuse_overwrite(path, force)
    _make_folder(folder)
    for path, content in changed.items():
        with replacing(path, force=True) as temporary:
            temporary.write_bytes(content)


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file is there and holds exactly this."""
    return path.is_file() and path.read_bytes() == content


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


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
    return f"{told}\n".encode(errors="backslashreplace") + _csv(table)


def pdf_report(found: Found) -> bytes:
    """Return a report as PDF: what it says first, then the figures, then all of its text."""
    from pba.report.pdf import render_pdf

    return render_pdf(summary_of(found))


def picture_contents(picture: Picture, base: Path, formats: tuple[str, ...]) -> dict[Path, bytes]:
    """Return a figure's files; `base` is their path without the ending."""
    make: dict[str, Callable[[], bytes]] = {
        "svg": lambda: picture.svg().encode(),
        "png": picture.png,
        "csv": lambda: _csv(picture.data),
    }
    return {base.with_name(f"{base.name}.{name}"): make[name]() for name in formats}


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace")
