"""The smallest part of a trace for which a condition holds, and conditions."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba.probe.condition import Property, parse_property
from pba.probe.minimise import Minimised, Step, minimise, part_of, units_of
from pba.trace.metadata import Metadata, Quality
from tests.traces import sawtooth

A, F, S, D, B, b = range(6)
COUNTERS = {"pmd_splits": 4, "scan_stops": 0, "pages_released": 600, "shrink_calls": 3, "allocs": 7}
SMALL = pba.Machine(4, 8192, "pmd")


def of(rows: list[tuple[int, ...]], **metadata: object) -> pba.Trace:
    columns = dict(zip(("time_ns", "op", "id", "arg"), map(list, zip(*rows, strict=True)), strict=True))
    return pba.Trace.from_arrays(columns, Metadata(**metadata))  # type: ignore[arg-type]


# Conditions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pmd_splits > 3", True),
        ("pmd_splits > 4", False),
        ("not pmd_splits > 4 and scan_stops == 0", True),
        ("pmd_splits > 9 or pages_released // shrink_calls >= 200", True),
        ("3 < pmd_splits <= 4 != allocs", True),
        ("(pmd_splits + 2) * 3 - 1 == 17", True),
        ("pmd_splits * 1.5 < allocs", True),
        ("-pmd_splits < 0", True),
        ("allocs // scan_stops > 0", False),  # divides by 0
        (" pmd_splits\t> 3 ", True),
        ("pmd_splits > 30or allocs > 1", True),
        (f"allocs * {'9' * 400} * 1.5 > 1", False),  # overflows
        ("-" * 450 + "allocs > 6", True),
        ("not " * 110 + "allocs > 6", True),
    ],
)
def test_a_condition(text: str, expected: bool) -> None:
    assert parse_property(text).holds(COUNTERS) is expected


def test_the_counters_that_a_condition_names() -> None:
    assert parse_property("pmd_splits > 3 and allocs > pmd_splits").names == ("allocs", "pmd_splits")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pmd_splits >",
        "pmd_splits",
        "3",
        "True",
        "pmd_splits > True",
        "pmd_splits > 'x'",
        "pmd_splits > 1j",
        "pmd_splits ** 9 > 1",
        "pmd_splits / 2 > 1",
        "pmd_splits << 99 > 1",
        "__import__('os').system('true') > 1",
        "pmd_splits.real > 1",
        "(lambda: 1)() > 0",
        "[1][0] > 0",
        "pmd_splits in (1, 2)",
        "(pmd_splits > 1) + 1 > 1",
        "(pmd_splits > 1) > 1",
        "x := 3",
        "pmd_splits > 3; allocs > 1",
        "pmd_splits > 1 if allocs > 1 else allocs > 2",
        "pmd_splits \0 > 1",
        "(" * 450 + "1" + ")" * 40,
        "-" * 450 + "allocs",
        "not " * 110 + "allocs",
        "9" * 499,
        "allocs > 0 or " * 40 + "allocs > 1",
    ],
)
def test_no_condition(text: str) -> None:
    with pytest.raises(pba.PbaError) as caught:
        parse_property(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_unknown_counter_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        pba.PbaError, match=r"'pmd_split' is not a counter of a replay.*pmd_splits.*free_pages"
    ):
        parse_property("pmd_split > 3")


# Units -----------------------------------------------------------------------------------------------------


def test_the_units_of_a_trace() -> None:
    trace = of(
        [
            (0, A, 1, 0),
            (1, B, 1, 3),
            (2, A, 2, 0),
            (3, F, 1, 0),
            (4, S, 0, 2),
            (5, F, 9, 0),
            (6, A, 1, 0),
            (7, b, 1, 0),
            (8, F, 1, 0),
            (9, D, 0, 0),
        ]
    )
    assert units_of(trace).tolist() == [0, 1, 2, 0, 3, 4, 5, 1, 5, 6]
    assert units_of(part_of(trace, np.zeros(10, np.bool_))).tolist() == []


def test_a_part_says_how_many_pages_of_the_start_it_has() -> None:
    trace = of([(0, A, 1, 0), (0, A, 2, 0), (5, A, 3, 0)], quality=Quality(live_at_start=2))
    part = part_of(trace, np.array([False, True, True]))
    assert part.metadata.quality.live_at_start == 1


# The search ------------------------------------------------------------------------------------------------


def replayed(text: str, machine: pba.Machine = SMALL) -> Callable[[pba.Trace], bool]:
    condition: Property = parse_property(text)
    return lambda part: condition.holds(pba.replay(part, machine=machine).counters)


def needs_every_unit(found: Minimised, keep: Callable[[pba.Trace], bool]) -> bool:
    units = units_of(found.trace)
    return not any(keep(part_of(found.trace, units != unit)) for unit in range(int(units.max()) + 1))


@pytest.mark.parametrize(
    "text",
    ["shrink_calls > 1", "pages_released >= 100", "refills_block > 1", "scan_stops > 0 and frees > 5"],
)
def test_what_is_found_holds_and_is_minimal(text: str) -> None:
    trace, keep = sawtooth(teeth=2, pages=700), replayed(text)
    steps: list[Step] = []
    found = minimise(trace, keep, watch=steps.append)
    assert found.is_minimal
    assert keep(found.trace)
    assert needs_every_unit(found, keep)
    assert len(found.trace) < len(trace)
    assert found.trace.unknown_frees == 0
    assert steps[-1].left == int(units_of(found.trace).max()) + 1
    assert steps[-1].replays <= found.replays
    again = minimise(trace, keep)
    assert (again.trace.time_ns == found.trace.time_ns).all()
    assert again.replays == found.replays


def random_small(seed: int) -> pba.Trace:
    rng = random.Random(seed)
    rows: list[tuple[int, ...]] = []
    live: dict[int, list[int]] = {A: [], B: []}
    for at in range(rng.randint(10, 40)):
        op = rng.choice([A, A, F, S, D, B, b])
        pool = live[A] if op in (A, F) else live[B]
        if op in (A, B):
            pool.append(at)
        elif op in (F, b) and not pool:
            continue
        name = at if op in (A, B) else pool.pop(rng.randrange(len(pool))) if op in (F, b) else 0
        rows.append((at, op, name, rng.randrange(13) if op == S else rng.randrange(4) if op == B else 0))
    return of(rows or [(0, A, 1, 0)])


@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_condition_on_counts(seed: int, allocs: int, passes: int, odd: bool) -> None:
    """Also one that does not grow with the trace (`odd`), for which chunks mislead."""
    trace = random_small(seed)

    def keep(part: pba.Trace) -> bool:
        count = part.counts()
        enough = count["A"] > allocs and count["S"] + count["D"] >= passes
        return enough and (not odd or (count["A"] + count["B"]) % 2 == 1)

    if not keep(trace):
        with pytest.raises(pba.PbaError, match="does not hold for the whole"):
            minimise(trace, keep)
        return
    found = minimise(trace, keep)
    assert found.is_minimal
    assert keep(found.trace)
    assert needs_every_unit(found, keep)


def test_a_search_ends_with_what_it_has() -> None:
    trace, keep = sawtooth(teeth=2, pages=700), replayed("pages_released >= 100")
    whole = minimise(trace, keep)
    asked = 0

    def counted(part: pba.Trace) -> bool:
        nonlocal asked
        asked += 1
        return keep(part)

    for budget in (2, 5, 40):
        asked = 0
        found = minimise(trace, counted, max_replays=budget)
        assert asked == found.replays == budget < whole.replays
        assert not found.is_minimal
        assert keep(found.trace)


def test_what_cannot_be_minimised() -> None:
    trace = sawtooth(teeth=1, pages=20)
    with pytest.raises(pba.PbaError, match="does not hold for the whole"):
        minimise(trace, replayed("pmd_splits > 1000"))
    with pytest.raises(pba.PbaError, match="holds for a trace without events, too"):
        minimise(trace, replayed("pmd_splits >= 0"))
    with pytest.raises(pba.PbaError, match="max_replays = 1 allows too few"):
        minimise(trace, replayed("allocs > 1"), max_replays=1)


def test_an_interrupted_search_returns_what_it_has() -> None:
    trace, keep = sawtooth(teeth=2, pages=700), replayed("pages_released >= 100")
    for at in (3, 9, 40):
        asked = 0

        def interrupted(part: pba.Trace) -> bool:
            nonlocal asked
            asked += 1
            if asked == at:  # noqa: B023, called in this round of the loop
                raise KeyboardInterrupt
            return keep(part)

        found = minimise(trace, interrupted)
        assert found.was_interrupted
        assert not found.is_minimal
        assert found.replays == at
        assert keep(found.trace)
        smaller = minimise(trace, keep, max_replays=max(at - 1, 2))
        assert len(found.trace) == len(smaller.trace) <= len(trace)


@pytest.mark.parametrize("at", [1, 2])
def test_before_it_knows_anything_a_search_is_just_interrupted(at: int) -> None:
    asked = 0

    def interrupted(part: pba.Trace) -> bool:
        nonlocal asked
        asked += 1
        if asked == at:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        minimise(sawtooth(teeth=1, pages=20), interrupted)


def test_what_was_found_carries_the_value_that_met_the_condition() -> None:
    trace = pba.generate("fork-storm", events=40)

    def allocs(part: pba.Trace) -> int | None:
        number = pba.replay(part).counters["allocs"]
        return number if number > 3 else None

    found = pba.minimise(trace, allocs)
    assert found.value == pba.replay(found.trace).counters["allocs"] == 4
    stopped = pba.minimise(trace, allocs, max_replays=2)
    assert stopped.value == pba.replay(trace).counters["allocs"]
