"""`pba policies`: the ways to protect page tables that a trace can be replayed under."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pba.cli.layout import columns

if TYPE_CHECKING:
    from pba.policies.definition import Definition

WIDTH = 80


def policies(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A policy: say all that there is to it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """List the ways to protect page tables, a line each; of one, say more.

    'pba replay --policy NAME' replays a trace under one of them, and all are
    counted alike.
    """
    from pba.policies.registry import PLACES, definition

    if name is not None:
        known = definition(name)
        print(json.dumps(_plain(known), indent=2) if as_json else render(known))
        return
    found = [definition(each) for each in PLACES]
    if as_json:
        print(json.dumps([_plain(known) for known in found], indent=2))
        return
    print(columns([(known.name, known.line) for known in found], "ll"))


def render(known: Definition) -> str:
    """Return all that there is to a policy as text, no wider than a terminal is at the least."""
    parts = [f"{known.name}: {known.line}", known.about, f"Thresholds: {_thresholds(known)}"]
    paragraphs = [textwrap.fill(part, WIDTH) for part in parts]
    if known.parameters:
        rows = [("parameter", "default", "it may be")]
        rows += [(each.name, _shown(each.default), each.range) for each in known.parameters]
        meanings = [
            textwrap.fill(f"{each.name}: {each.meaning}", WIDTH, subsequent_indent="  ")
            for each in known.parameters
        ]
        paragraphs += [columns(rows, "lll"), "\n".join(meanings)]
    paragraphs.append(textwrap.fill(f"Source: {known.source}", WIDTH, break_on_hyphens=False))
    return "\n\n".join(paragraphs)


def _thresholds(known: Definition) -> str:
    """Return which thresholds of v6 a policy takes, by the options that set them."""
    options = {"unshrinkable_pages": "-U", "shrink_block_min_pages": "-M", "batch": "-B"}
    return ", ".join(options[name] for name in known.thresholds) or "none"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(known: Definition) -> dict[str, Any]:
    """Return a policy as plain values that JSON takes."""
    return {
        "name": known.name,
        "line": known.line,
        "about": known.about,
        "source": known.source,
        "thresholds": list(known.thresholds),
        "parameters": [
            {
                "name": each.name,
                "default": each.default,
                "values": None if each.values is None else list(each.values),
                "unit": each.unit,
                "meaning": each.meaning,
            }
            for each in known.parameters
        ],
    }
