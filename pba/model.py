"""The one door between traces and the simulated kernel: check, cast, run, and say what came out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pba import pool
from pba.errors import MachineError, PbaError, TraceError, option
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_DROP, OP_FREE, OP_SHRINK
from pba.kernel import origins as kernel_origins
from pba.kernel import replay as kernel
from pba.kernel.memory import StartMemory, place_memory
from pba.kernel.state import (
    CACHED_AFTER_PASSES,
    COUNTERS,
    FREE_PAGES,
    LEAF_PMD,
    NIL,
    NR_CACHED,
    NR_DEFERRED,
    NR_EVENTS,
    NR_VARS,
    PEAK_CACHED,
    PMD_SPLITS,
    PUD_SPLITS,
    Events,
    Holders,
    Orders,
    State,
    Tunables,
    cached_page_ns,
)
from pba.kernel.watermarks import (
    GROWTH,
    IS_MGLRU,
    LRU_PAGES,
    RECLAIM_COUNTERS,
    RECLAIM_VARS,
    RECLAIMABLE,
    WMARK_HIGH,
    WMARK_LOW,
    WMARK_MIN,
    ReclaimHolders,
    Wmarks,
    __setup_per_zone_wmarks,
    calculate_min_free_kbytes,
    set_recommended_min_free_kbytes,
)
from pba.machine import ALL_FREE, LINEAR_MAPS, SHARE_UNIT, Machine, Start, Thresholds
from pba.policies import machine as policies
from pba.policies.policy import Policy
from pba.policies.state import PMD_COLLAPSES, RIVAL_COUNTERS
from pba.results import RIVAL_SHARES, ReplayResult
from pba.trace.table import refuse_unknown_frees
from pba.watermarks import Watermarks

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from pba.trace.metadata import Metadata
    from pba.trace.table import Trace

SHRINK_BATCH = 128
"""What a shrinker without a batch of its own is asked for at a time (mm/shrinker.c), in pages."""
V6 = Policy("v6")
"""The patch's own policy."""
TIMELINE_COUNTERS = ("pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits", "pmd_collapses")


def replay(
    trace: Trace,
    thresholds: Thresholds | None = None,
    machine: Machine | None = None,
    *,
    checkpoint_every: int = 0,
    timeline: bool = False,
    strict: bool = False,
    policy: str | Policy | None = None,
    reclaim: str | Watermarks | None = None,
) -> ReplayResult:
    """Replay a trace event by event: `pba.replay` (pba.engine.replay), where the parameters are described."""
    machine = machine or machine_of(trace)
    policy = Policy.of(policy)
    thresholds = policy.thresholds_on(machine, thresholds)
    check_trace(trace, machine, strict)
    if checkpoint_every < 0:
        raise PbaError(f"checkpoint_every = {checkpoint_every} is negative", "use 0 for no checkpoints")

    memory = starting_memory(trace, machine)
    state = _borrow(machine, memory, policy)
    watermarks = Watermarks.of(reclaim)
    tunables, plain, events = prepare(trace, thresholds, memory)
    holders = (
        plain if watermarks is None else _reacting(watermarks, plain, trace, machine, len(trace) * timeline)
    )
    called = kernel_functions(policy, watermarks is not None)
    frame = None
    checkpoints = None
    if timeline:
        frame = _timeline(called, trace, (state, tunables, holders, events))
        if "pmd_collapses" not in policy.definition.counters:
            del frame["pmd_collapses"]
        if checkpoint_every:
            # A timeline steps through single events; checkpoints want their own pass.
            checkpoints = replay(
                trace,
                thresholds,
                machine,
                checkpoint_every=checkpoint_every,
                policy=policy,
                reclaim=watermarks,
            ).checkpoints
    elif checkpoint_every:
        checkpoints = _checkpoints(called, checkpoint_every, (state, tunables, holders, events))
    else:
        called.replay_events(state, tunables, holders, events, (0, len(trace)))
    found = _outcome(trace, thresholds, machine, state, policy)
    if isinstance(holders, ReclaimHolders):
        if frame is not None:
            frame["visited"] = (holders.visited == 1) | (trace.op == OP_DROP) | _is_drop(trace)
        found = replace(found, watermarks=watermarks, counters=found.counters | reclaim_counters(holders))
    _give_back(machine, state, policy)
    return replace(found, checkpoints=checkpoints, timeline=frame)


