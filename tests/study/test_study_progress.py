from __future__ import annotations

import io

from rich.console import Console

from pba.study.progress import PLAIN_LINES, ProgressWatch, Tally


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_from_the_pace_of_this_process() -> None:
    clock = Clock()
    tally = Tally(10, 4, clock)
    for _ in range(4):
        clock.now += 100
        tally.add((5.0, 1.0))
        assert tally.seconds_left() is None
    for left in (10, 8, 6):
        clock.now += 2
        tally.add((5.0, 1.0))
        assert tally.seconds_left() == left


def test_the_best_is_never_worse_than_the_patch_in_either_aim() -> None:
    tally = Tally(5, 0)
    for aims in ((10.0, 4.0), (1.0, 4.1), (11.0, 0.1), (9.0, 4.0), (9.5, 3.0)):
        tally.add(aims)
    assert tally.patch == (10.0, 4.0)
    assert tally.best == (9.5, 3.0)
    assert tally.text() == "best 10 splits, 3 pages (patch: 10 splits, 4 pages)"


def test_plain_lines_where_there_is_no_terminal() -> None:
    text = io.StringIO()
    watch = ProgressWatch(Console(file=text, width=80))
    watch.say("reading")
    watch.begin(95, 5)
    for _ in range(95):
        watch.point((3.0, 1.0))
    watch.end()
    lines = text.getvalue().splitlines()
    assert lines[0] == "reading"
    assert lines[1] == "going on: 5 of 95 points are done"
    assert len(lines) == 2 + PLAIN_LINES
    assert lines[-1].startswith("95/95 points, best 3 splits, 1 pages")
    assert "\x1b" not in text.getvalue()


def test_a_live_line_on_a_terminal() -> None:
    text = io.StringIO()
    watch = ProgressWatch(Console(file=text, force_terminal=True, width=100))
    watch.begin(2, 0)
    watch.point((3.0, 1.0))
    watch.point((2.0, 1.0))
    watch.end()
    watch.end()
    assert "2/2" in text.getvalue()
    assert "best 2 splits" in text.getvalue()
