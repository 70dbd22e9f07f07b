"""What a sweep found, in words: the exact front, the patch's place beside it, how wide the plateaus are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.files import replacing
from pba.report.data import LETTERS, THRESHOLDS
from pba.report.document import Column, Document, Section, Table
from pba.report.words import moves
from pba.study.aims import DEFAULT_AIMS
from pba.study.decision.decide import Settled
from pba.study.decision.decision import BEST_FOUND
from pba.study.decision.region import in_words
from pba.study.decision.rules import RULES
from pba.study.definition import Choice
from pba.study.exact import recommended_of
from pba.study.space import PATCH_POINT, Point
from pba.units import format_time, number, percent, plural

if TYPE_CHECKING:
    from pba.study.sweep.plateau import Plateau
    from pba.study.sweep.result import SweepResult

SUMMARY_FILES: Final = ("summary.txt", "summary.md")
MOST_FRONT_ROWS: Final = 24
"""A longer front is thinned in the summary; `SweepResult.front` has all of it."""


def write_sweep_summary(result: SweepResult, folder: Path) -> list[Path]:
    """Write the summary of a sweep as text and as Markdown; return the files."""
    from pba.report.renderers import render_markdown, render_text

    document = describe_sweep(result)
    paths = [folder / name for name in SUMMARY_FILES]
    for path, render in zip(paths, (render_text, render_markdown), strict=True):
        with replacing(path, force=True) as temporary:
            temporary.write_text(render(document, ()), encoding="utf-8")
    return paths


def plain_sweep(result: SweepResult) -> dict[str, Any]:
    """Return what a sweep found as plain values: for each setting the front, the patch's place, what is recommended."""
    settings = []
    for setting in result.settings:
        place = result.patch_place(setting)
        best = recommended_of(result, setting).recommended
        splits, cached = place.aims.floats
        settings.append(
            {
                "setting": setting,
                "patch": {
                    "pmd_splits": int(splits), "mean_cached_pages": cached, "beaten_by_points": place.beaten_by,
                },
                "recommended": best._asdict(),
                "front": json.loads(result.front(setting).to_json(orient="records")),
            }
        )  # fmt: skip
    traces = json.loads(result.traces.to_json(orient="records"))
    grid = {**result.grid.to_dict(), "points": len(result.grid)}
    return {
        "command": result.command, "versions": result.versions, "grid": grid, "traces": traces, "settings": settings,
    }  # fmt: skip


def describe_sweep(result: SweepResult) -> Document:
    """Return everything that a summary says about a sweep."""
    sections = [_what_was_run(result)]
    for setting in result.settings:
        title = "" if len(result.settings) == 1 else f" ({setting})"
        front = result.front(setting)
        settled = recommended_of(result, setting)
        best = settled.recommended
        sections += [
            _patch_place(result, setting, title),
            _recommended(result, setting, settled, title),
            _front(front, best, title),
            _plateaus(result, setting, best, title),
        ]
    return Document(
        title="An exact sweep of the shrinker's thresholds",
        subject=f"{number(len(result.grid))} points, each as a replay event by event would have it",
        warnings=(),
        answers=(),
        sections=tuple(sections),
    )


def _what_was_run(result: SweepResult) -> Section:
    pairs = (Column("", left=True, key=True), Column("", left=True))
    return Section("run", "What was run", tables=(Table("", pairs, _facts(result)), _traces(result)))


def _facts(result: SweepResult) -> tuple[tuple[str, str], ...]:
    traces, grid = result.traces, result.grid.to_dict()
    axes = "; ".join(f"{letter} {grid[axis]}" for letter, axis in zip("UMB", THRESHOLDS, strict=True))
    cases = plural(len(traces), "trace and machine", "traces and machines")
    length = f"{format_time(traces.duration_ns.sum())}, {number(traces.events.sum())} events"
    shown = ("pba", "model", "numpy", "numba")
    return (
        ("command", f"`{result.command}`"),
        ("grid", f"{result.grid}, as for 4 KiB pages: M and B grow with the block, U does not"),
        ("axes", axes.replace(",", ", ")),
        ("aims", "PMD splits, summed over the traces; mean cached pages, weighted by time, then averaged"),
        ("replays", f"{number(len(result.grid) * len(traces))}, on {cases}: {length}"),
        ("versions", ", ".join(f"{name} {result.versions[name]}" for name in shown)),
    )


def _traces(result: SweepResult) -> Table:
    several = len(result.settings) > 1
    columns = [Column("trace", left=True, key=True)]
    columns += [Column("setting", left=True)] if several else []
    columns += [Column(title) for title in ("events", "passes", "behaviours")]
    columns += [Column(title, group="patch") for title in ("PMD splits", "mean cached pages")]
    rows = []
    for case, boxes in zip(result.cases, result.boxes, strict=True):
        mean = case.patch[1] / case.duration_ns if case.duration_ns else case.patch[2]
        numbers = (case.events, case.passes, len(boxes.cache_hash), case.patch[0])
        setting = [case.setting] if several else []
        rows.append((case.trace, *setting, *map(number, numbers), number(mean)))
    return Table("Traces, and how many behaviours there are", tuple(columns), tuple(rows))


