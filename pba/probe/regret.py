"""How far policies are from the floor under PMD splits (`pba.probe.floor`), on traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pba import model
from pba.errors import PbaError
from pba.machine import Machine
from pba.policies.policy import Policy
from pba.policies.registry import PLACES
from pba.probe.compare import QUESTION, compare, traces_of
from pba.probe.floor import WAYS, split_floor

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pba.probe.compare import Comparison
    from pba.probe.floor import SplitFloor
    from pba.progress import Progress
    from pba.trace.table import Trace

NO_BLOCKS: Final = frozenset({"pte-mapped"})
"""Policies on a linear map without blocks: there is nothing to split."""
AT_ONCE: Final = frozenset({"scattered"})
"""Policies that give back outside visits of reclaim."""
ON_DEMAND: Final = frozenset({"freetype"})
"""Policies that give whole blocks back when an allocation of others would fail."""

COLUMNS: Final = (
    "trace", "choice", "pmd_splits", "held_back_mean", "least_splits", "regret", "least_splits_reclaim",
    "regret_reclaim", "pages_unsplit", "pages_unsplit_reclaim", "reachable_unsplit",
)  # fmt: skip
"""Of the table, in this order."""


def regret(
    traces: Sequence[Trace | str | Path] | Trace | str | Path | None = None,
    policies: Sequence[str | Policy] | None = None,
    machine: Machine | Callable[[Trace], Machine] | None = None,
    *,
    memory_from_trace: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Hold policies against the least splits that any allocator needs that holds back as much memory as they do.

    Parameters
    ----------
    traces, policies, machine, memory_from_trace, progress
        As for `pba.compare`; by default the policies of the question that have blocks.

    Returns
    -------
    DataFrame
        A row per trace and choice:

        - `trace`, `choice`, `pmd_splits`, `held_back_mean` (pages) as `pba.compare` has them;
        - `least_splits`: of any allocator that holds back as much; `regret`: splits beyond these;
        - `least_splits_reclaim`, `regret_reclaim`: of any that gives back only when reclaim visits; missing for a
          policy that does not;
        - `pages_unsplit`, `pages_unsplit_reclaim`: the least that such allocators hold back without any split;
          `reachable_unsplit`: what one that knows the future holds so.

        All but the first three columns are missing where a policy has failed to serve the demand, or lost pages: the
        floor is that of the whole demand.

    Raises
    ------
    PbaError
        As `pba.compare`; if a policy has no blocks.

    Examples
    --------
    >>> pba.df_regret("pgbench", ["v6", "v6:M=512"])  # doctest: +SKIP
    """
    chosen = _with_blocks(policies)
    read = traces_of(traces)
    compared = compare(read, chosen, machine, memory_from_trace=memory_from_trace, progress=progress)
    rule = (lambda _: machine) if isinstance(machine, Machine) else machine or model.machine_of
    return against_floor(compared, read, rule, memory_from_trace=memory_from_trace)


def against_floor(
    compared: Comparison,
    traces: Sequence[Trace],
    machine: Callable[[Trace], Machine],
    *,
    memory_from_trace: bool = False,
) -> pd.DataFrame:
    """Return `regret` of what has been compared.

    Parameters
    ----------
    compared : Comparison
        Of policies that have blocks; others are left out.
    traces : sequence of Trace
        Those of the comparison.
    machine : callable
        Gives a trace's machine.
    memory_from_trace : bool
        As it was compared.
    """
    import pandas as pd

    rows = []
    for trace in traces:
        floors = {
            way: split_floor(trace, machine(trace), gives_back=way, memory_from_trace=memory_from_trace)
            for way in WAYS
        }
        mine = compared.per_trace[compared.per_trace["trace"] == trace.name].to_dict("records")
        rows += [
            _row(one, floors["any"], floors["reclaim"])
            for one in mine
            if _policy(one["choice"]) not in NO_BLOCKS
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _with_blocks(policies: Sequence[str | Policy] | str | Policy | None) -> list[str | Policy]:
    """Return what is to be replayed; refuse what has no blocks, unless all are asked for."""
    if policies is None:
        return [name for name in QUESTION if name not in NO_BLOCKS]
    given = [policies] if isinstance(policies, str | Policy) else list(policies)
    for one in given:
        name = one.name if isinstance(one, Policy) else one.partition(":")[0]
        if name in NO_BLOCKS:
            raise PbaError(f"policy {name} has no blocks, so there is nothing to split", "leave it out")
    if "all" not in given:
        return given
    named = [one for one in given if one != "all"]
    return [*named, *(name for name in PLACES if name not in NO_BLOCKS and name not in named)]


def _policy(choice: str) -> str:
    """Return the policy of a choice: its first word."""
    return choice.partition(" ")[0]


def _row(found: dict[Any, Any], at_any_time: SplitFloor, at_visits: SplitFloor) -> dict[str, Any]:
    """Return a row of `regret`."""
    row = {name: found[name] for name in COLUMNS[:4]}
    if found["alloc_failures"] or found["pages_leaked"]:
        return row
    splits, held = found["pmd_splits"], found["held_back_mean"]
    least = at_any_time.splits(held)
    row |= {
        "least_splits": least, "regret": splits - least, "pages_unsplit": at_any_time.pages(),
        "reachable_unsplit": at_any_time.reachable_pages(),
    }  # fmt: skip
    policy = _policy(found["choice"])
    if policy not in AT_ONCE and not (policy in ON_DEMAND and found["blocks_back"]):
        least = at_visits.splits(held)
        row |= {
            "least_splits_reclaim": least, "regret_reclaim": splits - least,
            "pages_unsplit_reclaim": at_visits.pages(),
        }  # fmt: skip
    return row
