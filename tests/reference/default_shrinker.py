"""A shrinker of the reference with `seeks` = 2 and batch 128, the kernel's own defaults.

Kernel: mm/shrinker.c (`do_shrink_slab`).
"""

from __future__ import annotations

from tests.reference.rivals import Rival
from tests.reference.shrinker import Scan


class ShrunkRival(Rival):
    """A rival with such a shrinker."""

    nr_deferred = 0

    def count(self) -> int:
        """Count what may be given back."""
        raise NotImplementedError

    def scan(self, nr_to_scan: int) -> Scan:
        """Give some of it back."""
        raise NotImplementedError

    def shrink(self, priority: int) -> int:
        """Visit: `2 * (freeable >> priority)` pages and what was put off."""
        self.counters["shrink_calls"] += 1
        freeable = self.count()
        if freeable == 0:
            return 0
        before = self.nr_deferred
        delta = 2 * (freeable >> priority)
        total = min((before >> priority) + delta, 2 * freeable)
        freed = scanned = 0
        while total >= 128 or total >= freeable:
            found = self.scan(min(128, total))
            self.counters["scan_calls"] += 1
            if not found.freed:
                self.counters["scan_stops"] += 1
            if found.freed is None:
                break
            freed += found.freed
            total -= found.nr_scanned
            scanned += found.nr_scanned
        self.counters["pages_released"] += freed
        self.nr_deferred = min(max(before + delta - scanned, 0), 2 * freeable)
        return freed

    def totals(self) -> dict[str, int]:
        """And what is put off."""
        put_off = {"nr_deferred": self.nr_deferred} if self.nr_deferred else {}
        return super().totals() | put_off
