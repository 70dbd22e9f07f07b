"""The memory that a machine of the reference starts with, where it is not all free.

Part of the reference: plain Python, importing nothing from `pba`. The rule, in the words of README: free
chunks of the highest order lie at the top; the memory below is held, and halved order by order. Of the chunks
that are left, some free their upper half, evenly spread; of the halves that are not free, some become the
held chunks of that order, evenly spread too; what is left is halved again, or stays held for good.
"""

from __future__ import annotations

from typing import NamedTuple


class StartMemory(NamedTuple):
    """What a machine starts with: how many chunks of each order are free, and which orders are held."""

    free: list[int]
    held: list[int]


def evenly(count: int, chunks: list[int]) -> list[int]:
    """Choose so many of the chunks."""
    assert count <= len(chunks), "there is no such memory"
    return [chunks[number * len(chunks) // count] for number in range(count)]


def lay_out(memory: StartMemory, memory_pages: int, max_page: int) -> tuple[list[list[int]], list[int]]:
    """Return the free chunks of each order, lowest address first, and the place of each held one."""
    free: list[list[int]] = [[] for _ in range(max_page + 1)]
    places = [-1] * len(memory.held)
    left = list(range(0, memory_pages, 1 << max_page))
    nr_held = len(left) - memory.free[max_page]
    assert nr_held >= 0, "there is no such memory"
    left, free[max_page] = left[:nr_held], left[nr_held:]
    for order in range(max_page, -1, -1):
        if order < max_page:
            half = 1 << order
            givers = evenly(memory.free[order], left)
            free[order] = [pfn + half for pfn in givers]
            giving = set(givers)
            left = sorted(left + [pfn + half for pfn in left if pfn not in giving])
        asking = [number for number, wanted in enumerate(memory.held) if wanted == order]
        for number, pfn in zip(asking, evenly(len(asking), left), strict=True):
            places[number] = pfn
        taken = set(places)
        left = [pfn for pfn in left if pfn not in taken]
    return free, places
