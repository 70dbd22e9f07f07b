"""Sets of thresholds that share one state, and what each of them decides.

The thresholds act only in `do_shrink_slab()` and `pba_shrink_scan()`. There each set ("member") keeps numbers
of its own; that two members' pages stay the same for as long as each scan takes the same pages off the list
is what lets them share a replay. The rules are those of `pba.kernel.reclaim` and `pba.kernel.shrinker`: here
they are only kept for many members.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_function, kernel_inline
from pba.kernel.reclaim import nr_deferred_after, scans_more, total_scan
from pba.kernel.shrinker import (
    TAKE_NONBLOCK,
    TAKE_NOTHING,
    TAKE_PART_OF_BLOCK,
    ListWalk,
    choose_scan,
    count_shrinkable_pages,
)
from pba.kernel.state import NIL, Flag, Int

# --- a member, int64 ---
(
    UNSHRINKABLE_PAGES,  # PBA_UNSHRINKABLE_PAGES
    BATCH,  # shrinker->batch
    SHRINK_BLOCK_MIN_FROM,  # PBA_SHRINK_BLOCK_MIN_PAGES, from
    SHRINK_BLOCK_MIN_TO,  # and to, inclusive: it is only ever compared
    DEFERRED,  # shrinker->nr_deferred, during a call that of before
    SCANS,  # scan_calls,
    STOPS,  # scan_stops,
    NONBLOCKS,  # and nonblock_scans so far
    ACTIVE,  # 1 while its call of do_shrink_slab() goes on
    TOTAL,  # total_scan,
    FREEABLE,  # freeable,
    SCANNED,  # and scanned of that call
    TARGET,  # what its next scan takes pages from: a block, or NIL for pages of no block
    TAKEN,  # and how many; 0 with NIL: nothing happens to any page
    CLASS,  # its number among the different decisions
    MEMBER_FIELDS,
) = range(16)


Member: TypeAlias = NDArray[np.int64]
"""A member, shape (MEMBER_FIELDS,)."""
Members: TypeAlias = NDArray[np.int64]
"""Members, shape (m, MEMBER_FIELDS)."""


class Span(NamedTuple):
    """Members that follow on each other."""

    first: Int
    end: Int  # the one after the last


@kernel_inline
def copy_member(to: Members, at: Int, source: Members, number: Int) -> None:
    """Copy a member; to assign a row would make an array."""
    for field in range(MEMBER_FIELDS):
        to[at, field] = source[number, field]


@kernel_function
def begin_call(members: Members, span: Span, nr_cached: Int, priority: Int) -> None:
    """Begin `do_shrink_slab()` for each member."""
    for i in range(span.first, span.end):
        member = members[i]
        freeable = count_shrinkable_pages(nr_cached, member[UNSHRINKABLE_PAGES])
        member[ACTIVE] = freeable > 0
        if freeable > 0:
            member[FREEABLE] = freeable
            member[TOTAL] = total_scan(member[DEFERRED], freeable, priority)
            member[SCANNED] = 0


@kernel_inline
def _scans(member: Member) -> Flag:
    """Whether the call goes on to another scan."""
    return member[ACTIVE] and scans_more(member[TOTAL], member[BATCH], member[FREEABLE])


@kernel_function
def some_scan(members: Members, span: Span) -> Flag:
    """Whether any member of the span goes on to another scan."""
    for i in range(span.first, span.end):  # noqa: SIM110 - a generator is nothing for Numba
        if _scans(members[i]):
            return True
    return False


@kernel_function
def end_calls(members: Members, span: Span) -> None:
    """No member of the span scans: all their calls are over."""
    for i in range(span.first, span.end):
        if members[i, ACTIVE]:
            _end_call(members[i])


@kernel_inline
def _end_call(member: Member) -> None:
    """End the call of `do_shrink_slab()`: what was not done is put off."""
    member[ACTIVE] = 0
    member[TARGET] = NIL
    member[TAKEN] = 0
    member[DEFERRED] = nr_deferred_after(member[DEFERRED], member[FREEABLE], member[SCANNED])


@kernel_inline
def _stop(member: Member) -> None:
    """End the call after a scan that freed nothing: SHRINK_STOP."""
    member[STOPS] += 1
    _end_call(member)


@kernel_inline
def _choose(member: Member, found: ListWalk, nr_cached: Int, block_nr_pages: Int) -> Int:
    """Choose what the member's next scan takes, and return which kind it is; a scan of no page stops."""
    nr_to_scan = min(member[BATCH], member[TOTAL])
    nr_shrinkable = count_shrinkable_pages(nr_cached, member[UNSHRINKABLE_PAGES])
    choice, nr_pages = choose_scan(
        found, nr_to_scan, nr_shrinkable, block_nr_pages, member[SHRINK_BLOCK_MIN_FROM]
    )
    if choice != TAKE_NOTHING:
        member[NONBLOCKS] += choice == TAKE_NONBLOCK
        member[TARGET] = NIL if choice == TAKE_NONBLOCK else found.target_block
        member[TAKEN] = nr_pages
    if choice == TAKE_NOTHING or (choice == TAKE_NONBLOCK and nr_pages == 0):
        _stop(member)
    return choice


