"""What the reference rules are told: the machine, the thresholds, and the events of a trace.

Part of the reference: plain Python, written from the rules, importing nothing from `pba`. It is slow and
meant to be read; the fast model is held against it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

PBA_NR_RESERVED_PAGES = 4
"""Cached pages that only a split of the linear map may take."""


class Orders(NamedTuple):
    """Orders (log2 of a number of base pages) of one base page size."""

    block: int
    refill: tuple[int, int, int]
    contpte: int
    contpmd: int
    pud: int
    max_page: int


ORDERS = {
    4: Orders(block=9, refill=(9, 4, 2), contpte=4, contpmd=13, pud=18, max_page=10),
    16: Orders(block=11, refill=(11, 7, 2), contpte=7, contpmd=16, pud=22, max_page=11),
    64: Orders(block=13, refill=(9, 5, 2), contpte=5, contpmd=18, pud=26, max_page=13),
}
"""Base page size in KiB -> its orders."""


class Machine(NamedTuple):
    """Base page in KiB, memory in base pages, largest leaf of the linear map."""

    page_size_kib: int
    memory_pages: int
    linear_map: str

    @property
    def orders(self) -> Orders:
        """Orders of this page size."""
        return ORDERS[self.page_size_kib]


class Thresholds(NamedTuple):
    """`PBA_UNSHRINKABLE_PAGES`, `PBA_SHRINK_BLOCK_MIN_PAGES` and `shrinker->batch`, in pages."""

    unshrinkable_pages: int
    shrink_block_min_pages: int
    batch: int


class Event(NamedTuple):
    """One line of a trace.

    `ident` names the page-table page (`A`, `F`) or the background chunk (`B`, `b`); `arg` is the priority
    of `S` or the order of `B`. Both are 0 where an op has none.
    """

    time_ns: int
    op: str
    ident: int = 0
    arg: int = 0


def is_aligned(pfn: int, order: int) -> bool:
    """Tell whether `pfn` is a multiple of `2**order`."""
    return pfn % (1 << order) == 0


def read_events(path: Path) -> Iterator[Event]:
    """Read the text form: `time_ns op id [arg]`, where the number after `S` is its priority."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            words = line.split("#")[0].split()
            if not words:
                continue
            numbers = [int(word) for word in words[2:]] + [0, 0]
            if words[1] == "S":
                yield Event(int(words[0]), "S", 0, numbers[0])
            else:
                yield Event(int(words[0]), words[1], numbers[0], numbers[1])


@dataclass(frozen=True)
class Case:
    """One case of a vector: its trace, its thresholds, and what must come out."""

    name: str
    number: int
    events_path: Path
    machine: Machine
    thresholds: Thresholds
    checkpoint_every: int
    expected: dict[str, Any]
    checkpoints: list[dict[str, Any]]

    def __str__(self) -> str:
        limits = self.thresholds
        return f"{self.name}-u{limits.unshrinkable_pages}-m{limits.shrink_block_min_pages}-b{limits.batch}"


def read_cases(folder: Path) -> Iterator[Case]:
    """Read all cases of the vectors in a folder, in the order of their names."""
    for path in sorted(set(folder.glob("*.json")) - {folder / "policies.json"}):
        vector = json.loads(path.read_text())
        for number, case in enumerate(vector["cases"]):
            yield Case(
                name=vector["name"],
                number=number,
                events_path=path.with_name(path.stem + ".events.gz"),
                machine=Machine(**vector["machine"]),
                thresholds=Thresholds(**case["thresholds"]),
                checkpoint_every=vector["checkpoint_every"],
                expected=case["expected"],
                checkpoints=case["checkpoints"],
            )
