"""The vocabulary of a trace: what an event does, and to which level of page table.

The codes stand below both `pba.trace` (which stores them) and `pba.kernel` (which acts on them), so that
neither has to know the other.
"""

from __future__ import annotations

from typing import Final

OP_ALLOC: Final = 0
"""`A id`: a page-table page (PTP) is allocated and known as `id`."""
OP_FREE: Final = 1
"""`F id`: it is freed. (That the first two codes are 0 and 1 is something to rely on.)"""
INFERRED: Final = 1
"""`arg` of an `F` that was not seen: its page was allocated again, so it happened at that time or before."""
OP_SHRINK: Final = 2
"""`S prio`: one `do_shrink_slab()` at that priority (0 is the hardest pressure, 12 the mildest)."""
OP_DROP: Final = 3
"""`D`: `drop_slab()`, what `echo 2 > /proc/sys/vm/drop_caches` does."""
OP_BG_ALLOC: Final = 4
"""`B id order`: the rest of the system takes a chunk of `2**order` pages from the buddy allocator."""
OP_BG_FREE: Final = 5
"""`b id`: and gives it back."""

OP_LETTERS: Final = ("A", "F", "S", "D", "B", "b")
"""The letter of each op in the text form, indexed by its code."""

LEVELS: Final = ("", "PGD", "P4D", "PUD", "PMD", "PTE", "kernel")
"""Names of the page-table levels, indexed by code; code 0 (empty) is an unknown level."""
LEVEL_UNKNOWN: Final = 0
LEVEL_PGD: Final = 1
LEVEL_P4D: Final = 2
LEVEL_PUD: Final = 3
LEVEL_PMD: Final = 4
LEVEL_PTE: Final = 5
LEVEL_KERNEL: Final = 6

MAX_PRIORITY: Final = 12
"""`DEF_PRIORITY` of include/linux/mmzone.h: reclaim starts there and goes down to 0."""
