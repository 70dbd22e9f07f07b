"""Analyses of a trace: known answers on traces made by hand, and slow, plain versions of each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pba
from pba.analysis.bursts import bursts_table, percentile, runs
from pba.analysis.drawdown import drawdown_table, natural_cache_pages
from pba.analysis.lifetimes import lifetimes, lifetimes_table, median_lifetime_ns, survival
from pba.analysis.live import live_table
from pba.analysis.passes import passes_table
from pba.analysis.phases import phases_table
from pba.analysis.rates import rates_table
from pba.events import LEVEL_PMD, LEVEL_PTE, OP_ALLOC, OP_FREE
from pba.trace.metadata import Metadata, Quality

A, F, S, D = range(4)
SECOND = 1_000_000_000
MS = 1_000_000


def trace(rows: list[tuple[int, ...]], live_at_start: int = 0, levels: list[int] | None = None) -> pba.Trace:
    names = ("time_ns", "op", "id", "arg")
    columns = {name: np.array([row[at] for row in rows], np.int64) for at, name in enumerate(names)}
    if levels is not None:
        columns["level"] = np.array(levels, np.int64)
    metadata = Metadata(name="hand-made", quality=Quality(live_at_start=live_at_start))
    return pba.Trace.from_arrays(columns, metadata)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile what is compiled before Hypothesis looks at the clock."""
    drawdown_table(trace([(0, A, 1, 0), (9, F, 1, 0)]))


@st.composite
def any_trace(draw: st.DrawFn) -> pba.Trace:
    """Return a random trace, with frees of what is not live and pages that were live at the start."""
    live: set[int] = set()
    rows: list[tuple[int, int, int, int]] = []
    start = draw(st.integers(0, 3))
    for page in range(start):
        rows.append((5, A, 100 + page, 0))
        live.add(100 + page)
    now = 5
    for _ in range(draw(st.integers(0, 40))):
        now += draw(st.sampled_from([0, 1, 1000, MS, MS + 1, 300 * MS, SECOND]))
        op = draw(st.sampled_from([A, A, F, F, F, S, D]))
        page = draw(st.sampled_from([*sorted(live), *range(8)]) if op == F else st.integers(0, 40))
        if op == A and page in live:
            continue
        if op == A:
            live.add(page)
        live.discard(page) if op == F else None
        rows.append((now, op, page if op in (A, F) else 0, draw(st.integers(0, 12)) if op == S else 0))
    levels = draw(
        st.lists(st.sampled_from([0, LEVEL_PMD, LEVEL_PTE]), min_size=len(rows), max_size=len(rows))
    )
    return trace(rows, start, levels)


# Slow versions ---------------------------------------------------------------------------------------------


def lives(given_trace: pba.Trace) -> list[tuple[int, int, int | None, bool]]:
    """Return (level, birth, death or None, live at start) of every page, by walking over the events."""
    pages: list[list] = []
    holder: dict[int, int] = {}
    starting = given_trace.metadata.quality.live_at_start
    for at in range(len(given_trace)):
        page, now = int(given_trace.id[at]), int(given_trace.time_ns[at])
        if given_trace.op[at] == A:
            holder[page] = len(pages)
            pages.append([int(given_trace.level[at]), now, None, len(pages) < starting])
        elif given_trace.op[at] == F and page in holder:
            pages[holder.pop(page)][2] = now
    return [tuple(page) for page in pages]


def net_steps(given_trace: pba.Trace) -> list[tuple[int, int]]:
    live: set[int] = set()
    found, starting = [], given_trace.metadata.quality.live_at_start
    for at in range(len(given_trace)):
        page, now = int(given_trace.id[at]), int(given_trace.time_ns[at])
        if given_trace.op[at] == A:
            live.add(page)
            if starting:
                starting -= 1
            else:
                found.append((now, 1))
        elif given_trace.op[at] == F and page in live:
            live.remove(page)
            found.append((now, -1))
    return found


@settings(deadline=None)
@given(any_trace())
def test_lifetimes_are_those_of_a_walk(given_trace: pba.Trace) -> None:
    end = int(given_trace.time_ns[-1]) if len(given_trace) else 0
    expected = [(level, (end if death is None else death) - birth, death is not None)
                for level, birth, death, start in lives(given_trace) if not start]  # fmt: skip
    lifetime_ns, freed, level = lifetimes(given_trace)
    assert list(zip(level.tolist(), lifetime_ns.tolist(), freed.tolist(), strict=True)) == expected
    assert sum(freed) + len(lives(given_trace)) - len(freed) >= int(given_trace.counts()["F"]) - (
        given_trace.unknown_frees
    )


