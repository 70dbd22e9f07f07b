"""What a finished run comes down to, as tables: data first, whoever draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pba.study.definition import THRESHOLD_NAMES
from pba.study.objective import AIMS
from pba.study.run import Run

if TYPE_CHECKING:
    import pandas as pd

FIGURES: Final = (*AIMS, "mean_cached_mib", "peak_cached_mib")
"""What is compared, recording by recording."""


def comparison(run: Run) -> pd.DataFrame:
    """Return the seed's figures beside the recommended point's.

    Returns
    -------
    DataFrame
        Indexed by `trace`, the last row being `all`; columns `pmd_splits_seed`,
        `pmd_splits_recommended`, and so on for `mean_cached_pages`, `mean_cached_mib` and `peak_cached_mib`.
        In `all` splits are added up, means are averaged over recordings and the highest peak stands, as in
        `Run.points`.
    """
    import pandas as pd

    sides = {"seed": run.seed, "recommended": run.recommended}
    columns = {}
    for figure in FIGURES:
        for side, number in sides.items():
            column = run.per_trace.loc[number][figure].reindex(run.traces["trace"])
            columns[f"{figure}_{side}"] = pd.concat(
                [column, pd.Series({"all": run.points.loc[number, figure]})]
            )
    frame = pd.DataFrame(columns)
    frame.index.name = "trace"
    return frame


def front_table(run: Run, rows: int) -> pd.DataFrame:
    """Return the Pareto front, thinned to some rows, by rising splits.

    Points that are equal in both aims count once: the recommended one stands for its equals, else the
    first that was tried. The ends and the recommended point always stay; between them rows are taken evenly.

    Returns
    -------
    DataFrame
        Indexed by `number`: the thresholds and the two aims.
    """
    front = run.points.loc[run.front, [*THRESHOLD_NAMES, *AIMS]]
    first = front.index == run.recommended
    order = front.assign(_late=~first).sort_values([*AIMS, "_late"], kind="stable")
    single = front.loc[order.drop_duplicates(list(AIMS)).index]
    if len(single) <= rows:
        return single
    keep = {round(step * (len(single) - 1) / (rows - 1)) for step in range(rows)}
    at = list(single.index).index(run.recommended)
    if at not in keep:
        inner = [index for index in keep if index not in (0, len(single) - 1)]
        keep.discard(min(inner, key=lambda index: abs(index - at)))
        keep.add(at)
    return single.iloc[sorted(keep)]


def front_size(run: Run) -> int:
    """Return how many different pairs of aims the front has."""
    return len(run.points.loc[run.front, list(AIMS)].drop_duplicates())
