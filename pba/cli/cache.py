"""`pba cache`: what pba keeps on disk so that it need not be made again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.layout import columns
from pba.errors import PbaError
from pba.printable import printable
from pba.units import format_bytes, plural

if TYPE_CHECKING:
    from pba.caches import Entry

cache = typer.Typer(
    help="Show and clear what pba keeps on disk: compiled code, large traces compiled, and replays.",
    invoke_without_command=True,
)

JSON = typer.Option("--json", help="Print plain numbers, as JSON.")


@cache.callback()
def show(context: typer.Context, as_json: Annotated[bool, JSON] = False) -> None:
    """Show what pba keeps on disk: compiled code of its rooms, traces of a million events or more, and replays.

    Replays are those of studies and sweeps: the next one that asks for the same
    trace, machine and thresholds takes them from here. Beyond 512 MiB, or what
    PBA_REPLAYS_LIMIT says (1GiB, say; 0 keeps none), the least recently used go.

    All of it can be made again. It lies in PBA_CACHE_DIR, or in the user's cache
    (~/.cache/pba). Code that is not current is that of another version of pba or
    of Numba; it goes by itself when newer code is compiled: at once but for the
    four folders of each room that were used last, and those after 14 days.
    """
    if context.invoked_subcommand is not None:
        return
    from pba.caches import cache_root, entries

    try:
        folder = cache_root()
    except RuntimeError as error:  # nobody knows of a home
        raise PbaError(f"there is no place for a cache: {error}", "set PBA_CACHE_DIR to a folder") from error
    found = entries(_current())
    if as_json:
        print(json.dumps({"folder": str(folder), "entries": [each.to_dict() for each in found]}, indent=2))
        return
    print(f"{printable(folder)}: {format_bytes(sum(each.size_bytes for each in found))}")
    if found:
        print("\n" + columns([("kind", "of", "size", "last used", "state"), *map(_row, found)], "llrrl"))


@cache.command()
def clear(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is current: the next start compiles anew.")
    ] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Remove what is stale: code and replays that are not current, and compiled traces older than 14 days.

    Other pba processes may run meanwhile: what they have loaded stays with them.
    """
    from pba.caches import clear as clear_cache

    gone = clear_cache(_current(), everything=everything)
    if as_json:
        print(json.dumps({"removed": [each.to_dict() for each in gone]}, indent=2))
        return
    freed = format_bytes(sum(each.size_bytes for each in gone))
    print(f"removed {plural(len(gone), 'folder')}, {freed}")


def _current() -> list[str]:
    """Return the folders that this version of pba uses."""
    from pba import _jit
    from pba.study.replays import current_folder

    return [*_jit.current_folders(), current_folder()]


def _row(entry: Entry) -> Sequence[str]:
    """Return an entry as a line of the table."""
    hours = entry.used_seconds / 3600
    age = f"{hours / 24:.0f} days ago" if hours >= 48 else f"{hours:.0f} h ago"
    state = "written" if entry.kind == "trace" else "current" if entry.current else "stale"
    return entry.kind, entry.name[:16], format_bytes(entry.size_bytes), age, state
