"""A study replays traces in whichever form is quicker; no figure depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

import pba
from pba.engine.compiled import CompiledTrace, quicker_compiled
from pba.study.evaluate import Evaluator
from pba.study.executors import OnThreads
from pba.study.inputs import Input
from pba.study.space import Point
from pba.study.workers import STATE_BYTES_PER_PAGE

NAMES = ("jvm-heap-x86", "phone-arm64-4k", "git-x86", "dpkg-x86")


def inputs() -> list[Input]:
    traces = [pba.read_trace(name) for name in NAMES]
    return [Input(t.name, Path(t.name), "0" * 64, t, pba.machine_of(t)) for t in traces]


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_are_the_same_in_both_forms(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    points = [Point(4, 8, 64), Point(16, 64, 512), Point(300, 1, 32)]
    with OnThreads(1) as threads:
        plain = Evaluator(inputs(), threads)
        by_events = plain.rows_of(points)
    monkeypatch.setattr("pba.study.evaluate.WORTH_COMPILING", 1)
    with OnThreads(workers) as threads:
        chosen = Evaluator(inputs(), threads)
        chosen.warm_up(len(points))
        compiled = [isinstance(form, CompiledTrace) for form in chosen._forms]
        assert compiled == [True, False, True, True]
        assert chosen.rows_of(points) == by_events


def test_few_points_do_not_compile_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pba._jit.is_compiled", lambda room: False)
    with OnThreads(1) as threads:
        few = Evaluator(inputs(), threads)
        few.warm_up(10)
        assert not any(isinstance(form, CompiledTrace) for form in few._forms)


def test_a_machine_that_does_not_stay_in_the_pool_is_replayed_by_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PBA_POOL_MIB", "0")
    with OnThreads(1) as threads:
        chosen = Evaluator(inputs(), threads)
        chosen.warm_up(1 << 30)
        assert not any(isinstance(form, CompiledTrace) for form in chosen._forms)


def test_many_passes_are_quicker_event_by_event() -> None:
    assert not quicker_compiled(18_000_000, 9_000_000)
    assert quicker_compiled(1000, 0)


def test_machines_that_do_not_all_stay_in_the_pool_are_replayed_by_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one more thread than there is room for, a round would find none of its machines again."""
    machines = {(one.machine, one.trace.name == "phone-arm64-4k") for one in inputs()}
    each = STATE_BYTES_PER_PAGE * sum(machine.memory_pages for machine, _ in machines)
    monkeypatch.setenv("PBA_POOL_MIB", str(-(-2 * each >> 20)))
    monkeypatch.setattr("pba.study.evaluate.WORTH_COMPILING", 1)
    for workers, expected in ((2, 3), (3, 0)):
        with OnThreads(workers) as threads:
            chosen = Evaluator(inputs(), threads)
            chosen.warm_up(1)
            assert sum(isinstance(form, CompiledTrace) for form in chosen._forms) == expected
