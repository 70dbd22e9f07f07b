"""Each surprise is what its trace shows, and the trace is as short as can be."""

from __future__ import annotations

import numpy as np
import pytest

from pba.trace.table import Trace
from tests.answer.surprises import FOLDER, counted, surprises, trace_of

SAID = surprises()


def without(trace: Trace, event: int) -> Trace:
    """Return a trace without one of its events."""
    kept = np.arange(len(trace)) != event
    return Trace.from_arrays({name: getattr(trace, name)[kept] for name in ("time_ns", "op", "id", "arg")})


@pytest.mark.parametrize("name", SAID)
def test_a_surprise_is_what_its_trace_shows(name: str) -> None:
    said = SAID[name]
    trace = trace_of(name)
    assert counted(trace, said) == said["shows"]
    other = {key: said[key] for key in ("memory", "page_size_kib") if key in said} | said["otherwise"]
    assert counted(trace, other) == other["shows"]
    as_told = counted(trace, {**said, "shows": other["shows"]})
    # Where no block is ever tracked, it makes no difference that none is.
    assert (as_told == other["shows"]) == (name == "no-block-tracked")
    for event in range(len(trace)):
        assert counted(without(trace, event), said) != said["shows"], f"event {event} is not needed"
    assert all(said[key] for key in ("what", "when", "remedy"))


def test_every_trace_is_told_of() -> None:
    assert {path.stem for path in (FOLDER / "surprises").iterdir()} == set(SAID)
