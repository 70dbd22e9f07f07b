"""`pba replay`: run a trace through the simulated allocator and shrinker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.layout import columns, described
from pba.cli.options import (
    Batch,
    Fragmented,
    LinearMap,
    Memory,
    MemoryFromTrace,
    PageSize,
    PolicyName,
    PolicyParameters,
    ShrinkBlockMinPages,
    StartSeed,
    UnshrinkablePages,
)
from pba.cli.reclaim import (
    RECORDED,
    Mglru,
    MinFreeKbytes,
    PageCacheGrowth,
    PageCacheShare,
    Reclaim,
    ReclaimableShare,
    Thp,
    reclaim_row,
    watermarks_from,
)
from pba.cli.traces import open_trace
from pba.printable import printable
from pba.units import (
    fine_percent,
    format_bytes,
    format_time,
    number,
    parse_memory,
    parse_page_size,
    plural,
)

if TYPE_CHECKING:
    from pba.machine import Machine, Thresholds
    from pba.policies.policy import Policy
    from pba.probe.bounds import ReplayBounds
    from pba.results import ReplayResult
    from pba.trace.table import Trace


def replay(
    trace: Annotated[
        Path,
        typer.Argument(metavar="TRACE", help="A trace file of any form, or the name of a recording of pba."),
    ],
    unshrinkable_pages: UnshrinkablePages = None,
    shrink_block_min_pages: ShrinkBlockMinPages = None,
    batch: Batch = None,
    page_size: PageSize = None,
    memory: Memory = None,
    linear_map: LinearMap = "",
    memory_from_trace: MemoryFromTrace = False,
    fragmented: Fragmented = None,
    seed: StartSeed = 0,
    policy: PolicyName = "v6",
    parameters: PolicyParameters = None,
    reclaim: Reclaim = RECORDED,
    min_free_kbytes: MinFreeKbytes = None,
    thp: Thp = None,
    page_cache_growth: PageCacheGrowth = None,
    page_cache_share: PageCacheShare = None,
    reclaimable_share: ReclaimableShare = None,
    mglru: Mglru = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a trace that frees what it never allocated.")
    ] = False,
    bounds: Annotated[
        bool,
        typer.Option(
            "--bounds", help="Lower and upper figures, for a trace with missing frees or allocations."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers, as JSON.")] = False,
) -> None:
    """Replay a trace through the simulated block allocator and shrinker.

    With --bounds, the trace is replayed in up to nine variants: frees that were
    not seen happen as late as can be, half-way, or at once after their
    allocations; pages that are freed unmatched are left out, live from the
    start, or allocated just before. Live pages are truly bounded by these; of
    the other metrics they are the least and the most of the variants, no proof.
    """
    from pba._jit import start_quickly

    start_quickly()
    from pba.model import replay as run_model
    from pba.model import started
    from pba.policies.policy import parse_parameters

    chosen = parse_parameters(policy, parameters or [])
    watermarks = watermarks_from(
        reclaim,
        min_free_kbytes=min_free_kbytes,
        thp=thp,
        page_cache_growth=page_cache_growth,
        page_cache_share=page_cache_share,
        reclaimable_share=reclaimable_share,
        mglru=mglru,
    )
    events = open_trace(trace, strict=strict)
    machine = machine_from(events, page_size, memory, linear_map)
    machine = started(machine, memory_from_trace, fragmented, seed)
    given = given_thresholds(unshrinkable_pages, shrink_block_min_pages, batch)
    thresholds = thresholds_under(chosen, machine, given)
    if bounds:
        from pba.cli.bounds import render as render_bounds
        from pba.errors import PbaError
        from pba.probe.bounds import replay_bounds

        if not chosen.is_v6:
            raise PbaError(f"--bounds replays under v6 alone, not {chosen}", "leave out --policy")
        if memory_from_trace:
            raise PbaError("--bounds starts with all memory free", "leave out --memory-from-trace")
        if watermarks is not None:
            raise PbaError("--bounds replays the recorded pressure", "leave out --reclaim")
        found = replay_bounds(events, thresholds, machine)
        print(found.to_json() if as_json else render_bounds(found, ran(found, found.events)))
        return
    result = run_model(events, thresholds, machine, strict=strict, policy=chosen, reclaim=watermarks)
    print(result.to_json() if as_json else render(result))


def machine_from(trace: Trace, page_size: str | None, memory: str | None, linear_map: str) -> Machine:
    """Return the machine that the options and the trace describe.

    Another page size leaves the memory's bytes as they are, and the linear map as large as it can be.
    """
    from pba.machine import Machine
    from pba.model import machine_of

    recorded = machine_of(trace)
    kib = recorded.page_size_kib if page_size is None else parse_page_size(page_size)
    if memory is not None:
        return Machine(kib, parse_memory(memory, kib), linear_map)
    return Machine.from_bytes(kib, recorded.memory_bytes, linear_map)


def thresholds_from(
    machine: Machine, unshrinkable_pages: int | None, shrink_block_min_pages: int | None, batch: int | None
) -> Thresholds:
    """Return the patch's thresholds with those that were given put in."""
    from pba.machine import Thresholds

    given = given_thresholds(unshrinkable_pages, shrink_block_min_pages, batch)
    return replace(Thresholds.patch(machine), **given)


