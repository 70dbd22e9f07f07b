"""`whole-blocks`: v6 whose shrinker never splits a block.

Without `fall` it is v6 with PBA_SHRINK_BLOCK_MIN_PAGES = BLOCK_NR_PAGES, as `whole-blocks-only` is. With it an
empty block that may not be released whole does not stop the scan, which no threshold can say.
"""

from __future__ import annotations

from pba._jit import kernel_function
from pba.kernel.shrinker import SHRINK_STOP, choose_pages, pba_shrink_count, walk_cached_list
from pba.kernel.state import NIL, NONBLOCK_SCANS, Int, State, Tunables
from pba.policies.definition import Definition, Parameter
from pba.policies.state import FIRST_PARAMETER
from pba.policies.v6 import SOURCE


@kernel_function
def choose_whole_blocks(state: State, tunables: Tunables, nr_to_scan: Int) -> tuple[Int, Int, Int]:
    """In place of `choose_pages`: an empty block, or pages outside of blocks."""
    found = walk_cached_list(state)
    nr_shrinkable = pba_shrink_count(state, tunables)
    block_nr_pages = 1 << state.orders.block
    if found.nr_pages_target_block == block_nr_pages:
        if nr_shrinkable >= block_nr_pages:
            return found.target_block, found.nr_pages_target_block, block_nr_pages
        if not state.vars[FIRST_PARAMETER]:
            return NIL, found.nr_pages_target_block, SHRINK_STOP
    state.vars[NONBLOCK_SCANS] += 1
    return NIL, found.nr_pages_target_block, min(nr_to_scan, found.nr_pages_nonblock, nr_shrinkable)


POLICIES = (
    Definition(
        name="whole-blocks",
        line="v6 that never splits a block to shrink it, by its rules",
        about=(
            "A scan gives back an empty block whole, else pages outside of blocks: the test whether a block is "
            "worth shrinking in part is gone, and PBA_SHRINK_BLOCK_MIN_PAGES with it."
        ),
        source=f"a variant of v6 by this project; {SOURCE}",
        parameters=(
            Parameter(
                "fall",
                False,
                None,
                "",
                "an empty block that may not go whole does not stop a scan: it takes pages outside of blocks",
            ),
        ),
        thresholds=("unshrinkable_pages", "batch"),
        replaced={choose_pages: choose_whole_blocks},
    ),
)
