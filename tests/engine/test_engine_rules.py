"""What the engine says of itself: its worked example."""

from __future__ import annotations

import doctest

import pba.engine.state


def test_the_worked_example_is_real() -> None:
    done = doctest.testmod(pba.engine.state)
    assert done.attempted >= 5
    assert done.failed == 0
