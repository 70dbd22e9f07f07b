"""Taking hold of a run's folder: a new one, an old one to go on with, or none at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pba.errors import OutputError, StudyError, option
from pba.files import output_error
from pba.study.result import (
    FLATNESS_FILE,
    FORMAT_VERSION,
    JOURNAL_FILE,
    POINTS_FILE,
    RUN_FILE,
    STUDY_FILE,
    read_record,
    sha256_of,
    write_record,
)

OWN_FILES: Final = (RUN_FILE, STUDY_FILE, JOURNAL_FILE, POINTS_FILE, FLATNESS_FILE)
SHAPING: Final = ("pba", "model", "numpy", "optuna")
"""Versions that a run has to keep from its first point to its last."""
_OTHER: Final = (
    f"choose another {option('folder', flag='folder with --run')}, "
    f"or say {option('force', True)} to run it anew here"
)


@contextmanager
def locked(folder: Path, command: str = "pba tune", flag: str = "--run") -> Iterator[None]:
    """Make the folder if need be, and hold it alone; a killed process lets go of it by itself.

    Parameters
    ----------
    folder : Path
        The folder.
    command, flag : str
        The command that works in it, and its option that names another, for messages.

    Raises
    ------
    StudyError
        If another process is at work in it.
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileExistsError as error:
        raise OutputError(
            f"{folder}: is a file", f"choose another {option('folder', flag=f'folder with {flag}')}"
        ) from error
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(f"{folder}: another {command} is at work there", "wait for it to end") from error
        yield
    finally:
        os.close(handle)


def clear(folder: Path) -> None:
    """Remove what a run wrote, and nothing else."""
    for name in OWN_FILES:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:  # a folder of that name, or one that may not be written
            raise output_error(folder / name, error) from error


def is_run(folder: Path, force: bool = False) -> bool:
    """Whether a run was begun here; with `force`, after its files are removed.

    Raises
    ------
    StudyError
        If the folder holds other people's files and no run, or a run without its record.
    """
    names = sorted(path.name for path in folder.iterdir())
    own = [name for name in names if name in OWN_FILES]
    others = [name for name in names if name not in OWN_FILES and not name.endswith(".part")]
    if others and not own:
        raise StudyError(
            f"{folder}: not a run's folder: it holds {others[0]}",
            f"choose another {option('folder', flag='folder with --run')}",
        )
    if force:
        clear(folder)
        return False
    if RUN_FILE not in own and (JOURNAL_FILE in own or POINTS_FILE in own):
        raise StudyError(f"{folder}: damaged run folder: {RUN_FILE} is missing", _OTHER)
    return RUN_FILE in own


def begin(folder: Path, study_text: bytes, record: dict[str, Any]) -> None:
    """Write the first files of a new run; `run.json` last, as it is what makes the folder a run."""
    from pba.files import replacing

    with replacing(folder / STUDY_FILE, force=True) as temporary:
        temporary.write_bytes(study_text)
    write_record(folder, record)


def new_record(
    study_text: bytes, traces: list[dict[str, Any]], versions: dict[str, str], asked: dict[str, Any]
) -> dict[str, Any]:
    """Return what `run.json` says when a run begins; `asked` has command, points and seed."""
    return {
        "format_version": FORMAT_VERSION,
        "state": "running",
        "command": asked["command"],
        "points": asked["points"],
        "seed": asked["seed"],
        "study_sha256": sha256_of(study_text),
        "versions": versions,
        "traces": traces,
        "files": {},
    }


def resume(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a run to go on with.

    Parameters
    ----------
    folder : Path
        A run's folder.
    wanted : dict
        The record that a new run would begin with.

    Raises
    ------
    StudyError
        If the run was begun with something else: the message says with what.
    """
    record = read_record(folder)
    complete = record["state"] == "complete"
    for what, before, now in _differences(record, wanted, complete):
        raise StudyError(f"{folder}: was begun with another {what}: {before}, now {now}", _OTHER)
    if record["points"] > wanted["points"]:
        raise StudyError(f"{folder}: has {record['points']} points, more than {wanted['points']}", _OTHER)
    if record["points"] < wanted["points"]:
        # A longer search begins with the same points: go on from there.
        record = {**record, "points": wanted["points"], "command": wanted["command"], "state": "running"}
    return record


def _differences(
    record: dict[str, Any], wanted: dict[str, Any], complete: bool
) -> Iterator[tuple[str, object, object]]:
    """Yield what a run was begun with that is not so any more: (what, before, now)."""
    if record["study_sha256"] != wanted["study_sha256"]:
        yield "study file", record["study_sha256"][:12], wanted["study_sha256"][:12]
    if record["seed"] != wanted["seed"]:
        yield "seed", record["seed"], wanted["seed"]
    before = {row["trace"]: row for row in record["traces"]}
    now = {row["trace"]: row for row in wanted["traces"]}
    if list(before) != list(now):
        yield "set of traces", ", ".join(before), ", ".join(now)
    for name, row in now.items():
        for key, what in (("sha256", "content"), ("machine", "machine")):
            if before[name][key] != row[key]:
                yield f"{what} of the trace {name}", before[name][key][:40], row[key][:40]
    if not complete or record["points"] < wanted["points"]:
        for name in SHAPING:
            if record["versions"].get(name) != wanted["versions"][name]:
                yield f"version of {name}", record["versions"].get(name), wanted["versions"][name]
