"""Allocations that could be page tables and are not taken for ones: counted, so that none is lost in silence.

A user's page table is one zeroed, accounted, unmovable page, and in three arm64 recordings (6.1, 6.12, 7.3)
nothing else is. So where one comes from a function that `pba.tracepoints.classify` does not know, a later
kernel may have given it a new name, and where it has no stack, the recording lacks one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba.tracepoints.classify import deciding_function

Ints = NDArray[np.int64]

MOST_NAMED: Final = 3
"""So many functions are told, those with the most allocations."""
OTHERS: Final = frozenset({"__vmalloc_node_range", "__vmalloc_area_node", "swap_cluster_alloc_table"})
"""Functions of mm/vmalloc.c (kernel stacks) and mm/swapfile.c that allocate such pages for something else."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass
class Suspects:
    """What was seen so far.

    Attributes
    ----------
    callers : Counter of str
        Allocations by the function that decides; `?` where its name cannot be read.
    first_of_callers : int
        Line of the first of these; 0 where there is none.
    without_stack : int
        Allocations without a stack.
    first_without_stack : int
        Line of the first of these; 0 where there is none.
    """

    callers: Counter[str] = field(default_factory=Counter)
    first_of_callers: int = 0
    without_stack: int = 0
    first_without_stack: int = 0

    def add(self, frames: Sequence[str], lines: Ints) -> None:
        """Count the allocations of one stack; `lines` are where they stand."""
        name = deciding_function(frames)
        if name in OTHERS:
            return
        self.callers[name if _NAME.fullmatch(name) else "?"] += len(lines)
        self.first_of_callers = _earlier(self.first_of_callers, lines)

    def add_without_stack(self, lines: Ints) -> None:
        """Count allocations that have no stack; `lines` are where they stand."""
        if len(lines):
            self.without_stack += len(lines)
            self.first_without_stack = _earlier(self.first_without_stack, lines)

    def notes(self) -> list[str]:
        """Return what a reader of figures should know."""
        notes = []
        if self.callers:
            named = ", ".join(f"{name} {number}" for name, number in self.callers.most_common(MOST_NAMED))
            more = ", ..." if len(self.callers) > MOST_NAMED else ""
            notes.append(
                f"{self.callers.total()} zeroed, accounted pages come from functions that are not known to "
                f"allocate page tables ({named}{more}), the first at line {self.first_of_callers}: if they "
                "do, these tables are missing"
            )
        if self.without_stack:
            notes.append(
                f"{self.without_stack} zeroed pages without a stack may have been page tables, the first at "
                f"line {self.first_without_stack}"
            )
        return notes


def _earlier(first: int, lines: Ints) -> int:
    """Return the least of a line, unless it is 0, and others."""
    least = int(lines.min())
    return min(first, least) if first else least
