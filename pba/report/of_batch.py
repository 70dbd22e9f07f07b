"""A batch's report: what several studies say, side by side."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pba._version import __version__
from pba.errors import StudyError
from pba.printable import printable
from pba.report.answers import verdict
from pba.report.axes import plain
from pba.report.data import decided
from pba.report.document import Column, Document, Section, Table
from pba.report.figures import new_figure, settle
from pba.report.mail import SERIES, aligned, letter, mmtests_table
from pba.report.overview import OVERVIEW_FILES, Row, rows_of
from pba.report.overview import plain as plain_rows
from pba.report.style import GRID, MUTED, RECOMMENDED, Picture, style
from pba.report.summaries import FORMAT_VERSION, LETTER, MMTESTS, Summary
from pba.study.batch import Outcome
from pba.study.decision.decision import PATCH
from pba.study.decision.decision import RECOMMENDED as RECOMMENDED_NAME
from pba.study.result import load_run
from pba.units import number, plural

if TYPE_CHECKING:
    from pba.study.aims import Aim
    from pba.study.result import Run

TITLE = "What several studies say of the shrinker's thresholds"


@dataclass(frozen=True)
class Batch:
    """Studies that were run one after the other.

    Attributes
    ----------
    folder : Path
        Where their overview lies.
    outcomes : tuple of Outcome
        What became of each.
    """

    folder: Path
    outcomes: tuple[Outcome, ...]

    @property
    def runs(self) -> list[Run]:
        """The runs of the studies that did not fail."""
        return [one.run for one in self.outcomes if one.run is not None]

    @property
    def command(self) -> str:
        """The command that runs them all again."""
        words = []
        for one in self.outcomes:
            told = one.run.command if one.run is not None else f"pba tune {one.name}"
            given = shlex.split(told)[2:3]
            words += [word for word in given if not word.startswith("-")] or ["quickstart"]
        return shlex.join(["pba", "tune", *dict.fromkeys(words)])


def load_batch(folder: Path) -> Batch:
    """Read the runs of an overview.

    Raises
    ------
    StudyError
        If there is no overview, it is damaged, or a run that it names is not there.
    """
    path = folder / OVERVIEW_FILES[1]
    try:
        studies = json.loads(path.read_text(encoding="utf-8"))["studies"]
        named = [(str(row["study"]), Path(str(row["folder"])), str(row["verdict"])) for row in studies]
        failed = [bool(row["failed"]) for row in studies]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"{path}: cannot be read as an overview", "say pba tune STUDY STUDY again"
        ) from error
    outcomes = []
    for (name, place, told), has_failed in zip(named, failed, strict=True):
        if has_failed:
            outcomes.append(Outcome(name, place, error=StudyError(told)))
            continue
        beside = folder / place.name  # the overview may have been moved with its runs
        outcomes.append(Outcome(name, place, load_run(beside if beside.is_dir() else place)))
    return Batch(folder, tuple(outcomes))


def batch_table(batch: Batch) -> pd.DataFrame:
    """Return a row per study and aim.

    Returns
    -------
    DataFrame
        `study`, `answer` (in short), `aim`, `title` (what the aim is called), `unit`, `patch` and `recommended` (its
        values), `change` (in words), and `estimate`, `low` and `high` (the change as a share of the patch's figure with
        its 95 % interval; empty where there is none).
    """
    rows = []
    for row, run in zip(_done(batch), batch.runs, strict=True):
        changes = decided(run).changes_of(RECOMMENDED_NAME, PATCH)
        for figure, change in zip(row.figures, changes, strict=True):
            ends = (
                [change["estimate"], change["low"], change["high"]]
                if change["kind"] != "difference"
                else [None] * 3
            )
            rows.append(
                (
                    row.study,
                    row.answer,
                    figure.name,
                    figure.title,
                    figure.unit,
                    figure.patch,
                    figure.recommended,
                    figure.change,
                    *ends,
                )
            )
    columns = [
        "study",
        "answer",
        "aim",
        "title",
        "unit",
        "patch",
        "recommended",
        "change",
        "estimate",
        "low",
        "high",
    ]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(["estimate", "low", "high"], "float64"))


def _done(batch: Batch) -> list[Row]:
    """Return the rows of the studies that did not fail."""
    return [row for row in rows_of(batch.outcomes, batch.folder / "report") if not row.failed]


def summary_of_batch(batch: Batch, drawn: bool = True) -> Summary:
    """Return everything that a report says of a batch."""
    rows, table = rows_of(batch.outcomes, batch.folder / "report"), batch_table(batch)
    pictures = (batch_picture(table),) if drawn and len(table) else ()
    return Summary(
        kind="batch",
        document=_document(batch, rows),
        pictures=pictures,
        data={
            "format_version": FORMAT_VERSION,
            "kind": "batch",
            "command": batch.command,
            **plain_rows(rows),
        },
        sent={LETTER: _letter(batch), MMTESTS: _mmtests(batch)} if batch.runs else {},
        tables={"studies": table},
    )


def _document(batch: Batch, rows: Sequence[Row]) -> Document:
    failed = sum(row.failed for row in rows)
    warnings = [f"{row.study} failed: {row.verdict}" for row in rows if row.failed]
    subject = plural(len(rows), "study", "studies") + (f", {failed} of them failed" if failed else "")
    columns = (
        Column("study", left=True, key=True), Column("recordings"), Column("answer", left=True),
        Column("aim", left=True), Column("patch"), Column("recommended"), Column("change"),
    )  # fmt: skip
    cells = []
    for row in rows:
        for at, figure in enumerate(row.figures):
            ends = figure.shown.split(" -> ")
            head = (row.study, number(row.recordings), row.answer) if at == 0 else (row.study, "", "")
            cells.append((*head, figure.title, *ends, figure.change or "0"))
    text = (
        "Each study's recommended thresholds against the patch's; in brackets 95 % intervals over its recordings.",
    )
    strip = Section(
        "studies",
        "Study by study",
        text,
        figure="studies",
        tables=(Table("What each says", columns, tuple(cells)),),
    )
    told = tuple(
        Section(
            f"study-{at}", row.study, tuple(part for part in (row.description, row.verdict) if part),
            (f"Thresholds: {row.point}.", *([f"Its report: {row.report}"] if row.report else ())),
        )
        for at, row in enumerate(rows, 1) if not row.failed
    )  # fmt: skip
    again = Section("reproduce", "How to reproduce it", commands=(batch.command,))
    return Document(TITLE, subject, tuple(warnings), (), (strip, *told, again))


def batch_picture(table: pd.DataFrame) -> Picture:
    """Draw what each study's recommended thresholds change, an interval a study, a panel an aim."""
    aims = list(dict.fromkeys(table["aim"]))
    studies = list(dict.fromkeys(table["study"]))
    title = "What the recommended thresholds change against the patch"
    with style():
        figure = new_figure(8.4, 1.3 + 0.36 * len(studies), title)
        panels = figure.subplots(1, len(aims), sharey=True, squeeze=False)[0]
        for axes, aim in zip(panels, aims, strict=True):
            rows = table[table["aim"] == aim].set_index("study")
            for at, study in enumerate(studies):
                if study not in rows.index or pd.isna(rows.at[study, "estimate"]):
                    continue
                middle, low, high = (
                    100 * float(rows.at[study, name]) for name in ("estimate", "low", "high")
                )
                if not pd.isna(low) and not pd.isna(high):
                    axes.hlines(at, low, high, color=MUTED, linewidth=2, zorder=3)
                axes.plot([middle], [at], "o", color=RECOMMENDED, markersize=6, zorder=4)
            axes.axvline(0, color=MUTED, linewidth=1)
            axes.set_xlabel(f"{printable(rows['title'].iloc[0])}, %")
            axes.xaxis.set_major_formatter(plain)
            axes.grid(axis="y", color=GRID, linestyle=(0, (1, 3)))
        panels[0].set_yticks(range(len(studies)), [printable(study, 34) for study in studies])
        panels[0].set_ylim(len(studies) - 0.5, -0.5)
        settle(figure)
    caption = (
        "Dots: the change over a study's recordings; lines: its 95 % interval. What crosses 0 is no result."
    )
    told = [f"{row['study']}, {row['title']}: {row['change'] or '0'}" for row in table.to_dict("records")]
    return Picture("studies", title, caption, "; ".join(told) + ".", table, figure)


