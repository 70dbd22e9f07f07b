"""What is kept of a replay, and what several recordings come to.

By default two aims, both to be small:

- **PMD splits**: how many 2 MiB (32 MiB, 512 MiB) mappings of the linear map the allocator broke. The
  sum over all recordings; nothing folds a split back, so each one counts alike.
- **Mean cached pages**: what the allocator holds without using it, weighted by time within a recording;
  then the plain mean over the recordings, so that a recording counts the same whether it lasts twenty
  seconds or five minutes. A page counts as one whatever its size, as it does in the thresholds: in MiB,
  one recording with 16 KiB pages would outweigh several with 4 KiB pages, and a small fall on it would
  pay for rises on all the others.

`pba.study.aims` has all aims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.definition import THRESHOLD_NAMES

if TYPE_CHECKING:
    import pandas as pd

    from pba.results import ReplayResult

AIMS: Final = tuple(aim.name for aim in DEFAULT_AIMS)
"""The two columns that are minimised by default, and that sweeps compare."""

AVERAGED: Final = ("mean_cached_pages", "mean_cached_mib")
"""Columns whose plain mean over the recordings describes a point, if no aim says otherwise."""

SUMMED: Final = (
    "pmd_splits", "contpmd_splits", "contpte_splits", "pud_splits", "unprotect_calls", "pages_released",
    "shrink_calls", "scan_calls", "alloc_failures", "deadlocks", "pages_leaked",
)  # fmt: skip
"""Counters whose sum over the recordings describes a point, if no aim says otherwise."""

MIB: Final = float(1 << 20)

Kept = dict[str, Any]
"""What is kept of one replay: every counter, and what follows from them."""


def row_of(result: ReplayResult, aims: Sequence[Aim] = DEFAULT_AIMS) -> Kept:
    """Return what is kept of one replay: every counter, what follows from them, and each aim by its name.

    Parameters
    ----------
    result : pba.results.ReplayResult
        What `pba.replay` returned.
    aims : sequence of Aim
        The study's aims.

    Raises
    ------
    ValueError
        If an aim with a function of its own has the name of something that is kept.
    """
    page = result.machine.page_size_kib * 1024
    counters = {name: value for name, value in result.counters.items() if name != "cache_hash"}
    kept = {
        **counters,
        "mean_cached_pages": float(result.mean_cached_pages),
        "mean_cached_mib": float(result.mean_cached_pages) * page / MIB,
        "peak_cached_mib": result.counters["peak_cached"] * page / MIB,
        "block_mapped_share": float(result.block_mapped_share),
    }
    for aim in aims:
        if aim.figure is not None and aim.name in kept:
            raise ValueError(f"an aim of one's own cannot be called {aim.name!r}: a counter is")
    return {**kept, **{aim.name: aim.of(kept) for aim in aims if aim.name not in kept}}


class Objective:
    """The aims of a study over its recordings.

    Parameters
    ----------
    aims : sequence of Aim
        The aims.
    """

    def __init__(self, aims: Sequence[Aim] = DEFAULT_AIMS) -> None:
        self.aims = tuple(aims)

    def values(
        self, rows: Sequence[Mapping[str, Any]], patch: Sequence[Mapping[str, Any]]
    ) -> tuple[float, ...]:
        """Return what a point's rows, one a recording, come to; `patch` are the rows of the patch's point."""
        return tuple(
            float(aim.over_recordings([row[aim.name] for row in rows], [row[aim.name] for row in patch]))
            for aim in self.aims
        )

    def losses(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values (a column for each aim) so that less is better in each."""
        return values * np.array([aim.sign for aim in self.aims], np.float64)


def points_of(per_trace: pd.DataFrame, aims: Sequence[Aim] = DEFAULT_AIMS, patch: int = 0) -> pd.DataFrame:
    """Make the table of points from the table of replays (a row per point and recording).

    Parameters
    ----------
    per_trace : DataFrame
        Indexed by `number` and `trace`.
    aims : sequence of Aim
        The study's aims.
    patch : int
        Number of the point with the patch's thresholds.

    Returns
    -------
    DataFrame
        Indexed by `number`: the thresholds, the aims, the means in pages and in MiB, the peak in MiB, the
        sums, `on_front`.
    """
    import pandas as pd

    groups = per_trace.groupby(level="number", sort=True)
    points = groups[list(THRESHOLD_NAMES)].first()
    for aim in aims:
        # A row per point, a column per recording.
        figures = per_trace[aim.name].unstack("trace")
        figures = figures[list(dict.fromkeys(per_trace.index.get_level_values("trace")))]
        columns = [figures[name].to_numpy(np.float64) for name in figures]
        before = [float(value) for value in figures.loc[[patch]].to_numpy(np.float64)[0]]
        combined = aim.over_recordings(columns, before)
        whole = aim.over == "sum" and pd.api.types.is_integer_dtype(per_trace[aim.name])
        points[aim.name] = combined.astype(np.int64) if whole else combined
    for name in AVERAGED:
        if name not in points:
            # A plain left-to-right sum: the same bits whoever adds them up.
            points[name] = groups[name].agg(lambda column: sum(column) / len(column))
    if "peak_cached_mib" not in points:
        points["peak_cached_mib"] = groups["peak_cached_mib"].max()
    others = [name for name in SUMMED if name not in points and name in per_trace]
    points = pd.concat([points, groups[others].sum()], axis=1)
    losses = Objective(aims).losses(points[[aim.name for aim in aims]].to_numpy(np.float64))
    points["on_front"] = on_front(*losses.T)
    return points


def on_front(*aims: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which points no other point beats: as good in all aims and better in one. Less is better.

    Points that are equal in all aims are on the front together.
    """
    table = np.column_stack([np.asarray(aim, float) for aim in aims])
    # By the first aim, then the second, and so on: a point is beaten only by one that stands before it.
    order = np.lexsort(table.T[::-1])
    ordered = table[order]
    new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])[: len(ordered)]
    distinct = ordered[new]
    front = np.zeros(len(distinct), bool)
    if table.shape[1] == 2 and len(distinct):
        below = np.concatenate([[np.inf], np.minimum.accumulate(distinct[:-1, 1])])
        front = distinct[:, 1] < below
    else:
        left = np.arange(len(distinct))
        while len(left):
            # The least of what is left is beaten by nothing; what it beats is beaten for good.
            front[left[0]] = True
            left = left[1:][~(distinct[left[1:]] >= distinct[left[0]]).all(axis=1)]
    found = np.empty(len(table), bool)
    found[order] = front[np.cumsum(new) - 1]
    return found
