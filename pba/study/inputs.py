"""What goes into a study: the traces of its file, each with its machine, and the versions of what runs it."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
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
    """

    name: str
    path: Path
    sha256: str
    trace: Trace
    machine: Machine

    def row(self) -> dict[str, Any]:
        """Return the row of `Run.traces`, as JSON takes it."""
        counts, data = self.trace.counts(), self.trace.metadata
        quality = data.quality
        return {
            "trace": self.name,
            "path": str(self.path),
            "sha256": self.sha256,
            "machine": str(self.machine),
            **self.machine.to_dict(),
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
        }


def read_inputs(definition: StudyDefinition) -> list[Input]:
    """Read the traces of a study.

    Raises
    ------
    StudyError
        If the study file names a trace that is not there, or two of the same name, or a machine that
        cannot be.
    TraceError
        If a trace cannot be read.
    """
    from pba.imports.read import read_trace

    found = []
    for path in trace_files(definition):
        trace = read_trace(path)
        name = printable(trace.metadata.name or path.name.split(".")[0])  # tables and records keep it
        machine = machine_for(definition, trace, path)
        found.append(Input(name, path, sha256_of(path.read_bytes()), trace, machine))
    twice = [name for name, count in Counter(item.name for item in found).items() if count > 1]
    if twice:
        raise StudyError(f"{definition.path}: traces: two are called {twice[0]!r}", "leave one of them out")
    return found


def trace_files(definition: StudyDefinition) -> list[Path]:
    """Return the files of a study's traces, each once, in the order in which the study names them."""
    from pba.trace.corpus import find_all

    base = definition.path.parent if definition.path else Path()
    found: dict[Path, None] = {}
    for pattern in definition.traces:
        try:
            found.update((path.resolve(), None) for path in find_all(pattern, base))
        except TraceError as error:
            raise StudyError(f"{definition.path}: traces: {error.message}", error.hint) from error
        except (OSError, ValueError, NotImplementedError) as error:  # too long, or `a**`
            reason = error.strerror if isinstance(error, OSError) else error
            told = f"{definition.path}: traces: {printable(pattern)!r} cannot be looked for: {reason}"
            raise StudyError(told, "name recordings, paths, or patterns with *") from error
    return list(found)


def machine_for(definition: StudyDefinition, trace: Trace, path: Path) -> Machine:
    """Return the machine on which a study replays a trace: the study's word, else the trace's own."""
    data = trace.metadata
    page = definition.page_size_kib or data.page_size_kib
    if page is None:
        raise StudyError(
            f"{path}: the trace does not say its page size",
            f"say [machine] page_size_kib in {definition.path}",
        )
    memory = definition.memory_bytes
    if memory is None:
        if not data.memory_pages or not data.page_size_kib:
            raise StudyError(
                f"{path}: the trace does not say how much memory its machine had",
                f'say [machine] memory = "4 GiB" or so in {definition.path}',
            )
        memory = data.memory_pages * data.page_size_kib * 1024
    try:
        return Machine.from_bytes(page, memory, definition.linear_map)
    except MachineError as error:
        where = f"{definition.path}: [machine]: for {path.name}: {error.message}"
        raise StudyError(where, error.hint) from error


def versions() -> dict[str, str]:
    """Return the versions of all that shapes figures; `model` is a hash of sources (`folder.model_hash`)."""
    found = {"pba": __version__, "model": model_hash(), "python": platform.python_version()}
    found.update((name, version(name)) for name in ("numpy", "numba", "optuna", "pandas", "pyarrow"))
    found["machine"] = platform.machine()
    return found
