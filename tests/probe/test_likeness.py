"""Traces like a recording: how close they are, on every recording of pba."""

from __future__ import annotations

import numpy as np
import pytest

import pba
from pba.generators.fitting import take_apart
from pba.probe.likeness import fit, likeness

FRESH_SEED = 1000
"""One that the fit has not seen."""


@pytest.mark.slow
@pytest.mark.parametrize("name", pba.recordings())
def test_it_is_close_to_every_recording(name: str) -> None:
    recording = pba.read_trace(name)
    taken, found = fit(recording)
    assert found.used <= 1
    made = taken.recipe(seed=FRESH_SEED).trace()
    assert likeness(recording, made).used <= 1  # the limits are those of pba.probe.likeness
    assert made.counts()["S"] == recording.counts()["S"]
    assert made.unknown_frees == 0


def test_with_one_block_it_is_the_recording() -> None:
    recording = pba.read_trace("redis-bgsave-x86")
    made = take_apart(recording, 1, 1).recipe(seed=1).trace()
    assert made.counts() == recording.counts()
    assert likeness(recording, made).used < 0.01


def test_longer_and_larger() -> None:
    recording = pba.read_trace("build-x86")
    taken = take_apart(recording, 12, 2)
    length = recording.metadata.duration_ns
    made = taken.recipe(duration_ns=3 * length, scale=2).trace()
    assert made.metadata.quality.live_at_start == 2 * recording.metadata.quality.live_at_start
    assert made.counts()["A"] == pytest.approx(6 * recording.counts()["A"], rel=0.1)
    assert made.counts()["S"] == 3 * recording.counts()["S"]
    assert made.nr_slots < 6 * recording.nr_slots
    assert made.unknown_frees == 0


def test_background_chunks_are_kept() -> None:
    rows = []
    for at in range(300):
        rows += [(at * 1000, 0, at, 0), (at * 1000 + 10, 4, at, at % 4)]
        rows += [(at * 1000 + 500, 5, at, 0), (at * 1000 + 600, 1, at, 0)]
    names = ("time_ns", "op", "id", "arg")
    recording = pba.Trace.from_arrays(dict(zip(names, np.array(rows).T, strict=True)))
    made = take_apart(recording, 10, 3).recipe().trace()
    assert made.counts() == recording.counts()
    orders = [np.bincount(trace.arg[trace.op == 4]) for trace in (recording, made)]
    assert np.array_equal(*orders)


def test_nothing_to_be_like() -> None:
    empty = pba.Trace.from_arrays({"time_ns": [5], "op": [0], "id": [1], "arg": [0]})
    with pytest.raises(pba.PbaError, match="no demand that a trace could be like"):
        take_apart(empty, 1, 1)
