"""Every case of policies.json: what a C program counted that was written from the same rules."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import pba
from pba.policies.registry import PLACES

VECTORS = Path(__file__).parents[1] / "vectors"
CASES: list[dict[str, Any]] = [
    case for case in json.loads((VECTORS / "policies.json").read_text())["cases"] if case["policy"] in PLACES
]


@cache
def trace(name: str) -> pba.Trace:
    """Return one vector's events."""
    return pba.read_trace(VECTORS / name)


def shown(case: dict[str, Any]) -> str:
    batch = case["thresholds"]["batch"] if case["thresholds"] else "none"
    return f"{case['policy']}-{case['trace'].removesuffix('.events.gz')}-{batch}"


def test_no_case_is_missing() -> None:
    assert len(CASES) == 90


@pytest.mark.parametrize("case", CASES, ids=shown)
def test_case(case: dict[str, Any]) -> None:
    thresholds = None if case["thresholds"] is None else pba.Thresholds(**case["thresholds"])
    result = pba.replay(
        trace(case["trace"]), thresholds, pba.Machine(**case["machine"]), policy=case["policy"]
    )
    assert {name: result.counters[name] for name in case["expected"]} == case["expected"]
