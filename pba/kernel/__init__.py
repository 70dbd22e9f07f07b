"""The simulated kernel: the block allocator for page-table pages, its shrinker, and what they stand on.

Read `state.py` first (what there is), then `replay.py` (what happens). Each function has its name from the
kernel where it has one there. Nothing here checks its arguments: `pba.model` does.
"""
