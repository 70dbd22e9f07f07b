"""Text whose stack never ends: one clear error, as soon as it is longer than any kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

import pba
from pba.errors import TraceError
from pba.imports import ftrace

EVENT = "mm_page_alloc: page=0x1 pfn=0x1 order=0 migratetype=0 gfp_flags=GFP_KERNEL|__GFP_ZERO"
FORMS = {
    "ftrace": (
        f"# tracer: nop\n  task-1 [000] ..... 1.000000: {EVENT}\n"
        "  task-1 [000] ..... 1.000000: <stack trace>\n",
        " => some_function\n",
    ),
    "perf": (
        f"task     1 [000]     1.000000: kmem:{EVENT}\n",
        "\tffffffff81000000 some_function+0x10 ([kernel.kallsyms])\n",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_stack_without_end_is_one_clear_error(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, frame = FORMS[form]
    path = tmp_path / "x.txt"
    path.write_text(head + frame * (3 * ftrace.CHUNK_BYTES // len(frame)))
    searched = 0

    def counted(text: bytes, *form: ftrace.Form) -> int:
        nonlocal searched
        searched += len(text)
        return last_event(text, *form)

    last_event = ftrace._last_event
    monkeypatch.setattr(ftrace, "_last_event", counted)
    with pytest.raises(TraceError, match=r"x\.txt: is not .* text: a stack of more than 1 MiB"):
        pba.read_trace(path)
    assert (
        searched <= 3 * ftrace.CHUNK_BYTES
    )  # the second chunk shows it; nothing is searched again and again


@pytest.mark.parametrize("form", FORMS)
def test_a_stack_as_long_as_kernels_have_them_is_read_over_the_edge_of_a_chunk(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, frame = FORMS[form]
    monkeypatch.setattr(ftrace, "CHUNK_BYTES", 1 << 10)
    path = tmp_path / "x.txt"
    path.write_text(head + frame.replace("some_function", "__pte_alloc") + frame * 100)
    assert pba.read_trace(path).counts()["A"] == 1
