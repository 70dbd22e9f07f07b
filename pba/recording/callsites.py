"""Shrinker passes of the root memory cgroup, told by where `shrink_slab()` called from.

A recorder that takes a stack behind each `mm_shrink_slab_start` knows more than the line says:
`shrink_slab()` of mm/shrinker.c calls `do_shrink_slab()` in two places, one for the root cgroup, where all
shrinkers run, and one (`shrink_slab_memcg()`, often inlined) for the other cgroups. The return address tells
them apart. Without that, `pba.tracepoints.visits` infers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba.recording.kallsyms import Symbols
from pba.recording.ringbuffer import PID, STACK, TIME, VALUES
from pba.tracepoints.visits import (
    LIMIT_NOTE,
    MEMCG_AWARE,
    MEMCG_UNKNOWN,
    PASS_GAP_NS,
    RULE,
    RootVisits,
    ShrinkLines,
    find_root_visits,
)

FIELDS: Final = (
    "shrink", "shr", "nid", "priority", "nr_objects_to_shrink", "memcg_id", "cache_items", "delta",
    "total_scan",
)  # fmt: skip
"""Fields of `mm_shrink_slab_start` that are decoded, in this order."""
END_FIELDS: Final = ("retval",)
"""Fields of `mm_shrink_slab_end`: how many objects were freed."""
FREED: Final = VALUES
FUNCTION, SHRINKER, NID, PRIORITY, DEFERRED, MEMCG, ITEMS, DELTA, TOTAL = range(VALUES, VALUES + len(FIELDS))
RULE_BY_CALL_SITE: Final = (
    "root visits: lines whose stack shows the root cgroup's call in shrink_slab(), cut at a change of "
    "priority or node, a repeated shrinker, a line of another cgroup, or a gap of 1 s; and one more after a "
    "round of drop_slab() that freed too much to be the last"
)


def recorded_visits(
    rows: NDArray[np.int64], ends: NDArray[np.int64], stacks: NDArray[np.int64], symbols: Symbols
) -> tuple[RootVisits, str]:
    """Return the root cgroup's visits, and the rule by which they were found.

    Parameters
    ----------
    rows : ndarray of int64, shape (n, columns)
        Decoded `mm_shrink_slab_start` events (`FIELDS`), in order of time.
    ends : ndarray of int64, shape (k, columns)
        Decoded `mm_shrink_slab_end` events (`END_FIELDS`), in order of time.
    stacks : ndarray of int64, shape (m, depth)
        The return addresses of each stack.
    symbols : Symbols
        The kernel's functions.
    """
    functions = {int(value): symbols.name(value) for value in np.unique(rows[:, FUNCTION])}
    names = [functions[value] for value in rows[:, FUNCTION].tolist()]
    is_root = root_lines(rows, names, stacks, symbols)
    if is_root is not None:
        visits = cut_visits(rows, is_root)
        if len(np.unique(rows[:, NID])) == 1:
            droppers = set(rows[_in_function(rows, stacks, symbols, "drop_slab"), PID].tolist())
            visits = add_unseen_drops(visits, ends, droppers)
        return visits.as_root_visits(), RULE_BY_CALL_SITE
    return find_root_visits(_lines(rows, names, stacks, symbols)), RULE


def root_lines(
    rows: NDArray[np.int64], names: list[str], stacks: NDArray[np.int64], symbols: Symbols
) -> NDArray[np.bool_] | None:
    """Say of each line whether the root cgroup's call made it; None where the stacks do not tell."""
    if (rows[:, MEMCG] != MEMCG_UNKNOWN).any():
        return None  # the kernel prints the cgroup itself
    sites = np.array([*(_call_site(frames, symbols) for frames in stacks), 0], np.int64)
    found = sites[rows[:, STACK]]  # no stack is -1: the 0 at the end
    unaware = np.array([name not in MEMCG_AWARE for name in names], np.bool_)
    roots = np.unique(found[unaware])
    if not len(roots) or 0 in roots:
        return None
    return np.isin(found, roots)


def _call_site(frames: NDArray[np.int64], symbols: Symbols) -> int:
    """Return the return address in `shrink_slab()` (or `shrink_slab_memcg()`), 0 if there is none."""
    for address in frames.tolist():
        if address and symbols.caller(address).startswith("shrink_slab"):
            return int(address)
    return 0


