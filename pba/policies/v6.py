"""`v6`, the patch as it was posted, and two points of its thresholds that have names: nothing is replaced."""

from __future__ import annotations

from pba.policies.definition import Definition

SOURCE = (
    "v6, 27 Feb 2026: 14/30 and 15/30 (the allocator), 17/30 (its shrinker), mm/kpkeys_hardened_pgtables.c"
)

POLICIES = (
    Definition(
        name="v6",
        line="the patch: a cache of blocks, a shrinker, three thresholds",
        about=(
            "Page tables come from a cache of protected pages, which is refilled by whole blocks as long as "
            "there are any, so that protecting them splits no PMD leaf. Under memory pressure a shrinker gives "
            "pages back: an empty block whole, else pages outside of blocks, else part of the emptiest block, "
            "which is split. All other policies are measured beside this one."
        ),
        source=SOURCE,
    ),
    Definition(
        name="whole-blocks-only",
        line="v6 that never splits a block to shrink it: M is a block",
        about=(
            "PBA_SHRINK_BLOCK_MIN_PAGES is BLOCK_NR_PAGES: the shrinker gives back empty blocks and pages "
            "outside of blocks, and nothing else."
        ),
        source=SOURCE,
        thresholds=("unshrinkable_pages", "batch"),
        fixed=lambda block, memory: {"shrink_block_min_pages": block},
    ),
    Definition(
        name="never",
        line="v6 without its shrinker: U is all of memory",
        about="PBA_UNSHRINKABLE_PAGES is all of memory: what was ever cached stays cached.",
        source=SOURCE,
        thresholds=(),
        fixed=lambda block, memory: {
            "unshrinkable_pages": memory,
            "shrink_block_min_pages": block // 8,
            "batch": block,
        },
    ),
)
