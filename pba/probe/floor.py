"""The floor under PMD splits: the least that any allocator could get away with, whatever its rules.

Not to be confused with `pba.replay_bounds`, which says how far an imperfect recording leaves one policy's figures
open. The floor is about all policies at once, and takes the trace as it stands.

What it is made of
------------------
`L` page tables are live after an event, in protected pages. A block that is never split is protected as a whole or
not at all; a split stays. Let `k` blocks be split at the end, and `x` of the live page tables lie in these, so
`0 <= x <= min(k * BLOCK, L)`. The other `y = L - x` lie in whole blocks, of which there are `ceil(y / BLOCK)` or
more, so that protected pages exceed the live ones by `ceil(y / BLOCK) * BLOCK - y` or more. Page tables do not move:
an allocation adds 1 to `x` or to `y`, a free takes 1 from either, and no other event changes them. Over all such
paths of `x` dynamic programming finds the least mean (weighted by time) or the least peak of that excess. Every
allocator that serves the whole demand walks one of these paths and holds back as much or more: its unused pages,
and the tables of its linear map that lie in protected pages.

What is relaxed, so that it may be out of reach: the allocator knows the future; a free may come from either
side, wherever its page table was; page tables in whole blocks leave no gaps but the last block's; blocks to be split
serve from the start; memory is never short of whole blocks, except by pages that are held for good at the start
(`memory_from_trace`); and what splits a block later than wanted, tables for splits and PUD splits cost nothing.

Without splits the rest is the busy time of machines that serve `BLOCK` jobs each, of which the sum over time of
`ceil(L / BLOCK)` is the demand profile; an allocator that knows the future comes within twice of it (V. Kumar and
A. Rudra, "Approximation algorithms for wavelength assignment", FSTTCS 2005).

An allocator that gives back only when reclaim visits (v6, and every cache with a shrinker) cannot let its protected
pages fall between two visits: with `gives_back="reclaim"` they are at least the most that were live since the last
one. That excludes `scattered`, which gives back at each free.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pba import model, shown
from pba._jit import kernel_entry
from pba.analysis.live import live_pages
from pba.analysis.pages import pairs
from pba.errors import PbaError
from pba.events import OP_DROP, OP_SHRINK
from pba.imports.read import as_trace
from pba.machine import Machine
from pba.units import number

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pba.trace.table import Trace

GivesBack = Literal["any", "reclaim"]
Over = Literal["mean", "peak"]
WAYS: Final[tuple[GivesBack, ...]] = ("any", "reclaim")
NEVER: Final = 1 << 61
"""More than any sum: what cannot be."""
MOST_ROWS: Final = 8
"""Splits up to which the frontier is told by default."""
_ROUNDING: Final = 1e-9
"""By how much a mean that a replay tells may differ from the exact one, relatively."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Demand:
    """A trace as the floor sees it."""

    step: NDArray[np.int8]  # what each event adds to the live page tables
    live: Ints  # after each event
    length: Ints  # how long that holds, ns
    protected: Ints  # pages that must be protected after each event, whatever is split
    partner: Ints  # of an allocation the event that frees it, of a free that which allocated it; -1
    duration: int  # sum of `length`


