"""The recordings that come with pba: `data/` of a clone, `pba/data` of an installed package."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pba.errors import TraceError

if TYPE_CHECKING:
    from pba.trace.metadata import Metadata

PATTERN_SIGNS = "*?["
SUFFIX = ".parquet"
DESCRIPTIONS = "recordings.toml"
"""Beside the recordings: a table for each, by its name, with `what_ran` and `scripts`."""


@dataclass(frozen=True)
class Recording:
    """A recording that comes with pba, as its file's metadata and `recordings.toml` beside it describe it.

    Attributes
    ----------
    name : str
        Stands for the file wherever a trace is asked for.
    path : Path
        The file.
    what_ran : str
        What was recorded; empty where `recordings.toml` does not say.
    events, passes : int
        Number of events, and of shrinker passes among them.
    metadata : Metadata
        Kernel, page size, memory, length, quality.
    scripts : tuple of str
        What made it, in `data/scripts`, first to last; empty where no script is kept.
    """

    name: str
    path: Path
    what_ran: str
    events: int
    passes: int
    metadata: Metadata
    scripts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes."""
        about = {"what_ran": self.what_ran, "events": self.events, "passes": self.passes}
        made_by = {"file": str(self.path), "scripts": list(self.scripts)}
        return {**self.metadata.to_dict(), "name": self.name, **made_by, **about}


def data_dir() -> Path:
    """Return the folder with the recordings."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


def recordings() -> dict[str, Path]:
    """Return the recordings by name, sorted."""
    found = {path.name.removesuffix(SUFFIX): path for path in data_dir().glob(f"*{SUFFIX}")}
    return dict(sorted(found.items()))


def describe(name: str) -> Recording:
    """Return what is known about a recording, without reading its events.

    Raises
    ------
    TraceError
        If no recording is meant by that name (`full_name`), or its file or `recordings.toml` is damaged.
    """
    from pba.trace.forms.parquet import read_facts

    known = recordings()
    name = full_name(name, known, "no recording")
    events, passes, metadata = read_facts(known[name])
    said = _descriptions().get(name, {})
    what_ran = str(said.get("what_ran", "")).replace("`", "")
    return Recording(name, known[name], what_ran, events, passes, metadata, tuple(said.get("scripts", ())))


def _descriptions() -> dict[str, dict[str, Any]]:
    """Return what `recordings.toml` says of each recording, by name; nothing where there is no such file."""
    path = data_dir() / DESCRIPTIONS
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not UTF-8
        raise TraceError(f"{path}: not a TOML file: {error}", "install pba anew, or mend the file") from error


def resolve(name_or_path: str | Path) -> Path:
    """Return the file that a trace's argument means: a path first, then the name of a recording.

    Raises
    ------
    TraceError
        If a bare name is neither; the message lists the names that there are.
    """
    path = Path(name_or_path)
    try:
        is_path = path.exists() or len(path.parts) > 1
    except OSError:  # too long, or in a folder that may not be searched: to open it says so
        is_path = True
    return path if is_path else find(name_or_path)


def find(name_or_path: str | Path) -> Path:
    """Return the file of a recording that comes with pba, by its name; or a path as it is, if it exists.

    Raises
    ------
    TraceError
        If there is neither (`full_name`); the message lists the names that there are.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = recordings()
    return known[full_name(str(name_or_path), known, "no trace file and no recording")]


def full_name(name: str, known: Collection[str], missing: str = "no recording") -> str:
    """Return the name of the one recording that is called `name`, or whose name begins so.

    Parameters
    ----------
    name : str
        `chromium-x86`, or as much of it as no other name begins with: `chromium`.
    known : collection of str
        The names that there are.
    missing : str, optional
        Says in the message what there is not.

    Raises
    ------
    TraceError
        If no recording's name begins so, or several do and none is called just that.
    """
    beginning = [each for each in known if name and each.startswith(name)]
    if name in beginning:
        return name
    if len(beginning) > 1:
        raise TraceError(
            f"{name!r} may be any of {len(beginning)} recordings of pba: {', '.join(beginning)}",
            "give enough of the name to tell them apart",
        )
    if not beginning:
        raise TraceError(f"{missing} of pba is called {name!r}", _names(known))
    return beginning[0]


def find_all(pattern: str, base: Path | None = None) -> list[Path]:
    """Return the files that a name, a pattern or a path stands for, sorted.

    Parameters
    ----------
    pattern : str
        `chromium` or `arm64-*`: recordings of pba, by name (`full_name`). `traces/x.parquet` or
        `traces/*.parquet` (with a `/`, or the name of a file that exists): paths.
    base : Path, optional
        The folder that paths are relative to; by default the current one.

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


def _names(known: Collection[str]) -> str:
    """Return the names that there are, for a message."""
    return "there are " + ", ".join(known) if known else f"there are none in {data_dir()}"
