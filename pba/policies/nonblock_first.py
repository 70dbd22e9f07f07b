"""`nonblock-first`: v6 that allocates pages outside of blocks before all others."""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_inline
from pba.kernel.state import NIL, Int
from pba.policies.definition import Definition
from pba.policies.linked import LINKED, NEXT, LinkedState, chain_to_take, empty_links, with_links
from pba.policies.v6 import SOURCE


@kernel_inline
def nonblock_chain_first(state: LinkedState) -> Int:
    """In place of `chain_to_take`: pages in no block, else the list's head, which is in one."""
    nonblock = np.int64(len(state.block_nr_free))
    if state.tops[np.uint32(nonblock)] != NIL:
        return nonblock
    return np.int64(state.links[NEXT, np.uint32(len(state.buddy_order))]) >> state.orders.block


POLICIES = (
    Definition(
        name="nonblock-first",
        line="v6 that allocates cached pages outside of blocks first",
        about=(
            "An allocation, also one for a table of a split, takes the page outside of blocks that is nearest "
            "to the list's head; only without such a page the head itself. Blocks stay emptier, and go back "
            "whole more often. The first page of a refill is handed out at once as in v6."
        ),
        source=f"a variant of v6 by this project; {SOURCE}",
        replaced=LINKED | {chain_to_take: nonblock_chain_first},
        extend=with_links,
        prepare=empty_links,
    ),
)
