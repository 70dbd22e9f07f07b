"""The options of reclaim that reacts to free memory, for the commands that replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pba.watermarks import RECORDED, WATERMARKS

if TYPE_CHECKING:
    from pba.results import ReplayResult
    from pba.watermarks import Watermarks

PANEL = "Memory pressure"

Reclaim = Annotated[
    str,
    typer.Option(
        "--reclaim",
        metavar="HOW",
        rich_help_panel=PANEL,
        help="recorded: the shrinkers are visited when they were recorded. watermarks: when free memory falls to "
        "low, until it is above high.",
    ),
]
MinFreeKbytes = Annotated[
    int | None,
    typer.Option(
        "--min-free-kbytes",
        metavar="KIB",
        rich_help_panel=PANEL,
        help="vm.min_free_kbytes, from which the watermarks follow. Default: the kernel's for the memory.",
    ),
]
Thp = Annotated[
    bool | None,
    typer.Option(
        "--thp/--no-thp",
        rich_help_panel=PANEL,
        help="Whether transparent huge pages raise the kernel's own min_free_kbytes. Default: they do.",
    ),
]
PageCacheGrowth = Annotated[
    int | None,
    typer.Option(
        "--page-cache-growth",
        metavar="KIB",
        rich_help_panel=PANEL,
        help="Page cache that others take, KiB a second. Default: 2048.",
    ),
]
PageCacheShare = Annotated[
    float | None,
    typer.Option(
        "--page-cache-share",
        metavar="SHARE",
        rich_help_panel=PANEL,
        help="How much of the memory held at the start is page cache, 0 to 1. Default: all.",
    ),
]
ReclaimableShare = Annotated[
    float | None,
    typer.Option(
        "--reclaimable-share",
        metavar="SHARE",
        rich_help_panel=PANEL,
        help="How much of the page cache that reclaim looks at is given back, 0 to 1. Default: all.",
    ),
]
Mglru = Annotated[
    bool | None,
    typer.Option(
        "--mglru/--no-mglru",
        rich_help_panel=PANEL,
        help="Whether kswapd begins at the priority that the multi-gen LRU computes. Default: at 12.",
    ),
]


def watermarks_from(reclaim: str, **given: Any) -> Watermarks | None:
    """Return what the options say of reclaim; None where pressure is the recorded one.

    Raises
    ------
    PbaError
        If there is no such reclaim, a value is out of its range, or one is given that recorded pressure has not.
    """
    from pba.errors import PbaError, option
    from pba.watermarks import Watermarks

    said = {name: value for name, value in given.items() if value is not None}
    found = Watermarks.of(reclaim)
    if found is not None:
        return found.with_(**said)
    for name in said:
        raise PbaError(
            f"{option(name)} is about reclaim that reacts", f"say {option('reclaim', WATERMARKS)}, too"
        )
    return None


def reclaim_row(result: ReplayResult) -> list[tuple[str, str]]:
    """Return where the pressure of a replay came from, for its head; nothing where it was the recorded one."""
    if result.watermarks is None:
        return []
    from pba.model import marks_of
    from pba.units import format_bytes, number, plural

    page, count = result.machine.page_size_bytes, result.counters
    marks = marks_of(result.watermarks, result.machine)
    told = ", ".join(f"{name} {format_bytes(pages * page)}" for name, pages in marks._asdict().items())
    runs = plural(count["kswapd_wakes"], "run")
    visits = number(count["kswapd_visits"] + count["direct_visits"])
    direct = f", {number(count['direct_reclaims'])} of direct reclaim" if count["direct_reclaims"] else ""
    return [
        ("watermarks", told),
        ("pressure", f"{runs} of kswapd{direct}: {visits} visits of the shrinkers"),
    ]


__all__ = [
    "RECORDED",
    "Mglru",
    "MinFreeKbytes",
    "PageCacheGrowth",
    "PageCacheShare",
    "Reclaim",
    "ReclaimableShare",
    "Thp",
    "reclaim_row",
    "watermarks_from",
]
