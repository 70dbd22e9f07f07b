"""What a policy's machine remembers beyond v6's: more counters after those of `pba.kernel.state`, in `vars`."""

from __future__ import annotations

from typing import Final

from pba.kernel.state import MAX_LISTS, NR_VARS

RIVAL_COUNTERS: Final = (
    "flips_to",
    "flips_from",
    "flush_ranges",
    "flush_all",
    "split_ptp_raw",
    "nested_splits",
    "convert_failed",
    "scrubbed_pages",
    "ptp_unprotected",
    "reserve_pages",
    "captured_pages",
    "stale_marks",
    "map_table_pages",
    "pmd_collapses",
    "contpmd_collapses",
    "protect_single_calls",
    "unprotect_single_calls",
)
"""In this order in `vars`, from NR_VARS on."""
(
    FLIPS_TO,
    FLIPS_FROM,
    FLUSH_RANGES,
    FLUSH_ALL,
    SPLIT_PTP_RAW,
    NESTED_SPLITS,
    CONVERT_FAILED,
    SCRUBBED_PAGES,
    PTP_UNPROTECTED,
    RESERVE_PAGES,
    CAPTURED_PAGES,
    STALE_MARKS,
    MAP_TABLE_PAGES,
    PMD_COLLAPSES,
    CONTPMD_COLLAPSES,
    PROTECT_SINGLE_CALLS,
    UNPROTECT_SINGLE_CALLS,
    FIRST_PARAMETER,  # the policy's parameters, as `Parameter.code` says,
    SECOND_PARAMETER,
    LARGEST_LEAF,  # what the linear map may use at most, LEAF_*
    NR_WAITING,  # the policy's own: see there
    NR_LISTED,
    NR_SEEN,
    POLICY_VARS,
) = range(NR_VARS, NR_VARS + len(RIVAL_COUNTERS) + 7)

HELD: Final = "nr_cached"
"""For a rival NR_CACHED counts the pages that it holds: protected, unused, and not to be had by others."""

OWN: Final = 16
"""Added to the order in `buddy_order` of a free chunk on the policy's own lists."""
OWN_LISTS: Final = MAX_LISTS
"""The head of the policy's own list of order k is node N + OWN_LISTS + k."""
