from __future__ import annotations

import io

from rich.console import Console

from pba.study.sweep.progress import SECONDS_BETWEEN_LINES, Pace, SweepProgress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_from_the_work_done_after_the_first_task_which_compiles() -> None:
    clock = Clock()
    pace = Pace([6.0, 3.0, 1.0], clock)
    assert pace.seconds_left() is None
    clock.now = 12.0
    pace.add(6.0)
    assert pace.seconds_left() is None
    clock.now = 18.0
    pace.add(3.0)
    assert pace.seconds_left() == 2.0
    pace.add(1.0)
    assert pace.seconds_left() == 0.0


def test_plain_lines_now_and_then_where_there_is_no_terminal() -> None:
    text, clock = io.StringIO(), Clock()
    watch = SweepProgress(Console(file=text, width=80), clock)
    watch.begin([1.0] * 10, 5)
    for _ in range(10):
        clock.now += SECONDS_BETWEEN_LINES / 2
        watch.task(1.0)
    watch.end()
    lines = text.getvalue().splitlines()
    assert lines[0] == "going on: 5 of 15 pieces are done"
    assert lines[1] == "7/15 pieces, 20 s left"
    assert lines[-1] == "15/15 pieces"
    assert len(lines) == 6
    assert "\x1b" not in text.getvalue()


def test_a_live_line_on_a_terminal() -> None:
    text = io.StringIO()
    watch = SweepProgress(Console(file=text, force_terminal=True, width=100))
    watch.begin([1.0, 1.0], 0)
    watch.task(1.0)
    watch.task(1.0)
    watch.end()
    watch.end()
    assert "2/2" in text.getvalue()
