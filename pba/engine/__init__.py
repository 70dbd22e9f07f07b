"""Replay cost that does not grow with the trace: compiled traces, and exact results for a whole grid.

`compile_trace` folds the stretches between two passes of the shrinker into transfers of pages; `replay` runs
one set of thresholds on them, `behaviours_of` all sets of a grid at once. Every figure equals that of the
replay event by event (`pba.model`), which stays the reference.
"""