def given_thresholds(
    unshrinkable_pages: int | None, shrink_block_min_pages: int | None, batch: int | None
) -> dict[str, int]:
    """Return the thresholds that were given, by their names."""
    given = {
        "unshrinkable_pages": unshrinkable_pages,
        "shrink_block_min_pages": shrink_block_min_pages,
        "batch": batch,
    }
    return {name: value for name, value in given.items() if value is not None}


def thresholds_under(policy: Policy, machine: Machine, given: dict[str, int]) -> Thresholds | None:
    """Return the patch's thresholds with those given put in; None for a policy without any.

    Raises
    ------
    PbaError
        If one is given that the policy does not have.
    """
    from pba.errors import PbaError, option
    from pba.machine import Thresholds

    takes = policy.definition.thresholds
    for name, value in given.items():
        if name not in takes:
            has = ", ".join(option(each) for each in takes) or "none"
            raise PbaError(f"policy {policy.name} has no threshold {option(name, value)}", f"it has {has}")
    return policy.thresholds_on(machine, replace(Thresholds.patch(machine), **given) if takes else None)


def ran(result: ReplayResult | ReplayBounds, events: int) -> list[tuple[str, str]]:
    """Return what was run: the trace, the machine and the thresholds."""
    rows = [
        ("trace", f"{printable(result.trace_name)}, {format_time(result.duration_ns)}, "
         f"{plural(events, 'event')}"),
        ("machine", str(result.machine.at_rest)),
    ]  # fmt: skip
    if result.thresholds is not None:
        rows.append(("thresholds", f"{result.thresholds} (pages)"))
    return rows


def render(result: ReplayResult) -> str:
    """Return a result as text: what was run, what follows from it, every counter with its unit."""
    counters = result.counters
    held = "cached" if "nr_cached" in counters else "held"
    policy = [("policy", f"{result.policy}: {result.policy.definition.line}")]
    head = [
        *ran(result, counters["events"]),
        *(policy if result.policy.name != "v6" else []),
        ("start", str(result.machine.start)),
        *reclaim_row(result),
        ("PMD splits", f"{number(counters['pmd_splits'])}, "
         f"{fine_percent(result.block_mapped_share)} of the linear map is still block-mapped"),
        (f"{held}, mean", f"{format_bytes(result.mean_cached_bytes)} "
         f"({number(result.mean_cached_pages)} pages, weighted by time)"),
        (f"{held}, peak", f"{format_bytes(result.peak_cached_bytes)} "
         f"({number(counters.get('peak_cached', counters.get('peak_held', 0)))} pages)"),
    ]  # fmt: skip
    if result.unknown_frees:
        head.append(("skipped", f"{number(result.unknown_frees)} frees of ids that were not live"))
    table = [("counter", "value", "unit", "meaning")]
    for name, row in result.to_frame().iterrows():
        table.append((str(name), number(int(row["value"])), row["unit"], row["meaning"]))
    return f"{described(head)}\n\n{columns(table, 'lrll')}\n\ncache hash {result.cache_hash}"
