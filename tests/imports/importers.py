"""The same events in every form that can be imported, for tests that all importers share."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import pba
from pba.events import LEVELS, OP_LETTERS
from pba.trace.metadata import Metadata

ALIEN_EVENT = "1500 A 7"
ALIEN_ROW = "  task-7  [000] ....1 1.500000: mm_page_free: page=0 pfn=0x7 order=0"
FUNCTIONS = {"PTE": "__pte_alloc", "PMD": "__pmd_alloc", "PUD": "__pud_alloc", "PGD": "pgd_alloc"}
GFP = "0x400dc0"
START_S = 5
"""The clock of the recordings at the first event."""


@dataclass(frozen=True)
class Event:
    """What happened: `A` and `F` of a page, `S` at a priority, `failed` (an allocation that got none)."""

    time_us: int
    op: str
    pfn: int = 0
    level: str = ""
    priority: int = 0


EVENTS = (
    Event(0, "A", 0x1200, "PGD"),
    Event(10, "A", 0x1201, "PUD"),
    Event(20, "failed", 0, "PTE"),
    Event(31, "A", 0x1202, "PMD"),
    Event(40, "A", 0x1203, "PTE"),
    Event(1_000, "F", 0x1203, "PTE"),
    Event(2_000_000, "A", 0x1203, "PTE"),
    Event(2_000_500, "S", priority=12),
    Event(4_000_000, "F", 0x1202, "PMD"),
    Event(4_000_001, "F", 0x1200, "PGD"),
)


def _clock(event: Event) -> str:
    return f"{START_S + event.time_us // 1_000_000}.{event.time_us % 1_000_000:06d}"


def _shrink(event: Event) -> str:
    return (
        "mm_shrink_slab_start: super_cache_scan+0x0/0x1a0 00000000a1: nid: 0 objects to shrink 0 "
        f"gfp_flags 0xcc0 cache items 9 delta 4 total_scan 4 priority {event.priority}"
    )


def _page(event: Event) -> str:
    if event.op == "F":
        return f"mm_page_free: page=0 pfn={event.pfn:#x} order=0"
    return f"mm_page_alloc: page=0 pfn={event.pfn:#x} order=0 migratetype=0 gfp_flags={GFP}"


def _text_of(event: Event) -> str:
    return _shrink(event) if event.op == "S" else _page(event)


def as_ftrace(events: tuple[Event, ...] = EVENTS) -> bytes:
    """As `trace_pipe` prints them."""
    lines = []
    for event in events:
        prefix = f"{'kswapd0' if event.op == 'S' else 'task':>16}-7       [000] ....1 {_clock(event)}: "
        lines.append(prefix + _text_of(event))
        if event.op in ("A", "failed"):
            lines += [prefix + "<stack trace>", " => __alloc_pages", f" => {FUNCTIONS[event.level]}"]
    return "".join(f"{line}\n" for line in lines).encode()


def as_systrace(events: tuple[Event, ...] = EVENTS) -> bytes:
    """In a page of systrace's."""
    before = (
        b'<!DOCTYPE html>\n<html>\n<script class="trace-data" type="application/text">\n# tracer: nop\n#\n'
    )
    return before + as_ftrace(events) + b"</script>\n</html>\n"


def as_perf(events: tuple[Event, ...] = EVENTS) -> bytes:
    """As `perf script` prints them."""
    lines = []
    for event in events:
        system = "vmscan" if event.op == "S" else "kmem"
        name = "kswapd0" if event.op == "S" else "task"
        lines.append(f"{name:>16}     7 [000] {_clock(event)}: {system:>12}:{_text_of(event)}")
        if event.op in ("A", "failed"):
            for function in ("__alloc_pages", FUNCTIONS[event.level]):
                lines.append(f"\tffffffff8162184b {function}+0x26b ([kernel.kallsyms])")
        lines.append("")
    return "".join(f"{line}\n" for line in lines).encode()


