"""The studies that come with pba: `studies/` of a clone, `pba/studies` of an installed package."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from pba.errors import StudyError
from pba.printable import printable

SUFFIX: Final = ".toml"
QUICKSTART: Final = "quickstart"


def studies_dir() -> Path:
    """Return the folder with the studies."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "studies"
    return inside if inside.is_dir() else package.parent / "studies"


def studies() -> dict[str, Path]:
    """Return the studies by name: the quickstart first, then by the alphabet."""
    found = {path.name.removesuffix(SUFFIX): path for path in studies_dir().glob(f"*{SUFFIX}")}
    return dict(sorted(found.items(), key=lambda item: (item[0] != QUICKSTART, item[0])))


def quickstart() -> Path:
    """Return the study file that `pba tune` runs by default."""
    return studies_dir() / f"{QUICKSTART}{SUFFIX}"


def is_study(name: str | Path) -> bool:
    """Whether an argument means a study, by its ending or as the name of one that comes with pba."""
    return str(name).endswith(SUFFIX) or (str(name) in studies() and not Path(name).exists())


def find_study(name: str | Path) -> Path:
    """Return the file that a study's name or path means.

    Raises
    ------
    StudyError
        If there is none; the message lists the names that there are.
    """
    path, known = Path(name), studies()
    if path.is_file() or str(name).endswith(SUFFIX) or len(path.parts) > 1:
        return path
    if str(name) in known:
        return known[str(name)]
    near = difflib.get_close_matches(str(name), known, 1)
    raise StudyError(
        f"no study file and no study of pba is called {printable(repr(str(name)))}",
        (f"did you mean {near[0]}? " if near else "") + "there are " + ", ".join(known),
    )