@settings(deadline=None)
@given(any_trace())
def test_survival_is_the_product_of_its_definition(given_trace: pba.Trace) -> None:
    lifetime_ns, freed, _ = lifetimes(given_trace)
    age_ns, at_risk, nr_freed, share = survival(lifetime_ns, freed)
    product = 1.0
    assert age_ns.tolist() == sorted({int(age) for age in lifetime_ns[freed]})
    for at, age in enumerate(age_ns):
        risk = int((lifetime_ns >= age).sum())
        dead = int((lifetime_ns[freed] == age).sum())
        product *= 1 - dead / risk
        assert (at_risk[at], nr_freed[at]) == (risk, dead)
        assert share[at] == pytest.approx(product)


@settings(deadline=None)
@given(any_trace(), st.sampled_from([0, 1, 1000, MS, SECOND, 100 * SECOND]))
def test_the_largest_drawdown_is_that_of_all_windows(given_trace: pba.Trace, window_ns: int) -> None:
    moves = net_steps(given_trace)
    expected = 0
    for first, (begin, _) in enumerate(moves):
        depth = 0
        for now, step in moves[first:]:
            if now - begin > window_ns:
                break
            depth += step
            expected = max(expected, depth)
    assert natural_cache_pages(given_trace, window_ns) == expected


