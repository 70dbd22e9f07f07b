"""Public functions bear their public names, and take the names of recordings where they take a trace."""

from __future__ import annotations

import inspect

import pytest

import pba
from pba.errors import MachineError

NAME = next(iter(pba.recordings()))


@pytest.mark.parametrize("name", [name for name in pba.__all__ if not name.startswith("__")])
def test_a_public_name_is_that_of_what_it_names_and_is_documented(name: str) -> None:
    found = getattr(pba, name)
    assert found.__name__ == name
    assert inspect.getdoc(found)
    assert name in dir(pba)
    if inspect.isfunction(found) and name.startswith(("df_", "plot_")) and "timeline" not in name:
        for parameter in inspect.signature(found).parameters:
            assert f"{parameter} : " in (found.__doc__ or "")


def test_a_recording_is_taken_by_its_name() -> None:
    trace = pba.read_trace(NAME)
    assert pba.replay(NAME).counters == pba.replay(trace).counters
    assert pba.replay_bounds(NAME).figures == pba.replay_bounds(trace).figures
    assert pba.df_live(NAME).equals(pba.df_live(trace))
    assert pba.plot_live(NAME).data.equals(pba.plot_live(trace).data)


def test_a_machine_of_no_memory_is_refused() -> None:
    assert pba.Machine().memory_bytes == 4 << 30
    assert pba.Machine(memory_pages=None).memory_pages == 1 << 20  # type: ignore[arg-type]
    with pytest.raises(MachineError, match="0 pages"):
        pba.Machine(memory_pages=0)


def same(one: pba.Trace, other: pba.Trace) -> bool:
    return one.to_frame().equals(other.to_frame()) and one.metadata == other.metadata


def test_traces_are_made_of_named_ones_at_times_in_human_units() -> None:
    trace = pba.read_trace(NAME)
    assert same(pba.cut(NAME, from_ns="1s", to_ns="2.5s"), pba.cut(trace, 10**9, 2_500_000_000))
    assert same(pba.join([NAME, trace], gap_ns="1ms"), pba.join([trace, trace], 10**6))
    assert same(pba.repeat(NAME, 2, "1s"), pba.repeat(trace, 2, 10**9))
    assert same(pba.merge([NAME, NAME]), pba.merge([trace, trace]))
    assert same(pba.scale(NAME, 2), pba.scale(trace, 2))
    assert same(
        pba.generate("fork-storm", duration_ns="2s"), pba.generate("fork-storm", duration_ns=2 * 10**9)
    )
    with pytest.raises(pba.PbaError, match="from_ns"):
        pba.cut(NAME, from_ns="ten")


def test_a_machine_and_a_compiled_trace_are_those_of_a_named_recording() -> None:
    trace = pba.read_trace(NAME)
    assert pba.machine_of(NAME) == pba.machine_of(trace)
    assert pba.replay(pba.compile_trace(NAME)).counters == pba.replay(trace).counters


def test_tables_and_plots_take_times_in_human_units() -> None:
    trace = pba.read_trace(NAME)
    assert pba.df_bursts(NAME, gap_ns="10ms").equals(pba.df_bursts(trace, 10**7))
    assert pba.plot_bursts(NAME, gap_ns="10ms").data.equals(pba.df_bursts(trace, 10**7))
    asked = pba.df_drawdown(NAME, windows_ns=["200ms", 10**9])
    assert asked.equals(pba.df_drawdown(trace, (200_000_000, 10**9)))
    assert pba.plot_drawdown(NAME, window_ns="200ms").svg() == pba.plot_drawdown(trace, 200_000_000).svg()
    with pytest.raises(pba.PbaError, match="gap_ns 'much' is not a time"):
        pba.df_bursts(trace, gap_ns="much")
    with pytest.raises(pba.PbaError, match="window_ns 0 is not a length of time"):
        pba.plot_drawdown(trace, window_ns=0)
