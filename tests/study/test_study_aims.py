"""Aims against plain sums, means and products, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pba.study.aims import KNOWN_AIMS, OVER, Aim, aim_from
from pba.study.objective import Objective, on_front, row_of
from tests.study.study_fixture import make_trace

FIGURES = st.lists(st.floats(0, 1e6), min_size=1, max_size=9)


@given(FIGURES, st.data())
def test_recordings_add_up_as_is_said(figures: list[float], data: st.DataObject) -> None:
    patch = data.draw(st.lists(st.floats(0, 1e6), min_size=len(figures), max_size=len(figures)))
    count = len(figures)
    ratios = [math.log((one + 0.5) / (before + 0.5)) for one, before in zip(figures, patch, strict=True)]
    wanted = {
        "sum": sum(figures),
        "mean": sum(figures) / count,
        "worst": max(figures),
        "ratio": math.exp(sum(ratios) / count),
    }
    assert set(wanted) == set(OVER)
    for over, value in wanted.items():
        found = float(Aim("x", over=over).over_recordings(figures, patch))
        assert found == pytest.approx(value, rel=1e-12)
    least = float(Aim("x", direction="maximize", over="worst").over_recordings(figures, patch))
    assert least == min(figures)


@given(st.lists(st.tuples(*[st.floats(0, 1e9)] * 3), min_size=1, max_size=20), st.sampled_from(sorted(OVER)))
def test_one_point_and_many_give_the_same_bits(rows: list[tuple[float, ...]], over: str) -> None:
    aim = Aim("x", over=over)
    many = aim.over_recordings([np.array(column) for column in zip(*rows, strict=True)], list(rows[0]))
    assert [float(aim.over_recordings(list(row), list(rows[0]))) for row in rows] == many.tolist()


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=40), st.integers(1, 3))
def test_the_front_is_what_nothing_beats(rows: list[tuple[int, int, int]], aims: int) -> None:
    points = [row[:aims] for row in rows]
    beaten = [any(b != a and all(x <= y for x, y in zip(b, a, strict=True)) for b in points) for a in points]
    assert on_front(*np.array(points, float).T).tolist() == [not flag for flag in beaten]


def test_every_known_aim_is_a_figure_of_a_replay() -> None:
    import pba

    trace = make_trace("alpha", 0)
    machine = pba.machine_of(trace)
    result = pba.replay(trace, pba.Thresholds(20, 40, 300), machine)
    kept = row_of(result, tuple(KNOWN_AIMS.values()))
    counters = result.counters
    for name in ("pmd_splits", "unprotect_calls", "scan_calls", "pages_released", "peak_cached", "deadlocks"):
        assert kept[name] == counters[name]
    splits = ("pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits")
    assert kept["all_splits"] == sum(counters[name] for name in splits)
    assert kept["refills"] == sum(counters[f"refills_{order}"] for order in ("block", "mid", "min"))
    assert kept["mean_cached_mib"] == result.mean_cached_bytes / (1 << 20)
    assert kept["block_mapped_share"] == result.block_mapped_share
    for name, aim in KNOWN_AIMS.items():
        assert aim.name == name and aim.unit and aim.text
        assert Objective([aim]).values([kept], [kept]) == (
            pytest.approx(float(kept[name]) if aim.over != "ratio" else 1),
        )


def test_an_aim_of_ones_own() -> None:
    own = Aim("calls a split", "calls", "maximize", "mean", figure=lambda kept: kept["unprotect_calls"] + 1)
    assert Objective([own]).values([row_of_own(own, 3), row_of_own(own, 6)], [row_of_own(own, 0)] * 2) == (
        5.5,
    )
    assert own.sign == -1
    assert aim_from(own) is own
    assert aim_from({"name": "refills", "over": "worst"}).over == "worst"
    with pytest.raises(ValueError, match="'x': 'upwards' is none of minimize, maximize"):
        Aim("x", direction="upwards")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'median' is none of sum, mean"):
        Aim("x", over="median")


def test_an_aim_of_ones_own_cannot_take_a_counters_name() -> None:
    import pba

    trace = make_trace("alpha", 0, events=200)
    own = Aim("pmd_splits", figure=lambda kept: 0)
    with pytest.raises(ValueError, match="cannot be called 'pmd_splits'"):
        row_of(pba.replay(trace, None, pba.machine_of(trace)), [own])


def row_of_own(aim: Aim, calls: int) -> dict[str, float]:
    return {aim.name: aim.of({"unprotect_calls": calls})}
