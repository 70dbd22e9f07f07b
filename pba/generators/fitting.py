"""Longer and larger traces like a recording.

The recording is taken apart into lives, and these are played again at other times:

- Its time is cut into equal *phases*, and each phase into *blocks* of about the same length, at moments when
  nothing happens.
- Tables (and background chunks) that are allocated and freed within the same block belong to that block: a
  block is one life. So bursts, lifetimes by level, and which tables are freed together are those of
  the recording, conditional on the phase.
- Tables that outlive their block are lives of their own: those that one run of frees ends belong together.
- A *round* plays all of it once. The blocks of a phase come in a random order in each round, without
  replacement; everything else comes when it came in the recording, the shrinker's passes too.
- A longer trace has more rounds. What was live at the recording's start is live once, at the trace's start.
  What was still live at the recording's end lives one round: until what takes its place in the next.
- A trace of `scale` S has S copies of the demand, background chunks included, each with its own order and
  (but for the first) begun up to a twelfth of a round later. Passes are those of one machine.

This is a block bootstrap (H. R. Kuensch, "The jackknife and the bootstrap for general stationary
observations", Annals of Statistics 17, 1989) without replacement, stratified by phase.
It makes nothing up: no burst is larger and no life longer than a recorded one, but for what copies and
rounds do together.

The coarser the phases and the finer the blocks, the more varied are the rounds, and the less like the
recording. How far to go `pba.probe.likeness` finds out, which can replay both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.analysis.bursts import BURST_GAP_NS
from pba.analysis.pages import at_start
from pba.errors import PbaError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.generators.draws import STEPS, Draw
from pba.generators.lives import FIRST_ITEM, GRID, MAX_ITEMS, OFFSET, OP, SHIFT, Tables
from pba.generators.making import MAX_TIME_NS, Recipe, checked_limits, limits
from pba.generators.play import Arrivals, Source
from pba.trace.metadata import Metadata, Quality
from pba.trace.ops import extent
from pba.trace.table import Trace

Ints = NDArray[np.int64]

MAX_DELAY_PARTS: Final = 12
"""A copy begins up to this part of a round after the first one."""
MAX_SCALE: Final = 10_000
MAX_BLOCKS: Final = 1 << 16


class Events(NamedTuple):
    """What is played of a recording: times from its beginning on, and each event's page.

    `page` numbers the pages and chunks, each life of one anew; -1 for a pass. `code` is the level, priority
    or order. `initial` says that the page was live before the recording began.
    """

    time_ns: Ints
    op: NDArray[np.int8]
    code: NDArray[np.int8]
    page: Ints
    initial: NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """A recording, taken apart.

    Attributes
    ----------
    recording : Trace
        The recording.
    phases, fineness : int
        Phases of a round, and blocks of a phase; with 1 a round is the recording itself.
    tables : Tables
        The lives: first the blocks, then the passes, then what outlives its block.
    length_ns : int
        Length of a round.
    bounds : ndarray of int64, shape (blocks + 1,)
        Where the blocks begin, and the end of the last.
    start : ndarray of int64, shape (lives,)
        When each life began in the recording.
    nr_initial : int
        The last so many lives are of what was live before: they are played once.
    initial_pages : int
        Tables among these.
    dropped : int
        Frees of what was not live, which are left out.
    """

    recording: Trace
    phases: int
    fineness: int
    tables: Tables
    length_ns: int
    bounds: Ints
    start: Ints
    nr_initial: int
    initial_pages: int
    dropped: int

    @property
    def blocks(self) -> int:
        """Number of blocks of all phases."""
        return len(self.bounds) - 1

    def recipe(
        self,
        *,
        seed: int = 0,
        duration_ns: int | None = None,
        events: int | None = None,
        scale: int = 1,
    ) -> Recipe:
        """Return the recipe of a trace like the recording; by default as long as it.

        Raises
        ------
        PbaError
            If the scale is out of range, or the duration or the number of events is.
        """
        if type(scale) is not int or not 1 <= scale <= MAX_SCALE:
            raise PbaError(
                f"scale {scale!r:.40} is out of range", f"it is a whole number from 1 to {MAX_SCALE}"
            )
        if duration_ns is None:
            duration_ns = self.length_ns if events is None else MAX_TIME_NS
        checked_limits(seed, duration_ns, events)
        source = Source(
            self.tables,
            [],
            lambda seed: arrivals(self, scale, seed),
            live_at_start=scale * self.initial_pages,
        )
        again = {
            "like": self.recording.name,
            "scale": scale,
            "phases": self.phases,
            "fineness": self.fineness,
            **limits(seed, duration_ns, events),
        }
        metadata = self._metadata(scale).with_(duration_ns=duration_ns if events is None else 0, recipe=again)
        return Recipe(metadata, source, seed, duration_ns, events)

    def _metadata(self, scale: int) -> Metadata:
        """Return what is known of a trace like the recording, but for its length and its recipe."""
        known = self.recording.metadata
        note = (
            f"generated like {self.recording.name}: {self.blocks} blocks, in a random order within each of "
            f"{self.phases} phases, in rounds of "
            f"{self.length_ns / 1e9:g} s and {scale} copies; passes are those of one machine"
        )
        return Metadata(
            name=f"like-{self.recording.name}",
            source="generated",
            kernel=known.kernel,
            architecture=known.architecture,
            page_size_kib=known.page_size_kib,
            memory_pages=known.memory_pages,
            quality=Quality(live_at_start=scale * self.initial_pages, notes=(*known.quality.notes, note)),
        )


def take_apart(recording: Trace, phases: int, fineness: int) -> Fit:
    """Take a recording apart into phases and blocks.

    Parameters
    ----------
    recording : Trace
        The recording.
    phases : int
        Equal parts of its time.
    fineness : int
        Blocks of a phase.

    Raises
    ------
    PbaError
        If nothing happens in the recording, or all of it at one time, or there are too many blocks for it.
    """
    events, dropped = _events(recording)
    start, end = extent(recording)
    length_ns = end - start
    if not len(events.op) or not length_ns:
        raise PbaError(
            f"{recording.name} has no demand that a trace could be like", "it needs events at different times"
        )
    if not 1 <= phases * fineness <= min(length_ns, MAX_BLOCKS):
        raise PbaError(
            f"{phases} phases of {fineness} blocks cannot be made of it",
            f"from 1 to {min(length_ns, MAX_BLOCKS)} blocks in all",
        )
    bounds = _bounds(events, length_ns, phases * fineness)
    blocks = len(bounds) - 1
    nr_initial_pages = int(np.count_nonzero(events.initial & (events.op == OP_ALLOC)))
    events = _with_ends(events, length_ns)
    owner = _owners(events, bounds)
    life_start = np.full(max(int(owner.max()), blocks) + 1, length_ns, np.int64)
    np.minimum.at(life_start, owner, events.time_ns)
    life_start[:blocks], life_start[blocks] = bounds[:-1], 0
    return Fit(
        recording=recording,
        phases=phases,
        fineness=fineness,
        tables=_tables(events, owner, life_start),
        length_ns=length_ns,
        bounds=bounds,
        start=life_start,
        nr_initial=len(np.unique(owner[events.initial])),
        initial_pages=nr_initial_pages,
        dropped=dropped,
    )


# --- taking apart --------------------------------------------------------------------------------------


def _events(recording: Trace) -> tuple[Events, int]:
    """Return what is played of a recording, and how many frees of unknown pages are left out."""
    op, slot = recording.op, recording.slot.astype(np.int64)
    is_pass = (op == OP_SHRINK) | (op == OP_DROP)
    kept = np.flatnonzero((slot >= 0) | is_pass)
    op, slot, is_pass = op[kept], slot[kept], is_pass[kept]
    # Tables and chunks have slots of their own; each allocation on a slot begins another page.
    space = slot + np.where(op >= OP_BG_ALLOC, recording.nr_slots, 0)
    begins = (op == OP_ALLOC) | (op == OP_BG_ALLOC)
    order = np.argsort(np.where(is_pass, np.iinfo(np.int64).max, space), kind="stable")
    page = np.empty(len(op), np.int64)
    page[order] = np.cumsum(begins[order]) - 1
    page[is_pass] = -1
    level = recording.level[kept] if len(recording.level) else np.zeros(len(op), np.int8)
    first = np.zeros(int(page.max(initial=-1)) + 1, np.int8)  # the level of its allocation
    first[page[begins]] = level[begins]
    is_table = op <= OP_FREE
    code = np.where(is_table, first[page] if len(first) else 0, recording.arg[kept]).astype(np.int8)
    initial_page = np.zeros(len(first), np.bool_)
    initial_page[page[at_start(recording)[kept]]] = True
    initial = initial_page[page] & (page >= 0) if len(first) else np.zeros(len(op), np.bool_)
    times = recording.time_ns[kept] - extent(recording)[0]
    return Events(times, op, code, page, initial), len(recording) - len(kept)


def _bounds(events: Events, length_ns: int, blocks: int) -> Ints:
    """Return where blocks begin: at equal distances, but moved to the longest pause nearby."""
    edges = np.array([length_ns * at // blocks for at in range(blocks + 1)], np.int64)
    pauses = np.diff(events.time_ns)
    nearby = max(1, length_ns // blocks // 3)
    for at in range(1, blocks):
        low, high = np.searchsorted(events.time_ns, (edges[at] - nearby, edges[at] + nearby))
        if high - low >= 2:
            longest = low + int(np.argmax(pauses[low : high - 1]))
            edges[at] = (events.time_ns[longest] + events.time_ns[longest + 1] + 1) // 2
    return edges


def _runs_of(events: Events) -> Ints:
    """Return the number of the run of events of one kind, none more than 1 ms apart, that each belongs to."""
    begins = np.ones(len(events.op), np.bool_)
    begins[1:] = (events.op[1:] != events.op[:-1]) | (np.diff(events.time_ns) > BURST_GAP_NS)
    return np.cumsum(begins)


def _with_ends(events: Events, length_ns: int) -> Events:
    """Add a free, a round after its allocation, for each page live at the end and not at the start."""
    begins = np.flatnonzero((events.op == OP_ALLOC) | (events.op == OP_BG_ALLOC))
    ended = np.zeros(len(begins), np.bool_)
    ended[events.page[(events.op == OP_FREE) | (events.op == OP_BG_FREE)]] = True
    stay = begins[~ended[events.page[begins]] & ~events.initial[begins]]
    ends = events.op[stay] + np.int8(OP_FREE - OP_ALLOC)
    return Events(
        np.concatenate([events.time_ns, events.time_ns[stay] + length_ns]),
        np.concatenate([events.op, ends]),
        np.concatenate([events.code, np.where(ends == OP_FREE, events.code[stay], 0).astype(np.int8)]),
        np.concatenate([events.page, events.page[stay]]),
        np.concatenate([events.initial, events.initial[stay]]),
    )


def _owners(events: Events, bounds: Ints) -> Ints:
    """Return the life that each event belongs to.

    Lives are numbered: the blocks, the passes, what outlives its block, what was live before.
    """
    blocks = len(bounds) - 1
    # What ends after the recording's end ends in no block.
    block = np.searchsorted(bounds, events.time_ns, side="right") - 1
    block[events.time_ns == bounds[-1]] = blocks - 1
    is_pass = events.page < 0
    begins = (events.op == OP_ALLOC) | (events.op == OP_BG_ALLOC)
    ends = ~begins & ~is_pass
    pages = int(events.page.max(initial=-1)) + 1
    first, last, run = np.zeros(pages, np.int64), np.full(pages, -1, np.int64), np.zeros(pages, np.int64)
    first[events.page[begins]] = block[begins]
    last[events.page[ends]] = block[ends]
    run[events.page[ends]] = _runs_of(events)[ends]
    owner = np.full(len(events.op), blocks, np.int64)
    own, initial = events.page[~is_pass], events.initial[~is_pass]
    outlives = (first[own] != last[own]) | initial
    group = run[own] + initial * (len(events.op) + 1)
    owner_of_own = first[own]
    owner_of_own[outlives] = blocks + 1 + np.unique(group[outlives], return_inverse=True)[1]
    owner[~is_pass] = owner_of_own
    return owner


def _tables(events: Events, owner: Ints, life_start: Ints) -> Tables:
    """Write lives down as the player reads them: an action is what stands together in the recording."""
    order = np.argsort(owner, kind="stable")
    owned, op, time_ns = owner[order], events.op[order], events.time_ns[order]
    breaks = np.ones(len(order), np.bool_)
    breaks[1:] = (
        (np.diff(owned) != 0) | (np.diff(op) != 0) | (np.diff(order) != 1) | (np.diff(time_ns) > BURST_GAP_NS)
    )
    run_first = np.flatnonzero(breaks)
    within = np.arange(len(order)) - np.repeat(run_first, np.diff(np.append(run_first, len(order))))
    first = np.flatnonzero(breaks | (within % MAX_ITEMS == 0))
    sizes = np.diff(np.append(first, len(order)))
    actions = np.zeros((len(first) + 1, 5), np.int64)
    actions[:-1, OFFSET] = 0
    actions[:-1, SHIFT] = time_ns[first] - life_start[owned[first]]
    actions[:-1, GRID] = 0
    actions[:-1, OP] = op[first]
    actions[:, FIRST_ITEM] = np.append(first, len(order))
    lives = len(life_start)
    page, nr_pages, keeps = _pages_of_lives(events, owner, lives)
    return Tables(
        first_action=np.searchsorted(owned[first], np.arange(lives + 1)).astype(np.int64),
        nr_pages=nr_pages,
        keeps=keeps,
        actions=actions,
        item_page=page[order],
        item_after=time_ns - np.repeat(time_ns[first], sizes),
        item_code=events.code[order],
        streams=np.empty((0, 6), np.int64),
        quantiles=np.empty((0, STEPS + 1), np.int64),
        rates=np.empty((0, 1), np.int64),
    )


def _pages_of_lives(events: Events, owner: Ints, lives: int) -> tuple[NDArray[np.int32], Ints, Ints]:
    """Return each event's page as numbered in its life, the pages of each life, and which keep some."""
    begins = np.flatnonzero((events.op == OP_ALLOC) | (events.op == OP_BG_ALLOC))
    nr_pages = np.bincount(owner[begins], minlength=lives)
    frees = (events.op == OP_FREE) | (events.op == OP_BG_FREE)
    nr_frees = np.bincount(owner[frees], minlength=lives)
    order = begins[np.argsort(owner[begins], kind="stable")]
    before = np.concatenate(([0], np.cumsum(nr_pages)))[owner[order]]
    number = np.zeros(
        int(events.page.max(initial=-1)) + 2, np.int32
    )  # the last is for passes, whose page is -1
    number[events.page[order]] = np.arange(len(order)) - before
    return number[events.page], nr_pages.astype(np.int64), (nr_frees < nr_pages).astype(np.int64)