@settings(deadline=None)
@given(any_trace())
def test_drawdown_of_windows_back_to_back(given_trace: pba.Trace) -> None:
    window_ns = 400 * MS
    table = drawdown_table(given_trace, (window_ns,))
    moves, depths = net_steps(given_trace), []
    origin = int(given_trace.time_ns[0]) if len(given_trace) else 0
    for window in range(given_trace.duration_ns // window_ns + 1):
        depth = deepest = 0
        for now, step in moves:
            if (now - origin) // window_ns == window:
                depth += step
                deepest = max(deepest, depth)
        depths.append(deepest)
    for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
        least = min(
            value for value in depths if sum(d <= value for d in depths) >= share * len(depths) - 1e-9
        )
        assert table[f"{name}_pages"].iloc[0] == least
    assert table.largest_pages.iloc[0] >= max(depths)


@settings(deadline=None)
@given(any_trace(), st.sampled_from([0, 1, 1000, MS]))
def test_runs_are_those_of_a_walk(given_trace: pba.Trace, gap_ns: int) -> None:
    expected: dict[int, list[int]] = {1: [], -1: []}
    before: tuple[int, int] | None = None
    for now, step in net_steps(given_trace):
        if before is not None and before[1] == step and now - before[0] <= gap_ns:
            expected[step][-1] += 1
        else:
            expected[step].append(1)
        before = (now, step)
    assert runs(given_trace, OP_FREE, gap_ns).tolist() == expected[-1]
    assert runs(given_trace, OP_ALLOC, gap_ns).tolist() == expected[1]


@settings(deadline=None)
@given(any_trace(), st.integers(1, 9))
def test_windows_hold_every_event_once(given_trace: pba.Trace, windows: int) -> None:
    rates, moves = rates_table(given_trace, windows), net_steps(given_trace)
    if given_trace.duration_ns:
        assert rates.allocs.sum() == sum(step > 0 for _, step in moves)
        assert rates.frees.sum() == sum(step < 0 for _, step in moves)
        phases = phases_table(given_trace, windows)
        assert phases.live_pages.iloc[-1] == sum(death is None for _, _, death, _ in lives(given_trace))
    else:
        assert rates.empty
    passes = passes_table(given_trace, windows)
    assert passes.passes.sum() == given_trace.counts()["S"] + given_trace.counts()["D"]
    live = live_table(given_trace, windows)
    if len(given_trace):
        assert (live.least <= live.total).all() and (live.total <= live.most).all()
        levels = live.drop(columns=["seconds", "total", "least", "most"])
        assert (levels.sum(axis=1) == live.total).all()
        by_level = pd.Series([level for level, _, death, _ in lives(given_trace) if death is None])
        names = {0: "unknown", LEVEL_PMD: "PMD", LEVEL_PTE: "PTE"}
        for code, name in names.items():
            if name in levels:
                assert levels[name].iloc[-1] == (by_level == code).sum()


# Known answers ---------------------------------------------------------------------------------------------


def test_survival_with_censored_pages() -> None:
    """Ages 1, 2, 3 s freed; one page live for 2 s at the end: S = 3/4, 3/4 * 2/3 = 1/2, 0."""
    rows = [(0, A, 1, 0), (0, A, 2, 0), (0, A, 3, 0), (1, F, 1, 0), (1, A, 4, 0), (2, F, 2, 0), (3, F, 3, 0)]
    made = trace([(time * SECOND, *rest) for time, *rest in rows], levels=[5, 5, 4, 0, 5, 0, 0])
    table = lifetimes_table(made)
    together = table[table.level == "all"]
    assert together.age_seconds.tolist() == [1, 2, 3]
    assert together.survival.tolist() == pytest.approx([0.75, 0.5, 0.0])
    assert together.at_risk.tolist() == [4, 3, 1]
    assert set(together.pages) == {4} and set(together.censored) == {1}
    assert table[table.level == "PMD"].survival.tolist() == [0.0]
    assert median_lifetime_ns(made) == 2 * SECOND


def test_pages_live_at_the_start_have_no_age_and_are_no_demand() -> None:
    rows = [(0, A, 1, 0), (0, A, 2, 0), (0, A, 3, 0), (SECOND, F, 1, 0), (2 * SECOND, F, 3, 0)]
    made = trace(rows, live_at_start=2)
    assert lifetimes(made)[0].tolist() == [2 * SECOND]
    assert natural_cache_pages(made) == 1
    live = live_table(made, 2)
    assert (live.total.tolist(), live.least.tolist(), live.most.tolist()) == ([3, 1], [2, 1], [3, 2])


def test_half_of_the_pages_outlive_the_trace() -> None:
    assert median_lifetime_ns(trace([(0, A, 1, 0), (0, A, 2, 0), (0, A, 3, 0), (9, F, 1, 0)])) is None


def test_drawdown_follows_its_window() -> None:
    """Three allocations 400 ms apart, a free, then four at once."""
    rows = [(0, A, 1, 0), (400, A, 2, 0), (800, A, 3, 0), (1500, F, 1, 0)]
    rows += [(1600, A, page, 0) for page in range(4, 8)]
    made = trace([(time * MS, *rest) for time, *rest in rows])
    largest = {ms: natural_cache_pages(made, ms * MS) for ms in (0, 399, 400, 1000, 2000)}
    assert largest == {0: 4, 399: 4, 400: 4, 1000: 4, 2000: 6}


def test_bursts_break_at_the_gap_and_at_the_other_kind() -> None:
    rows = [(0, A, page, 0) for page in range(6)]
    rows += [(1, F, 0, 0), (1, S, 0, 12), (2, F, 1, 0), (3, A, 9, 0), (4, F, 2, 0), (4 + MS, F, 3, 0)]
    rows += [(5 + 2 * MS, F, 4, 0)]
    table = bursts_table(trace(rows))
    frees = table[table.kind == "free"]
    assert dict(zip(frees.size_pages, frees.runs, strict=True)) == {1: 1, 2: 2}
    assert frees.runs_share.tolist() == pytest.approx([1, 2 / 3])
    assert frees.pages_share.tolist() == pytest.approx([1, 4 / 5])


def test_percentiles_are_values_that_occur() -> None:
    sizes = np.arange(1, 101)
    assert [percentile(sizes, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile(sizes, 0.5, zeros=100) == 0
    assert percentile(np.empty(0, np.int64), 0.99) == 0


def test_passes_and_rates_and_phases() -> None:
    rows = [
        (0, A, 1, 0),
        (1, S, 0, 12),
        (1, S, 0, 12),
        (1, S, 0, 3),
        (6, D, 0, 0),
        (9, F, 1, 0),
        (10, A, 1, 0),
    ]
    made = trace([(time * SECOND, *rest) for time, *rest in rows])
    passes = passes_table(made, 2)
    found = list(zip(passes.from_seconds, passes.kind, passes.priority, passes.passes, strict=True))
    assert found == [(0, "pass", 3, 1), (0, "pass", 12, 2), (5, "drop_slab", 0, 1)]
    rates = rates_table(made, 2)
    assert rates.allocs_per_second.tolist() == [0.2, 0.2]
    assert rates.frees_per_second.tolist() == [0, 0.2]
    phases = phases_table(made, 2)
    assert phases.change_per_second.tolist() == [0.2, 0]
    assert phases.live_pages.tolist() == [1, 1]


def test_an_empty_trace_has_empty_tables() -> None:
    nothing = trace([])
    for table_of in (
        live_table, rates_table, phases_table, lifetimes_table, bursts_table, drawdown_table, passes_table,
    ):  # fmt: skip
        assert table_of(nothing).empty, table_of
    assert natural_cache_pages(nothing) == 0
    assert median_lifetime_ns(nothing) is None


def test_times_near_the_end_of_time() -> None:
    last = (1 << 62) - 1
    made = trace([(0, A, 1, 0), (last, F, 1, 0)])
    table = drawdown_table(made)
    assert table.largest_pages.tolist() == [1] * len(table)
    assert rates_table(made).allocs.sum() == 1


def test_thinned_curves_keep_their_shape_and_ends() -> None:
    generator = np.random.default_rng(3)
    rows = sorted((int(t), A, i, 0) for i, t in enumerate(generator.integers(0, SECOND, 3000)))
    rows += sorted((int(t), F, i, 0) for i, t in enumerate(generator.integers(SECOND, 2 * SECOND, 3000)))
    made = trace(rows)
    whole, thin = lifetimes_table(made, 0), lifetimes_table(made, 50)
    whole, thin = (table[table.level == "all"] for table in (whole, thin))
    assert len(thin) <= 53 < len(whole)
    assert thin.iloc[-1].age_seconds == whole.iloc[-1].age_seconds
    held = np.interp(whole.age_seconds, thin.age_seconds, thin.survival)
    assert np.abs(held - whole.survival).max() <= 2 / 50