def as_bpftrace(events: tuple[Event, ...] = EVENTS) -> bytes:
    """As our bpftrace program prints them."""
    lines = ["Attaching 6 probes...", "# pba bpftrace 1"]
    for event in events:
        system = "vmscan" if event.op == "S" else "kmem"
        name = "kswapd" if event.op == "S" else "task"
        lines.append(f"{name} 7 [000] {_clock(event)}000: {system}:{_text_of(event)}")
        if event.op in ("A", "failed"):
            lines += ["        __alloc_pages+26", f"        {FUNCTIONS[event.level]}+38", ""]
    lines += ["", "", f"@sent: {len(events)}"]
    return "".join(f"{line}\n" for line in lines).encode()


def _rows(events: tuple[Event, ...]) -> list[tuple[int, str, int, int, str, int]]:
    """The trace that the events are: time in ns, op, id, arg, level, pfn."""
    return [
        (event.time_us * 1_000, event.op, event.pfn, event.priority, event.level, event.pfn)
        for event in events
        if event.op != "failed"
    ]


def as_csv(events: tuple[Event, ...] = EVENTS) -> bytes:
    """With the columns of a trace."""
    lines = ["time_ns,op,id,arg,level,pfn"]
    for time_ns, op, name, arg, level, pfn in _rows(events):
        lines.append(f"{START_S * 10**9 + time_ns},{op},{name},{arg},{level},{pfn if op != 'S' else ''}")
    return "".join(f"{line}\n" for line in lines).encode()


def as_text(events: tuple[Event, ...] = EVENTS) -> bytes:
    """In the text form."""
    rows = [f"{row[0]} {row[1]} {row[3] if row[1] == 'S' else row[2]}\n" for row in _rows(events)]
    return "".join(rows).encode()


def as_parquet(events: tuple[Event, ...] = EVENTS) -> bytes:
    """In the stored form (a time that goes backwards is put there by hand)."""
    time_ns, op, name, arg, level, pfn = zip(*_rows(events), strict=True)
    columns = {
        "time_ns": np.sort(time_ns),
        "op": [OP_LETTERS.index(letter) for letter in op],
        "id": [0 if letter == "S" else number for letter, number in zip(op, name, strict=True)],
        "arg": arg,
        "level": [LEVELS.index(text) for text in level],
        "pfn": [-1 if letter == "S" else number for letter, number in zip(op, pfn, strict=True)],
    }
    trace = pba.Trace.from_arrays(columns, Metadata(name="x"))
    with tempfile.TemporaryDirectory() as folder:
        stored = trace.write(Path(folder) / "x.parquet").read_bytes()
    if list(time_ns) == sorted(time_ns):
        return stored
    table = pq.read_table(io.BytesIO(stored))
    table = table.set_column(0, "time_ns", [np.array(time_ns, np.int64)])
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


@dataclass(frozen=True)
class Importer:
    """A form: how to write it, and what sets it apart.

    Attributes
    ----------
    name : str
        As `Metadata.source` names it (Parquet keeps the source that it was made with).
    write : callable
        Write the events.
    alien : str
        A line of another form; empty where there are no lines.
    counts_lines : bool
        A line that is not understood is counted; otherwise it is refused.
    task : bytes
        The name of a task in the text; empty where there is none.
    lost : bytes
        A line that says that 12 events are lost; empty where there is none.
    """

    name: str
    write: Callable[..., bytes]
    alien: str = ALIEN_EVENT
    counts_lines: bool = True
    task: bytes = b""
    lost: bytes = b""

    @property
    def lines(self) -> bool:
        """Whether the form is text."""
        return bool(self.alien)


IMPORTERS = {
    found.name: found
    for found in (
        Importer("ftrace", as_ftrace, task=b"task-7", lost=b"CPU:0 [LOST 12 EVENTS]"),
        Importer("systrace", as_systrace, task=b"task-7", lost=b"CPU:0 [LOST 12 EVENTS]"),
        Importer("perf", as_perf, task=b"task ", lost=b"x 0 [000] 5.1: PERF_RECORD_LOST lost 12"),
        Importer("bpftrace", as_bpftrace, lost=b"Lost 12 events"),
        Importer("csv", as_csv, alien=ALIEN_ROW, counts_lines=False),
        Importer("text", as_text, alien=ALIEN_ROW, counts_lines=False),
        Importer("parquet", as_parquet, alien=""),
    )
}

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