@dataclass(frozen=True, eq=False)
class SplitFloor:
    """The least PMD splits of any allocator, for as much memory as it holds back; and the other way round.

    Attributes
    ----------
    trace_name : str
        The trace.
    machine : Machine
        Whose blocks.
    gives_back : {"any", "reclaim"}
        When the allocator may give protected pages back: at any time, or only when reclaim visits.
    live_peak : int
        Most page tables that were live at once.
    whole_blocks : int
        Blocks that can ever be protected as a whole: all that hold no page for good at the start.
    """

    trace_name: str
    machine: Machine
    gives_back: GivesBack
    live_peak: int
    whole_blocks: int
    _demand: _Demand = field(repr=False)
    _found: dict[tuple[int, Over], int] = field(default_factory=dict, repr=False)

    def pages(self, splits: int = 0, over: Over = "mean") -> float:
        """Return the least pages held back by an allocator that splits at most so many blocks.

        Parameters
        ----------
        splits : int
            PMD splits that are allowed.
        over : {"mean", "peak"}
            The mean over time, or the most after any event.

        Returns
        -------
        float
            Pages; infinite where the page tables do not fit into whole blocks and so many split ones.

        Raises
        ------
        PbaError
            If `splits` is negative.
        """
        least = self._least(splits, over)
        if least >= NEVER:
            return float("inf")
        return float(least) if over == "peak" else least / self._demand.duration

    def splits(self, pages: float, over: Over = "mean") -> int:
        """Return the least PMD splits of an allocator that holds back so many pages or fewer.

        Parameters
        ----------
        pages : float
            Pages held back: unused protected ones, and the linear map's own tables.
        over : {"mean", "peak"}
            What `pages` is: the mean over time, or the most after any event.

        Returns
        -------
        int
            Splits. Where not even splitting every block that is used makes it possible (below what an allocator
            holds that gives back only at visits), so many.
        """
        most = self._enough
        if self.pages(0, over) <= pages * (1 + _ROUNDING):
            return 0
        low, high = 0, 1  # too few; perhaps enough
        while high < most and self.pages(high, over) > pages * (1 + _ROUNDING):
            low, high = high, 2 * high
        high = min(high, most)
        while high - low > 1:
            middle = (low + high) // 2
            if self.pages(middle, over) > pages * (1 + _ROUNDING):
                low = middle
            else:
                high = middle
        return high

    def reachable_pages(self, splits: int = 0) -> float:
        """Return what an allocator that knows all lifetimes holds back on average, with so many split blocks.

        It is one way, not the best one: the least lies between `pages` and this. Of the whole blocks with a free page
        it takes the one whose last page table dies soonest after the new one; else a split block; else the one whose
        last dies latest; else a new one. It gives back at any time. Tables of the linear map are not counted.

        Parameters
        ----------
        splits : int
            Blocks that are split from the start.

        Returns
        -------
        float
            Pages.

        Raises
        ------
        PbaError
            If `splits` is negative.
        """
        block, demand = self.machine.block_nr_pages, self._demand
        blocks = np.zeros((2, -(-self.live_peak // block) * 2 + 64), np.int64)
        home = np.zeros(len(demand.step), np.int64)
        while True:
            blocks[:] = 0
            held = _foreseen(
                demand.step, demand.length, demand.partner, _checked(splits) * block, block, blocks, home
            )
            if held >= 0:
                return held / demand.duration
            blocks = np.zeros((2, 2 * blocks.shape[1]), np.int64)

    def to_frame(self, most: int = MOST_ROWS) -> pd.DataFrame:
        """Return the frontier, a row per number of splits from 0 on, until more do not help.

        Parameters
        ----------
        most : int
            Splits in the last row.

        Returns
        -------
        DataFrame
            Indexed by `splits`: `mean_pages` and `peak_pages`, the least that is held back; `reachable_pages`, what
            one that knows the future holds on average (only where it may give back at any time).
        """
        import pandas as pd

        rows = []
        for splits in range(min(most, self._enough) + 1):
            row = {
                "splits": splits,
                "mean_pages": self.pages(splits),
                "peak_pages": self.pages(splits, "peak"),
            }
            if self.gives_back == "any":
                row["reachable_pages"] = self.reachable_pages(splits)
            rows.append(row)
            if row["mean_pages"] == 0:
                break
        return pd.DataFrame(rows).set_index("splits")

    def to_dict(self, most: int = MOST_ROWS) -> dict[str, Any]:
        """Return it as plain values, the frontier up to so many splits; what is infinite is None."""
        table = self.to_frame(most).reset_index()
        rows = [
            {str(name): None if value == float("inf") else value for name, value in row.items()}
            for row in table.to_dict("records")
        ]
        return {
            "trace": self.trace_name, "machine": self.machine.to_dict(), "gives_back": self.gives_back,
            "live_peak": self.live_peak, "whole_blocks": self.whole_blocks, "frontier": rows,
        }  # fmt: skip

    def to_json(self) -> str:
        """Return `to_dict` as JSON, indented."""
        return json.dumps(self.to_dict(), indent=1)

    @cached_property
    def _enough(self) -> int:
        """Splits after which every page table has room in a split block."""
        return -(-self.live_peak // self.machine.block_nr_pages)

    def _least(self, splits: int, over: Over) -> int:
        """Return the least sum of pages times ns, or the least peak."""
        splits = min(_checked(splits), self._enough)
        known = (splits, over)
        if known not in self._found:
            demand, block = self._demand, self.machine.block_nr_pages
            room = np.full((2, min(splits * block, self.live_peak) + 1), NEVER, np.int64)
            self._found[known] = int(
                _least_held(
                    demand.step, demand.live, demand.length, demand.protected, block, self.whole_blocks,
                    over == "peak", room,
                )
            )  # fmt: skip
        return self._found[known]

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: what is held back without splits."""
        told = [
            f"no split: {number(self.pages(0))} pages held back on average, {number(self.pages(0, 'peak'))} at most"
        ]
        return shown.lines(f"SplitFloor of {self.trace_name}", told)

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the frontier in Jupyter."""
        rows = [
            tuple(number(value) for value in row)
            for row in self.to_frame(4).reset_index().itertuples(index=False)
        ]
        return shown.html(
            f"Floor of {self.trace_name}",
            shown.table(tuple(self.to_frame(4).reset_index().columns), rows),
        )


def _checked(splits: int) -> int:
    """Return a number of splits, or refuse it."""
    if isinstance(splits, bool) or int(splits) != splits or splits < 0:
        raise PbaError(f"{splits!r} is no number of splits", "say 0 or more")
    return int(splits)


def split_floor(
    trace: Trace | str | Path,
    machine: Machine | None = None,
    *,
    gives_back: GivesBack = "any",
    memory_from_trace: bool = False,
) -> SplitFloor:
    """Return the least PMD splits that any allocator could get away with, at a given amount of memory held back.

    Valid for every policy that keeps page tables in protected pages of a linear map made of blocks, serves the whole
    demand (`alloc_failures` is 0) and loses no page (`pages_leaked` is 0): its pair of `pmd_splits` and
    `held_back_mean`, or `held_back_peak`, lies on the frontier or above it. Not for `pte-mapped`, which has no block.
    `pba.probe.floor` says how it is found, why it holds and what it leaves out.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    machine : Machine, optional
        By default the trace's.
    gives_back : {"any", "reclaim"}
        When protected pages may go back: at any time, or only in visits of reclaim (`S` and `D`), as those of v6 do.
    memory_from_trace : bool
        Start with the memory that the recording found: blocks with a page that is held for good are never
        protected as a whole.

    Returns
    -------
    SplitFloor
        Asked for splits or pages, it computes them: about 1 ns for each event and each page of the blocks that may be
        split.

    Raises
    ------
    PbaError
        If `gives_back` is neither, or the trace says nothing of the memory at its start.

    Examples
    --------
    >>> floor = pba.split_floor("dpkg-x86")
    >>> round(floor.pages(splits=0)), floor.splits(pages=50)
    (99, 1)
    """
    trace = as_trace(trace)
    machine = machine or model.machine_of(trace)
    if gives_back not in WAYS:
        raise PbaError(f"gives_back {gives_back!r} is unknown", "say " + " or ".join(WAYS))
    live = live_pages(trace)
    visited = np.isin(trace.op, (OP_SHRINK, OP_DROP))
    protected = np.zeros(len(live), np.int64)
    if gives_back == "reclaim":
        _most_since_visit(live, visited, protected)
    length = np.diff(trace.time_ns, append=trace.time_ns[-1:])
    if len(length) and not length.any():
        length[-1] = 1  # without a duration the last state is all there is
    duration = int(length.sum())
    if duration * (int(live.max(initial=0)) + 2 * machine.block_nr_pages) >= NEVER:
        raise PbaError(f"{trace.name}: pages times ns of this trace are too many to be added up", "cut it")
    partner = np.full(len(live), -1, np.int64)
    allocated_by, freed_by = pairs(trace)
    partner[allocated_by] = freed_by
    partner[freed_by[freed_by >= 0]] = allocated_by[freed_by >= 0]
    step = np.diff(live, prepend=0).astype(np.int8)
    demand = _Demand(step, live, length, protected, partner, max(duration, 1))
    machine = model.started(machine, memory_from_trace, None, 0)
    whole = _whole_blocks(trace, machine)
    return SplitFloor(trace.name, machine, gives_back, int(live.max(initial=0)), whole, demand)


def _whole_blocks(trace: Trace, machine: Machine) -> int:
    """Return how many blocks hold no page for good, of the memory that a machine starts with."""
    memory = model.starting_memory(trace, machine)
    block = machine.orders.block
    if memory is None:
        return machine.memory_pages >> block
    may_be_free = np.zeros(machine.memory_pages >> block, np.int64)
    chunks = [(first, order) for order, places in enumerate(memory.free) for first in places.tolist()]
    named = trace.arg[model.held_at_start(trace)].tolist() if machine.start.from_trace else []
    chunks += list(zip(memory.held.tolist(), named, strict=True))
    for first, order in chunks:
        if order >= block:
            may_be_free[first >> block : (first >> block) + (1 << (order - block))] = 1 << block
        else:
            may_be_free[first >> block] += 1 << order
    return int((may_be_free >= 1 << block).sum())


@kernel_entry
def _most_since_visit(live: Ints, visited: NDArray[np.bool_], protected: Ints) -> None:
    """Write down the most that was live since the last visit of reclaim, after each event."""
    most = 0
    for at in range(len(live)):
        most = live[at] if visited[at] else max(most, live[at])
        protected[at] = most


@kernel_entry
def _least_held(
    step: NDArray[np.int8], live: Ints, length: Ints, protected: Ints, block: int, whole_blocks: int,
    is_peak: bool, room: Ints,
) -> int:  # fmt: skip
    """Return the least sum of held pages times their time, or the least peak of held pages, over all paths.

    Parameters
    ----------
    step, live, length, protected
        As in `_Demand`.
    block, whole_blocks : int
        Pages of a block (a power of two), and blocks that may be protected as a whole.
    is_peak : bool
        Whether the peak is asked for.
    room : ndarray of int64, shape (2, most + 1)
        `NEVER` everywhere. Row by turns: for each number of page tables in split blocks the least so far.
    """
    most = room.shape[1] - 1
    room[0, 0] = 0
    turn = 0
    for at in range(len(step)):
        now = live[at]
        high = min(most, now)
        if step[at] != 0:
            old, new = room[turn], room[1 - turn]
            if step[at] > 0:
                new[0] = old[0]
                for x in range(1, high + 1):
                    new[x] = min(old[x], old[x - 1])
            else:
                for x in range(min(most, now + 1)):
                    new[x] = min(old[x], old[x + 1])
                if now >= most:
                    new[most] = old[most]
            for x in range(high + 1, min(most, now + 2) + 1):
                new[x] = NEVER
            turn = 1 - turn
        best = room[turn]
        for x in range(min(max(now - whole_blocks * block, 0), most + 1)):
            best[x] = NEVER  # more than the whole blocks take
        weight = length[at]
        if weight == 0 and not is_peak:
            continue
        floor = protected[at]
        for x in range(high + 1):
            pages = max(((now - x + block - 1) & -block) + x, floor) - now
            if is_peak:
                best[x] = max(best[x], pages)
            else:
                best[x] = min(best[x] + weight * pages, NEVER)
    least = NEVER
    for x in range(most + 1):
        least = min(least, room[turn, x])
    return least


@kernel_entry
def _foreseen(
    step: NDArray[np.int8], length: Ints, partner: Ints, pool: int, block: int, blocks: Ints, home: Ints
) -> int:
    """Return the sum of held pages times their time, of an allocator that knows all lifetimes; -1 without room.

    Parameters
    ----------
    step, length, partner
        As in `_Demand`.
    pool, block : int
        Pages of the blocks that are split, and of one block.
    blocks : ndarray of int64, shape (2, most)
        Zeros. Of each whole block its live page tables, and the event that frees the last of them.
    home : ndarray of int64
        Where each allocation lies: a block, or -1 for the pool.
    """
    count, end = blocks[0], blocks[1]
    used, in_pool, in_use, live, held = 0, 0, 0, 0, 0
    for at in range(len(step)):
        if step[at] > 0:
            dies = partner[at] if partner[at] >= 0 else len(step)
            fit, latest, fresh = -1, -1, -1
            for one in range(used):
                if count[one] == 0:
                    fresh = one if fresh < 0 else fresh
                elif count[one] < block:
                    if end[one] >= dies and (fit < 0 or end[one] < end[fit]):
                        fit = one
                    if latest < 0 or end[one] > end[latest]:
                        latest = one
            if fit < 0 and in_pool < pool:
                home[at] = -1
                in_pool += 1
            else:
                chosen = fit if fit >= 0 else latest
                if chosen < 0:
                    chosen = fresh
                    if chosen < 0:
                        if used == len(count):
                            return -1
                        chosen = used
                        used += 1
                    end[chosen] = 0
                    in_use += 1
                home[at] = chosen
                count[chosen] += 1
                end[chosen] = max(end[chosen], dies)
            live += 1
        elif step[at] < 0:
            lay = home[partner[at]]
            if lay < 0:
                in_pool -= 1
            else:
                count[lay] -= 1
                in_use -= count[lay] == 0
            live -= 1
        held += length[at] * (in_use * block + in_pool - live)
    return held
