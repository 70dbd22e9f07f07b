"""How objects show themselves: short, escaped, and without an error or long work whatever they hold."""

from __future__ import annotations

import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import pba
from pba import shown
from pba.cli.app import run as run_command
from pba.sparkline import ASCII_BARS, BARS, bars_for, sparkline, sparkline_svg
from pba.study.result import Run
from pba.trace import table
from tests.report.report_fixture import corner_runs
from tests.study.study_fixture import make_trace

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e" + "x" * 5000
MACHINE = pba.Machine(4, 16384)
GRID = pba.Grid("4:64:4", "1:512", "64,512,1024")


def hostile_trace() -> pba.Trace:
    trace = make_trace("alpha", 1)
    return pba.Trace.from_frame(trace.to_frame(), trace.metadata.with_(name=HOSTILE, kernel=HOSTILE))


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """One of each object that shows itself, with names that are meant ill."""
    trace = hostile_trace()
    run = corner_runs()["usual"]
    run = replace(run, folder=run.folder / HOSTILE[:200], study=replace(run.study, name=HOSTILE))
    return {
        "Trace": trace,
        "ReplayResult": pba.replay(trace, machine=MACHINE, timeline=True),
        "ReplayResult without a timeline": pba.replay(trace, machine=MACHINE),
        "CompiledTrace": pba.compile_trace(trace),
        "SweepResult": pba.sweep(trace, GRID, [MACHINE, pba.Machine(4, 32768)]),
        "Run": run,
        "Machine": MACHINE,
        "Thresholds": pba.Thresholds(),
        "Grid": pba.Grid(),
        "Grid of all": pba.Grid("all"),
        "Grid of hostile steps": pba.Grid([value * value for value in range(2, 900)]),
    }


def is_whole(html: str) -> bool:
    """Whether each element that begins ends, in order, and none can do anything."""
    open_tags: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            assert tag not in ("script", "iframe", "img", "a")
            assert not [name for name, _ in attrs if name.startswith("on")]
            open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Parser().feed(html)
    return not open_tags


def test_texts_are_short_and_plain(objects: dict[str, Any]) -> None:
    for name, one in objects.items():
        text = repr(one)
        lines = text.splitlines()
        assert text.startswith(name.split()[0]), name
        assert len(lines) <= 5, text
        assert max(map(len, lines)) <= 250, text
        assert "cannot be shown" not in text
        assert "\x1b" not in text, name
        assert "\u202e" not in text, name
        text.encode()


def test_html_is_whole_short_and_escaped(objects: dict[str, Any]) -> None:
    for name, one in objects.items():
        if not hasattr(one, "_repr_html_"):
            assert name == "CompiledTrace"
            continue
        html = one._repr_html_()
        assert is_whole(html), name
        assert "cannot be shown" not in html, html
        assert "<script" not in html
        assert "\x1b" not in html
        assert len(html) < 60_000, name


@pytest.mark.parametrize("name", sorted(corner_runs()))
def test_every_kind_of_run_is_shown(name: str) -> None:
    run = corner_runs()[name]
    html = run._repr_html_()
    assert is_whole(html)
    assert "cannot be shown" not in html + repr(run)
    assert "patch" in html
    assert ("<svg" in html) == (len(run.aims) == 2)


def test_what_is_shown_is_what_it_holds(objects: dict[str, Any]) -> None:
    trace, result, swept = objects["Trace"], objects["ReplayResult"], objects["SweepResult"]
    counts = trace.counts()
    assert f"{counts['A']:,} allocations, {counts['F']:,} frees" in repr(trace)
    assert "recall 98.00 %, precision 98.98 %" in repr(trace)
    assert f"PMD splits {result.counters['pmd_splits']}," in repr(result)
    assert result.cache_hash not in repr(result)
    assert f'<td style="text-align: right">{result.counters["allocs"]:,}</td>' in result._repr_html_()
    place = swept.patch_place(swept.settings[0])
    assert f"{place.aims.pmd_splits:,} PMD split" in repr(swept)
    usual: Run = corner_runs()["usual"]
    assert usual.decision is not None
    assert usual.decision.words in repr(usual)
    best = usual.points.loc[usual.recommended]
    assert f"PMD splits {int(best.pmd_splits)}" in repr(usual)


