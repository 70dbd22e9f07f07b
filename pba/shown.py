"""How objects show themselves: a few lines of text, and in a notebook a small table.

What is shown is data, and names are hostile: everything passes through `printable`, and is escaped in HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from html import escape
from typing import Any, Final, TypeVar

from pba.printable import printable

LONGEST: Final = 60
"""Characters of a name that are shown."""
Shows = TypeVar("Shows", bound=Callable[[Any], str])


def named(text: object) -> str:
    """Return a name as it can be shown, in text."""
    return printable(text, LONGEST)


def never_raises(show: Shows) -> Shows:
    """Make a `__repr__` or `_repr_html_` safe: what is half made or damaged is shown by its class.

    Whoever looks at an object in a debugger wants to see what is wrong with it, not the error of showing it.
    """

    @wraps(show)
    def safe(self: Any) -> str:
        try:
            return show(self)
        except Exception as error:
            told = f"<{type(self).__name__}, which cannot be shown: {type(error).__name__}>"
            return escape(told) if show.__name__ == "_repr_html_" else told

    return safe  # type: ignore[return-value]


def lines(head: str, rows: Iterable[str]) -> str:
    """Return a first line and others under it, each made fit to print."""
    return "\n  ".join(printable(line, 240) for line in (head, *rows) if line)


def html(title: str, *parts: str) -> str:
    """Return a title and what stands under it, which is HTML already."""
    return f"<div><strong>{text(title)}</strong>{''.join(parts)}</div>"


def paragraph(words: str) -> str:
    """Return a paragraph."""
    return f"<p>{text(words)}</p>" if words else ""


def text(words: object) -> str:
    """Return words as HTML."""
    return escape(printable(words, 1000))


def pairs(rows: Iterable[tuple[str, str]], curves: Iterable[tuple[str, str, str]] = ()) -> str:
    """Return a table of labels and what they say; then one of labels, small SVGs and what stands beside them."""
    told = [f"<tr><th{_LEFT}>{text(label)}</th><td{_LEFT}>{text(said)}</td></tr>" for label, said in rows]
    told += [
        f"<tr><th{_LEFT}>{text(label)}</th><td{_LEFT}>{svg} {text(said)}</td></tr>"
        for label, svg, said in curves
    ]
    return f"<table><tbody>{''.join(told)}</tbody></table>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a head: the first column to the left, the others, which are numbers, to the right."""
    top = "".join(f"<th{_RIGHT if at else _LEFT}>{text(cell)}</th>" for at, cell in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(f"<td{_RIGHT if at else _LEFT}>{text(cell)}</td>" for at, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def folded(summary: str, part: str) -> str:
    """Return a part, which is HTML already, that opens on a click."""
    return f"<details><summary>{text(summary)}</summary>{part}</details>"


_LEFT: Final = ' style="text-align: left"'
_RIGHT: Final = ' style="text-align: right"'
Place = tuple[float, float]


def front_svg(
    steps: Sequence[Place],
    marks: Sequence[tuple[str, Place, str]],
    axes: tuple[str, str],
    size: Place = (420, 220),
) -> str:
    """Return a front as a small SVG, drawn in no time: steps, and named marks with their colours.

    Parameters
    ----------
    steps : sequence of (float, float)
        The front's places, by the first aim; both aims are better where they are less.
    marks : sequence of (str, (float, float), str)
        Name, place and colour of what is marked.
    axes : (str, str)
        What the aims are called.
    size : (float, float)
        Width and height in pixels.
    """
    places = [*steps, *(place for _, place, _ in marks)]
    if not places:
        return ""
    (width, height), (left, right, top, bottom) = size, (60, 12, 12, 34)
    spans = [(min(values), max(values)) for values in zip(*places, strict=True)]

    def on_paper(place: Place) -> Place:
        shares = [(at - low) / ((high - low) or 1) for at, (low, high) in zip(place, spans, strict=True)]
        return left + shares[0] * (width - left - right), height - bottom - shares[1] * (
            height - top - bottom
        )

    drawn, before = [], None
    for x, y in map(on_paper, steps):
        drawn += ([f"{x:.1f},{before:.1f}"] if before is not None else []) + [f"{x:.1f},{y:.1f}"]
        before = y
    parts = [
        f'<polyline points="{left},{top} {left},{height - bottom} {width - right},{height - bottom}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.5"/>',
        f'<polyline points="{" ".join(drawn)}" fill="none" stroke="currentColor" stroke-width="1.4"/>',
    ]
    for at, (name, place, colour) in enumerate(marks):
        x, y = on_paper(place)
        under = any(place == other for _, other, _ in marks[at + 1 :])
        told = f"{text(name)}: {place[0]:,.6g}, {place[1]:,.6g}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{9 if under else 5}" fill="{colour}"><title>{told}</title></circle>'
        )
    parts += _axis_texts(spans, axes, size, (left, right, top, bottom))
    legend = " &ensp; ".join(
        f'<span style="color: {colour}">●</span> {text(name)}' for name, _, colour in marks
    )
    return (
        f'<div><svg width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'font-size="11" font-family="sans-serif" fill="currentColor">{"".join(parts)}</svg></div><div>{legend}</div>'
    )


def _axis_texts(
    spans: Sequence[Place], axes: tuple[str, str], size: Place, margins: tuple[float, float, float, float]
) -> list[str]:
    """Return the ends and the names of both axes."""
    (width, height), (left, right, top, bottom) = size, margins
    (x_low, x_high), (y_low, y_high) = [[f"{end:,.4g}" for end in span] for span in spans]
    floor = height - bottom
    return [
        f'<text x="{left}" y="{floor + 14}">{x_low}</text>',
        f'<text x="{width - right}" y="{floor + 14}" text-anchor="end">{x_high}</text>',
        f'<text x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle">{text(axes[0])}</text>',
        f'<text x="{left - 5}" y="{floor}" text-anchor="end">{y_low}</text>',
        f'<text x="{left - 5}" y="{top + 8}" text-anchor="end">{y_high}</text>',
        f'<text x="14" y="{(top + floor) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {(top + floor) / 2})">{text(axes[1])}</text>',
    ]
