"""What of a report is mailed: a cover letter, and a table as mmtests writes it. Plain ASCII."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pba.report.answers import folds, held_out, verdict
from pba.report.data import decided, strip_table, write_value
from pba.report.renderers import plain_words, wrapped
from pba.study.decision.decision import PATCH
from pba.units import format_time, number, plural

if TYPE_CHECKING:
    from pba.study.aims import Aim
    from pba.study.result import Run

MOST_PROSE: Final = 40
"""Lines of a cover letter beside its table: what is read before the patch is."""
SERIES: Final = "kpkeys_hardened_pgtables v6, patches 14 and 17 of 30"


def cover_letter(run: Run) -> str:
    """Return a run as a mail to a kernel list: question, setup, table, conclusion, how to run it again.

    Prose has at most 72 columns; the table may be wider, as a table that is wrapped cannot be read.

    Raises
    ------
    StudyError
        If the run has not decided yet.
    """
    decided(run)
    passes = plural(int(run.traces.passes.sum()), "shrinker pass", "shrinker passes")
    length = format_time(float(run.traces.duration_ns.sum()))
    spent = f"{length} from first to last event, {passes}"
    tried = f"at {plural(int(run.points.searched.sum()), 'point')} of a search" + (
        f" and at every point of a grid ({decided(run).grid})" if decided(run).grid else ""
    )
    before = [
        run.study.description or "Which thresholds should the block allocator's shrinker have?",
        f"{plural(len(run.traces), 'trace')} of page-table allocations ({spent}) were replayed through an exact "
        f"simulation of the block allocator and its shrinker ({SERIES}), {tried}. Splits and pages are counted; time "
        "is not modelled.",
    ]
    after = [
        "Each change is against the patch, with its 95 % interval over the traces in brackets; where that reaches both "
        "sides of 0, another choice of traces may turn it round.",
        verdict(run),
        *(told for told in (held_out(run), folds(run)) if told),
    ]
    subject = f"[RFC] mm: kpkeys: thresholds of the block allocator's shrinker ({run.study.name})"
    return letter(subject, before, choices(run), after, run.command, run.versions.get("pba", "unknown"))


def letter(
    subject: str, before: Sequence[str], table: str, after: Sequence[str], command: str, version: str
) -> str:
    """Return a mail: paragraphs, a table, paragraphs (further ones as there is room), and how to run it again."""
    again = f"To run it again (pba {version}):\n\n  {plain_words(command)}"
    told = [*map(wrapped, before), table, *map(wrapped, _shortened(after)), again]
    return "\n\n".join([plain_words(f"Subject: {subject}"), *told]) + "\n"


def _shortened(paragraphs: Sequence[str]) -> list[str]:
    """Return paragraphs that fit the letter: further ones are left to the report, the first two never."""
    kept, lines = [], 14  # what stands before and after them
    for at, text in enumerate(paragraphs):
        lines += len(wrapped(text).splitlines()) + 1
        if at < 2 or lines <= MOST_PROSE:
            kept.append(text)
    return kept


def choices(run: Run) -> str:
    """Return the patch, the plain alternatives and the recommended point beside each other, a line each."""
    head = ["", *(cell for aim in run.aims for cell in (aim.title, "change"))]
    rows = [
        [str(row["name"])]
        + [cell for aim in run.aims for cell in (write_value(aim, row[aim.name]), row[f"change_{aim.name}"])]
        for row in strip_table(run).to_dict("records")
    ]  # fmt: skip
    return "\n".join(f"  {line}" for line in aligned([head, *rows], 1).splitlines())


# --- as mmtests compares kernels ---


def mmtests(run: Run) -> str:
    """Return a run as mmtests compares kernels: the patch is the baseline, and what is better is positive.

    A row per aim and recording, and one over all of them. Over all of them a change stands between asterisks
    where its 95 % interval over recordings keeps to one side of 0; one recording has no interval.

    Raises
    ------
    StudyError
        If the run has not decided yet.
    """
    decision = decided(run)
    names = [PATCH, *(one.name for one in decision.compared if one.name != PATCH)]
    rows: list[tuple[Any, ...]] = []
    for at, aim in enumerate(run.aims):
        over = {one.name: one.over(run.aims, decision.named(PATCH))[at] for one in decision.compared}
        marked = {
            name: bool(decision.changes_of(name, PATCH)[at]["better"]) for name in names if name != PATCH
        }
        rows.append((aim.over.capitalize(), aim, over, marked))
        figures = {one.name: one.figures[at] for one in decision.compared}
        for place, recording in enumerate(decision.recordings):
            values = {name: float(figures[name][place]) for name in names}
            rows.append((recording, aim, values))
    return mmtests_table(names, rows)


def mmtests_table(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    """Return rows as mmtests compares kernels: the first name is the baseline, what is better is positive.

    Parameters
    ----------
    names : sequence of str
        The columns.
    rows : sequence of tuples
        What it is of, the aim, the figure of each name; and which names' changes are marked, if any are.
    """
    head = ["", "", *(name.replace(" ", "-") for name in names)]
    table = [head]
    for what, aim, values, *marked in rows:
        told = marked[0] if marked else {}
        cells = [gain(aim, values[names[0]], values[name], told.get(name, False)) for name in names]
        table.append([what, aim.name, *cells])
    return aligned(table, 2) + "\n"


def gain(aim: Aim, before: float, after: float, marked: bool) -> str:
    """Return a figure with what it gains on the baseline: `29.00 ( 64.20%)`, `0.00 * 100.00%*`."""
    if before == after:
        gain = "0.00%"
    elif before == 0:
        gain = "-inf%" if (after - before) * aim.sign > 0 else "inf%"
    else:
        gain = f"{100 * aim.sign * (before - after) / abs(before):.2f}%"
    first, last = ("*", "*") if marked else ("(", ")")
    return f"{after:.2f} {first}{gain:>9}{last}"


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Return rows as lines of text, the first `left` columns at the left."""
    plain = [[plain_words(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in plain) for at in range(len(plain[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in plain
    ]
    return "\n".join(line.rstrip() for line in lines)


def evidence(run: Run) -> list[str]:
    """Return the paragraphs and the table that a commit message gives for new thresholds."""
    reacting = len(run.traces) - len(decided(run).silent)
    how_many = f"{number(reacting)} of {plural(len(run.traces), 'trace')} react to the thresholds at all."
    told = [wrapped(verdict(run)), choices(run), wrapped(how_many)]
    told += [wrapped(text) for text in (held_out(run), folds(run)) if text]
    return told
