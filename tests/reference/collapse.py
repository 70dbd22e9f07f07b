"""v6 that folds split blocks again, in the reference: the pkey of every page is written down."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.reference.allocator import BlockAllocator
from tests.reference.linear_map import Leaf
from tests.reference.machine import Machine


class Collapsing(BlockAllocator):
    """After every call that changed a pkey what has become alike is folded.

    Attributes
    ----------
    protected : set of int
        Pages that have the page-table pkey.
    """

    def __init__(self, machine: Machine, free: list[list[int]] | None = None) -> None:
        self.protected: set[int] = set()
        super().__init__(machine, free)

    def _set_pkey_pgtable(self, page: int, nr_pages: int) -> bool:
        done = super()._set_pkey_pgtable(page, nr_pages)
        if done:
            assert self.protected.isdisjoint(range(page, page + nr_pages))
            self.protected.update(range(page, page + nr_pages))
            self._fold(page, nr_pages)
        return done

    def set_pkey_default(self, page: int, nr_pages: int) -> bool:
        """Take the page-table pkey off pages, and fold."""
        done = super().set_pkey_default(page, nr_pages)
        if done:
            assert self.protected.issuperset(range(page, page + nr_pages))
            self.protected.difference_update(range(page, page + nr_pages))
            self._fold(page, nr_pages)
        return done

    def _fold(self, page: int, nr_pages: int) -> None:
        block = self.machine.orders.block
        for region in range(page >> block, ((page + nr_pages - 1) >> block) + 1):
            if self.linear_map.leaves[region] is Leaf.PTE and self._pkey(region) != "mixed":
                self._fold_block(region)
            if self.linear_map.leaves[region] is Leaf.PMD:
                self._fold_blocks_around(region)

    def _pkey(self, region: int) -> str:
        """Return the pkey of all pages of a PMD-sized region."""
        pages = range(region * self.block_nr_pages, (region + 1) * self.block_nr_pages)
        found = {page in self.protected for page in pages}
        return "mixed" if len(found) == 2 else "page tables" if True in found else "default"

    def _fold_block(self, region: int) -> None:
        self.linear_map.leaves[region] = Leaf.PMD
        per_region = 1 << (self.machine.orders.block - self.machine.orders.contpte)
        self.linear_map.contptes -= set(range(region * per_region, (region + 1) * per_region))
        self.counters["flush_all"] += 1
        self.counters["pmd_collapses"] += 1
        self.pgtable_free(self.linear_map.tables.pop(region))

    def _fold_blocks_around(self, region: int) -> None:
        orders = self.machine.orders
        first_page = (region << orders.block) >> orders.contpmd << orders.contpmd
        if self.machine.linear_map == "pmd" or first_page + (1 << orders.contpmd) > self.machine.memory_pages:
            return
        first = first_page >> orders.block
        regions = range(first, first + (1 << (orders.contpmd - orders.block)))
        if any(self.linear_map.leaves[one] is not Leaf.PMD for one in regions):
            return
        if {self._pkey(one) for one in regions} in ({"default"}, {"page tables"}):
            for one in regions:
                self.linear_map.leaves[one] = Leaf.CONTPMD
            self.counters["contpmd_collapses"] += 1

    def own(self) -> dict[str, Any]:
        """Return pages with the pkey by region, tables by region, and what was folded."""
        block = self.machine.orders.block
        return {
            "pkey_pages": Counter(page >> block for page in self.protected),
            "tables": self.linear_map.tables,
            "folds": {
                name: self.counters[name] for name in ("pmd_collapses", "contpmd_collapses", "flush_all")
            },
        }
