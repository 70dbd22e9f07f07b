"""ftrace text (`trace`, `trace_pipe`, `trace-cmd report`, systrace, atrace) of x86 and arm64 as a trace.

Read in chunks of whole lines: `ftrace_scan` finds the events, this module says what they mean. Only what
happens to pages that are ever a page table is kept, so that memory follows the trace and not the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from pba.errors import TraceError
from pba.events import LEVEL_UNKNOWN
from pba.imports import ftrace_scan as scan
from pba.imports import scan_lines, systrace
from pba.imports.gfp import FlagsOfRecording
from pba.imports.shrink_text import ShrinkText
from pba.imports.suspects import Suspects
from pba.trace.forms.lines import BoundedLines
from pba.trace.forms.opening import HEAD_BYTES, open_stream
from pba.trace.metadata import Metadata, Quality
from pba.trace.table import Trace
from pba.tracepoints.assemble import assemble
from pba.tracepoints.background import Covered, Orders
from pba.tracepoints.classify import GFP_ZERO, NOT_A_TABLE, level_of_stack
from pba.tracepoints.raw import RAW_FREE, RAW_OTHER, RAW_TABLE, RAW_VISIT, RawEvents, pages_of, span
from pba.tracepoints.visits import RULE, RootVisits, find_root_visits
from pba.units import format_bytes

CHUNK_BYTES: Final = 4 << 20
LONGEST_STACK_BYTES: Final = 1 << 20
"""Kernel stacks have some hundred frames at most; more text that looks like frames is not from a trace."""
CLOCK_JUMP_NS: Final = 1_000_000_000
"""CPUs' clocks differ by microseconds; a longer step back is another recording or another clock."""
SUSPECT: Final = -1
"""In place of a level: an allocation with all signs of a page table but a function that makes them."""

EXPECTED: Final = "lines like 'name-12 [000] ..... 1.234567: mm_page_free: page=... pfn=0x1a order=0'"
STACKS_HINT: Final = (
    "record with: echo 'stacktrace if order == 0' > events/kmem/mm_page_alloc/trigger "
    "(or trace-cmd record -T, and trace-cmd report without -R; or pba record)"
)

_LINE: Final = re.compile(
    rb"^.{1,60}-\d+\s+(?:\([-\s\d]+\)\s+)?\[\d+\]\s+(?:\S{4,8}\s+)?\d+\.\d+: +[\w:<]", re.MULTILINE
)
_HEADER: Final = re.compile(rb"^(?:# tracer: |cpus=\d+\s*$)", re.MULTILINE)
_WRITTEN: Final = re.compile(rb"^# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})", re.MULTILINE)
_ARCHITECTURES: Final = {
    "aarch64": ("el0_svc", "__arm64_sys_", "el0t_64_sync", "el1h_64_sync"),
    "x86_64": ("do_syscall_64", "entry_SYSCALL_64", "asm_exc_page_fault", "__x64_sys_"),
}
_NAME_ENDINGS: Final = re.compile(r"\.(?:txt|html)\b")


@dataclass(frozen=True)
class Form:
    """What sets one kind of event text apart: how its lines look and what its reader says.

    Attributes
    ----------
    name : str
        For `Metadata.source` and messages.
    code : int
        `scan_lines.FORM_FTRACE` or one of its fellows.
    is_frame : callable
        Whether the beginning of a line (40 bytes) is one of a stack's frame.
    frames : callable
        The functions of a stack's text, innermost first.
    expected, stacks_hint : str
        What a line looks like, and how to record with stacks.
    note : str
        What a reader of figures should know of every recording of this form; may be empty.
    stacks_always : bool
        Every allocation that can be a page table has a stack, the kernel's own tables too.
    unwrap : callable
        From the open file to a stream of its event text alone.
    """

    name: str
    code: int
    is_frame: Callable[[bytes], bool]
    frames: Callable[[str], list[str]]
    expected: str
    stacks_hint: str
    note: str = ""
    stacks_always: bool = False
    unwrap: Callable[[BinaryIO, Path], systrace.Readable] = lambda stream, _: stream


FTRACE: Final = Form(
    name="ftrace",
    code=scan_lines.FORM_FTRACE,
    is_frame=lambda line: line.lstrip().startswith(b"=>"),
    frames=lambda text: text.split("\n"),
    expected=EXPECTED,
    stacks_hint=STACKS_HINT,
)


SYSTRACE: Final = replace(FTRACE, name="systrace", unwrap=systrace.unwrapped)


