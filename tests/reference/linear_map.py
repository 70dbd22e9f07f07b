"""The linear map of the reference: arm64 with live block splitting.

Kernel: arch/arm64/mm/mmu.c (`split_kernel_leaf_mapping`, `split_pud`, `split_contpmd`, `split_pmd`,
`split_contpte`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum

from tests.reference.machine import Machine, is_aligned


class Leaf(Enum):
    """By what a PMD-sized region of the linear map is mapped."""

    PUD = "part of a PUD leaf"
    CONTPMD = "a PMD leaf that is part of a contPMD"
    PMD = "a PMD leaf of its own"
    PTE = "a table of PTEs, some of them contPTE"


class LinearMap:
    """For each PMD-sized region its leaf; for each contPTE-sized range whether it is still a contPTE.

    Parameters
    ----------
    machine : Machine
        The machine.
    counters : Counter
        Where splits are counted.
    take_split_table : callable
        Takes one page-table page; None if there is none to be had.

    Attributes
    ----------
    tables : dict
        PMD-sized region that is mapped by PTEs -> the page of its table.
    """

    def __init__(
        self, machine: Machine, counters: Counter[str], take_split_table: Callable[[], int | None]
    ) -> None:
        self.machine = machine
        self.orders = machine.orders
        self.counters = counters
        self.take_split_table = take_split_table
        self.tables: dict[int, int] = {}
        self.contptes: set[int] = set()  # pfn >> contPTE order
        self.leaves = [
            self._first_leaf(pfn) for pfn in range(0, machine.memory_pages, 1 << self.orders.block)
        ]

    def _first_leaf(self, pfn: int) -> Leaf:
        """Return the largest allowed leaf that lies wholly inside memory."""
        largest = self.machine.linear_map
        if largest == "pud" and self._is_wholly_inside(pfn, self.orders.pud):
            return Leaf.PUD
        if largest in ("pud", "contpmd") and self._is_wholly_inside(pfn, self.orders.contpmd):
            return Leaf.CONTPMD
        return Leaf.PMD

    def _is_wholly_inside(self, pfn: int, order: int) -> bool:
        return ((pfn >> order) + 1) << order <= self.machine.memory_pages

    def _regions_around(self, pfn: int, order: int) -> range:
        """Return the PMD-sized regions of the aligned range of `2**order` pages that holds `pfn`."""
        first = (pfn >> order) << (order - self.orders.block)
        return range(first, first + (1 << (order - self.orders.block)))

    def split_range(self, pfn: int, nr_pages: int) -> bool:
        """Split so that `nr_pages` from `pfn` can be changed alone; False if a table was lacking.

        For a single page one of the two boundaries is even and the other odd: a split at the odd one is
        one down to PTEs, and leaves nothing to do at the other.
        """
        if nr_pages == 1:
            return self.split_at(pfn if pfn % 2 == 1 else pfn + 1)
        return self.split_at(pfn) and self.split_at(pfn + nr_pages)

    def split_at(self, pfn: int) -> bool:
        """Split whatever leaf straddles the boundary `pfn`; False if a table was lacking."""
        if pfn >= self.machine.memory_pages or is_aligned(pfn, self.orders.pud):
            return True
        region = pfn >> self.orders.block

        if self.leaves[region] is Leaf.PUD and not self._split_pud(pfn):
            return False
        if is_aligned(pfn, self.orders.contpmd):
            return True

        if self.leaves[region] is Leaf.CONTPMD:
            self._split_contpmd(pfn)
        if is_aligned(pfn, self.orders.block):
            return True

        if self.leaves[region] is Leaf.PMD and not self._split_pmd(region):
            return False
        if is_aligned(pfn, self.orders.contpte):
            return True

        self._split_contpte(pfn)
        return True

    def _split_pud(self, pfn: int) -> bool:
        if self.take_split_table() is None:
            return False
        for region in self._regions_around(pfn, self.orders.pud):
            self.leaves[region] = Leaf.CONTPMD
        self.counters["pud_splits"] += 1
        return True

    def _split_contpmd(self, pfn: int) -> None:
        """Take the contiguous mark off all PMDs of a contPMD: no table is needed, they stay leaves.

        Every one of them still has the mark: whatever splits one PMD takes it off all of them first.
        """
        for region in self._regions_around(pfn, self.orders.contpmd):
            assert self.leaves[region] is Leaf.CONTPMD
            self.leaves[region] = Leaf.PMD
        self.counters["contpmd_splits"] += 1

    def _split_pmd(self, region: int) -> bool:
        table = self.take_split_table()
        if table is None:
            return False
        self.tables[region] = table
        contptes_per_region = 1 << (self.orders.block - self.orders.contpte)
        first = region * contptes_per_region
        self.leaves[region] = Leaf.PTE
        self.contptes.update(range(first, first + contptes_per_region))
        self.counters["pmd_splits"] += 1
        return True

    def _split_contpte(self, pfn: int) -> None:
        contpte = pfn >> self.orders.contpte
        if contpte in self.contptes:
            self.contptes.remove(contpte)
            self.counters["contpte_splits"] += 1
