"""Each parameter of each workload: what it names is measured in the events, at two of its values.

A `Check` holds the other parameters so that what is measured stands out. How far the figure may be off
follows from the sample: four standard errors, of what was drawn for the trace and of the lives that were
drawn before (`LIVES`), and half a percent for what a trace cuts off at its ends. The two expected figures
are further apart than that, so a parameter that does nothing fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest

import pba
from pba.analysis.bursts import runs
from pba.analysis.lifetimes import lifetimes
from pba.analysis.pages import at_start, pairs
from pba.events import LEVEL_PGD, LEVEL_PMD, LEVEL_PTE, LEVEL_PUD, OP_ALLOC, OP_DROP, OP_FREE, OP_SHRINK
from pba.generators.parameters import LIVES, MODELLED, RUNS
from pba.generators.workloads import WORKLOADS
from pba.trace.corpus import recordings
from pba.trace.table import Trace

NS = 10**9
EVEN, POISSON, HEAVY = 1 / sqrt(12), 1.0, 1.0
"""Standard deviation of what has mean 1: evenly from 1/2 to 3/2; gaps of a Poisson process. And for medians
the deviation times the root of the sample: 1/2 where even, 1 for the log-logistic one of shape 2."""
EVEN_MEDIAN = 0.5

Measured = tuple[float, float]
"""A figure, and of how many samples it is."""


@dataclass(frozen=True)
class Check:
    """What a parameter names, and how it is measured."""

    values: tuple[float, float]
    measure: Callable[[Trace], Measured]
    others: Mapping[str, Any]
    expected: Callable[[float], float] = float
    spread: float = 0.0
    lives: int = 1 << 62
    seconds: int = 60

    def off(self, samples: float) -> float:
        """Return how far the figure may be off, as a share of it."""
        return 0.005 + 4 * self.spread * sqrt(1 / samples + 1 / self.lives)


# --- what is measured ----------------------------------------------------------------------------------


def born(trace: Trace, level: int) -> Any:
    """Return which events are allocations at a level, those of what stands at the start aside."""
    return (trace.op == OP_ALLOC) & (trace.level == level) & ~at_start(trace)


def each_second(level: int, per: float = 1, seconds: int = 60) -> Callable[[Trace], Measured]:
    """Allocations at a level in so many seconds."""

    def measure(trace: Trace) -> Measured:
        number = int(born(trace, level).sum())
        return number * per / seconds, number

    return measure


def each_process(level: int) -> Callable[[Trace], Measured]:
    """Tables of a level for each PGD."""

    def measure(trace: Trace) -> Measured:
        processes = int(born(trace, LEVEL_PGD).sum())
        return int(born(trace, level).sum()) / processes, processes

    return measure


def standing_at(level: int) -> Callable[[Trace], Measured]:
    """Tables of a level that are there at the start."""
    return lambda trace: (float((at_start(trace) & (trace.level == level)).sum()), 1)


def median_life(level: int, longer_than_ms: float = 0) -> Callable[[Trace], Measured]:
    """Median life in ms of the tables of a level that live longer than that; live ones count as long."""

    def measure(trace: Trace) -> Measured:
        lived, freed, levels = lifetimes(trace)
        lived = np.where(freed, lived, NS << 20)[(levels == level) & (lived > longer_than_ms * 1e6)]
        return float(np.median(lived)) / 1e6, len(lived)

    return measure


def most_live(level: int) -> Callable[[Trace], Measured]:
    """Most tables of a level at one time."""

    def measure(trace: Trace) -> Measured:
        step = np.where(trace.op == OP_ALLOC, 1, -1)[(trace.op <= OP_FREE) & (trace.level == level)]
        return float(np.cumsum(step).max()), 1

    return measure


def idle_before(level: int, step: int = 1) -> Callable[[Trace], Measured]:
    """Mean time in ms without an event before each (each second ...) allocation at a level."""

    def measure(trace: Trace) -> Measured:
        at = np.flatnonzero(born(trace, level))[step::step]
        return float((trace.time_ns[at] - trace.time_ns[at - 1]).mean()) / 1e6, len(at)

    return measure


def since_birth(trace: Trace) -> Any:
    """Return the time in ns from the last PGD's allocation to each PTE table's."""
    at, pte = (trace.time_ns[born(trace, level)] for level in (LEVEL_PGD, LEVEL_PTE))
    return pte - at[np.searchsorted(at, pte, side="right") - 1]


def late_share(trace: Trace) -> Measured:
    """Share in percent of the PTE tables that come more than 1 ms after their PGD."""
    late = since_birth(trace) > 1_000_000
    return 100 * float(late.mean()), int(born(trace, LEVEL_PGD).sum())


def grace_ms(trace: Trace) -> Measured:
    """Mean time in ms from a PGD's free to its PUD table's, where there is one for each."""
    allocated, freed = pairs(trace)
    end = {int(a): int(trace.time_ns[f]) for a, f in zip(allocated, freed, strict=True) if f >= 0}
    pgds, puds = (np.flatnonzero(born(trace, level)).tolist() for level in (LEVEL_PGD, LEVEL_PUD))
    later = [end[pud] - end[pgd] for pgd, pud in zip(pgds, puds, strict=False) if pud in end and pgd in end]
    return float(np.mean(later)) / 1e6, len(later)


def priorities(trace: Trace) -> Any:
    """Return the priority of each pass."""
    return trace.arg[trace.op == OP_SHRINK].astype(np.int64)


def episodes_each_minute(trace: Trace) -> Measured:
    """Runs of kswapd in a trace of a minute."""
    number = int((priorities(trace) == 12).sum())
    return number, number


def falling(trace: Trace) -> Measured:
    """Share in percent of the runs of kswapd that go on to priority 11."""
    at_12 = int((priorities(trace) == 12).sum())
    return 100 * float((priorities(trace) == 11).sum()) / at_12, at_12


def pass_gap_ms(trace: Trace) -> Measured:
    """Median time in ms from one pass to the next."""
    return float(np.median(np.diff(trace.time_ns[trace.op == OP_SHRINK]))) / 1e6, 1


def mean_priority(trace: Trace) -> Measured:
    """Mean priority of all passes."""
    return float(priorities(trace).mean()), 1


def median_gap_us(trace: Trace) -> Measured:
    """Median time in us from one PTE table to the next."""
    return float(np.median(np.diff(trace.time_ns[born(trace, LEVEL_PTE)]))) / 1e3, 1


def median_run(op: int) -> Callable[[Trace], Measured]:
    """Median size of runs."""
    return lambda trace: (float(np.median(runs(trace, op))), 1)


# --- checks that several workloads share ---------------------------------------------------------------

SMALL = {"pud": 1, "pmd": 1, "pte": 4, "grace": 0}
MACHINE = {
    "page_size": Check((4, 16), lambda trace: (float(trace.metadata.page_size_kib or 0), 1), {}),
    "memory": Check(
        (1024, 2048),
        lambda trace: ((trace.metadata.memory_pages or 0) * (trace.metadata.page_size_kib or 0) / 1024, 1),
        {},
    ),
}


def shapes(others: Mapping[str, Any], lives: int = LIVES, seconds: int = 60) -> dict[str, Check]:
    """Return the checks of tables for each process; half a table more is for every second one."""
    common: dict[str, Any] = {"lives": lives, "seconds": seconds, "others": others}
    return {
        "pud": Check((1.5, 3), each_process(LEVEL_PUD), spread=1 / 3, **common),
        "pmd": Check((2.5, 5), each_process(LEVEL_PMD), spread=1 / 5, **common),
        "pte": Check((16, 32), each_process(LEVEL_PTE), spread=EVEN, **common),
    }


def grace(others: Mapping[str, Any], seconds: int = 60) -> dict[str, Check]:
    """Return the check of the grace period: an exit waits for 5/8 to 13/8 of one."""
    return {
        "grace": Check(
            (16, 40), grace_ms, others, lambda value: value * 9 / 8, spread=EVEN * 8 / 9, seconds=seconds
        )
    }


def pressures(others: Mapping[str, Any]) -> dict[str, Check]:
    """Return the checks of kswapd's runs."""
    return {
        "episodes": Check((3000, 6000), episodes_each_minute, {**others, "falls": 0}, spread=POISSON),
        "falls": Check(
            (30, 70), falling, {**others, "episodes": 6000, "pass_gap": 0}, spread=sqrt(7 / 3), lives=RUNS
        ),
        "pass_gap": Check((2, 4), pass_gap_ms, {**others, "episodes": 60, "falls": 100}),
    }