class Options(TypedDict, total=False):
    """What can be told about a recording in event text, which says none of it.

    Attributes
    ----------
    page_size_kib : int
        Base page of the recorded machine in KiB.
    memory_pages : int
        Its memory in base pages.
    kernel : str
        Its kernel's release.
    architecture : str
        `x86_64` or `aarch64`; by default what the stacks show.
    name : str
        Short name; by default the file's.
    gfp_zero : int
        `__GFP_ZERO` of that kernel, for recordings that print flags as numbers; by default 0x100.
    only_root : bool
        The machine had no memory cgroup but the root (see `pba.tracepoints.visits`).
    background : Orders
        Take the rest of the system's demand too, chunks of these orders; see `pba.tracepoints.background`.
        The recording must hold all their allocations and frees, and frees of single pages.
    """

    page_size_kib: int | None
    memory_pages: int | None
    kernel: str
    architecture: str
    name: str
    gfp_zero: int
    only_root: bool
    background: Orders | None


def sniff(head: bytes) -> bool:
    """Say whether the beginning of a file looks like ftrace text, or like what systrace wraps around it."""
    if systrace.is_page(head):
        return True
    return b"\0" not in head and bool(_LINE.search(head) or _HEADER.search(head))


def read_ftrace(path: str | Path, **options: Unpack[Options]) -> Trace:
    """Read ftrace text, plain or compressed, as it is or as systrace or atrace wraps it.

    The recording must hold `kmem:mm_page_alloc` with stacks and `kmem:mm_page_free`;
    `vmscan:mm_shrink_slab_start` gives the shrinker passes.

    Parameters
    ----------
    path : str or Path
        The file.
    **options
        What is known about the recording, see `Options`.

    Returns
    -------
    Trace
        Time 0 is the first line's. An order-1 pgd (x86 with page-table isolation) is two allocations.

    Raises
    ------
    TraceError
        If there is no such file, or it is empty, is not ftrace text, or has no allocations or no stacks.
    """
    with open_stream(path) as stream:
        head = stream.read(HEAD_BYTES)
    wrapped = systrace.is_page(head) or systrace.is_atrace(head)
    return read_events(path, SYSTRACE if wrapped else FTRACE, options)


def read_events(path: str | Path, form: Form, options: Options) -> Trace:
    """Read event text of some form, as `read_ftrace` does."""
    path = Path(path)
    told = options.copy()
    gfp_zero, only_root = told.pop("gfp_zero", GFP_ZERO), told.pop("only_root", False)
    background = told.pop("background", None)
    reader = _Reader(path, gfp_zero, form, background)
    for chunk in _whole_events(path, form):
        reader.take(chunk)
    reader.finish()
    visits = find_root_visits(reader.shrinks.lines(), only_root=only_root)
    raw = reader.raw(visits)
    counters = reader.counters
    known = Metadata(**told)  # type: ignore[misc]
    metadata = known.with_(
        name=known.name or _NAME_ENDINGS.split(path.name.split(f".{form.name}")[0])[0],
        source=form.name,
        architecture=known.architecture or reader.architecture,
        quality=reader.quality(visits),
    )
    first, last = int(counters[scan.C_FIRST_TIME]), int(counters[scan.C_LAST_TIME])
    try:
        return assemble(raw, metadata, start_ns=first, end_ns=last, background=background)
    except TraceError as error:  # it knows events, not files
        raise TraceError(error.message, error.hint, path=path) from None


def _whole_events(path: Path, form: Form) -> Iterator[bytes]:
    """Yield chunks of whole lines that cut no stack from the event before it."""
    rest = b""
    with open_stream(path) as opened:
        stream = BoundedLines(form.unwrap(opened, path), path, form.expected)
        while block := stream.read(CHUNK_BYTES):
            rest += block
            cut = _last_event(rest, form)
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
            elif len(rest) > LONGEST_STACK_BYTES:
                message = f"is not {form.name} text: a stack of more than {format_bytes(LONGEST_STACK_BYTES)}"
                raise TraceError(message, form.expected, path=path)
    if rest:
        yield rest


def _last_event(text: bytes, form: Form) -> int:
    """Return where the last complete line begins that is not a frame of a stack (0: nowhere)."""
    end = text.rfind(b"\n")
    while end > 0:
        start = text.rfind(b"\n", 0, end) + 1
        if not form.is_frame(text[start : min(end, start + 40)]):
            return start
        end = start - 1
    return 0


