"""The sections of a report that tell of the decision: choices, machines, region, folds, what each threshold does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pba.report.answers import caveats, folds, groups_in_short
from pba.report.data import LETTERS, THRESHOLDS, folds_table, groups_table, strip_table, write_value
from pba.report.document import NUMBER, Column, Section, Table
from pba.study.decision.decision import RECOMMENDED
from pba.study.space import NEVER
from pba.units import number, percent

if TYPE_CHECKING:
    from pba.study.decision.decision import Decision
    from pba.study.result import Run


def choices_section(run: Run) -> tuple[Section, ...]:
    """Show the named points beside each other."""
    if run.decision is None:
        return ()
    table = strip_table(run)
    columns = [Column("", left=True, key=True)]
    for aim in run.aims:
        columns += [
            Column(aim.unit or aim.name, group=aim.title),
            Column("change", group=aim.title),
        ]
    columns += [Column(LETTERS[name], group="thresholds, pages") for name in THRESHOLDS]
    rows = []
    for row in table.to_dict("records"):
        cells = [str(row["name"])]
        for aim in run.aims:
            cells += [write_value(aim, row[aim.name]), str(row[f"change_{aim.name}"])]
        cells += [_pages(int(row[name])) for name in THRESHOLDS]
        rows.append(tuple(cells))
    text = (
        f"{run.rule} Changes are against the patch. In brackets: where they may lie for other recordings of this kind "
        "(95 % bootstrap interval over recordings, BCa, paired).",
    )
    marked = (len(rows) - 1,)
    shown = Table("What can be chosen", tuple(columns), tuple(rows), marked=marked)
    return (Section("choices", "What can be chosen", text, tables=(shown,), leads=True),)


def caveats_section(run: Run) -> tuple[Section, ...]:
    """Say what groups and held-out recordings say, and what else the answer hangs on."""
    told = (*groups_in_short(run), *caveats(run))
    if run.decision is None or not told:
        return ()
    return (Section("caveats", "What groups and left-out recordings say", bullets=told, leads=True),)


def _pages(pages: int) -> str:
    return "all" if pages >= NEVER else number(pages)


def machines_section(run: Run) -> tuple[Section, ...]:
    """Say what the answer is in each group of recordings."""
    if run.decision is None or not run.decision.groups:
        return ()
    table = groups_table(run)
    columns = [Column("recordings of", left=True, key=True), Column("", key=True)]
    for aim in run.aims:
        columns += [Column("patch", group=aim.title), Column("recomm.", group=aim.title)]
        columns += [Column("change", group=aim.title), Column("own", group=aim.title)]
    columns.append(Column("own choice", left=True))
    rows = []
    for row in table.to_dict("records"):
        cells = [str(row["group"]), str(row["recordings"])]
        for aim in run.aims:
            cells += [
                write_value(aim, row[f"patch_{aim.name}"]),
                write_value(aim, row[f"{RECOMMENDED}_{aim.name}"]),
            ]
            cells += [str(row[f"change_{aim.name}"]), write_value(aim, row[f"own_{aim.name}"])]
        rows.append((*cells, str(row["own"])))
    text = (
        "Each group of recordings for itself: the recommended point, and what the same rule chooses for the group "
        "alone.",
    )
    shown = Table("By group", tuple(columns), tuple(rows))
    return (Section("machines", "Machine by machine", text, tables=(shown,)),)


def region_section(run: Run) -> tuple[Section, ...]:
    """Say where all points lie that lose little."""
    if run.decision is None or not run.decision.region:
        return ()
    decision = run.decision
    region, best = decision.region, decision.best
    columns = (
        Column("", left=True, key=True), Column("patch"), Column("recommended"), Column("best point"),
        Column("box around it", left=True), Column("whole region", left=True),
    )  # fmt: skip
    rows = tuple(
        (
            LETTERS[name], number(getattr(decision.compared[0].point, name)),
            number(getattr(decision.recommended, name)), number(best["point"][at]),
            _span(*region["box"][name]), _span(*region["span"][name]),
        )
        for at, name in enumerate(THRESHOLDS)
    )  # fmt: skip
    text = (
        f"The region holds every point of the grid that the rule may choose and whose score is within "
        f"{100 * decision.loss:g} % of the patch's figure from the best: {number(region['points'])} of "
        f"{number(region['grid'])}. The recommended point is {_level(decision)}"
        + ("." if best["lost"] is None else
           f"; it costs {100 * best['lost']:.1f} % of the patch's figure beside the best."),
    )  # fmt: skip
    table = Table("The region, in pages", columns, rows)
    return (Section("region", "Not a point but a region", text, figure="region", tables=(table,)),)


def _level(decision: Decision) -> str:
    if decision.alternative:
        inside = "" if decision.passed_over else ", which lies inside"
        return f'the plain alternative "{decision.alternative}"{inside}'
    return f"the one that lies deepest inside, of {decision.level}"


def _span(low: float, high: float) -> str:
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def folds_section(run: Run) -> tuple[Section, ...]:
    """Say what is chosen without each recording in turn, and what that does on it."""
    if run.decision is None or not run.decision.folds:
        return ()
    table = folds_table(run)
    title = "Left out: does it hold where it was not chosen?"
    columns = (
        NUMBER,
        Column("left out", left=True, key=True),
        Column("chosen on all others", left=True),
        *(Column(side, group=aim.title) for aim in run.aims for side in ("patch", "chosen")),
    )
    rows = []
    for place, row in enumerate(table.to_dict("records"), 1):
        cells = [
            write_value(aim, row[f"{side}_{aim.name}"]) for aim in run.aims for side in ("patch", "chosen")
        ]
        rows.append((str(place), str(row["trace"]), str(row["words"]), *cells))
    together = zip(run.aims, run.decision.folds_changes, strict=True)
    sums = [write_value(aim, change[side]) for aim, change in together for side in ("before", "after")]
    rows.append(("", "all together", "", *sums))
    text = (
        folds(run),
        "Each choice had every point of the grid to choose from, and no figure of that recording.",
    )
    shown = Table("On the recording left out", columns, tuple(rows), totals=1)
    return (Section("left-out", title, text, tables=(shown,)),)


def why_section(run: Run) -> tuple[Section, ...]:
    """Say what each threshold does: alone, after the others, over the whole grid."""
    if run.decision is None or not run.decision.ablation:
        return ()
    decision = run.decision
    columns = (
        Column("moved", left=True, key=True), Column("from"), Column("to"),
        *(Column(how, group=aim.title) for aim in run.aims for how in ("first", "last", "mean")),
    )  # fmt: skip
    rows = []
    for row in decision.ablation:
        name = row["threshold"]
        cells = [f"{row[how][at]:+,.4g}" for at in range(len(run.aims)) for how in ("first", "last", "mean")]
        ends = (getattr(one, name) for one in (decision.compared[0].point, decision.recommended))
        rows.append((LETTERS[name], *(_pages(end) for end in ends), *cells))
    text = [
        "From the patch's thresholds to the recommended ones, one at a time: what moves when a threshold changes "
        "before all others, after all others, and on average over every order."
    ]
    tables = [Table("One threshold at a time", columns, tuple(rows))]
    if decision.importance:
        text.append(
            "Over the whole grid: how much of an aim's variation (of its logarithm) a threshold explains alone, and "
            "how much goes if it is held. PED-ANOVA asks the tried points instead: what decides whether one is "
            "among the best tenth."
        )
        tables.append(_importance(run, decision))
    return (Section("why", "What each threshold does", tuple(text), tables=tuple(tables)),)


def _importance(run: Run, decision: Decision) -> Table:
    tried = decision.search.get("ped_anova", {})
    columns = (
        Column("", left=True, key=True),
        *(
            Column(how, group=aim.title)
            for aim in run.aims
            for how in ("alone", "with others", *(["PED-ANOVA"] if tried else []))
        ),
    )
    rows = []
    for name in THRESHOLDS:
        shares = []
        for aim in run.aims:
            found = decision.importance[aim.name][name]
            shares += [percent(found["alone"]), percent(found["with_others"])]
            shares += [percent(tried[aim.name][name])] if tried else []
        rows.append((LETTERS[name], *shares))
    return Table("Importance over the grid", columns, tuple(rows))
