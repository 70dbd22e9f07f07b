"""Writing files so that nothing is lost and nothing is half-written."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pba.errors import OutputError, option

PART: Final = ".part"
"""Ending of a file that is being written; the writer's pid stands before it."""


NAME_BYTES: Final = 200
"""What is taken of a file's name into that of its temporary file, which may have 255."""


def abandoned(folder: Path, name: str = "") -> list[Path]:
    """Return the temporary files in a folder (of one file's name) whose writers are gone: they were killed.

    A writer is gone if no process has its pid, and nobody holds the lock that a writer holds for as long as
    it lives: the pid alone says nothing of a writer in another container that shares the folder.
    """
    found = []
    for path in sorted(folder.glob(f"{glob.escape(_begin(name)) if name else '.'}*{PART}")):
        pid = path.name.removesuffix(PART).rpartition(".")[2]
        if pid.isdigit() and not Path("/proc", pid).exists() and path.is_file() and not _is_locked(path):
            found.append(path)
    return found


def _begin(name: str) -> str:
    """Return what the names of a file's temporary files begin with."""
    return f".{os.fsdecode(os.fsencode(name)[:NAME_BYTES])}."


def _is_locked(path: Path) -> bool:
    """Say whether a writer lives that holds a temporary file's lock, or this cannot be known."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _remove_abandoned(path: Path) -> None:
    """Remove what killed writers of a file have left behind."""
    for left in abandoned(path.parent, path.name):
        with suppress(OSError):  # another process's, or removed by another
            left.unlink()


def refuse_overwrite(path: Path, force: bool) -> None:
    """Raise `OutputError` if `path` exists and `force` is not given, or is no file. Before long work."""
    try:
        exists, is_folder, is_file = path.exists(), path.is_dir(), path.is_file()
    except OSError as error:  # the folder may not be searched
        raise output_error(path, error) from error
    if is_folder:
        raise OutputError(f"{path}: is a folder", "name a file")
    if exists and not is_file:  # root could put a file in the place of /dev/null
        raise OutputError(f"{path}: is no regular file", "name a file")
    if exists and not force:
        raise OutputError(
            f"{path}: exists already", f"choose another name, or say {option('force', True)} to replace it"
        )
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist", "make it first")


@contextmanager
def replacing(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it becomes `path`, on failure it is removed.

    What was left behind by writers of the same path that were killed is removed first (`abandoned`).

    Parameters
    ----------
    path : str or Path
        Where the file is wanted.
    force : bool
        Whether an existing file may be replaced.

    Yields
    ------
    Path
        A name in the same folder, whose file is empty; write there.

    Raises
    ------
    OutputError
        If `path` exists and `force` is not given, or the file cannot be written (no permission, full disk).
    """
    path = Path(path)
    refuse_overwrite(path, force)
    _remove_abandoned(path)
    try:
        handle, name = tempfile.mkstemp(f".{os.getpid()}{PART}", _begin(path.name), path.parent)
    except OSError as error:
        raise output_error(path, error) from error
    temporary = Path(name)
    try:
        with suppress(OSError):  # a file system without locks: the pid alone tells
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            temporary.unlink()


def output_error(path: Path, error: OSError) -> OutputError:
    """Turn a failed write into one line that says what to do."""
    hints = {
        errno.ENOSPC: "the disk is full: free some space, or write elsewhere",
        errno.EDQUOT: "the quota is used up: free some space, or write elsewhere",
        errno.EACCES: "you may not write there: choose another folder",
        errno.EROFS: "that file system is read-only: choose another folder",
    }
    reason = error.strerror or str(error)
    return OutputError(
        f"{path}: cannot be written: {reason}", hints.get(error.errno or 0, "nothing was kept")
    )


def _umask() -> int:
    """Return the process's umask (which can only be read by setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
