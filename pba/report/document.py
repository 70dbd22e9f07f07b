"""A report before it has a format: sections of sentences, lists, tables and figures.

The summary makes one; every renderer writes all of it. Text is plain ASCII; `code` stands in backticks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    title : str
        Its heading, with the unit.
    left : bool
        Whether its cells stand to the left (words) rather than to the right (numbers).
    group : str
        Heading over neighbouring columns that belong together; empty for none.
    key : bool
        Whether it says what the row is about: repeated where a narrow page splits the table.
    """

    title: str
    left: bool = False
    group: str = ""
    key: bool = False


NUMBER = Column("#", key=True)
"""The column that counts a table's rows."""


@dataclass(frozen=True)
class Table:
    """A table: a caption, columns, rows of cells.

    Attributes
    ----------
    caption : str
        What the table shows.
    columns : tuple of Column
        Its columns.
    rows : tuple of tuples of str
        Its cells.
    totals : int
        How many of the last rows sum up those above.
    marked : tuple of int
        Rows to stand out.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: int = 0
    marked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section: its parts are written in the order of the fields.

    Attributes
    ----------
    key : str
        Name for links.
    title : str
        Heading.
    text : tuple of str
        Paragraphs.
    bullets : tuple of str
        A list.
    figure : str
        Name of the figure that belongs here; empty for none.
    tables : tuple of Table
        Its tables.
    commands : tuple of str
        Command lines to copy.
    leads : bool
        Whether it stands right behind the first answer: what a reader must see at once.
    """

    key: str
    title: str
    text: tuple[str, ...] = ()
    bullets: tuple[str, ...] = ()
    figure: str = ""
    tables: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()
    leads: bool = False


@dataclass(frozen=True)
class Answer:
    """A question of the patch, and what this run says to it."""

    question: str
    text: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes
    ----------
    title, subject : str
        What it is about; which run it reports.
    warnings : tuple of str
        What a reader must know before all else.
    answers : tuple of Answer
        The patch's questions.
    sections : tuple of Section
        All the rest.

    The first answer is written first, then the sections that lead, then the other answers and sections.
    """

    title: str
    subject: str
    warnings: tuple[str, ...]
    answers: tuple[Answer, ...]
    sections: tuple[Section, ...]

    @property
    def leading(self) -> tuple[Section, ...]:
        """The sections that stand right behind the first answer."""
        return tuple(section for section in self.sections if section.leads)

    @property
    def following(self) -> tuple[Section, ...]:
        """The sections that stand behind all answers."""
        return tuple(section for section in self.sections if not section.leads)
