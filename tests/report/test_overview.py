"""The overview of a batch: what it says of each study, and that names in it are nothing but names."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from rich.console import Console

from pba.cli.batch import show_rows
from pba.errors import StudyError
from pba.report.answers import verdict
from pba.report.overview import in_short, plain, render, rows_of, write_overview
from pba.study.batch import Outcome
from tests.report.report_fixture import corner_runs

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[31mred\x1b[0m",
    "[bold]markup[/bold] [/nothing]",
    "{{ 7 * 7 }}{% raw %}",
    "line\nbreak\r\ttab",
    "\u202egnirts",
    "bad\udcff",
    "long" * 200,
]


class Page(HTMLParser):
    """Collects a page's tags, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def outcomes(folder: Path) -> list[Outcome]:
    found = [
        Outcome(name, folder / name, replace(run, folder=folder / name))
        for name, run in corner_runs().items()
        if run.complete
    ]
    return [*found, Outcome("broken", folder / "broken", error=StudyError("no luck", "try again"))]


def test_a_row_says_what_the_run_says(tmp_path: Path) -> None:
    given = outcomes(tmp_path)
    rows = rows_of(given, tmp_path)
    for outcome, row in zip(given[:-1], rows[:-1], strict=True):
        run = outcome.run
        assert run is not None
        assert row.study == outcome.name
        assert (row.recordings, row.held_out) == (len(run.traces), len(run.held_out))
        assert row.verdict == verdict(run)
        assert [one.name for one in row.figures] == [aim.name for aim in run.aims]
        for one in row.figures:
            assert one.patch == pytest.approx(run.points.loc[run.patch, one.name])
            assert one.recommended == pytest.approx(run.points.loc[run.recommended, one.name])
    page = render(rows).replace("\u00a0", " ")
    for row in rows:
        for one in row.figures:
            assert one.shown.replace(" -> ", " \u2192 ") in page
    assert (rows[-1].answer, rows[-1].verdict, rows[-1].failed) == ("failed", "no luck (try again)", True)
    assert "recommended" in plain(rows)["studies"][0]["figures"][0]


def test_the_short_answer_agrees_with_the_sentence() -> None:
    seen = set()
    for run in corner_runs().values():
        if run.decision is None:
            continue
        short, sentence = in_short(run), verdict(run)
        seen.add(short)
        if "patch's" in short:
            assert "Keep the patch's" in sentence
        else:
            assert short in sentence
    assert len(seen) >= 3


def test_files_are_the_same_again_and_replace_an_older_batch(tmp_path: Path) -> None:
    paths = write_overview(outcomes(tmp_path), tmp_path / "runs")
    assert [path.name for path in paths] == ["overview.html", "overview.json"]
    before = [path.read_bytes() for path in paths]
    write_overview(outcomes(tmp_path), tmp_path / "runs")
    assert [path.read_bytes() for path in paths] == before
    assert len(json.loads(before[1])["studies"]) == len(outcomes(tmp_path))
    write_overview(outcomes(tmp_path)[:1], tmp_path / "runs")
    assert len(json.loads(paths[1].read_bytes())["studies"]) == 1
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["overview.html", "overview.json"]


def test_the_page_is_whole_by_itself_and_its_links_lead_to_reports(tmp_path: Path) -> None:
    odd = "a b#c?d&%41"
    report = tmp_path / odd / "report" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("here")
    run = corner_runs()["usual"]
    given = [Outcome("odd", tmp_path / odd, run), Outcome("none", tmp_path / "none", run)]
    paths = write_overview(given, tmp_path / "runs")
    page = Page(paths[0].read_text(encoding="utf-8"))
    inside = {"html", "head", "meta", "link", "title", "style", "body", "header", "h1", "p", "main", "table"}
    inside |= {
        "caption",
        "thead",
        "tr",
        "th",
        "tbody",
        "a",
        "small",
        "td",
        "strong",
        "dl",
        "dt",
        "dd",
        "code",
    }
    assert set(page.tags) <= inside
    (link,) = (link for link in page.links if not link.startswith("data:"))
    assert (tmp_path / "runs" / unquote(link)).read_text() == "here"
    assert "prefers-color-scheme: dark" in "".join(page.texts)
    assert "@media print" in "".join(page.texts)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_are_nothing_but_names(tmp_path: Path, name: str) -> None:
    run = corner_runs()["usual"]
    study = replace(run.study, name=name, description=name)
    given = [
        Outcome(name, Path("runs") / "x", replace(run, study=study)),
        Outcome(name, Path("runs") / "y", error=StudyError(name, name)),
    ]
    paths = write_overview(given, tmp_path)
    page = Page(paths[0].read_text(encoding="utf-8"))
    usual = Page(
        render(
            rows_of(
                [Outcome("usual", Path("runs") / "x", run), Outcome("y", Path("y"), error=StudyError("y"))],
                tmp_path,
            )
        )
    )
    assert page.tags == usual.tags
    text = "".join(page.texts)
    assert "{{" not in name or name in text
    assert not {"\x1b", "\u202e", "\udcff"} & set(text)
    json.loads(paths[1].read_text(encoding="utf-8"))

    stream = io.StringIO()
    show_rows(rows_of(given, tmp_path), Console(file=stream, width=80, highlight=False))
    printed = stream.getvalue()
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert not {"\x1b", "\u202e", "\r"} & set(printed)
    if name.startswith("["):
        assert "[bold]" in printed


def test_a_table_of_all_corners_fits_80_columns(tmp_path: Path) -> None:
    stream = io.StringIO()
    show_rows(rows_of(outcomes(tmp_path), tmp_path), Console(file=stream, width=80, highlight=False))
    lines = stream.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in stream.getvalue()
    assert len(lines) > len(outcomes(tmp_path))
