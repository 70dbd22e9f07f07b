"""What the figures and tables show, as DataFrames: pure functions of a run, no drawing, no sentences."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from pba.errors import StudyError, option
from pba.study.definition import THRESHOLD_NAMES
from pba.study.flatness import TOLERANCE, run_around, within
from pba.study.objective import AIMS
from pba.units import fine_percent, percent, plural

if TYPE_CHECKING:
    from pba.study.result import Run

THRESHOLDS: Final = THRESHOLD_NAMES
LETTERS: Final = {"unshrinkable_pages": "U", "shrink_block_min_pages": "M", "batch": "B"}
KERNEL_NAMES: Final = {
    "unshrinkable_pages": "PBA_UNSHRINKABLE_PAGES",
    "shrink_block_min_pages": "PBA_SHRINK_BLOCK_MIN_PAGES",
    "batch": "shrinker->batch",
}
"""What the patch calls them (v6 17/30, mm/kpkeys_hardened_pgtables.c)."""
PASS_TOLERANCE: Final = 1e-9
"""Two mean numbers of cached pages nearer than this share of each other are the same, rounded twice."""


def point(run: Run, number: int) -> Any:
    """Return the row of `run.points` with that number, a Series.

    Raises
    ------
    StudyError
        If the run holds no such point.
    """
    if number not in run.points.index:
        raise StudyError(
            f"{run.folder}: point {number} is not among its points",
            f"the run folder is damaged: tune again with {option('force', True)}",
        )
    return run.points.loc[number]


def thresholds(row: Any) -> str:
    """Return a point's thresholds in short: `U=16 M=64 B=512`."""
    return " ".join(f"{LETTERS[name]}={int(row[name])}" for name in THRESHOLDS)


def same(left: float, right: float) -> bool:
    """Whether two values of an aim are equal, up to rounding."""
    return abs(left - right) <= PASS_TOLERANCE * max(abs(left), abs(right))


def falls_and_rises(before: pd.Series, after: pd.Series) -> tuple[int, int]:
    """Return on how many recordings an aim is lower after than before, and on how many it is higher."""
    changed = [(old, new) for old, new in zip(before, after, strict=True) if not same(old, new)]
    falls = sum(new < old for old, new in changed)
    return falls, len(changed) - falls


def points_table(run: Run) -> pd.DataFrame:
    """Return a row per point with its aims and its roles, for the scatter of the two aims.

    Returns
    -------
    DataFrame
        `number`, the three thresholds in pages, `pmd_splits` (sum over the recordings), `mean_cached_pages`
        (mean over the recordings of the time-weighted mean), `peak_cached_mib` (largest of any recording),
        `on_front`, `role` ("patch", "recommended", "patch and recommended" or empty).
    """
    columns = [*THRESHOLDS, *AIMS, "peak_cached_mib", "on_front"]
    table = run.points.sort_index().rename_axis(None)[columns].copy()
    table.insert(0, "number", table.index)
    role = pd.Series("", index=table.index, dtype=object)
    role[run.patch] = "patch"
    role[run.recommended] = "patch and recommended" if run.recommended == run.patch else "recommended"
    table["role"] = role
    return table.reset_index(drop=True)


def front_table(run: Run) -> pd.DataFrame:
    """Return the Pareto front, a row per outcome: points that come out equal share a row.

    Returns
    -------
    DataFrame
        `number` (the recommended point, the patch or the lowest number of those that share the outcome), the
        three thresholds, `pmd_splits`, `mean_cached_pages`, `peak_cached_mib`, `equal_points` (how many
        points share the outcome), `recommended`, `patch` (whether that row holds them); sorted by splits.
    """
    front = run.points.loc[list(run.front)].rename_axis("number").reset_index()
    front["rank"] = np.where(front.number == run.recommended, 0, np.where(front.number == run.patch, 1, 2))
    front["cached_key"] = front.mean_cached_pages.map(lambda value: f"{value:.9g}")
    front = front.sort_values([*AIMS, "rank", "number"])
    rows = []
    for _, group in front.groupby(["pmd_splits", "cached_key"], sort=False):
        first = group.iloc[0]
        rows.append(
            {
                "number": int(first.number),
                **{name: int(first[name]) for name in THRESHOLDS},
                "pmd_splits": int(first.pmd_splits),
                "mean_cached_pages": float(first.mean_cached_pages),
                "peak_cached_mib": float(first.peak_cached_mib),
                "equal_points": len(group),
                "recommended": bool((group.number == run.recommended).any()),
                "patch": bool((group.number == run.patch).any()),
            }
        )
    return pd.DataFrame(rows).sort_values(list(AIMS), ignore_index=True)


