"""What a workload consists of: lives, which allocate and free tables, and streams that start them.

A *life* is what belongs together and ends together: a process with its page tables, a region of a heap, a
series of shrinker passes. It is a list of actions; an action is a run of events of one kind. A *stream*
starts lives again and again. `play.py` merges what all of them do into one trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.generators.draws import ONE, STEPS, table_of

Ints = NDArray[np.int64]

MAX_ITEMS: Final = 1024
"""Most events of one action; a longer run becomes several."""


class Tables(NamedTuple):
    """Lives and streams as the player reads them.

    Attributes
    ----------
    first_action : ndarray of int64, shape (lives + 1,)
        Where each life's actions begin.
    nr_pages : ndarray of int64, shape (lives,)
        Ids that it needs.
    keeps : ndarray of int64, shape (lives,)
        1 where it leaves some of them live for ever.
    actions : ndarray of int64, shape (actions, 5)
        A row per action: OFFSET, SHIFT, GRID, OP, and FIRST_ITEM of the items; one more row ends them.
    item_page : ndarray of int32, shape (items,)
        Which of the life's pages.
    item_after : ndarray of int64, shape (items,)
        Time in ns after the action's beginning.
    item_code : ndarray of int8, shape (items,)
        Level of a table, priority of a pass, order of a chunk.
    streams : ndarray of int64, shape (streams, 6)
        A row per stream: FIRST_LIFE, NR_LIVES, GAP, STRETCH (both name tables), CLOSED, RATE (or -1).
    quantiles : ndarray of int64, shape (tables, STEPS + 1)
        What gaps (ns) and stretches (in units of 1 / ONE) are drawn from.
    rates : ndarray of int64, shape (rates, slots)
        How fast a stream goes in each slot of a period, in units of 1 / ONE.
    """

    first_action: Ints
    nr_pages: Ints
    keeps: Ints
    actions: Ints
    item_page: NDArray[np.int32]
    item_after: Ints
    item_code: NDArray[np.int8]
    streams: Ints
    quantiles: Ints
    rates: Ints


OFFSET, SHIFT, GRID, OP, FIRST_ITEM = range(5)
FIRST_LIFE, NR_LIVES, GAP, STRETCH, CLOSED, RATE = range(6)


@dataclass
class Action:
    """A run of events of one kind.

    Attributes
    ----------
    op : int
        Code of `pba.events`.
    offset : int
        Time in ns from the life's beginning on, which a life's stretch multiplies.
    shift : int
        Time in ns after that, which it does not.
    grid : int
        0, or: the action waits for the next multiple of so many ns. Tables are freed after a grace period,
        those of several processes together.
    pages, after, codes : list of int
        Page of the life, time in ns after the action's beginning, and level, priority or order of each event.
    """

    op: int
    offset: int
    shift: int = 0
    grid: int = 0
    pages: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)


class Life:
    """A life, as it is put together; its actions are done one after the other in the order of their times."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.levels: list[int] = []
        self.live: set[int] = set()

    def allocate(
        self, offset: int, levels: Sequence[int], gap: int, shift: int = 0, op: int = OP_ALLOC
    ) -> list[int]:
        """Allocate a table of each of these levels (a chunk of each order), `gap` ns apart."""
        pages = list(range(len(self.levels), len(self.levels) + len(levels)))
        self.levels += levels
        self.live.update(pages)
        self._act(op, (offset, shift, 0), pages, gap, levels)
        return pages

    def free(
        self,
        offset: int,
        pages: Sequence[int],
        gap: int,
        shift: int = 0,
        grid: int = 0,
        op: int = OP_FREE,
    ) -> None:
        """Free pages, `gap` ns apart."""
        self.live.difference_update(pages)
        codes = [self.levels[page] for page in pages] if op == OP_FREE else [0] * len(pages)
        self._act(op, (offset, shift, grid), pages, gap, codes)

    def reclaim(self, offset: int, priorities: Sequence[int], gap: int, shift: int = 0) -> None:
        """Let the shrinker make passes at these priorities, `gap` ns apart."""
        self._act(OP_SHRINK, (offset, shift, 0), [0] * len(priorities), gap, priorities)

    def drop(self, offset: int) -> None:
        """Write 2 to `drop_caches`."""
        self._act(OP_DROP, (offset, 0, 0), [0], 0, [0])

    def _act(
        self, op: int, when: tuple[int, int, int], pages: Sequence[int], gap: int, codes: Sequence[int]
    ) -> None:
        offset, shift, grid = when
        for first in range(0, len(pages), MAX_ITEMS):
            part = slice(first, first + MAX_ITEMS)
            number = len(pages[part])
            after = [at * gap for at in range(number)]
            start = shift + first * gap
            self.actions.append(Action(op, offset, start, grid, list(pages[part]), after, list(codes[part])))


