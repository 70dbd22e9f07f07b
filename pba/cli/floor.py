"""`pba floor`: the least PMD splits that any allocator could get away with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.layout import columns
from pba.cli.live import LiveLine
from pba.cli.options import AsJson, LinearMap, Memory, MemoryFromTrace, PageSize
from pba.units import number, plural

if TYPE_CHECKING:
    import pandas as pd

    from pba.probe.floor import SplitFloor


def floor(
    traces: Annotated[
        list[str],
        typer.Argument(metavar="TRACE...", help="Trace files, names or patterns of recordings ('arm64-*')."),
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="NAME[:KEY=VALUE,...]",
            help="Hold this policy against the floor, as 'pba compare' takes it; may be repeated.",
        ),
    ] = None,
    most: Annotated[
        int, typer.Option("--splits", metavar="N", min=0, help="Tell the floor for up to so many splits.")
    ] = 8,
    page_size: PageSize = None,
    memory: Memory = None,
    linear_map: LinearMap = "",
    memory_from_trace: MemoryFromTrace = False,
    as_json: AsJson = False,
) -> None:
    """Say how few PMD splits any allocator could get away with, whatever its rules.

    A block that is never split is protected as a whole or not at all. So page
    tables need whole blocks, whose unused pages are held back, or split ones.
    For each number of splits: the least that is held back, on average and at
    most; what an allocator holds that knows all lifetimes; and the least if pages
    go back only when reclaim visits, as those of v6 do.

      pba floor pgbench
      pba floor 'arm64-*' --policy v6 --policy fullest-first
      pba floor build.parquet --splits 20 --json

    That is no bound of one replay: 'pba replay --bounds' says how far a recording
    with gaps leaves a policy's own figures open.
    """
    from pba._jit import start_quickly

    start_quickly()
    from pba.cli.replay import machine_from
    from pba.model import machine_of
    from pba.probe.compare import traces_of
    from pba.probe.floor import WAYS, split_floor
    from pba.probe.regret import regret

    is_given = page_size is not None or memory is not None or linear_map != ""
    read = traces_of(traces)
    machines = {
        trace.name: machine_from(trace, page_size, memory, linear_map) if is_given else machine_of(trace)
        for trace in read
    }
    floors = [
        tuple(
            split_floor(trace, machines[trace.name], gives_back=way, memory_from_trace=memory_from_trace)
            for way in WAYS
        )
        for trace in read
    ]
    held = None
    if policy:
        progress = LiveLine()
        try:
            held = regret(
                read, policy, lambda trace: machines[trace.name],
                memory_from_trace=memory_from_trace, progress=progress,
            )  # fmt: skip
        finally:
            progress.end()
    if as_json:
        told = [{"any": one.to_dict(most), "reclaim": other.to_dict(most)} for one, other in floors]
        rows = [] if held is None else json.loads(held.to_json(orient="records"))
        print(json.dumps({"floors": told, "policies": rows}, indent=1))
        return
    print("\n\n".join(render(one, other, most, held) for one, other in floors))


def render(at_any_time: SplitFloor, at_visits: SplitFloor, most: int, held: pd.DataFrame | None) -> str:
    """Return a trace's floor as text, and the policies that are held against it."""
    table = at_any_time.to_frame(most)
    rows = [("PMD splits", "held back, mean", "at most", "reachable", "by visits alone")]
    for splits, row in table.iterrows():
        mean, peak, reached = (_pages(row[name]) for name in ("mean_pages", "peak_pages", "reachable_pages"))
        rows.append((f"{splits}", mean, peak, reached, _pages(at_visits.pages(int(str(splits))))))
    head = (
        f"{at_any_time.trace_name} on {at_any_time.machine}\n"
        f"{plural(at_any_time.live_peak, 'page table')} at once; pages that no allocator can do without:"
    )
    parts = [head, columns(rows, "rrrrr")]
    if held is not None:
        mine = held[held["trace"] == at_any_time.trace_name].to_dict("records")
        against = [("policy", "PMD splits", "held back", "least splits so", "by visits alone")]
        against += [
            (one["choice"], number(one["pmd_splits"]), _pages(one["held_back_mean"]),
             _splits(one["least_splits"]), _splits(one["least_splits_reclaim"]))
            for one in mine
        ]  # fmt: skip
        parts.append(columns(against, "lrrrr"))
    return "\n\n".join(parts)


def _pages(value: float) -> str:
    """Return pages, small ones with a digit, or that it cannot be."""
    if value == float("inf"):
        return "impossible"
    return f"{value:.1f}" if 0 < value < 10 else number(round(value))


def _splits(value: float) -> str:
    """Return splits, or nothing where the floor does not hold for the policy."""
    return "" if value != value else number(int(value))
