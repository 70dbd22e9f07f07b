"""What a run answers: sentences made of its decision, the most wanted first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pba.report.data import (
    KERNEL_NAMES,
    LETTERS,
    THRESHOLDS,
    decided,
    falls_and_rises,
    interval_text,
    point,
    quality_table,
    recordings_table,
    same,
    thresholds,
    with_unit,
    write_value,
)
from pba.report.document import Answer
from pba.report.words import listing, moves
from pba.study.decision.decision import BEST_FOUND, PATCH, RECOMMENDED, Decision
from pba.study.decision.region import in_words
from pba.study.space import ALTERNATIVES
from pba.units import fine_percent, number, percent, plural

if TYPE_CHECKING:
    from pba.study.aims import Aim
    from pba.study.result import Run


def answers(run: Run) -> tuple[Answer, ...]:
    """Return the questions with their answers, the most wanted first."""
    if run.decision is None:
        return (Answer("Which thresholds?", (_so_far(run),)),)
    found = [
        Answer("Which thresholds?", (verdict(run),)), Answer("How exactly?", which(run)[1:]),
        Answer("And without tuning?", plain(run)),
    ]  # fmt: skip
    return (*found, Answer("How sure is that?", sure(run)))


def _so_far(run: Run) -> str:
    best = point(run, run.recommended)
    values = ", ".join(with_unit(aim, float(best[aim.name])) for aim in run.aims)
    return f"Not decided yet. Of the points tried so far {thresholds(best)} is best by the rule: {values}."


def which(run: Run) -> tuple[str, ...]:
    """Say what is recommended, against the best plain alternative, and what its letters mean."""
    decision = decided(run)
    names = ", ".join(f"{LETTERS[name]} is `{KERNEL_NAMES[name]}`" for name in THRESHOLDS)
    return (verdict(run), _region(run), f"{names}; {_block(run)}.", *decision.notes)


def verdict(run: Run) -> str:
    """Say in a sentence what to choose, and why: the first of the report, and of the terminal's summary."""
    decision = decided(run)
    if decision.alternative:
        return _without_tuning(run, decision)
    against = decision.verdict["against"]
    found = list(zip(run.aims, decision.changes_of(RECOMMENDED, against), strict=True))
    better, worse = ([aim.title for aim, change in found if change["better"] == how] for how in (1, -1))
    price = f", and so is what is lost in {listing(worse)}" if worse else ""
    told = (
        f"{decision.words}: {_compared(run, RECOMMENDED, against)} against {_called(against)}, the best choice that "
        "needs no tuning"
    )
    if len(decision.recordings) == 1:
        return f"{told}; how far that holds for other programs one recording cannot say."
    return f"{told}; in {listing(better)} that is more than the choice of recordings explains{price}."


def _without_tuning(run: Run, decision: Decision) -> str:
    """Say that a plain alternative is the answer, and why the best point found is not."""
    why = ""
    if (best := decision.passed_over) is not None:
        why = (
            f" The best point found, {in_words(best.point)}, is not better by more than the choice of recordings "
            f"explains: {_compared(run, BEST_FOUND, decision.alternative)}."
        )
    if decision.alternative == PATCH:
        kept = "they do not matter here." if why else "by the rule no point is better."
        return f"Keep the patch's thresholds: {kept}{why}"
    return (
        f"Choose {_called(decision.alternative)}, {decision.words}, which needs no tuning: "
        f"{_compared(run, RECOMMENDED, PATCH)} against the patch.{why}"
    )


def _called(name: str) -> str:
    return "the patch" if name == PATCH else f'"{name}"'


def _block(run: Run) -> str:
    """Say how many pages a block has, for each page size of the recordings."""
    sizes = sorted({int(size) for size in run.traces.page_size_kib})
    return f"a block has {listing([f'{number(BLOCKS[size])} pages of {size} KiB' for size in sizes])}"


BLOCKS: Final = {4: 512, 16: 2048, 64: 8192}
"""Pages of a block, by the page size in KiB."""


def _compared(run: Run, of: str, against: str) -> str:
    """Say what each aim does from one named point to another: `PMD splits fall from 81 to 29 (-64 %, ...)`."""
    return listing(
        [
            aim_moves(aim, change)
            for aim, change in zip(run.aims, decided(run).changes_of(of, against), strict=True)
        ]
    )


