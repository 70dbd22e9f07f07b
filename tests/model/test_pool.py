"""The pool of simulated machines: bounded in bytes, each thread its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import pba
from pba import pool
from pba.model import boot
from tests.traces import sawtooth

MACHINES = [pba.Machine(4, 1024 * chunks) for chunks in range(4, 13)]


@pytest.fixture(autouse=True)
def _empty() -> None:
    pool.clear()


def test_the_machines_of_a_study_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[pba.Machine] = []

    def counted(machine: pba.Machine, memory: object = None) -> object:
        made.append(machine)
        return boot(machine, memory)  # type: ignore[arg-type]

    monkeypatch.setattr("pba.model.boot", counted)
    trace = sawtooth(teeth=1, pages=40)
    compiled = pba.compile_trace(trace)
    for _ in range(3):
        for machine in MACHINES:
            one, other = pba.replay(trace, machine=machine), pba.replay(compiled, machine=machine)
            assert one.counters == other.counters
    assert len(made) == 2 * len(MACHINES)


def test_no_more_is_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pool.VARIABLE, "1")
    trace = sawtooth(teeth=1, pages=40)
    for machine in MACHINES:
        pba.replay(trace, machine=machine)
        assert 0 < pool.kept_bytes() <= 1 << 20
    monkeypatch.setenv(pool.VARIABLE, "0")
    pba.replay(trace, machine=MACHINES[0])
    assert pool.kept_bytes() == 0


def test_a_limit_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pool.VARIABLE, "much")
    with pytest.raises(pba.PbaError, match="no number of MiB"):
        pool.limit_bytes()


def test_threads_do_not_share_a_machine() -> None:
    trace = sawtooth(teeth=6)
    compiled = pba.compile_trace(trace)
    points = [pba.Thresholds(u, 1, 8) for u in (0, 4, 16, 400)] * 10
    alone = [pba.replay(trace, point, MACHINES[0]).counters for point in points]
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda point: pba.replay(compiled, point, MACHINES[0]).counters, points)
        assert list(together) == alone