def test_the_live_curve_is_the_live_pages_over_time() -> None:
    trace = make_trace("alpha", 1)
    live = np.cumsum(np.where(trace.op == 0, 1, np.where(trace.op == 1, -1, 0)))
    curve = trace._live_curve(7)
    ends = trace.time_ns[0] + np.arange(1, 8) * (trace.duration_ns / 7)
    expected = [float(live[trace.time_ns <= end][-1]) for end in ends[:-1]] + [float(live[-1])]
    assert curve == expected


def test_a_huge_trace_is_shown_without_being_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = make_trace("alpha", 1)
    monkeypatch.setattr(table, "MOST_LOOKED_AT", 100)
    monkeypatch.setattr(pba.Trace, "counts", lambda self: pytest.fail("counted"))
    assert "1,500 events" in repr(trace)
    assert "1,500 events" in trace._repr_html_()
    assert "allocation" not in repr(trace)


def test_to_show_five_million_events_takes_no_time() -> None:
    events = 5_000_000
    op = np.tile(np.array([0, 1], np.int8), events // 2)
    ids = np.repeat(np.arange(events // 2), 2)
    trace = pba.Trace.from_arrays(
        {"time_ns": np.arange(events), "op": op, "id": ids, "arg": np.zeros(events, int)}, None
    )
    begun = time.perf_counter()
    repr(trace)
    assert time.perf_counter() - begun < 1  # some 20 ms, on a machine that others use too


@pytest.mark.parametrize(
    "kind", [pba.Trace, pba.ReplayResult, pba.SweepResult, pba.CompiledTrace, pba.Grid, Run, pba.Machine]
)
def test_half_made_objects_are_shown_by_their_class(kind: type) -> None:
    half = object.__new__(kind)
    if kind is not pba.Machine:  # a dataclass' own text
        assert repr(half) == f"<{kind.__name__}, which cannot be shown: AttributeError>"
    if hasattr(kind, "_repr_html_"):
        assert half._repr_html_().startswith(f"&lt;{kind.__name__}, which cannot be shown")


def test_empty_things_are_shown() -> None:
    nothing = pba.Trace.from_arrays({"time_ns": [], "op": [], "id": [], "arg": []})
    assert repr(nothing).startswith("Trace 'trace': 0 events in 0 s")
    assert is_whole(nothing._repr_html_())
    result = pba.replay(nothing, machine=MACHINE, timeline=True)
    assert "cannot be shown" not in repr(result) + result._repr_html_()


def test_sparklines() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0, 0]) == "▁▁▁"
    assert sparkline([5, 5]) == "▁▁"
    assert sparkline(range(8)) == BARS
    assert sparkline([1, float("nan"), 2]) == "▁ █"
    assert sparkline([float("nan")] * 2) == "  "
    assert sparkline([0, 9, 0, 0, 0, 0], 2) == "█▁"  # a peak stays, however narrow
    assert len(sparkline(range(100_000), 60)) == 60
    assert sparkline(range(8), bars=ASCII_BARS) == ASCII_BARS
    assert sparkline([-(10.0**300), 0, 10.0**300]) == "▁▄█"


def test_bars_are_those_that_the_terminal_can_write() -> None:
    assert bars_for("utf-8") == BARS
    for encoding in ("ascii", "latin-1", None, "no-such-encoding"):
        assert bars_for(encoding) == ASCII_BARS
    ASCII_BARS.encode("ascii")


def test_small_svgs() -> None:
    assert sparkline_svg([]) == sparkline_svg([float("nan")]) == ""
    assert is_whole(sparkline_svg([1, 3, 2]))
    assert shown.front_svg([], [], ("a", "b")) == ""
    drawn = shown.front_svg([(0, 9), (4, 1)], [("<b>", (4, 1), "#000"), ("x", (4, 1), "#111")], ("<i>", "y"))
    assert is_whole(drawn)
    assert "&lt;b&gt;: 4, 1" in drawn
    assert 'r="9"' in drawn  # what lies under another mark shows around it


def test_info_draws_the_live_pages_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["info", "git-x86"]) == 0
    drawn = [line for line in capsys.readouterr().out.splitlines() if set(BARS) & set(line)]
    assert len(drawn) == 1
    assert set(drawn[0].strip()) <= set(BARS)
    assert len(drawn[0]) <= 80
