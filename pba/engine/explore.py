"""Exact results of a compiled trace: for one set of thresholds, or for all sets of a grid at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba import model
from pba.engine import search as searching
from pba.engine.alone import run_alone
from pba.engine.members import BATCH, MEMBER_FIELDS, MIN_FROM, MIN_TO, UNSHRINKABLE
from pba.engine.search import RESULT_HASH, RESULT_VARS, Search
from pba.engine.snapshot import copy_state, new_shelf, rewind
from pba.engine.state import PROGRESS_FIELDS, Run
from pba.errors import ThresholdError
from pba.kernel.replay import new_holders
from pba.kernel.state import (
    AREA_HIGH,
    AREA_LOW,
    COUNTERS,
    FREE_PAGES,
    LAST_TIME,
    NR_CACHED,
    NR_DEFERRED,
    NR_EVENTS,
    NR_VARS,
    PEAK_CACHED,
    State,
)
from pba.machine import Machine, Thresholds
from pba.results import ReplayResult

if TYPE_CHECKING:
    from pba.engine.compile import CompiledTrace

COLUMNS: Final = (
    "events",
    *COUNTERS,
    "nr_cached",
    "peak_cached",
    "cached_page_ns_high",
    "cached_page_ns_low",
    "nr_deferred",
    "free_pages",
)
"""Columns of `Behaviours.counters`: those of `pba.results.MEANINGS`, but `cached_page_ns` in two parts."""
_VARS: Final = (
    NR_EVENTS, *range(len(COUNTERS)), NR_CACHED, PEAK_CACHED, AREA_HIGH, AREA_LOW, NR_DEFERRED, FREE_PAGES
)  # fmt: skip
_PASSES_AT_ONCE: Final = 200_000
"""Passes between two looks at whether somebody wants to know, or to stop."""


class Behaviours(NamedTuple):
    """What a trace does under every point of a grid: a row for each interval of points that behave alike.

    Rows are sorted by `unshrinkable`, `batch` and `min_pages_from`. `cached_page_ns` is
    `cached_page_ns_high * 2**61 + cached_page_ns_low`: it outgrows 64 bits.
    """

    unshrinkable: NDArray[np.int64]  # (rows,) PBA_UNSHRINKABLE_PAGES
    batch: NDArray[np.int64]  # (rows,) shrinker->batch
    min_pages_from: NDArray[np.int64]  # (rows,) PBA_SHRINK_BLOCK_MIN_PAGES, from
    min_pages_to: NDArray[np.int64]  # (rows,) and to, inclusive
    counters: NDArray[np.int64]  # (rows, len(COLUMNS))
    cache_hash: NDArray[np.uint64]  # (rows,)


class _Spare(threading.local):
    """Machines that stand ready, of each thread its own: as booted, and to work on."""

    def __init__(self) -> None:
        self.states: dict[Machine, tuple[State, State]] = {}


_spare = _Spare()
_MAX_SPARE: Final = 2


def new_run(compiled: CompiledTrace, machine: Machine) -> tuple[Run, State]:
    """Return a compiled trace about to run on a booted machine, and the machine as it booted.

    Runs of a thread on the same machine share its arrays: one ends the run before.
    """
    origin, state = _machine(machine)
    nr_slots = compiled.nr_slots
    places = np.empty(nr_slots + 2 * machine.memory_pages, np.int32)
    holders = new_holders(0, compiled.nr_background_slots)._replace(page=places[:nr_slots])
    run = Run(
        state=state._replace(cached=places[nr_slots:]),
        holders=holders,
        events=compiled.events,
        composites=compiled.composites,
        places=places,
        spare=np.empty(compiled.most_moves, np.int32),
        todo=np.empty(64 * compiled.fan, np.int64),  # fewer than `fan` wait at each of at most 63 levels
        progress=np.zeros(PROGRESS_FIELDS, np.int64),
        fan=compiled.fan,
    )
    rewind(run, origin)
    if compiled.nr_events:
        run.state.vars[LAST_TIME] = compiled.events.time_ns[0]
    return run, origin


def _machine(machine: Machine) -> tuple[State, State]:
    """Return a machine as booted, and one to work on."""
    if machine not in _spare.states:
        if len(_spare.states) >= _MAX_SPARE:
            del _spare.states[next(iter(_spare.states))]
        state = model.boot(machine)
        _spare.states[machine] = copy_state(state), state
    return _spare.states[machine]


def replay_compiled(
    compiled: CompiledTrace,
    thresholds: Thresholds | None = None,
    machine: Machine | None = None,
    *,
    strict: bool = False,
) -> ReplayResult:
    """Replay a compiled trace; the result is that of the replay event by event, bit for bit.

    Parameters and errors are those of `pba.replay`.
    """
    machine = machine or model.machine_of(compiled)
    thresholds = thresholds or Thresholds.patch(machine)
    thresholds.check(machine)
    compiled.check(machine, strict)
    run, _ = new_run(compiled, machine)
    run_alone(run, model.tunables_of(thresholds), one_member(thresholds))
    counters = model.counters_of(run.state)
    return ReplayResult(
        trace_name=compiled.name,
        machine=machine,
        thresholds=thresholds,
        counters=counters,
        cache_hash=counters["cache_hash"],
        duration_ns=compiled.duration_ns,
        unknown_frees=compiled.unknown_frees,
    )


def one_member(thresholds: Thresholds) -> NDArray[np.int64]:
    """Return the table of members (`pba.engine.members`) of one set of thresholds."""
    members = np.zeros((1, MEMBER_FIELDS), np.int64)
    members[0, UNSHRINKABLE], members[0, BATCH] = thresholds.unshrinkable_pages, thresholds.batch
    members[0, MIN_FROM] = members[0, MIN_TO] = thresholds.shrink_block_min_pages
    return members


def explore(
    compiled: CompiledTrace,
    machine: Machine,
    unshrinkable: NDArray[np.int64],
    batch: NDArray[np.int64],
    min_pages: tuple[int, int],
    *,
    look: Callable[[int], None] | None = None,
) -> Behaviours:
    """Return the exact results of every point of `unshrinkable` x `batch` x all of `min_pages`.

    Parameters
    ----------
    compiled : CompiledTrace
        The trace.
    machine : Machine
        The machine.
    unshrinkable, batch : ndarray of int64
        Values of PBA_UNSHRINKABLE_PAGES and of the shrinker's batch, in pages.
    min_pages : tuple of int
        PBA_SHRINK_BLOCK_MIN_PAGES from and to, inclusive.
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
    All points share the run until they take different pages off the cached list; then the state is forked.
    The GIL is released while the search runs.
    """
    _check_grid(machine, unshrinkable, batch, min_pages)
    compiled.check(machine)
    run, origin = new_run(compiled, machine)
    search = _new_search(origin, unshrinkable, batch, min_pages)
    status = searching.TICK
    while status != searching.DONE:
        search.cursor[searching.STEPS] = _PASSES_AT_ONCE
        status = searching.search(run, search)
        search = _with_room(search, status)
        if look is not None:
            done = search.results[: search.cursor[searching.NR_RESULTS]]
            look(int((done[:, 3] - done[:, 2] + 1).sum()))
    return _behaviours(search.results[: search.cursor[searching.NR_RESULTS]])


def _check_grid(
    machine: Machine, unshrinkable: NDArray[np.int64], batch: NDArray[np.int64], min_pages: tuple[int, int]
) -> None:
    """Refuse thresholds out of their range."""
    if not (len(unshrinkable) and len(batch) and min_pages[0] <= min_pages[1]):
        raise ThresholdError("a grid without a point", "give at least one value for each threshold")
    for pick in (np.min, np.max):
        for value in min_pages:
            Thresholds(int(pick(unshrinkable)), int(value), int(pick(batch))).check(machine)


def _new_search(
    origin: State, unshrinkable: NDArray[np.int64], batch: NDArray[np.int64], min_pages: tuple[int, int]
) -> Search:
    """Return a search at its beginning: one group of all points."""
    grid = np.array(np.meshgrid(unshrinkable, batch, indexing="ij")).reshape(2, -1)
    count = grid.shape[1]
    capacity = 4 * count + 64
    members = np.zeros((capacity, MEMBER_FIELDS), np.int64)
    members[:count, UNSHRINKABLE], members[:count, BATCH] = grid
    members[:count, MIN_FROM], members[:count, MIN_TO] = min_pages
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
    columns = [RESULT_VARS + var for var in _VARS]
    return Behaviours(
        unshrinkable=rows[:, 0].copy(),
        batch=rows[:, 1].copy(),
        min_pages_from=rows[:, 2].copy(),
        min_pages_to=rows[:, 3].copy(),
        counters=rows[:, columns],
        cache_hash=rows[:, RESULT_HASH].copy().view(np.uint64),
    )
