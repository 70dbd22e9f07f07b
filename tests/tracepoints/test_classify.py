import pytest

from pba.events import LEVEL_KERNEL, LEVEL_P4D, LEVEL_PGD, LEVEL_PMD, LEVEL_PTE, LEVEL_PUD
from pba.tracepoints.classify import NOT_A_TABLE, deciding_function, function_of_frame, level_of_stack

TRACING = ("trace_event_raw_event_mm_page_alloc", "__traceiter_mm_page_alloc")


def user_table(*callers: str, order: int = 0) -> int:
    """Classify a stack with the flags of a user's table."""
    return level_of_stack((*TRACING, *callers), True, True, False, order)


@pytest.mark.parametrize(
    ("callers", "level"),
    [
        (
            ("__alloc_pages_noprof", "alloc_pages_mpol_noprof", "get_free_pages_noprof", "pgd_alloc"),
            LEVEL_PGD,
        ),
        (("__alloc_pages", "alloc_pages", "get_zeroed_page", "__pud_alloc"), LEVEL_PUD),
        (("__alloc_pages", "alloc_pages", "__get_free_pages", "__p4d_alloc"), LEVEL_P4D),
        (("__alloc_frozen_pages_noprof", "alloc_frozen_pages_noprof", "__pmd_alloc"), LEVEL_PMD),
        (("__alloc_pages", "__pte_alloc", "move_page_tables"), LEVEL_PTE),
        (("__alloc_pages", "pte_alloc_one", "__pte_alloc"), LEVEL_PTE),
        (("__alloc_pages", "__do_fault"), LEVEL_PTE),
        (("__alloc_pages", "do_fault"), LEVEL_PTE),
        (("__alloc_pages", "do_huge_pmd_anonymous_page"), LEVEL_PTE),
        (("__alloc_pages", "copy_huge_pmd"), LEVEL_PTE),
        (("__alloc_pages", "alloc_pages", "__handle_mm_fault"), LEVEL_PTE),
        (("__alloc_pages", "__pte_alloc_kernel"), LEVEL_KERNEL),
    ],
)
def test_who_allocates_which_level(callers, level):
    assert user_table(*callers) == level


@pytest.mark.parametrize(
    "inner",
    [
        "trace_event_raw_event_mm_page_alloc",
        "__traceiter_mm_page_alloc",
        "event_triggers_call",
        "__alloc_pages",
        "__alloc_pages_slowpath.constprop.0",
        "__alloc_frozen_pages_noprof",
        "alloc_pages_mpol",
        "alloc_frozen_pages_noprof",
        "get_free_pages_noprof",
        "get_zeroed_page_noprof",
        "__get_free_pages",
    ],
)
def test_what_stands_before_the_frame_that_decides(inner):
    for caller in ("copy_page_range", "__handle_mm_fault", "do_anonymous_page", "move_page_tables"):
        assert user_table(inner, "__pte_alloc", caller) == LEVEL_PTE
        assert user_table(inner, "some_other_function", "__pte_alloc", caller) == NOT_A_TABLE


@pytest.mark.parametrize(
    "caller",
    [
        "__vmalloc_node_range_noprof",  # kernel stacks on 16 KiB pages
        "swap_cluster_alloc_table",
        "vma_alloc_zeroed_movable_folio",
        "alloc_slab_page",
        "copy_page_range",
    ],
)
def test_other_zeroed_pages_are_no_tables(caller):
    assert user_table("__alloc_pages_noprof", caller, "pgd_alloc") == NOT_A_TABLE


def test_flags_decide_where_the_allocation_is_inlined():
    frames = (*TRACING, "__alloc_pages", "do_fault")
    assert level_of_stack(frames, True, True, False, 0) == LEVEL_PTE
    assert level_of_stack(frames, False, True, False, 0) == NOT_A_TABLE
    assert level_of_stack(frames, True, False, False, 0) == NOT_A_TABLE
    assert level_of_stack(frames, True, True, True, 0) == NOT_A_TABLE
    assert level_of_stack(frames, True, True, False, 1) == NOT_A_TABLE


def test_tables_without_account_are_the_kernels():
    assert level_of_stack(("__alloc_pages", "__pmd_alloc"), False, True, False, 0) == LEVEL_KERNEL
    assert level_of_stack(("__alloc_pages", "__pgd_pgtable_alloc"), False, False, False, 0) == LEVEL_KERNEL
    assert level_of_stack(("__alloc_pages", "__pmd_alloc"), False, False, False, 0) == NOT_A_TABLE


@pytest.mark.parametrize("caller", ["pgd_pgtable_alloc_init_mm_gfp", "split_pmd", "split_pud"])
def test_tables_that_split_the_linear_map_need_no_zero(caller):
    assert level_of_stack(("__alloc_pages_noprof", caller), False, False, False, 0) == LEVEL_KERNEL


def test_a_pgd_is_a_process_s_even_without_account():
    assert level_of_stack(("__alloc_pages", "pgd_alloc"), False, True, False, 0) == LEVEL_PGD


def test_only_a_pgd_is_two_pages():
    assert user_table("__alloc_pages", "pgd_alloc", order=1) == LEVEL_PGD
    assert user_table("__alloc_pages", "__pmd_alloc", order=1) == NOT_A_TABLE
    assert user_table("__alloc_pages", "pgd_alloc", order=2) == NOT_A_TABLE


@pytest.mark.parametrize(
    "frame",
    [
        "__pte_alloc",
        " => __pte_alloc",
        " => __pte_alloc+0x24/0x120",
        "=> __pte_alloc_noprof.constprop.0+0x24/0x120 [mod]",
        "__pte_alloc.isra.0 (ffffffff812b9c31)",
    ],
)
def test_a_frame_is_reduced_to_its_function(frame):
    assert function_of_frame(frame) == "__pte_alloc"


def test_nothing_but_the_page_allocator_decides_nothing():
    assert deciding_function([*TRACING, "__alloc_pages", ""]) == ""
    assert user_table("__alloc_pages") == NOT_A_TABLE
