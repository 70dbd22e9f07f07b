"""The options that several commands share: the thresholds and the machine of a replay, where replays run."""

from __future__ import annotations

from typing import Annotated, Final

import typer

THRESHOLDS: Final = "Thresholds (default: the patch's values for the machine)"
MACHINE: Final = "Machine (default: the recorded one, else 4 KiB pages and 4 GiB)"

POLICY: Final = "Policy"

U_FLAGS: Final = ("--unshrinkable-pages", "-U")
M_FLAGS: Final = ("--shrink-block-min-pages", "-M")
B_FLAGS: Final = ("--batch", "-B")

UnshrinkablePages = Annotated[
    int | None,
    typer.Option(
        *U_FLAGS,
        metavar="PAGES",
        help="PBA_UNSHRINKABLE_PAGES: cached pages that are never given back. The patch has 16.",
        rich_help_panel=THRESHOLDS,
    ),
]
ShrinkBlockMinPages = Annotated[
    int | None,
    typer.Option(
        *M_FLAGS,
        metavar="PAGES",
        help="PBA_SHRINK_BLOCK_MIN_PAGES: a block with fewer free pages is not split. The patch has an "
        "eighth of a block.",
        rich_help_panel=THRESHOLDS,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        *B_FLAGS,
        metavar="PAGES",
        help="shrinker->batch: pages asked for at a time. The patch has one block.",
        rich_help_panel=THRESHOLDS,
    ),
]
PageSize = Annotated[
    str | None, typer.Option(help="4, 16 or 64 (KiB).", rich_help_panel=MACHINE, metavar="KIB")
]
Memory = Annotated[
    str | None, typer.Option(help="4GiB, 512MiB, or 1048576pages.", rich_help_panel=MACHINE, metavar="SIZE")
]
MemoryFromTrace = Annotated[
    bool,
    typer.Option(
        "--memory-from-trace",
        help="Start with the memory that was free when the recording began, in chunks as /proc/buddyinfo "
        "told them, rather than with all of it free.",
        rich_help_panel=MACHINE,
    ),
]
Fragmented = Annotated[
    float | None,
    typer.Option(
        "--fragmented",
        help="Start with half of memory free and so much of that, 0 to 1, outside of whole free blocks, as "
        "small chunks of other users leave it.",
        rich_help_panel=MACHINE,
        metavar="SHARE",
    ),
]
StartSeed = Annotated[
    int,
    typer.Option(
        "--seed", help="Seed of the demand behind --fragmented.", rich_help_panel=MACHINE, metavar="N"
    ),
]
LinearMap = Annotated[
    str,
    typer.Option(
        help="Largest leaf in the linear map: pmd, contpmd, pud. Default: the largest there is.",
        rich_help_panel=MACHINE,
        metavar="LEAF",
    ),
]
PolicyName = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="NAME",
        help="How page tables are protected; 'pba policies' lists the ways. Default: v6, the patch.",
        rich_help_panel=POLICY,
    ),
]
PolicyParameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        metavar="KEY=VALUE",
        help="A parameter of the policy; may be given several times. 'pba policies NAME' tells them.",
        rich_help_panel=POLICY,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print plain numbers, as JSON.")]
DaskCluster = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Replay on a Dask cluster: its scheduler's HOST:PORT, or 'local' for --workers processes here. "
        "The result does not depend on it.",
    ),
]
NoCache = Annotated[
    bool,
    typer.Option(
        "--no-cache",
        help="Replay all anew: take nothing from pba's cache of replays, and keep nothing there. The result does "
        "not depend on it.",
    ),
]
