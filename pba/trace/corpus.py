"""The recordings that come with pba: `data/` of a clone, `pba/data` of an installed package."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from pba.errors import TraceError

PATTERN_SIGNS = "*?["
SUFFIX = ".parquet"


def data_dir() -> Path:
    """Return the folder with the recordings."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


def recordings() -> dict[str, Path]:
    """Return the recordings by name, sorted."""
    return {path.name.removesuffix(SUFFIX): path for path in sorted(data_dir().glob(f"*{SUFFIX}"))}


def find(name_or_path: str | Path) -> Path:
    """Return the file of a recording that comes with pba, by its name; or a path as it is, if it exists.

    Raises
    ------
    TraceError
        If there is neither; the message lists the names that there are.
    """
    path = Path(name_or_path)
    known = recordings()
    if path.is_file():
        return path
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    raise TraceError(f"no trace file and no recording of pba is called {str(name_or_path)!r}", _names(known))


def find_all(pattern: str, base: Path | None = None) -> list[Path]:
    """Return the files that a name, a pattern or a path stands for, sorted.

    Parameters
    ----------
    pattern : str
        `chromium` or `arm64-*`: recordings of pba, by name. `traces/x.parquet` or `traces/*.parquet` (with
        a `/`, or the name of a file that exists): paths.
    base : Path, optional
        The folder that paths are relative to; the current one unless told.

    Raises
    ------
    TraceError
        If there is none.
    """
    base = base or Path()
    is_pattern = any(sign in pattern for sign in PATTERN_SIGNS)
    if not is_pattern:
        there = base / pattern
        return [there if there.is_file() else find(pattern)]
    if "/" in pattern:
        top = Path(pattern).anchor
        found = [p for p in (Path(top) if top else base).glob(pattern.removeprefix(top)) if p.is_file()]
        if not found:
            raise TraceError(f"no file matches {pattern!r}", f"looked in {base.resolve()}")
        return sorted(found)
    known = recordings()
    matching = [path for name, path in known.items() if fnmatchcase(name, pattern)]
    if not matching:
        raise TraceError(f"no recording of pba matches {pattern!r}", _names(known))
    return matching


def _names(known: dict[str, Path]) -> str:
    """Return the names that there are, for a message."""
    return "there are " + ", ".join(known) if known else f"there are none in {data_dir()}"
