"""The floor under splits, by trying everything: for traces of a few events.

`relaxed` walks every path that the relaxation allows; `best` places every page table in every way that an allocator
which knows the future has, and keeps it there. The one is never above the other.
"""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """An event: `A` or `F` with the page table's name, or `S`; and how long the state after it lasts."""

    op: str
    name: int
    length: int


class Found(NamedTuple):
    """The least that is held back."""

    total: float  # pages times time
    peak: float


NONE = Found(float("inf"), float("inf"))


def least(one: Found, other: Found) -> Found:
    """Return the least of both figures: they need not come from the same allocator."""
    return Found(min(one.total, other.total), min(one.peak, other.peak))


def relaxed(events: list[Event], block: int, splits: int, whole_blocks: int, at_visits: bool) -> Found:
    """Return the least over all paths of page tables in split blocks and in whole ones."""

    def walk(at: int, in_split: int, in_whole: int, most: int) -> Found:
        if at == len(events):
            return Found(0, 0)
        op, _, length = events[at]
        steps = {"A": ((1, 0), (0, 1)), "F": ((-1, 0), (0, -1))}.get(op, ((0, 0),))
        found = NONE
        for to_split, to_whole in steps:
            x, y = in_split + to_split, in_whole + to_whole
            needed = -(-y // block)
            if x < 0 or y < 0 or x > splits * block or needed > whole_blocks:
                continue
            since = x + y if op == "S" else max(most, x + y)
            protected = needed * block + x
            held = max(protected, since if at_visits else 0) - x - y
            rest = walk(at + 1, x, y, since)
            found = least(found, Found(held * length + rest.total, max(held, rest.peak)))
        return found

    return walk(0, 0, 0, 0)


def best(events: list[Event], block: int, splits: int, at_visits: bool) -> Found:
    """Return the least over all ways to place page tables, which stay where they are.

    The first `splits` blocks are split, and their pages come and go one by one. The others are protected from their
    first page table to their last one; or, with `at_visits`, to the visit after that.
    """

    def walk(at: int, homes: dict[int, int], whole: frozenset[int], pool: int) -> Found:
        """`whole` are the whole blocks that are protected, `pool` the protected pages of split ones."""
        if at == len(events):
            return Found(0, 0)
        op, name, length = events[at]
        found = NONE
        ways: list[dict[int, int]] = [homes]
        if op == "A":
            fresh = max([splits - 1, *homes.values(), *whole]) + 1
            ways = [
                {**homes, name: home}
                for home in range(fresh + 1)
                if sum(other == home for other in homes.values()) < block
            ]
        elif op == "F":
            ways = [{other: home for other, home in homes.items() if other != name}]
        for way in ways:
            used = frozenset(home for home in way.values() if home >= splits)
            lying = sum(home < splits for home in way.values())
            stays = at_visits and op != "S"
            now_whole, now_pool = (whole | used, max(pool, lying)) if stays else (used, lying)
            held = block * len(now_whole) + now_pool - len(way)
            rest = walk(at + 1, way, now_whole, now_pool)
            found = least(found, Found(held * length + rest.total, max(held, rest.peak)))
        return found

    return walk(0, {}, frozenset(), 0)
