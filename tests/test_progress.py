from __future__ import annotations

from pba.progress import SILENT, Pace, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_does_not_follow_from_the_first_piece_which_compiles() -> None:
    clock = Clock()
    pace = Pace(10, clock=clock)
    assert pace.seconds_left() is None
    clock.now = 12.0
    pace.advance(6)
    assert pace.seconds_left() is None
    clock.now = 18.0
    pace.advance(9)
    assert pace.seconds_left() == 2.0
    pace.advance(10)
    assert pace.seconds_left() == 0.0


def test_what_was_done_before_says_nothing_of_the_pace() -> None:
    clock = Clock()
    pace = Pace(100, 80, clock)
    for done in (20, 80):  # as it is told again
        pace.advance(done)
        assert pace.seconds_left() is None
    clock.now = 5.0
    pace.advance(82)
    clock.now = 7.0
    pace.advance(84)
    assert pace.seconds_left() == 16.0


def test_nobody_need_listen() -> None:
    progress: Progress = SILENT
    progress.say("x")
    progress.stage("reading", 3, "traces")
    progress.advance(3, "note")
    progress.end()
    progress.end()