def aim_moves(aim: Aim, change: Mapping[str, Any]) -> str:
    """Say what an aim does, with its interval."""
    before, after = write_value(aim, change["before"]), write_value(aim, change["after"])
    if same(change["before"], change["after"]):
        return f"{aim.title} stay at {before}"
    verb = "fall" if change["after"] < change["before"] else "rise"
    if change["kind"] == "difference":
        return f"{aim.title} {verb} from {before} to {after}"
    shown = interval_text(change).replace(" % (", " %, 95 % interval ").removesuffix(")")
    return f"{aim.title} {verb} from {before} to {after} ({shown})"


def _region(run: Run) -> str:
    """Describe the region, and say what the round value costs."""
    decision = decided(run)
    region, best = decision.region, decision.best
    if not region:
        return decision.sentence
    box = ", ".join(_range(name, region["box"][name]) for name in THRESHOLDS)
    alone = region["points"] == 1
    share = percent(region["points"] / region["grid"])
    text = (
        f"{number(region['points'])} of the {number(region['grid'])} points of the grid ({share}) "
        f"{'is' if alone else 'are'} within {100 * decision.loss:g} % of the patch's figure from the best"
        + ("." if alone else f", all with {box} among them.")
    )
    if best["point"] != list(decision.recommended):
        values = listing([with_unit(aim, value) for aim, value in zip(run.aims, best["values"], strict=True)])
        exact = dict(zip(THRESHOLDS, best["point"], strict=True))
        text += f" The very best point, {thresholds(exact)}, has {values}."
    return text


def _range(name: str, ends: Sequence[int]) -> str:
    low, high = ends
    return f"{LETTERS[name]} {number(low)}" + ("" if low == high else f" to {number(high)}")


def plain(run: Run) -> tuple[str, ...]:
    """Say what each choice that needs no tuning comes to."""
    decision = decided(run)
    patch = decision.named(PATCH)
    values = [with_unit(aim, value) for aim, value in zip(run.aims, patch.over(run.aims, patch), strict=True)]
    text = [f"The patch: {listing(values)}."]
    for one in ALTERNATIVES[1:]:
        text.append(f"{one.name[0].upper()}{one.name[1:]}: {_compared(run, one.name, PATCH)}. {one.text}")
    return tuple(text)


def per_recording(run: Run) -> str:
    """Say on how many recordings each aim falls, rises and stays."""
    table = recordings_table(run)
    parts = []
    for aim in run.aims:
        less, more = falls_and_rises(table[f"patch_{aim.name}"], table[f"recommended_{aim.name}"])
        numbers = {"fall on": less, "rise on": more, "are the same on": len(table) - less - more}
        said = [f"{verb} {count}" for verb, count in numbers.items() if count]
        parts.append(f"{aim.title} {listing(said)}")
    told = f"Of {plural(len(table), 'recording')}: {'; '.join(parts)}."
    if run.decision is None or run.decision.alternative == PATCH or len(table) < 2:
        return told
    pairs = list(zip(run.aims, run.decision.changes_of(RECOMMENDED, PATCH), strict=True))
    tests = [
        listing([f"{_p_value(change[key])} for {aim.title}" for aim, change in pairs])
        for key in ("sign_p", "wilcoxon_p")
    ]
    return f"{told} Chance alone would do so with p = {tests[0]} (sign test; Wilcoxon's: {tests[1]})."


def _p_value(value: float) -> str:
    return "less than 0.001" if value < 0.001 else f"{value:.3f}"


def hinges(run: Run) -> tuple[str, ...]:
    """Name the recording without which an aim that gets better would get worse: for the others it is a loss."""
    table = recordings_table(run)
    if len(table) < 3:
        return ()
    text = []
    for aim in run.aims:
        if aim.over not in ("sum", "mean"):
            continue
        before, after = (aim.sign * table[f"{role}_{aim.name}"] for role in ("patch", "recommended"))
        most = int((before - after).argmax())
        rest = len(table) - 1 if aim.over == "mean" else 1
        first, last = (float(column.drop(index=most).sum()) / rest for column in (before, after))
        if after.sum() < before.sum() and last > first and not same(first, last):
            moved = moves(aim.sign * first, aim.sign * last, lambda value, of=aim: write_value(of, value))  # type: ignore[misc]
            text.append(f"Without {table.trace[most]}, {aim.title} would {moved}.")
    return tuple(text)


def sure(run: Run) -> tuple[str, ...]:
    """Say what else the answer rests on: how recordings go, the search."""
    return tuple(part for part in (per_recording(run), searched(run)) if part)


