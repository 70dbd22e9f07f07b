"""What a replay returns: counters with their units, tables, JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pba import shown
from pba.machine import Machine, Thresholds
from pba.policies.policy import Policy
from pba.sparkline import sparkline, sparkline_svg
from pba.units import fine_percent, format_bytes, number, plural
from pba.watermarks import Watermarks

if TYPE_CHECKING:
    import pandas as pd


class Meaning(NamedTuple):
    """Unit and meaning of a figure."""

    unit: str
    text: str


MEANINGS: Final[dict[str, Meaning]] = {
    "events": Meaning("events", "events of the trace"),
    "allocs": Meaning("pages", "page-table pages allocated"),
    "frees": Meaning("pages", "page-table pages freed"),
    "alloc_failures": Meaning("pages", "allocations that failed"),
    "refills_block": Meaning("refills", "refills of the first (largest) order"),
    "refills_mid": Meaning("refills", "refills of the second order"),
    "refills_min": Meaning("refills", "refills of the third (smallest) order"),
    "refill_failures": Meaning("refills", "refills for which the buddy allocator had no chunk"),
    "protect_calls": Meaning("calls", "set_memory calls that protect, on refill and at boot"),
    "protect_pages": Meaning("pages", "pages that they protected"),
    "unprotect_calls": Meaning("calls", "set_memory calls that unprotect, on release"),
    "unprotect_pages": Meaning("pages", "pages that they unprotected"),
    "pud_splits": Meaning("splits", "PUD leaves of the linear map split"),
    "contpmd_splits": Meaning("splits", "contPMD ranges split"),
    "pmd_splits": Meaning("splits", "PMD leaves split"),
    "contpte_splits": Meaning("splits", "contPTE ranges split"),
    "split_table_pages": Meaning("pages", "page-table pages that the splits took, for good"),
    "shrink_calls": Meaning("calls", "do_shrink_slab calls"),
    "scan_calls": Meaning("calls", "pba_shrink_scan calls"),
    "scan_stops": Meaning("calls", "of them, those that freed nothing"),
    "whole_blocks_released": Meaning("blocks", "empty blocks released without a split of their own"),
    "blocks_split_by_shrinker": Meaning("scans", "scans that chose to shrink a block in part"),
    "nonblock_scans": Meaning("scans", "scans that chose pages outside of blocks"),
    "pages_released": Meaning("pages", "pages given back to the buddy allocator"),
    "deadlocks": Meaning("times", "a refill was needed during a refill: the kernel would deadlock"),
    "background_failures": Meaning("chunks", "background allocations that failed"),
    "pages_leaked": Meaning("pages", "pages lost when a release failed half-way"),
    "nr_cached": Meaning("pages", "cached pages at the end"),
    "peak_cached": Meaning("pages", "most cached pages, at boot or after any event"),
    "cached_page_ns": Meaning("page-ns", "time integral of the cached pages"),
    "cached_after_passes": Meaning("page-passes", "cached pages right after a pass, summed over all passes"),
    "nr_deferred": Meaning("pages", "shrinker work put off, at the end"),
    "free_pages": Meaning("pages", "pages in the buddy allocator at the end"),
}
"""The counters, in the order in which they are shown; `cache_hash` is the one that is no number."""

RIVAL_SHARES: Final = (
    "events", "allocs", "frees", "alloc_failures", "refills_block", "refills_mid", "refills_min",
    "refill_failures", "protect_calls", "protect_pages", "unprotect_calls", "unprotect_pages", "pud_splits",
    "contpmd_splits", "pmd_splits", "contpte_splits", "split_table_pages", "shrink_calls", "scan_calls",
    "scan_stops", "whole_blocks_released", "pages_released", "background_failures",
)  # fmt: skip
"""Counters of v6 that policies without its allocator share."""

RIVAL_MEANINGS: Final[dict[str, Meaning]] = {
    "flips_to": Meaning("calls", "protect calls on a block or more"),
    "flips_from": Meaning("calls", "unprotect calls on a block or more"),
    "flush_ranges": Meaning("flushes", "TLB flushes of a range"),
    "flush_all": Meaning("flushes", "TLB flushes of everything"),
    "split_ptp_raw": Meaning("pages", "tables of splits that no protected page was free for"),
    "nested_splits": Meaning("splits", "splits to protect the tables of other splits"),
    "convert_failed": Meaning("times", "a page was wanted, and no block was there to be converted"),
    "scrubbed_pages": Meaning("pages", "pages zeroed as their blocks were given back"),
    "ptp_unprotected": Meaning("pages", "page-table pages that were handed out unprotected"),
    "reserve_pages": Meaning("pages", "pages kept for the tables of splits, at the end"),
    "captured_pages": Meaning("pages", "others' pages that the policy kept when they were freed"),
    "stale_marks": Meaning("blocks", "blocks marked as the policy's that hold none of its pages, at the end"),
    "map_table_pages": Meaning("pages", "PTE tables of a linear map that is in PTEs from boot"),
    "pmd_collapses": Meaning("times", "split blocks folded to a PMD leaf again"),
    "contpmd_collapses": Meaning("times", "PMD leaves marked as a contPMD again"),
    "protect_single_calls": Meaning("calls", "protect calls on a single page"),
    "unprotect_single_calls": Meaning("calls", "unprotect calls on a single page"),
    "pagewise_calls": Meaning("calls", "calls on a single page, both ways"),
    "range_calls": Meaning("calls", "calls on more pages, both ways"),
    "pages_changed": Meaning("pages", "pages that all calls changed"),
    "held_pages": Meaning("pages", "protected, unused pages that no one else can get, at the end"),
    "peak_held": Meaning("pages", "most of them, at boot or after any event"),
    "held_page_ns": Meaning("page-ns", "time integral of them"),
    "held_after_passes": Meaning("page-passes", "of them right after a pass, summed over all passes"),
}
"""What policies count beside v6."""

RECLAIM_MEANINGS: Final[dict[str, Meaning]] = {
    "kswapd_wakes": Meaning("runs", "runs of kswapd: free pages had fallen to low"),
    "kswapd_visits": Meaning("visits", "visits of the shrinkers in these runs"),
    "kswapd_failures": Meaning("runs", "of them, those that reclaimed nothing and ended below high"),
    "direct_reclaims": Meaning("runs", "runs of direct reclaim: a chunk could not be had above min"),
    "direct_visits": Meaning("visits", "visits of the shrinkers in these runs"),
    "lru_scanned": Meaning("pages", "pages of page cache that reclaim looked at"),
    "lru_reclaimed": Meaning("pages", "of them, those given back"),
    "page_cache_grown": Meaning("pages", "pages taken as page cache"),
    "page_cache_failures": Meaning("pages", "pages of page cache that could not be taken"),
    "page_cache_pages": Meaning("pages", "page cache at the end"),
}
"""What reclaim that reacts counts."""

CACHED_PAGE_NS_PARTS: Final = ("cached_page_ns_high", "cached_page_ns_low")
"""`cached_page_ns` outgrows 64 bits: in tables it is `high * 2**pba.kernel.state.AREA_BITS + low`."""
COUNTER_COLUMNS: Final = tuple(
    column for name in MEANINGS for column in (CACHED_PAGE_NS_PARTS if name == "cached_page_ns" else (name,))
)
"""The counters as columns of 64 bits."""


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """The outcome of one replay.

    Attributes
    ----------
    trace_name : str
        Name of the trace.
    machine : Machine
        The simulated machine.
    thresholds : Thresholds or None
        The shrinker's thresholds; None for a policy without any.
    counters : dict
        Every counter by its name (see `MEANINGS`), as int; and `cache_hash` once more.
    cache_hash : str
        64-bit FNV-1a over the cached pfns (8 bytes little-endian each) from the list's head to its tail, 16
        hexadecimal digits. Its offset basis is the vectors' one, 1469598103934665603, a digit short of FNV's.
    duration_ns : int
        Time from the first event to the last, in ns.
    unknown_frees : int
        Frees of ids that were not live; they were skipped.
    checkpoints : DataFrame or None
        `event, nr_cached, cache_hash, free_pages, pmd_splits` after every `checkpoint_every` events.
    watermarks : Watermarks or None
        What pressure followed from, in place of the recorded visits; None where those were replayed.
    timeline : DataFrame or None
        A row an event, the state after it: `time_ns, nr_cached, live_pages, pud_splits, contpmd_splits,
        pmd_splits, contpte_splits`; `pmd_collapses` where the policy counts them; and `visited` (the shrinkers were,
        at this event) where reclaim reacts.
    """

    trace_name: str
    machine: Machine
    thresholds: Thresholds | None
    counters: dict[str, Any]
    cache_hash: str
    duration_ns: int
    unknown_frees: int = 0
    checkpoints: pd.DataFrame | None = field(default=None, repr=False)
    timeline: pd.DataFrame | None = field(default=None, repr=False)
    policy: Policy = field(default_factory=lambda: Policy("v6"))
    watermarks: Watermarks | None = None

    @property
    def memory_from_trace(self) -> bool:
        """Whether it started with the memory that was free when the trace was recorded, not with all of it."""
        return self.machine.start.from_trace

    @property
    def setting(self) -> str:
        """What was replayed, in short: the policy, if it is not v6, and its thresholds, if it has any."""
        known = self.policy
        shown = [] if known.name == "v6" else [str(known)]
        return " ".join(shown if self.thresholds is None else [*shown, str(self.thresholds)])

    def _held(self, name: str) -> int:
        """Return a figure of the pages that the policy holds: those cached, where it has v6's allocator."""
        known = {"held_pages": "nr_cached", "peak_held": "peak_cached", "held_page_ns": "cached_page_ns"}
        return int(self.counters[name if name in self.counters else known[name]])

    @property
    def mean_cached_pages(self) -> float:
        """Cached (or otherwise held) pages averaged over time; those at the end without a duration."""
        if self.duration_ns == 0:
            return float(self._held("held_pages"))
        return float(self._held("held_page_ns") / self.duration_ns)

    @property
    def mean_cached_bytes(self) -> float:
        """`mean_cached_pages` in bytes."""
        return self.mean_cached_pages * self.machine.page_size_bytes

    @property
    def peak_cached_bytes(self) -> int:
        """`peak_cached` in bytes."""
        return self._held("peak_held") * self.machine.page_size_bytes

    @property
    def block_mapped_share(self) -> float:
        """Share of memory that the linear map still maps by PMD leaves or larger at the end, 0 to 1.

        All of it at the start, unless the policy maps all by PTEs; each PMD split takes one block away. Only
        a policy that collapses folds one back.
        """
        counted = self.counters
        split = counted["pmd_splits"] + counted.get("map_table_pages", 0) - counted.get("pmd_collapses", 0)
        return float(1 - split * self.machine.block_nr_pages / self.machine.memory_pages)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the tables as plain values."""
        return {
            "trace": self.trace_name,
            "machine": self.machine.to_dict(),
            "policy": self.policy.to_dict(),
            "thresholds": None if self.thresholds is None else self.thresholds.to_dict(),
            "duration_ns": self.duration_ns,
            "unknown_frees": self.unknown_frees,
            "memory_from_trace": self.memory_from_trace,
            **({} if self.watermarks is None else {"watermarks": self.watermarks.to_dict()}),
            "counters": dict(self.counters),
            "mean_cached_pages": self.mean_cached_pages,
            "mean_cached_bytes": self.mean_cached_bytes,
            "peak_cached_bytes": self.peak_cached_bytes,
            "block_mapped_share": self.block_mapped_share,
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON, indented."""
        return json.dumps(self.to_dict(), indent=2)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per counter: `value`, `unit` and `meaning`, indexed by `counter`."""
        import pandas as pd

        known = MEANINGS | RIVAL_MEANINGS | RECLAIM_MEANINGS
        rows = [(name, value, *known[name]) for name, value in self.counters.items() if name in known]
        return pd.DataFrame(rows, columns=["counter", "value", "unit", "meaning"]).set_index("counter")

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: what was replayed, the figures that matter, the cached pages over time."""
        figures = [f"{label} {said}" for label, said in self._figures()]
        curve = self._cached_curve(60)
        told = (
            f"cached pages {sparkline(curve)} {number(min(curve))} to {number(max(curve))}" if curve else ""
        )
        head = f"ReplayResult of {shown.named(self.trace_name)!r} with {self.setting} on {self.machine}"
        return shown.lines(head, (", ".join(figures[:3]), ", ".join(figures[3:]), told))

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the same as a table in Jupyter; every counter opens on a click."""
        curve = self._cached_curve(240)
        curves = []
        if curve:
            curves = [
                ("cached over time", sparkline_svg(curve), f"{number(min(curve))} to {number(max(curve))}")
            ]
        known = MEANINGS | RIVAL_MEANINGS | RECLAIM_MEANINGS
        every = [
            (name, number(value), *known[name]) for name, value in self.counters.items() if name in known
        ]
        return shown.html(
            f"{shown.named(self.trace_name)}: {self.setting} on {self.machine}",
            shown.pairs(self._figures(), curves),
            shown.folded("every counter", shown.table(("counter", "value", "unit", "meaning"), every)),
        )

    def _figures(self) -> list[tuple[str, str]]:
        """Return the figures that matter most, as labels and what they are."""
        counters = self.counters
        troubles = {
            "alloc_failures": "allocations failed",
            "pages_leaked": "pages leaked",
            "deadlocks": "deadlocks",
        }
        held = "cached" if "nr_cached" in counters else "held"
        figures = [
            ("PMD splits", number(counters["pmd_splits"])),
            (
                f"pages {held} on average",
                f"{number(self.mean_cached_pages)} ({format_bytes(self.mean_cached_bytes)})",
            ),
            ("at most", number(self._held("peak_held"))),
            ("block-mapped at the end", f"{fine_percent(self.block_mapped_share)} of memory"),
        ]
        if "scan_calls" in counters:
            given = plural(counters["pages_released"], "page")
            figures.append(("given back", f"{given} in {number(counters['scan_calls'])} scans"))
        bad = [(label, number(counters[name])) for name, label in troubles.items() if counters.get(name)]
        return [*figures, *bad]

    def _cached_curve(self, steps: int) -> list[float]:
        """Return the cached pages at equal steps of time; nothing without a timeline."""
        if self.timeline is None or len(self.timeline) == 0:
            return []
        time_ns = self.timeline["time_ns"].to_numpy()
        ends = time_ns[0] + (time_ns[-1] - time_ns[0]) * np.arange(1, steps + 1) / steps
        last = np.maximum(np.searchsorted(time_ns, ends, side="right") - 1, 0)
        return [float(value) for value in self.timeline["nr_cached"].to_numpy()[last]]
