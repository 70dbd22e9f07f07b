"""Several studies, one after the other: each a run of its own, which a kill leaves as one run alone would be left.

Before the first begins, all files are read and all traces looked for. A run that is done is known by its record
and by hashes: neither a trace nor the model is loaded for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pba.errors import PbaError, StudyError
from pba.printable import cut_middle
from pba.progress import SILENT, Progress
from pba.study.asked import TRACES_FOLDER, Asked, Words, ask, with_options
from pba.study.folder import COMPLETE, Folder, sha256_of
from pba.study.generated import generators_hash
from pba.study.inputs import trace_files
from pba.study.result import RUN, Run, load_run, read_run_record
from pba.units import plural

if TYPE_CHECKING:
    from pba.study.cluster import Dask

LONGEST_NAME: Final = 24
"""Characters of a study's name in a line of progress."""


@dataclass(frozen=True)
class Outcome:
    """What became of one study of a batch.

    Attributes
    ----------
    name : str
        The study's name.
    folder : Path
        The run's folder.
    run : Run or None
        What it found; None if it failed.
    error : Exception or None
        Why it failed.
    """

    name: str
    folder: Path
    run: Run | None = None
    error: Exception | None = None

    @property
    def told(self) -> str:
        """Why it failed, in a line, as the command line has it; empty if it did not."""
        if isinstance(self.error, PbaError):
            return self.error.for_command_line()
        told = f"{type(self.error).__name__}: {self.error}: a bug of pba; run alone, the study says where"
        return told if self.error else ""


def tune_batch(
    studies: Sequence[str | Path],
    *,
    points: int | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
    workers: int | None = None,
    dask: Dask | None = None,
    storage: str | None = None,
    force: bool = False,
    cache: bool = True,
    progress: Progress = SILENT,
) -> list[Run]:
    """Run several studies one after the other, or go on with them; those that are done are only read.

    Parameters
    ----------
    studies : sequence of str or Path
        Study files, or names of studies that come with pba. Each has its own name, and so its folder,
        `runs/NAME`.
    points, seed, changes, workers, dask, storage, force, cache, progress
        As for `pba.tune`, for each of them.

    Returns
    -------
    list of Run
        In the order of the studies.

    Raises
    ------
    StudyError
        If a file is not what it should be, a trace is missing, or two studies have one name: before the first
        begins. If one fails: after all others are done.
    """
    asked = ask_all(studies, points, seed, changes)
    found = list(
        run_batch(
            asked, workers=workers, dask=dask, storage=storage, force=force, cache=cache, progress=progress
        )
    )
    failed = [one for one in found if one.run is None]
    if failed:
        told = f"{len(failed)} of {plural(len(found), 'study', 'studies')} failed: {failed[0].name}: {failed[0].error}"
        raise StudyError(told, "the others are done; the same call goes on") from failed[0].error
    return [one.run for one in found if one.run is not None]


def ask_all(
    studies: Sequence[str | Path],
    points: int | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
) -> list[Asked]:
    """Read all study files and look for their traces.

    Raises
    ------
    StudyError
        If one is not what it should be, or two have one name or one folder.
    """
    found: list[Asked] = []
    for study in studies:
        asked = with_options(ask(study, None, Words(), changes), points, seed)
        for names in (asked.definition.traces, asked.definition.held_out):
            trace_files(asked.definition, names)
        for other in found:
            same = asked.definition.name == other.definition.name
            if same or asked.folder.resolve() == other.folder.resolve():
                what = f"the name {asked.definition.name}" if same else f"the folder {asked.folder}"
                raise StudyError(
                    f"{asked.definition.where} and {other.definition.where} have both {what}",
                    "give each a name of its own: its run's folder is called so",
                )
        found.append(asked)
    return found


