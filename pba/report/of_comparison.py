"""A comparison's report: policies and thresholds side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pba._version import __version__
from pba.probe.compare import Comparison, cell
from pba.probe.measures import MEASURES
from pba.report.compare_figures import compare_picture, line_of
from pba.report.document import Column, Document, Section, Table
from pba.report.figures import new_figure, settle
from pba.report.mail import SERIES, aligned, letter, mmtests_table
from pba.report.style import MUTED, SURFACE, Picture, style
from pba.report.summaries import FORMAT_VERSION, LETTER, MMTESTS, Summary
from pba.study.aims import Aim
from pba.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

MAIN: Final = ("pmd_splits", "mapped_end", "tlb_flushes", "held_back_mean")
"""The measures of the figure and of the letter."""
MORE_IS_BETTER: Final = frozenset({"mapped_mean", "mapped_end", "pages_released", "blocks_back"})
MOST_TRACES: Final = 3
"""Traces that are drawn over time: those on which the choices differ most in PMD splits."""
NEUTRAL: Final = frozenset({"refills", "blocks_back", "pages_released"})
"""Measures of which neither more nor less is better: mmtests does not have them."""


def summary_of_comparison(found: Comparison, drawn: bool = True) -> Summary:
    """Return everything that a report says of a comparison."""
    shown = shown_traces(found) if drawn else []
    pictures = (totals_picture(found), *(compare_picture(found, trace) for trace in shown)) if drawn else ()
    totals = found.totals.reset_index()
    columns = {choice: f"of {choice}, over all traces" for choice in found.choices}
    columns |= {name: f"{one.meaning}, {one.unit}" for name, one in MEASURES.items()}
    return Summary(
        kind="comparison",
        document=_document(found, shown),
        pictures=pictures,
        data={
            "format_version": FORMAT_VERSION,
            "kind": "comparison",
            "command": command(found),
            **found.to_dict(),
        },
        sent={LETTER: _letter(found), MMTESTS: _mmtests(found)},
        tables={"measures": totals, "per-trace": found.per_trace},
        columns={**columns, "machine": "simulated machine"},
    )


def command(found: Comparison) -> str:
    """Return the command that compares the same."""
    words = ["pba compare", *found.traces]
    for choice in found.choices:
        name, *rest = choice.split(" ")
        words.append("--policy " + name + (":" + ",".join(rest) if rest else ""))
    return " ".join(words)


def shown_traces(found: Comparison) -> list[str]:
    """Return the traces that are drawn over time."""
    table = found.per_trace.groupby("trace", sort=False)["pmd_splits"].agg(lambda own: own.max() - own.min())
    drawn = set(found.curves["trace"])
    order = [str(name) for name in table.sort_values(ascending=False, kind="stable").index if name in drawn]
    return order[:MOST_TRACES]


def _document(found: Comparison, shown: Sequence[str]) -> Document:
    columns = (
        Column("measure", left=True, key=True), Column("unit", left=True), *(Column(name) for name in found.choices),
    )  # fmt: skip
    totals = Table("Over all traces", columns, tuple(found.rows()))
    told = tuple(f"{one.label}: {one.meaning} ({one.over} over the traces)." for one in MEASURES.values())
    sections = [
        Section(
            "measures", "Side by side", ("Counts are summed over the traces, shares and pages are their means.",),
            figure="totals", tables=(totals,),
        )
    ]  # fmt: skip
    for at, trace in enumerate(shown, 1):
        sections.append(Section(f"trace-{at}", f"Over time: {trace}", figure=f"compare-{trace}"))
    sections += [
        Section("traces", "Trace by trace", tables=tuple(_by_trace(found, name) for name in MAIN)),
        Section("meanings", "What is measured", bullets=told),
        Section("reproduce", "How to reproduce it", commands=(command(found),)),
    ]
    title = "Ways to protect page tables, side by side"
    subject = f"{plural(len(found.choices), 'policy', 'policies')} on {plural(len(found.traces), 'trace')}"
    return Document(title, subject, (), (), tuple(sections))


def _by_trace(found: Comparison, measure: str) -> Table:
    one = MEASURES[measure]
    rows_of = found.per_trace.set_index(["trace", "choice"])[measure].to_dict()
    columns = (Column("trace", left=True, key=True), *(Column(name) for name in found.choices))
    rows = tuple(
        (trace, *(cell(rows_of[trace, choice], one.unit) for choice in found.choices))
        for trace in found.traces
    )
    unit = "%" if one.unit == "share" else one.unit
    return Table(f"{one.label}, {unit}", columns, rows)


def totals_picture(found: Comparison) -> Picture:
    """Draw the main measures, a bar a choice, each choice in its own colour."""
    names = [name for name in MAIN if name in found.totals.index]
    title = "Over all traces"
    with style():
        figure = new_figure(8.6, 1.2 + 0.3 * len(found.choices), title)
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            one = MEASURES[name]
            values = {choice: _total(found, name, choice) for choice in found.choices}
            for at, choice in enumerate(found.choices):
                look = line_of(choice, found.choices[:at])
                again = "" if look["linestyle"] == "-" else "////"  # where a line would be dashed
                axes.barh(
                    at,
                    values[choice],
                    color=look["color"],
                    hatch=again,
                    edgecolor=SURFACE,
                    height=0.62,
                    zorder=3,
                )
                axes.annotate(cell(_total(found, name, choice), one.unit), (values[choice], at), xytext=(3, 0),
                              textcoords="offset points", va="center", fontsize=8)  # fmt: skip
            axes.set_xlim(0, max(*values.values(), 1e-9) * 1.45)
            axes.set_xticks([])
            axes.set_title(one.label + (", %" if one.unit == "share" else ""))
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="y", visible=False)
            axes.spines["left"].set_color(MUTED)
        panels[0].set_yticks(range(len(found.choices)), found.choices)
        panels[0].set_ylim(len(found.choices) - 0.5, -0.5)
        settle(figure)
    told = [
        f"{choice}: " + ", ".join(f"{MEASURES[name].label} {cell(_total(found, name, choice), MEASURES[name].unit)}"
                                  for name in names)
        for choice in found.choices
    ]  # fmt: skip
    caption = "Counts are summed over the traces, shares and pages are their means."
    table = found.totals.loc[names].reset_index()
    return Picture("totals", title, caption, "; ".join(told) + ".", table, figure)


def _letter(found: Comparison) -> str:
    before = [
        "What do the ways to protect page tables cost, beside each other?",
        f"{plural(len(found.traces), 'trace')} of page-table allocations were replayed through exact simulations of "
        f"{plural(len(found.choices), 'policy', 'policies')} ({SERIES}, and rivals). Splits, flushes and pages are "
        "counted; time is not modelled.",
    ]
    labels = [f"{MEASURES[name].label}{', %' if MEASURES[name].unit == 'share' else ''}" for name in MAIN]
    rows = [["", *labels]]
    rows += [
        [choice, *(cell(_total(found, name, choice), MEASURES[name].unit) for name in MAIN)]
        for choice in found.choices
    ]  # fmt: skip
    table = "\n".join(f"  {line}" for line in aligned(rows, 1).splitlines())
    least = [
        f"{MEASURES[name].label} {'are fewest' if name != 'mapped_end' else 'is largest'} with {_best(found, name)}"
        for name in ("pmd_splits", "tlb_flushes", "mapped_end")
    ]
    after = [
        "Counts are summed over the traces; shares and pages held back are their means.",
        f"{'; '.join(least)}.",
    ]
    subject = "[RFC] mm: kpkeys: ways to protect page tables, side by side"
    return letter(subject, before, table, after, command(found), __version__)


def _total(found: Comparison, measure: str, choice: str) -> float:
    """Return a measure of a choice over all traces."""
    return float(found.totals[choice].to_dict()[measure])


def _best(found: Comparison, measure: str) -> str:
    values = found.totals.loc[measure]
    best = values.max() if measure in MORE_IS_BETTER else values.min()
    names = [choice for choice in found.choices if values[choice] == best]
    return " and ".join(names)


def _mmtests(found: Comparison) -> str:
    """Return every measure as mmtests compares kernels; the first choice is the baseline.

    Over all traces a change is marked where its 95 % interval over traces keeps to one side of 0.
    """
    rows: list[tuple[Any, ...]] = []
    by_trace = found.per_trace.set_index(["trace", "choice"])[list(MEASURES)].to_dict("index")
    for name, one in MEASURES.items():
        if name in NEUTRAL or not (found.totals.loc[name] != 0).any():
            continue
        aim = Aim(name, one.unit, "maximize" if name in MORE_IS_BETTER else "minimize", one.over)
        totals = {choice: _total(found, name, choice) for choice in found.choices}
        sure = {str(row["choice"]): float(row["low"]) > 0 or float(row["high"]) < 0
                for row in found.changes[found.changes["measure"] == name].to_dict("records")}  # fmt: skip
        rows.append((one.over.capitalize(), aim, totals, sure))
        for trace in found.traces:
            rows.append(
                (trace, aim, {choice: float(by_trace[trace, choice][name]) for choice in found.choices})
            )
    return mmtests_table(found.choices, rows)
