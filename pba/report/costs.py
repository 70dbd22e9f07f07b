"""The costs that nobody asked for and everybody reads: what is counted beside the aims, for each named point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from pba.report.data import roles_of
from pba.report.document import Column, Section, Table
from pba.report.words import relative
from pba.study.decision.decision import PATCH, RECOMMENDED
from pba.units import number

if TYPE_CHECKING:
    from pba.study.result import Run

COSTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "pud_splits": ("PUD splits", ("pud_splits",)),
    "contpmd_splits": ("contPMD splits", ("contpmd_splits",)),
    "pmd_splits": ("PMD splits", ("pmd_splits",)),
    "contpte_splits": ("contPTE splits", ("contpte_splits",)),
    "split_table_pages": ("pages for the splits' tables", ("split_table_pages",)),
    "unprotect_calls": ("unprotect calls, each a TLB flush", ("unprotect_calls",)),
    "protect_calls": ("protect calls, each a TLB flush", ("protect_calls",)),
    "refills": ("refills", ("refills_block", "refills_mid", "refills_min")),
    "refills_small": ("refills of less than a block", ("refills_mid", "refills_min")),
    "shrink_calls": ("visits of the shrinker", ("shrink_calls",)),
    "scan_calls": ("scans", ("scan_calls",)),
    "scan_stops": ("scans in vain", ("scan_stops",)),
    "pages_released": ("pages given back", ("pages_released",)),
    "whole_blocks_released": ("blocks given back whole", ("whole_blocks_released",)),
    "alloc_failures": ("failed allocations", ("alloc_failures",)),
}
"""Costs by name: what each is called, and the counters that it is the sum of."""


def costs_table(run: Run) -> pd.DataFrame:
    """Return what each named point costs, summed over the recordings that have a say.

    Returns
    -------
    DataFrame
        A row per cost: `cost`, `label`, `counters` (that it is the sum of), and a column for each named point (the
        patch first, the recommended one last) with a whole number. Costs whose counters the run does not have are
        left out.
    """
    rows = []
    known = set(run.per_trace.columns)
    named = roles_of(run)
    for name, (label, counters) in COSTS.items():
        if not known.issuperset(counters):
            continue
        row: dict[str, object] = {"cost": name, "label": label, "counters": " + ".join(counters)}
        for role, at in named:
            row[role] = int(run.per_trace.loc[at][list(counters)].to_numpy().sum())
        rows.append(row)
    return pd.DataFrame(rows)


def costs_section(run: Run) -> tuple[Section, ...]:
    """Show `costs_table`; a cost that no point has is left out."""
    table = costs_table(run)
    if table.empty:
        return ()
    named = [name for name, _ in roles_of(run)]
    columns = (
        Column("", left=True, key=True), Column(PATCH), Column(RECOMMENDED), Column("change"),
        *(Column(name, group="others") for name in named if name not in (PATCH, RECOMMENDED)),
    )  # fmt: skip
    rows = []
    for row in table.to_dict("records"):
        values = {name: int(row[name]) for name in named}
        if not any(values.values()):
            continue
        others = (number(value) for name, value in values.items() if name not in (PATCH, RECOMMENDED))
        patch, best = values[PATCH], values[RECOMMENDED]
        rows.append((str(row["label"]), number(patch), number(best), relative(patch, best), *others))
    text = (
        "Counted in the same replays, and added up over the recordings. A set_memory call that unprotects ends in a "
        "flush of the kernel's TLB entries on all CPUs; a refill protects what it takes from the buddy allocator, and "
        f"flushes as well. {_never(table, named)}",
    )
    title = "What it costs beside the aims"
    return (Section("costs", title, text, tables=(Table("Costs", columns, tuple(rows)),)),)


def _never(table: pd.DataFrame, named: list[str]) -> str:
    """Say what does not occur at all."""
    zero = [str(row["label"]) for row in table.to_dict("records") if not any(row[name] for name in named)]
    return f"None of these points has {' or '.join(zero)}." if zero else ""