def _outcome(
    trace: Trace, thresholds: Thresholds | None, machine: Machine, state: State, policy: Policy
) -> ReplayResult:
    """Return what a state at the end of a replay comes to, without tables."""
    counters = counters_of(state) if policy.is_v6 else counters_under(policy, state)
    return ReplayResult(
        trace_name=trace.name,
        machine=machine,
        thresholds=thresholds,
        counters=counters,
        cache_hash=counters["cache_hash"],
        duration_ns=trace.duration_ns,
        unknown_frees=trace.unknown_frees,
        policy=policy,
    )


def replay_windows(
    trace: Trace, thresholds: Thresholds, machine: Machine, ends: NDArray[np.int64]
) -> tuple[ReplayResult, kernel.Windows]:
    """Replay a trace event by event, and write down what holds at the end of each window of it.

    Parameters
    ----------
    ends : ndarray of int64
        The event after the last of each window, never descending; the last one is the number of events.

    Returns
    -------
    result : ReplayResult
        As that of `replay`, to the bit.
    windows : Windows
        What is written down.
    """
    thresholds.check(machine)
    check_trace(trace, machine)
    windows = _windows(ends)
    memory = starting_memory(trace, machine)
    state = _borrow(machine, memory, V6)
    kernel.replay_windows(state, *prepare(trace, thresholds, memory), windows)
    found = _outcome(trace, thresholds, machine, state, V6)
    _give_back(machine, state, V6)
    return found, windows


def _windows(ends: NDArray[np.int64]) -> kernel.Windows:
    """Return windows of which nothing is written down yet."""
    rows = np.zeros((len(ends), kernel.WINDOW_COLUMNS), np.int64)
    return kernel.Windows(ends, rows, np.zeros((len(ends), kernel.BLOCK_COLUMNS), np.int64))


def replay_origins(
    trace: Trace, thresholds: Thresholds, machine: Machine, ends: NDArray[np.int64]
) -> tuple[ReplayResult, kernel_origins.Origins]:
    """Replay a trace event by event, and write down each split of a PMD leaf, and each window with its blocks.

    Parameters
    ----------
    ends : ndarray of int64
        The event after the last of each window, never descending; the last one is the number of events.

    Returns
    -------
    result : ReplayResult
        As that of `replay`, to the bit.
    log : Origins
        What is written down; of its rows only those that there are.
    """
    thresholds.check(machine)
    check_trace(trace, machine)
    blocks = machine.memory_pages >> machine.orders.block
    log = kernel_origins.Origins(
        _windows(ends), np.empty((len(ends), blocks), np.int32),
        np.zeros((blocks, kernel_origins.ORIGIN_COLUMNS), np.int64), np.zeros(blocks, np.uint8),
        np.zeros(1, np.int64),
    )  # fmt: skip
    memory = starting_memory(trace, machine)
    state = _borrow(machine, memory, V6)
    kernel_origins.replay_origins(state, *prepare(trace, thresholds, memory), log)
    found = _outcome(trace, thresholds, machine, state, V6)
    _give_back(machine, state, V6)
    return found, log._replace(rows=log.rows[: log.nr_rows[0]])


class Moment(NamedTuple):
    """Copies of what a state holds at a moment; see `pba.kernel.state.State`."""

    cached: NDArray[np.int32]  # pfns from the list's tail to its head
    buddy_order: NDArray[np.int8]  # (N,)
    block_nr_free: NDArray[np.int32]  # (N >> block,)
    leaf: NDArray[np.uint8]  # (N >> block,)
    live: NDArray[np.int32]  # pfns of live page tables
    pmd_splits: int  # so far


def states_at(
    trace: Trace, thresholds: Thresholds, machine: Machine, wanted: Sequence[int]
) -> Iterator[Moment]:
    """Replay a trace under v6, and yield what its state holds after each of some numbers of events, ascending."""
    thresholds.check(machine)
    check_trace(trace, machine)
    memory = starting_memory(trace, machine)
    state = _borrow(machine, memory, V6)
    tunables, holders, events = prepare(trace, thresholds, memory)
    done = 0
    for end in wanted:
        kernel.replay_events(state, tunables, holders, events, (done, end))
        done = end
        yield Moment(
            state.cached[: state.vars[NR_CACHED]].copy(), state.buddy_order.copy(), state.block_nr_free.copy(),
            state.leaf.copy(), _live_pages(trace, end, holders), int(state.vars[PMD_SPLITS]),
        )  # fmt: skip
    _give_back(machine, state, V6)


