"""Sets of thresholds that share one state, and what each of them decides.

The thresholds act only in `do_shrink_slab()` and `pba_shrink_scan()`. There each set ("member") keeps numbers
of its own; that two members' pages stay the same for as long as each scan takes the same pages off the list
is what lets them share a replay. The decisions are those of `pba.kernel.reclaim` and `pba.kernel.shrinker`.
"""

from __future__ import annotations

import numpy as np

from pba._jit import kernel_function, kernel_inline
from pba.kernel.state import NIL

# --- a member, int64 ---
(
    UNSHRINKABLE_PAGES,  # PBA_UNSHRINKABLE_PAGES
    BATCH,  # shrinker->batch
    SHRINK_BLOCK_MIN_FROM,  # PBA_SHRINK_BLOCK_MIN_PAGES, from
    SHRINK_BLOCK_MIN_TO,  # and to, inclusive: it is only ever compared
    DEFERRED,  # shrinker->nr_deferred
    SCANS,  # scan_calls,
    STOPS,  # scan_stops,
    NONBLOCKS,  # and nonblock_scans so far
    ACTIVE,  # 1 while its call of do_shrink_slab() goes on
    TOTAL,  # total_scan,
    FREEABLE,  # freeable,
    OWED,  # nr + delta,
    SCANNED,  # and scanned of that call
    TARGET,  # what its next scan takes pages from: a block, or NIL for pages of no block
    TAKEN,  # and how many; 0 with NIL: nothing happens to any page
    CLASS,  # its number among the different decisions
    MEMBER_FIELDS,
) = range(17)


@kernel_inline
def copy_member(to, at, source, number):
    """Copy a member; to assign a row would make an array."""
    for field in range(MEMBER_FIELDS):
        to[at, field] = source[number, field]


@kernel_function
def begin_call(members, span, nr_cached, priority):
    """Begin `do_shrink_slab()` for each member."""
    for i in range(span[0], span[1]):
        member = members[i]
        freeable = max(nr_cached - member[UNSHRINKABLE_PAGES], 0)
        member[ACTIVE] = freeable > 0
        if freeable > 0:
            delta = freeable // 2
            member[FREEABLE] = freeable
            member[TOTAL] = min((member[DEFERRED] >> priority) + delta, 2 * freeable)
            member[OWED] = member[DEFERRED] + delta
            member[SCANNED] = 0


@kernel_inline
def _scans(member):
    """Whether the call goes on to another scan."""
    return member[ACTIVE] and (member[TOTAL] >= member[BATCH] or member[TOTAL] >= member[FREEABLE])


@kernel_function
def some_scan(members, span):
    """Whether any member of the span goes on to another scan."""
    for i in range(span[0], span[1]):  # noqa: SIM110 - a generator is nothing for Numba
        if _scans(members[i]):
            return True
    return False


@kernel_function
def end_calls(members, span):
    """No member of the span scans: all their calls are over."""
    for i in range(span[0], span[1]):
        if members[i, ACTIVE]:
            _end_call(members[i])


@kernel_inline
def _end_call(member):
    """End the call of `do_shrink_slab()`: what was not done is put off."""
    member[ACTIVE] = 0
    member[TARGET] = NIL
    member[TAKEN] = 0
    member[DEFERRED] = min(max(member[OWED] - member[SCANNED], 0), 2 * member[FREEABLE])


@kernel_inline
def _stop(member):
    """End the call after a scan that freed nothing: SHRINK_STOP."""
    member[STOPS] += 1
    _end_call(member)


@kernel_inline
def _take(member, target, nr_pages):
    """Decide to take pages off the list."""
    member[TARGET] = target
    member[TAKEN] = nr_pages


@kernel_inline
def _take_nonblock(member, nr_pages):
    """Decide to take pages of no block, if there are any."""
    member[NONBLOCKS] += 1
    if nr_pages > 0:
        _take(member, NIL, nr_pages)
    else:
        _stop(member)


