"""What the figures and tables show, as DataFrames: pure functions of a run, no drawing, no sentences."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from pba.errors import StudyError, option
from pba.study.decision.decision import PATCH, RECOMMENDED, Decision
from pba.study.definition import THRESHOLD_NAMES
from pba.study.result import SWEEP_FOLDER
from pba.units import fine_percent, number, percent, plural

if TYPE_CHECKING:
    from pba.study.aims import Aim
    from pba.study.result import Run
    from pba.study.sweep.result import SweepResult

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


def decided(run: Run) -> Decision:
    """Return what a finished run decided.

    Raises
    ------
    StudyError
        If the run is not complete.
    """
    if run.decision is None:
        raise StudyError(f"{run.folder}: the run has not decided yet", "say pba tune again to go on with it")
    return run.decision


def write_value(aim: Aim, value: float) -> str:
    """Return an aim's value as people read it, without its unit."""
    if aim.unit == "share":
        return fine_percent(value)
    if aim.over == "ratio":
        return f"{value:.2f}"
    if aim.unit == "MiB":
        return f"{value:,.2f}"
    return number(value)


def with_unit(aim: Aim, value: float) -> str:
    """Return an aim's value with its unit: `29 splits`, `857 pages`, `3.40 MiB`."""
    if aim.over == "ratio":
        return f"{value:.2f} times the patch's {aim.title}"
    if aim.unit in ("share", ""):
        return f"{write_value(aim, value)} {aim.title}".strip()
    if aim.unit.endswith("s"):
        return plural(value, aim.unit.removesuffix("s"))
    return f"{write_value(aim, value)} {aim.unit}"


def interval_text(change: Mapping[str, Any]) -> str:
    """Return a change with its interval: `-64 % (-85 to -48)`, or in the aim's own unit where there was nothing."""
    ends = [change[end] for end in ("low", "high")]
    if change["kind"] == "difference":
        if change["estimate"] == 0:
            return "0"
        return f"{change['after'] - change['before']:+,.4g}"
    if change["estimate"] == 0 and ends == [0, 0]:
        return "0"
    if all(end is None or end == change["estimate"] for end in ends):  # one recording, or none that differs
        return f"{_percent(change['estimate'])} %"
    return f"{_percent(change['estimate'])} % ({_percent(ends[0])} to {_percent(ends[1])})"


def _percent(share: float | None) -> str:
    """Return a share in per cent with its sign, finer where it is small."""
    if share is None:
        return "?"
    if abs(share) < 0.0005:
        return "0"
    digits = 0 if abs(share) >= 0.0995 else 1
    return f"{100 * share:+,.{digits}f}"


def points_table(run: Run) -> pd.DataFrame:
    """Return a row per point with its aims and its roles, for the scatter of the two aims.

    Returns
    -------
    DataFrame
        `number`, the three thresholds in pages, each aim by its name, `peak_cached_mib` (largest of any
        recording), `on_front`, `searched`, `role` ("patch", "recommended", a plain alternative's name, or
        empty; with "and" between several).
    """
    columns = [*THRESHOLDS, *(aim.name for aim in run.aims)]
    columns += [name for name in ("peak_cached_mib",) if name not in columns]
    table = run.points.sort_index().rename_axis(None)[[*columns, "on_front", "searched"]].copy()
    table.insert(0, "number", table.index)
    roles: dict[int, list[str]] = {}
    for name, at in roles_of(run):
        roles.setdefault(at, []).append(name)
    table["role"] = [" and ".join(roles.get(int(at), [])) for at in table.index]
    return table.reset_index(drop=True)


def roles_of(run: Run) -> list[tuple[str, int]]:
    """Return the named points with their numbers, the patch first and the recommended one last."""
    named = [] if run.decision is None else run.decision.compared[1:-1]
    found = [(PATCH, run.patch)]
    for one in named:
        same = (run.points[list(THRESHOLDS)] == list(one.point)).all(axis=1)
        if same.any():
            found.append((one.name, int(run.points.index[same][0])))
    return [*found, (RECOMMENDED, run.recommended)]


def front_table(run: Run) -> pd.DataFrame:
    """Return the front, a row per outcome: the exact one of the sweep, or that of the tried points.

    Returns
    -------
    DataFrame
        The three thresholds (of the point nearest to the patch's), each aim by its name, `points` (how many
        share the outcome); by the first aim.
    """
    if run.decision is not None and run.decision.front:
        rows = [
            dict(zip(THRESHOLDS, row["point"], strict=True))
            | {aim.name: value for aim, value in zip(run.aims, row["values"], strict=True)}
            | {"points": row["points"]}
            for row in run.decision.front
        ]
        return pd.DataFrame(rows)
    front = run.points.loc[list(run.front)]
    names = [aim.name for aim in run.aims]
    grouped = front.groupby(names, sort=True)
    table = grouped[list(THRESHOLDS)].first().reset_index()
    table["points"] = grouped.size().to_numpy()
    return table[[*THRESHOLDS, *names, "points"]]


