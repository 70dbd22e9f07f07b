"""Keeping the state of a replay, and going back to it.

Only what differs from boot is kept: the arrays' parts under the chunks of the highest order that have been
touched (`State.touched`). The rest of a state is as in `origin`, a copy from right after boot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba._jit import engine_entry, kernel_function, kernel_inline
from pba.engine.state import PROGRESS_FIELDS, EngineState
from pba.kernel.state import MAX_LISTS, NR_CACHED, NR_VARS, Flag, Int, State

MAX_KEPT = 64
"""Most snapshots at once."""


class Shelf(NamedTuple):
    """Snapshots, laid down on each other: the last one kept is the first one dropped."""

    origin: State  # right after boot; never written to
    wide: NDArray[np.int32]  # the snapshots' 32-bit parts
    narrow: NDArray[np.int8]  # and their 8-bit parts
    ends: NDArray[np.int64]  # (MAX_KEPT + 1, 2) where a snapshot's parts begin in `wide` and `narrow`
    scalars: NDArray[np.int64]  # (MAX_KEPT, NR_VARS + PROGRESS_FIELDS)


def new_shelf(origin: State, wide: int, narrow: int) -> Shelf:
    """Return an empty shelf with room for so many 32-bit and 8-bit numbers."""
    return Shelf(
        origin=origin,
        wide=np.empty(wide, np.int32),
        narrow=np.empty(narrow, np.int8),
        ends=np.zeros((MAX_KEPT + 1, 2), np.int64),
        scalars=np.empty((MAX_KEPT, NR_VARS + PROGRESS_FIELDS), np.int64),
    )


def copy_state(state: State) -> State:
    """Return a copy of a booted state, less the room of its cached list that is not in use."""
    parts: dict[str, Any] = {
        name: np.copy(part) for name, part in state._asdict().items() if isinstance(part, np.ndarray)
    }
    parts.update(orders=state.orders, cached=state.cached[: state.vars[NR_CACHED]].copy())
    return State(**parts)


@kernel_inline
def _copy(to: NDArray[Any], at: Int, source: NDArray[Any], first: Int, length: Int) -> Int:
    """Copy `length` elements from `source[first]` on to `to[at]` on; return where the next ones go.

    Places are unsigned: with signed ones each is asked whether it counts from the end, and the loop is compiled
    to gathers, not to copies of whole registers.
    """
    from_here, to_here = np.uint64(first), np.uint64(at)
    for i in range(np.uint64(length)):
        to[to_here + i] = source[from_here + i]
    return at + length


@kernel_function
def snapshot_size(engine: EngineState) -> tuple[Int, Int]:
    """Return how many 32-bit and 8-bit numbers a snapshot has."""
    state = engine.state
    orders = state.orders
    chunk = 1 << orders.max_page
    nr_touched = np.int64(0)
    for i in range(np.uint64(len(state.touched))):
        nr_touched += state.touched[i]
    wide = nr_touched * (2 * chunk + (chunk >> orders.block))
    wide += 2 * MAX_LISTS + state.vars[NR_CACHED] + len(engine.holders.page) + len(engine.holders.chunk)
    narrow = nr_touched * (chunk + (chunk >> orders.contpte))
    narrow += len(state.touched) + len(state.leaf) + len(engine.holders.chunk_order)
    return wide, narrow


@kernel_function
def has_room(shelf: Shelf, engine: EngineState, depth: Int) -> Flag:
    """Whether snapshot number `depth` fits."""
    wide, narrow = snapshot_size(engine)
    return shelf.ends[depth, 0] + wide <= len(shelf.wide) and shelf.ends[depth, 1] + narrow <= len(
        shelf.narrow
    )


@kernel_function
def _keep_chunk(shelf: Shelf, state: State, chunk: Int, wide: Int, narrow: Int) -> tuple[Int, Int]:
    """Keep what belongs to a chunk of the highest order; return where the next one goes."""
    orders = state.orders
    page = chunk << orders.max_page
    pages = 1 << orders.max_page
    wide = _copy(shelf.wide, wide, state.buddy_next, page, pages)
    wide = _copy(shelf.wide, wide, state.buddy_prev, page, pages)
    wide = _copy(shelf.wide, wide, state.block_nr_free, page >> orders.block, pages >> orders.block)
    narrow = _copy(shelf.narrow, narrow, state.buddy_order, page, pages)
    narrow = _copy(shelf.narrow, narrow, state.contpte, page >> orders.contpte, pages >> orders.contpte)
    return wide, narrow


@kernel_function
def keep(shelf: Shelf, engine: EngineState, depth: Int) -> None:
    """Keep the state as snapshot number `depth`, on top of those before; there must be room."""
    state = engine.state
    memory = len(state.buddy_order)
    wide, narrow = shelf.ends[depth]
    narrow = _copy(shelf.narrow, narrow, state.touched, 0, len(state.touched))
    narrow = _copy(shelf.narrow, narrow, state.leaf, 0, len(state.leaf))
    narrow = _copy(shelf.narrow, narrow, engine.holders.chunk_order, 0, len(engine.holders.chunk_order))
    wide = _copy(shelf.wide, wide, engine.holders.chunk, 0, len(engine.holders.chunk))
    wide = _copy(shelf.wide, wide, engine.places, 0, len(engine.holders.page) + state.vars[NR_CACHED])
    wide = _copy(shelf.wide, wide, state.buddy_next, memory, MAX_LISTS)
    wide = _copy(shelf.wide, wide, state.buddy_prev, memory, MAX_LISTS)
    for chunk in range(memory >> state.orders.max_page):
        if state.touched[chunk]:
            wide, narrow = _keep_chunk(shelf, state, chunk, wide, narrow)
    _copy(shelf.scalars[depth], 0, state.vars, 0, NR_VARS)
    _copy(shelf.scalars[depth], NR_VARS, engine.progress, 0, PROGRESS_FIELDS)
    shelf.ends[depth + 1, 0] = wide
    shelf.ends[depth + 1, 1] = narrow


@kernel_function
def _restore_chunk(shelf: Shelf, state: State, chunk: Int, wide: Int, narrow: Int) -> tuple[Int, Int]:
    """Bring back what belongs to a chunk of the highest order; return where the next one is."""
    orders = state.orders
    page = chunk << orders.max_page
    pages = 1 << orders.max_page
    blocks = pages >> orders.block
    contptes = pages >> orders.contpte
    _copy(state.buddy_next, page, shelf.wide, wide, pages)
    _copy(state.buddy_prev, page, shelf.wide, wide + pages, pages)
    _copy(state.block_nr_free, page >> orders.block, shelf.wide, wide + 2 * pages, blocks)
    _copy(state.buddy_order, page, shelf.narrow, narrow, pages)
    _copy(state.contpte, page >> orders.contpte, shelf.narrow, narrow + pages, contptes)
    return wide + 2 * pages + blocks, narrow + pages + contptes


@kernel_function
def _reset_chunk(origin: State, state: State, chunk: Int) -> None:
    """Make a chunk of the highest order what it was at boot."""
    orders = state.orders
    page = chunk << orders.max_page
    pages = 1 << orders.max_page
    _copy(state.buddy_next, page, origin.buddy_next, page, pages)
    _copy(state.buddy_prev, page, origin.buddy_prev, page, pages)
    _copy(state.buddy_order, page, origin.buddy_order, page, pages)
    block, contpte = page >> orders.block, page >> orders.contpte
    _copy(state.block_nr_free, block, origin.block_nr_free, block, pages >> orders.block)
    _copy(state.contpte, contpte, origin.contpte, contpte, pages >> orders.contpte)


@kernel_function
def restore(shelf: Shelf, engine: EngineState, depth: Int) -> None:
    """Go back to snapshot number `depth`, which stays where it is."""
    state = engine.state
    memory = len(state.buddy_order)
    wide, narrow = shelf.ends[depth]
    flags = narrow
    narrow += len(state.touched)
    _copy(state.leaf, 0, shelf.narrow, narrow, len(state.leaf))
    narrow += len(state.leaf)
    _copy(engine.holders.chunk_order, 0, shelf.narrow, narrow, len(engine.holders.chunk_order))
    narrow += len(engine.holders.chunk_order)
    _copy(engine.holders.chunk, 0, shelf.wide, wide, len(engine.holders.chunk))
    wide += len(engine.holders.chunk)
    nr_places = len(engine.holders.page) + shelf.scalars[depth, NR_CACHED]
    _copy(engine.places, 0, shelf.wide, wide, nr_places)
    wide += nr_places
    _copy(state.buddy_next, memory, shelf.wide, wide, MAX_LISTS)
    _copy(state.buddy_prev, memory, shelf.wide, wide + MAX_LISTS, MAX_LISTS)
    wide += 2 * MAX_LISTS
    for chunk in range(memory >> state.orders.max_page):
        if shelf.narrow[flags + chunk]:
            wide, narrow = _restore_chunk(shelf, state, chunk, wide, narrow)
        elif state.touched[chunk]:
            _reset_chunk(shelf.origin, state, chunk)
    _copy(state.touched, 0, shelf.narrow, flags, len(state.touched))
    _copy(state.vars, 0, shelf.scalars[depth], 0, NR_VARS)
    _copy(engine.progress, 0, shelf.scalars[depth], NR_VARS, PROGRESS_FIELDS)


@engine_entry
def rewind(engine: EngineState, origin: State) -> None:
    """Go back to right after boot, at the cost of the memory that it has touched."""
    state = engine.state
    memory = len(state.buddy_order)
    for chunk in range(memory >> state.orders.max_page):
        if state.touched[chunk]:
            _reset_chunk(origin, state, chunk)
    _copy(state.touched, 0, origin.touched, 0, len(state.touched))
    _copy(state.leaf, 0, origin.leaf, 0, len(state.leaf))
    _copy(state.buddy_next, memory, origin.buddy_next, memory, MAX_LISTS)
    _copy(state.buddy_prev, memory, origin.buddy_prev, memory, MAX_LISTS)
    _copy(state.vars, 0, origin.vars, 0, NR_VARS)
    _copy(state.cached, 0, origin.cached, 0, origin.vars[NR_CACHED])
    engine.progress[:] = 0
