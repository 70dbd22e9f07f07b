"""From `mm_shrink_slab_start` to the passes that the block allocator's shrinker would have had.

The event fires once for each shrinker that has objects *and* for each memory cgroup, from `shrink_slab()`
of mm/shrinker.c. The block allocator's shrinker does not know memory cgroups, so it would run once for each
`shrink_slab()` of the *root* cgroup: once per node and per priority step of a reclaimer, or per round of
`drop_slab()`. `find_root_visits` recovers those.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MEMCG_UNKNOWN: Final = -1
"""In `ShrinkLines.memcg`: the kernel (before 7.0) does not say which memory cgroup it is."""
ROOT_MEMCG_IDS: Final = frozenset({0, 1})
"""What 7.x prints for the root cgroup: 1, or 0 where memory cgroups are off."""

MEMCG_AWARE: Final = frozenset(
    {
        "super_cache_scan",
        "scan_shadow_nodes",
        "deferred_split_scan",
        "zswap_shrinker_scan",
        "nfs4_xattr_cache_scan",
        "nfs4_xattr_entry_scan",
    }
)
"""The shrinkers with `SHRINKER_MEMCG_AWARE` (fs/super.c, mm/workingset.c, mm/huge_memory.c, mm/zswap.c,
fs/nfs/nfs42xattr.c). All others run in the root cgroup's visits only."""

EARLY: Final = frozenset({"kfree_rcu_shrink_scan", "vmap_node_shrink_scan"})
"""Shrinkers that are registered before any superblock is made (kfree_rcu_batch_init() of kernel/rcu/tree.c
or mm/slab_common.c, vmalloc_init() of mm/vmalloc.c): a visit of the root that has their lines begins with
them."""

RULE: Final = (
    "one pass per run of a task over distinct shrinkers at one node and priority, in registration order, if "
    "the run is the root cgroup's: by memcg id, else by a memcg-unaware shrinker, else by nr_deferred"
)
"""The rule in a line, for `Quality.visits_rule`."""

LIMIT_NOTE: Final = "a visit in which no shrinker had any objects leaves no line and is not counted"
DROP_SLAB_NOTE: Final = (
    "rounds of drop_caches are a lower bound: those that the lines do not show for sure are left out"
)

PASS_GAP_NS: Final = 1_000_000_000
"""One visit takes less than this between two of its lines; two runs of `drop_caches` are further apart."""
_WITNESS_GAP_NS: Final = 10_000_000_000
"""A memcg-unaware shrinker seen with objects twice within this had objects in between."""
_OVERLAP_NS: Final = 50_000_000
"""Reclaimers this close may work on one shrinker at once, and then share its `nr_deferred`."""
_SURE_SCAN: Final = 64
"""From this much work on (or from all objects on) a shrinker may have scanned, so that less is deferred."""
_LEAST_SEEN: Final = 20
"""So many runs must show an order of two shrinkers before it is believed; fewer may have been cut wrongly."""
_FITS: Final = 4.0
"""A line at most this far from where its memory cgroup was left belongs to it."""


@dataclass(frozen=True, eq=False)
class ShrinkLines:
    """The fields of `mm_shrink_slab_start`, sorted by time.

    Attributes
    ----------
    time_ns : ndarray of int64
        Time in ns.
    pid : ndarray of int64
        The reclaiming task.
    instance : ndarray of int64
        One number for each shrinker: function and the (hashed) pointer that the event prints, together. Each
        superblock has a shrinker of its own.
    function : sequence of str
        Name of the scan function of each line.
    nid, priority : ndarray of int64
        Node, and priority (12 to 0; `drop_slab()` uses 0).
    items, deferred, delta, total_scan : ndarray of int64
        `cache items`, `objects to shrink` (what earlier calls left undone), `delta` and `total_scan`.
    memcg : ndarray of int64
        Id of the memory cgroup, or `MEMCG_UNKNOWN`.
    kswapd : ndarray of bool
        The task is a kswapd (or unknown: False).
    """

    time_ns: NDArray[np.int64]
    pid: NDArray[np.int64]
    instance: NDArray[np.int64]
    function: Sequence[str]
    nid: NDArray[np.int64]
    priority: NDArray[np.int64]
    items: NDArray[np.int64]
    deferred: NDArray[np.int64]
    delta: NDArray[np.int64]
    total_scan: NDArray[np.int64]
    memcg: NDArray[np.int64]
    kswapd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True, eq=False)
