"""What every policy is measured by, so that they can stand side by side: the same figures, each with its unit.

Counters of policies differ, as their calls and caches do. Here each figure is told once, in terms that hold for
all of them, and made of a replay's counters and of its state after every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.events import OP_DROP, OP_SHRINK

if TYPE_CHECKING:
    from pba.results import ReplayResult
    from pba.trace.table import Trace


class Measure(NamedTuple):
    """A figure that every policy has."""

    label: str
    unit: str
    over: Literal["sum", "mean"]  # how recordings add up
    meaning: str


MEASURES: Final[dict[str, Measure]] = {
    "pmd_splits": Measure("PMD splits", "splits", "sum", "PMD leaves of the linear map split"),
    "pud_splits": Measure("PUD splits", "splits", "sum", "PUD leaves split"),
    "contpmd_splits": Measure("contPMD splits", "splits", "sum", "contPMD ranges split"),
    "contpte_splits": Measure("contPTE splits", "splits", "sum", "contPTE ranges split"),
    "mapped_mean": Measure(
        "block-mapped, mean", "share", "mean",
        "share of memory that the linear map maps by PMD leaves or larger, averaged over time",
    ),
    "mapped_end": Measure("block-mapped, end", "share", "mean", "the same at the end of the trace"),
    "protect_single": Measure("protect calls, 1 page", "calls", "sum", "set_memory calls that protect a page"),
    "protect_range": Measure("protect calls, range", "calls", "sum", "and those that protect several at once"),
    "unprotect_single": Measure("unprotect, 1 page", "calls", "sum", "set_memory calls that unprotect a page"),
    "unprotect_range": Measure("unprotect, range", "calls", "sum", "and those that unprotect several at once"),
    "tlb_flushes": Measure("TLB flushes", "flushes", "sum", "flushes of the kernel's TLB entries by these calls"),
    "held_mean": Measure(
        "held, mean", "pages", "mean",
        "protected, unused pages that nobody else can get, averaged over time; v6's cached pages",
    ),
    "held_peak": Measure("held, peak", "pages", "mean", "most of them, at boot or after any event"),
    "tables_mean": Measure(
        "map's tables, mean", "pages", "mean",
        "page tables that the linear map takes for what is split, or is in PTEs from boot; averaged over time",
    ),
    "held_back_mean": Measure("held back, mean", "pages", "mean", "both: what the policy costs in memory"),
    "held_back_peak": Measure("held back, peak", "pages", "mean", "most of both after any event"),
    "after_passes": Measure(
        "held after a pass", "pages", "mean",
        "pages held right after a visit of reclaim, averaged over visits: asked for, and not given back",
    ),
    "stay_seconds": Measure(
        "and stay for", "s", "mean",
        "how long such a page stays held: until fewer are held than were up to it, or the next visit",
    ),
    "visits": Measure(
        "visits of reclaim", "visits", "sum", "visits of the shrinkers that free memory brought, not the recording"
    ),
    "others_failed": Measure(
        "others' failures", "chunks", "sum", "chunks that the rest of the system wanted and could not have"
    ),
    "pages_released": Measure("given back", "pages", "sum", "pages given back to the buddy allocator"),
    "alloc_failures": Measure("failed", "pages", "sum", "allocations of page tables that failed"),
    "pages_leaked": Measure(
        "lost", "pages", "sum", "pages lost when a release failed half-way: protected, and on no list"
    ),
    "no_block": Measure(
        "no block was free", "times", "sum",
        "times a block was wanted and none was free: v6 takes less, freetype would need compaction",
    ),
    "refills": Measure(
        "refills, flips to", "chunks", "sum", "chunks taken from the buddy allocator and protected as a whole"
    ),
    "blocks_back": Measure("blocks given back", "blocks", "sum", "whole blocks unprotected and given back"),
    "unprotected": Measure("unprotected tables", "pages", "sum", "page tables handed out without protection"),
}  # fmt: skip
"""Every measure by its name, in the order in which they are shown."""


class OverTime(NamedTuple):
    """A replay after each of its events."""

    time_ns: NDArray[np.int64]
    held: NDArray[np.int64]  # pages
    tables: NDArray[np.int64]  # pages that the linear map takes for its tables
    pmd_splits: NDArray[np.int64]  # so far
    split_blocks: NDArray[np.int64]  # blocks that are not mapped by a PMD leaf


def over_time(result: ReplayResult) -> OverTime:
    """Return a replay over time.

    Parameters
    ----------
    result : ReplayResult
        With a timeline.
    """
    table = result.timeline
    assert table is not None
    column = {str(name): table[name].to_numpy(np.int64) for name in table.columns}
    at_boot = result.counters.get("map_table_pages", 0)
    split = at_boot + column["pmd_splits"] - column.get("pmd_collapses", 0)
    return OverTime(
        column["time_ns"], column["nr_cached"], split + column["pud_splits"], column["pmd_splits"], split
    )


def measured(trace: Trace, result: ReplayResult) -> dict[str, float]:
    """Return every measure of a replay, by its name.

    Parameters
    ----------
    trace : Trace
        What was replayed.
    result : ReplayResult
        Its outcome, with a timeline.
    """
    count = result.counters
    states = over_time(result)
    block = result.machine.block_nr_pages
    is_rival = "flush_ranges" in count
    found: dict[str, Any] = {
        name: count[name] for name in ("pmd_splits", "pud_splits", "contpmd_splits", "contpte_splits")
    }
    mapped = 1 - states.split_blocks * (block / result.machine.memory_pages)
    tables = mean_over(states.time_ns, states.tables)
    found |= {
        "mapped_mean": mean_over(states.time_ns, mapped) if len(mapped) else result.block_mapped_share,
        "mapped_end": result.block_mapped_share,
        **calls_of(result),
        "tlb_flushes": count["flush_ranges"] + count["flush_all"]
        if is_rival
        else count["protect_calls"] + count["unprotect_calls"] + count.get("flush_all", 0),
        "held_mean": result.mean_cached_pages,
        "held_peak": count["peak_held"] if is_rival else count["peak_cached"],
        "tables_mean": tables,
        "held_back_mean": result.mean_cached_pages + tables,
        "held_back_peak": int((states.held + states.tables).max(initial=0)),
        **_after_passes(_passes(trace, result), states),
        "visits": count.get("kswapd_visits", 0) + count.get("direct_visits", 0),
        "others_failed": count["background_failures"] + count.get("page_cache_failures", 0),
        "pages_released": count["pages_released"],
        "alloc_failures": count["alloc_failures"],
        "pages_leaked": count.get("pages_leaked", 0),
        **chunks_of(count, is_rival),
        "unprotected": count.get("ptp_unprotected", 0),
    }
    return {name: found[name] for name in MEASURES}


def calls_of(result: ReplayResult) -> dict[str, int]:
    """Return how many calls changed a page, and how many a range.

    v6 does not tell them apart. It protects by refills, of more than a page each; it unprotects single pages or
    whole blocks, so that calls and pages say how many of either there were.
    """
    count = result.counters
    if "protect_single_calls" in count:
        singles = {way: count[f"{way}_single_calls"] for way in ("protect", "unprotect")}
    else:
        block = result.machine.block_nr_pages
        of_blocks = (count["unprotect_pages"] - count["unprotect_calls"]) // (block - 1)
        singles = {"protect": 0, "unprotect": count["unprotect_calls"] - of_blocks}
    return {
        f"{way}_{kind}": single if kind == "single" else count[f"{way}_calls"] - single
        for way, single in singles.items()
        for kind in ("single", "range")
    }


def chunks_of(count: dict[str, Any], is_rival: bool) -> dict[str, int]:
    """Return how often chunks came and went, and how often no whole block could be had."""
    refills = count["refills_block"] + count["refills_mid"] + count["refills_min"]
    smaller = count["refills_mid"] + count["refills_min"] + count["refill_failures"]
    return {
        "no_block": smaller + count.get("convert_failed", 0),
        "refills": refills or count.get("flips_to", 0),
        "blocks_back": count["whole_blocks_released"] or (count["flips_from"] if is_rival else 0),
    }


def mean_over(time_ns: NDArray[np.int64], values: NDArray[Any]) -> float:
    """Return the mean over time of what holds from each event to the next; without a duration the last value."""
    if len(values) == 0:
        return 0.0
    lengths = np.diff(time_ns)
    total = int(lengths.sum())
    return float(np.dot(values[:-1], lengths) / total) if total else float(values[-1])


def _passes(trace: Trace, result: ReplayResult) -> NDArray[np.intp]:
    """Return the events at which the shrinkers were visited: those recorded, or those that reclaim brought."""
    if result.timeline is not None and "visited" in result.timeline:
        return np.flatnonzero(result.timeline["visited"].to_numpy())
    return np.flatnonzero((trace.op == OP_SHRINK) | (trace.op == OP_DROP))


def _after_passes(passes: NDArray[np.intp], states: OverTime) -> dict[str, float]:
    """Return what is held right after a pass, and how long a page of it stays."""
    if len(passes) == 0:
        return {"after_passes": 0.0, "stay_seconds": 0.0}
    lengths = np.diff(states.time_ns, append=states.time_ns[-1:])
    ends = np.append(passes[1:], len(states.held))
    page_ns = 0.0
    for first, end in zip(passes.tolist(), ends.tolist(), strict=True):
        still = np.minimum.accumulate(states.held[first:end])
        page_ns += float(np.dot(still, lengths[first:end]))
    held = int(states.held[passes].sum())
    return {"after_passes": held / len(passes), "stay_seconds": page_ns / held / 1e9 if held else 0.0}
