"""`fullest-first`: v6 that allocates from the block with the fewest free pages.

**How the block is found.** Blocks with the same number of free pages stand in a list (`ranks`), the one whose
first page is nearest to the cached list's head in front. A page that is freed is nearest of all, so its block
goes to the front of its new list; a page is only ever taken from the front block of the lowest list that is not
empty, and the list below that one is empty. So nothing is ever sorted.
"""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.state import NIL, Int
from pba.policies.definition import Definition, Parameter
from pba.policies.linked import (
    LINKED,
    NEXT,
    PREV,
    LinkedState,
    chain_to_take,
    empty_links,
    rank,
    rank_down,
    rank_up,
    unrank,
    with_links,
)
from pba.policies.state import FIRST_PARAMETER, NR_LISTED
from pba.policies.v6 import SOURCE

LOWEST = NR_LISTED
"""In `vars`: the fewest free pages of a block that has any; 0 if none has."""
WORD_BITS = 5
"""`rank_bits` holds 32 numbers of free pages a word."""


@kernel_inline
def _enter(state: LinkedState, block: Int, nr_free: Int) -> None:
    """Put a block to the front of the list of those with so many free pages, 1 or more."""
    ranks = state.ranks
    head = np.uint32(len(state.block_nr_free) + nr_free)
    node = np.uint32(block)
    first = ranks[NEXT, head]
    ranks[NEXT, node] = first
    ranks[PREV, node] = head
    ranks[PREV, np.uint32(first)] = node
    ranks[NEXT, head] = node
    state.rank_bits[nr_free >> WORD_BITS] |= 1 << (nr_free & ((1 << WORD_BITS) - 1))


@kernel_inline
def _leave(state: LinkedState, block: Int) -> Int:
    """Take a block off its list; return the number of free pages that no block has any more, else NIL."""
    ranks = state.ranks
    node = np.uint32(block)
    after, before = ranks[NEXT, node], ranks[PREV, node]
    ranks[NEXT, np.uint32(before)] = after
    ranks[PREV, np.uint32(after)] = before
    ranks[NEXT, node] = ranks[PREV, node] = node
    if after != before or after < len(state.block_nr_free):
        return NIL
    nr_free = np.int64(after) - len(state.block_nr_free)
    state.rank_bits[nr_free >> WORD_BITS] &= ~(1 << (nr_free & ((1 << WORD_BITS) - 1)))
    return nr_free


@kernel_function
def _find_lowest(state: LinkedState) -> None:
    """Find LOWEST anew."""
    state.vars[LOWEST] = 0
    for word in range(len(state.rank_bits)):
        bits = state.rank_bits[word]
        if bits:
            nr_free = word << WORD_BITS
            while not bits & 1:
                bits >>= 1
                nr_free += 1
            state.vars[LOWEST] = nr_free
            return


@kernel_inline
def rank_new(state: LinkedState, block: Int) -> None:
    """In place of `rank`."""
    nr_free = np.int64(state.block_nr_free[block])
    _enter(state, block, nr_free)
    lowest = state.vars[LOWEST]
    state.vars[LOWEST] = min(lowest, nr_free) if lowest else nr_free


@kernel_inline
def rank_none(state: LinkedState, block: Int) -> None:
    """In place of `unrank`. A block without free pages stands in no list."""
    if state.ranks[NEXT, block] != block:
        _leave(state, block)
        _find_lowest(state)


@kernel_inline
def rank_freed(state: LinkedState, block: Int) -> None:
    """In place of `rank_up`."""
    nr_free = np.int64(state.block_nr_free[np.uint32(block)])
    if nr_free == 1:
        state.vars[LOWEST] = 1
    elif _leave(state, block) == state.vars[LOWEST]:
        state.vars[LOWEST] = nr_free
    _enter(state, block, nr_free)


@kernel_inline
def rank_taken(state: LinkedState, block: Int) -> None:
    """In place of `rank_down`: the block was the lowest one, and is so still if it has a page left."""
    nr_free = np.int64(state.block_nr_free[np.uint32(block)])
    _leave(state, block)
    if nr_free:
        _enter(state, block, nr_free)
        state.vars[LOWEST] = nr_free
    else:
        _find_lowest(state)


@kernel_inline
def fullest_chain_first(state: LinkedState) -> Int:
    """In place of `chain_to_take`."""
    nonblock = np.int64(len(state.block_nr_free))
    lowest = state.vars[LOWEST]
    if lowest == 0 or (state.vars[FIRST_PARAMETER] and state.tops[np.uint32(nonblock)] != NIL):
        return nonblock
    return np.int64(state.ranks[NEXT, np.uint32(nonblock + lowest)])


POLICIES = (
    Definition(
        name="fullest-first",
        line="v6 that allocates from the block with the fewest free pages",
        about=(
            "An allocation, also one for a table of a split, takes a page of the block with the fewest free "
            "pages: of equals the one that the list's head is nearest to, and in it the page nearest to the "
            "head. Other blocks get the time to become empty. The kernel would keep blocks in lists by their "
            "free pages, as SLUB keeps partial slabs. The first page of a refill is handed out at once as in v6."
        ),
        source=f"a variant of v6 by this project; {SOURCE}",
        parameters=(
            Parameter(
                "nb", "last", ("last", "first"), "", "pages outside of blocks: after all blocks, or before"
            ),
        ),
        replaced=LINKED
        | {
            chain_to_take: fullest_chain_first,
            rank: rank_new,
            unrank: rank_none,
            rank_up: rank_freed,
            rank_down: rank_taken,
        },
        extend=with_links,
        prepare=empty_links,
    ),
)
