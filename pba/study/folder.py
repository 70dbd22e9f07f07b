"""The folder that a study or a sweep leaves behind: one lock, one record, one check, one way to go on.

A folder has a record (JSON), which is what makes it a run's or a sweep's, and files beside it. Every file is
written under another name first, so a kill at any moment leaves whole files alone; the record comes last. It
holds the hash of itself, and once all is done the hashes of the files: a byte that flips is noticed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba import caches
from pba.errors import OutputError, StudyError, option
from pba.files import PART, output_error, replacing
from pba.printable import printable

if TYPE_CHECKING:
    import pandas as pd

RUNNING: Final = "running"
COMPLETE: Final = "complete"
SELF_HASH: Final = "sha256"
"""The record's last key: the hash of all before it."""

SHAPING_ROOMS: Final = ("kernel", "engine", "trace", "tracepoints", "imports")
SHAPING_MODULES: Final = (
    "_jit.py", "events.py", "machine.py", "model.py", "pool.py", "results.py", "study/aims.py",
    "study/objective.py", "study/space.py",
)  # fmt: skip
"""The rooms and the modules of `pba` that `model_hash` is a hash of."""

Record = dict[str, Any]
Difference = tuple[str, object, object]
"""What a folder was begun with that is not so any more: what, before, now."""


@dataclass(frozen=True)
class Kind:
    """What makes a run's folder different from a sweep's.

    Attributes
    ----------
    noun : str
        What the folder holds: `run`.
    command, flag : str
        The command that makes it, and its option that names the folder.
    record : str
        Name of the record.
    own : tuple of str
        Names of all that the command writes.
    version : int
        Version of the layout and of the files; a reader refuses any other.
    keys : mapping of str to type
        What the record has, besides what every record has.
    grows : str
        A file to which others may append; empty for none.
    first : str
        A file that is written before the record; empty for none.
    folders : tuple of str
        Which of `own` are folders.
    """

    noun: str
    command: str
    flag: str
    record: str
    own: tuple[str, ...]
    version: int
    keys: Mapping[str, type]
    grows: str = ""
    first: str = ""
    folders: tuple[str, ...] = ()

    @property
    def elsewhere(self) -> str:
        """What to do about a folder that something else is in."""
        return f"say {option('folder', flag=self.flag)} for another folder"

    @property
    def anew(self) -> str:
        """What to do about a folder that cannot be gone on with."""
        return f"{option('force', True)} begins anew there, {option('folder', flag=self.flag)} elsewhere"