def _letter(batch: Batch) -> str:
    """Return a batch as a mail."""
    rows, runs = _done(batch), batch.runs
    before = [
        "Do the thresholds of the block allocator's shrinker hold on other machines and workloads?",
        f"{plural(len(rows), 'study', 'studies')} of traces of page-table allocations, replayed through an exact "
        f"simulation of the block allocator and its shrinker ({SERIES}). Splits and pages are counted; time is not "
        "modelled.",
    ]
    table = [["", "traces", "aim", "patch", "recommended", "change"]]
    for row in rows:
        for at, one in enumerate(row.figures):
            head = [row.study, number(row.recordings)] if at == 0 else ["", ""]
            table.append([*head, one.title, *one.shown.split(" -> "), one.change or "0"])
    after = [
        "Each change is against the patch, with its 95 % interval over the traces in brackets; where that reaches both "
        "sides of 0, another choice of traces may turn it round.",
        *(f"{row.study}: {verdict(run)}" for row, run in zip(rows, runs, strict=True)),
    ]
    text = "\n".join(f"  {line}" for line in aligned(table, 1).splitlines())
    subject = "[RFC] mm: kpkeys: thresholds of the block allocator's shrinker, study by study"
    return letter(subject, before, text, after, batch.command, __version__)


def _mmtests(batch: Batch) -> str:
    """Return each study's patch and recommended point as mmtests compares kernels."""
    names, rows = [PATCH, RECOMMENDED_NAME], []
    for row, run in zip(_done(batch), batch.runs, strict=True):
        changes = decided(run).changes_of(RECOMMENDED_NAME, PATCH)
        found: list[tuple[Aim, Any, Any]] = list(zip(run.aims, row.figures, changes, strict=True))
        for aim, figure, change in found:
            values = {PATCH: figure.patch, RECOMMENDED_NAME: figure.recommended}
            rows.append((row.study, aim, values, {RECOMMENDED_NAME: bool(change["better"])}))
    return mmtests_table(names, rows)
