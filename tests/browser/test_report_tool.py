"""The HTML report as a tool: tables sort, points of the front answer, and all of it is there without scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pba
from pba.report import write_report
from pba.study.result import Run
from tests.browser.test_report_html import browser
from tests.study.study_fixture import finished_run

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("tool"))


@pytest.fixture(scope="module")
def report(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(run, tmp_path_factory.mktemp("report"))[0].as_uri()


@pytest.fixture(params=[1280, 390])
def page(request: pytest.FixtureRequest, browser: Any, report: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report)
    yield page
    assert complaints == []
    context.close()


def column(page: Any, caption: str, at: int) -> list[str]:
    return list(
        page.locator("table", has_text=caption)
        .locator(f"tbody tr:not(.total) > :nth-child({at})")
        .all_inner_texts()
    )


def test_tables_sort_by_numbers_and_come_back(page: Any) -> None:
    caption = "The front, by PMD splits"
    before = column(page, caption, 5)
    assert len(before) >= 3
    numbers = [float(text.replace(",", "")) for text in before]
    heading = page.locator("table", has_text=caption).get_by_role("button", name="mean cached pages")
    for order, wanted in (
        ("ascending", sorted(numbers)),
        ("descending", sorted(numbers, reverse=True)),
        (None, numbers),
    ):
        heading.click()
        assert [float(text.replace(",", "")) for text in column(page, caption, 5)] == wanted
        assert heading.locator("xpath=..").get_attribute("aria-sort") == order


def test_a_table_of_two_rows_has_nothing_to_sort(report: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(report)
    table = page.locator("table", has_text="Patch against recommended")
    assert table.get_by_role("button").count() == 0
    assert table.locator("tbody tr.total").count() == 1
    page.close()


def test_a_point_says_what_it_is_and_is_shown_recording_by_recording(page: Any, run: Run) -> None:
    named = page.locator(".spot[data-text*='recommended']").last
    named.scroll_into_view_if_needed()
    named.hover()
    tip = page.locator(".tip")
    assert tip.is_visible()
    point = run.points.loc[run.recommended]
    assert (
        f"U={point.unshrinkable_pages} M={point.shrink_block_min_pages} B={point.batch}" in tip.inner_text()
    )
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]
    named.click()
    rows = page.locator(".chosen tbody tr").all_inner_texts()
    assert len(rows) == len(run.traces)
    for text, name in zip(rows, run.traces["trace"], strict=True):
        before, after = (
            int(run.per_trace.loc[(at, name), "pmd_splits"]) for at in (run.patch, run.recommended)
        )
        assert text.startswith(name)
        assert (f"{before:,} \u2192 {after:,}" if before != after else f"{before:,}") in text
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_every_point_of_the_front_is_known_recording_by_recording(page: Any, run: Run) -> None:
    assert run.decision is not None
    keys = page.evaluate(
        "Object.keys(JSON.parse(document.getElementById('front-details').textContent).points)"
    )
    wanted = {",".join(map(str, row["point"])) for row in run.decision.front}
    assert wanted <= set(keys)
    details = page.evaluate("JSON.parse(document.getElementById('front-details').textContent).points")
    for row in run.decision.front:
        splits, pages = details[",".join(map(str, row["point"]))]
        assert sum(splits) == row["values"][0]
        assert sum(pages) / len(pages) == pytest.approx(row["values"][1], abs=0.01)


def test_patch_and_recommended_are_in_sight_on_a_phone(page: Any) -> None:
    frame = page.locator("#front figure .scroll")
    frame.scroll_into_view_if_needed()
    limits = frame.bounding_box()
    for name in ("patch", "recommended"):
        box = page.locator(f".spot[data-text*='{name}']").last.bounding_box()
        middle = box["x"] + box["width"] / 2
        assert limits["x"] <= middle <= limits["x"] + limits["width"], name


def test_the_first_screen_answers(browser: Any, report: str, keep: Callable[[Any, str], None]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(report)
    for seen in ("h1", ".first dd", "#choices tbody tr.marked", "#caveats li >> nth=0"):
        box = page.locator(seen).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900, seen
    for name in ("patch", "recommended"):
        box = page.locator(f".spot[data-text*='{name}']").last.bounding_box()
        assert box["y"] + box["height"] <= 900, name
    for figure in ("watch", "splits", "slices"):  # a made run of the other tests has none of these
        assert page.locator(f"#{figure}-title").count() == 1
    keep(page, "report-of-a-run")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_it_is_black_on_white_and_nothing_is_cut(
    browser: Any, report: str, scheme: str, keep: Callable[[Any, str], None]
) -> None:
    context = browser.new_context(viewport={"width": 794, "height": 1123}, color_scheme=scheme)
    page = context.new_page()
    page.goto(report)
    page.emulate_media(media="print", color_scheme=scheme)
    style = "getComputedStyle(document.documentElement)"
    assert page.evaluate(f"[{style}.color, {style}.backgroundColor]") == [
        "rgb(0, 0, 0)",
        "rgb(255, 255, 255)",
    ]
    for hidden in ("nav", ".hint", ".skip"):
        assert not page.locator(hidden).first.is_visible()
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 794
    assert page.evaluate("document.documentElement.scrollWidth <= 794")
    keep(page, f"report-print-{scheme}")
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", ["sweep", "comparison"])
def test_sweeps_and_comparisons_are_pages_of_the_same_kind(
    browser: Any, run: Run, kind: str, width: int, tmp_path: Path, keep: Callable[[Any, str], None]
) -> None:
    found: Any = pba.load_sweep(run.folder / "sweep")
    if kind == "comparison":
        found = pba.compare([str(path) for path in run.traces["path"]], ["v6", "v6:U=64", "scattered"])
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(write_report(found, tmp_path / kind)[0].as_uri())
    assert complaints == []
    assert page.locator("figure svg").count() == (1 if kind == "sweep" else 1 + len(run.traces))
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    heading = page.get_by_role("button", name="mean cached pages" if kind == "sweep" else "scattered").first
    heading.click()
    assert heading.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    keep(page, f"report-{kind}-{width}")
    page.close()


def test_without_scripts_nothing_is_missing(browser: Any, report: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report)
    assert page.locator(".chosen").count() == 0
    assert page.locator(".spot title").count() == page.locator(".spot").count() > 40
    assert page.locator("table").count() > 3
    context.close()