def rate(others: Mapping[str, Any], per: float = 1) -> dict[str, Check]:
    """Return the check of a rate of processes; `per` so many seconds."""
    values = (3000, 6000) if per == 60 else (50, 100)
    return {"rate": Check(values, each_second(LEVEL_PGD, per), {**others, "life": 100}, spread=POISSON)}


def life(others: Mapping[str, Any], spread: float = EVEN_MEDIAN) -> dict[str, Check]:
    """Return the check of a process's median life."""
    return {"life": Check((200, 400), median_life(LEVEL_PGD), others, spread=spread)}


def at_a_time(name: str, level: int, others: Mapping[str, Any]) -> dict[str, Check]:
    """Return the check of how many there are at the same time."""
    return {name: Check((4, 8), most_live(level), others)}


def pause(others: Mapping[str, Any], level: int = LEVEL_PGD, step: int = 1) -> dict[str, Check]:
    """Return the check of the time from one to the next, where there is one at a time."""
    return {"pause": Check((20, 40), idle_before(level, step), others, spread=POISSON)}


# --- all parameters ------------------------------------------------------------------------------------

STORM = {"rate": 40, "life": 20, **SMALL}
BUILD = {"jobs": 4, "life": 100, "pause": 1, "grows": 0, **SMALL}
ONE_JOB = {**BUILD, "jobs": 1}
SERVER = {"rate": 40, "parent": 10, "life": 100, "grows": 0, "episodes": 0, **SMALL}
DATABASE = {"connections": 4, "life": 100, "pause": 1, "grows": 0, "episodes": 0, **SMALL}
FORK = {
    "size": 40,
    "every": 0.2,
    "life": 100,
    "episodes": 0,
    **{k: v for k, v in SMALL.items() if k != "pte"},
}
HEAP = {"heap": 400, "cycle": 1000, "kept": 0, "run": 1024, "pud": 1, "pmd": 1, "pte": 4, "episodes": 0}
CHURN = {"threads": 4, "tables": 8, "hold": 100, "pause": 1, "touch": 0}
CONTAINERS = {"rate": 600, "processes": 1, "helpers": 0, "life": 1000, "episodes": 0, **SMALL}
HUGE = {
    "processes": 4, "huge": 1, "fault": 60, "failed": 0, "files": 0, "scan": 0.1, "collapsed": 4,
    "life": 500, "pause": 1, "episodes": 0, **SMALL, "pte": 0,
}  # fmt: skip
ONE_HUGE = {**HUGE, "processes": 1}
APPS = {
    "rate": 1200, "cached": 5, "copied": 4, "launch": 1, "runs": 0, "episodes": 0, **SMALL,
}  # fmt: skip
DAY = {"rate": 100, "night": 50, "day": 1, "life": 100, "episodes": 0, **SMALL}
PINNED = {"block": 64, "pinned": 1, "hold": 60_000, "rate": 20, "passes": 1}
SAW = {"threshold": 128, "swing": 0, "period": 100}


