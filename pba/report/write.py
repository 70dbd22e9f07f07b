"""Writing a report's files: all of them, or an error before the first.

The same run gives the same bytes, so a report that is there already is no obstacle: it is only found again.
Files with other contents are somebody's, and are replaced on demand alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.errors import OutputError
from pba.files import output_error, refuse_overwrite, replacing

if TYPE_CHECKING:
    import pandas as pd

    from pba.study.run import Run

DOCUMENTS: Final = ("report.html", "report.md", "report.txt")
TRIALS: Final = "trials.csv"
FIGURES: Final = ("front", "recordings", "flatness")
FIGURE_KINDS: Final = ("svg", "png", "csv")


def report_paths(folder: str | Path) -> list[Path]:
    """Return the files of which a report in that folder consists."""
    folder = Path(folder)
    figures = [folder / "figures" / f"{name}.{kind}" for name in FIGURES for kind in FIGURE_KINDS]
    return [*(folder / name for name in DOCUMENTS), folder / TRIALS, *figures]


def write_report(run: Run, folder: str | Path, force: bool = False) -> list[Path]:
    """Write the report of a run.

    Parameters
    ----------
    run : Run
        What `pba.study.run.load_run` returned.
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
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder", "name a folder for the report")
    contents = _contents(run, folder)
    changed = {path: content for path, content in contents.items() if not _holds(path, content)}
    for path in changed:
        if path.exists():
            refuse_overwrite(path, force)
    _make_folders(folder)
    for path, content in changed.items():
        with replacing(path, force=True) as temporary:
            temporary.write_bytes(content)
    return report_paths(folder)


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file is there and holds exactly this."""
    return path.is_file() and path.read_bytes() == content


def _make_folders(folder: Path) -> None:
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def _contents(run: Run, folder: Path) -> dict[Path, bytes]:
    """Return every file's bytes."""
    from pba.report.figures import all_pictures
    from pba.report.renderers import RENDERERS
    from pba.report.summary import summarize

    document, pictures = summarize(run), all_pictures(run)
    contents = {folder / name: RENDERERS[name](document, pictures).encode() for name in DOCUMENTS}
    contents[folder / TRIALS] = _csv(run.points.sort_index().rename_axis("number").reset_index())
    for picture in pictures:
        base = folder / "figures" / picture.name
        contents[base.with_suffix(".svg")] = picture.svg().encode()
        contents[base.with_suffix(".png")] = picture.png()
        contents[base.with_suffix(".csv")] = _csv(picture.data)
    return contents


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()
