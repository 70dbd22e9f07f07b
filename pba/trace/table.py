"""A trace: one table of events, checked once when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pba import shown
from pba.errors import TraceError
from pba.events import LEVELS, OP_ALLOC, OP_BG_FREE, OP_FREE, OP_LETTERS
from pba.sparkline import sparkline, sparkline_svg
from pba.trace.check import Slots, cast_columns, columns_from_frame
from pba.trace.columns import DTYPES, NO_PFN, Columns
from pba.trace.metadata import Metadata, Quality
from pba.units import fine_percent, format_time, number, plural

if TYPE_CHECKING:
    import pandas as pd


WRITTEN_EVENTS = 1 << 20
"""Events that are made ready to be written at a time: four row groups of the stored form."""
MOST_LOOKED_AT = 1 << 25
"""Events up to which a trace that shows itself counts them: some 50 ms."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Page-table allocations and frees, and memory pressure, in the order in which they happened.

    Make one with `pba.read_trace`, `Trace.from_arrays` or `Trace.from_frame`; all of them check it.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Time in ns, never going backwards.
    op : ndarray of int8, shape (n,)
        Codes of `pba.events` (`OP_ALLOC` ...).
    id : ndarray of int32, shape (n,)
        Name of the page-table page (`A`, `F`) or of the background chunk (`B`, `b`; a space of its own);
        0 for the other ops. An id may be used again after its free.
    arg : ndarray of int8, shape (n,)
        Priority of `S` (0 to 12), order of `B`; 1 (`pba.events.INFERRED`) for an `F` that was not seen but
        follows from its page's next allocation; 0 for the others.
    level : ndarray of int8, shape (n,) or (0,)
        Code of the page-table level (`pba.events.LEVELS`); shape (0,) where none is known.
    pfn : ndarray of int64, shape (n,) or (0,)
        Page frame number on the recorded machine, `NO_PFN` where unknown; shape (0,) where none is known.
    slot : ndarray of int32, shape (n,)
        The ids made dense: `A` and its `F` share a slot that is unique among what is live at that time
        (so do `B` and `b`, in slots of their own); -1 for a free of an id that is not live.
    nr_slots, nr_background_slots : int
        How many slots there are: the most page-table pages (background chunks) ever live.
    unknown_frees : int
        Frees (`F` and `b`) of an id that is not live. A replay skips them.
    metadata : Metadata
        What else is known.
    """

    time_ns: NDArray[np.int64]
    op: NDArray[np.int8]
    id: NDArray[np.int32]
    arg: NDArray[np.int8]
    level: NDArray[np.int8]
    pfn: NDArray[np.int64]
    slot: NDArray[np.int32] = field(repr=False)
    nr_slots: int
    nr_background_slots: int
    unknown_frees: int
    metadata: Metadata

    @classmethod
    def from_arrays(
        cls, columns: dict[str, Any], metadata: Metadata | None = None, *, path: str | Path | None = None
    ) -> Trace:
        """Make a trace from columns, checking every event.

        Parameters
        ----------
        columns : dict of array_like
            `time_ns`, `op`, `id`, `arg`, and perhaps `level` and `pfn`, as in the attributes.
        metadata : Metadata, optional
            What else is known.
        path : str or Path, optional
            The file that the columns come from, for error messages.

        Raises
        ------
        TraceError
            If time goes backwards, an id is allocated twice without a free between, an op, priority or
            order is unknown, or the columns differ in length. The error carries the event's number.
        """
        arrays = cast_columns(columns, path)
        return cls.from_checked(arrays, Slots(arrays, path), metadata or Metadata(source="frame"))

    @classmethod
    def from_checked(cls, arrays: dict[str, NDArray[Any]], slots: Slots, metadata: Metadata) -> Trace:
        """Make a trace from columns in their types, whose events may have been checked in part already.

        Parameters
        ----------
        arrays : dict of ndarray
            All columns of `DTYPES`, in these types.
        slots : Slots
            Made of the same arrays; the events that it has not come to are checked now.
        metadata : Metadata
            What else is known.

        Raises
        ------
        TraceError
            As `from_arrays`.
        """
        numbers = slots.finish()
        time_ns = arrays["time_ns"]
        if metadata.duration_ns == 0 and len(time_ns):
            metadata = metadata.with_(duration_ns=int(time_ns[-1] - time_ns[0]))
        known: dict[str, Any] = {**arrays, **numbers}
        return cls(slot=slots.slot, metadata=metadata, **known)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, metadata: Metadata | None = None) -> Trace:
        """Make a trace from a DataFrame as `to_frame` returns it (letters for ops, names for levels)."""
        return cls.from_arrays(columns_from_frame(frame), metadata)

    def __len__(self) -> int:
        return len(self.op)

    @property
    def name(self) -> str:
        """Short name, for tables and figures."""
        return self.metadata.name or "trace"

    @property
    def duration_ns(self) -> int:
        """Time from the first to the last event in ns."""
        return int(self.time_ns[-1] - self.time_ns[0]) if len(self) else 0

    @property
    def nbytes(self) -> int:
        """Bytes that the columns take."""
        columns = (*(getattr(self, name) for name in DTYPES), self.slot)
        return sum(column.nbytes for column in columns)

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame: `time_ns, op, id, arg, level` and, where recorded, `pfn`.

        `op` and `level` are categories (`A`, `F`, ...; `PTE`, `PMD`, ...).
        """
        import pandas as pd

        level = self.level if len(self.level) else np.zeros(len(self), np.int8)
        columns: dict[str, Any] = {
            "time_ns": self.time_ns,
            "op": pd.Categorical.from_codes(self.op, pd.Index(OP_LETTERS)),
            "id": self.id,
            "arg": self.arg,
            "level": pd.Categorical.from_codes(level, pd.Index(LEVELS)),
        }
        if len(self.pfn):
            columns["pfn"] = self.pfn
        return pd.DataFrame(columns)

    def write(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the trace; the form follows from the name.

        `.parquet` is the stored form, with everything; `.events` and `.events.gz` the text form, which
        holds neither levels nor page frame numbers; the metadata is a comment in it.

        Raises
        ------
        OutputError
            If `path` exists and `force` is not given, or cannot be written, or has another ending.
        """
        from pba.trace.forms.writing import COMPRESSION_LEVEL, write_parts  # pyarrow, when it is needed

        parts = self._parts(WRITTEN_EVENTS)
        return write_parts(Path(path), self.metadata, parts, force=force, level=COMPRESSION_LEVEL)

    def _parts(self, size: int) -> Iterator[Columns]:
        """Yield the columns in pieces of so many events: one at least, without columns that are not known."""
        known = {name: getattr(self, name) for name in DTYPES if len(getattr(self, name)) == len(self)}
        for start in range(0, max(len(self), 1), size):
            yield {name: values[start : start + size] for name, values in known.items()}

    def first_unknown_free(self) -> int | None:
        """Return the number of the first event that frees what is not live, or None."""
        if not self.unknown_frees:
            return None
        frees = np.isin(self.op, (OP_FREE, OP_BG_FREE))
        return int(np.flatnonzero(frees & (self.slot < 0))[0])

    def counts(self) -> dict[str, int]:
        """Return how many events there are of each op, by its letter."""
        found = np.bincount(self.op, minlength=len(OP_LETTERS))
        return {letter: int(found[code]) for code, letter in enumerate(OP_LETTERS)}

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: how many events of which kind, the live pages over time, the quality."""
        live = self._live_curve(60)
        curve = f"live pages {sparkline(live)} {_span(live)}" if live else ""
        head = f"Trace {shown.named(self.name)!r}: {self._length()}"
        return shown.lines(
            head, (self._kinds(), curve, _quality_words(self.metadata.quality, self.unknown_frees))
        )

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the same as a table in Jupyter."""
        known, live = self.metadata, self._live_curve(240)
        rows = [("length", self._length())]
        rows += [("events", self._kinds())] if self._kinds() else []
        if known.kernel or known.architecture or known.source:
            rows.append(
                ("recorded", " ".join(filter(None, (known.source, known.kernel, known.architecture))))
            )
        rows.append(("quality", _quality_words(known.quality, self.unknown_frees)))
        curves = [("live pages", sparkline_svg(live), _span(live))] if live else []
        return shown.html(f"Trace {shown.named(self.name)}", shown.pairs(rows, curves))

    def _length(self) -> str:
        return f"{plural(len(self), 'event')} in {format_time(self.duration_ns)}"

    def _kinds(self) -> str:
        """Return how many events of each kind there are; nothing where to count them would take long."""
        if len(self) > MOST_LOOKED_AT:
            return ""
        names = {
            "A": ("allocation", ""), "F": ("free", ""), "S": ("shrinker pass", "shrinker passes"),
            "D": ("drop_slab", "drop_slabs"), "B": ("background chunk taken", "background chunks taken"),
            "b": ("given back", "given back"),
        }  # fmt: skip
        return ", ".join(plural(count, *names[op]) for op, count in self.counts().items() if count)

    def _live_curve(self, steps: int) -> list[float]:
        """Return the live page-table pages at the end of equal steps of time; nothing where that takes long."""
        if not len(self) or len(self) > MOST_LOOKED_AT:
            return []
        ends = self.time_ns[0] + np.arange(1, steps + 1) * (self.duration_ns / steps)
        bounds = np.searchsorted(self.time_ns, ends, side="right")
        live, before, found = 0, 0, []
        for end in (*bounds[:-1].tolist(), len(self)):
            op, known = self.op[before:end], self.slot[before:end] >= 0
            live += int(np.count_nonzero((op == OP_ALLOC) & known))
            live -= int(np.count_nonzero((op == OP_FREE) & known))
            found.append(float(live))
            before = end
        return found


def _span(live: list[float]) -> str:
    """Say between what a curve runs."""
    return f"{number(min(live))} to {plural(max(live), 'page')}" if live else ""


def _quality_words(quality: Quality, unknown_frees: int) -> str:
    """Say in a line how far a trace can be trusted."""
    told = [f"{plural(quality.lost_events, 'event')} lost" if quality.lost_events else "no event lost"]
    if unknown_frees or quality.unknown_frees:
        told.append(plural(unknown_frees + quality.unknown_frees, "free") + " of unknown pages")
    if quality.inferred_frees:
        told.append(f"{plural(quality.inferred_frees, 'free')} inferred")
    if quality.truth is None:
        told.append("not held against the kernel's own list")
    else:
        recall, precision = quality.truth.recall, quality.truth.precision
        told.append(f"recall {fine_percent(recall)}, precision {fine_percent(precision)}")
    return ", ".join(told)


def refuse_unknown_frees(trace: Trace, path: str | Path | None = None, line: int | None = None) -> None:
    """Raise `TraceError` if a trace frees what is not live; `line` is the line of its first such event."""
    where = trace.first_unknown_free()
    if where is not None:
        raise TraceError(
            f"id {trace.id[where]} is freed but not live, the first of {trace.unknown_frees} such frees",
            "without strict they are skipped and counted",
            path=path or trace.name,
            line=line,
            event=where,
        )


__all__ = ["DTYPES", "NO_PFN", "Trace", "refuse_unknown_frees"]