def _live_pages(trace: Trace, end: int, holders: Holders) -> NDArray[np.int32]:
    """Return the pages of the page tables that live after so many events: a slot keeps its page after its free."""
    op, slot = trace.op[:end], trace.slot[:end]
    about_tables = ((op == OP_ALLOC) | (op == OP_FREE)) & (slot >= 0)
    ops, slots = op[about_tables][::-1], slot[about_tables][::-1]
    of_slot, last = np.unique(slots, return_index=True)
    pages: NDArray[np.int32] = holders.page[of_slot[ops[last] == OP_ALLOC]]
    found: NDArray[np.int32] = pages[pages != NIL]
    return found


class _Described(Protocol):
    """A trace in any form that says where it comes from."""

    @property
    def metadata(self) -> Metadata:
        """What is known of it."""


def machine_of(trace: _Described) -> Machine:
    """Return the machine that a trace was recorded on, as far as it says; 4 KiB pages and 4 GiB otherwise.

    Memory is rounded to whole chunks of the largest order.
    """
    page_size_kib = trace.metadata.page_size_kib or 4
    if not trace.metadata.memory_pages:
        return Machine(page_size_kib)
    return Machine.from_bytes(page_size_kib, trace.metadata.memory_pages * page_size_kib * 1024)


def boot(machine: Machine, memory: StartMemory | None = None) -> State:
    """Return a booted state of this machine, by default with all its memory free."""
    return kernel.new_state(_orders(machine), machine.memory_pages, _largest_leaf(machine), memory)


def _orders(machine: Machine) -> Orders:
    """Return a machine's orders in the kernel's own terms."""
    orders = machine.orders
    return Orders(orders.block, *orders.refill, orders.contpte, orders.contpmd, orders.pud, orders.max_page)


class Recorded(_Described, Protocol):
    """A trace in any form that has its events, too."""

    @property
    def name(self) -> str:
        """Its name."""


_known_memory: WeakKeyDictionary[Any, dict[Machine, StartMemory]] = WeakKeyDictionary()


def started(machine: Machine, memory_from_trace: bool, fragmented: float | None, seed: int) -> Machine:
    """Return a machine whose memory starts as the words of `pba.replay` say, where they say anything.

    Raises
    ------
    MachineError
        If memory cannot start like this, or the machine starts otherwise already.
    """
    said = Start(memory_from_trace, fragmented, seed)
    if said == ALL_FREE or said == machine.start:
        return machine
    if machine.start != ALL_FREE:
        raise MachineError(f"the machine starts with {machine.start} already, not {said}", "say one of them")
    return replace(machine, start=said)


def starting_memory(trace: Recorded, machine: Machine) -> StartMemory | None:
    """Return the memory that a machine starts with (`Machine.start`); None where all is free.

    Of a recording (`Start.from_trace`): the free lists hold exactly as many chunks of each order as
    `/proc/buddyinfo` said, summed over zones and
    nodes (`pba.kernel.memory.place_memory` says where). The chunks that the recording knows to be live at the
    start (its `B` events at time 0, `Background.live_at_start` of them) lie in the held part: their `B` takes
    nothing from the free lists, and their `b` gives held memory back. All else stays held. Page tables that
    were live at the start were held on the recorded machine, too; here the block allocator takes their pages
    from free memory, after its first refill, so that much less of it is left.

    Raises
    ------
    TraceError
        If the trace says nothing of free memory, the machine is not the recorded one, or has no room for it.
    """
    start = machine.start
    if start.fragmented is not None:
        return _fragmented(machine.page_size_kib, machine.memory_pages, start.share_ppm, start.seed)
    if not start.from_trace:
        return None
    known = _known_memory.setdefault(trace, {})
    if machine not in known:
        known[machine] = _place_memory(trace, machine)
    return known[machine]


def start_key(trace: Recorded, machine: Machine) -> str:
    """Return what of a trace beside its events shapes a replay on a machine: the memory that it starts with."""
    if not machine.start.from_trace:
        return ""
    background = trace.metadata.quality.background
    return f"{trace.metadata.free_chunks} {background.live_at_start if background else 0}"