class RootVisits:
    """What `find_root_visits` found.

    Attributes
    ----------
    time_ns : ndarray of int64
        When each visit's first line stands, ascending.
    priority : ndarray of int8
        Its priority.
    inferred : int
        Visits that no memcg-unaware shrinker and no memcg id proves.
    notes : tuple of str
        What a reader of the figures should know.
    """

    time_ns: NDArray[np.int64]
    priority: NDArray[np.int8]
    inferred: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time_ns)


_Order = set[tuple[int, int]]
"""Pairs of shrinkers, the first registered before the second."""


class _Line(NamedTuple):
    time: int
    pid: int
    instance: int
    nid: int
    priority: int
    items: int
    deferred: int
    delta: int
    total_scan: int
    memcg: int
    kswapd: bool
    aware: bool
    early: bool

    @property
    def from_root(self) -> bool:
        """Whether this reclaimer walks all memory cgroups, the root first."""
        return self.kswapd or self.priority == 0

    @property
    def may_scan(self) -> bool:
        """Whether the shrinker may have scanned: there was a batch to do, or all that it has."""
        return self.total_scan >= min(self.items, _SURE_SCAN)


@dataclass
class _Chain:
    """Where one memory cgroup left one shrinker: `do_shrink_slab()` of mm/shrinker.c keeps `nr_deferred`."""

    deferred: int
    exact: bool
    items: int
    time: int
    pid: int

    def distance(self, line: _Line) -> float:
        """Say how far a line is from being the next one of this cgroup; `_FITS` is the limit."""
        if line.deferred == self.deferred:
            far = 0.0 if line.deferred else 0.5
        elif line.deferred < self.deferred and not self.exact:
            far = 1.0
        elif line.pid != self.pid and line.time - self.time < _OVERLAP_NS:
            far = 1.5
        else:
            far = _FITS
        change = abs(math.log((line.items + 2) / (self.items + 2)))
        return far + min(_FITS, change) * (2.0 if self.exact else 0.5)

    @classmethod
    def after(cls, line: _Line) -> _Chain:
        """Return the state that a line leaves behind."""
        left = min(line.deferred + line.delta, 2 * line.items)
        return cls(left, not line.may_scan, line.items, line.time, line.pid)


@dataclass
class _Chains:
    """The memory cgroups seen on one shrinker and node."""

    root: _Chain | None = None
    others: list[_Chain] = field(default_factory=list)

    def nearest_other(self, line: _Line) -> tuple[float, int]:
        """Return the distance to, and the place of, the nearest cgroup that is not the root."""
        return min(
            ((chain.distance(line), place) for place, chain in enumerate(self.others)), default=(math.inf, -1)
        )

    def put(self, line: _Line, is_root: bool) -> None:
        """Move the cgroup that the line belongs to on."""
        if is_root:
            self.root = _Chain.after(line)
            return
        far, place = self.nearest_other(line)
        if far <= _FITS:
            self.others.pop(place)
        self.others.append(_Chain.after(line))
        del self.others[:-64]


