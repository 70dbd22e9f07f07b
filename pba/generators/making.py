"""From a name, a seed and parameters to a trace, in memory or in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pba._version import __version__
from pba.errors import PbaError, option
from pba.generators.draws import Draw
from pba.generators.parameters import Values
from pba.generators.play import Columns, Source, map_columns, play, source_of
from pba.generators.shapes import Workload
from pba.generators.workloads import find
from pba.machine import Machine
from pba.progress import SILENT, Progress
from pba.trace.forms.writing import write_parts
from pba.trace.metadata import Metadata, Quality
from pba.trace.table import Trace

MAX_EVENTS: Final = 1 << 28
"""Most events of a trace in memory: 6 GiB of columns."""
MAX_TIME_NS: Final = 1 << 60
"""Latest time of a generated trace: 36 years."""
DEFAULT_DURATION_NS: Final = 60 * 10**9
"""Length of a generated trace by default: a minute."""


@dataclass(frozen=True)
class Recipe:
    """What a trace will be; `trace()` and `write()` make it, and make the same each time.

    Attributes
    ----------
    metadata : Metadata
        What will be known about it; its `recipe` says how to make it again. Its `duration_ns` is 0 where the
        number of events ends the trace: then only playing it tells (`span_ns`).
    source : Source
        What is to be played.
    seed : int
        Of all draws.
    duration_ns : int
        No event comes later.
    events : int, optional
        The most events.
    """

    metadata: Metadata
    source: Source
    seed: int
    duration_ns: int
    events: int | None

    def chunks(self) -> Iterator[Columns]:
        """Yield the events in chunks, views that the next one overwrites."""
        return play(self.source, self.seed, self.duration_ns, self.events)

    def span_ns(self) -> int:
        """Return how long the trace will be.

        Where the number of events ends it, it is played once for that and kept nowhere: what is known about a
        trace stands before its events in the text form, so it is needed before the first is written.
        """
        if self.events is None:
            return self.duration_ns
        number = last_ns = 0
        for chunk in self.chunks():
            number += len(chunk.op)
            last_ns = int(chunk.time_ns[-1])
        return self._length_ns(number, last_ns)

    def _length_ns(self, number: int, last_ns: int) -> int:
        """Return the length of a trace of so many events: to its last one, unless time ended it before."""
        ended_by_time = self.events is None or number < self.events
        return self.duration_ns if ended_by_time and self.duration_ns < MAX_TIME_NS else last_ns

    def trace(self, progress: Progress = SILENT) -> Trace:
        """Make the trace in memory, and tell how far it is.

        Raises
        ------
        PbaError
            If it has more than `MAX_EVENTS` events.
        """
        parts: list[Columns] = []
        number = 0
        progress.stage("generating", self.events or self.duration_ns, "events" if self.events else "")
        for chunk in self.chunks():
            number += len(chunk.op)
            progress.advance(number if self.events else int(chunk.time_ns[-1]))
            if number > MAX_EVENTS:
                raise PbaError(
                    f"a trace of more than {MAX_EVENTS:,} events does not fit in memory",
                    "ask for fewer events, or write it to a file: pba generate -o, Recipe.write",
                )
            parts.append(map_columns(chunk, np.copy))
        names = Columns._fields
        empty = [np.empty(0, np.int64)]
        columns = {name: np.concatenate([getattr(part, name) for part in parts] or empty) for name in names}
        length_ns = self._length_ns(number, int(columns["time_ns"][-1]) if number else 0)
        return Trace.from_arrays(columns, self.metadata.with_(duration_ns=length_ns))

    def write(
        self, path: str | Path, *, force: bool = False, show: Callable[[Columns], None] | None = None
    ) -> Path:
        """Write the trace to a file, in bounded memory; the form follows from the name, as in `Trace.write`.

        `show` is called with each chunk before it is written.

        Raises
        ------
        OutputError
            If `path` exists and `force` is not given, or cannot be written, or has another ending.
        """

        def parts() -> Iterator[dict[str, Any]]:
            nothing = True
            for chunk in self.chunks():
                nothing = False
                if show is not None:
                    show(chunk)
                yield chunk._asdict()
            if nothing:
                raise PbaError(
                    "nothing happens in so short a time",
                    f"ask for a longer {option('duration_ns', flag='--duration')}",
                )

        path = Path(path)
        name = path.name.removesuffix(".gz").rpartition(".")[0]
        metadata = self.metadata.with_(name=name, duration_ns=self.span_ns())
        return write_parts(path, metadata, parts(), force=force)


def recipe(
    workload: str,
    *,
    seed: int = 0,
    duration_ns: int | None = None,
    events: int | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return the recipe of a workload; see `pba.generate`."""
    kind, values, machine, end_ns = checked(workload, seed, duration_ns, events, parameters)
    kib = machine.page_size_kib
    draw = Draw(seed)
    source = source_of(kind.build(values, draw), draw)
    known = {"workload": workload, "parameters": values.to_dict()}
    metadata = Metadata(
        name=workload,
        source="generated",
        page_size_kib=kib,
        memory_pages=machine.memory_pages,
        duration_ns=end_ns if events is None else 0,
        quality=Quality(live_at_start=source.live_at_start, notes=(f"generated: {kind.summary}",)),
        recipe={**known, **limits(seed, duration_ns, events)},
    )
    return Recipe(metadata, source, seed, end_ns, events)


def checked(
    workload: str,
    seed: int,
    duration_ns: int | None,
    events: int | None,
    parameters: Mapping[str, Any] | None,
) -> tuple[Workload, Values, Machine, int]:
    """Check what a trace is made of; return the workload, its values, the machine, and the time of the end in ns.

    Raises
    ------
    PbaError
        If there is no such workload or parameter, or a value is out of range.
    """
    kind = find(workload)
    values = Values(kind.parameters, parameters or {}, workload)
    end_ns = checked_limits(seed, duration_ns, events)
    machine = Machine.from_bytes(values.whole("page_size"), values.whole("memory") << 20)
    return kind, values, machine, end_ns


def checked_limits(seed: int, duration_ns: int | None, events: int | None) -> int:
    """Check what bounds a trace and return the time of its end in ns.

    Raises
    ------
    PbaError
        If the seed is not a whole number from 0 to 2**63 - 1, the duration is not more than 0, or the
        number of events is less than 1.
    """
    if type(seed) is not int or not 0 <= seed < 1 << 63:
        raise PbaError(f"seed {seed!r:.40} is out of range", "it is a whole number from 0 to 2**63 - 1")
    if events is not None and events < 1:
        raise PbaError(f"a trace of {events} events cannot be generated", "ask for 1 or more")
    if duration_ns is not None and not 0 < duration_ns <= MAX_TIME_NS:
        raise PbaError(
            f"a trace of {duration_ns / 1e9:g} s cannot be generated",
            "it lasts more than 0 s, up to 36 years",
        )
    if duration_ns is None:
        return DEFAULT_DURATION_NS if events is None else MAX_TIME_NS
    return duration_ns


def limits(seed: int, duration_ns: int | None, events: int | None) -> dict[str, Any]:
    """Return what bounds a trace, and who made it, for its metadata."""
    return {"seed": seed, "duration_ns": duration_ns, "events": events, "version": __version__}
