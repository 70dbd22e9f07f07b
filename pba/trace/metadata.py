"""What is known about a trace beside its events, and how far it can be trusted."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import zip_longest
from typing import Any

from pba.errors import TraceError

FORMAT_VERSION = 3
"""Newest version of the stored form; a reader refuses a newer one. Since 2 inferred frees have an `arg`;
since 3 `live_at_start` may be unknown: only such traces are written as 3; older readers take the others."""
KNOWING_VERSION = 2
"""Version in which a trace is written whose `live_at_start` is known."""
IMPORTED = ("ftrace", "systrace", "perf", "bpftrace", "csv")
"""Sources of recordings that do not say which page tables were live before."""
DEEPEST = 16
"""Most dictionaries and lists within one another in metadata."""
MAX_LISTS = 32
"""Most orders that a zone of `/proc/buddyinfo` can have."""
AGAIN = "record or import it again"


@dataclass(frozen=True)
class Truth:
    """A recording's live set held against `/proc/kpageflags` (bit 26, `KPF_PGTABLE`) at its end.

    Attributes
    ----------
    true_pages : int
        Page-table pages that the kernel reports.
    recorded_pages : int
        Pages that the recording believes to be live.
    common_pages : int
        Pages in both.
    """

    true_pages: int
    recorded_pages: int
    common_pages: int

    @property
    def recall(self) -> float:
        """Share of the true pages that the recording knows (1.0 where there are none)."""
        return self.common_pages / self.true_pages if self.true_pages else 1.0

    @property
    def precision(self) -> float:
        """Share of the recorded pages that are true (1.0 where there are none)."""
        return self.common_pages / self.recorded_pages if self.recorded_pages else 1.0


@dataclass(frozen=True)
class Counted:
    """A recording's live set held against the kernel's own count, `nr_page_table_pages` of `/proc/vmstat`.

    Read when the recording begins and when its list of page tables has been read at the end, after the
    per-CPU counts were added up (`/proc/sys/vm/stat_refresh`).

    Attributes
    ----------
    start_pages, end_pages : int
        What the kernel counts.
    recorded_start_pages, recorded_end_pages : int
        Pages that the recording believes to be live at these moments.
    """

    start_pages: int
    end_pages: int
    recorded_start_pages: int
    recorded_end_pages: int


@dataclass(frozen=True)
class Background:
    """How the rest of the system's demand was recorded: chunks of pages that are no page tables.

    The rules are those of `pba.tracepoints.background`.

    Attributes
    ----------
    lowest_order, highest_order : int
        The orders that were recorded, both included; of others nothing is known.
    live_at_start : int
        Chunks live before the recording began: taken at its first instant. Of those, only the ones that it
        saw being freed are known.
    inferred_frees : int
        Frees of chunks, in whole or in part, that follow from their pages being allocated again.
    unknown_frees : int
        Frees of chunks that were not live, in whole or in part: their allocation was missed (compaction
        takes free pages without an event).
    in_pieces : int
        Chunks that were freed in pieces; each is held until its last page is freed.
    over_held_pages : float
        Pages that are held longer than they were because of it, on average over time.
    """

    lowest_order: int
    highest_order: int
    live_at_start: int = 0
    inferred_frees: int = 0
    unknown_frees: int = 0
    in_pieces: int = 0
    over_held_pages: float = 0.0


@dataclass(frozen=True)
class Quality:
    """How far a trace can be trusted.

    Attributes
    ----------
    lost_events : int
        Events that the recording lost (buffer overruns), as far as it says.
    unknown_frees : int
        Frees of page-table pages whose allocation is not in the recording and that were dropped. Only a
        recorder that sees what kind of page is freed can count them.
    inferred_frees : int
        Frees that were not seen but follow from a page being allocated again while it was live; the
        free stands immediately before the new allocation. `pba replay --bounds` asks what if it came
        earlier.
    live_at_start : int, optional
        Page-table pages known to be live before the recording began: allocations at its first instant. None
        where the recording does not say which were (what is imported from event text or CSV).
    unparsed_lines : int
        Lines of the source that could not be understood and were left out.
    visits_rule : str
        The rule by which shrinker passes were recovered (empty where there are none to recover).
    truth : Truth, optional
        The live set held against the kernel's own, where that was read.
    notes : tuple of str
        What else a reader of figures should know, one sentence each.
    background : Background, optional
        How the rest of the system's demand was recorded, where it was.
    counted : Counted, optional
        The live set held against the kernel's own count, where that was read.
    """

    lost_events: int = 0
    unknown_frees: int = 0
    inferred_frees: int = 0
    live_at_start: int | None = 0
    unparsed_lines: int = 0
    visits_rule: str = ""
    truth: Truth | None = None
    notes: tuple[str, ...] = ()
    background: Background | None = None
    counted: Counted | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", _stored(self.notes))


@dataclass(frozen=True)
class Metadata:
    """What is known about a trace beside its events.

    Attributes
    ----------
    name : str
        Short name, for tables and figures.
    source : str
        What the events come from: `text`, `ftrace`, `systrace`, `perf`, `bpftrace`, `csv`, `tracefs`,
        `vector`, `generated` or `frame`; `mixed` where a trace was made of several that differ in it.
    kernel : str
        Release of the recorded kernel, such as `6.18.44`; empty where unknown.
    architecture : str
        `x86_64`, `aarch64`, or empty.
    page_size_kib : int, optional
        Base page of the recorded machine in KiB.
    memory_pages : int, optional
        Memory of the recorded machine in base pages.
    buddyinfo : tuple of dict
        `/proc/buddyinfo` at the start: one `{"node": int, "zone": str, "free": [chunks per order]}` a zone.
    duration_ns : int
        Length of the recording in ns.
    time_origin_ns : int
        The source's clock at the trace's time 0, in ns.
    quality : Quality
        How far it can be trusted.
    recipe : dict
        Of a generated trace: `workload` or `like`, `parameters`, `seed`, `version` of pba and the rest that
        makes the same bytes again; empty for any other, and for what was made of a generated one.
    """

    name: str = ""
    source: str = ""
    kernel: str = ""
    architecture: str = ""
    page_size_kib: int | None = None
    memory_pages: int | None = None
    buddyinfo: tuple[dict[str, Any], ...] = ()
    duration_ns: int = 0
    time_origin_ns: int = 0
    quality: Quality = field(default_factory=Quality)
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for text in ("name", "source", "kernel", "architecture"):
            object.__setattr__(self, text, _stored(getattr(self, text)))

    @property
    def start_is_unknown(self) -> bool:
        """Whether this was recorded on a machine at work and knows of no page table from before."""
        return self.quality.live_at_start is None

    @property
    def free_chunks(self) -> tuple[int, ...]:
        """Free chunks by order at the start, summed over zones and nodes; empty where unknown."""
        zones = [zone["free"] for zone in self.buddyinfo]
        return tuple(sum(counts) for counts in zip_longest(*zones, fillvalue=0))

    def with_(self, **changes: Any) -> Metadata:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes, the format version among them."""
        version = FORMAT_VERSION if self.start_is_unknown else KNOWING_VERSION
        return {"format_version": version, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_dict(cls, values: dict[str, Any], path: str = "") -> Metadata:
        """Read what `to_dict` wrote.

        Raises
        ------
        TraceError
            If the version is newer than this reader, or a value is not what it should be.
        """
        if not isinstance(values, dict):
            raise TraceError(f"the trace's metadata is damaged: {values!r:.40}", AGAIN, path=path or None)
        version = values.get("format_version", 0)
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise TraceError(
                f"trace format version {version!r} is not known here",
                f"this pba reads versions 1 to {FORMAT_VERSION}; a newer pba wrote it",
                path=path or None,
            )
        known = {item.name for item in fields(cls)}
        picked = {key: value for key, value in values.items() if key in known}
        try:
            picked = _stored(picked)
            quality = dict(picked.pop("quality", {}))
            if version < FORMAT_VERSION and _start_was_unknown(picked, quality):
                quality["live_at_start"] = None
            truth = quality.pop("truth", None)
            background = quality.pop("background", None)
            counted = quality.pop("counted", None)
            quality["notes"] = tuple(quality.get("notes", ()))
            picked["buddyinfo"] = tuple(picked.get("buddyinfo", ()))
            parts: dict[str, Any] = {
                "truth": Truth(**truth) if truth else None,
                "background": Background(**background) if background else None,
                "counted": Counted(**counted) if counted else None,
            }
            found = cls(quality=Quality(**parts, **quality), **picked)
            _check_buddyinfo(found.buddyinfo)
            for part in (found, found.quality, *filter(None, parts.values())):
                _check_types(part)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            reason = str(error)[:160].encode("unicode_escape").decode()  # it may quote the file's bytes
            raise TraceError(
                f"the trace's metadata is damaged: {reason}", AGAIN, path=path or None
            ) from error
        return found


def _start_was_unknown(values: dict[str, Any], quality: dict[str, Any]) -> bool:
    """Whether what an older pba stored knows of no page table from before, where it said that there are 0."""
    at_work = values.get("source") in IMPORTED and not quality.get("truth")
    return at_work and quality.get("live_at_start", 0) == 0


def _as_utf8(text: str) -> str:
    """Return text that is UTF-8: bytes of a name that are not, and other lone surrogates, are written out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        with suppress(UnicodeEncodeError):
            return os.fsencode(text).decode("utf-8", "backslashreplace")
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _stored(value: Any, depth: int = 0) -> Any:
    """Return a value whose texts can be stored and printed (`_as_utf8`).

    Raises
    ------
    ValueError
        If it is nested too deep.
    """
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    if isinstance(value, str):
        return value if value.isascii() else _as_utf8(value)
    if isinstance(value, dict):
        return {_stored(key): _stored(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_stored(each, depth + 1) for each in value)
    return value


def _check_types(part: Metadata | Quality | Truth | Background | Counted) -> None:
    """Raise `TypeError` for a value that is not of its field's type: figures are made of it unseen."""
    for item in fields(part):
        value = getattr(part, item.name)
        if not _IS_OF_TYPE.get(str(item.type), lambda _: True)(value):
            raise TypeError(f"{item.name} is {value!r:.40}, not {item.type}")


def _check_buddyinfo(zones: tuple[dict[str, Any], ...]) -> None:
    """Raise `TypeError` for free memory unlike that of `/proc/buddyinfo`: a replay may start with it."""
    for zone in zones:
        free = zone.get("free") if isinstance(zone, dict) else None
        counts = isinstance(free, list) and 0 < len(free) <= MAX_LISTS
        if not counts or not all(type(count) is int and 0 <= count < 1 << 40 for count in free or ()):
            raise TypeError(
                f"buddyinfo holds {zone!r:.60}, not the free chunks of 1 to {MAX_LISTS} orders of a zone"
            )


_IS_OF_TYPE: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int and abs(value) < 1 << 63,
    "float": lambda value: type(value) in (int, float) and math.isfinite(value),
    "int | None": lambda value: value is None or (type(value) is int and abs(value) < 1 << 63),
    "tuple[str, ...]": lambda value: all(isinstance(item, str) for item in value),
    "dict[str, Any]": lambda value: isinstance(value, dict),
    "tuple[dict[str, Any], ...]": lambda value: all(isinstance(item, dict) for item in value),
}
"""What the values of a field may be, by its type as it is written above."""