@lru_cache(maxsize=8)
def _fragmented(page_size_kib: int, memory_pages: int, share_ppm: int, seed: int) -> StartMemory:
    from pba.kernel.fragment import fragmented_memory

    return fragmented_memory(_orders(Machine(page_size_kib, memory_pages)), memory_pages, share_ppm, seed)


def _place_memory(trace: Recorded, machine: Machine) -> StartMemory:
    free = trace.metadata.free_chunks
    hint = f"record it with pba record, or replay it without {option('memory_from_trace', True)}"
    if not free:
        raise TraceError(f"{trace.name}: the trace does not say what memory was free at its start", hint)
    if trace.metadata.page_size_kib != machine.page_size_kib or machine.at_rest != replace(
        machine_of(trace), linear_map=machine.linear_map
    ):
        raise TraceError(
            f"{trace.name}: the free memory is that of {machine_of(trace)}, not of {machine.at_rest}",
            "leave page size and memory to the trace",
        )
    orders = _orders(machine)
    counts = np.zeros(orders.max_page + 1, np.int64)
    for order, count in enumerate(free):  # a kernel may be built with larger chunks than the model's
        above = max(order - orders.max_page, 0)
        counts[order - above] += count << above
    events = _events_of(trace)
    held = events.arg[held_at_start(trace)].astype(np.int64)
    memory = place_memory(orders, machine.memory_pages, counts, held)
    if isinstance(memory, int):
        raise TraceError(
            f"{trace.name}: {machine.at_rest} has no room for the chunks of order {memory} that were free or held",
            hint,
        )
    return memory


def _events_of(trace: Any) -> Any:
    """Return the columns of a trace's events: a compiled one has them as a part of its own."""
    return getattr(trace, "events", trace)


def held_at_start(trace: Recorded) -> NDArray[np.intp]:
    """Return which events are the chunks that the recording found live at its start."""
    background, events = trace.metadata.quality.background, _events_of(trace)
    live = background.live_at_start if background else 0
    if not live:
        return np.empty(0, np.intp)
    at_zero = int(np.searchsorted(events.time_ns, 0, side="right"))
    found: NDArray[np.intp] = np.flatnonzero(events.op[:at_zero] == OP_BG_ALLOC)[:live]
    return found


def boot_under(policy: Policy, machine: Machine, memory: StartMemory | None = None) -> Any:
    """Return a booted state of this machine under a policy other than v6."""
    state = policies.make_state(policy, _orders(machine), machine.memory_pages)
    policies.boot(policy, state, _largest_leaf(machine), memory)
    return state


def _borrow(machine: Machine, memory: StartMemory | None, policy: Policy) -> State:
    """Return a booted state of this machine, on the arrays of an earlier replay if there are any."""
    kept = pool.take(_place(machine, policy))
    if kept is None:
        return boot(machine, memory) if policy.is_v6 else boot_under(policy, machine, memory)
    if policy.is_v6:
        kernel.reboot(kept[0], _largest_leaf(machine), memory)
    else:
        policies.boot(policy, kept[0], _largest_leaf(machine), memory)
    return kept[0]


def _give_back(machine: Machine, state: State, policy: Policy) -> None:
    """Keep a state's arrays for the next replay."""
    pool.give(_place(machine, policy), [state])


def _place(machine: Machine, policy: Policy) -> tuple[object, ...]:
    """Return where the pool keeps a machine's arrays: policies whose arrays are alike share them."""
    if policy.is_v6:
        return "events", machine.at_rest
    return "policies", policy.definition.extend, machine.at_rest


def kernel_functions(policy: Policy, reacts: bool = False) -> Any:
    """Return the functions that replay under a policy: the kernel's own, or those with some replaced."""
    if policy.is_v6 and not reacts:
        return kernel
    return policies.kernel_of("v6" if policy.is_v6 else policy.name, reacts)


# Reclaim that reacts


_known_cache: WeakKeyDictionary[Trace, dict[tuple[Machine, int], NDArray[np.int32]]] = WeakKeyDictionary()
"""Page cache at the start of a trace's replays, which takes longer to find than many of them."""