def run_batch(
    studies: Sequence[Asked],
    *,
    workers: int | None = None,
    dask: Dask | None = None,
    storage: str | None = None,
    force: bool = False,
    cache: bool = True,
    progress: Progress = SILENT,
    begin: Callable[[], object] | None = None,
    done: Callable[[Run], object] | None = None,
) -> Iterator[Outcome]:
    """Run studies one after the other; one that fails does not keep the others from it.

    Parameters
    ----------
    studies : sequence of Asked
        What `ask_all` returned.
    workers, dask, storage, force, cache, progress
        As for `pba.tune`.
    begin : callable, optional
        Called before each study that is not done already.
    done : callable, optional
        Called with each run that is done; if it raises, the study has failed.

    Yields
    ------
    Outcome
        Of each study, as soon as it is done.
    """
    _check_options(workers, dask, storage)
    try:
        for number, asked in enumerate(studies, 1):
            name, told = (
                asked.definition.name,
                Numbered(progress, number, len(studies), asked.definition.name),
            )
            try:
                run = None if force or storage else finished(asked)
                if run is None:
                    if begin is not None:
                        begin()
                    from pba.study.tune import run_study

                    run = run_study(
                        asked, workers=workers, dask=dask, storage=storage, force=force, cache=cache,
                        progress=told,
                    )  # fmt: skip
                else:
                    told.say("done already")
                if done is not None:
                    done(run)
                outcome = Outcome(name, asked.folder, run)
            except Exception as error:  # one that is no PbaError is a bug: the others go on even then
                outcome = Outcome(name, asked.folder, error=error)
                told.say(f"failed: {outcome.told}")
            yield outcome
    finally:
        progress.end()


def _check_options(workers: int | None, dask: Dask | None, storage: str | None) -> None:
    """Refuse what `run_study` would refuse of each study; only what is asked for is loaded for it."""
    from pba.study.workers import check_workers

    check_workers(workers)
    if dask is not None:
        from pba.study.cluster import check_dask

        check_dask(dask)
    if storage is not None:
        from pba.study.mirror import Storage

        Storage(storage)


def finished(asked: Asked) -> Run | None:
    """Return the run that is asked for, if it is done; None if it is not, or if that takes more than hashes to say.

    Raises
    ------
    StudyError
        If its folder is damaged.
    """
    place, definition = Folder(asked.folder, RUN), asked.definition
    try:
        record = read_run_record(place)
    except StudyError:
        return None
    if asked.traces or record["state"] != COMPLETE:
        return None
    if any(record[key] != value for key, value in asked.said().items()):
        return None
    if definition.generated and record["versions"].get("generators") != generators_hash():
        return None
    train, held_out = (trace_files(definition, names) for names in (definition.traces, definition.held_out))
    made = asked.folder / TRACES_FOLDER
    paths = [*train, *held_out, *(made / f"{one.name}.parquet" for one in definition.generated)]
    known = [(Path(row["path"]).name, row["sha256"]) for row in record["traces"]]
    if known != [(path.name, _sha256(path)) for path in paths]:
        return None
    return load_run(asked.folder)


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file, empty if it cannot be read."""
    try:
        return sha256_of(path.read_bytes())
    except OSError:
        return ""


class Numbered:
    """Tells the progress of one study of several.

    Parameters
    ----------
    progress : Progress
        Who is told.
    number, total : int
        Which study it is, from 1, of how many.
    name : str
        Its name.
    """

    def __init__(self, progress: Progress, number: int, total: int, name: str) -> None:
        self._progress = progress
        self._prefix = f"{number}/{total} {cut_middle(name, LONGEST_NAME)}: "

    def say(self, text: str) -> None:
        """Tell a line, after the study's number and name."""
        self._progress.say(self._prefix + text)

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        """Tell that a part of the study begins."""
        self._progress.stage(self._prefix + name, total, unit, done)

    def advance(self, done: float, note: str = "") -> None:
        """Tell how much is done."""
        self._progress.advance(done, note)

    def end(self) -> None:
        """Drop it: the batch goes on."""
