"""The one object that all formats of a report are made of, whatever it is a report of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    from pba.report.document import Document
    from pba.report.style import Picture
    from pba.study.aims import Aim

LETTER, MMTESTS, KERNEL_PATCH, SUMMARY = "cover-letter.txt", "mmtests.txt", "thresholds.patch", "summary.json"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class Summary:
    """Everything that a report says.

    Attributes
    ----------
    kind : str
        What it is a report of: "run", "sweep", "batch" or "comparison".
    document : Document
        What HTML, Markdown, text and PDF say.
    pictures : tuple of Picture
        The figures, in the order of the document.
    data : dict
        What `summary.json` holds, by the names of `summary.schema.json`; empty before a run has decided.
    sent : mapping of str to str
        What is sent, by its file's name: letter, mmtests table, patch.
    tables : mapping of str to DataFrame
        Further tables, written as CSV, by the file's name without its ending.
    aims : tuple of Aim
        What the columns of tables are named after.
    columns : mapping of str to str
        What columns mean that have their names here alone.
    """

    kind: str
    document: Document
    pictures: tuple[Picture, ...]
    data: dict[str, Any]
    sent: Mapping[str, str]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    aims: tuple[Aim, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
