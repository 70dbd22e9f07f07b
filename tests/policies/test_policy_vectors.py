"""Every case of policies.json: what a C program counted that was written from the same rules."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import pba
from tests.reference import rivals
from tests.reference.freetype import Freetype
from tests.reference.machine import Machine, read_events

VECTORS = Path(__file__).parents[1] / "vectors"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "policies.json").read_text())["cases"]


@cache
def trace(name: str) -> pba.Trace:
    """Return one vector's events."""
    return pba.read_trace(VECTORS / name)


def shown(case: dict[str, Any]) -> str:
    batch = case["thresholds"]["batch"] if case["thresholds"] else "none"
    return f"{case['policy']}-{case['trace'].removesuffix('.events.gz')}-{batch}"


def test_no_case_is_missing() -> None:
    assert len(CASES) == 100


@pytest.mark.parametrize("case", CASES, ids=shown)
def test_case(case: dict[str, Any]) -> None:
    thresholds = None if case["thresholds"] is None else pba.Thresholds(**case["thresholds"])
    result = pba.replay(
        trace(case["trace"]), thresholds, pba.Machine(**case["machine"]), policy=case["policy"]
    )
    assert {name: result.counters[name] for name in case["expected"]} == case["expected"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["policy"] in ("scattered", "freetype")], ids=shown
)
def test_the_rivals_references_agree(case: dict[str, Any]) -> None:
    """The slow rules, too, are held against figures that neither they nor pba made."""
    policy = {"scattered": rivals.Scattered, "freetype": Freetype}[case["policy"]]
    reference = policy(Machine(**case["machine"]))
    for event in read_events(VECTORS / case["trace"]):
        reference.step(event)
    totals = Counter(reference.totals())
    assert {name: totals[name] for name in case["expected"]} == case["expected"]