@dataclass(frozen=True)
class Folder:
    """A run's or a sweep's folder.

    Parameters
    ----------
    path : Path
        Where it lies.
    kind : Kind
        Whose it is.
    """

    path: Path
    kind: Kind

    # --- taking hold of it ---

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder if need be, and hold it alone; a killed process lets go of it by itself.

        Raises
        ------
        StudyError
            If another process is at work in it.
        OutputError
            If it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileExistsError as error:
            raise OutputError(f"{self.path}: is a file", self.kind.elsewhere) from error
        except OSError as error:
            raise output_error(self.path, error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                busy = f"{self.path}: another {self.kind.command} is at work there"
                raise StudyError(busy, "wait for it to end") from error
            yield
        finally:
            os.close(handle)

    def is_begun(self, force: bool = False) -> bool:
        """Whether something was begun here; with `force`, after all of it is removed.

        Raises
        ------
        StudyError
            If the folder holds other people's files, or files of its kind and no record.
        """
        kind = self.kind
        names = sorted(path.name for path in self.path.iterdir() if not path.name.endswith(PART))
        own = [name for name in names if name in kind.own]
        others = [name for name in names if name not in kind.own]
        if others and not own:
            told = f"{self.path}: not a {kind.noun}'s folder: it holds {printable(others[0])}"
            raise StudyError(told, kind.elsewhere)
        if force:
            for name in own:
                self.remove(name)
            return False
        if kind.record not in own and own not in ([], [kind.first]):
            raise self.damaged(kind.record, "it is missing")
        return kind.record in own

    def remove(self, name: str) -> None:
        """Remove one of the folder's own files or folders, if it is there."""
        path = self.path / name
        try:
            if name in self.kind.folders and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(path, error) from error

    # --- the record ---

    def write(self, record: Record) -> Record:
        """Write the record, replacing an older one in a single step; return it with its hash."""
        whole = {"format_version": self.kind.version, **record}
        whole.pop(SELF_HASH, None)
        whole[SELF_HASH] = sha256_of(_text_of(whole))
        with replacing(self.path / self.kind.record, force=True) as temporary:
            temporary.write_bytes(_text_of(whole))
        return whole

    def read(self) -> Record:
        """Read the record.

        Raises
        ------
        StudyError
            If there is none, another pba wrote it, or it is not as it was written.
        """
        name, made = self.kind.record, f"{self.kind.command} makes one"
        if not self.path.is_dir():
            raise StudyError(f"{self.path}: no such {self.kind.noun} folder", made)
        try:
            content = (self.path / name).read_bytes()
            record = json.loads(content)
        except FileNotFoundError as error:
            raise StudyError(f"{self.path}: no {self.kind.noun}'s folder: it has no {name}", made) from error
        except (OSError, ValueError, RecursionError) as error:
            raise self.damaged(name, error) from error
        self._check_version(record)
        said = record.get(SELF_HASH)
        plain = {key: value for key, value in record.items() if key != SELF_HASH}
        # Byte for byte: a flipped byte may leave JSON that says the same, or a key that nobody reads.
        if said != sha256_of(_text_of(plain)) or content != _text_of({**plain, SELF_HASH: said}):
            raise self.damaged(name, f"it is not what the {self.kind.noun} wrote")
        keys = {"state": str, "command": str, "versions": dict, "files": dict, **self.kind.keys}
        wrong = [key for key, kind in keys.items() if not isinstance(record.get(key), kind)]
        if wrong or record["state"] not in (RUNNING, COMPLETE):
            raise self.damaged(name, f"{wrong[0] if wrong else 'its state'} is not what it should be")
        return dict(record)

    def _check_version(self, record: Any) -> None:
        """Refuse a record of another layout, and what is no record at all."""
        name, command = self.kind.record, self.kind.command
        version = record.get("format_version") if isinstance(record, dict) else None
        if type(version) is not int:
            raise self.damaged(name, f"not what a {self.kind.noun} writes")
        if version > self.kind.version:
            newer = f"{self.path / name}: written by a newer pba (layout {version})"
            raise StudyError(newer, "use that one to read it")
        if version < self.kind.version:
            older = f"{self.path / name}: written by an older pba (layout {version})"
            raise StudyError(older, f"{command} with {option('force', True)} runs it anew")

    def refuse(self, differences: Iterator[Difference]) -> None:
        """Raise `StudyError` for the first thing that is not as it was when the folder was begun."""
        for what, before, now in differences:
            told = f"{self.path}: was begun with another {what}: {shortened(before)}, now {shortened(now)}"
            raise StudyError(told, self.kind.anew)

    def complete(self, record: Record, names: Sequence[str]) -> Record:
        """Mark the record as complete, and note the hashes of these files."""
        files = {name: _facts(self.path / name) for name in names}
        return self.write({**record, "state": COMPLETE, "files": files})

    # --- the files beside it ---

    def check_files(self, record: Record) -> None:
        """Hold the files against the hashes that were noted of them.

        Of a file that grows only the part that was there is checked.
        """
        for name, known in record["files"].items():
            try:
                content = (self.path / name).read_bytes()
                size, digest = int(known["bytes"]), str(known["sha256"])
            except (OSError, KeyError, TypeError, ValueError) as error:
                raise self.damaged(name, error) from error
            if len(content) < size:
                raise self.damaged(name, f"it has {len(content)} bytes and should have {size}")
            grown = name != self.kind.grows and len(content) != size
            if grown or sha256_of(content[:size]) != digest:
                raise self.damaged(name, f"it is not what the {self.kind.noun} wrote")

    def damaged(self, name: str, reason: object) -> StudyError:
        """Return the error for a file that is not as it was left."""
        if isinstance(reason, OSError) and reason.strerror:
            reason = reason.strerror  # the path is said already
        told = f"{self.path / name}: damaged {self.kind.noun} folder: {printable(reason, 300)}"
        return StudyError(told, self.kind.anew)


def differences_of_traces(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    """Yield how traces and their machines differ from those that a folder was begun with."""
    names = [[_called(row) for row in rows] for rows in (before, now)]
    if names[0] != names[1]:
        yield "set of traces and machines", ", ".join(names[0]), ", ".join(names[1])
        return
    for old, new in zip(before, now, strict=True):
        for key, what in (("sha256", "content of"), ("machine", "machine for")):
            if old[key] != new[key]:
                yield f"{what} the trace {printable(new['trace'])}", old[key], new[key]


def differences_of_versions(record: Record, wanted: Record, names: Sequence[str]) -> Iterator[Difference]:
    """Yield which versions differ of what shapes the figures."""
    for name in names:
        if record["versions"].get(name) != wanted["versions"][name]:
            yield f"version of {name}", record["versions"].get(name), wanted["versions"][name]


def _called(row: Mapping[str, Any]) -> str:
    return f"{row['trace']} ({row['setting']})" if "setting" in row else str(row["trace"])


def shortened(value: object) -> str:
    """Return a value cut to what fits a line beside another."""
    return printable(value, 60)


@cache
def model_hash() -> str:
    """Return a hash of the sources that shape a figure of any point: one for studies and sweeps.

    Those are the simulated kernel, the engine, what reads a trace, what replays it and what is made of the
    counters. It stands under `model` among the versions of a run and of a sweep, and in the keys of a sweep's
    parts: what was begun with other sources is not gone on with.
    """
    return caches.hash_of_sources(sources_of_figures()).hexdigest()[:16]


def sources_of_figures() -> list[Path]:
    """Return the files whose hash `model_hash` is, in a fixed order."""
    rooms = [path for name in SHAPING_ROOMS for path in sorted((caches.PACKAGE / name).rglob("*.py"))]
    return [*rooms, *(caches.PACKAGE / name for name in SHAPING_MODULES)]


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table so that the same table gives the same bytes, and a kill leaves the old file whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    # An open file, as Arrow takes no path that is not UTF-8.
    with replacing(path, force=True) as temporary, temporary.open("wb") as stream:
        pq.write_table(table, stream, compression="zstd")


def sha256_of(content: bytes) -> str:
    """Return a SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _facts(path: Path) -> dict[str, Any]:
    """Return the size and hash by which `Folder.check_files` knows a file again."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": sha256_of(content)}


def _text_of(record: Record) -> bytes:
    """Return a record as it is stored; a lone surrogate (a path that is no UTF-8) becomes JSON's escape."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")