def find_root_visits(lines: ShrinkLines, *, only_root: bool = False) -> RootVisits:
    """Recover the visits of the root memory cgroup, with their priorities.

    The rule has two steps. *Cut the lines into runs, one for each `shrink_slab()` of any cgroup:* the lines
    of one task, at one node and priority (and cgroup, where printed), in which no shrinker repeats. Where
    one does, the cut goes to the longest pause between its two lines, since between two `shrink_slab()` the
    reclaimer shrinks an LRU list. From the runs with memcg-unaware shrinkers the order of registration is
    learned, in which the root's shrinkers run (other cgroups run theirs by shrinker id); a step back in it is
    a cut in such a run, and the first choice where one repeats. A pause of 1 s is a cut.

    *Say which runs are the root's:*

    1. Where the kernel prints the memory cgroup (7.x), its id says it.
    2. A memcg-unaware shrinker (any outside `MEMCG_AWARE`) runs only there.
    3. A run against the order of registration is another cgroup's. So is a run without
       memcg-unaware shrinkers while one of these certainly has objects (seen with some left over, and seen
       again within 10 s), or among a task's rounds of `drop_slab()` of which one has them.
    4. Else each (shrinker, node) has one chain per cgroup: `nr_deferred` is kept per cgroup, so a line's
       `objects to shrink` is what the cgroup's line before left (`do_shrink_slab()`), and the number of
       objects changes little. A run is the root's if its lines fit the root's chains better than all
       others'. Where they fit none: the first run of a round of kswapd or of `drop_slab()` is the root's,
       since `mem_cgroup_iter()` starts there; another task's run is the root's only while nothing is known
       of these shrinkers and no other cgroup has been seen.

    Limits: a visit in which no shrinker has objects is invisible, and nothing around it tells of it. Two
    visits in a row at the same priority whose shrinkers do not overlap and stand in order count as one.
    Step 4 is inference: cgroups with equal object counts and nothing deferred look alike, kernels before
    5.13 keep `nr_deferred` for all cgroups together, and with the multi-generational LRU a round need not
    start at the root. Measured on three arm64 recordings (6.1, 6.12, 7.3) with one cgroup beside the root:
    the 991, 277 and 264 visits that memcg-unaware shrinkers prove are found, and none besides. With the lines
    of these shrinkers and the cgroup ids taken out, 991, 276 and 264 of them are, and none besides. (The
    limits in numbers below were chosen with these recordings at hand.)

    Parameters
    ----------
    lines : ShrinkLines
        The events, sorted by time.
    only_root : bool, optional
        The recorded machine had no memory cgroup but the root: every run is the root's.

    Returns
    -------
    RootVisits
        Ascending in time.
    """
    rows = _rows(lines)
    runs, before = _runs(rows)
    sure = [_is_sure(rows, run) for run in runs]
    backward = [_steps_back(rows, run, before) for run in runs]
    is_root = [True] * len(runs) if only_root else _label(rows, runs, sure, backward)
    visits = sorted(
        (rows[run[0]].time, rows[run[0]].priority, only_root or known)
        for run, root, known in zip(runs, is_root, sure, strict=True)
        if root
    )
    inferred = sum(not known for _, _, known in visits)
    notes = [LIMIT_NOTE] if len(rows) else []
    if inferred:
        notes.append(f"{inferred} of {len(visits)} shrinker passes are inferred from nr_deferred, not proven")
    if any(priority == 0 and not known for _, priority, known in visits) or _left_out(rows, runs, is_root):
        notes.append(DROP_SLAB_NOTE)
    return RootVisits(
        np.array([time for time, _, _ in visits], np.int64),
        np.array([priority for _, priority, _ in visits], np.int8),
        inferred,
        tuple(notes),
    )


def _left_out(rows: list[_Line], runs: list[list[int]], is_root: list[bool]) -> bool:
    """Return whether a run at the priority of `drop_slab()` was taken for a cgroup's that is not known."""
    return any(
        not root and rows[run[0]].priority == 0 and rows[run[0]].memcg == MEMCG_UNKNOWN
        for run, root in zip(runs, is_root, strict=True)
    )


def _rows(lines: ShrinkLines) -> list[_Line]:
    """Return the lines as tuples."""
    columns = (
        lines.time_ns, lines.pid, lines.instance, lines.nid, lines.priority, lines.items, lines.deferred,
        lines.delta, lines.total_scan, lines.memcg, lines.kswapd,
    )  # fmt: skip
    values = zip(*(column.tolist() for column in columns), lines.function, strict=True)
    return [_Line._make((*row[:-1], row[-1] in MEMCG_AWARE, row[-1] in EARLY)) for row in values]


def _runs(rows: list[_Line]) -> tuple[list[list[int]], _Order]:
    """Cut the lines into runs, one for each `shrink_slab()`, by first line; return the order learned too."""
    known = _known_order(rows)
    learned = _order(rows, _runs_without_repeats(rows, known))
    before = known | {(x, y) for x, y in learned if (y, x) not in known}
    result: list[list[int]] = []
    for run in _runs_without_repeats(rows, before):
        if all(rows[i].aware for i in run):
            result.append(run)  # out of order, it is another cgroup's
            continue
        start = 0
        for place in range(1, len(run)):
            if _steps_back(rows, run[place - 1 : place + 1], before):
                result.append(run[start:place])
                start = place
        result.append(run[start:])
    return sorted(result), before