def freed_at_once(trace: Trace) -> Measured:
    """Share in percent of the PTE tables that go back within 10 us."""
    lived, freed, levels = lifetimes(trace)
    huge = int((levels == LEVEL_PTE).sum()) - (short := int((freed & (lived < 10_000)).sum()))
    return 100 * short / huge, huge


def processes_of_container(helpers: int) -> Callable[[Trace], Measured]:
    """Processes that live longer than a helper, where so many helpers start a container."""

    def measure(trace: Trace) -> Measured:
        lived, freed, levels = lifetimes(trace)
        short = freed & (lived < 25_000_000)
        number = int((short & (levels == LEVEL_PGD)).sum()) / helpers
        return int((~short & (levels == LEVEL_PGD)).sum()) / number, number

    return measure


def helpers_of_container(trace: Trace) -> Measured:
    """Helpers that start a container of one process."""
    share, number = processes_of_container(1)(trace)
    return 1 / share, number * share


def kept_share(trace: Trace) -> Measured:
    """Share in percent of the freed tables that lived longer than a cycle of 1 s."""
    lived, freed, _ = lifetimes(trace)
    lived = lived[freed]
    return 100 * float((lived > 1_002_500_000).mean()), 1


def collections_ms(trace: Trace) -> Measured:
    """Mean time in ms from one collection to the next: frees are more than 100 ms apart."""
    at = trace.time_ns[trace.op == OP_FREE]
    first = at[1:][np.diff(at) > 100_000_000]
    return float(np.diff(first).mean()) / 1e6, 1


def median_free_gap_s(trace: Trace) -> Measured:
    """Median time in s from one free to the next."""
    return float(np.median(np.diff(trace.time_ns[trace.op == OP_FREE]))) / NS, 1


