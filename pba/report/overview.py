"""What several studies found, on one page: a row a study, what it says, and what its aims come to."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pba._version import __version__
from pba.printable import LONGEST_MESSAGE, printable
from pba.report.answers import verdict
from pba.report.data import decided, strip_table, thresholds, write_value
from pba.study.decision.decision import PATCH, RECOMMENDED
from pba.units import plural

if TYPE_CHECKING:
    from pba.study.batch import Outcome
    from pba.study.result import Run

OVERVIEW_FILES: Final = ("overview.html", "overview.json")
LONGEST_NAME: Final = 200


@dataclass(frozen=True)
class Figure:
    """What one aim comes to.

    Attributes
    ----------
    name, title, unit : str
        The aim's.
    patch, recommended : float
        Its value with the patch's thresholds and with the recommended ones.
    shown : str
        Both as people read them: `81 -> 29`.
    change : str
        The change with its interval; empty where nothing is recommended but the patch.
    """

    name: str
    title: str
    unit: str
    patch: float
    recommended: float
    shown: str
    change: str


@dataclass(frozen=True)
class Row:
    """One study of an overview.

    Attributes
    ----------
    study, description, folder : str
        Its name, its question, the run's folder.
    report : str
        Where its report lies, as a link from the overview; empty if there is none.
    recordings, held_out : int
        How many recordings had a say, and how many had none.
    answer : str
        What it says, in a few words.
    verdict : str
        What it says, in a sentence; or why it failed.
    point : str
        The recommended thresholds.
    figures : tuple of Figure
        Its aims.
    failed : bool
        Whether it failed.
    """

    study: str
    folder: str
    description: str = ""
    report: str = ""
    recordings: int = 0
    held_out: int = 0
    answer: str = ""
    verdict: str = ""
    point: str = ""
    figures: tuple[Figure, ...] = ()
    failed: bool = False


def rows_of(outcomes: Sequence[Outcome], folder: Path) -> list[Row]:
    """Return the rows of an overview that lies in a folder; all texts fit to print."""
    return [_row(one, folder) for one in outcomes]


def _row(outcome: Outcome, folder: Path) -> Row:
    name, place = (printable(text, LONGEST_NAME) for text in (outcome.name, str(outcome.folder)))
    run = outcome.run
    if run is None:
        told = printable(outcome.told, LONGEST_MESSAGE)
        return Row(name, place, answer="failed", verdict=told, failed=True)
    return Row(
        study=name,
        folder=place,
        description=printable(run.study.description, LONGEST_MESSAGE),
        report=_link(outcome.folder / "report" / "report.html", folder),
        recordings=len(run.traces),
        held_out=len(run.held_out),
        answer=in_short(run),
        verdict=printable(verdict(run), LONGEST_MESSAGE),
        point=thresholds(run.points.loc[run.recommended]),
        figures=_figures(run),
    )


def in_short(run: Run) -> str:
    """Say in a few words what a study answers."""
    decision = decided(run)
    if not decision.alternative:
        return decision.words
    if decision.alternative != PATCH:
        return decision.alternative
    return "no difference: keep the patch's" if decision.passed_over else "keep the patch's"


def _figures(run: Run) -> tuple[Figure, ...]:
    table = strip_table(run).set_index("name")
    found = []
    for aim in run.aims:
        before, after = (float(table[aim.name][name]) for name in (PATCH, RECOMMENDED))
        shown = " -> ".join(write_value(aim, value) for value in (before, after))
        change = str(table[f"change_{aim.name}"][RECOMMENDED])
        found.append(Figure(aim.name, printable(aim.title), aim.unit, before, after, shown, change))
    return tuple(found)


def _link(path: Path, folder: Path) -> str:
    """Return a link to a file as it is written in a page in a folder; empty if the file is not there."""
    if not path.is_file():
        return ""
    return quote(os.fsencode(os.path.relpath(path.resolve(), folder.resolve())))


def write_overview(outcomes: Sequence[Outcome], folder: str | Path) -> list[Path]:
    """Write `overview.html` and `overview.json`, in place of what lies there of an earlier batch.

    Parameters
    ----------
    outcomes : sequence of Outcome
        What became of each study.
    folder : str or Path
        Where to; made if it does not exist.

    Returns
    -------
    list of Path
        The page first. The same runs give the same bytes.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from pba.report.outputs import write_files

    folder = Path(folder)
    rows = rows_of(outcomes, folder)
    contents = (render(rows), json.dumps(plain(rows), indent=1, allow_nan=False) + "\n")
    files = {folder / name: text.encode() for name, text in zip(OVERVIEW_FILES, contents, strict=True)}
    write_files(files, folder, force=True)
    return list(files)


def plain(rows: Sequence[Row]) -> dict[str, Any]:
    """Return rows as JSON takes them."""
    from dataclasses import asdict

    return {"pba": __version__, "studies": [asdict(row) for row in rows]}


def render(rows: Sequence[Row]) -> str:
    """Return one page that needs nothing from outside."""
    from markupsafe import Markup

    from pba.report.renderers import environment, typeset

    made = environment(html=True)
    made.filters["typeset"] = lambda text: Markup(typeset(text).replace(" -&gt; ", " \u2192 "))
    failed = sum(row.failed for row in rows)
    subject = plural(len(rows), "study", "studies") + (f", {failed} of them failed" if failed else "")
    return made.get_template("overview.html.j2").render(rows=rows, subject=subject)
