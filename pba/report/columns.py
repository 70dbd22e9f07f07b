"""What the columns of a report's CSV files are: a line of each file says it, for every column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pba.results import MEANINGS

if TYPE_CHECKING:
    import pandas as pd

    from pba.study.aims import Aim

COLUMNS: Final[dict[str, str]] = {
    "number": "number of the point, 0 is the patch's",
    "unshrinkable_pages": "U, PBA_UNSHRINKABLE_PAGES, pages",
    "shrink_block_min_pages": "M, PBA_SHRINK_BLOCK_MIN_PAGES, pages as for pages of 4 KiB",
    "batch": "B, shrinker->batch, pages as for pages of 4 KiB",
    "mean_cached_pages": "cached pages, mean over time, then over recordings",
    "mean_cached_mib": "the same in MiB",
    "peak_cached_mib": "most cached, MiB, of any recording",
    "block_mapped_share": "share of memory that PMD leaves or larger still map at the end",
    "on_front": "whether no other of these points beats it",
    "searched": "whether the search came upon it",
    "role": "what the point is called, if anything",
    "points": "points of the grid that share the outcome",
    "trace": "recording",
    "page_size_kib": "base page of its machine, KiB",
    "memory_pages": "memory of its machine, pages",
    "silent": "why no threshold changes anything there; empty where one does",
    "across": "threshold along x",
    "up": "threshold along y",
    "x": "its value, pages as for pages of 4 KiB",
    "y": "its value, pages as for pages of 4 KiB",
    "score": "least score of the rule over the third threshold, the patch's being 1",
    "through": "point that the line goes through",
    "threshold": "threshold that varies",
    "value": "its value, pages as for pages of 4 KiB",
    "seconds": "s after the first event",
    "cached": "cached pages",
    "least_cached": "least cached pages since the row before",
    "most_cached": "most cached pages since the row before",
    "live": "page tables in use, pages",
    "outside_blocks": "cached pages of no managed block",
    "passes": "do_shrink_slab calls so far",
    "thresholds": "which thresholds were replayed",
    "event": "events that had happened, 0 is boot",
    "what": "letter of the last event, or boot",
    "block": "number of the block",
    "cause": "why its mapping was split: block, pages or refill",
    "free_pages": "cached pages of the block right before, 0 where the scan chose none",
    "asked": "pages that the scan was asked for, 0 outside of scans",
    "let": "threshold that let it happen",
    "kept_from": "least M at which the shrinker would not have chosen the block, 0 where M has no say",
    "cost": "name of the cost",
    "label": "what it is called",
    "counters": "counters that it is the sum of",
    "study": "study",
    "answer": "what it answers, in short",
    "aim": "name of the aim",
    "title": "what it is called",
    "unit": "its unit",
    "patch": "with the patch's thresholds",
    "recommended": "with the recommended thresholds",
    "change": "recommended against patch, with its 95 % interval",
    "estimate": "change as a share of the patch's figure",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "choice": "policy, with what differs from its default",
    "held_back": "pages held back",
    "not_block_mapped": "memory that PTEs map, per cent",
    "measure": "name of the measure",
}
"""Columns whose names mean the same everywhere."""
PREFIXES: Final = {
    "patch_": "patch: ", "recommended_": "recommended: ", "change_": "recommended less patch: ",
}  # fmt: skip

SUFFIXES: Final = {"_from": "box around it, least: ", "_to": "box around it, greatest: "}


def meaning(column: str, aims: Sequence[Aim] = ()) -> str:
    """Return what a column is.

    Raises
    ------
    KeyError
        If it has no meaning here.
    """
    for prefix, words in PREFIXES.items():
        if column.startswith(prefix) and column not in COLUMNS:
            return words + meaning(column.removeprefix(prefix), aims)
    for aim in aims:
        if aim.name == column:
            return f"{aim.title}, {aim.unit or 'no unit'}"
    if column in COLUMNS:
        return COLUMNS[column]
    for suffix, words in SUFFIXES.items():
        if column.endswith(suffix):
            return words + meaning(column.removesuffix(suffix), aims)
    known = MEANINGS[column]
    return f"{known.text}, {known.unit}"


def described(table: pd.DataFrame, aims: Sequence[Aim] = (), more: Mapping[str, str] | None = None) -> str:
    """Return the line that says what each column of a table is: a comment, `# trace: recording; ...`."""
    named = more or {}

    def words(name: str) -> str:
        try:
            return named.get(name) or meaning(name, aims)
        except KeyError:  # a name of somebody's own
            return name.replace("_", " ")

    told = (f"{name}: {words(str(name))}" for name in table.columns)
    return f"# {'; '.join(told)}".replace("\n", " ").replace("\r", " ")
