"""What a kernel tells, in one form: pages by pfn, as every importer and the recorder bring them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RAW_TABLE: Final = 0
"""A page table is allocated; `level` is its level."""
RAW_FREE: Final = 1
"""Pages of any kind are freed."""
RAW_OTHER: Final = 2
"""Pages are allocated for something else: what stood there must have been freed before."""
RAW_VISIT: Final = 3
"""The shrinkers of the root cgroup are visited; `level` is the priority."""


@dataclass(frozen=True, eq=False)
class RawEvents:
    """Events of a recording, sorted by time (stable: equal times stay in the order they were seen in).

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Time on the recording's clock, in ns.
    kind : ndarray of int8, shape (n,)
        `RAW_TABLE`, `RAW_FREE`, `RAW_OTHER` or `RAW_VISIT`.
    pfn : ndarray of int64, shape (n,)
        First page frame number; any value for a visit.
    level : ndarray of int8, shape (n,)
        Level (`pba.events.LEVELS`) of a `RAW_TABLE`, priority of a `RAW_VISIT`, else any value.
    order : ndarray of int8, shape (n,) or None
        log2 of the number of pages; None says that all are single pages.
    """

    time_ns: NDArray[np.int64]
    kind: NDArray[np.int8]
    pfn: NDArray[np.int64]
    level: NDArray[np.int8]
    order: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.time_ns)

    def sorted_by_time(self) -> tuple[RawEvents, int]:
        """Return the events in order of time, and the largest step back that there was, in ns."""
        if len(self) < 2:
            return self, 0
        step_back = int(np.max(np.maximum.accumulate(self.time_ns) - self.time_ns))
        if step_back == 0:
            return self, 0
        rank = np.argsort(self.time_ns, kind="stable")
        order = None if self.order is None else self.order[rank]
        columns = (self.time_ns[rank], self.kind[rank], self.pfn[rank], self.level[rank])
        return RawEvents(*columns, order), step_back

    def first(self, count: int) -> RawEvents:
        """Return the first so many events."""
        order = None if self.order is None else self.order[:count]
        return RawEvents(self.time_ns[:count], self.kind[:count], self.pfn[:count], self.level[:count], order)

    def followed_by(self, later: RawEvents) -> RawEvents:
        """Return these events and then later ones."""
        parts = [
            replace(part, order=np.zeros(len(part), np.int8)) if part.order is None else part
            for part in (self, later)
        ]
        columns = ((part.time_ns, part.kind, part.pfn, part.level, part.order) for part in parts)
        return RawEvents(*(np.concatenate(pair) for pair in zip(*columns, strict=True)))


def span(order: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many pages chunks of these orders have (none of any order beyond sense overflows)."""
    pages: NDArray[np.int64] = np.left_shift(np.int64(1), np.clip(order, 0, 40).astype(np.int64))
    return pages


def pages_of(
    pfn: NDArray[np.int64], order: NDArray[Any] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return every page that some events cover, and the place of its event, in the events' order.

    The one place that knows that a table can be more than a page (the order-1 pgd of x86 with page-table
    isolation).

    Parameters
    ----------
    pfn : ndarray of int64
        First page of each event.
    order : ndarray of int or None
        log2 of the number of pages of each; None says that all are single pages.
    """
    if order is None:
        return pfn, np.arange(len(pfn))
    count = np.left_shift(np.int64(1), order.astype(np.int64))
    place = np.repeat(np.arange(len(pfn)), count)
    first = np.repeat(np.cumsum(count) - count, count)
    return pfn[place] + (np.arange(len(place)) - first), place
