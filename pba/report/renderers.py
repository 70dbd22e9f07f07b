"""A document in three formats. Each renderer writes all of it; they differ in form only.

The templates say how a document is laid out; the functions here prepare what a template cannot: wrapped and
aligned plain text, escaped Markdown, typography and themed figures for HTML.
"""

from __future__ import annotations

import base64
import hashlib
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from pba.printable import cut_middle, printable
from pba.report.document import Column, Document, Table
from pba.report.spots import embedded
from pba.report.style import Picture
from pba.report.words import ascii_only

if TYPE_CHECKING:
    from jinja2 import Environment

TEXT_WIDTH: Final = 72
"""Widest line of report.txt: fit for a mail to a kernel list (Documentation/process/email-clients.rst)."""
_LEAST_NAME: Final = 14
_GAP: Final = 2

_UNIT: Final = re.compile(r"(?<=\d) (?=%|(?:[KMGT]iB|s|min|pages?|splits?)\b)")
"""The space between a number and its unit, where no line should break."""

_INTERVAL: Final = re.compile(r"\([+\u2212]?[\d.,]+ to [+\u2212]?[\d.,]+\)")
"""An interval in brackets, which stays on one line."""

Renderer = Callable[[Document, Sequence[Picture]], str]


def environment(*, html: bool) -> Environment:
    """Return what finds and fills the templates of this room."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("pba.report"), autoescape=html, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _render(
    template: str, filters: dict[str, Any], document: Document, pictures: Sequence[Picture], **more: Any
) -> str:
    made = environment(html=template.endswith(".html.j2"))
    made.filters.update(filters)
    figures = {picture.name: picture for picture in pictures}
    return made.get_template(template).render(document=_printable(document), figures=figures, **more)


LONGEST_TEXT: Final = 4000
"""Characters of a sentence, a cell or a command that are written: names in it may be of any length."""


def _printable(part: Any) -> Any:
    """Return a part of a document, with all of it, fit to print: it holds names of traces and folders."""
    if isinstance(part, str):
        return printable(part, LONGEST_TEXT)
    if isinstance(part, tuple):
        return tuple(_printable(each) for each in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{each.name: _printable(getattr(part, each.name)) for each in fields(part)})
    return part


# --- HTML ----------------------------------------------------------------------------------------------


def render_html(document: Document, pictures: Sequence[Picture]) -> str:
    """Return one page that needs nothing from outside: styles, figures and a script are in it."""
    from markupsafe import Markup

    filters: dict[str, Any] = {
        "typeset": lambda text: Markup(typeset(text)),
        "inline": lambda picture: Markup(picture.inline_svg()),
        "groups": column_groups,
        "embedded": lambda details: Markup(embedded(details)),
    }
    script = files("pba.report").joinpath("templates/report.js").read_text(encoding="utf-8")
    # The page runs this script alone, whatever a name in it may say.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # A strip of many aims needs the page's whole width.
    wide = any(len(table.columns) > 8 for section in document.leading for table in section.tables)
    more = {"script": Markup(script), "script_hash": f"sha256-{digest}", "wide": wide}
    return _render("report.html.j2", filters, document, pictures, **more)


def typeset(text: str) -> str:
    """Escape, then do what ASCII cannot: minus signs, spaces that do not break, code."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    text = re.sub(r"(?<![\w.\u2212-])-(?=\d)", "\u2212", text)
    text = _UNIT.sub("\u00a0", text)
    text = _INTERVAL.sub(lambda match: match[0].replace(" ", "\u00a0"), text)
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", text)


def column_groups(table: Table) -> list[tuple[str, int]]:
    """Return the headings over the columns with how many columns each spans."""
    groups: list[tuple[str, int]] = []
    for column in table.columns:
        if groups and column.group and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    return groups if any(title for title, _ in groups) else []


# --- Markdown ------------------------------------------------------------------------------------------


def render_markdown(document: Document, pictures: Sequence[Picture]) -> str:
    """Return Markdown (with tables as GitHub and GitLab read them); figures are linked."""
    return _render("report.md.j2", {"md": _markdown, "table": _markdown_table}, document, pictures)