def thinned(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return at most so many rows of a table, evenly spread, its ends among them."""
    if len(table) <= rows:
        return table
    return table.iloc[sorted({round(place * (len(table) - 1) / (rows - 1)) for place in range(rows)})]


def strip_table(run: Run) -> pd.DataFrame:
    """Return the named points beside each other: what each aim comes to, and its change against the patch.

    Returns
    -------
    DataFrame
        `name`, the thresholds, and for each aim its value by the aim's name, and `change_...` in words with
        its 95 % interval over recordings (empty for the patch).
    """
    decision = decided(run)
    patch = decision.named(PATCH)
    rows = []
    for one in decision.compared:
        row: dict[str, Any] = {"name": one.name, **one.point._asdict()}
        values = one.over(run.aims, patch)
        shown = [""] * len(values)
        if one.name != PATCH:
            shown = [interval_text(change) for change in decision.changes_of(one.name, PATCH)]
        for aim, value, change in zip(run.aims, values, shown, strict=True):
            row[aim.name], row[f"change_{aim.name}"] = value, change
        rows.append(row)
    return pd.DataFrame(rows)


def recordings_table(run: Run) -> pd.DataFrame:
    """Return the patch's values beside the recommended point's, a row per recording.

    Returns
    -------
    DataFrame
        `trace`, then for each aim, `mean_cached_mib` and `peak_cached_mib` the columns `patch_...`,
        `recommended_...` and `change_...` (recommended less patch); `silent`, why no threshold changes
        anything there (empty where one does); in the run's order of recordings.
    """
    order = [str(name) for name in run.traces["trace"]]
    table = pd.DataFrame({"trace": order})
    wanted = run.per_trace.reset_index()
    names = dict.fromkeys([*(aim.name for aim in run.aims), "mean_cached_mib", "peak_cached_mib"])
    for aim in names:
        for role, at in (("patch", run.patch), ("recommended", run.recommended)):
            values = wanted[wanted["number"] == at].set_index("trace")[aim]
            missing = [name for name in order if name not in values.index]
            if missing:
                raise StudyError(
                    f"{run.folder}: point {at} has no row for the recording {missing[0]}",
                    f"the run folder is damaged: tune again with {option('force', True)}",
                )
            table[f"{role}_{aim}"] = values.reindex(order).to_numpy()
        table[f"change_{aim}"] = table[f"recommended_{aim}"] - table[f"patch_{aim}"]
    silent = {} if run.decision is None else {row["recording"]: row["reason"] for row in run.decision.silent}
    table["silent"] = [silent.get(name, "") for name in order]
    return table


def folds_table(run: Run) -> pd.DataFrame:
    """Return what the rule chooses without each recording in turn, on every point of the grid.

    Returns
    -------
    DataFrame
        A row per recording (none where there is but one, or nothing was swept): `trace`, the three thresholds
        and `words` of the point chosen on all others, and each aim on the recording left out, `patch_...` and
        `chosen_...`.
    """
    rows = []
    for fold in decided(run).folds:
        row = {"trace": fold["recording"], **dict(zip(THRESHOLDS, fold["point"], strict=True))}
        row["words"] = fold["words"] + (f" ({fold['alternative']})" if fold["alternative"] else "")
        for at, aim in enumerate(run.aims):
            row[f"patch_{aim.name}"], row[f"chosen_{aim.name}"] = fold["patch"][at], fold["chosen"][at]
        rows.append(row)
    return pd.DataFrame(rows)


def groups_table(run: Run) -> pd.DataFrame:
    """Return what the named points come to in each group, and what would be chosen for it alone.

    Returns
    -------
    DataFrame
        `group`, `recordings` (how many), `own` (the point that the rule chooses for the group alone, in
        words), and for each aim `patch_...`, `recommended_...`, `own_...`, one column for each plain
        alternative by its name and the aim's, and `change_...`: of the recommended point against the patch
        with its interval, in words.
    """
    rows = []
    for group in decided(run).groups:
        own = group.get("own", {})
        row: dict[str, Any] = {"group": group["name"], "recordings": len(group["recordings"])}
        row["own"] = own.get("words", "") + (f" ({own['alternative']})" if own.get("alternative") else "")
        for at, aim in enumerate(run.aims):
            for name, values in group["values"].items():
                row[f"{name}_{aim.name}"] = values[at]
            row[f"own_{aim.name}"] = own["values"][at] if own else np.nan
            row[f"change_{aim.name}"] = interval_text(group["changes"][at])
        rows.append(row)
    return pd.DataFrame(rows)


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


def sweep_of(run: Run) -> SweepResult | None:
    """Return a run's sweep; None where none is kept."""
    folder = run.folder / SWEEP_FOLDER
    if not folder.is_dir():
        return None
    return _loaded(folder, (folder / "sweep.json").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _loaded(folder: Path, _changed: int) -> SweepResult:
    from pba.study.sweep.run import load_sweep

    return load_sweep(folder)
