"""What goes into a study: the traces of its file, each with its machine, and the versions of what runs it."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pba._version import __version__
from pba.errors import MachineError, StudyError, TraceError
from pba.machine import Machine
from pba.printable import printable
from pba.study.definition import StudyDefinition
from pba.study.folder import model_hash, sha256_of

if TYPE_CHECKING:
    from pba.trace.table import Trace


@dataclass(frozen=True)
class Input:
    """A trace of a study, and the machine on which it is replayed.

    Attributes
    ----------
    name : str
        Its name in the study's tables.
    path : Path
        Its file.
    sha256 : str
        SHA-256 of the file.
    trace : Trace
        Its events.
    machine : Machine
        The simulated machine.
    held_out : bool
        Whether it has no say in what is recommended.
    content : bytes, optional
        What its file shall hold, where the run's folder keeps it.
    """

    name: str
    path: Path
    sha256: str
    trace: Trace
    machine: Machine
    held_out: bool = False
    content: bytes | None = None

    @property
    def passes(self) -> int:
        """Shrinker passes of the trace."""
        counts = self.trace.counts()
        return counts["S"] + counts["D"]

    def row(self) -> dict[str, Any]:
        """Return the row of `Run.traces`, as JSON takes it."""
        counts, data = self.trace.counts(), self.trace.metadata
        quality = data.quality
        return {
            "trace": self.name,
            "path": str(self.path),
            "sha256": self.sha256,
            "machine": str(self.machine),
            **self.machine.at_rest.to_dict(),
            "events": len(self.trace),
            "allocs": counts["A"],
            "frees": counts["F"],
            "passes": counts["S"] + counts["D"],
            "duration_ns": self.trace.duration_ns,
            "source": data.source,
            "kernel": data.kernel,
            "architecture": data.architecture,
            "lost_events": quality.lost_events,
            "unknown_frees": quality.unknown_frees + self.trace.unknown_frees,
            "inferred_frees": quality.inferred_frees,
            "live_at_start": quality.live_at_start,
            "recall": quality.truth.recall if quality.truth else None,
            "precision": quality.truth.precision if quality.truth else None,
            "held_out": self.held_out,
        }


def read_inputs(
    definition: StudyDefinition,
    folder: Path | None = None,
    in_memory: Mapping[Path, Trace] | None = None,
    kept: Mapping[str, str] | None = None,
) -> list[Input]:
    """Read and generate the traces of a study.

    Parameters
    ----------
    definition : StudyDefinition
        The study.
    folder : Path, optional
        Where the traces will be kept that have no file of their own.
    in_memory : mapping of Path to Trace, optional
        Such traces, by the files that the study names.
    kept : mapping of str to str, optional
        SHA-256 of generated traces, by name: those that are in the folder are not generated again.

    Raises
    ------
    StudyError
        If the study file names a trace that is not there, or two of the same name, or a machine that
        cannot be.
    TraceError
        If a trace cannot be read.
    """
    held = in_memory or {}
    train, held_out = (
        trace_files(definition, names, held) for names in (definition.traces, definition.held_out)
    )
    both = [path for path in train if path in held_out]
    if both:
        raise StudyError(
            f"{definition.where}: traces: {printable(both[0].name)} is tuned on and held out",
            "name it in train or in held_out",
        )
    found = [
        _kept_in(definition, path, held[path], path in held_out)
        if path in held
        else _read(definition, path, path in held_out)
        for path in (*train, *held_out)
    ]
    for one in definition.generated:
        path = (folder or Path()) / f"{one.name}.parquet"
        is_kept = path.is_file() and sha256_of(path.read_bytes()) == (kept or {}).get(one.name)
        found.append(
            _read(definition, path, one.held_out)
            if is_kept
            else _kept_in(definition, path, one.trace(), one.held_out)
        )
    twice = [name for name, count in Counter(item.name for item in found).items() if count > 1]
    if twice:
        raise StudyError(f"{definition.where}: traces: two are called {twice[0]!r}", "leave one of them out")
    if all(one.held_out for one in found):
        raise StudyError(f"{definition.where}: no trace has a say: all are held out", "name some in train")
    groups_of(definition, found)
    return found


def _read(definition: StudyDefinition, path: Path, held_out: bool) -> Input:
    """Return a trace of a file."""
    from pba.imports.read import read_trace

    trace = read_trace(path)
    name = printable(trace.metadata.name or path.name.split(".")[0])  # tables and records keep it
    machine = machine_for(definition, trace, path)
    return Input(name, path, sha256_of(path.read_bytes()), trace, machine, held_out)


def _kept_in(definition: StudyDefinition, path: Path, trace: Trace, held_out: bool) -> Input:
    """Return a trace in memory, with what its file will hold: the run's folder is whole by itself."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        content = trace.write(Path(folder) / path.name).read_bytes()
    name = printable(trace.metadata.name or path.name.split(".")[0])
    machine = machine_for(definition, trace, path)
    return Input(name, path, sha256_of(content), trace, machine, held_out, content)


