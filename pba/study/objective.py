"""What a study minimises, and how the figures of several recordings become one.

Two aims, both to be small:

- **PMD splits**: how many 2 MiB (32 MiB, 512 MiB) mappings of the linear map the allocator broke. The
  sum over all recordings; nothing folds a split back, so each one counts alike.
- **Mean cached pages**: what the allocator holds without using it, weighted by time within a recording;
  then the plain mean over the recordings, so that a recording counts the same whether it lasts twenty
  seconds or five minutes. A page counts as one whatever its size, as it does in the thresholds: in MiB,
  one recording with 16 KiB pages would outweigh several with 4 KiB pages, and a small fall on it would
  pay for rises on all the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.study.definition import THRESHOLD_NAMES

if TYPE_CHECKING:
    import pandas as pd

    from pba.results import ReplayResult

AIMS: Final = ("pmd_splits", "mean_cached_pages")
"""The two columns that a study minimises."""

AVERAGED: Final = ("mean_cached_pages", "mean_cached_mib")
"""Columns whose plain mean over the recordings describes a point; in MiB for information alone."""

SUMMED: Final = (
    "pmd_splits", "contpmd_splits", "contpte_splits", "pud_splits", "unprotect_calls", "pages_released",
    "shrink_calls", "scan_calls", "alloc_failures", "deadlocks", "pages_leaked",
)  # fmt: skip
"""Counters whose sum over the recordings describes a point."""

MIB: Final = float(1 << 20)


def row_of(result: ReplayResult) -> dict[str, Any]:
    """Return what is kept of one replay: every counter, and what follows from them.

    Parameters
    ----------
    result : pba.results.ReplayResult
        What `pba.replay` returned.
    """
    page = result.machine.page_size_kib * 1024
    counters = {name: value for name, value in result.counters.items() if name != "cache_hash"}
    return {
        **counters,
        "mean_cached_pages": float(result.mean_cached_pages),
        "mean_cached_mib": float(result.mean_cached_pages) * page / MIB,
        "peak_cached_mib": result.counters["peak_cached"] * page / MIB,
        "block_mapped_share": float(result.block_mapped_share),
    }


def combine(rows: list[Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures of all recordings taken together: sums, means, a maximum."""
    combined: dict[str, float] = {name: sum(int(row[name]) for row in rows) for name in SUMMED}
    for name in AVERAGED:
        combined[name] = float(sum(row[name] for row in rows) / len(rows))
    combined["peak_cached_mib"] = float(max(row["peak_cached_mib"] for row in rows))
    return combined


def points_of(per_trace: pd.DataFrame) -> pd.DataFrame:
    """Make the table of points from the table of replays (a row per point and recording).

    Returns
    -------
    DataFrame
        Indexed by `number`: the thresholds, the two aims, the mean and the peak in MiB, the sums, `on_front`.
    """
    import pandas as pd

    groups = per_trace.groupby(level="number", sort=True)
    points = groups[list(THRESHOLD_NAMES)].first()
    points["pmd_splits"] = groups["pmd_splits"].sum()
    # A plain left-to-right sum, as `combine` does it: the same bits whoever adds them up.
    for name in AVERAGED:
        points[name] = groups[name].agg(lambda column: sum(column) / len(column))
    points["peak_cached_mib"] = groups["peak_cached_mib"].max()
    others = [name for name in SUMMED if name not in points and name in per_trace]
    points = pd.concat([points, groups[others].sum()], axis=1)
    points["on_front"] = on_front(*(points[aim].to_numpy() for aim in AIMS))
    return points


def on_front(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which points no other point beats: as good in both aims and better in one.

    Points that are equal in both aims are on the front together.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    order = np.lexsort((second, first))
    front = np.zeros(len(first), bool)
    least_before, current, least_now = np.inf, np.nan, np.inf
    for index in order:
        if first[index] != current:
            least_before, current, least_now = min(least_before, least_now), first[index], second[index]
        front[index] = second[index] == least_now and second[index] < least_before
    return front
