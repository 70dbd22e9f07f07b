"""Writing the files of a report: all of them, or an error before the first.

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

FIGURE_KINDS: Final = ("svg", "png", "csv")


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


def picture_contents(picture: Picture, base: Path, formats: tuple[str, ...]) -> dict[Path, bytes]:
    """Return a figure's files; `base` is their path without the ending."""
    make: dict[str, Callable[[], bytes]] = {
        "svg": lambda: picture.svg().encode(),
        "png": picture.png,
        "csv": lambda: csv_bytes(picture.data),
    }
    return {base.with_name(f"{base.name}.{name}"): make[name]() for name in formats}


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV."""
    return table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace")
