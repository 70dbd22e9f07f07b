"""Writing a report's files: all of them or an error before the first."""

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
        Whether the files of an older report may be replaced.

    Returns
    -------
    list of Path
        The files written, `report.html` first.

    Raises
    ------
    OutputError
        If a file of a report exists there already and `force` is not given (before any work), or a file
        cannot be written.
    """
    paths = report_paths(folder)
    refuse_report(folder, force)
    _make_folders(Path(folder))
    for path, content in _contents(run, Path(folder)).items():
        with replacing(path, force=True) as temporary:
            temporary.write_bytes(content)
    return paths


def refuse_report(folder: str | Path, force: bool) -> None:
    """Raise `OutputError` if a report could not go there. For use before long work starts."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder", "name a folder for the report")
    for path in report_paths(folder):
        if path.exists():
            refuse_overwrite(path, force)


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