def _patch_place(result: SweepResult, setting: str, title: str) -> Section:
    place = result.patch_place(setting)
    splits, cached = place.aims.floats
    share = percent(place.beaten_by / len(result.grid))
    bullets = [
        f"{PATCH_POINT} (the patch): {plural(splits, 'PMD split')}, {plural(cached, 'page')} cached on "
        "average."
    ]
    if place.nearest is None:
        bullets.append("No point of the grid beats it: it is on the front, or as good as a point of it.")
    else:
        near_splits, near_cached = place.nearest_aims.floats
        bullets += [
            f"{plural(place.beaten_by, 'point beats', 'points beat')} it ({share} of the grid): as good in "
            "both aims, better in one.",
            f"The front's nearest that does: {place.nearest}, with {plural(near_splits, 'split')} "
            f"({_lost(splits, near_splits)}) and {plural(near_cached, 'page')} "
            f"({_lost(cached, near_cached)}).",
            f"At no more cached pages the splits could be {number(place.fewest_splits.pmd_splits)} "
            f"({_lost(splits, place.fewest_splits.floats[0])}); at no more splits the pages could be "
            f"{number(place.least_cached.floats[1])} ({_lost(cached, place.least_cached.floats[1])}).",
        ]
    return Section("patch" + title, "The patch's thresholds beside the front" + title, bullets=tuple(bullets))


def _recommended(result: SweepResult, setting: str, settled: Settled, title: str) -> Section:
    best = settled.recommended
    told = [f"{best} ({in_words(best)}): {_moves(result, setting, best)}, against the patch's."]
    if settled.alternative:
        told[0] = f'"{settled.alternative}", {told[0]} It needs no tuning.'
    told += [
        f"The best point by the rule, {one.point} ({in_words(one.point)}), is not better than that by more than the "
        f"choice of recordings explains: {_moves(result, setting, one.point)}."
        for one in settled.compared
        if one.name == BEST_FOUND
    ]
    told.append(f"The rule: {RULES[Choice().rule].sentence(DEFAULT_AIMS, Choice())}")
    return Section("recommended" + title, "Recommended" + title, tuple(told))


def _moves(result: SweepResult, setting: str, point: Point) -> str:
    """Say what the aims do from the patch's point to another one of the grid."""
    cell = result.grid.cell_of(point)
    patch = result.patch_aims(setting)
    aims = patch if cell is None else result.landscape(setting).aims_at(cell)
    before, after = patch.floats, aims.floats
    return f"PMD splits {moves(before[0], after[0], number)}, mean cached pages {moves(before[1], after[1], number)}"


def _lost(have: float, could: float) -> str:
    """Return what a figure loses against another, in per cent of it."""
    return "nothing lost" if have <= could else f"the patch loses {percent((have - could) / have)}"


def _front(front: Any, best: Point, title: str) -> Section:
    text = [
        f"{plural(len(front), 'pair of aims is', 'pairs of aims are')} on the front: no point of the grid is "
        "as good in both aims and better in one. Exact, as every point was evaluated; ties are decided in "
        "whole numbers. Of the points that reach a pair, the one nearest to the patch's thresholds is shown "
        "(in factors), and how many there are."
    ]
    shown = front
    if len(front) > MOST_FRONT_ROWS:
        places = {round(at * (len(front) - 1) / (MOST_FRONT_ROWS - 1)) for at in range(MOST_FRONT_ROWS)}
        at_best = [place for place, row in enumerate(front.to_dict("records")) if _is(row, best)]
        shown = front.iloc[sorted({*places, *at_best})]
        text.append(f"The table shows {len(shown)} of them, spread over the front.")
    columns = (
        Column("PMD splits", key=True), Column("mean cached pages"), Column("points"),
        *(Column(LETTERS[name], group="thresholds") for name in THRESHOLDS), Column("", left=True),
    )  # fmt: skip
    rows, marked = [], []
    for place, row in enumerate(shown.to_dict("records")):
        note = "recommended" if _is(row, best) else "patch" if _is(row, PATCH_POINT) else ""
        if note == "recommended":
            marked.append(place)
        cells = (number(row["points"]), *(str(row[name]) for name in THRESHOLDS), note)
        rows.append((number(row["pmd_splits"]), number(row["mean_cached_pages"]), *cells))
    table = Table("The exact front, by rising splits", columns, tuple(rows), marked=tuple(marked))
    return Section("front" + title, "The exact front" + title, tuple(text), tables=(table,))


def _is(row: dict[Any, Any], point: Point) -> bool:
    return all(row[name] == value for name, value in point._asdict().items())


def _plateaus(result: SweepResult, setting: str, best: Point, title: str) -> Section:
    text = [
        "A plateau is a set of points with the very same aims; its box, ranges of the thresholds that hold "
        "such points alone: within it nothing changes. Ranges end at points of the grid."
    ]
    columns = (
        Column("plateau", left=True, key=True), Column("PMD splits"), Column("mean cached pages"),
        Column("points"), Column("in the box"), *(Column(LETTERS[name], group="box") for name in THRESHOLDS),
    )  # fmt: skip
    rows = []
    for name, point in (("patch's", PATCH_POINT), ("recommended", best)):
        found = result.plateau(point, setting)
        if found is None:
            text.append(f"The {name} point, {point}, is not on the grid.")
        else:
            rows.append((name, *_cells(result, found)))
    rows += [
        (f"largest {place}", *_cells(result, found))
        for place, found in enumerate(result.plateaus(setting), start=1)
    ]
    table = Table("Plateaus: where nothing changes", columns, tuple(rows))
    return Section("plateaus" + title, "Plateaus" + title, tuple(text), tables=(table,))


def _cells(result: SweepResult, found: Plateau) -> tuple[str, ...]:
    splits, cached = found.aims.floats
    box = result.box_ranges(found.first, found.last)
    spans = []
    for name in THRESHOLDS:
        low, high = box[f"{name}_from"], box[f"{name}_to"]
        spans.append(str(low) if low == high else f"{low}..{high}")
    return (number(splits), number(cached), number(found.points), number(found.box_points), *spans)
