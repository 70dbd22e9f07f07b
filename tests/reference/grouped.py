"""The grouped cache of pages in the reference, with its reserve for the tables of splits."""

from __future__ import annotations

from collections import deque
from typing import Any

from tests.reference.default_shrinker import ShrunkRival
from tests.reference.shrinker import Scan


class Grouped(ShrunkRival):
    """The policy.

    Attributes
    ----------
    pages_listed : deque
        The list, its head to the left.
    reserve : list
        Pages for tables, the one that is taken next at the end.
    bare : set
        Its pages, listed and in use, that are not protected.
    """

    def boot(self) -> None:
        """Fill the reserve, then protect it."""
        self.pages_listed: deque[int] = deque()
        self.reserve: list[int] = []
        self.bare: set[int] = set()
        pages = self.machine.memory_pages
        wanted = pages // (1 << self.orders.pud) + pages // (1 << self.orders.block)
        taken = [page for page in (self.buddy.alloc_pages(0) for _ in range(wanted)) if page is not None]
        for page in taken:
            if self.protect(page, 1):
                self.reserve.append(page)
            else:
                self.buddy.free_page_chunk(page, 0)

    def own_page(self) -> int | None:
        """Take a page of the reserve."""
        return self.reserve.pop() if self.reserve else None

    def alloc(self) -> int | None:
        """Take a page from the tail, or refill."""
        if not self.pages_listed:
            return self._refill()
        page = self.pages_listed.pop()
        self.counters["ptp_unprotected"] += page in self.bare
        return page

    def _refill(self) -> int | None:
        order = self.orders.block
        page = self.buddy.alloc_pages(order)
        if page is None:
            return self._single_page()
        self.counters["refills_block"] += 1
        posted = self.parameters.get("mode") == "posted"
        if not self.protect(page, 1 if posted else 1 << order):
            self.buddy.free_page_chunk(page, order)
            return None
        rest = range(page + 1, page + (1 << order))
        self.pages_listed.extend(rest)
        if posted:
            self.bare.update(rest)
        return page

    def _single_page(self) -> int | None:
        page = self.buddy.alloc_pages(0)
        if page is None:
            self.counters["refill_failures"] += 1
            return None
        self.counters["refills_min"] += 1
        if not self.protect(page, 1):
            self.buddy.free_page_chunk(page, 0)
            return None
        return page

    def free(self, page: int) -> None:
        """Back to the tail."""
        self.pages_listed.append(page)

    def count(self) -> int:
        """The list may go."""
        return len(self.pages_listed)

    def scan(self, nr_to_scan: int) -> Scan:
        """Move pages from the head to a list of their own, and free them from there."""
        to_free: deque[int] = deque()
        while self.pages_listed and len(to_free) < nr_to_scan:
            to_free.appendleft(self.pages_listed.popleft())
        freed = 0
        while to_free and self.unprotect(to_free[0], 1):
            page = to_free.popleft()
            self.bare.discard(page)
            self.buddy.free_page_chunk(page, 0)
            freed += 1
        self.pages_listed.extendleft(to_free)
        return Scan(freed, nr_to_scan + freed)

    def held_pages(self) -> int:
        """Count both."""
        return len(self.pages_listed) + len(self.reserve)

    def own_lists(self) -> Any:
        """Return the list, the reserve, and pages that are not protected."""
        return list(self.pages_listed), list(self.reserve), sorted(self.bare)

    def totals(self) -> dict[str, int]:
        """And the reserve."""
        return super().totals() | ({"reserve_pages": len(self.reserve)} if self.reserve else {})
