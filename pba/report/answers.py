"""The sentences of the report that answer the patch's questions, each made from the run's numbers.

The patch (v6 17/30) asks which thresholds deserve to be tuned, and to what. No sentence here is true
whatever the data: each is chosen and filled in from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from pba.report.data import (
    KERNEL_NAMES,
    LETTERS,
    THRESHOLDS,
    falls_and_rises,
    flatness_table,
    held_out_table,
    point,
    points_table,
    quality_table,
    recordings_table,
    same,
    thresholds,
    tolerance_table,
)
from pba.report.document import Answer
from pba.report.words import listing, mib, moves, relative
from pba.study.flatness import TOLERANCE
from pba.study.objective import AIMS
from pba.units import fine_percent, number, percent, plural

if TYPE_CHECKING:
    from pba.study.result import Run


def answers(run: Run) -> tuple[Answer, ...]:
    """Return the questions with their answers, the most wanted first."""
    return (
        Answer("Which thresholds?", which(run)),
        Answer("What do they buy?", what(run)),
        Answer("Do the thresholds matter?", matter(run)),
        Answer("How sure is that?", sure(run)),
    )


def which(run: Run) -> tuple[str, ...]:
    """Say which point is recommended, and what its letters and "the patch" mean."""
    patch, best = point(run, run.patch), point(run, run.recommended)
    names = ", ".join(f"{LETTERS[name]} is `{KERNEL_NAMES[name]}`" for name in THRESHOLDS)
    meant = f'{names}. "The patch", below, is the point with its own values.'
    if run.recommended == run.patch:
        return (f"Those of the patch, {thresholds(patch)}: the rule picks its own point.", meant)
    chosen = f"{thresholds(best)} pages (point {run.recommended}). The patch has {thresholds(patch)}."
    return (chosen, meant)


def what(run: Run) -> tuple[str, ...]:
    """Say what the recommended point changes against the patch."""
    patch = point(run, run.patch)
    over = f"Over {plural(len(run.traces), 'recording')}"
    if run.recommended == run.patch:
        return (
            f"{over} the patch makes {plural(patch.pmd_splits, 'PMD split')} and caches "
            f"{plural(patch.mean_cached_pages, 'page')} on average, at most {mib(patch.peak_cached_mib)}; "
            "nothing is changed, so nothing is bought.",
        )
    text = [
        f"{over} PMD splits {moves(*_pair(run, 'pmd_splits'), number)}, "
        f"mean cached pages {moves(*_pair(run, 'mean_cached_pages'), number)}, "
        f"and the highest peak {moves(*_pair(run, 'peak_cached_mib'), mib, one=True)}."
    ]
    if run.traces.page_size_kib.nunique() > 1:
        text.append(
            "A page counts as one whatever its size. In MiB, where larger pages weigh more, the same mean "
            f"{moves(*_pair(run, 'mean_cached_mib'), mib, one=True)}."
        )
    if all(same(*_pair(run, aim)) for aim in AIMS):
        text.append("Both aims come out equal to the patch's: the recommended values buy nothing here.")
    elif all(_within(*_pair(run, aim)) for aim in AIMS):
        text.append("Both changes are within 5 %: keeping the patch's values costs next to nothing here.")
    if len(run.traces) > 1:
        text.append(per_recording(run))
    return (*text, *hinges(run))


def _pair(run: Run, aim: str) -> tuple[float, float]:
    return float(point(run, run.patch)[aim]), float(point(run, run.recommended)[aim])


def _within(before: float, after: float) -> bool:
    return abs(after - before) <= TOLERANCE * abs(before)


def per_recording(run: Run) -> str:
    """Say on how many recordings each aim falls, rises and stays."""
    table = recordings_table(run)
    parts = []
    for aim, name in zip(AIMS, ("splits", "mean cached pages"), strict=True):
        less, more = falls_and_rises(table[f"patch_{aim}"], table[f"recommended_{aim}"])
        numbers = {"fall on": less, "rise on": more, "are the same on": len(table) - less - more}
        said = [f"{verb} {number}" for verb, number in numbers.items() if number]
        parts.append(f"{name} {listing(said)}")
    return f"Of {plural(len(table), 'recording')}: {'; '.join(parts)}."


def hinges(run: Run) -> tuple[str, ...]:
    """Name the recording without which an aim that falls would rise: for the others it is a loss."""
    table = recordings_table(run)
    if len(table) < 3:
        return ()
    text = []
    for aim, name, write in zip(AIMS, ("PMD splits", "mean cached pages"), (number, number), strict=True):
        before, after = table[f"patch_{aim}"], table[f"recommended_{aim}"]
        most = int((before - after).argmax())
        rest = len(table) - 1 if aim == AIMS[1] else 1
        first, last = (float(column.drop(index=most).sum()) / rest for column in (before, after))
        if after.sum() < before.sum() and last > first and not same(first, last):
            text.append(f"Without {table.trace[most]}, {name} would {moves(first, last, write)}.")
    return tuple(text)


def matter(run: Run) -> tuple[str, ...]:
    """Say how far the aims move over all points, and which threshold moves them."""
    points = points_table(run)
    few, many = points.pmd_splits.min(), points.pmd_splits.max()
    least, most = points.mean_cached_pages.min(), points.mean_cached_pages.max()
    if same(few, many) and same(least, most):
        outcome = f"{plural(few, 'PMD split')} and {plural(least, 'page')} of cache"
        spread = f"No: all {number(len(points))} tried points come to the same, {outcome}."
        return (spread,) if len(points) > 1 else ("Unknown: only one point was tried.", *_inert(run))
    splits = (
        f"splits range from {number(few)} to {number(many)}"
        if few < many
        else f"splits are always {number(few)}"
    )
    cached = (
        f"are always {number(least)}"
        if same(least, most)
        else f"range from {number(least)} to {number(most)}"
    )
    spread = f"Over the {plural(len(points), 'tried point')} {splits}, mean cached pages {cached}."
    if _within(many, few) and _within(most, least):
        spread = f"Hardly: no choice moves either aim by more than 5 %. {spread}"
    return (spread, *_inert(run))


def _inert(run: Run) -> tuple[str, ...]:
    """Name the thresholds that do not matter around the recommended point, and the one that does most."""
    table = tolerance_table(run)
    table = table[table.tested > 1]
    if table.empty:
        return ()
    inert = [LETTERS[str(name)] for name, row in table.iterrows() if row.inert]
    slack = [LETTERS[str(name)] for name, row in table.iterrows() if not row.inert and not row.matters]
    does = [LETTERS[str(name)] for name, row in table.iterrows() if row.matters]
    text = []
    if inert:
        text.append(
            f"{listing(inert)} {'makes' if len(inert) == 1 else 'make'} no difference at all on these "
            "recordings, with the others as recommended."
        )
    if slack:
        text.append(
            f"{listing(slack)} hardly {'matters' if len(slack) == 1 else 'matter'}: over the whole tested "
            "range both aims stay within 5 %."
        )
    if does:
        text.append(
            f"Moved alone, {'each of ' if len(does) > 1 else ''}{listing(does)} changes an aim by more than "
            "5 % somewhere in the tested range."
        )
    return (" ".join(text),) if text else ()


def sure(run: Run) -> tuple[str, ...]:
    """Say what the answer rests on: pressure in the recordings, their quality, the search."""
    parts = (_pressure(run), _quality(run), _few(run), _lopsided(run), held_out(run), _search(run))
    return tuple(part for part in parts if part)


def _pressure(run: Run) -> str:
    passes = run.traces["passes"]
    with_, all_ = int((passes > 0).sum()), len(passes)
    if not with_:
        return (
            "Not at all: no recording holds a shrinker pass, and the thresholds act only in one. "
            "Record under memory pressure."
        )
    if with_ == all_ == 1:
        return f"The recording holds {plural(passes.sum(), 'shrinker pass', 'shrinker passes')}."
    if with_ == all_:
        return (
            f"Each of the {plural(all_, 'recording')} holds shrinker passes, {number(passes.sum())} in all."
        )
    return (
        f"{number(with_)} of {plural(all_, 'recording')} {'holds' if with_ == 1 else 'hold'} shrinker "
        f"passes, {number(passes.sum())} in all; without any the shrinker never runs and the thresholds "
        "cannot act."
    )


def _quality(run: Run) -> str:
    table = quality_table(run)
    flagged = table[table["imperfect"] != ""]
    if not flagged.empty:
        names = [str(name) for name in flagged["trace"]]
        shown = listing(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} others"
        return (
            f"Imperfect data in {len(names)} of {plural(len(table), 'recording')} ({shown}); see Recordings."
        )
    return (
        "No recording lost events; held against /proc/kpageflags, recall is at least "
        f"{fine_percent(table.recall.min())} and precision at least {fine_percent(table.precision.min())}."
    )


FEW_SPLITS: Final = 30
"""Below this many splits, a percentage of them says more than is known."""


def _few(run: Run) -> str:
    """Warn of percentages of a handful."""
    splits = int(point(run, run.patch).pmd_splits)
    if not 0 < splits < FEW_SPLITS:
        return ""
    return (
        f"The patch makes only {plural(splits, 'split')} in all, so that a single one more or less is "
        f"{percent(1 / splits)}: read counts, not percentages."
    )


LOPSIDED: Final = 0.6
"""A recording with more than this share of an aim decides over it."""


def _lopsided(run: Run) -> str:
    """Name the recordings that have most of an aim, with the patch's thresholds."""
    table = recordings_table(run)
    if len(table) < 3:
        return ""
    said = []
    for aim, name in (("pmd_splits", "the splits"), ("mean_cached_pages", "the cached pages")):
        values = table[f"patch_{aim}"]
        if values.sum() > 0 and values.max() > LOPSIDED * values.sum():
            most = table.trace.iloc[int(values.argmax())]
            said.append(f"{most} alone has {percent(values.max() / values.sum())} of {name}")
    return f"{listing(said)}, and so decides most of what is gained or lost there." if said else ""


