"""Shrinker passes of the root memory cgroup, told by where `shrink_slab()` called from.

A recorder that takes a stack behind each `mm_shrink_slab_start` knows more than the line says:
`shrink_slab()` of mm/shrinker.c calls `do_shrink_slab()` in two places, one for the root cgroup, where all
shrinkers run, and one (`shrink_slab_memcg()`, often inlined) for the other cgroups. The return address tells
them apart. Without that, `pba.trace.visits` infers it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba.trace.kallsyms import Symbols
from pba.trace.ringbuffer import PID, STACK, TIME, VALUES
from pba.trace.visits import (
    LIMIT_NOTE,
    MEMCG_AWARE,
    MEMCG_UNKNOWN,
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
FUNCTION, SHRINKER, NID, PRIORITY, DEFERRED, MEMCG, ITEMS, DELTA, TOTAL = range(VALUES, VALUES + len(FIELDS))
RULE_BY_CALL_SITE: Final = (
    "root visits: lines whose stack shows the root cgroup's call in shrink_slab(), cut at a change of "
    "priority or node, a repeated shrinker, a line of another cgroup, or a gap of 1 s"
)
_PASS_GAP_NS: Final = 1_000_000_000


def recorded_visits(
    rows: NDArray[np.int64], stacks: NDArray[np.int64], symbols: Symbols
) -> tuple[RootVisits, str]:
    """Return the root cgroup's visits, and the rule by which they were found.

    Parameters
    ----------
    rows : ndarray of int64, shape (n, columns)
        Decoded `mm_shrink_slab_start` events (`FIELDS`), in order of time.
    stacks : ndarray of int64, shape (m, depth)
        The return addresses of each stack.
    symbols : Symbols
        The kernel's functions.
    """
    functions = {int(value): symbols.name(value) for value in np.unique(rows[:, FUNCTION])}
    names = [functions[value] for value in rows[:, FUNCTION].tolist()]
    is_root = root_lines(rows, names, stacks, symbols)
    if is_root is not None:
        return cut_visits(rows, is_root), RULE_BY_CALL_SITE
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


def cut_visits(rows: NDArray[np.int64], is_root: NDArray[np.bool_]) -> RootVisits:
    """Cut each task's lines of the root cgroup into visits."""
    visits: list[tuple[int, int]] = []
    open_visits: dict[int, tuple[int, int, int, set[int]]] = {}
    columns = (rows[:, TIME], rows[:, PID], rows[:, NID], rows[:, PRIORITY], rows[:, SHRINKER], is_root)
    values = zip(*(column.tolist() for column in columns), strict=True)
    for time, pid, nid, priority, shrinker, root in values:
        if not root:
            open_visits.pop(pid, None)
            continue
        last, last_nid, last_priority, seen = open_visits.get(pid, (0, -1, -1, set()))
        same = (last_nid, last_priority) == (nid, priority) and time - last < _PASS_GAP_NS
        if not same or shrinker in seen:
            visits.append((time, priority))
            seen = set()
        open_visits[pid] = (time, nid, priority, seen | {shrinker})
    return RootVisits(
        np.array([time for time, _ in visits], np.int64),
        np.array([priority for _, priority in visits], np.int8),
        0,
        (LIMIT_NOTE,) if len(rows) else (),
    )


def _lines(
    rows: NDArray[np.int64], names: list[str], stacks: NDArray[np.int64], symbols: Symbols
) -> ShrinkLines:
    """Return the lines as the general rule takes them."""
    known = {value: symbols.caller(value) for value in np.unique(stacks).tolist()}
    in_kswapd = [any(known[value] == "balance_pgdat" for value in stack) for stack in stacks.tolist()]
    kswapd = np.array([*in_kswapd, False], np.bool_)[rows[:, STACK]]
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
        kswapd=kswapd,
    )
