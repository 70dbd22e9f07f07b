"""Every case of every vector: what the kernel's own C code did, in every counter and at every checkpoint."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import pba

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> dict[str, Any]:
    """Return one vector's machine and cases."""
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text())
    return loaded


@cache
def trace(name: str) -> pba.Trace:
    """Return one vector's events."""
    return pba.read_trace(VECTORS / f"{name}.events.gz")


NAMES = sorted(path.stem for path in VECTORS.glob("*.json"))
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
    assert result.counters == case["expected"]
    assert result.cache_hash == case["expected"]["cache_hash"]
    assert result.checkpoints is not None
    assert result.checkpoints.to_dict("records") == case["checkpoints"]