@dataclass
class Stream:
    """Starts lives again and again.

    Attributes
    ----------
    lives : list of Life
        It draws from these, each as likely.
    gap : ndarray of int64
        Table of the time in ns from one start to the next or, where `closed`, from one life's end to the
        next one's start.
    stretch : ndarray of int64
        Table of the factor, in units of 1 / ONE, by which a life's offsets are multiplied.
    closed : bool
        Whether one life begins only after another ended.
    members : int
        Of a closed stream: lives at the same time.
    first : ndarray of int64, optional
        Table of the time of the first start; by default `gap`.
    rate : sequence of int, optional
        How fast it goes in each slot of the period, in units of 1 / ONE; open streams only.
    stands : bool
        Whether its one life is there from time 0 on and never ends.
    """

    lives: list[Life]
    gap: Ints
    stretch: Ints = field(default_factory=lambda: table_of("fixed", ONE))
    closed: bool = False
    members: int = 1
    first: Ints | None = None
    rate: Sequence[int] | None = None
    stands: bool = False


@dataclass
class Plan:
    """A workload, ready to be played.

    Attributes
    ----------
    streams : list of Stream
        What starts lives.
    slot_ns : int
        Length of a slot of the streams' rates.
    """

    streams: list[Stream]
    slot_ns: int = 1


def tables_of(streams: Sequence[Stream], lives: Sequence[Life] = ()) -> Tables:
    """Return streams, and lives that no stream starts (the first ones), as tables."""
    all_lives = list(lives)
    quantiles: list[Ints] = []
    rates: list[Sequence[int]] = []
    rows = []
    for stream in streams:
        rate = -1
        if stream.rate is not None:
            rate = len(rates)
            rates.append(stream.rate)
        gap = len(quantiles)
        rows.append([len(all_lives), len(stream.lives), gap, gap + 1, int(stream.closed), rate])
        quantiles += [stream.gap, stream.stretch]
        all_lives += stream.lives
    slots = max((len(rate) for rate in rates), default=1)
    return Tables(
        **_lives_as_arrays(all_lives),
        streams=np.array(rows, np.int64).reshape(-1, 6),
        quantiles=np.array(quantiles, np.int64).reshape(-1, STEPS + 1),
        rates=np.array(rates, np.int64).reshape(-1, slots),
    )


def _lives_as_arrays(lives: Iterable[Life]) -> dict[str, NDArray[Any]]:
    first, rows, pages, keeps = [0], [], [], []
    item_page: list[int] = []
    item_after: list[int] = []
    item_code: list[int] = []
    for life in lives:
        for action in sorted(life.actions, key=lambda action: action.offset + action.shift):
            rows.append([action.offset, action.shift, action.grid, action.op, len(item_page)])
            item_page += action.pages
            item_after += action.after
            item_code += action.codes
        first.append(len(rows))
        pages.append(len(life.levels))
        keeps.append(int(bool(life.live)))
    rows.append([0, 0, 0, 0, len(item_page)])
    return {
        "first_action": np.array(first, np.int64),
        "nr_pages": np.array(pages, np.int64),
        "keeps": np.array(keeps, np.int64),
        "actions": np.array(rows, np.int64),
        "item_page": np.array(item_page, np.int32),
        "item_after": np.array(item_after, np.int64),
        "item_code": np.array(item_code, np.int8),
    }


__all__ = ["OP_BG_ALLOC", "OP_BG_FREE", "Action", "Life", "Plan", "Stream", "Tables", "tables_of"]
