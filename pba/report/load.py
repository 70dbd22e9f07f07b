"""Finding what there is to report: a run, a sweep, the overview of a batch, or a comparison of policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.errors import StudyError
from pba.printable import printable

if TYPE_CHECKING:
    from pba.report.found import Found

KINDS: Final = {
    "run.json": "run", "sweep.json": "sweep", "overview.json": "batch", "comparison.json": "comparison",
}  # fmt: skip
"""The file by which each kind is known, and what it is."""
_PLACES: Final = ("runs/*/run.json", "runs/overview.json", "sweeps/*/sweep.json", "plots/*/comparison.json")


def load(folder: str | Path) -> Found:
    """Read a folder that `pba tune`, `pba sweep` or `pba compare -o` wrote; of a batch the one with the overview.

    Raises
    ------
    StudyError
        If it is none of these, or is damaged.
    """
    place = Path(folder)
    kind = next((kind for name, kind in KINDS.items() if (place / name).is_file()), "run")
    if kind == "sweep":
        from pba.study.sweep.run import load_sweep

        return load_sweep(place)
    if kind == "batch":
        from pba.report.of_batch import load_batch

        return load_batch(place)
    if kind == "comparison":
        from pba.probe.compare import load_comparison

        return load_comparison(place)
    from pba.study.result import load_run

    if place.is_dir() and not (place / "run.json").exists():
        names = ", ".join(KINDS)
        raise StudyError(f"{printable(place)}: nothing to report: it has none of {names}", "name the folder of a run, "
                         "of a sweep, of a comparison, or the one with the overview of a batch")  # fmt: skip
    return load_run(place)


def latest() -> Path:
    """Return the folder of what was written last: in `runs/`, `sweeps/` and `plots/`.

    Raises
    ------
    StudyError
        If there is nothing.
    """
    found = [path for pattern in _PLACES for path in Path().glob(pattern)]
    if not found:
        raise StudyError("there is no run in runs/, sweep in sweeps/ or comparison in plots/",
                         "say pba tune, or name a folder")  # fmt: skip
    return max(found, key=lambda path: (path.stat().st_mtime, str(path))).parent