@kernel_function
def decide(members: Members, span: Span, found: ListWalk, nr_cached: Int, block_nr_pages: Int) -> Int:
    """Let each member of a call that goes on decide about its next scan; return the new end of the span.

    A member whose interval of PBA_SHRINK_BLOCK_MIN_PAGES a comparison separates becomes two; the new one
    is put after the others.

    Parameters
    ----------
    members : ndarray of int64, shape (m, MEMBER_FIELDS)
        With room for as many again.
    found : ListWalk
        What is on the cached list,
    nr_cached : int
        and how many pages in all.
    block_nr_pages : int
        Pages of a block.
    """
    end = span.end
    for i in range(span.first, span.end):
        member = members[i]
        if member[ACTIVE] == 0:
            continue
        if not _scans(member):
            _end_call(member)
            continue
        member[SCANS] += 1
        choice = _choose(member, found, nr_cached, block_nr_pages)
        least = found.nr_pages_target_block + 1
        if choice == TAKE_PART_OF_BLOCK and least <= member[SHRINK_BLOCK_MIN_TO]:
            copy_member(members, end, members, i)
            members[end, SHRINK_BLOCK_MIN_FROM] = least
            member[SHRINK_BLOCK_MIN_TO] = least - 1
            _choose(members[end], found, nr_cached, block_nr_pages)
            end += 1
    return end


@kernel_function
def count_scan(members: Members, span: Span, nr_taken: Int, nr_freed: Int) -> None:
    """Count the scan that all members of the span decided on, now that it is done."""
    for i in range(span.first, span.end):
        if nr_freed == 0:
            _stop(members[i])
        else:
            members[i, TOTAL] -= nr_taken
            members[i, SCANNED] += nr_taken


@kernel_inline
def same_decision(one: Member, other: Member) -> Flag:
    """Whether two members do the same to the pages: nothing, or taking as many from the same place."""
    return one[ACTIVE] == other[ACTIVE] and (
        one[ACTIVE] == 0 or (one[TARGET] == other[TARGET] and one[TAKEN] == other[TAKEN])
    )


@kernel_function
def classify(members: Members, span: Span, weights: NDArray[np.int64]) -> Int:
    """Give each different decision in the span a number; return how many there are.

    Parameters
    ----------
    weights : ndarray of int64
        Gets for each class how many points it has.
    """
    nr_classes = np.int64(0)
    for i in range(span.first, span.end):
        found = nr_classes
        for j in range(i - 1, span.first - 1, -1):
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
def sort_by_weight(members: Members, span: Span, weights: NDArray[np.int64], spare: Members) -> None:
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
