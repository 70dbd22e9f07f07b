"""Every case of every vector: what the kernel's own C code did, in every counter and at every checkpoint."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pba
from pba.events import OP_DROP, OP_SHRINK

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> dict[str, Any]:
    """Return one vector's machine and cases."""
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return loaded


@cache
def trace(name: str) -> pba.Trace:
    """Return one vector's events."""
    return pba.read_trace(VECTORS / f"{name}.events.gz")


NAMES = sorted(path.name.removesuffix(".events.gz") for path in VECTORS.glob("*.events.gz"))
CASES = [(name, number) for name in NAMES for number in range(len(load(name)["cases"]))]


def test_no_vector_is_missing() -> None:
    assert len(NAMES) == 10
    assert len(CASES) == 86


@pytest.mark.parametrize(("name", "number"), CASES)
def test_case(name: str, number: int) -> None:
    vector = load(name)
    case = vector["cases"][number]
    result = pba.replay(
        trace(name),
        pba.Thresholds(**case["thresholds"]),
        pba.Machine(**vector["machine"]),
        checkpoint_every=vector["checkpoint_every"],
    )
    known = {name: value for name, value in result.counters.items() if name != "cached_after_passes"}
    assert known == case["expected"]
    assert result.cache_hash == case["expected"]["cache_hash"]
    assert result.checkpoints is not None
    assert result.checkpoints.to_dict("records") == case["checkpoints"]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_pages_left_by_passes_are_those_of_the_timeline(name: str, number: int) -> None:
    """The vectors lack this counter; what is cached after an event they have at every checkpoint."""
    vector = load(name)
    thresholds = pba.Thresholds(**vector["cases"][number]["thresholds"])
    result = pba.replay(trace(name), thresholds, pba.Machine(**vector["machine"]), timeline=True)
    assert result.timeline is not None
    after_passes = result.timeline["nr_cached"][np.isin(trace(name).op, (OP_SHRINK, OP_DROP))]
    assert result.counters["cached_after_passes"] == after_passes.sum()