def thinned(front: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return at most so many outcomes of a front: the ends, the marked ones, and some evenly between."""
    if len(front) <= rows:
        return front
    marked = list(front.index[front.recommended | front.patch])
    room = rows - len(marked)
    even = [round(place * (len(front) - 1) / (room - 1)) for place in range(room)]
    return front.loc[sorted({*even, *marked})]


def recordings_table(run: Run) -> pd.DataFrame:
    """Return the patch's values beside the recommended point's, a row per recording.

    Returns
    -------
    DataFrame
        `trace`, then for `pmd_splits`, `mean_cached_pages`, `mean_cached_mib` and `peak_cached_mib` the
        columns `patch_...`, `recommended_...` and `change_...` (recommended less patch); in the run's order
        of recordings.
    """
    order = [str(name) for name in run.traces["trace"]]
    table = pd.DataFrame({"trace": order})
    wanted = run.per_trace.reset_index()
    for aim in (*AIMS, "mean_cached_mib", "peak_cached_mib"):
        for role, number in (("patch", run.patch), ("recommended", run.recommended)):
            values = wanted[wanted["number"] == number].set_index("trace")[aim]
            missing = [name for name in order if name not in values.index]
            if missing:
                raise StudyError(
                    f"{run.folder}: point {number} has no row for the recording {missing[0]}",
                    f"the run folder is damaged: tune again with {option('force', True)}",
                )
            table[f"{role}_{aim}"] = values.reindex(order).to_numpy()
        table[f"change_{aim}"] = table[f"recommended_{aim}"] - table[f"patch_{aim}"]
    return table


def held_out_table(run: Run) -> pd.DataFrame:
    """Choose a point without each recording in turn, by the study's rule, and judge it on that recording.

    The choice is among all tried points, and the search that proposed them saw all recordings: what is held
    out is the choice, not the search.

    Returns
    -------
    DataFrame
        A row per recording (none where there is but one): `trace`, `number` and the three thresholds of the
        point that the rule chooses on all others, and both aims on the recording left out, `patch_...` with
        the patch's thresholds and `chosen_...` with the chosen ones.
    """
    from pba.study.recommend import recommend

    names = [str(name) for name in run.traces["trace"]]
    tables = {aim: run.per_trace[aim].unstack("trace") for aim in AIMS}
    rows: list[dict[str, Any]] = []
    for name in names if len(names) > 1 else []:
        number = recommend(
            _points_without(run, tables, [other for other in names if other != name]), run.patch
        )
        here = point(run, number)
        row = {"trace": name, "number": number, **{key: int(here[key]) for key in THRESHOLDS}}
        for aim in AIMS:
            row[f"patch_{aim}"] = tables[aim].at[run.patch, name]
            row[f"chosen_{aim}"] = tables[aim].at[number, name]
        rows.append(row)
    return pd.DataFrame(rows)


def _points_without(run: Run, tables: dict[str, Any], kept: list[str]) -> pd.DataFrame:
    """Return the table of points as some recordings alone would have made it (see `points_of`)."""
    from pba.study.objective import on_front

    points = run.points[list(THRESHOLDS)].copy()
    splits, cached = AIMS
    points[splits] = tables[splits][kept].sum(axis=1)
    points[cached] = sum(tables[cached][name] for name in kept) / len(kept)
    points["on_front"] = on_front(points[splits].to_numpy(), points[cached].to_numpy())
    return points


def flatness_table(run: Run) -> pd.DataFrame:
    """Return both aims along each threshold through the recommended point, the other two held.

    The recommended point itself is always among the rows.

    Returns
    -------
    DataFrame
        `threshold`, `value` (pages), `pmd_splits`, `mean_cached_pages`, `within` (whether both aims are
        within 5 % of the recommended point's); sorted by threshold and value.
    """
    here = point(run, run.recommended)
    parts = []
    for name in THRESHOLDS:
        line = run.flatness[run.flatness["threshold"] == name]
        line = line[["threshold", "value", *AIMS]]
        if not (line["value"] == here[name]).any():
            own = {"threshold": name, "value": int(here[name]), **{aim: here[aim] for aim in AIMS}}
            line = pd.concat([line, pd.DataFrame([own])]) if len(line) else pd.DataFrame([own])
        parts.append(line.drop_duplicates("value").sort_values("value"))
    table = pd.concat(parts, ignore_index=True)
    center = (float(here[AIMS[0]]), float(here[AIMS[1]]))
    pairs = zip(table[AIMS[0]].astype(float), table[AIMS[1]].astype(float), strict=True)
    table["within"] = [within(pair, center, TOLERANCE) for pair in pairs]
    return table


def tolerance_table(run: Run) -> pd.DataFrame:
    """Return, for each threshold, how far it can move before an aim moves by more than 5 %.

    Returns
    -------
    DataFrame
        Indexed by `threshold`: `patch`, `recommended` (pages); `tested`, `lowest`, `highest` (how many values
        were replayed, and the ends); `from`, `to` (the run of neighbouring tested values around the
        recommended one at which both aims stay within 5 %); `below`, `above` (the next tested value on
        either side, at which they do not; NaN at the end of the tested range); for both aims `min_...` and
        `max_...` over all tested values; `matters` (False where all tested values stay within 5 %);
        `inert` (True where all tested values come out equal in both aims).
    """
    flat = flatness_table(run)
    here, patch = point(run, run.recommended), point(run, run.patch)
    rows = []
    for name in THRESHOLDS:
        line = flat[flat["threshold"] == name].reset_index(drop=True)
        at = int(line.index[line["value"] == here[name]][0])
        low, high = run_around(at, line["within"].tolist())
        row: dict[str, Any] = {
            "threshold": name, "patch": int(patch[name]), "recommended": int(here[name]), "tested": len(line),
            "lowest": int(line["value"].iloc[0]), "highest": int(line["value"].iloc[-1]),
            "from": int(line["value"][low]), "to": int(line["value"][high]),
            "below": float(line["value"][low - 1]) if low > 0 else np.nan,
            "above": float(line["value"][high + 1]) if high < len(line) - 1 else np.nan,
        }  # fmt: skip
        for aim in AIMS:
            row[f"min_{aim}"], row[f"max_{aim}"] = line[aim].min(), line[aim].max()
        row["matters"] = not bool(line["within"].all())
        row["inert"] = all(same(row[f"min_{aim}"], row[f"max_{aim}"]) for aim in AIMS)
        rows.append(row)
    return pd.DataFrame(rows).set_index("threshold")


def quality_table(run: Run) -> pd.DataFrame:
    """Return what is known of each recording and how far it can be trusted.

    Returns
    -------
    DataFrame
        The columns of `run.traces` that the report prints, `live_at_start` being NaN where it is unknown
        (no pages, and no truth that would confirm it), and `imperfect`: what is so, in words (empty where
        nothing is).
    """
    table = run.traces.reset_index(drop=True).copy()
    unknown = (table["live_at_start"] == 0) & table["recall"].isna()
    table["live_at_start"] = table["live_at_start"].astype("float64").mask(unknown)
    table["imperfect"] = [_flags(row) for row in table.to_dict("records")]
    return table


GOOD_SHARE: Final = 0.99
"""Recall and precision that a recording aims for; below it is flagged."""


def _flags(row: Mapping[Hashable, Any]) -> str:
    """Return what is imperfect about a recording, in words."""

    def value(name: str) -> float:
        return float(row.get(name, np.nan))

    flags = []
    if value("lost_events") > 0:
        flags.append(f"{plural(value('lost_events'), 'event')} lost")
    if value("unknown_frees") > 0:
        flags.append(f"{plural(value('unknown_frees'), 'free')} without a known allocation")
    if value("frees") > 0 and value("inferred_frees") > (1 - GOOD_SHARE) * value("frees"):
        flags.append(f"{percent(value('inferred_frees') / value('frees'))} of the frees only inferred")
    for name in ("recall", "precision"):
        if value(name) < GOOD_SHARE:
            flags.append(f"{name} {fine_percent(value(name))}")
    if np.isnan(value("recall")) or np.isnan(value("precision")):
        flags.append("never held against kpageflags")
    return "; ".join(flags)
