"""`pba data`: the recordings that come with pba."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pba.cli.layout import columns
from pba.machine import memory_words
from pba.units import fine_percent, format_time, number

if TYPE_CHECKING:
    from pba.trace.corpus import Recording

data = typer.Typer(help="List and show the recordings that come with pba.")

JSON = typer.Option("--json", help="Print plain numbers, as JSON.")
HEAD: Final = ("name", "kernel", "pages", "memory", "length", "events", "passes", "what ran")
ALIGN: Final = "lllrrrrl"
WIDTH: Final = 100
"""Columns of the table; fewer where a terminal has fewer."""
NARROW: Final = ("name", "pages", "memory", "events", "passes", "what ran")
"""The columns that a narrow terminal gets."""


@data.command("list")
def list_(as_json: Annotated[bool, JSON] = False) -> None:
    """List the recordings, a line each. Each name stands for its file wherever a command takes a trace."""
    from pba.trace.corpus import describe, recordings

    found = [describe(name) for name in recordings()]
    if as_json:
        print(json.dumps([recording.to_dict() for recording in found], indent=2))
        return
    width = min(WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH
    print(render_list(found, width))


def render_list(found: Sequence[Recording], width: int) -> str:
    """Return a table with a line for each recording, and under it what must be known of their quality."""
    wanted = HEAD if width >= WIDTH else NARROW
    at = [HEAD.index(name) for name in wanted]
    rows = [[row[place] for place in at] for row in (HEAD, *map(_row, found))]
    table = columns(rows, "".join(ALIGN[place] for place in at)).split("\n")
    lines = [line if len(line) <= width else line[: width - 3].rstrip() + "..." for line in table]
    notes = [textwrap.fill(note, width, subsequent_indent="  ") for note in _notes(found)]
    return "\n".join(
        [*lines, "", *notes, "pba data show NAME says what ran, and how far a recording can be trusted."]
    )


def _notes(found: Sequence[Recording]) -> list[str]:
    """Return what must be known of the recordings' quality: who lost events, who was held against what."""
    known: dict[str, list[str]] = {}
    for one in found:
        quality = one.metadata.quality
        if quality.lost_events:
            known.setdefault(f"{number(quality.lost_events)} events lost", []).append(one.name)
        if quality.truth is None:
            known.setdefault("not held against the kernel's own list of page tables", []).append(one.name)
        if one.metadata.start_is_unknown:
            known.setdefault("pages live at the start unknown", []).append(one.name)
    held = [one.metadata.quality.truth for one in found if one.metadata.quality.truth is not None]
    notes = [f"{told}: {', '.join(names)}" for told, names in known.items()]
    if held:
        least = [
            fine_percent(min(getattr(truth, what) for truth in held)) for what in ("recall", "precision")
        ]
        others = "of the others" if len(held) < len(found) else "of all"
        notes.append(f"{others} recall is at least {least[0]} and precision {least[1]}")
    return notes


@data.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that 'pba data list' prints.")],
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show what ran in a recording, what is in it, and how far it can be trusted."""
    from pba.analysis.summary import summarize_trace
    from pba.cli.info import render
    from pba.imports.read import read_trace
    from pba.trace.corpus import describe

    recording = describe(name)
    summary = summarize_trace(read_trace(recording.path))
    if as_json:
        values: dict[str, Any] = {"what_ran": recording.what_ran, "file": str(recording.path)}
        print(json.dumps(values | summary.to_dict(), indent=2))
    else:
        print(f"{recording.what_ran or 'what ran is not told'}\n\n{render(summary)}")


def _row(recording: Recording) -> Sequence[str]:
    """Return a recording as a line of the table."""
    known = recording.metadata
    page_size, pages = known.page_size_kib, known.memory_pages
    memory = "?" if page_size is None or pages is None else memory_words(pages, page_size)
    return (
        recording.name,
        known.kernel or "?",
        "?" if page_size is None else f"{page_size} KiB",
        memory,
        format_time(known.duration_ns),
        number(recording.events),
        number(recording.passes),
        recording.what_ran,
    )