@dataclass
class _Kept:
    """Columns of a chunk's events that may matter."""

    time: NDArray[np.int64]
    line: NDArray[np.int64]
    kind: NDArray[np.int8]
    pfn: NDArray[np.int64]
    level: NDArray[np.int8]
    order: NDArray[np.int8]


@dataclass
class _Reader:
    """What is known so far of a recording."""

    path: Path
    gfp_zero: int
    form: Form
    background: Orders | None = None
    scanner: scan.Scanner = field(init=False)
    flags: FlagsOfRecording = field(init=False)
    texts: list[str] = field(default_factory=list)
    levels: dict[tuple[int, int, int], int] = field(default_factory=dict)
    tables: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    chunks: Covered = field(default_factory=lambda: Covered.by(np.empty(0, np.int64), np.empty(0, np.int64)))
    fresh: _Kept | None = None
    kept: list[_Kept] = field(default_factory=list)
    shrinks: ShrinkText = field(default_factory=ShrinkText)
    architecture: str = ""
    overwritten: int = 0
    allocations: int = 0
    frees: int = 0
    suspects: Suspects = field(default_factory=Suspects)
    not_looked_at: int = 0
    first_unparsed: tuple[int, str] | None = None
    first_line: str = ""

    def __post_init__(self) -> None:
        self.scanner = scan.Scanner(CHUNK_BYTES, self.form.code)
        self.flags = FlagsOfRecording(self.gfp_zero)

    @property
    def counters(self) -> NDArray[np.int64]:
        """The scanner's counters."""
        return self.scanner.counters

    def take(self, chunk: bytes) -> None:
        """Take in a chunk of whole lines."""
        if not self.first_line:
            self.first_line = _shown(chunk.partition(b"\n")[0])
        for match in _WRITTEN.finditer(chunk[:65536] if self.scanner.counters[scan.C_LINES] else chunk):
            self.overwritten += max(0, int(match[2]) - int(match[1]))
        self.scanner.scan(chunk)
        self._new_texts(chunk)
        self._shrink_lines(chunk)
        line, start = self.counters[scan.C_FIRST_UNPARSED_LINE], self.counters[scan.C_FIRST_UNPARSED_START]
        if line >= 0:
            self._not_understood(int(line), chunk[start : start + 200].partition(b"\n")[0])
        self.scanner.finish_chunk()
        self._take_rows(self.scanner.rows[: self.counters[scan.C_ROWS]])

    def finish(self) -> None:
        """Take in what waited for a stack, and check that the recording can be used."""
        self.scanner.scan(b"")
        self._take_rows(self.scanner.rows[: self.counters[scan.C_ROWS]])
        self._keep()
        if self.counters[scan.C_LINES] == 0:
            raise TraceError("is empty", "record again", path=self.path)
        if self.counters[scan.C_EVENTS] == 0:
            line, text = self.first_unparsed or (1, self.first_line)
            message = f"is not {self.form.name} text: {text!r}"
            raise TraceError(message, self.form.expected, path=self.path, line=line)
        if self.allocations == 0 and self.flags.unreadable and self.first_unparsed:
            line, text = self.first_unparsed
            hint = "expected names, or a number: gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO"
            raise TraceError(f"no gfp flags can be read: {text!r}", hint, path=self.path, line=line)
        if self.allocations == 0:
            hint = "record kmem:mm_page_alloc with stacks and kmem:mm_page_free (or use pba record)"
            raise TraceError("holds no mm_page_alloc event", hint, path=self.path)
        if self.counters[scan.C_STACKS] == 0:
            message = "holds no stack traces, which tell page tables"
            raise TraceError(message, self.form.stacks_hint, path=self.path)

    def _not_understood(self, line: int, text: bytes) -> None:
        """Remember the first line that was not understood."""
        if self.first_unparsed is None or line < self.first_unparsed[0]:
            self.first_unparsed = (line, _shown(text))

    def _new_texts(self, chunk: bytes) -> None:
        """Remember the texts that the scanner has numbered."""
        for number, start, end, what in self.scanner.texts[: self.counters[scan.C_NEW_TEXTS]].tolist():
            text = chunk[start:end].decode("utf-8", "replace")
            self.texts.append(text)
            if what == scan.TEXT_FLAGS:
                self.flags.add(number, text)
            elif not self.architecture:
                found = [name for name, marks in _ARCHITECTURES.items() if any(m in text for m in marks)]
                self.architecture = found[0] if found else ""

    def _shrink_lines(self, chunk: bytes) -> None:
        """Read the chunk's `mm_shrink_slab_start` lines; there are few."""
        for when, pid, start, end in self.scanner.shrinks[: self.counters[scan.C_SHRINKS]].tolist():
            if not self.shrinks.take(chunk[start:end].decode("utf-8", "replace"), when, pid):
                number = int(self.counters[scan.C_LINES]) - chunk.count(b"\n", end, len(chunk) - 1)
                self._not_understood(number, chunk[start:end])

    def _level(self, stack: int, gfp: int, order: int) -> int:
        """Return the level of an allocation, from the numbers of its texts; `SUSPECT` where it is odd."""
        key = (stack, gfp, order)
        if key not in self.levels:
            frames = self.form.frames(self.texts[stack])
            flags = self.flags[gfp]
            level = level_of_stack(frames, flags.account, flags.zero, flags.movable, order)
            suspect = level == NOT_A_TABLE and flags.of_table and order == 0
            self.levels[key] = SUSPECT if suspect else level
        return self.levels[key]

    def _take_rows(self, rows: NDArray[np.int64]) -> None:
        """Say which rows are page tables or background; keep those of the chunk before that matter."""
        rows = self._readable(rows[rows[:, scan.ROW_KIND] != scan.KIND_GONE])
        allocated = rows[:, scan.ROW_KIND] == scan.KIND_ALLOC
        self.allocations += int(allocated.sum())
        self.frees += len(rows) - int(allocated.sum())
        level = self._levels_of(rows, allocated)
        pfn, order = rows[:, scan.ROW_PFN], np.minimum(rows[:, scan.ROW_ORDER], 62).astype(np.int8)
        table = level != LEVEL_UNKNOWN
        self.tables = np.union1d(self.tables, pages_of(pfn[table], order[table])[0])
        if self.background:
            chunks = self.background.hold(order) & ~table
            self.chunks = self.chunks.and_those(pfn[chunks], (pfn + span(order))[chunks])
        kind = np.where(table, RAW_TABLE, np.where(allocated, RAW_OTHER, RAW_FREE)).astype(np.int8)
        self._keep()
        # Copies: the scanner fills its rows anew, and a row is wider than what is needed of it.
        self.fresh = _Kept(
            rows[:, scan.ROW_TIME].copy(), rows[:, scan.ROW_LINE].copy(), kind, pfn.copy(), level, order
        )

    def _readable(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Leave out allocations with damaged flags, as any damaged line; count what is odd."""
        gfp, lines = rows[:, scan.ROW_GFP], rows[:, scan.ROW_LINE]
        if self.counters[scan.C_TEXTS] >= scan.MOST_TEXTS:
            unseen = (rows[:, scan.ROW_STACK] == scan.NO_ROOM) | (gfp == scan.NO_ROOM)
            self.not_looked_at += int(unseen.sum())
        damaged = self.flags.damaged(gfp, lines)
        if damaged is None or not damaged.any():
            return rows
        first = rows[damaged][np.argmin(lines[damaged])]
        self._not_understood(int(first[scan.ROW_LINE]), self.texts[int(first[scan.ROW_GFP])].encode())
        return rows[~damaged]

    def _levels_of(self, rows: NDArray[np.int64], allocated: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Return the level of each row, looking at each combination of stack, flags and order once."""
        level = np.zeros(len(rows), np.int8)
        flagged = allocated & (rows[:, scan.ROW_GFP] >= 0)
        stacked = np.flatnonzero(flagged & (rows[:, scan.ROW_STACK] >= 0))
        columns = [scan.ROW_STACK, scan.ROW_GFP, scan.ROW_ORDER]
        shapes, shape = np.unique(rows[stacked][:, columns], axis=0, return_inverse=True)
        found = np.array([self._level(*row) for row in shapes.tolist()], np.int8)
        if len(stacked):
            level[stacked] = np.maximum(found, NOT_A_TABLE)[shape.ravel()]
        for odd in np.flatnonzero(found == SUSPECT).tolist():
            frames = self.form.frames(self.texts[int(shapes[odd, 0])])
            self.suspects.add(frames, rows[stacked[shape.ravel() == odd], scan.ROW_LINE])
        bare = (rows[:, scan.ROW_STACK] == -1) & (rows[:, scan.ROW_ORDER] <= 1)
        bare &= np.isin(rows[:, scan.ROW_GFP], self.flags.of_tables(accounted=not self.form.stacks_always))
        self.suspects.add_without_stack(rows[bare, scan.ROW_LINE])
        return level

    def _keep(self) -> None:
        """Keep what happens to pages that are a page table at some time, or background, of the last chunk.

        Until now, since CPUs' events may stand out of order: a page's free before its allocation.
        """
        if self.fresh is None:
            return
        fresh, self.fresh = self.fresh, None
        after = fresh.pfn + span(fresh.order)
        matters = np.searchsorted(self.tables, after) > np.searchsorted(self.tables, fresh.pfn)
        if self.background:
            matters |= self.chunks.place(after) > self.chunks.place(fresh.pfn)
        self.kept.append(
            _Kept(
                *(getattr(fresh, name)[matters] for name in ("time", "line", "kind", "pfn", "level", "order"))
            )
        )

    def raw(self, visits: RootVisits) -> RawEvents:
        """Return the events kept and the visits, by time; at equal times visits first, then by line."""
        nothing = np.zeros(len(visits), np.int64)
        columns = {
            "time": [visits.time_ns, *(part.time for part in self.kept)],
            "line": [nothing, *(part.line for part in self.kept)],
            "kind": [nothing.astype(np.int8) + np.int8(RAW_VISIT), *(part.kind for part in self.kept)],
            "pfn": [nothing, *(part.pfn for part in self.kept)],
            "level": [visits.priority, *(part.level for part in self.kept)],
            "order": [nothing.astype(np.int8), *(part.order for part in self.kept)],
        }
        joined: dict[str, NDArray[Any]] = {name: np.concatenate(parts) for name, parts in columns.items()}
        rank = np.lexsort((joined["line"], joined["time"]))
        return RawEvents(*(joined[name][rank] for name in ("time", "kind", "pfn", "level", "order")))

    def quality(self, visits: RootVisits) -> Quality:
        """Return how far the recording can be trusted."""
        counters = self.counters
        step_back = int(counters[scan.C_STEP_BACK])
        unparsed = int(counters[scan.C_UNPARSED]) + self.shrinks.unparsed + self.flags.unreadable
        notes = ["pages live when the recording began are unknown"]
        if self.form.note:
            notes.append(self.form.note)
        if unparsed and self.first_unparsed:
            line, _ = self.first_unparsed  # its text may hold names of tasks and addresses: it is not stored
            notes.append(f"{unparsed} lines could not be understood, the first is line {line}")
        notes += [*filter(None, [self.flags.note()]), *self.suspects.notes()]
        if self.not_looked_at:
            notes.append(
                f"{self.not_looked_at} allocations were not looked at: there are more than "
                f"{scan.MOST_TEXTS} different stacks; page tables may be missing"
            )
        if step_back > CLOCK_JUMP_NS:
            notes.append(f"time steps back by {step_back / 1e9:.3f} s: a clock jumped, or two recordings")
        elif step_back:
            notes.append(f"time stepped back by up to {step_back / 1e3:.0f} us between CPUs; sorted by time")
        if counters[scan.C_STRAY_STACKS]:
            notes.append(f"{counters[scan.C_STRAY_STACKS]} stacks without their allocation were left out")
        if not len(self.tables):
            notes.append("no allocation of a page table was found")
        if not self.frees:
            notes.append("the recording holds no mm_page_free event: no page table is ever freed")
        if self.form.code == scan_lines.FORM_BPFTRACE:
            notes += self._bpftrace_notes()
        quality = Quality(
            lost_events=self._lost_events(),
            unparsed_lines=unparsed,
            visits_rule=RULE if len(visits) else "",
        )
        return replace(quality, notes=(*notes, *visits.notes))

    def _lost_events(self) -> int:
        """Return how many events are missing, as far as the recording says."""
        sent = int(self.counters[scan.C_SENT])
        missing = max(0, sent - int(self.counters[scan.C_EVENTS])) if sent >= 0 else 0
        return max(int(self.counters[scan.C_LOST]), missing) + self.overwritten

    def _bpftrace_notes(self) -> list[str]:
        """Return what only our bpftrace program can say."""
        notes = []
        if self.counters[scan.C_SENT] < 0:
            notes.append(
                "the end is missing (bpftrace was killed, or still ran): lost events are not all known"
            )
        if self.counters[scan.C_NOT_FOLLOWED]:
            notes.append(
                f"the frees of {self.counters[scan.C_NOT_FOLLOWED]} pages are unknown: bpftrace's map was "
                "full; let it hold more (BPFTRACE_MAX_MAP_KEYS, once BPFTRACE_MAP_KEYS_MAX)"
            )
        return notes


def _shown(line: bytes) -> str:
    """Return a line as a message shows it."""
    text = line.decode("utf-8", "replace").strip()
    return text if len(text) <= 120 else text[:117] + "..."
