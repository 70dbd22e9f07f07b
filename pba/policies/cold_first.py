"""`cold-first`: v6 whose shrinker takes the pages that were freed longest ago."""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function
from pba.kernel.shrinker import is_wanted, take_pages
from pba.kernel.state import NR_CACHED, Int, State
from pba.policies.definition import Definition
from pba.policies.v6 import SOURCE


@kernel_function
def take_pages_from_tail(state: State, target: Int, wanted: Int) -> None:
    """In place of `take_pages`: the walk goes from the list's tail to its head."""
    nr_cached = state.vars[NR_CACHED]
    last = len(state.cached) - 1
    taken = np.int64(0)
    kept = np.int64(0)
    for i in range(nr_cached):
        page = state.cached[i]
        if taken < wanted and is_wanted(state, np.int64(page), target):
            state.cached[last - taken] = page
            taken += 1
        else:
            state.cached[kept] = page
            kept += 1
    state.vars[NR_CACHED] = kept


POLICIES = (
    Definition(
        name="cold-first",
        line="v6 that shrinks from the tail: pages freed longest ago",
        about=(
            "What a scan chooses is as in v6; the walk that takes pages off the list goes from its tail to its "
            "head. Pages freed last, which caches may still hold, stay for the next allocation."
        ),
        source=f"a variant of v6 by this project; {SOURCE}",
        replaced={take_pages: take_pages_from_tail},
    ),
)
