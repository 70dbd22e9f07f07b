"""Is this page allocation a page table, and of which level? Read off the stack of `mm_page_alloc`.

The kernel has no event for the allocation of a page table, and `pagetable_alloc()` and the constructors are
inlined, so the caller's name in the stack is what there is. The frame that decides is the first one
that is neither the tracepoint's own nor one of the page allocator's.

Not seen: a pgd that comes from a slab (arch/arm64/mm/pgd.c: with 64 KiB pages, or 52-bit addresses).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from pba.events import (
    LEVEL_KERNEL,
    LEVEL_P4D,
    LEVEL_PGD,
    LEVEL_PMD,
    LEVEL_PTE,
    LEVEL_PUD,
    LEVEL_UNKNOWN,
)

NOT_A_TABLE: Final = LEVEL_UNKNOWN
"""What `level_of_stack` answers for any other page (it always knows the level of a page table)."""

GFP_MOVABLE: Final = 0x8
"""`__GFP_MOVABLE` of include/linux/gfp_types.h: user pages; never on a page table."""
GFP_ZERO: Final = 0x100
"""`__GFP_ZERO` there; kernels before 4.20 had another bit. A recorder reads it from the event's format."""
GFP_ACCOUNT: Final = 0x400000
"""`__GFP_ACCOUNT` there: charged to a memory cgroup; on user tables, not on kernel tables."""

_TRACING: Final = (
    "trace_event_",  # trace_event_raw_event_mm_page_alloc, trace_event_buffer_commit
    "__traceiter_",
    "event_trigger",
    "perf_trace_",
    "__bpf_trace_",
    "ftrace_trace_stack",
    "__ftrace_trace_stack",
)
_PAGE_ALLOCATOR: Final = (
    "__alloc_pages",
    "__alloc_frozen_pages",
    "alloc_page",  # alloc_pages*, alloc_page_interleave
    "alloc_frozen_page",
    "get_free_pages",
    "__get_free_pages",
    "get_zeroed_page",
    "pagetable_alloc",
)
_PASSED_OVER: Final = _TRACING + _PAGE_ALLOCATOR

_LINEAR_MAP: Final = frozenset(
    {
        "__pgd_pgtable_alloc",
        "pgd_pgtable_alloc_init_mm",
        "pgd_pgtable_alloc_init_mm_gfp",
        "pgd_pgtable_alloc_special_mm",
        "split_pmd",
        "split_pud",
        "split_kernel_leaf_mapping",
        "split_kernel_leaf_mapping_locked",
    }
)
"""Functions of arch/arm64/mm/mmu.c that make and split the linear map; which of them stands in a stack is a
matter of inlining. They clear the tables themselves, so these need no `__GFP_ZERO`."""

_ALLOCATES: Final = {
    "pgd_alloc": LEVEL_PGD,
    "_pgd_alloc": LEVEL_PGD,
    "__pgd_alloc": LEVEL_PGD,
    "__p4d_alloc": LEVEL_P4D,
    "__pud_alloc": LEVEL_PUD,
    "__pmd_alloc": LEVEL_PMD,
    "__pte_alloc": LEVEL_PTE,
    "pte_alloc_one": LEVEL_PTE,
    "__pte_alloc_one": LEVEL_PTE,
    "pmd_alloc_one": LEVEL_PMD,
    "pud_alloc_one": LEVEL_PUD,
    "p4d_alloc_one": LEVEL_P4D,
    "__pte_alloc_kernel": LEVEL_KERNEL,
    "pte_alloc_one_kernel": LEVEL_KERNEL,
    "__pte_alloc_one_kernel": LEVEL_KERNEL,
    **dict.fromkeys(_LINEAR_MAP, LEVEL_KERNEL),
}
"""Functions of mm/memory.c, arch/*/mm/pgtable.c, pgd.c and mmu.c that allocate nothing but tables."""

_PREALLOCATES_PTE: Final = frozenset(
    {
        "__handle_mm_fault",  # 6.1: everything below is inlined into it
        "do_fault",
        "__do_fault",
        "do_read_fault",
        "do_cow_fault",
        "do_shared_fault",
        "do_fault_around",
        "finish_fault",
        "do_set_pmd",
        "do_huge_pmd_anonymous_page",
        "__do_huge_pmd_anonymous_page",
        "do_huge_zero_wp_pmd",
        "copy_huge_pmd",
        "insert_pmd",
        "insert_pfn_pmd",
        "vmf_insert_pfn_pmd",
    }
)
"""Functions of mm/memory.c and mm/huge_memory.c into which arm64 inlines `pte_alloc_one()`: tables that are
allocated ahead (`vmf->prealloc_pte`) or deposited with a huge page. They allocate other pages too, hence
the flags."""


def function_of_frame(frame: str) -> str:
    """Return the bare function name of a stack frame: without arrow, offset, module and suffixes.

    ` => __pte_alloc_noprof.constprop.0+0x24/0x120 [mod]` becomes `__pte_alloc`.
    """
    words = frame.replace("=>", " ").split()
    if not words:
        return ""
    return words[0].partition("+")[0].partition(".")[0].removesuffix("_noprof")


def level_of_stack(
    frames: Sequence[str], gfp_account: bool, gfp_zero: bool, movable: bool, order: int
) -> int:
    """Say which level of page table an allocation is for.

    Parameters
    ----------
    frames : sequence of str
        Function names of the stack, innermost first; offsets, suffixes (`_noprof`, `.constprop.0`) and the
        arrow of ftrace's text are allowed.
    gfp_account, gfp_zero, movable : bool
        Whether the allocation's flags hold `__GFP_ACCOUNT`, `__GFP_ZERO`, `__GFP_MOVABLE`.
    order : int
        log2 of the number of pages allocated. A table is one page, but for the pgd of x86 with page-table
        isolation, which is two (arch/x86/mm/pgtable.c, `pgd_allocation_order()`).

    Returns
    -------
    int
        A code of `pba.events.LEVELS`; 0 if it is not a page table. Tables of the kernel's own address
        space (no `__GFP_ACCOUNT`, `GFP_PGTABLE_KERNEL` of include/asm-generic/pgalloc.h) are `LEVEL_KERNEL`
        at every level, but for a pgd, which is always a process's.
    """
    if movable or order > 1:
        return NOT_A_TABLE
    return _level(tuple(frames), gfp_account, gfp_zero, order)


@lru_cache(maxsize=1 << 16)
def _level(frames: tuple[str, ...], gfp_account: bool, gfp_zero: bool, order: int) -> int:
    """Answer for `level_of_stack`; recordings repeat a few hundred stacks."""
    caller = deciding_function(frames)
    level = _ALLOCATES.get(caller, NOT_A_TABLE)
    if level == NOT_A_TABLE:
        inlined = caller in _PREALLOCATES_PTE and gfp_account and gfp_zero and order == 0
        return LEVEL_PTE if inlined else NOT_A_TABLE
    if order and level != LEVEL_PGD:
        return NOT_A_TABLE
    if not gfp_zero and caller not in _LINEAR_MAP:
        return NOT_A_TABLE
    if level == LEVEL_PGD or gfp_account:
        return level
    return LEVEL_KERNEL


def deciding_function(frames: Sequence[str]) -> str:
    """Return the first function that is neither the tracepoint's nor the page allocator's, or ''."""
    for frame in frames:
        name = function_of_frame(frame)
        if name and not name.startswith(_PASSED_OVER):
            return name
    return ""
