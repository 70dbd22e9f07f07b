"""One contract for all formats: they say the same, whatever the run looks like."""

from __future__ import annotations

import html
import re
from functools import cache
from html.parser import HTMLParser

import pytest

from pba.report.document import Column, Document, Section, Table
from pba.report.figures import all_pictures
from pba.report.renderers import RENDERERS, TEXT_WIDTH, render_text, text_table
from pba.report.summary import summarize_run
from tests.report.report_fixture import corner_document, corner_pictures, corner_runs, make_run, traces_table

CORNERS = corner_runs()
corners = pytest.mark.parametrize("corner", CORNERS)
formats = pytest.mark.parametrize("name", RENDERERS)


def plain(text: str) -> str:
    """Return the words of a rendered report, its markup and line breaks taken away."""
    if text.startswith("<!DOCTYPE"):
        text = re.sub(r"<(style|svg)\b.*?</\1>", " ", text, flags=re.DOTALL)
        text = html.unescape(re.sub(r"<[^>]*>", "", text))
    text = text.replace("\u2212", "-").replace("\u00a0", " ").replace("\\", "").replace("&lt;", "<")
    return " ".join(text.replace("`", "").split())


@cache
def rendered(name: str, corner: str) -> str:
    return RENDERERS[name](corner_document(corner), corner_pictures(corner))


@formats
@corners
def test_every_format_has_every_sentence(name, corner):
    document = corner_document(corner)
    text = plain(rendered(name, corner))
    sentences = [document.title, document.subject, *document.warnings]
    sentences += [part for answer in document.answers for part in (answer.question, *answer.text)]
    for section in document.sections:
        bullets = [re.sub(r"^- ", "", bullet) for bullet in section.bullets]
        sentences += [section.title, *section.text, *bullets]
    for sentence in sentences:
        assert " ".join(sentence.replace("`", "").split()) in text


@formats
@corners
def test_every_format_has_every_figure_of_every_table(name, corner):
    document = corner_document(corner)
    text = plain(rendered(name, corner))
    for section in document.sections:
        for table in section.tables:
            cells = {cell for row in table.rows for cell in row if re.fullmatch(r"[\d.,+%x -]+", cell)}
            assert not [cell for cell in cells if cell not in text]


@formats
def test_the_first_screen_has_the_answer_the_choices_and_the_front(name):
    document = corner_document("usual")
    text = plain(rendered(name, "usual"))
    assert [section.key for section in document.leading] == ["choices", "front", "caveats"]
    titles = [section.title for section in (*document.leading, *document.following)]
    assert sorted(titles) == sorted(section.title for section in document.sections)
    first, second = (answer.text[0].replace("`", "") for answer in document.answers[:2])
    strip, front = (section.text[0] for section in document.leading[:2])
    caveat = document.leading[2].bullets[0]
    places = [text.index(" ".join(words.split())) for words in (first, strip, front, caveat, second)]
    assert places == sorted(places)
    assert text.count(" ".join(strip.split())) == 1


def test_a_run_that_has_not_decided_has_no_choices_to_lead_with():
    assert corner_document("incomplete").leading == ()


def test_rendering_twice_gives_the_same():
    document, pictures = summarize_run(CORNERS["usual"]), all_pictures(CORNERS["usual"])
    for name, render in RENDERERS.items():
        assert render(document, pictures) == rendered(name, "usual"), name


@corners
def test_text_is_ascii_of_72_columns_without_trailing_blanks(corner):
    text = render_text(corner_document(corner), ())
    assert text.isascii() and text.endswith("\n")
    assert [line for line in text.splitlines() if len(line) > TEXT_WIDTH or line != line.rstrip()] == []


def test_text_stays_within_72_columns_with_hostile_names():
    names = ("x" * 300, "na\u00efve recording \u2212 with blanks", 'a|b*c_d<e>&"')
    run = make_run(names=names, traces=traces_table(names, kernel="6.18.44-" + "y" * 90))
    text = render_text(summarize_run(run), ())
    assert text.isascii()
    assert max(len(line) for line in text.splitlines()) <= TEXT_WIDTH


def test_a_long_command_in_text_is_one_that_a_shell_reads_as_it_was():
    command = "pba tune " + "/long" * 40 + " --points 300 --run runs/" + "deep/" * 20 + "end"
    document = Document("t", "s", (), (), (Section("reproduce", "How", commands=(command,)),))
    text = render_text(document, ())
    assert max(len(line) for line in text.splitlines()) <= TEXT_WIDTH
    written = text[text.index("$ ") + 2 :].replace("\\\n", "")
    assert written.split() == command.split()