def _steps_back(rows: list[_Line], run: list[int], before: _Order) -> bool:
    """Say whether a run goes against the order of registration."""
    return any((rows[j].instance, rows[i].instance) in before for i, j in pairwise(run))


def _runs_without_repeats(rows: list[_Line], before: _Order) -> list[list[int]]:
    """Cut each task's lines where node, priority or cgroup change, after a pause, and between repeats."""
    runs: list[list[int]] = []
    current: dict[int, list[int]] = {}
    for i, line in enumerate(rows):
        run = current.get(line.pid)
        if run is not None:
            last = rows[run[-1]]
            same = (last.nid, last.priority, last.memcg) == (line.nid, line.priority, line.memcg)
            if same and line.time - last.time < PASS_GAP_NS:
                run.append(i)
                again = next((k for k, j in enumerate(run[:-1]) if rows[j].instance == line.instance), None)
                if again is not None:
                    current[line.pid] = _tail_cut_off(rows, run, again, before)
                    runs.append(current[line.pid])
                continue
        current[line.pid] = [i]
        runs.append(current[line.pid])
    return runs


def _tail_cut_off(rows: list[_Line], run: list[int], again: int, before: _Order) -> list[int]:
    """Cut a run between the place `again` and its end, where the same shrinker stands, and return the tail.

    The cut goes where the order of registration steps back, else to the longest pause. A pause after a
    shrinker that may have scanned is its own work and says nothing, and `drop_slab()` shrinks no LRU list:
    there the cut stands before the shrinker that repeats.
    """
    places = range(again + 1, len(run))
    back = [place for place in places if _steps_back(rows, run[place - 1 : place + 1], before)]
    telling = [k for k in places if rows[run[k]].priority and not rows[run[k - 1]].may_scan]
    cut = max(
        back or telling or [len(run) - 1],
        key=lambda place: (rows[run[place]].time - rows[run[place - 1]].time, place),
    )
    tail = run[cut:]
    del run[cut:]
    return tail


def _known_order(rows: list[_Line]) -> _Order:
    """Return the pairs that need not be learned: the early shrinkers stand before all others."""
    early = {line.instance for line in rows if line.early}
    others = {line.instance for line in rows} - early
    return {(x, y) for x in early for y in others}


def _order(rows: list[_Line], runs: list[list[int]]) -> _Order:
    """Learn which shrinker is registered before which, from the runs with memcg-unaware shrinkers.

    A pair counts if one order is seen at least 20 times, and at least 5 times as often as the other.
    Where there are no such
    runs, the first runs of kswapd's and `drop_slab()`'s rounds serve, which mostly are the root's.
    """
    shapes: dict[tuple[int, ...], int] = defaultdict(int)
    proven = [run for run in runs if not all(rows[i].aware for i in run)]
    first = _first_of_round(rows, runs)
    likely = [run for run, is_first in zip(runs, first, strict=True) if is_first and rows[run[0]].from_root]
    for run in proven or likely:
        shapes[tuple(rows[i].instance for i in run)] += 1
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for shape, times in shapes.items():
        for place, x in enumerate(shape):
            for y in shape[place + 1 :]:
                counts[x, y] += times
    return {
        (x, y) for (x, y), times in counts.items() if times >= max(_LEAST_SEEN, 5 * counts.get((y, x), 0))
    }


def _is_sure(rows: list[_Line], run: list[int]) -> bool:
    """Say whether a run certainly is the root's (steps 1 and 2 of the rule)."""
    memcg = rows[run[0]].memcg
    return memcg in ROOT_MEMCG_IDS or (memcg == MEMCG_UNKNOWN and any(not rows[i].aware for i in run))


