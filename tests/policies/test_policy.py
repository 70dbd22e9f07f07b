"""What a policy accepts and refuses, in Python."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import pba
from pba.errors import PbaError, ThresholdError
from tests.traces import sawtooth

MACHINE = pba.Machine(4, 16384, "pud")


def test_a_policy_is_a_value() -> None:
    policy = pba.Policy("freetype", fallback=True)
    assert policy == pba.Policy("freetype", movable_percent=0, fallback=True)
    assert policy != pba.Policy("freetype")
    assert len({policy, pickle.loads(pickle.dumps(policy))}) == 1
    assert eval(repr(policy), {"Policy": pba.Policy}) == policy
    assert str(policy) == "freetype fallback=true"
    assert str(pba.Policy("freetype")) == "freetype"


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("freetyp", {}, "no policy is called 'freetyp'.*did you mean freetype"),
        ("v6", {"fall": True}, "policy v6 has no parameter 'fall'.*it has none"),
        ("freetype", {"falback": True}, "did you mean fallback"),
        ("freetype", {"fallback": 1}, "fallback = 1 is not possible.*true or false"),
        ("freetype", {"movable_percent": True}, "movable_percent = True is not possible"),
        ("freetype", {"movable_percent": -1}, "0 to 100 percent"),
        ("fullest-first", {"nb": "middle"}, "last, first"),
    ],
)
def test_what_there_is_not(name: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(PbaError, match=words):
        pba.Policy(name, **parameters)


def test_thresholds_that_a_policy_lacks_are_refused() -> None:
    trace = sawtooth(teeth=1, pages=10)
    with pytest.raises(ThresholdError, match="policy scattered has no thresholds, and is given U=16"):
        pba.replay(trace, pba.Thresholds(), MACHINE, policy="scattered")
    with pytest.raises(ThresholdError, match=r"has no shrink_block_min_pages of its own.*it is 512 pages"):
        pba.replay(trace, pba.Thresholds(16, 100, 512), MACHINE, policy="whole-blocks-only")
    with pytest.raises(ThresholdError, match="policy never has no unshrinkable_pages of its own"):
        pba.replay(trace, pba.Thresholds(17, 64, 512), MACHINE, policy="never")
    with pytest.raises(ThresholdError, match="batch = 0 is out of range"):
        pba.replay(trace, pba.Thresholds(16, 64, 0), MACHINE, policy="cold-first")


def test_v6_by_its_name_is_v6() -> None:
    trace = sawtooth()
    plain = pba.replay(trace, machine=MACHINE)
    assert pba.replay(trace, machine=MACHINE, policy="v6").to_dict() == plain.to_dict()
    assert plain.policy == pba.Policy("v6")
    assert plain.setting == "U=16 M=64 B=512"


def test_a_compiled_trace_is_replayed_under_v6_alone() -> None:
    compiled = pba.compile_trace(sawtooth())
    result = pba.replay(compiled, machine=MACHINE, policy="whole-blocks-only")
    assert result.counters == pba.replay(sawtooth(), machine=MACHINE, policy="whole-blocks-only").counters
    assert result.policy.name == "whole-blocks-only"
    with pytest.raises(PbaError, match="replayed under v6 alone, not scattered"):
        pba.replay(compiled, machine=MACHINE, policy="scattered")