@dataclass(frozen=True)
class Visits:
    """Visits as (time in ns, priority, pid), and how many of them no line shows."""

    visits: list[tuple[int, int, int]]
    unseen: int = 0

    def as_root_visits(self) -> RootVisits:
        """Return them in order of time, with what a reader should know."""
        notes = [LIMIT_NOTE] if self.visits else []
        if self.unseen:
            notes.append(
                f"{self.unseen} rounds of drop_slab() have no line: they follow from what was freed before"
            )
        visits = sorted(self.visits)
        return RootVisits(
            np.array([time for time, _, _ in visits], np.int64),
            np.array([priority for _, priority, _ in visits], np.int8),
            self.unseen,
            tuple(notes),
        )


def cut_visits(rows: NDArray[np.int64], is_root: NDArray[np.bool_]) -> Visits:
    """Cut each task's lines of the root cgroup into visits."""
    visits: list[tuple[int, int, int]] = []
    open_visits: dict[int, tuple[int, int, int, set[int]]] = {}
    columns = (rows[:, TIME], rows[:, PID], rows[:, NID], rows[:, PRIORITY], rows[:, SHRINKER], is_root)
    values = zip(*(column.tolist() for column in columns), strict=True)
    for time, pid, nid, priority, shrinker, root in values:
        if not root:
            open_visits.pop(pid, None)
            continue
        last, last_nid, last_priority, seen = open_visits.get(pid, (0, -1, -1, set()))
        same = (last_nid, last_priority) == (nid, priority) and time - last < PASS_GAP_NS
        if not same or shrinker in seen:
            visits.append((time, priority, pid))
            seen = set()
        open_visits[pid] = (time, nid, priority, seen | {shrinker})
    return Visits(visits)


def add_unseen_drops(found: Visits, ends: NDArray[np.int64], droppers: set[int]) -> Visits:
    """Add the round that must have followed where the last one seen of `drop_slab()` freed much.

    `drop_slab()` (mm/shrinker.c) goes on while `freed >> round` is above 1, `freed` summed over all
    cgroups. A round in which the root's shrinkers have no objects leaves no line of the root, so this is a
    lower bound: such rounds in a row count as one. For machines of one node, where a visit is a round.
    """
    visits = list(found.visits)
    for pid in droppers:
        mine = ends[ends[:, PID] == pid]
        starts = sorted(time for time, priority, owner in found.visits if owner == pid and priority == 0)
        number = 0
        for start, following in zip(starts, [*starts[1:], np.iinfo(np.int64).max], strict=True):
            inside = mine[(mine[:, TIME] >= start) & (mine[:, TIME] < following)]
            inside = inside[inside[:, TIME] < start + PASS_GAP_NS]
            last = int(inside[-1, TIME]) if len(inside) else start
            goes_on = int(inside[:, FREED].sum()) >> number > 1
            if goes_on and following - last >= PASS_GAP_NS:
                visits.append((last, 0, pid))
                goes_on = False
            number = number + 1 if goes_on else 0
    return Visits(visits, len(visits) - len(found.visits))


def _in_function(
    rows: NDArray[np.int64], stacks: NDArray[np.int64], symbols: Symbols, function: str
) -> NDArray[np.bool_]:
    """Say of each line whether its stack holds a function."""
    known = {value: symbols.caller(value) == function for value in np.unique(stacks).tolist()}
    holds = [any(known[value] for value in stack) for stack in stacks.tolist()]
    return np.array([*holds, False], np.bool_)[rows[:, STACK]]  # no stack is -1: the False at the end


def _lines(
    rows: NDArray[np.int64], names: list[str], stacks: NDArray[np.int64], symbols: Symbols
) -> ShrinkLines:
    """Return the lines as the general rule takes them."""
    _, instance = np.unique(rows[:, [FUNCTION, SHRINKER]], axis=0, return_inverse=True)
    return ShrinkLines(
        time_ns=rows[:, TIME],
        pid=rows[:, PID],
        instance=instance.reshape(-1).astype(np.int64),
        function=names,
        nid=rows[:, NID],
        priority=rows[:, PRIORITY],
        items=rows[:, ITEMS],
        deferred=rows[:, DEFERRED],
        delta=rows[:, DELTA],
        total_scan=rows[:, TOTAL],
        memcg=rows[:, MEMCG],
        kswapd=_in_function(rows, stacks, symbols, "balance_pgdat"),
    )
