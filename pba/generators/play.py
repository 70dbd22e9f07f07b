"""The player: merges what all lives of a workload do into one trace, a chunk at a time.

Every life that goes on has one entry in a heap, ordered by the time of its next action. The actions are
taken in that order, each as a whole; where two overlap, the later one's first events move to the end of the
earlier one, so that time never goes backwards. Memory is bounded by the lives that go on at the same time,
and the ids by the pages that do: a free gives an id back, and the next allocation takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry, kernel_inline
from pba.errors import TraceError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_DROP, OP_FREE, OP_SHRINK
from pba.generators.draws import ONE, Draw, Int, below, from_table
from pba.generators.lives import (
    CLOSED,
    FIRST_ITEM,
    FIRST_LIFE,
    GAP,
    GRID,
    MAX_ITEMS,
    NR_LIVES,
    OFFSET,
    OP,
    RATE,
    SHIFT,
    STRETCH,
    Plan,
    Tables,
    tables_of,
)
from pba.trace.table import DTYPES

Ints = NDArray[np.int64]

CHUNK_EVENTS: Final = 1 << 20
FAR: Final = 1 << 62
NONE: Final = -1
NR_CLASSES: Final = 33
MOST_IDS: Final = (1 << 31) - 1

FULL, WANTS_ROOM, WANTS_ARRIVALS, DONE = range(4)
"""Why `_play` returned."""

NOW, NR_HEAP, NR_LIVING, NEXT_HELD, NEXT_ID, NR_SPARE, ARRIVAL = range(7)
"""Scalars of the player: time of the last event, entries of the heap, rows of `living` in use or free, the
end of what they have of `held`, the first id never used, ids given back, the next arrival."""

LIFE, ACTION, START, LENGTH, STREAM, BASE, SIZE_CLASS, NEXT_FREE = range(8)
"""Columns of `living`: which life (NONE: a stream's next start), its next action, its start in ns, its
stretch, its stream (NONE: an arrival), its place in `held`, its size class, that class's next free row."""


class PlayerState(NamedTuple):
    """Where the player stands.

    Attributes
    ----------
    random : ndarray of uint64, shape (1,)
        The random generator.
    scalars : ndarray of int64, shape (7,)
        NOW ...
    free_rows : ndarray of int64, shape (33,)
        For each size class the first row of `living` that is in no use.
    heap_time, heap_row : ndarray of int64
        The heap: time of the next action, and row of `living`.
    living : ndarray of int64, shape (rows, 8)
        LIFE ...
    held : ndarray of int32
        The id of each page of each life; a life has a range as long as its size class.
    spare : ndarray of int32
        Ids that were given back, the last one on top.
    """

    random: NDArray[np.uint64]
    scalars: Ints
    free_rows: Ints
    heap_time: Ints
    heap_row: Ints
    living: Ints
    held: NDArray[np.int32]
    spare: NDArray[np.int32]


class Arrivals(NamedTuple):
    """Lives that begin at set times, beside those of the streams.

    Attributes
    ----------
    time_ns : ndarray of int64
        When, rising.
    life : ndarray of int64
        Which.
    until_ns : int
        Up to which time no other will come.
    """

    time_ns: Ints
    life: Ints
    until_ns: int


class Columns(NamedTuple):
    """Room for events."""

    time_ns: Ints
    op: NDArray[np.int8]
    id: NDArray[np.int32]
    arg: NDArray[np.int8]
    level: NDArray[np.int8]


class Limits(NamedTuple):
    """What bounds the player.

    Attributes
    ----------
    end_ns : int
        The last time allowed.
    slot_ns : int
        Length of a slot of the streams' rates.
    most_pages : int
        Places of the largest life in `held`.
    """

    end_ns: Int
    slot_ns: Int
    most_pages: Int


class Room(NamedTuple):
    """Where to write the next event, and the last time allowed."""

    at: Int
    end_ns: Int


class Span(NamedTuple):
    """Items or events that follow on each other: the first, and the one behind the last."""

    first: Int
    end: Int


class FirstItem(NamedTuple):
    """The first item of an action, and the place of its life in `held`."""

    item: Int
    base: Int


# --- the heap ------------------------------------------------------------------------------------------


@kernel_inline
def _push(state: PlayerState, time_ns: Int, row: Int) -> None:
    """Add an entry."""
    times, rows = state.heap_time, state.heap_row
    at = state.scalars[NR_HEAP]
    state.scalars[NR_HEAP] = at + 1
    while at > 0:
        above = (at - 1) >> 1
        if times[above] <= time_ns:
            break
        times[at] = times[above]
        rows[at] = rows[above]
        at = above
    times[at] = time_ns
    rows[at] = row


@kernel_inline
def _replace_first(state: PlayerState, time_ns: Int, row: Int) -> None:
    """Put an entry in the place of the first one."""
    times, rows = state.heap_time, state.heap_row
    number = state.scalars[NR_HEAP]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= number:
            break
        if child + 1 < number and times[child + 1] < times[child]:
            child += 1
        if times[child] >= time_ns:
            break
        times[at] = times[child]
        rows[at] = rows[child]
        at = child
    times[at] = time_ns
    rows[at] = row


@kernel_inline
def _remove_first(state: PlayerState) -> None:
    """Take the first entry away."""
    last = state.scalars[NR_HEAP] - 1
    state.scalars[NR_HEAP] = last
    if last > 0:
        _replace_first(state, state.heap_time[last], state.heap_row[last])


# --- lives ---------------------------------------------------------------------------------------------


@kernel_inline
def _take_row(state: PlayerState, nr_pages: Int) -> Int:
    """Return a row of `living` with room for so many pages."""
    size_class = 0
    while nr_pages > (1 << size_class) >> 1:
        size_class += 1
    row: Int = state.free_rows[size_class]
    if row != NONE:
        state.free_rows[size_class] = state.living[row, NEXT_FREE]
        return row
    row = state.scalars[NR_LIVING]
    state.scalars[NR_LIVING] = row + 1
    state.living[row, BASE] = state.scalars[NEXT_HELD]
    state.living[row, SIZE_CLASS] = size_class
    state.scalars[NEXT_HELD] += (1 << size_class) >> 1
    return row


@kernel_inline
def _give_row(state: PlayerState, row: Int) -> None:
    """Give a row back."""
    size_class = state.living[row, SIZE_CLASS]
    state.living[row, NEXT_FREE] = state.free_rows[size_class]
    state.free_rows[size_class] = row


@kernel_inline
def _due(tables: Tables, state: PlayerState, row: Int, earliest: Int) -> Int:
    """Return when a life's next action is due."""
    actions, action = tables.actions, state.living[row, ACTION]
    stretched = (actions[action, OFFSET] * state.living[row, LENGTH]) >> 10
    time_ns: Int = max(state.living[row, START] + stretched + actions[action, SHIFT], earliest)
    grid = actions[action, GRID]
    if grid > 0:
        time_ns = (time_ns // grid + 1) * grid
    return time_ns


@kernel_inline
def _begin(tables: Tables, state: PlayerState, life: Int, stream: Int, time_ns: Int) -> Int:
    """Begin a life and return its row."""
    row = _take_row(state, tables.nr_pages[life])
    state.living[row, LIFE] = life
    state.living[row, ACTION] = tables.first_action[life]
    state.living[row, START] = time_ns
    state.living[row, STREAM] = stream
    state.living[row, LENGTH] = ONE
    if stream != NONE:
        stretch = tables.streams[stream, STRETCH]
        state.living[row, LENGTH] = from_table(state.random, tables.quantiles, stretch)
    return row


@kernel_inline
def _gap(tables: Tables, state: PlayerState, stream: Int, time_ns: Int, slot_ns: Int) -> Int:
    """Draw the time to a stream's next start; where its rate changes, the gap passes so much faster."""
    gap = from_table(state.random, tables.quantiles, tables.streams[stream, GAP])
    rate = tables.streams[stream, RATE]
    if rate == NONE:
        return max(gap, np.int64(1))
    left = gap * ONE
    now = time_ns
    while True:
        slot = now // slot_ns
        speed = tables.rates[rate, slot % tables.rates.shape[1]]
        passes = ((slot + 1) * slot_ns - now) * speed
        if passes > left:
            reached: Int = now + left // speed
            return max(reached - time_ns, 1)
        left -= passes
        now = (slot + 1) * slot_ns


@kernel_inline
def _start_next(tables: Tables, state: PlayerState, row: Int, slot_ns: Int) -> None:
    """Begin a life of the stream whose time has come."""
    time_ns = state.heap_time[0]
    stream = state.living[row, STREAM]
    choice = below(state.random, tables.streams[stream, NR_LIVES])
    life = tables.streams[stream, FIRST_LIFE] + choice
    begun = _begin(tables, state, life, stream, time_ns)
    first = _due(tables, state, begun, time_ns)
    if tables.streams[stream, CLOSED] == 0:
        _replace_first(state, time_ns + _gap(tables, state, stream, time_ns, slot_ns), row)
        _push(state, first, begun)
    else:
        _give_row(state, row)
        _replace_first(state, first, begun)


@kernel_inline
def _go_on(tables: Tables, state: PlayerState, row: Int, slot_ns: Int) -> None:
    """Go on after the first entry's action: wait for its life's next one, or end the life."""
    time_ns = state.heap_time[0]
    life, stream = state.living[row, LIFE], state.living[row, STREAM]
    state.living[row, ACTION] += 1
    if state.living[row, ACTION] < tables.first_action[life + 1]:
        _replace_first(state, _due(tables, state, row, time_ns), row)
        return
    if tables.keeps[life] == 0:
        _give_row(state, row)
    if stream != NONE and tables.streams[stream, CLOSED] == 1:
        waiting = _take_row(state, 0)
        state.living[waiting, LIFE] = NONE
        state.living[waiting, STREAM] = stream
        _replace_first(state, time_ns + _gap(tables, state, stream, time_ns, slot_ns), waiting)
    else:
        _remove_first(state)


@kernel_inline
def _emit(tables: Tables, state: PlayerState, row: Int, out: Columns, room: Room) -> Int:
    """Write the events of the first entry's action that come no later than the end; return where they end."""
    at = room.at
    action = state.living[row, ACTION]
    op = tables.actions[action, OP]
    items = Span(tables.actions[action, FIRST_ITEM], tables.actions[action + 1, FIRST_ITEM])
    last = _write_times(tables, state, out, items, room)
    for place in range(at, last):
        code = tables.item_code[items.first + place - at]
        out.op[place] = op
        out.id[place] = 0
        out.arg[place] = 0 if op <= OP_FREE else code
        out.level[place] = code if op <= OP_FREE else 0
    first = FirstItem(items.first, state.living[row, BASE])
    if op in (OP_ALLOC, OP_BG_ALLOC):
        _take_ids(tables, state, out, first, Span(at, last))
    elif op != OP_SHRINK and op != OP_DROP:
        _give_ids(tables, state, out, first, Span(at, last))
    return last


@kernel_inline
def _write_times(tables: Tables, state: PlayerState, out: Columns, items: Span, room: Room) -> Int:
    """Write the times of some items, as far as they come no later than the end; return where they end."""
    at = room.at
    start = state.heap_time[0]
    now = state.scalars[NOW]
    for item in range(items.first, items.end):
        time_ns = max(now, start + tables.item_after[item])
        if time_ns > room.end_ns:
            break
        now = time_ns
        out.time_ns[at] = now
        at += 1
    state.scalars[NOW] = now
    return at


@kernel_inline
def _take_ids(tables: Tables, state: PlayerState, out: Columns, first: FirstItem, written: Span) -> None:
    """Give ids to what is allocated: spare ones, else new ones."""
    item, base = first.item, first.base
    nr_spare, next_id = state.scalars[NR_SPARE], state.scalars[NEXT_ID]
    for place in range(written.first, written.end):
        if nr_spare > 0:
            nr_spare -= 1
            name = state.spare[nr_spare]
        else:
            name = np.int32(next_id)
            next_id += 1
        state.held[base + tables.item_page[item]] = name
        out.id[place] = name
        item += 1
    state.scalars[NR_SPARE], state.scalars[NEXT_ID] = nr_spare, next_id


@kernel_inline
def _give_ids(tables: Tables, state: PlayerState, out: Columns, first: FirstItem, written: Span) -> None:
    """Take the ids of what is freed; they are spare from now on."""
    item, base = first.item, first.base
    nr_spare = state.scalars[NR_SPARE]
    for place in range(written.first, written.end):
        name = state.held[base + tables.item_page[item]]
        out.id[place] = name
        state.spare[nr_spare] = name
        nr_spare += 1
        item += 1
    state.scalars[NR_SPARE] = nr_spare


@kernel_inline
def _wants_room(state: PlayerState, most_pages: Int) -> bool | np.bool_:
    """Say whether the next life might not fit."""
    scalars = state.scalars
    rows: Int = scalars[NR_LIVING] + 2
    places: Int = scalars[NEXT_HELD] + most_pages
    return rows > len(state.heap_time) or places > len(state.held)


@kernel_entry
def _play(
    tables: Tables, state: PlayerState, arrivals: Arrivals, out: Columns, limits: Limits
) -> tuple[int, Int]:
    """Write events until there is no room or something is wanted; return (why, number of events)."""
    end_ns = limits.end_ns
    scalars = state.scalars
    at: Int = 0
    while True:
        if at + MAX_ITEMS > len(out.op):
            return FULL, at
        if _wants_room(state, limits.most_pages):
            return WANTS_ROOM, at
        time_ns = state.heap_time[0] if scalars[NR_HEAP] > 0 else FAR
        coming = FAR
        if scalars[ARRIVAL] < len(arrivals.time_ns):
            coming = arrivals.time_ns[scalars[ARRIVAL]]
        elif arrivals.until_ns <= min(time_ns, end_ns):
            return WANTS_ARRIVALS, at
        if min(time_ns, coming) > end_ns:
            return DONE, at
        if coming <= time_ns:
            row = _begin(tables, state, arrivals.life[scalars[ARRIVAL]], NONE, coming)
            _push(state, _due(tables, state, row, coming), row)
            scalars[ARRIVAL] += 1
            continue
        row = state.heap_row[0]
        if state.living[row, LIFE] == NONE:
            _start_next(tables, state, row, limits.slot_ns)
        else:
            at = _emit(tables, state, row, out, Room(at, end_ns))
            _go_on(tables, state, row, limits.slot_ns)


# --- the door from Python ------------------------------------------------------------------------------


@dataclass
class Source:
    """What is to be played: tables, and perhaps lives that begin at set times.

    Attributes
    ----------
    tables : Tables
        Lives and streams.
    first : list of (int, int)
        Time in ns of the first start of each stream's members, and the stream.
    arrivals : callable
        Takes the seed and returns an iterator of `Arrivals`, rising in time; at its end nothing more comes.
    slot_ns : int
        Length of a slot of the streams' rates.
    live_at_start : int
        Tables that are there before anything happens: allocated at time 0.
    """

    tables: Tables
    first: list[tuple[int, int]]
    arrivals: Callable[[int], Iterator[Arrivals]]
    slot_ns: int = 1
    live_at_start: int = 0


def source_of(plan: Plan, draw: Draw) -> Source:
    """Return a plan ready to be played; `draw` says when its streams begin."""
    first = []
    for at, stream in enumerate(plan.streams):
        table = stream.gap if stream.first is None else stream.first
        first += [(draw.from_table(table), at) for _ in range(stream.members)]
    there = sum(len(life.levels) for stream in plan.streams if stream.stands for life in stream.lives)
    return Source(tables_of(plan.streams), sorted(first), lambda seed: iter(()), plan.slot_ns, there)


def play(source: Source, seed: int, end_ns: int, events: int | None = None) -> Iterator[Columns]:
    """Yield the events in chunks.

    Parameters
    ----------
    source : Source
        What is to be played.
    seed : int
        Of all draws.
    end_ns : int
        No event comes later than this.
    events : int, optional
        The most events; by default all.

    Yields
    ------
    Columns
        Views that the next chunk overwrites.

    Raises
    ------
    TraceError
        If more pages live at the same time than there are ids.
    """
    state = _new_state(source, seed)
    arrivals = source.arrivals(seed)
    coming = next(arrivals, _NOTHING)
    most_pages = 1 << int(source.tables.nr_pages.max(initial=0)).bit_length()
    limits = Limits(end_ns, source.slot_ns, most_pages)
    left = FAR if events is None else events
    out = _new_columns(min(CHUNK_EVENTS, left) + MAX_ITEMS)
    status = FULL
    while status != DONE and left > 0:
        with np.errstate(over="ignore"):  # the generator wraps; only without the JIT does NumPy see it
            status, number = _play(source.tables, state, coming, out, limits)
        if status == WANTS_ROOM:
            state = _with_room(state, most_pages)
        elif status == WANTS_ARRIVALS:
            coming = next(arrivals, _NOTHING)
            state.scalars[ARRIVAL] = 0
        wanted = slice(min(int(number), left))
        left -= wanted.stop
        if wanted.stop:
            yield _part(out, wanted)


_NOTHING = Arrivals(np.empty(0, np.int64), np.empty(0, np.int64), FAR)


def _new_state(source: Source, seed: int) -> PlayerState:
    """Return the state before the first event: nothing but the streams' first starts."""
    number = len(source.first)
    room = 1024 + 2 * number
    living = np.zeros((room, NEXT_FREE + 1), np.int64)
    living[:number, LIFE] = NONE
    living[:number, STREAM] = [stream for _, stream in source.first]
    heap_time, heap_row = np.zeros(room, np.int64), np.zeros(room, np.int64)
    heap_time[:number] = [time_ns for time_ns, _ in source.first]
    heap_row[:number] = np.arange(number)
    scalars = np.zeros(ARRIVAL + 1, np.int64)
    scalars[NR_HEAP] = scalars[NR_LIVING] = number
    free_rows = np.full(NR_CLASSES, NONE, np.int64)
    random = np.array([Draw(seed).bits()], np.uint64)
    held, spare = np.zeros(0, np.int32), np.zeros(0, np.int32)
    return PlayerState(random, scalars, free_rows, heap_time, heap_row, living, held, spare)


def _with_room(state: PlayerState, most_pages: int) -> PlayerState:
    """Return the state with room for more lives and pages: twice as many of what was short.

    Raises
    ------
    TraceError
        If the pages of all lives that go on are more than there are ids.
    """
    if int(state.scalars[NEXT_HELD]) + most_pages > len(state.held):
        more = np.zeros(max(len(state.held), 4 * most_pages, 1 << 16), np.int32)
        if len(state.held) + len(more) > MOST_IDS:
            raise TraceError("more pages live at the same time than 31 bits number", "ask for less demand")
        return state._replace(
            held=np.concatenate([state.held, more]), spare=np.concatenate([state.spare, more])
        )
    room = len(state.heap_time)
    return state._replace(
        heap_time=np.concatenate([state.heap_time, np.zeros(room, np.int64)]),
        heap_row=np.concatenate([state.heap_row, np.zeros(room, np.int64)]),
        living=np.concatenate([state.living, np.zeros_like(state.living)]),
    )


def _part(columns: Columns, part: slice) -> Columns:
    """Return a part of the columns, as views."""
    return map_columns(columns, lambda column: column[part])


def map_columns(columns: Columns, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Columns:
    """Return the columns, each changed."""
    changed: list[Any] = [change(column) for column in columns]
    return Columns(*changed)


def _new_columns(room: int) -> Columns:
    return Columns(*(np.empty(room, DTYPES[name]) for name in Columns._fields))


__all__ = ["CHUNK_EVENTS", "Arrivals", "Columns", "Source", "map_columns", "play", "source_of"]