def _markdown(text: str) -> str:
    """Escape what Markdown would take for markup; code stays."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\*_|\[\]])", r"\\\1", part).replace("<", "&lt;")
        for part in parts
    )


def _markdown_table(table: Table) -> str:
    titles = [
        _markdown(f"{column.group}: {column.title}" if column.group else column.title)
        for column in table.columns
    ]
    lines = [titles, [":--" if column.left else "--:" for column in table.columns]]
    for place, row in enumerate(table.rows):
        strong = place in table.marked or place >= len(table.rows) - table.totals
        lines.append([f"**{_markdown(cell)}**" if strong and cell else _markdown(cell) for cell in row])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# --- plain text ----------------------------------------------------------------------------------------


def render_text(document: Document, pictures: Sequence[Picture]) -> str:
    """Return plain ASCII of at most 72 columns, to be pasted into a mail."""
    filters = {
        "wrap": wrapped,
        "bullet": _bullet,
        "table": text_table,
        "command": _command,
        "plain": plain_words,
    }
    text = _render("report.txt.j2", filters, document, pictures)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def plain_words(text: str) -> str:
    """Return a text in ASCII, without marks of code."""
    return ascii_only(text).replace("`", "")


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Return a text in lines that fit a mail."""
    # A word longer than a line (a path) must be broken; hyphens are kept whole, and numbers keep their unit.
    glued = _UNIT.sub("\x1f", plain_words(text))
    filled = textwrap.fill(
        glued, TEXT_WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return filled.replace("\x1f", " ")


def _bullet(text: str) -> str:
    return wrapped(text, " - ", "   ")


def _command(text: str) -> str:
    """Break a long command line where a shell reads on: a backslash at the end of the line."""
    lines, line = [], ""
    room = TEXT_WIDTH - len("  $ ") - 2
    for word in plain_words(text).split(" "):
        joined = f"{line} {word}" if line else word
        if len(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line + " ")
        while len(word) > room:
            lines.append(word[:room])
            word = word[room:]
        line = word
    lines.append(line)
    # The shell drops the backslash with its newline, so what goes on inside a word begins at the margin.
    text = lines[0]
    for before, after in pairwise(lines):
        text += "\\\n" + ("    " if before.endswith(" ") else "") + after
    return f"  $ {text}"


def text_table(table: Table) -> str:
    """Return a table as aligned text; one that is too wide becomes several that repeat its key columns."""
    rows = [[plain_words(cell) for cell in row] for row in table.rows]
    keys = [place for place, column in enumerate(table.columns) if column.key]
    rest = [place for place, column in enumerate(table.columns) if not column.key]
    if len(table.columns) == 2 and not any(column.title for column in table.columns):
        return _pairs(rows)
    widths = {place: _width(table.columns[place], [row[place] for row in rows]) for place in (*keys, *rest)}
    _squeeze_names(table.columns, keys, widths)
    _widen_groups(table, widths)
    chunks = _packed(table.columns, keys, rest, widths)
    return "\n\n".join(_chunk(table, rows, [*keys, *chunk], widths) for chunk in chunks)


def _pairs(rows: list[list[str]]) -> str:
    indent = max(len(row[0]) for row in rows) + _GAP + 1
    return "\n".join(wrapped(row[1], f" {row[0]:<{indent - 1}}", " " * indent) for row in rows)


def _width(column: Column, cells: list[str]) -> int:
    words = [column.title] if column.left else column.title.split()
    return max([0, *(len(word) for word in words), *(len(cell) for cell in cells)])


def _squeeze_names(columns: Sequence[Column], keys: list[int], widths: dict[int, int]) -> None:
    """Cut words in key columns so that about half of the line is left for figures."""
    for place in keys:
        if columns[place].left:
            widths[place] = min(widths[place], max(_LEAST_NAME, TEXT_WIDTH // 2 - 6))


def _widen_groups(table: Table, widths: dict[int, int]) -> None:
    """Give a group's columns the room that its heading needs."""
    place = 0
    for title, span in column_groups(table):
        have = sum(widths[at] for at in range(place, place + span)) + _GAP * (span - 1)
        widths[place] += max(0, len(title) - have) if title else 0
        place += span


def _packed(
    columns: Sequence[Column], keys: list[int], rest: list[int], widths: dict[int, int]
) -> list[list[int]]:
    """Distribute the columns over as few tables as fit the line, groups kept together."""
    groups: list[list[int]] = []
    for place in rest:
        if groups and columns[place].group and columns[groups[-1][0]].group == columns[place].group:
            groups[-1].append(place)
        else:
            groups.append([place])
    fixed = 1 + sum(widths[place] + _GAP for place in keys)
    chunks: list[list[int]] = []
    used = TEXT_WIDTH + 1
    for group in groups:
        need = sum(widths[place] + _GAP for place in group)
        if used + need > TEXT_WIDTH + _GAP:
            chunks.append([])
            used = fixed
        chunks[-1] += group
        used += need
    return chunks


def _chunk(table: Table, rows: list[list[str]], places: list[int], widths: dict[int, int]) -> str:
    columns = [table.columns[place] for place in places]
    own = [widths[place] for place in places]
    room = TEXT_WIDTH - 1 - _GAP * (len(places) - 1) - sum(own)
    if room < 0:  # one wide column of words: cut it
        widest = max(range(len(own)), key=lambda at: own[at])
        own[widest] += room
    lines = [_group_line(columns, own)] if any(column.group for column in columns) else []
    lines += _heading_lines(columns, own)
    lines.append(" " + "-" * (sum(own) + _GAP * (len(own) - 1)))
    for place, row in enumerate(rows):
        if table.totals and place == len(rows) - table.totals:
            lines.append(lines[-1 - place])
        cells = [cut_middle(row[at], width) for at, width in zip(places, own, strict=True)]
        lines.append((">" if place in table.marked else " ") + _line(cells, columns, own))
    return "\n".join(line.rstrip() for line in lines)


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    return (" " * _GAP).join(
        cell.ljust(width) if column.left else cell.rjust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    )


def _group_line(columns: Sequence[Column], widths: Sequence[int]) -> str:
    line, place = "", 0
    while place < len(columns):
        end = place + 1
        while end < len(columns) and columns[end].group and columns[end].group == columns[place].group:
            end += 1
        width = sum(widths[place:end]) + _GAP * (end - place - 1)
        title = columns[place].group[:width]
        # Dashes show which columns a heading spans; one of nearly their width needs none.
        spans = title and end - place > 1 and width - len(title) > 1
        filled = f"{title:-^{width}}" if spans else title.rjust(width)
        line += filled + " " * _GAP
        place = end
    return " " + line


def _heading_lines(columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    """Return the headings, their words under each other where they do not fit beside each other."""
    stacks = [
        textwrap.wrap(column.title, max(width, 1), break_on_hyphens=False) or [""]
        for column, width in zip(columns, widths, strict=True)
    ]
    height = max(len(stack) for stack in stacks)
    lines = []
    for level in range(height):
        cells = []
        for stack in stacks:
            at = level - (height - len(stack))
            cells.append(stack[at] if at >= 0 else "")
        lines.append(" " + _line(cells, columns, widths))
    return lines


RENDERERS: Final[dict[str, Renderer]] = {
    "report.html": render_html,
    "report.md": render_markdown,
    "report.txt": render_text,
}
"""File name -> its renderer."""
