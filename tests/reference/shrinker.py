"""The shrinker of the reference: v6 17/30, and the reclaim around it.

Kernel: mm/kpkeys_hardened_pgtables.c (`pba_shrink_count`, `pba_shrink_scan`), mm/shrinker.c
(`do_shrink_slab`), mm/vmscan.c (`drop_slab`).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tests.reference.allocator import BlockAllocator
from tests.reference.machine import Thresholds


class Emptiest(NamedTuple):
    """What the first walk over the cached list finds."""

    target_block: int | None
    nr_pages_target_block: int
    nr_pages_nonblock: int


class Scan(NamedTuple):
    """What `pba_shrink_scan` says: pages freed (None is `SHRINK_STOP`), and pages scanned."""

    freed: int | None
    nr_scanned: int


def pba_shrink_count(pba: BlockAllocator, thresholds: Thresholds) -> int:
    """Count the pages that the shrinker may take."""
    return max(pba.nr_cached - thresholds.unshrinkable_pages, 0)


def find_emptiest_block(pba: BlockAllocator) -> Emptiest:
    """Walk the list: the first block with the most free pages, and the number of non-block pages.

    The walk ends at a fully free block; the non-block pages behind it are not counted.
    """
    target_block, nr_pages_target_block, nr_pages_nonblock = None, 0, 0
    for page in pba.cached_list:
        block = pba.block_head_page(page)
        if block is None:
            nr_pages_nonblock += 1
        elif pba.block_nr_free[block] > nr_pages_target_block:
            target_block, nr_pages_target_block = block, pba.block_nr_free[block]
            if nr_pages_target_block == pba.block_nr_pages:
                break
    return Emptiest(target_block, nr_pages_target_block, nr_pages_nonblock)


def block_worth_shrinking(found: Emptiest, thresholds: Thresholds, nr_to_scan: int) -> bool:
    """Tell whether to shrink the emptiest block in part, which means splitting it."""
    return (
        found.nr_pages_nonblock < found.nr_pages_target_block
        and found.nr_pages_nonblock < nr_to_scan
        and found.nr_pages_target_block >= thresholds.shrink_block_min_pages
    )


def pba_shrink_scan(pba: BlockAllocator, thresholds: Thresholds, nr_to_scan: int) -> Scan:
    """Release a whole block, a part of a block, or pages that are in no block."""
    pba.counters["scan_calls"] += 1
    nr_pages_shrinkable = pba_shrink_count(pba, thresholds)
    found = find_emptiest_block(pba)
    target_block = found.target_block
    whole = found.nr_pages_target_block == pba.block_nr_pages

    if whole and nr_pages_shrinkable < pba.block_nr_pages:
        if not pba.falls:
            pba.counters["scan_stops"] += 1
            return Scan(None, 0)
        whole = False
        found = found._replace(nr_pages_nonblock=sum(page not in pba.in_block for page in pba.cached_list))

    if whole:
        nr_to_scan = pba.block_nr_pages
    elif pba.splits_blocks and block_worth_shrinking(found, thresholds, nr_to_scan):
        nr_to_scan = min(nr_to_scan, found.nr_pages_target_block)
        pba.counters["blocks_split_by_shrinker"] += 1
    else:
        nr_to_scan = min(nr_to_scan, found.nr_pages_nonblock)
        target_block = None
        pba.counters["nonblock_scans"] += 1

    pages_to_free = uncache_pages(pba, target_block, min(nr_to_scan, nr_pages_shrinkable))
    nr_scanned = len(pages_to_free)
    if target_block is not None:
        pba.mark_block_noncached(target_block)
    if whole:
        assert target_block is not None
        nr_freed = release_whole_block(pba, pages_to_free, target_block)
    else:
        nr_freed = release_page_list(pba, pages_to_free)

    pba.counters["pages_released"] += nr_freed
    if nr_freed == 0:
        pba.counters["scan_stops"] += 1
        return Scan(None, nr_scanned)
    return Scan(nr_freed, nr_scanned)


def uncache_pages(pba: BlockAllocator, target_block: int | None, limit: int) -> deque[int]:
    """Move the first `limit` pages of a block (None: of no block) to a list of their own.

    Each goes to the head of that list, so that they come to stand in reverse.
    """
    pages_to_free: deque[int] = deque()
    for page in pba.walk_to_uncache():
        if len(pages_to_free) < limit and pba.block_head_page(page) == target_block:
            pages_to_free.appendleft(page)
    taken = set(pages_to_free)
    pba.cached_list = deque(page for page in pba.cached_list if page not in taken)
    return pages_to_free


def release_page_list(pba: BlockAllocator, pages_to_free: deque[int]) -> int:
    """Release pages one by one; at the first failure that page is cached again, the rest is lost."""
    nr_freed = 0
    while pages_to_free:
        page = pages_to_free.popleft()
        if not pba.set_pkey_default(page, 1):
            pba.cached_list_add_pages(page, 1)
            pba.counters["pages_leaked"] += len(pages_to_free)
            break
        pba.buddy.free_page_chunk(page, 0)
        nr_freed += 1
    return nr_freed


def release_whole_block(pba: BlockAllocator, pages_to_free: deque[int], block_head: int) -> int:
    """Release a block without splitting it; at a failure all its pages are cached again, in no block."""
    if not pba.set_pkey_default(block_head, pba.block_nr_pages):
        pba.cached_list_add_pages(block_head, pba.block_nr_pages)
        return 0
    for page in pages_to_free:
        pba.buddy.free_page_chunk(page, 0)
    pba.counters["whole_blocks_released"] += 1
    return len(pages_to_free)


def do_shrink_slab(pba: BlockAllocator, thresholds: Thresholds, priority: int) -> int:
    """Shrink at a priority, with `seeks` = 0, and return the pages freed."""
    pba.counters["shrink_calls"] += 1
    freeable = pba_shrink_count(pba, thresholds)
    if freeable == 0:
        return 0
    nr, pba.nr_deferred = pba.nr_deferred, 0
    delta = freeable // 2
    total_scan = min((nr >> priority) + delta, 2 * freeable)
    freed = scanned = 0
    while total_scan >= thresholds.batch or total_scan >= freeable:
        scan = pba_shrink_scan(pba, thresholds, min(thresholds.batch, total_scan))
        if scan.freed is None:
            break
        freed += scan.freed
        total_scan -= scan.nr_scanned
        scanned += scan.nr_scanned
    pba.nr_deferred = min(max(nr + delta - scanned, 0), 2 * freeable)
    return freed


def drop_slab(pba: BlockAllocator, thresholds: Thresholds) -> None:
    """Do what `echo 2 > /proc/sys/vm/drop_caches` does."""
    shift = 0
    while do_shrink_slab(pba, thresholds, priority=0) >> shift > 1:
        shift += 1
