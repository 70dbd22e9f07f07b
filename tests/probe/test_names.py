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
