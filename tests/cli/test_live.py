from __future__ import annotations

import io

from pba.cli.live import PLAIN_S, LiveLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_sparse_lines_where_there_is_no_terminal() -> None:
    stream, clock = io.StringIO(), Clock()
    line = LiveLine(stream, clock)
    line.stage("replaying", 100, "points")
    for done in range(1, 101):
        clock.now += PLAIN_S / 25
        line.advance(done, "best\x1b 3")
    line.end()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "replaying 25/100 points, 30 s left, best\\x1b 3"
    assert "\x1b" not in stream.getvalue()


def test_one_line_on_a_terminal_that_goes_away() -> None:
    stream, clock = Terminal(), Clock()
    line = LiveLine(stream, clock)
    line.stage("replaying", 4, "points")
    clock.now = 20.0
    line.advance(1)
    assert "left" not in stream.getvalue()  # nothing is told from a first piece
    clock.now = 21.0
    line.advance(2)
    assert "2/4 points, 2 s left" in stream.getvalue()
    line.end()
    line.end()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\033[K")


def test_a_stream_that_is_closed_ends_no_work() -> None:
    stream = Terminal()
    line = LiveLine(stream)
    line.stage("reading")
    stream.close()
    line.advance(1)
    line.say("x")
    line.end()