@kernel_function
def decide(members, span, cache, block_nr_pages):
    """Let each member of a call that goes on decide about its next scan; return the new end of the span.

    A member whose interval of PBA_SHRINK_BLOCK_MIN_PAGES a comparison separates becomes two; the new one
    is put after the others.

    Parameters
    ----------
    members : ndarray of int64, shape (m, MEMBER_FIELDS)
        With room for as many again.
    cache : tuple of int
        Cached pages, those of no block, the emptiest block or NIL, and its free pages.
    """
    nr_cached, nr_nonblock, target, nr_target = cache
    end = span[1]
    for i in range(span[0], span[1]):
        member = members[i]
        if member[ACTIVE] == 0:
            continue
        if not _scans(member):
            _end_call(member)
            continue
        member[SCANS] += 1
        shrinkable = max(nr_cached - member[UNSHRINKABLE_PAGES], 0)
        nr_to_scan = min(member[BATCH], member[TOTAL])
        nr_from_none = min(nr_to_scan, nr_nonblock, shrinkable)
        if nr_target == block_nr_pages:
            if shrinkable < block_nr_pages:
                _stop(member)
            else:
                _take(member, target, block_nr_pages)
        elif (
            nr_nonblock >= nr_target or nr_nonblock >= nr_to_scan or nr_target < member[SHRINK_BLOCK_MIN_FROM]
        ):
            _take_nonblock(member, nr_from_none)
        else:
            if nr_target < member[SHRINK_BLOCK_MIN_TO]:
                copy_member(members, end, members, i)
                members[end, SHRINK_BLOCK_MIN_FROM] = nr_target + 1
                _take_nonblock(members[end], nr_from_none)
                end += 1
                member[SHRINK_BLOCK_MIN_TO] = nr_target
            _take(member, target, min(nr_to_scan, nr_target, shrinkable))
    return end


@kernel_function
def count_scan(members, span, nr_taken, nr_freed):
    """Count the scan that all members of the span decided on, now that it is done."""
    for i in range(span[0], span[1]):
        if nr_freed == 0:
            _stop(members[i])
        else:
            members[i, TOTAL] -= nr_taken
            members[i, SCANNED] += nr_taken


@kernel_inline
def same_decision(one, other):
    """Whether two members do the same to the pages: nothing, or taking as many from the same place."""
    return one[ACTIVE] == other[ACTIVE] and (
        one[ACTIVE] == 0 or (one[TARGET] == other[TARGET] and one[TAKEN] == other[TAKEN])
    )


@kernel_function
def classify(members, span, weights):
    """Give each different decision in the span a number; return how many there are.

    Parameters
    ----------
    weights : ndarray of int64
        Gets for each class how many points it has.
    """
    nr_classes = np.int64(0)
    for i in range(span[0], span[1]):
        found = nr_classes
        for j in range(i - 1, span[0] - 1, -1):
            if same_decision(members[i], members[j]):
                found = members[j, CLASS]
                break
        if found == nr_classes:
            weights[found] = 0
            nr_classes += 1
        members[i, CLASS] = found
        weights[found] += members[i, SHRINK_BLOCK_MIN_TO] - members[i, SHRINK_BLOCK_MIN_FROM] + 1
    return nr_classes


@kernel_function
def sort_by_weight(members, span, weights, spare):
    """Order the span by the weight of the members' classes, the heaviest class first; classes stay whole.

    Parameters
    ----------
    spare : ndarray of int64, shape (m, MEMBER_FIELDS)
        Where members stand meanwhile.
    """
    first, end = span
    for i in range(first, end):
        copy_member(spare, i - first, members, i)
    at = first
    while at < end:
        heaviest = np.int64(-1)
        for i in range(end - first):
            number = spare[i, CLASS]
            if number >= 0 and (heaviest < 0 or weights[number] > weights[heaviest]):
                heaviest = number
        for i in range(end - first):
            if spare[i, CLASS] == heaviest:
                copy_member(members, at, spare, i)
                spare[i, CLASS] = -1
                at += 1