def fork_gap_s(trace: Trace) -> Measured:
    """Mean time in s from one PGD to the next."""
    at = trace.time_ns[born(trace, LEVEL_PGD)]
    return float(np.diff(at).mean()) / NS, len(at)


def mean_live_apps(trace: Trace) -> Measured:
    """PGDs live on average over the second half, that of the zygote aside."""
    step = np.where(trace.op == OP_ALLOC, 1, -1) * ((trace.op <= OP_FREE) & (trace.level == LEVEL_PGD))
    late = trace.time_ns[:-1] > trace.time_ns[-1] // 2
    live = np.cumsum(step)[:-1][late] - 1
    weight = np.diff(trace.time_ns)[late]
    return float((live * weight).sum() / weight.sum()), int(born(trace, LEVEL_PGD).sum()) / 2


def copied_tables(trace: Trace) -> Measured:
    """PTE tables that a process has within 1 ms."""
    processes = int(born(trace, LEVEL_PGD).sum())
    return float((since_birth(trace) < 1_000_000).sum()) / processes, 1


def launch_ms(trace: Trace) -> Measured:
    """Twice the mean time from a PGD to the PTE tables that come later than 1 ms."""
    later = since_birth(trace)
    return 2 * float(later[later > 1_000_000].mean()) / 1e6, int(born(trace, LEVEL_PGD).sum())


def runs_of_app(trace: Trace) -> Measured:
    """Runs of kswapd for each app."""
    apps = int(born(trace, LEVEL_PGD).sum())
    return float((priorities(trace) == 12).sum()) / apps, apps


def mean_start_s(trace: Trace) -> Measured:
    """Mean time of the starts, in s."""
    at = trace.time_ns[born(trace, LEVEL_PGD)]
    return float(at.mean()) / NS, len(at)


def rounds(trace: Trace, block: int) -> float:
    """Return the rounds of the adversary, of so many pages each."""
    return int((trace.op == OP_ALLOC).sum()) / block


def pinned_of_round(trace: Trace) -> Measured:
    """Pages of a round of 64 that are still there at the end."""
    return (rounds(trace, 1) - int((trace.op == OP_FREE).sum())) / rounds(trace, 64), 1


def teeth(trace: Trace) -> Any:
    """Return the size of each whole tooth: allocations from one pass to the next."""
    passes = np.flatnonzero(trace.op == OP_SHRINK).tolist()
    allocs = np.concatenate([[0], np.cumsum(trace.op == OP_ALLOC)])
    return np.array([allocs[two] - allocs[one] for one, two in pairwise([0, *passes])])


