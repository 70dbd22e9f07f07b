from __future__ import annotations

from typing import Any

import pytest

from pba import progress as told
from pba.progress import SILENT, NotebookLine, Pace, Progress, heard, say_through_line


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


class Display:
    """What a notebook shows: a text that changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.displays = 0
        display = pytest.importorskip("IPython.display", reason="IPython is not installed")
        monkeypatch.setattr(display, "display", self.show)

    def show(self, _first: object, display_id: bool) -> Display:
        assert display_id
        self.displays += 1
        return self

    def update(self, text: object) -> None:
        self.texts.append(repr(text))


def test_a_notebook_has_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    display, clock = Display(monkeypatch), Clock()
    line = NotebookLine(clock)
    line.end()  # nothing was drawn
    line.stage("trying\x1b", 4, "points")
    line.say("going on\x1b")
    for done in range(1, 5):
        clock.now += 0.04
        line.advance(done, "best 3")
    assert say_through_line("pba: compiling")
    line.end()
    line.end()
    assert not say_through_line("pba: compiling")
    assert display.displays == 1
    assert display.texts[0] == "trying\\x1b [....................] 0/4 points"
    assert display.texts[1].splitlines()[0] == "going on\\x1b"
    counted = [text.splitlines()[-1] for text in display.texts if "best 3" in text and "pba" not in text]
    assert counted == [
        "trying\\x1b [###############.....] 3/4 points, best 3",
        "trying\\x1b [####################] 4/4 points, best 3",
    ]
    assert display.texts[-1] == "going on\\x1b\npba: compiling"


def test_a_line_is_drawn_in_jupyter_alone_and_nobody_else_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert heard(None) is SILENT
    assert heard(SILENT) is SILENT
    monkeypatch.setattr(told, "in_notebook", lambda: True)
    assert isinstance(heard(None), NotebookLine)
    assert heard(SILENT) is SILENT


def test_a_kernel_of_jupyter_shows_how_far_a_sweep_is() -> None:
    nbformat: Any = pytest.importorskip("nbformat")
    client: Any = pytest.importorskip("nbclient")
    source = (
        "import pba\n"
        "found = pba.sweep('git-x86', pba.Grid('4,16', '64', '512'))\n"
        "made = pba.generate('fork-storm', duration_ns='1s')\n"
        "from pba.progress import in_notebook\n"
        "print(in_notebook())"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    outputs = book.cells[0].outputs
    shown = [one["data"]["text/plain"] for one in outputs if one["output_type"] == "display_data"]
    assert len(shown) == 2
    assert "points (" in shown[0]  # what is said stays
    assert "exploring" not in shown[0]  # what changed is gone
    assert shown[1] == ""
    assert [one["text"] for one in outputs if one["output_type"] == "stream"] == ["True\n"]
