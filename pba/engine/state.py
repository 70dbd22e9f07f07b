"""The data model of the engine: a compiled trace, and what a replay of it remembers. All integers."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba.kernel.state import Events, Holders, State, Tunables

# --- Composites.node, a row each: what a run of events does to any state that needs no refill for it ---
(
    FIRST,  # its first event,
    END,  # and the one after its last
    LAST_TIME_NS,  # time of its last event,
    SPAN_NS,  # less that of its first
    ALLOCS_IN,  # page-table pages allocated,
    FREES_IN,  # and freed
    NEED,  # pages that must be cached for it to go without a refill; NEVER if its integral overflows
    PEAK,  # most pages cached after any of its events, above those at its start
    AREA,  # time integral of the cached pages above those at its start, page-ns
    DROP,  # pages that leave the top of the cached list
    PUSH,  # where its part of `push` begins; it ends where the next node's begins
    WRITE,  # where its part of `write` begins
    CHILD,  # its first child,
    CHILDREN,  # and how many it has: 0 for a chunk
    NODE_FIELDS,
) = range(15)

# --- Composites.era, a row each: passes that follow on each other, and the stretch before each ---
(
    NODE,  # the composite of all its stretches, -1 if they have no events
    MOST,  # most pages cached at any of its passes,
    LEAST,  # fewest,
    SUM,  # and those at all of them added up; each above the pages cached at boot
    HARDEST,  # lowest priority of its passes; NO_PRIORITY if one is a drop_slab()
    ERA_FIELDS,
) = range(6)

NO_PRIORITY: Final = -1
NEVER: Final = 1 << 62
"""In `NEED`: more pages than there can be."""


class Composites(NamedTuple):
    """A trace folded into transfers of pages: in trees of which each covers a bundle, and bundles in eras.

    A stretch is what lies before a pass, or after the last. A bundle is a long stretch, or short ones and
    their passes; see `pba.engine.quiet`.

    A transfer moves pages between places: a place is a slot of the trace's users (a number from 0 on), or a
    place on the cached list, counted down from its top at the start of the transfer (-1 is the head, -2 the
    page after it). It takes all pages from where they are first, then lays them down: `DROP` pages leave the
    list, then those of `push` are laid on it from the bottom up, and those of `write` go to slots. Pages that
    only come and go meanwhile do not appear.

    Examples
    --------
    Five events: pages for 1 and 2 are taken off the list, 1's comes back and is taken for 3, 2's comes back.

    >>> import pba
    >>> trace = pba.Trace.from_arrays(
    ...     {
    ...         "time_ns": [0, 10, 20, 30, 40],
    ...         "op": [0, 0, 1, 0, 1],  # A A F A F
    ...         "id": [1, 2, 1, 3, 2],
    ...         "arg": [0, 0, 0, 0, 0],
    ...     }
    ... )
    >>> found = pba.compile_trace(trace).composites

    All that is left of them is that the page at the head of the list goes to slot 0, which was 1's and is 3's
    now; the page below it, which came back, has not moved.

    >>> node = found.node[0]
    >>> int(node[DROP]), found.push.tolist(), found.write.tolist()
    (1, [], [[-1, 0]])

    It counts three allocations and two frees in 40 ns. To go without a refill it needs six cached pages, two
    above the reserve; no more are cached meanwhile than before, and 60 page-ns fewer than had all stayed.

    >>> [int(node[field]) for field in (ALLOCS_IN, FREES_IN, SPAN_NS, NEED, PEAK, AREA)]
    [3, 2, 40, 6, 0, -60]
    """

    node: NDArray[np.int64]  # (nodes + 1, NODE_FIELDS); the last row only says where `push` and `write` end
    root: NDArray[np.int64]  # (stretches,) the node of a whole stretch, -1 if it has none
    pass_event: NDArray[np.int64]  # (stretches - 1,) the event of the pass after a stretch,
    priority: NDArray[np.int8]  # (stretches - 1,) and its priority; NO_PRIORITY for drop_slab()
    push: NDArray[np.int32]  # places from which pages come to the list
    write: NDArray[np.int32]  # (writes, 2): the place that a page comes from, the slot that it goes to
    background: NDArray[np.int64]  # the trace's background events
    net: NDArray[np.int64]  # (stretches,) frees less allocations of all stretches before this one
    bundle: NDArray[np.int64]  # (bundles + 1,) the first stretch of each; see `pba.engine.quiet`
    era: NDArray[np.int64]  # (eras, ERA_FIELDS) level by level, the bundles first
    era_level: NDArray[np.int64]  # (levels + 1,) where a level's rows begin


# --- EngineState.progress, int64 ---
(
    STRETCH,  # the stretch, or the pass after it, that the replay has come to
    BUNDLE,  # a bundle that begins no later than the first one that is still to come
    BACKGROUND,  # background events done
    NR_FAILED,  # slots whose allocation failed: a free of one is no free, which no transfer knows
    DROP_SHIFT,  # drop_slab(): calls of do_shrink_slab() before this one
    CALL_FREED,  # pages freed by this call of do_shrink_slab()
    IN_PASS,  # how far a search has come in the pass at hand, see `pba.engine.search`
    PROGRESS_FIELDS,
) = range(8)


class EngineState(NamedTuple):
    """A replay of a compiled trace.

    `places` is one array for the slots' pages and the cached list (`holders.page` and `state.cached` are its
    two parts), so that a transfer finds both with one index.
    """

    state: State
    holders: Holders
    events: Events
    composites: Composites
    places: NDArray[np.int32]  # (slots + 2 N,)
    spare: NDArray[np.int32]  # the pages of a transfer, while they are nowhere
    todo: NDArray[np.int64]  # nodes to come, while a tree is walked
    progress: NDArray[np.int64]  # (PROGRESS_FIELDS,)
    fan: int  # of the composites


__all__ = ["Composites", "EngineState", "Events", "Holders", "State", "Tunables"]