def _label(rows: list[_Line], runs: list[list[int]], sure: list[bool], backward: list[bool]) -> list[bool]:
    """Say of each run whether it is the root's (steps 3 and 4 for those that are not sure)."""
    is_root = list(sure)
    first = _first_of_round(rows, runs)
    dropped = _unproven_drops(rows, runs, sure)
    reclaimed = _global_reclaim_seen(rows, runs, sure)
    alive = _alive_spans(rows)
    chains: dict[tuple[int, int], _Chains] = defaultdict(_Chains)
    others_seen = False
    for place, run in enumerate(runs):
        head, end = rows[run[0]], rows[run[-1]].time
        if not sure[place] and head.memcg == MEMCG_UNKNOWN:
            missing = any(start < head.time and end < stop for start, stop in alive.get(head.nid, []))
            elsewhere = backward[place] or dropped[place] or missing or not (head.from_root or reclaimed)
            is_root[place] = not elsewhere and _fits_root(rows, run, chains, first[place], others_seen)
        others_seen = others_seen or not is_root[place]
        for i in run:
            if rows[i].aware:
                chains[rows[i].instance, rows[i].nid].put(rows[i], is_root[place])
    return is_root


def _fits_root(
    rows: list[_Line],
    run: list[int],
    chains: dict[tuple[int, int], _Chains],
    first_of_round: bool,
    others_seen: bool,
) -> bool:
    """Decide by the chains whether a run is the root's (step 4)."""
    to_root = to_other = 0.0
    known = False
    for i in run:
        here = chains[rows[i].instance, rows[i].nid]
        known = known or here.root is not None
        to_root += min(here.root.distance(rows[i]) if here.root else _FITS + 1, 2 * _FITS)
        to_other += min(here.nearest_other(rows[i])[0], 2 * _FITS)
    if min(to_root, to_other) <= _FITS * len(run):
        return to_root <= to_other
    if rows[run[0]].from_root:
        return first_of_round
    return not known and not others_seen


def _unproven_drops(rows: list[_Line], runs: list[list[int]], sure: list[bool]) -> list[bool]:
    """Mark the unsure runs of a task's rounds of `drop_slab()` (1 s apart at most) that have sure ones."""
    marked = [False] * len(runs)
    spell: dict[int, list[int]] = defaultdict(list)
    spells: list[list[int]] = []
    for place, run in enumerate(runs):
        head = rows[run[0]]
        if head.priority:
            continue
        members = spell[head.pid]
        if not members or head.time - rows[runs[members[-1]][-1]].time >= PASS_GAP_NS:
            members = spell[head.pid] = []
            spells.append(members)
        members.append(place)
    for members in spells:
        proven = any(sure[place] for place in members)
        for place in members:
            marked[place] = proven and not sure[place]
    return marked


def _global_reclaim_seen(rows: list[_Line], runs: list[list[int]], sure: list[bool]) -> bool:
    """Say whether anyone reclaimed from all cgroups: kswapd, or another task with a sure run (no drop).

    Whoever does has woken kswapd first (`__alloc_pages_slowpath()` of mm/page_alloc.c); reclaim at a
    cgroup's own limit does not, and has no run of the root at all.
    """
    heads = [rows[run[0]] for run in runs]
    return any(head.kswapd or (known and head.priority > 0) for head, known in zip(heads, sure, strict=True))


def _alive_spans(rows: list[_Line]) -> dict[int, list[tuple[int, int]]]:
    """Return, for each node, the spans of time in which a memcg-unaware shrinker certainly had objects."""
    last: dict[tuple[int, int], tuple[int, bool]] = {}
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for line in rows:
        if line.aware:
            continue
        start, left_over = last.get((line.instance, line.nid), (0, False))
        if left_over and line.time - start < _WITNESS_GAP_NS:
            spans[line.nid].append((start, line.time))
        last[line.instance, line.nid] = (line.time, line.total_scan < line.items)
    return {nid: _joined(sorted(pieces)) for nid, pieces in spans.items()}


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans with those that touch made one."""
    result: list[tuple[int, int]] = []
    for start, end in spans:
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _first_of_round(rows: list[_Line], runs: list[list[int]]) -> list[bool]:
    """Mark the first run of each round: a task's consecutive runs at one node and priority."""
    first: list[bool] = []
    last: dict[int, _Line] = {}
    for run in runs:
        head = rows[run[0]]
        before = last.get(head.pid)
        first.append(
            before is None
            or (before.nid, before.priority) != (head.nid, head.priority)
            or head.time - before.time >= PASS_GAP_NS
        )
        last[head.pid] = rows[run[-1]]
    return first