def caveats(run: Run) -> tuple[str, ...]:
    """Say what may turn the answer round: held-out recordings, folds, pressure, quality, what hangs on one recording.

    The report has these in its first screen, and the terminal's summary prints the same.
    """
    if run.decision is None:
        return ()
    parts = (held_out(run), folds(run), *hinges(run), silent(run), _quality(run), _few(run), _lopsided(run))
    return tuple(part for part in parts if part)


def groups_in_short(run: Run) -> tuple[str, ...]:
    """Say in a line each what the recommended point does in each group: `x86 (11 recordings): PMD splits 52 to 23`."""
    told = []
    for group in decided(run).groups if run.decision else ():
        moved = []
        for aim, change in zip(run.aims, group["changes"], strict=True):
            ends = " to ".join(write_value(aim, change[side]) for side in ("before", "after"))
            shown = interval_text(change)
            moved.append(f"{aim.title} {ends}" + (f", {shown}" if shown not in ("0", "") else ""))
        told.append(f"{group['name']} ({plural(len(group['recordings']), 'recording')}): {'; '.join(moved)}.")
    return tuple(told)


def folds(run: Run) -> str:
    """Say how points that were chosen without a recording do on it, all together."""
    decision = decided(run)
    if not decision.folds:
        return (
            "With one recording none can be left out: the one that chose the point also judges it."
            if len(run.traces) == 1
            else ""
        )
    equal = sum(fold["point"] == list(decision.recommended) for fold in decision.folds)
    moved = listing(
        [aim_moves(aim, change) for aim, change in zip(run.aims, decision.folds_changes, strict=True)]
    )
    return (
        f"Chosen anew without each recording in turn, on every point of the grid, the answer is the same in {equal} "
        f"of {len(decision.folds)} cases; on the recordings left out {moved}."
    )


def held_out(run: Run) -> str:
    """Say what the recommended point does on the recordings that had no say."""
    held = decided(run).held_out
    if not held:
        return ""
    moved = listing([aim_moves(aim, change) for aim, change in zip(run.aims, held["changes"], strict=True)])
    return f"On {plural(len(held['recordings']), 'recording')} held out from all of it {moved}."


def silent(run: Run) -> str:
    """Count the recordings on which no threshold changes anything, by reason."""
    rows = decided(run).silent
    passes = run.traces["passes"]
    if len(rows) == len(run.traces) and len(rows):
        return (
            f"Not at all: on none of {plural(len(rows), 'recording')} any threshold changes anything "
            f"({rows[0]['reason']}). Record under memory pressure."
        )
    counted = f"{plural(passes.sum(), 'shrinker pass', 'shrinker passes')} in all"
    if not rows:
        return f"{plural(len(run.traces), 'recording')} with {counted}, and all react to the thresholds."
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row["reason"], []).append(row["recording"])
    told = "; ".join(f"{listing(names)} ({reason})" for reason, names in reasons.items())
    verb = "does" if len(rows) == 1 else "do"
    return f"Of {plural(len(run.traces), 'recording')} with {counted}, {number(len(rows))} {verb} not react: {told}."


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
    if "pmd_splits" not in [aim.name for aim in run.aims]:
        return ""
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
    for aim in run.aims:
        values = table[f"patch_{aim.name}"]
        if aim.over in ("sum", "mean") and values.sum() > 0 and values.max() > LOPSIDED * values.sum():
            most = table.trace.iloc[int(values.argmax())]
            said.append(f"{most} alone has {percent(values.max() / values.sum())} of all {aim.title}")
    return f"{listing(said)}, and so decides most of what is gained or lost there." if said else ""


def searched(run: Run) -> str:
    """Say how near the search came to the exact front."""
    found = decided(run).search
    tried = int(run.points["searched"].sum())
    modelled = "All figures are simulated, not measured on a kernel."
    if not found or found["front_share"] is None:
        return f"The search tried {plural(tried, 'point')}. {modelled}"
    share = found["front_share"]
    told = f"The search tried {plural(tried, 'point')}, whose front dominates " + (
        f"{fine_percent(share)} of what the exact front of the grid does"
        if share <= 1
        else "more than the exact front of the grid, which it may leave"
    )
    if found["lost"] is None:
        return f"{told}. {modelled}"
    best = dict(zip(THRESHOLDS, found["best"], strict=True))
    if abs(found["lost"]) < 1e-9:
        return f"{told}; its best point, {thresholds(best)}, is as good as the grid's. {modelled}"
    how = "worse" if found["lost"] > 0 else "better"
    return (
        f"{told}; its best point, {thresholds(best)}, is {percent(abs(found['lost']))} of the patch's figure {how} "
        f"than the grid's. {modelled}"
    )
