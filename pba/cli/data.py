"""`pba data`: the recordings that come with pba."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pba.cli.layout import columns
from pba.machine import memory_words
from pba.units import fine_percent, format_time, number

if TYPE_CHECKING:
    from pba.trace.corpus import Recording

data = typer.Typer(help="List and show the recordings that come with pba.")

JSON = typer.Option("--json", help="Print plain numbers, as JSON.")
HEAD = ("name", "kernel", "pages", "memory", "length", "events", "passes", "quality", "what ran")


@data.command("list")
def list_(as_json: Annotated[bool, JSON] = False) -> None:
    """List the recordings, a line each. Each name stands for its file wherever a command takes a trace."""
    from pba.trace.corpus import describe, recordings

    found = [describe(name) for name in recordings()]
    if as_json:
        print(json.dumps([recording.to_dict() for recording in found], indent=2))
        return
    text = columns([HEAD, *map(_row, found)], "lllrrrrll")
    print(_cut(text) if sys.stdout.isatty() else text)


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
    truth = known.quality.truth
    checked = "not held against truth"
    if truth is not None:
        checked = f"recall {fine_percent(truth.recall)}, precision {fine_percent(truth.precision)}"
    if known.start_is_unknown:
        checked += ", live at the start unknown"
    return (
        recording.name,
        " ".join(filter(None, (known.kernel, known.architecture))) or "?",
        "?" if page_size is None else f"{page_size} KiB",
        memory,
        format_time(known.duration_ns),
        number(recording.events),
        number(recording.passes),
        f"{number(known.quality.lost_events)} lost, {checked}",
        recording.what_ran,
    )


def _cut(text: str) -> str:
    """Return lines no longer than the terminal is wide."""
    width = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in text.split("\n"))
