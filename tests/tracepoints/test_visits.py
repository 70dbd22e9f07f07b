"""Root visits, held against recordings in which memcg-unaware shrinkers prove them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pba.imports.ftrace import FTRACE, _Reader, _whole_events
from pba.tracepoints.visits import (
    DROP_SLAB_NOTE,
    MEMCG_AWARE,
    MEMCG_UNKNOWN,
    ShrinkLines,
    find_root_visits,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
COLUMNS = (
    "time_ns", "pid", "instance", "nid", "priority", "items", "deferred", "delta", "total_scan", "memcg",
    "kswapd",
)  # fmt: skip
RECORDED = {"6.1": 991, "6.12": 277, "7.3": 264}
"""Visits that the memcg-unaware shrinkers of each recording prove (`proven` below counts them)."""
MS = 1_000_000


def recorded(name: str) -> ShrinkLines:
    path = GOLDEN / f"shrinkers-{name}.ftrace.xz"
    reader = _Reader(path, 0x100, FTRACE)
    for chunk in _whole_events(path, FTRACE):
        reader.take(chunk)
    reader.scanner.scan(b"")
    return reader.shrinks.lines()


def chosen(lines: ShrinkLines, keep, *, memcg: bool = True) -> ShrinkLines:
    columns = {name: getattr(lines, name)[keep] for name in COLUMNS}
    if not memcg:
        columns["memcg"] = np.full(len(columns["pid"]), MEMCG_UNKNOWN)
    return ShrinkLines(function=[f for f, k in zip(lines.function, keep, strict=True) if k], **columns)


def aware(lines: ShrinkLines) -> np.ndarray:
    return np.array([function in MEMCG_AWARE for function in lines.function])


def proven(lines: ShrinkLines) -> list[tuple[int, int, int]]:
    """Count visits by their memcg-unaware lines alone: plainly, and otherwise than the rule does.

    These shrinkers stand in one order in all three kernels, so that a step back begins a visit.
    """
    order = ("kfree_rcu", "vmap_node", "shrink_huge_zero", "ext4_es", "jbd2")
    visits = []
    last: dict[int, tuple[int, int, int]] = {}
    for time, pid, priority, function in zip(
        lines.time_ns.tolist(), lines.pid.tolist(), lines.priority.tolist(), lines.function, strict=True
    ):
        if function in MEMCG_AWARE:
            continue
        place = next(i for i, name in enumerate(order) if function.startswith(name))
        before = last.get(pid)
        if before is None or before[1] != priority or place <= before[2] or time - before[0] > 1000 * MS:
            visits.append((time, priority, pid))
        last[pid] = (time, priority, place)
    return visits


def by_priority(visits) -> list[int]:
    return np.bincount(visits.priority, minlength=13).tolist()


@pytest.mark.parametrize("name", RECORDED)
def test_as_recorded_exactly_the_proven_visits_are_found(name):
    lines = recorded(name)
    visits = find_root_visits(lines)
    truth = proven(lines)
    assert len(truth) == RECORDED[name]
    assert by_priority(visits) == np.bincount([p for _, p, _ in truth], minlength=13).tolist()
    assert visits.inferred == 0


@pytest.mark.parametrize("name", RECORDED)
def test_without_the_lines_that_prove_them_nearly_all_visits_are_found_and_no_other(name):
    """Hold out the memcg-unaware lines and the cgroup ids: at least 99 %, and nothing invented."""
    lines = recorded(name)
    truth = find_root_visits(lines)
    held_out = find_root_visits(chosen(lines, aware(lines), memcg=False))
    assert len(held_out) <= len(truth)
    assert len(held_out) >= 0.99 * len(truth)
    more = np.subtract(by_priority(held_out), by_priority(truth))
    assert (more <= 0).all()
    assert held_out.inferred == len(held_out)


def test_cgroup_ids_prove_visits_by_themselves():
    lines = recorded("7.3")
    visits = find_root_visits(chosen(lines, aware(lines)))
    assert len(visits) == RECORDED["7.3"]
    assert visits.inferred == 0


def test_what_counting_lines_would_have_given():
    """The rule is needed: the busiest shrinker alone has several times as many lines as there are visits."""
    lines = recorded("6.1")
    assert np.bincount(lines.instance).max() > 4 * RECORDED["6.1"]


class Machine:
    """Writes the lines of a kernel with a root cgroup and others, as `do_shrink_slab()` prints them."""

    def __init__(self) -> None:
        self.rows: list[tuple] = []
        self.deferred: dict[tuple[str, int], int] = {}
        self.time = 0

    def slab(self, cgroup: int, objects: dict[str, int], priority: int, *, pid: int = 50) -> None:
        """Run `shrink_slab()` of a cgroup: each shrinker with objects, in the order given."""
        self.time += MS
        for function, items in objects.items():
            self.time += 5000
            key = (function, cgroup)
            before = self.deferred.get(key, 0)
            delta = (items >> priority) * 2
            total = min((before >> priority) + delta, 2 * items)
            self.rows.append(
                (self.time, pid, function, 0, priority, items, before, delta, total, MEMCG_UNKNOWN, pid == 50)
            )
            self.deferred[key] = min(before + delta, 2 * items)

    def lines(self) -> ShrinkLines:
        names = sorted({row[2] for row in self.rows})
        columns = dict(zip(COLUMNS, zip(*self.rows, strict=True), strict=True))
        functions = [name.partition("/")[0] for name in columns["instance"]]
        columns["instance"] = [names.index(name) for name in columns["instance"]]
        arrays = {name: np.array(values) for name, values in columns.items()}
        return ShrinkLines(function=functions, **arrays)


ROOT = {"super_cache_scan/a": 9000, "super_cache_scan/b": 700}
CHILDREN = ({"super_cache_scan/b": 90, "super_cache_scan/a": 40}, {"super_cache_scan/a": 2500})


def test_other_cgroups_are_told_apart_by_what_they_left_undone():
    machine = Machine()
    for _ in range(30):
        for priority in (12, 11, 10, 9):
            machine.slab(0, ROOT, priority)
            for cgroup, objects in enumerate(CHILDREN, 1):
                machine.slab(cgroup, objects, priority)
    visits = find_root_visits(machine.lines())
    assert by_priority(visits) == [0] * 9 + [30, 30, 30, 30]
    assert visits.inferred == 120
    assert any("inferred" in note for note in visits.notes)


def test_reclaim_within_a_cgroup_is_no_visit():
    machine = Machine()
    for _ in range(10):
        machine.slab(0, ROOT, 12)
        machine.slab(1, CHILDREN[0], 12)
        for priority in (12, 11, 10):
            machine.slab(1, CHILDREN[0], priority, pid=900)
    assert len(find_root_visits(machine.lines())) == 10


def test_a_run_without_a_live_witness_is_not_the_roots():
    machine = Machine()
    for _ in range(10):
        machine.slab(0, {"super_cache_scan/a": 500, "ext4_es_scan": 900}, 12)
        machine.slab(1, {"super_cache_scan/a": 500}, 12, pid=900)
    visits = find_root_visits(machine.lines())
    # The last of the other cgroup's runs has no witness after it, and the same counts as the root.
    assert 10 <= len(visits) <= 11
    assert len(find_root_visits(machine.lines(), only_root=True)) == 20


def test_drop_slab_counts_its_rounds():
    machine = Machine()
    for _ in range(5):
        machine.slab(0, {"super_cache_scan/a": 30, "ext4_es_scan": 10, "super_cache_scan/b": 8}, 0, pid=7)
        machine.slab(1, {"super_cache_scan/b": 4, "super_cache_scan/a": 3}, 0, pid=7)
    visits = find_root_visits(machine.lines())
    assert by_priority(visits)[0] == len(visits) == 5


def test_no_lines_no_visits():
    empty = {name: np.empty(0, np.int64) for name in COLUMNS}
    visits = find_root_visits(ShrinkLines(function=[], **empty))
    assert len(visits) == 0
    assert visits.notes == ()


def test_rounds_of_drop_caches_that_are_not_sure_are_said_to_be_a_lower_bound() -> None:
    def notes(memcg: int, function: str) -> tuple[str, ...]:
        zeros = np.zeros(1, np.int64)
        lines = ShrinkLines(
            zeros, zeros, zeros, [function], zeros, zeros, zeros + 100, zeros, zeros + 50, zeros + 50,
            zeros + memcg, zeros.astype(bool),
        )  # fmt: skip
        return find_root_visits(lines).notes

    assert DROP_SLAB_NOTE in notes(MEMCG_UNKNOWN, "super_cache_scan")
    assert DROP_SLAB_NOTE not in notes(MEMCG_UNKNOWN, "ext4_es_scan")  # runs in the root's visits only
    assert DROP_SLAB_NOTE not in notes(1, "super_cache_scan")