CHECKS: dict[str, dict[str, Check]] = {
    "fork-storm": {
        **rate(STORM), **life(STORM, HEAVY), **shapes(STORM), **grace(STORM),
    },
    "parallel-build": {
        **at_a_time("jobs", LEVEL_PGD, BUILD),
        "life": Check((200, 400), median_life(LEVEL_PGD, 5), BUILD, spread=EVEN_MEDIAN),
        **pause({**ONE_JOB, "life": 10}, step=2),
        "grows": Check(
            (40, 80), late_share, {**ONE_JOB, "life": 500, "pte": 40}, lambda value: value / 2,
            spread=2 * EVEN,
        ),
        "drops": Check(
            (3000, 6000), lambda trace: (n := int((trace.op == OP_DROP).sum()), n), BUILD, spread=POISSON
        ),
        **shapes(BUILD),
        # A job that begins at once begins with a grace period, as the one before ended with one.
        **grace({**ONE_JOB, "life": 200, "pause": 100}),
    },
    "fork-server": {
        **rate(SERVER),
        "parent": Check((100, 200), standing_at(LEVEL_PTE), SERVER),
        **life(SERVER),
        "grows": Check(
            (40, 80), late_share, {**SERVER, "rate": 1, "life": 500, "pte": 40}, spread=0.1, seconds=600
        ),
        **shapes(SERVER), **grace(SERVER), **pressures(SERVER),
    },
    "database": {
        **at_a_time("connections", LEVEL_PGD, DATABASE),
        **life(DATABASE),
        **pause({**DATABASE, "connections": 1, "life": 10}),
        "grows": Check(
            (40, 80), late_share, {**DATABASE, "connections": 1, "life": 500, "pte": 40}, spread=0.1
        ),
        **shapes(DATABASE), **grace(DATABASE), **pressures(DATABASE),
    },
    "snapshot-fork": {
        "size": Check((200, 400), each_process(LEVEL_PTE), FORK, lambda value: value / 2),
        "every": Check((0.2, 0.4), fork_gap_s, FORK, spread=EVEN),
        **life(FORK),
        **{name: check for name, check in shapes(FORK, 32).items() if name != "pte"},
        **grace(FORK), **pressures(FORK),
    },
    "jvm-heap": {
        "heap": Check((200, 400), each_second(LEVEL_PTE), HEAP, lambda value: value / 2),
        "cycle": Check((500, 1000), collections_ms, HEAP),
        "kept": Check((20, 40), kept_share, HEAP, spread=0.01),
        "run": Check((25, 50), median_run(OP_FREE), HEAP),
        "pud": Check((2, 4), standing_at(LEVEL_PUD), HEAP),
        "pmd": Check((2, 4), standing_at(LEVEL_PMD), HEAP),
        "pte": Check((50, 100), standing_at(LEVEL_PTE), HEAP),
        **pressures(HEAP),
    },
    "mmap-churn": {
        **at_a_time("threads", LEVEL_PMD, CHURN),
        "tables": Check(
            (8, 16),
            lambda trace: (
                int(born(trace, LEVEL_PTE).sum()) / (n := int(born(trace, LEVEL_PMD).sum())), n
            ),
            CHURN, spread=EVEN, lives=LIVES,
        ),
        "hold": Check((100, 200), median_life(LEVEL_PMD), CHURN, spread=EVEN_MEDIAN),
        **pause({**CHURN, "threads": 1, "hold": 10}, LEVEL_PMD),
        "touch": Check((31, 62), median_gap_us, {**CHURN, "threads": 1}),
    },
    "containers": {
        **rate(CONTAINERS, 60),
        "processes": Check((3, 6), processes_of_container(4), {**CONTAINERS, "helpers": 4}, spread=0.5),
        "helpers": Check((3, 6), helpers_of_container, CONTAINERS, spread=0.5),
        **life(CONTAINERS), **shapes(CONTAINERS), **grace(CONTAINERS), **pressures(CONTAINERS),
    },
    "thp": {
        **at_a_time("processes", LEVEL_PGD, HUGE),
        "huge": Check((16, 32), each_process(LEVEL_PTE), HUGE, spread=EVEN, lives=64),
        "fault": Check((60, 120), median_gap_us, {**ONE_HUGE, "huge": 64}),
        "failed": Check((40, 80), freed_at_once, {**HUGE, "huge": 64}, spread=sqrt(6 / 4), lives=64 * 32),
        "files": Check(
            (16, 32), each_process(LEVEL_PTE), HUGE, lambda value: value + 1, spread=EVEN, lives=64
        ),
        "scan": Check((0.1, 0.2), median_free_gap_s, {**ONE_HUGE, "files": 8, "collapsed": 1, "life": 9000}),
        "collapsed": Check((3, 6), median_run(OP_FREE), {**ONE_HUGE, "files": 24, "life": 9000}),
        **life(HUGE), **pause({**ONE_HUGE, "life": 100}),
        **shapes({**HUGE, "files": 0}, 64),
        **grace(HUGE), **pressures(HUGE),
    },
    "app-launch": {
        "rate": Check((1200, 2400), each_second(LEVEL_PGD, 60), {**APPS, "cached": 1}, spread=POISSON),
        "cached": Check((5, 10), mean_live_apps, APPS, spread=1.5),
        "copied": Check(
            (20, 40), copied_tables, {**APPS, "rate": 6, "cached": 1, "pte": 100, "launch": 9000}, seconds=600
        ),
        "launch": Check(
            (500, 1000), launch_ms, {**APPS, "rate": 1, "cached": 1, "pte": 40}, spread=EVEN, seconds=24_000
        ),
        "runs": Check((2, 4), runs_of_app, {**APPS, "falls": 0}, spread=0.1),
        **shapes(APPS), **grace(APPS), **pressures(APPS),
    },
    "day-night": {
        "rate": Check((50, 100), each_second(LEVEL_PGD), DAY, lambda value: 0.75 * value, spread=POISSON),
        "night": Check(
            (20, 80), each_second(LEVEL_PGD), DAY, lambda value: (100 + value) / 2, spread=POISSON
        ),
        # From 1/2 to 1 and back within the minute, or from 1/2 to 1 alone: then the mean is at 5/9 of it.
        "day": Check(
            (1, 2), mean_start_s, {**DAY, "rate": 1000}, lambda value: {1: 30, 2: 60 * 5 / 9}[int(value)],
            spread=EVEN,
        ),
        **life(DAY), **shapes(DAY), **grace(DAY), **pressures(DAY),
    },
    "pinned-pages": {
        "block": Check((64, 128), lambda trace: (rounds(trace, 1) / len(priorities(trace)), 1), PINNED),
        "pinned": Check(
            (2, 4), pinned_of_round, PINNED,
        ),
        "hold": Check((100, 200), median_life(LEVEL_PTE, 50), {**PINNED, "block": 2}),
        "rate": Check((20, 40), lambda trace: (rounds(trace, 64) / 60, 1), PINNED),
        "passes": Check((2, 4), lambda trace: (len(priorities(trace)) / rounds(trace, 64), 1), PINNED),
        "priority": Check((12, 6), mean_priority, PINNED),
    },
    "sawtooth": {
        "threshold": Check((128, 256), lambda trace: (float(np.median(teeth(trace))), 1), SAW),
        # Of 128 sizes that lie evenly: their deviation, and of that the deviation.
        "swing": Check(
            (32, 64), lambda trace: (float(teeth(trace).std()), 600), SAW, lambda value: value / sqrt(3),
            spread=sqrt(1 / 5), lives=128,
        ),
        "period": Check((50, 100), pass_gap_ms, SAW),
        "priority": Check((12, 6), mean_priority, SAW),
    },
}  # fmt: skip
ALL = [(name, parameter) for name, checks in CHECKS.items() for parameter in checks]


