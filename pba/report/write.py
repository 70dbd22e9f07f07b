"""Writing a report's files: all of them, or an error before the first.

The same run gives the same bytes, so a report that is there already is no obstacle: it is only found again.
Files with other contents are somebody's, and are replaced on demand alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.errors import OutputError
from pba.files import output_error, refuse_overwrite, replacing

if TYPE_CHECKING:
    import pandas as pd

    from pba.report.style import Picture
    from pba.study.result import Run

DOCUMENTS: Final = ("report.html", "report.md", "report.txt")
LETTER, MMTESTS, KERNEL_PATCH, SUMMARY = "cover-letter.txt", "mmtests.txt", "thresholds.patch", "summary.json"
TRIALS: Final = "trials.csv"
FIGURE_KINDS: Final = ("svg", "png", "csv")


def write_report(run: Run, folder: str | Path, force: bool = False) -> list[Path]:
    """Write the report of a run.

    Parameters
    ----------
    run : Run
        What `pba.study.result.load_run` returned.
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
    contents = _contents(run, folder)
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


def sendable(run: Run, name: str) -> str:
    """Return what a finished run is sent as: `cover-letter.txt`, `mmtests.txt`, `thresholds.patch`, `summary.json`.

    The patch is empty where the answer is to keep the patch's thresholds.

    Raises
    ------
    StudyError
        If the run has not decided yet.
    """
    from pba.report.kernel_patch import kernel_patch
    from pba.report.mail import cover_letter, mmtests
    from pba.report.plain_data import as_json

    make = {LETTER: cover_letter, MMTESTS: mmtests, KERNEL_PATCH: kernel_patch, SUMMARY: as_json}
    return make[name](run)


def _sent(run: Run) -> tuple[str, ...]:
    """Return the names of what is sent of a run: nothing before it has decided."""
    if run.decision is None:
        return ()
    from pba.report.kernel_patch import diff

    changes = bool(diff(run.decision.recommended))
    return (LETTER, MMTESTS, *((KERNEL_PATCH,) if changes else ()), SUMMARY)


def _contents(run: Run, folder: Path) -> dict[Path, bytes]:
    """Return every file's bytes."""
    from pba.report.figures import all_pictures
    from pba.report.renderers import RENDERERS
    from pba.report.replayed import replayed
    from pba.report.summary import summarize_run

    found = replayed(run)
    document, pictures = summarize_run(run, found), [*all_pictures(run), *found.pictures()]
    contents = {folder / name: RENDERERS[name](document, pictures).encode() for name in DOCUMENTS}
    contents |= {folder / name: sendable(run, name).encode(errors="backslashreplace") for name in _sent(run)}
    contents[folder / TRIALS] = _csv(run.points.sort_index().rename_axis("number").reset_index())
    for picture in pictures:
        contents |= picture_contents(picture, folder / "figures" / picture.name, FIGURE_KINDS)
    return contents


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
