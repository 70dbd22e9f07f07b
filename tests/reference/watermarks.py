"""Watermarks and reclaim in the reference: what reacts to free memory in place of recorded visits.

Part of the reference: plain Python, importing nothing from `pba`. It is put around the reference of any policy:
that says how a chunk is given to the system and taken back, and what a visit of its shrinker does.
"""

from __future__ import annotations

from collections import Counter, deque
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple, Protocol

from tests.reference.machine import Event

SECOND = 10**9


class Settings(NamedTuple):
    """Marks in pages; page cache: pages a second, the share that is given back, the pages there at the start."""

    low_marks: tuple[int, int, int]
    growth: int
    share: Fraction
    mglru: bool
    cache: list[int]


class System(Protocol):
    """What a policy's reference is asked."""

    def free_pages(self) -> int:
        """Count free pages."""

    def visit(self, priority: int) -> None:
        """Visit the shrinker."""

    def take(self, order: int) -> int | None:
        """Give the system an unmovable chunk."""

    def take_movable(self) -> int | None:
        """Give it a movable page."""

    def give(self, page: int, order: int) -> None:
        """Take a chunk back."""

    def known(self, ident: int, chunk: tuple[int, int] | None) -> None:
        """Note what a trace's chunk is, or that there was none."""

    def step(self, event: Event) -> None:
        """Take an event as it is."""

    def pass_time(self, time_ns: int) -> None:
        """Let time pass up to an event that is left out, or taken otherwise."""

    def end(self) -> None:
        """Note what holds after an event."""


class Reacting:
    """A policy's reference with reclaim that reacts."""

    def __init__(self, system: System, settings: Settings) -> None:
        self.system = system
        self.min, self.low, self.high = settings.low_marks
        self.settings = settings
        self.cache: deque[int] = deque(settings.cache)  # oldest first
        self.counted: Counter[str] = Counter()
        self.by_priority: Counter[int] = Counter()
        self.failed_runs = 0
        self.now: int | None = None
        self.owed = Fraction(0)  # part of a page that has not grown yet
        self.seen = 0

    # Reclaim

    def shrink(self, priority: int) -> tuple[int, int]:
        """One round: a visit, then page cache in proportion; pages looked at, and given back."""
        self.by_priority[priority] += 1
        self.system.visit(priority)
        wanted = len(self.cache) // 2**priority
        given = 0
        for _ in range(wanted):
            page = self.cache.popleft()
            self.seen += 1
            share = self.settings.share
            if floor(self.seen * share) > floor((self.seen - 1) * share):
                self.system.give(page, 0)
                given += 1
            else:
                self.cache.append(page)
        self.counted["lru_scanned"] += wanted
        self.counted["lru_reclaimed"] += given
        if given:
            self.failed_runs = 0
        return wanted, given

    def first_priority(self, goal: int) -> int:
        """Return where kswapd begins."""
        if not self.settings.mglru:
            return 12
        difference = len(self.cache).bit_length() - 1 - (goal - 1).bit_length()
        return sorted((6, difference, 12))[1]

    def kswapd(self) -> None:
        """Run kswapd if it is time for it."""
        if self.system.free_pages() > self.low or self.failed_runs >= 16:
            return
        self.counted["kswapd_wakes"] += 1
        goal = max(self.high, 32)
        priority, given_back = self.first_priority(goal), 0
        while priority > 0:
            if self.system.free_pages() > self.high:
                return
            self.counted["kswapd_visits"] += 1
            looked_at, given = self.shrink(priority)
            given_back += given
            if not (looked_at >= goal and given > 0):
                priority -= 1
        if not given_back:
            self.counted["kswapd_failures"] += 1
            self.failed_runs += 1

    def direct(self) -> None:
        """Reclaim on behalf of one who cannot go on."""
        self.counted["direct_reclaims"] += 1
        given_back = 0
        for priority in range(12, -1, -1):
            if given_back >= 32:
                break
            self.counted["direct_visits"] += 1
            given_back += self.shrink(priority)[1]

    # Allocation

    def try_once(self, order: int | None) -> int | None:
        """Take a chunk, or a movable page (None), if more than min stays free."""
        size = 1 if order is None else 2**order
        if self.system.free_pages() - (size - 1) <= self.min:
            return None
        return self.system.take_movable() if order is None else self.system.take(order)

    def take(self, order: int | None) -> int | None:
        """Take one, by direct reclaim if need be."""
        for attempt in range(17 if order is None or order <= 3 else 2):
            if attempt:
                self.direct()
            page = self.try_once(order)
            if page is not None:
                return page
        return None

    def grow(self, time_ns: int) -> None:
        """Take page cache for the time that has passed."""
        assert self.now is not None
        grown = self.owed + Fraction((time_ns - self.now) * self.settings.growth, SECOND)
        self.owed = grown - floor(grown)
        self.now = time_ns
        for _ in range(floor(grown)):
            page = self.take(None)
            if page is None:
                self.counted["page_cache_failures"] += 1
            else:
                self.counted["page_cache_grown"] += 1
                self.cache.append(page)
            self.kswapd()

    # Events

    def step(self, event: Event) -> None:
        """Take one event."""
        if self.now is None:
            self.now = event.time_ns
        self.system.pass_time(event.time_ns)
        self.grow(event.time_ns)
        if event.op == "B":
            page = self.take(event.arg)
            self.system.known(event.ident, None if page is None else (page, event.arg))
        elif not (event.op == "S" and event.arg):
            self.system.step(event)
        self.kswapd()
        self.system.end()

    def totals(self) -> dict[str, Any]:
        """Return what is counted, and the page cache."""
        counted = {name: count for name, count in self.counted.items() if count}
        return {**counted, "cache": list(self.cache), "visits": dict(self.by_priority)}
