"""Lower and upper figures of a replay where the trace is imperfect."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pba.analysis.faults import ALLOCATIONS, FREES, Faults, find_faults, variant
from pba.analysis.live import live_pages
from pba.imports.read import as_trace
from pba.machine import Machine, Thresholds
from pba.model import machine_of, replay
from pba.results import MEANINGS, Meaning

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pba.results import ReplayResult
    from pba.trace.table import Trace

RECORDED: Final = "as recorded"
METRICS: Final[dict[str, Meaning]] = {
    "mean_live_pages": Meaning("pages", "live page-table pages, weighted by time"),
    "peak_live_pages": Meaning("pages", "most live page-table pages"),
    "mean_cached_pages": Meaning("pages", "cached pages, weighted by time"),
    **{
        name: MEANINGS[name]
        for name in (
            "peak_cached", "nr_cached", "pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits",
            "refills_block", "scan_calls", "pages_released", "unprotect_calls", "alloc_failures",
        )
    },
}  # fmt: skip
"""What is bounded, in the order in which it is shown."""


@dataclass(frozen=True, eq=False)
class ReplayBounds:
    """What a replay says of every trace that would have been recorded alike.

    Attributes
    ----------
    trace_name : str
        Name of the trace.
    machine : Machine
        The simulated machine.
    thresholds : Thresholds
        The shrinker's thresholds.
    duration_ns, events : int
        Length of the trace from its first event to its last in ns, and its events.
    faults : Faults
        Where it is imperfect.
    figures : dict of dict
        The metrics (`METRICS`) of each variant by its name; the first is "as recorded".
    """

    trace_name: str
    machine: Machine
    thresholds: Thresholds
    duration_ns: int
    events: int
    faults: Faults
    figures: dict[str, dict[str, float]] = field(repr=False)

    @property
    def is_perfect(self) -> bool:
        """Whether nothing is known to be missing, so that lower and upper are as recorded."""
        return len(self.figures) == 1 and not self.faults.unbounded

    def sentences(self) -> list[str]:
        """Say what was varied, what it means, and what cannot be bounded."""
        if self.is_perfect:
            return ["the trace is perfect as far as it says: lower and upper are as recorded"]
        faults = self.faults
        said = [
            f"{what}: {count:,}"
            for what, count in (
                ("frees inferred from reuse", len(faults.inferred)),
                ("pages live at the end whose frees may be lost", len(faults.suspects)),
                ("frees without an allocation", len(faults.unmatched)),
                ("page tables of the kernel's own list that the recording missed", faults.missed_pages),
            )
            if count
        ]
        if said:
            said = [
                f"{'; '.join(said)}; {len(self.figures)} variants of the trace were replayed",
                "live pages lie between these figures if nothing else is missing; of the other metrics they "
                "are the least and the most of the variants, no proof",
            ]
        else:
            said = ["nothing can be varied: lower and upper are as recorded"]
        return [*said, *(f"not bounded: {text}" for text in faults.unbounded)]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per metric: `recorded`, `lower`, `upper`, the variants that have them, unit, meaning.

        Indexed by `metric`; of several variants with one figure the first is named.
        """
        import pandas as pd

        rows = []
        for name, meaning in METRICS.items():
            values = {variant: figures[name] for variant, figures in self.figures.items()}
            low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
            rows.append((name, values[RECORDED], values[low], values[high], low, high, *meaning))
        columns = ["metric", "recorded", "lower", "upper", "lower_in", "upper_in", "unit", "meaning"]
        # As objects, whole numbers stay whole beside the means.
        return pd.DataFrame(rows, columns=columns, dtype=object).set_index("metric")

    def variants_frame(self) -> pd.DataFrame:
        """Return a row per variant with all of its metrics, indexed by `variant`."""
        import pandas as pd

        return pd.DataFrame(list(self.figures.values()), index=pd.Index(self.figures, name="variant"))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        metrics = {
            str(name): {key: row[key] for key in ("recorded", "lower", "upper", "lower_in", "upper_in")}
            for name, row in self.to_frame().iterrows()
        }
        return {
            "trace": self.trace_name,
            "machine": self.machine.to_dict(),
            "thresholds": self.thresholds.to_dict(),
            "duration_ns": self.duration_ns,
            "events": self.events,
            "is_perfect": self.is_perfect,
            "faults": self.faults.to_dict(),
            "metrics": metrics,
            "variants": self.figures,
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON, indented."""
        return json.dumps(self.to_dict(), indent=2)

    def _repr_html_(self) -> str:
        """Show the metrics as a table in Jupyter, and below it what they are worth."""
        title = escape(f"{self.trace_name}: {self.thresholds} on {self.machine}")
        notes = "".join(f"<li>{escape(text)}</li>" for text in self.sentences())
        return f"<p>{title}</p>{self.to_frame().to_html()}<ul>{notes}</ul>"


def replay_bounds(
    trace: Trace | str | Path, thresholds: Thresholds | None = None, machine: Machine | None = None
) -> ReplayBounds:
    """Replay a trace and its variants, and return the least and the most of the main metrics.

    A free that was inferred happened at some time between its page's allocation and the next one; a page
    live at the end may have lost its free, where frees are known to be missing; a page that is freed
    unmatched was live at the start, or its allocation is lost. The variants put all frees of the first two
    kinds at the latest time, half-way and at once after their allocations; and all allocations of the third
    nowhere, at the earliest time and just before their frees; and all pairs of these.

    At every moment, the live pages of what really happened lie between those of the variants, if nothing
    else is missing. No such thing holds for the other metrics, as the allocator is not monotone: a free that
    comes earlier can cost a split or save one. Theirs are the least and the most of the variants: a spread to
    compare a difference with, no proof.

    Parameters
    ----------
    trace, thresholds, machine
        As for `pba.replay`.

    Raises
    ------
    PbaError
        As `pba.replay` does.
    """
    trace = as_trace(trace)
    machine = machine or machine_of(trace)
    thresholds = thresholds or Thresholds.patch(machine)
    faults = find_faults(trace)
    figures = {}
    for frees, allocations in faults.choices():
        as_recorded = (frees, allocations) == (FREES[0], ALLOCATIONS[0])
        other = trace if as_recorded else variant(trace, faults, frees, allocations)
        name = RECORDED if as_recorded else f"frees {frees}, allocations {allocations}"
        figures[name] = _figures(other, replay(other, thresholds, machine))
    return ReplayBounds(trace.name, machine, thresholds, trace.duration_ns, len(trace), faults, figures)


def _figures(trace: Trace, result: ReplayResult) -> dict[str, float]:
    """Return the metrics of one replay."""
    live = live_pages(trace)
    mean = float(live[-1]) if len(live) else 0.0
    if trace.duration_ns:
        mean = float(np.dot(live[:-1].astype(np.float64), np.diff(trace.time_ns))) / trace.duration_ns
    own = {
        "mean_live_pages": mean,
        "peak_live_pages": int(live.max(initial=0)),
        "mean_cached_pages": result.mean_cached_pages,
    }
    return own | {name: result.counters[name] for name in METRICS if name not in own}


__all__ = ["METRICS", "RECORDED", "ReplayBounds", "replay_bounds"]
