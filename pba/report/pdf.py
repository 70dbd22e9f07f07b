"""A report as PDF, by Matplotlib's own means: what it says, then the figures, then all of its text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from pba.report.renderers import render_text
from pba.report.style import INK, load_matplotlib, style
from pba.report.summaries import LETTER

if TYPE_CHECKING:
    from pba.report.summaries import Summary

A4: Final = (8.27, 11.69)
LINES: Final = 72
"""Lines of a page."""


def render_pdf(summary: Summary) -> bytes:
    """Return a report as PDF: the cover letter, each figure on a page with its caption, and the text.

    The same report gives the same bytes.
    """
    load_matplotlib()
    from matplotlib.backends.backend_pdf import PdfPages

    stream = io.BytesIO()
    nothing: dict[str, Any] = {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None}
    with style(), PdfPages(stream, metadata={**nothing, "Title": summary.document.title}) as pages:
        letter = summary.sent.get(LETTER, "")
        for page in (*_pages(letter),) if letter else ():
            _write(pages, page)
        for picture in summary.pictures:
            pages.savefig(picture.figure)
        for page in _pages(render_text(summary.document, summary.pictures)):
            _write(pages, page)
    return stream.getvalue()


def _pages(text: str) -> list[str]:
    """Cut a text into pages."""
    lines = text.splitlines()
    return ["\n".join(lines[at : at + LINES]) for at in range(0, len(lines), LINES)]


def _write(pages: Any, text: str) -> None:
    """Write a page of text; wide lines are set smaller, never wrapped."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=A4)
    figure.set_layout_engine("none")
    widest = max([80, *(len(line) for line in text.splitlines())])
    size = min(8.6, 8.6 * 84 / widest)
    figure.text(0.08, 0.95, text, family="monospace", fontsize=size, va="top", color=INK, linespacing=1.25)
    pages.savefig(figure)
