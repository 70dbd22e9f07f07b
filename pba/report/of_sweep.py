"""A sweep's report: the exact front, the patch's place beside it, and what the default rule recommends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pba.report.figures import sweep_picture
from pba.report.kernel_patch import patch_of
from pba.report.mail import SERIES, aligned, letter, mmtests_table
from pba.report.renderers import wrapped
from pba.report.summaries import FORMAT_VERSION, KERNEL_PATCH, LETTER, MMTESTS, Summary
from pba.report.sweep import describe_sweep, plain_sweep
from pba.report.words import listing, moves, relative
from pba.study.aims import DEFAULT_AIMS
from pba.study.decision.decision import BEST_FOUND, PATCH, RECOMMENDED
from pba.study.decision.region import in_words
from pba.study.exact import recommended_of
from pba.study.space import PATCH_POINT, Point
from pba.units import format_time, number, percent, plural

if TYPE_CHECKING:
    from pba.report.style import Picture
    from pba.study.sweep.result import SweepResult


def summary_of_sweep(result: SweepResult, drawn: bool = True) -> Summary:
    """Return everything that a report says of a sweep."""
    document = describe_sweep(result)
    pictures: list[Picture] = []
    if drawn:
        for at, setting in enumerate(result.settings):
            name = "front" if len(result.settings) == 1 else f"front-{at + 1}"
            pictures.append(replace(sweep_picture(result, setting), name=name))
        fronts = iter(pictures)
        sections = tuple(
            replace(one, figure=next(fronts).name) if one.key.startswith("front") else one
            for one in document.sections
        )
        document = replace(document, sections=sections)
    best = {setting: recommended_of(result, setting).recommended for setting in result.settings}
    sent = {LETTER: _letter(result), MMTESTS: _mmtests(result)}
    if len(best) == 1:  # several machines have several answers
        (point,) = best.values()
        sent[KERNEL_PATCH] = patch_of(point, [wrapped(_verdict(result, result.settings[0]))], result.command)
    return Summary(
        kind="sweep",
        document=document,
        pictures=tuple(pictures),
        data={"format_version": FORMAT_VERSION, "kind": "sweep", **plain_sweep(result)},
        sent={name: text for name, text in sent.items() if text},
        columns={"pmd_splits": "PMD leaves split, over all traces"},
    )


def named_figures(result: SweepResult, setting: str) -> dict[str, tuple[Point, float, float]]:
    """Return the named points with both aims: the patch, the front's nearest that beats it, the recommended one.

    And what was found best, where that was passed over.
    """
    place = result.patch_place(setting)
    found = {PATCH: (PATCH_POINT, *place.aims.floats)}
    if place.nearest is not None:
        found["nearest better"] = (place.nearest, *place.nearest_aims.floats)
    for one in recommended_of(result, setting).compared:
        if one.name in (BEST_FOUND, RECOMMENDED):
            cell = result.grid.cell_of(one.point)
            aims = place.aims if cell is None else result.landscape(setting).aims_at(cell)
            found[one.name] = (one.point, *aims.floats)
    return found


def _verdict(result: SweepResult, setting: str) -> str:
    """Say what is recommended, and how much of the grid beats the patch."""
    named = named_figures(result, setting)
    point, splits, pages = named[RECOMMENDED]
    _, before_splits, before_pages = named[PATCH]
    where = "" if len(result.settings) == 1 else f"{setting}: "
    beaten = result.patch_place(setting).beaten_by
    return (
        f"{where}{in_words(point)}: PMD splits {moves(before_splits, splits, number)} and mean cached pages "
        f"{moves(before_pages, pages, number)} against the patch. {number(beaten)} of {number(len(result.grid))} "
        f"points of the grid ({percent(beaten / len(result.grid))}) beat the patch: as good in both aims, better in "
        "one."
    )


def _letter(result: SweepResult) -> str:
    """Return a sweep as a mail."""
    traces = result.traces
    names = plural(traces["trace"].nunique(), "trace")
    length = format_time(float(traces.drop_duplicates("trace")["duration_ns"].sum()))
    before = [
        "Which thresholds of the block allocator's shrinker lie on the exact front of PMD splits and cached pages?",
        f"{names} of page-table allocations ({length}) were replayed through an exact simulation of the block "
        f"allocator and its shrinker ({SERIES}) at every point of a grid: {result.grid}. Splits and pages are "
        "counted; time is not modelled.",
    ]
    rows = [["", "PMD splits", "change", "mean cached pages", "change", "U", "M", "B"]]
    for setting in result.settings:
        named = named_figures(result, setting)
        _, *patch = named[PATCH]
        for name, (point, *values) in named.items():
            cells = []
            for own, value in zip(patch, values, strict=True):
                cells += [number(value), "" if name == PATCH else relative(own, value)]
            label = name if len(result.settings) == 1 else f"{name} ({setting})"
            rows.append([label, *cells, *map(number, point)])
    after = [
        "Each change is against the patch. Every point of the grid is known, as a replay event by event would have it.",
        *(_verdict(result, setting) for setting in result.settings),
        f"The front has {listing([plural(len(result.front(setting)), 'outcome') for setting in result.settings])}.",
    ]
    table = "\n".join(f"  {line}" for line in aligned(rows, 1).splitlines())
    subject = "[RFC] mm: kpkeys: thresholds of the block allocator's shrinker, an exact sweep"
    return letter(subject, before, table, after, result.command, result.versions.get("pba", "unknown"))


def _mmtests(result: SweepResult) -> str:
    """Return the patch and the recommended point as mmtests compares kernels, trace by trace."""
    rows = []
    for setting in result.settings:
        best = recommended_of(result, setting).recommended
        tables = [result.at(*point).xs(setting, level="setting") for point in (PATCH_POINT, best)]
        where = "" if len(result.settings) == 1 else f" ({setting})"
        for aim in DEFAULT_AIMS:
            figures = [table[aim.name].astype(float) for table in tables]
            over = [
                float(aim.over_recordings([[value] for value in one], figures[0].tolist())[0])
                for one in figures
            ]
            rows.append(
                (f"{aim.over.capitalize()}{where}", aim, dict(zip((PATCH, RECOMMENDED), over, strict=True)))
            )
            for trace in figures[0].index:
                values = {
                    name: float(one[trace]) for name, one in zip((PATCH, RECOMMENDED), figures, strict=True)
                }
                rows.append((f"{trace}{where}", aim, values))
    return mmtests_table([PATCH, RECOMMENDED], rows)