def held_out(run: Run) -> str:
    """Say how points that were chosen without a recording do on it, one by one and all together."""
    table = held_out_table(run)
    if table.empty:
        return "With one recording none can be held out: the one that chose the point also judges it."
    equal = int((table.number == run.recommended).sum())
    parts = []
    for aim, name in zip(AIMS, ("splits", "mean cached pages"), strict=True):
        lower, higher = falls_and_rises(table[f"patch_{aim}"], table[f"chosen_{aim}"])
        counts = {"lower on": lower, "higher on": higher, "equal on": len(table) - lower - higher}
        parts.append(f"{name} are {listing([f'{how} {number}' for how, number in counts.items() if number])}")
    return (
        "Each recording held out in turn and the point chosen on the others: the rule picks the recommended "
        f"point in {equal} of {len(table)} cases; on the recording held out, against the patch, "
        f"{'; '.join(parts)}. {_held_out_together(table)}"
    )


def _held_out_together(table: pd.DataFrame) -> str:
    """Say what the points chosen on the others come to, each on the recording that had no say in it."""
    splits = moves(float(table.patch_pmd_splits.sum()), float(table.chosen_pmd_splits.sum()), number)
    before, after = float(table.patch_mean_cached_pages.mean()), float(table.chosen_mean_cached_pages.mean())
    cached = moves(before, after, number)
    return f"Over all recordings, each held out so, splits {splits} and mean cached pages {cached}."