# --- playing again -------------------------------------------------------------------------------------


def arrivals(fit: Fit, scale: int, seed: int) -> Iterator[Arrivals]:
    """Yield the lives of round after round, for ever."""
    draw = Draw(seed + 1)
    delays = [0] + [draw.below(1 + fit.length_ns // MAX_DELAY_PARTS) for _ in range(scale - 1)]
    base = 0
    parts = [_before(fit, scale)]
    while True:
        parts += [_round(fit, draw, copy, base + delay) for copy, delay in enumerate(delays)]
        times, lives = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
        order = np.argsort(times, kind="stable")
        times, lives = times[order], lives[order]
        base += fit.length_ns
        now = int(np.searchsorted(times, base))
        parts = [(times[now:], lives[now:])]
        yield Arrivals(times[:now], lives[:now], base)


def _before(fit: Fit, scale: int) -> tuple[Ints, Ints]:
    """Return the lives of what was live before, each once a copy, at time 0."""
    lives = np.arange(len(fit.start) - fit.nr_initial, len(fit.start))
    return np.zeros(scale * len(lives), np.int64), np.tile(lives, scale)


def _round(fit: Fit, draw: Draw, copy: int, base_ns: int) -> tuple[Ints, Ints]:
    """Return when the lives of one round of one copy begin, and which they are."""
    blocks = fit.blocks
    placed = fit.start[: len(fit.start) - fit.nr_initial] + base_ns
    for phase in range(0, blocks, fit.fineness):
        now = int(fit.bounds[phase]) + base_ns
        for block in draw.shuffled(range(phase, phase + fit.fineness)):
            placed[block] = now
            now += int(fit.bounds[block + 1] - fit.bounds[block])
    life = np.arange(len(placed))
    some = fit.tables.first_action[life + 1] > fit.tables.first_action[life]
    if copy > 0:
        some[blocks] = False  # the passes
    return placed[some], life[some]


def about(fit: Fit) -> dict[str, Any]:
    """Return what the fit found, as plain values."""
    return {
        "blocks": fit.blocks,
        "phases": fit.phases,
        "block_ns": fit.length_ns // fit.blocks,
        "lives": len(fit.start) - fit.blocks - 1,
        "live_at_start": fit.initial_pages,
        "left_out": fit.dropped,
    }


__all__ = ["Fit", "about", "arrivals", "take_apart"]