def marks_of(watermarks: Watermarks, machine: Machine) -> Wmarks:
    """Return the watermarks min, low and high of a machine, in pages.

    Raises
    ------
    PbaError
        If high is more than there is memory.
    """
    page_kbytes = machine.page_size_kib
    kbytes = watermarks.min_free_kbytes
    if kbytes is None:
        kbytes = calculate_min_free_kbytes(machine.memory_pages * page_kbytes)
        if watermarks.thp:
            order = min(machine.orders.block, machine.orders.max_page)
            kbytes = set_recommended_min_free_kbytes(kbytes, machine.memory_pages, page_kbytes, order)
    found = __setup_per_zone_wmarks(kbytes // page_kbytes, machine.memory_pages)
    if found.high >= machine.memory_pages:
        told = "" if watermarks.min_free_kbytes is None else f"{option('min_free_kbytes', kbytes)}: "
        raise PbaError(
            f"{told}the high watermark, {found.high} pages, is more than the memory: {machine.at_rest}",
            "use less min_free_kbytes, or more memory",
        )
    return found


def _reacting(
    watermarks: Watermarks, holders: Holders, trace: Trace, machine: Machine, nr_noted: int
) -> ReclaimHolders:
    """Return holders with page cache, and watermarks to react to."""
    marks = marks_of(watermarks, machine)
    share = round(watermarks.page_cache_share * SHARE_UNIT)
    known = _known_cache.setdefault(trace, {})
    if (machine, share) not in known:
        memory = starting_memory(trace, machine)
        known[machine, share] = page_cache_at_start(machine, memory, holders, share)
    return reclaiming_holders(
        holders,
        machine.memory_pages,
        marks,
        watermarks.page_cache_growth // machine.page_size_kib,
        round(watermarks.reclaimable_share * SHARE_UNIT),
        watermarks.mglru,
        known[machine, share],
        nr_noted,
    )


def reclaiming_holders(
    holders: Holders,
    memory_pages: int,
    marks: Wmarks,
    growth: int,
    reclaimable: int,
    mglru: bool,
    cache: NDArray[np.int32],
    nr_noted: int = 0,
) -> ReclaimHolders:
    """Return holders for reclaim that reacts.

    Parameters
    ----------
    holders : Holders
        The trace's.
    memory_pages : int
        The machine's memory.
    marks : Wmarks
        The watermarks.
    growth : int
        Pages of page cache a second.
    reclaimable : int
        Of those scanned, parts per million that are given back.
    mglru : bool
        Whether kswapd begins as the multi-gen LRU does.
    cache : ndarray of int32
        Page cache at the start: pfns, oldest first.
    nr_noted : int
        Events of which it is noted whether they brought visits of the shrinkers: all of them, or 0.
    """
    reclaim = np.zeros(RECLAIM_VARS, np.int64)
    reclaim[[WMARK_MIN, WMARK_LOW, WMARK_HIGH]] = marks
    reclaim[GROWTH], reclaim[RECLAIMABLE], reclaim[IS_MGLRU] = growth, reclaimable, mglru
    reclaim[LRU_PAGES] = len(cache)
    lru = np.empty(memory_pages, np.int32)
    return ReclaimHolders(*holders, cache, lru, reclaim, np.zeros(nr_noted, np.int8))


def page_cache_at_start(
    machine: Machine, memory: StartMemory | None, holders: Holders, share: int
) -> NDArray[np.int32]:
    """Return which of the held pages are page cache, oldest first: block after block, spread over memory."""
    if memory is None or share == 0:
        return np.empty(0, np.int32)
    is_held = np.ones(machine.memory_pages, np.bool_)
    for order, chunks in enumerate(memory.free):
        is_held[(chunks[:, None] + np.arange(1 << order)).ravel()] = False
    for page, order in zip(holders.chunk, holders.chunk_order, strict=True):
        if page != NIL:  # held at the start, and the trace gives it back
            is_held[page : page + (1 << int(order))] = False
    # A run a block: readahead and the buddy allocator place what comes together side by side.
    blocks = machine.memory_pages >> machine.orders.block
    step = max(int(blocks * 0.6180339887), 1)
    while gcd(step, blocks) > 1:
        step += 1
    turn = np.arange(blocks, dtype=np.int64) * step % blocks
    of_block = np.arange(machine.memory_pages, dtype=np.int64).reshape(blocks, -1)[turn]
    pages = of_block[is_held.reshape(blocks, -1)[turn]]
    found: NDArray[np.int32] = pages[: len(pages) * share // SHARE_UNIT].astype(np.int32)
    return found


def _is_drop(trace: Trace) -> NDArray[np.bool_]:
    """Return which recorded visits stay where reclaim reacts: those of priority 0, of `drop_caches`."""
    is_drop: NDArray[np.bool_] = (trace.op == OP_SHRINK) & (trace.arg == 0)
    return is_drop


def reclaim_counters(holders: ReclaimHolders) -> dict[str, int]:
    """Return what reclaim that reacts counts, by its names."""
    known = holders.reclaim.tolist()
    return dict(zip(RECLAIM_COUNTERS, known, strict=False)) | {"page_cache_pages": known[LRU_PAGES]}


def counters_under(policy: Policy, state: State) -> dict[str, Any]:
    """Return all that a policy other than v6 counts, by its names."""
    called = kernel_functions(policy)
    counted = counters_of(state, called)
    extra = dict(zip(RIVAL_COUNTERS, state.vars[NR_VARS:].tolist(), strict=False))
    if not policy.definition.is_rival:
        return counted | {name: extra[name] for name in policy.definition.counters}
    single = extra["protect_single_calls"] + extra["unprotect_single_calls"]
    calls = counted["protect_calls"] + counted["unprotect_calls"]
    return {
        **{name: counted[name] for name in RIVAL_SHARES},
        **extra,
        "pagewise_calls": single,
        "range_calls": calls - single,
        "pages_changed": counted["protect_pages"] + counted["unprotect_pages"],
        "held_pages": counted["nr_cached"],
        "peak_held": counted["peak_cached"],
        "held_page_ns": counted["cached_page_ns"],
        "held_after_passes": counted["cached_after_passes"],
        **{name: counted[name] for name in ("nr_deferred", "free_pages", "cache_hash")},
    }


def _largest_leaf(machine: Machine) -> int:
    """Return the largest leaf of a machine's linear map as the kernel's code."""
    return LINEAR_MAPS.index(machine.linear_map) + LEAF_PMD


def prepare(
    trace: Trace, thresholds: Thresholds | None, memory: StartMemory | None = None
) -> tuple[Tunables, Holders, Events]:
    """Return a trace and thresholds in the kernel's own terms.

    Where the trace's chunks lie in the starting memory already, their holders hold them, and their `B` events
    become frees of what is not live, which do nothing.
    """
    holders = kernel.new_holders(trace.nr_slots, trace.nr_background_slots)
    events = Events(trace.time_ns, trace.op, trace.slot, trace.arg)
    if memory is not None and len(memory.held):
        held = held_at_start(trace)
        hold(events, held, memory, holders)
        op, slot = events.op.copy(), events.slot.copy()
        op[held], slot[held] = OP_BG_FREE, -1
        events = events._replace(op=op, slot=slot)
    return tunables_of(thresholds), holders, events


def hold(events: Events, held: NDArray[np.intp], memory: StartMemory, holders: Holders) -> None:
    """Have holders hold the chunks that lie in the starting memory."""
    holders.chunk[events.slot[held]] = memory.held
    holders.chunk_order[events.slot[held]] = events.arg[held]


def tunables_of(thresholds: Thresholds | None) -> Tunables:
    """Return thresholds in the kernel's own terms; without any a batch of SHRINK_BATCH is all there is."""
    if thresholds is None:
        return Tunables(0, 1, SHRINK_BATCH)
    return Tunables(
        int(thresholds.unshrinkable_pages), int(thresholds.shrink_block_min_pages), int(thresholds.batch)
    )


def counters_of(state: State, called: Any = kernel) -> dict[str, Any]:
    """Return all counters of a state by their names."""
    scalars = state.vars
    counters: dict[str, Any] = {"events": int(scalars[NR_EVENTS])}
    counters.update(zip(COUNTERS, state.vars[: len(COUNTERS)].tolist(), strict=True))
    counters.update(
        nr_cached=int(scalars[NR_CACHED]),
        peak_cached=int(scalars[PEAK_CACHED]),
        cached_page_ns=cached_page_ns(state),
        cached_after_passes=int(scalars[CACHED_AFTER_PASSES]),
        nr_deferred=int(scalars[NR_DEFERRED]),
        free_pages=int(scalars[FREE_PAGES]),
        cache_hash=hash_of(state, called),
    )
    return counters


def hash_of(state: State, called: Any = kernel) -> str:
    """Return the hash of the cached list as 16 hexadecimal digits."""
    with np.errstate(over="ignore"):  # FNV wraps on purpose; only without the JIT does numpy see it
        return f"{int(called.cache_hash(state)):016x}"


def check_trace(trace: Trace, machine: Machine, strict: bool = False) -> None:
    """Refuse what this machine cannot replay."""
    check_orders(trace.name, trace.op, trace.arg, machine)
    if strict:
        refuse_unknown_frees(trace)


def check_orders(name: str, op: NDArray[np.int8], arg: NDArray[np.int8], machine: Machine) -> None:
    """Refuse a trace that asks for chunks that this machine does not have."""
    orders = np.where(op == OP_BG_ALLOC, arg, 0)
    if len(orders) and int(orders.max()) > machine.orders.max_page:
        where = int(np.flatnonzero(orders > machine.orders.max_page)[0])
        raise TraceError(
            f"{name}: a chunk of order {orders[where]} does not exist on {machine}",
            f"the largest order there is {machine.orders.max_page}",
            event=where,
        )


def _timeline(called: Any, trace: Trace, run: tuple[State, Tunables, Any, Events]) -> pd.DataFrame:
    """Replay event by event and return the timeline."""
    import pandas as pd

    rows = np.empty((len(trace), kernel.TIMELINE_COLUMNS), np.int64)
    called.replay_timeline(*run, rows)
    columns = {"time_ns": trace.time_ns, "nr_cached": rows[:, 0], "live_pages": rows[:, 1]}
    columns.update({name: rows[:, 2 + at] for at, name in enumerate(TIMELINE_COUNTERS)})
    return pd.DataFrame(columns)


STEP_COLUMNS: Final = ("held", "free_pages", "pud_splits", "pmd_splits", "pmd_collapses")
"""What `replay_steps` writes down: pages held and free; splits, and blocks folded again, so far."""


def replay_steps(
    trace: Trace, thresholds: Thresholds | None, machine: Machine, policy: Policy, ends: NDArray[np.int64]
) -> tuple[ReplayResult, NDArray[np.int64]]:
    """Replay a trace event by event under any policy, and write down what holds after some numbers of events.

    Parameters
    ----------
    ends : ndarray of int64
        Numbers of events, never descending; the last one is that of all events.

    Returns
    -------
    result : ReplayResult
        As that of `replay`, to the bit.
    rows : ndarray of int64, shape (len(ends), len(STEP_COLUMNS))
        See `STEP_COLUMNS`.
    """
    thresholds = policy.thresholds_on(machine, thresholds)
    check_trace(trace, machine)
    memory = starting_memory(trace, machine)
    state = _borrow(machine, memory, policy)
    run = (state, *prepare(trace, thresholds, memory))
    called = kernel_functions(policy, False)
    rows = np.empty((len(ends), len(STEP_COLUMNS)), np.int64)
    folds = "pmd_collapses" in policy.definition.counters
    done = 0
    for at, end in enumerate(ends.tolist()):
        called.replay_events(*run, (done, end))
        done = end
        rows[at, :-1] = state.vars[[NR_CACHED, FREE_PAGES, PUD_SPLITS, PMD_SPLITS]]
        rows[at, -1] = state.vars[PMD_COLLAPSES] if folds else 0
    found = _outcome(trace, thresholds, machine, state, policy)
    _give_back(machine, state, policy)
    return found, rows


def _checkpoints(called: Any, every: int, run: tuple[State, Tunables, Any, Events]) -> pd.DataFrame:
    """Replay in stretches of `every` events and return the state after each whole stretch."""
    import pandas as pd

    state, _, _, events = run
    rows = []
    length = len(events.op)
    for start in range(0, length, every):
        end = min(start + every, length)
        called.replay_events(*run, (start, end))
        if end - start == every:
            scalars = state.vars
            row = (end, scalars[NR_CACHED], hash_of(state, called), scalars[FREE_PAGES], scalars[PMD_SPLITS])
            rows.append(row)
    return pd.DataFrame(rows, columns=["event", "nr_cached", "cache_hash", "free_pages", "pmd_splits"])
