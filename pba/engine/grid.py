"""Exact results of a compiled trace for all sets of thresholds of a grid at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.engine import ahead
from pba.engine import search as searching
from pba.engine.boot import new_engine_state
from pba.engine.members import (
    BATCH,
    MEMBER_FIELDS,
    SHRINK_BLOCK_MIN_FROM,
    SHRINK_BLOCK_MIN_TO,
    UNSHRINKABLE_PAGES,
)
from pba.engine.search import RESULT_HASH, RESULT_VARS, Search
from pba.engine.snapshot import new_shelf
from pba.errors import ThresholdError
from pba.kernel.state import (
    AREA_HIGH,
    AREA_LOW,
    CACHED_AFTER_PASSES,
    COUNTERS,
    FREE_PAGES,
    NR_CACHED,
    NR_DEFERRED,
    NR_EVENTS,
    NR_VARS,
    PEAK_CACHED,
    State,
)
from pba.machine import Machine, Thresholds

if TYPE_CHECKING:
    from pba.engine.compiled import CompiledTrace

_VARS_OF_COLUMNS: Final = (
    NR_EVENTS, *range(len(COUNTERS)), NR_CACHED, PEAK_CACHED, AREA_HIGH, AREA_LOW, CACHED_AFTER_PASSES,
    NR_DEFERRED, FREE_PAGES,
)  # fmt: skip
"""Which of `State.vars` stands in which of `pba.results.COUNTER_COLUMNS`."""
_PASSES_AT_ONCE: Final = 200_000
"""Passes between two looks at whether somebody wants to know, or to stop."""


class Behaviours(NamedTuple):
    """What a trace does under every point of a grid: a row for each interval of points that behave alike.

    Rows are sorted by `unshrinkable_pages`, `batch` and `shrink_block_min_pages_from`. `cached_page_ns` is
    `cached_page_ns_high * 2**AREA_BITS + cached_page_ns_low`: it outgrows 64 bits.
    """

    unshrinkable_pages: NDArray[np.int64]  # (rows,) PBA_UNSHRINKABLE_PAGES
    batch: NDArray[np.int64]  # (rows,) shrinker->batch
    shrink_block_min_pages_from: NDArray[np.int64]  # (rows,) PBA_SHRINK_BLOCK_MIN_PAGES, from
    shrink_block_min_pages_to: NDArray[np.int64]  # (rows,) and to, inclusive
    counters: NDArray[np.int64]  # (rows, len(COUNTER_COLUMNS)), see `pba.results`
    cache_hash: NDArray[np.uint64]  # (rows,)


class _Axes(NamedTuple):
    """The points of a grid: each U with each B and with every M from `least` to `most`."""

    unshrinkable_pages: NDArray[np.int64]
    batch: NDArray[np.int64]
    least: int
    most: int


def behaviours_of(
    compiled: CompiledTrace,
    machine: Machine,
    unshrinkable_pages: NDArray[np.int64],
    batch: NDArray[np.int64],
    shrink_block_min_pages: tuple[int, int],
    *,
    look: Callable[[int], None] | None = None,
) -> Behaviours:
    """Return what a trace does under every point of a grid, exactly.

    Parameters
    ----------
    compiled : CompiledTrace
        The trace.
    machine : Machine
        The machine.
    unshrinkable_pages, batch : ndarray of int64
        Values of PBA_UNSHRINKABLE_PAGES and of the shrinker's batch, in pages.
    shrink_block_min_pages : tuple of int
        PBA_SHRINK_BLOCK_MIN_PAGES from and to, inclusive: all of its values between.
    look : callable, optional
        Called now and then with the number of points done; what it raises ends the search.

    Raises
    ------
    ThresholdError
        If a threshold is out of its range on this machine.
    TraceError
        If the trace asks for chunks that the machine does not have.

    Notes
    -----
    All points share one state until they take different pages off the cached list; then it is forked.
    The GIL is released while the search runs.
    """
    axes = _Axes(unshrinkable_pages, batch, *shrink_block_min_pages)
    _check_axes(machine, axes)
    compiled.check(machine)
    engine, origin = new_engine_state(compiled, machine)
    search = _new_search(origin, axes)
    ahead.wait(ahead.SEARCH)
    status = searching.TICK
    while status != searching.DONE:
        search.cursor[searching.STEPS] = _PASSES_AT_ONCE
        status = int(searching.search(engine, search))
        search = _with_room(search, status)
        if look is not None:
            done = search.results[: search.cursor[searching.NR_RESULTS]]
            look(int((done[:, 3] - done[:, 2] + 1).sum()))
    return _behaviours(search.results[: search.cursor[searching.NR_RESULTS]])


def _check_axes(machine: Machine, axes: _Axes) -> None:
    """Refuse thresholds out of their range."""
    if not (len(axes.unshrinkable_pages) and len(axes.batch) and axes.least <= axes.most):
        raise ThresholdError("a grid without a point", "give at least one value for each threshold")
    for pick in (np.min, np.max):
        for value in (axes.least, axes.most):
            Thresholds(int(pick(axes.unshrinkable_pages)), value, int(pick(axes.batch))).check(machine)


def _new_search(origin: State, axes: _Axes) -> Search:
    """Return a search at its beginning: one group of all points."""
    grid = np.array(np.meshgrid(axes.unshrinkable_pages, axes.batch, indexing="ij")).reshape(2, -1)
    count = grid.shape[1]
    capacity = 4 * count + 64
    members = np.zeros((capacity, MEMBER_FIELDS), np.int64)
    members[:count, UNSHRINKABLE_PAGES], members[:count, BATCH] = grid
    members[:count, SHRINK_BLOCK_MIN_FROM], members[:count, SHRINK_BLOCK_MIN_TO] = axes.least, axes.most
    cursor = np.zeros(searching.CURSOR_FIELDS, np.int64)
    cursor[searching.GROUP_END] = count
    return Search(
        shelf=new_shelf(origin, 1 << 20, 1 << 20),
        members=members,
        spare=np.empty_like(members),
        weights=np.empty(capacity, np.int64),
        pending=np.empty((capacity, 4), np.int64),
        results=np.empty((2 * capacity, RESULT_VARS + NR_VARS), np.int64),
        cursor=cursor,
    )


def _with_room(search: Search, status: int) -> Search:
    """Return the search with twice the room of what it lacks."""
    if status == searching.MORE_MEMBERS:
        return search._replace(
            members=_doubled(search.members),
            spare=_doubled(search.spare),
            weights=_doubled(search.weights),
            pending=_doubled(search.pending),
        )
    if status == searching.MORE_RESULTS:
        return search._replace(results=_doubled(search.results))
    if status == searching.MORE_SHELF:
        shelf = search.shelf
        return search._replace(shelf=shelf._replace(wide=_doubled(shelf.wide), narrow=_doubled(shelf.narrow)))
    return search


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of twice the length that begins with this one."""
    larger = np.empty((2 * len(array), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _behaviours(results: NDArray[np.int64]) -> Behaviours:
    """Return rows of results as `Behaviours`, sorted."""
    rows = results[np.lexsort((results[:, 2], results[:, 1], results[:, 0]))]
    columns = [RESULT_VARS + var for var in _VARS_OF_COLUMNS]
    return Behaviours(
        unshrinkable_pages=rows[:, 0].copy(),
        batch=rows[:, 1].copy(),
        shrink_block_min_pages_from=rows[:, 2].copy(),
        shrink_block_min_pages_to=rows[:, 3].copy(),
        counters=rows[:, columns],
        cache_hash=rows[:, RESULT_HASH].copy().view(np.uint64),
    )
