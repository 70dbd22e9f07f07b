"""The report in a real browser: nothing from outside, readable in light and dark, wide and narrow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pba.report import write_report
from tests.report.report_fixture import corner_runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = os.environ.get("PBA_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
CASES = ("usual", "many-long-names", "nothing-matters")
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM} (PBA_CHROMIUM names another)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, runs = tmp_path_factory.mktemp("reports"), corner_runs()
    return {name: write_report(runs[name], folder / name)[0] for name in CASES}


@pytest.fixture(params=[(scheme, width) for scheme in ("light", "dark") for width in WIDTHS], ids=str)
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    scheme, width = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.complaints = []
    page.requests = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda asked: page.requests.append(asked.url))
    yield page
    context.close()


CONTRAST = """() => {
  const channel = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
                       return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b) }
  const clear = c => /rgba\\(.*, 0\\)/.test(c)
  const ground = e => { while (e && clear(getComputedStyle(e).backgroundColor)) e = e.parentElement
                        return e ? getComputedStyle(e).backgroundColor : 'rgb(255, 255, 255)' }
  const found = []
  for (const e of document.querySelectorAll('p, li, dt, dd, th, td, figcaption, h1, h2, code, a, svg text')) {
    if (!e.textContent.trim()) continue
    const style = getComputedStyle(e)
    const ink = light(e instanceof SVGElement ? style.fill : style.color)
    const paper = light(ground(e instanceof SVGElement ? e.closest('svg').parentElement : e))
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)
    if (ratio < 4.5) found.push([e.tagName, e.textContent.trim().slice(0, 40), ratio])
  }
  return found
}"""


@pytest.mark.parametrize("case", CASES)
def test_the_page_fits_reads_well_and_asks_for_nothing(
    page: Any, reports: dict[str, Path], case: str, keep: Callable[[Any, str], None], request: Any
) -> None:
    page.goto(reports[case].as_uri())
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(CONTRAST) == []
    assert page.locator("figure svg").count() == 3
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        assert box["width"] > 400 and box["height"] > 100
    scheme, width = request.node.callspec.params["page"]
    keep(page, f"report-{case}-{scheme}-{width}")


def test_figures_and_tables_have_names(page: Any, reports: dict[str, Path]) -> None:
    page.goto(reports["usual"].as_uri())
    figures = page.get_by_role("img")
    assert figures.count() == 3
    tree = page.locator("body").aria_snapshot()
    assert 'img "What the thresholds cost' in tree
    assert 'table "Patch against recommended"' in tree
    assert 'rowheader "postgres-pgbench"' in tree and 'columnheader "PMD splits"' in tree


def test_text_of_figures_does_not_overlap_in_the_browsers_own_font(
    page: Any, reports: dict[str, Path]
) -> None:
    page.goto(reports["usual"].as_uri())
    overlaps = page.evaluate("""() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
      const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()])
      const hit = ([, a], [, b]) => a.left < b.right - 1 && b.left < a.right - 1
                                 && a.top < b.bottom - 2 && b.top < a.bottom - 2
      return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => hit(a, b)).map(b => [a[0], b[0]]))
    })""")
    assert overlaps == []