def groups_of(definition: StudyDefinition, inputs: Sequence[Input]) -> dict[str, list[str]]:
    """Return the names of the recordings of each group: the study's, or the machine classes.

    Raises
    ------
    StudyError
        If a group holds no recording.
    """
    found: dict[str, list[str]] = {}
    tuned = [one for one in inputs if not one.held_out]
    if not definition.groups:
        for one in tuned:
            found.setdefault(_machine_class(one), []).append(one.name)
        return found if len(found) > 1 else {}
    for group, patterns in definition.groups.items():
        found[group] = [one.name for one in tuned if any(fnmatchcase(one.name, how) for how in patterns)]
        if not found[group]:
            names = ", ".join(one.name for one in tuned[:8])
            raise StudyError(
                f"{definition.where}: [groups] {printable(group)}: no recording of the study is called "
                f"{printable(' or '.join(patterns))}",
                f"it has {names}{', ...' if len(tuned) > 8 else ''}",
            )
    return found


def _machine_class(one: Input) -> str:
    """Return what kind of machine a recording is of: `arm64, 4 KiB`."""
    known = {"aarch64": "arm64", "x86_64": "x86"}
    architecture = printable(one.trace.metadata.architecture)
    return f"{known.get(architecture, architecture or 'unknown')}, {one.machine.page_size_kib} KiB"


def trace_files(
    definition: StudyDefinition, patterns: Sequence[str], in_memory: Collection[Path] = ()
) -> list[Path]:
    """Return the files that a study's names and patterns mean, each once, in their order."""
    from pba.trace.corpus import find_all

    base = definition.base
    found: dict[Path, None] = {}
    for pattern in patterns:
        if base / pattern in in_memory:
            found[base / pattern] = None
            continue
        try:
            found.update((path.resolve(), None) for path in find_all(pattern, base))
        except TraceError as error:
            raise StudyError(f"{definition.where}: traces: {error.message}", error.hint) from error
        except (OSError, ValueError, NotImplementedError) as error:  # too long, or `a**`
            reason = error.strerror if isinstance(error, OSError) else error
            told = f"{definition.where}: traces: {printable(pattern)!r} cannot be looked for: {reason}"
            raise StudyError(told, "name recordings, paths, or patterns with *") from error
    return list(found)


def machine_for(definition: StudyDefinition, trace: Trace, path: Path) -> Machine:
    """Return the machine on which a study replays a trace: the study's word, else the trace's own."""
    data = trace.metadata
    page = definition.page_size_kib or data.page_size_kib
    if page is None:
        raise StudyError(
            f"{path}: the trace does not say its page size",
            f"say [machine] page_size_kib in {definition.where}",
        )
    memory = definition.memory_bytes
    if memory is None:
        if not data.memory_pages or not data.page_size_kib:
            raise StudyError(
                f"{path}: the trace does not say how much memory its machine had",
                f'say [machine] memory = "4 GiB" or so in {definition.where}',
            )
        memory = data.memory_pages * data.page_size_kib * 1024
    try:
        machine = Machine.from_bytes(page, memory, definition.linear_map, definition.start)
        if machine.start.from_trace:
            from pba.model import starting_memory  # a finished batch needs none of it

            starting_memory(trace, machine)  # refused here, before anything is replayed
        return machine
    except MachineError as error:
        where = f"{definition.where}: [machine]: for {path.name}: {error.message}"
        raise StudyError(where, error.hint) from error


def versions() -> dict[str, str]:
    """Return the versions of all that shapes figures; `model` is a hash of sources (`folder.model_hash`)."""
    found = {"pba": __version__, "model": model_hash(), "python": platform.python_version()}
    found.update((name, version(name)) for name in ("numpy", "numba", "optuna", "pandas", "pyarrow"))
    found["machine"] = platform.machine()
    return found