def test_a_wide_text_table_becomes_several_that_repeat_the_names():
    columns = (
        Column("name", left=True, key=True),
        *(Column(f"figure-{n}", group=f"g{n // 2}") for n in range(10)),
    )
    rows = (("first", *("123456789" for _ in range(10))), ("second", *("1" for _ in range(10))))
    text = text_table(Table("", columns, rows))
    assert text.count("first") == text.count("second") == text.count("\n\n") + 1 > 1
    assert max(len(line) for line in text.splitlines()) <= TEXT_WIDTH
    assert [text.count(f"figure-{n}") for n in range(10)] == [1] * 10


def test_columns_of_figures_line_up_at_the_right():
    columns = (Column("name", left=True, key=True), Column("splits"))
    lines = text_table(
        Table("", columns, (("a", "1"), ("b", "12,345"), ("all", "12,346")), totals=1)
    ).splitlines()
    assert [line.rstrip() for line in lines] == [
        " name  splits", " ------------", " a          1", " b     12,345", " ------------", " all   12,346",
    ]  # fmt: skip


class _Page(HTMLParser):
    """Collects what a test of a page wants to know."""

    VOID = ("meta", "link", "use", "path", "rect", "br", "line")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.urls: list[str] = []
        self.tables: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if values.get("id"):
            self.ids.append(values["id"])
        found = [values[name] for name in ("src", "href", "srcset", "action") if values.get(name)]
        # What a reader may click is not loaded: the figures' tables lie beside the page.
        is_table = (
            tag == "a"
            and bool(found)
            and all(re.fullmatch(r"figures/[a-z-]+\.csv", str(url)) for url in found)
        )
        (self.tables if is_table else self.urls).extend(found)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(corner: str) -> tuple[_Page, str]:
    text = rendered("report.html", corner)
    parsed = _Page()
    parsed.feed(text)
    parsed.close()
    return parsed, text


@corners
def test_html_is_well_formed_and_needs_nothing_from_outside(corner):
    parsed, text = page(corner)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(url.startswith(("#", "data:,", "data:image/png;base64,")) for url in parsed.urls)
    assert {url[1:] for url in parsed.urls if url.startswith("#")} <= set(parsed.ids)
    assert parsed.tables == [f"figures/{picture.name}.csv" for picture in corner_pictures(corner)]
    assert (
        not re.search(r"url\((?!['\"]?#)", text)
        and "@import" not in text
        and "http" not in re.sub(r"http-equiv", "", text)
    )


def test_html_is_accessible():
    parsed, text = page("usual")
    tags = parsed.tags
    figures = [values for tag, values in tags if tag == "svg"]
    assert len(figures) == 3
    for values in figures:
        assert values["role"] == "img"
        assert set(str(values["aria-labelledby"]).split()) <= set(parsed.ids)
    assert sum(tag == "table" for tag, _ in tags) == sum(tag == "caption" for tag, _ in tags)
    assert all(values.get("scope") for tag, values in tags if tag == "th")
    assert [values["lang"] for tag, values in tags if tag == "html"] == ["en"]
    assert not re.search(r"<th[^>]*></th>", text)


def test_figures_in_html_take_the_colours_of_the_page():
    _, text = page("usual")
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    for drawing in drawings:
        loose = re.sub(r"var\(--[a-z]+, #[0-9a-f]{6}\)", "", drawing)
        assert not re.search(r"(?:fill|stroke): ?#", loose)


def test_names_cannot_break_out_of_the_page_or_a_table():
    names = ("<script>alert(1)</script>", "a|b")
    run = make_run(names=names)
    document, pictures = summarize_run(run), all_pictures(run)
    text = RENDERERS["report.html"](document, pictures)
    # The report's own script, and the data that it reads.
    assert re.findall("<script[^>]*>", text) == [
        '<script type="application/json" id="front-details">',
        "<script>",
    ]
    assert "alert(1)" in text
    assert "<script>alert" not in text
    markdown = RENDERERS["report.md"](document, pictures)
    rows = [line for line in markdown.splitlines() if line.startswith("| 2 ") and "a\\|b" in line]
    assert rows and "<script" not in markdown


def test_markdown_tables_have_as_many_cells_in_every_row():
    text = RENDERERS["report.md"](corner_document("usual"), corner_pictures("usual"))
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