def test_every_parameter_is_checked() -> None:
    stated = {name: {parameter.name for parameter in each.parameters} for name, each in WORKLOADS.items()}
    assert {name: set(checks) | set(MACHINE) for name, checks in CHECKS.items()} == stated


@pytest.mark.parametrize(("name", "parameter"), ALL)
def test_a_parameter_does_what_it_says(name: str, parameter: str) -> None:
    check = CHECKS[name][parameter]
    traces = [
        pba.generate(
            name, seed=1, duration_ns=check.seconds * NS, parameters={**check.others, parameter: value}
        )
        for value in check.values
    ]
    expected = [check.expected(value) for value in check.values]
    allowed = 0.0
    for trace, wanted in zip(traces, expected, strict=True):
        measured, samples = check.measure(trace)
        assert measured == pytest.approx(wanted, rel=check.off(samples))
        allowed += check.off(samples) * wanted
    assert abs(expected[1] - expected[0]) > allowed  # nothing that does nothing passes
    first, second = traces
    assert not (np.array_equal(first.time_ns, second.time_ns) and np.array_equal(first.arg, second.arg))


@pytest.mark.parametrize("parameter", MACHINE)
def test_the_machine_is_as_stated(parameter: str) -> None:
    check = MACHINE[parameter]
    for value in check.values:
        trace = pba.generate("fork-storm", events=1000, parameters={parameter: value})
        assert check.measure(trace) == (value, 1)


# --- where defaults come from --------------------------------------------------------------------------

ORIGINS = [
    (name, parameter)
    for name, each in WORKLOADS.items()
    for parameter in each.parameters
    if parameter.name not in MACHINE
]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_names_what_its_defaults_come_from(name: str) -> None:
    about = WORKLOADS[name].about
    assert "odelled" in about or any(recording in about for recording in recordings())
    for _, parameter in (each for each in ORIGINS if each[0] == name):
        recording = parameter.origin.replace(",", ":").partition(":")[0]
        assert parameter.origin == MODELLED or recording in recordings()


def test_shapes_are_those_of_the_recordings() -> None:
    levels = {"pud": LEVEL_PUD, "pmd": LEVEL_PMD, "pte": LEVEL_PTE}
    shaped = [each for _, each in ORIGINS if each.name in levels and each.origin != MODELLED]
    assert len({each.origin for each in shaped}) >= 5
    for recording in {each.origin.partition(",")[0] for each in shaped}:
        trace = pba.read_trace(recording)
        allocs = trace.level[trace.op == OP_ALLOC]
        for each in (each for each in shaped if each.origin.startswith(f"{recording},")):
            mean = Fraction(int((allocs == levels[each.name]).sum()), int((allocs == LEVEL_PGD).sum()))
            assert float(mean) == pytest.approx(float(each.default), abs=0.06)
