"""`untracked`: v6 without the accounting of blocks, so that its shrinker takes pages as they come.

`in_block` is never set. To a scan all pages are outside of blocks then, and it takes as many of them from the
list's head as it is asked for and may: the rules of `pba_shrink_scan` stay as they are. Scans count as
`nonblock_scans`.
"""

from __future__ import annotations

from pba._jit import kernel_function
from pba.kernel.allocator import add_refill, cached_list_add_nonblock
from pba.kernel.state import Int, State
from pba.policies.definition import Definition
from pba.policies.v6 import SOURCE


@kernel_function
def add_untracked(state: State, page: Int, order: Int, take_one: Int) -> None:
    """In place of `add_refill`: no page is ever marked."""
    cached_list_add_nonblock(state, page + take_one, (1 << order) - take_one)


POLICIES = (
    Definition(
        name="untracked",
        line="v6 that does not track blocks, and shrinks from the head",
        about=(
            "14/30 alone with the plainest shrinker: no page knows its block. A scan releases pages one by one "
            "from the head of the list, those freed last, and splits whatever block they lie in. It shows what "
            "tracking blocks is worth."
        ),
        source=f"a variant of v6 by this project; {SOURCE}",
        thresholds=("unshrinkable_pages", "batch"),
        replaced={add_refill: add_untracked},
    ),
)