def _search(run: Run) -> str:
    inside = (
        run.points[name].between(run.study.space[name].low, run.study.space[name].high) for name in THRESHOLDS
    )
    tried, space = int(pd.concat(list(inside), axis=1).all(axis=1).sum()), run.study.space_size
    told = (
        f"The search tried all {plural(space, 'point')} of the space."
        if tried == space
        else f"The search tried {number(tried)} of about {_size_of(space)} points of the space, so a better "
        "one may exist."
    )
    return f"{told} All figures are simulated, not measured on a kernel."


def _size_of(space: int) -> str:
    return number(space) if space < 1_000_000 else f"{space:.1e}".replace("e+0", "e").replace("e+", "e")


def coarse(run: Run) -> tuple[str, ...]:
    """Warn where 5 % of the recommended point's splits is less than a single one."""
    splits = int(point(run, run.recommended).pmd_splits)
    if splits * TOLERANCE >= 1:
        return ()
    base = f"{plural(splits, 'split')} at the recommended point" if splits else "no split there"
    return (
        f"With {base}, 5 % is less than one split: the splits stay only where they are exactly as many, and "
        "a range may end at a single one more or less.",
    )


def flat_sentences(run: Run) -> tuple[str, ...]:
    """Say for each threshold how far it can move before an aim changes by more than 5 %."""
    table, lines = tolerance_table(run), flatness_table(run)
    return tuple(_flat_sentence(run, str(name), row, lines) for name, row in table.iterrows())


def _flat_sentence(run: Run, name: str, row: pd.Series, lines: pd.DataFrame) -> str:
    who = f"{LETTERS[name]} (`{KERNEL_NAMES[name]}`)"
    whole = f"all {row.tested} tested values from {number(row.lowest)} to {number(row.highest)} pages"
    if row.tested < 2:
        return f"{who} was not varied around the recommended point."
    if row.inert:
        return f"{who} does not matter at all on these recordings: {whole} come out equal in both aims."
    if not row.matters:
        return f"{who} hardly matters: at {whole} both aims stay within 5 %."
    start = (
        f"between {number(row['from'])} and {number(row['to'])} pages both aims stay within 5 %"
        if row["from"] < row["to"]
        else f"no tested value but {number(row.recommended)} pages itself keeps both aims within 5 %"
    )
    edges = [
        f"at {plural(value, 'page')} {_effect(run, name, value, lines)}"
        for value in (row.below, row.above)
        if value == value
    ]
    return f"{who}: {start}; {'; '.join(edges)}."


def _effect(run: Run, name: str, value: float, lines: pd.DataFrame) -> str:
    here = point(run, run.recommended)
    there = lines[(lines.threshold == name) & (lines.value == value)].iloc[0]
    splits, cached = ((float(here[aim]), float(there[aim])) for aim in AIMS)
    return f"{_splits_change(*splits)}, mean cached {_cached_change(*cached)}"


def _splits_change(before: float, after: float) -> str:
    """Say it in whole splits: one of nineteen is 5.3 %, which sounds like more than it is."""
    return "splits unchanged" if before == after else f"{plural(after, 'split')} instead of {number(before)}"


def _cached_change(before: float, after: float) -> str:
    if same(before, after):
        return "unchanged"
    return relative(before, after) if before else f"{plural(after, 'page')} instead of 0"
