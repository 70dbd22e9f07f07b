"""ftrace text: real cuts of three kernels, files written by hand from the format strings, and damage."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pba.cli.app import run
from pba.errors import TraceError
from pba.events import OP_SHRINK
from pba.imports import ftrace
from pba.imports.ftrace import read_ftrace, sniff
from pba.imports.read import read_trace
from tests.traces import events_shown, levels

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STACK = " => __traceiter_mm_page_alloc\n => __alloc_pages\n => __pte_alloc\n => do_syscall_64\n"


def line(event: str, *, time: float = 1.0, task: str = "task-a-7", cpu: int = 0, flags: str = "....1") -> str:
    return f"{task:>16} [{cpu:03d}] {flags} {time:12.6f}: {event}\n"


def alloc(pfn: int, *, gfp: str = "GFP_KERNEL_ACCOUNT|__GFP_ZERO", **where) -> str:
    return line(
        f"mm_page_alloc: page=00000000deadbeef pfn={pfn:#x} order=0 migratetype=0 gfp_flags={gfp}", **where
    )


def free(pfn: int, **where) -> str:
    return line(f"mm_page_free: page=00000000deadbeef pfn={pfn:#x} order=0", **where)


def stack(frames: str = STACK, **where) -> str:
    return line("<stack trace>", **where) + frames


@pytest.mark.parametrize(
    ("name", "frees", "expected"),
    [
        ("arm64-6.1", 0, {"PGD": 1, "PUD": 2, "PMD": 4, "PTE": 6}),
        ("arm64-6.12", 0, {"PGD": 1, "PMD": 3, "PTE": 6}),
        ("arm64-7.3", 2, {"PGD": 4, "PUD": 7, "PMD": 9, "PTE": 11}),
    ],
)
def test_cuts_of_real_recordings(name, frees, expected):
    """Expected counts come from a line-by-line script that shares nothing with the reader."""
    trace = read_ftrace(GOLDEN / f"{name}.ftrace")
    assert levels(trace) == expected
    assert trace.counts()["F"] == frees
    assert trace.metadata.architecture == "aarch64"
    assert trace.metadata.quality.unparsed_lines == 0


def test_trace_with_header_isolation_and_interleaving():
    trace = read_ftrace(GOLDEN / "x86-trace.ftrace")
    assert events_shown(trace) == [
        ("A", 0x1200, "PGD"), ("A", 0x1201, "PGD"),  # order 1: two pages
        ("A", 0x1202, "PTE"),  # its stack stands after another CPU's lines and a softirq's free
        ("F", 0x1202, "PTE"), ("F", 0x1200, "PGD"), ("F", 0x1201, "PGD"),
    ]  # fmt: skip
    assert trace.metadata.architecture == "x86_64"
    assert trace.metadata.quality.lost_events == 37 + (19 - 12)
    assert any("2 stacks without their allocation" in note for note in trace.metadata.quality.notes)


def test_a_real_trace_cmd_report():
    """Every event has a stack, its first frame on its own line. Counts come from a script of its own."""
    trace = read_ftrace(GOLDEN / "trace-cmd-3.3-arm64.ftrace")
    assert levels(trace) == {"PGD": 4, "PUD": 4, "PMD": 5, "PTE": 7}
    assert (trace.counts()["F"], trace.counts()["S"]) == (9, 1)
    assert not trace.arg[trace.op == OP_SHRINK].any()  # priority 0: drop_caches
    quality = trace.metadata.quality
    assert (quality.unparsed_lines, quality.lost_events, quality.inferred_frees) == (0, 0, 0)
    assert not [note for note in quality.notes if "stacks without their allocation" in note]


def test_a_stack_that_begins_on_its_events_line_is_read_whole(written):
    frames = STACK.split("\n", 1)
    begin = line("kernel_stack:         \t" + frames[0].strip())
    of_a_pass = line("kernel_stack:         \t=> __traceiter_mm_shrink_slab_start") + " => do_shrink_slab\n"
    text = alloc(0x10) + begin + frames[1] + of_a_pass + alloc(0x11) + line("kernel_stack: \t=> __pte_alloc")
    trace = read_ftrace(written(text))
    assert events_shown(trace) == [("A", 0x10, "PTE"), ("A", 0x11, "PTE")]
    assert not [note for note in trace.metadata.quality.notes if "stacks without" in note]


def test_trace_cmd_report():
    trace = read_ftrace(GOLDEN / "trace-cmd-report.ftrace")
    assert events_shown(trace) == [
        ("A", 1465546, "PMD"),  # decimal pfn
        ("A", 0x165CB4, "PTE"),  # [FAILED TO PARSE], flags in decimal
        ("A", 0x165CC0, "PUD"),  # flags in hexadecimal
        ("F", 0x165CC0, "PUD"),  # inferred: the page is allocated for something else
        ("F", 1465546, "PMD"),
        ("S", -1, ""),
    ]
    quality = trace.metadata.quality
    assert (quality.lost_events, quality.inferred_frees) == (2, 1)
    assert any("back by up to 1 us" in note for note in quality.notes)


@pytest.mark.parametrize(
    "task", ["a-7", "two words-7", "dash-ed - name-7", "<...>-7", "[x] y-7", "a-1 [2-7", "(z)-7"]
)
@pytest.mark.parametrize("flags", ["....", "d.s1", "dNs1.", ".n..1", ""])
def test_names_and_flags_of_all_shapes(written, task, flags):
    where = {"task": task, "flags": flags}
    text = alloc(0x10, **where) + stack(**where) + free(0x10, time=1.5, **where)
    trace = read_ftrace(written(text))
    assert events_shown(trace) == [("A", 0x10, "PTE"), ("F", 0x10, "PTE")]
    assert trace.metadata.quality.unparsed_lines == 0


def test_the_zero_flag_can_be_told(written):
    path = written(alloc(0x10, gfp="0x408000") + stack())
    assert levels(read_ftrace(path)) == {}
    assert levels(read_ftrace(path, gfp_zero=0x8000)) == {"PTE": 1}


def test_failed_allocations_are_skipped(written):
    text = alloc(0) + stack() + alloc(0xFFFFFFFFFFFFFFFF) + stack() + alloc(0x20, time=2) + stack(time=2)
    assert events_shown(read_ftrace(written(text))) == [("A", 0x20, "PTE")]


def test_a_stack_belongs_to_its_own_task_and_cpu(written):
    text = (
        alloc(0x10, cpu=0, task="a-1")
        + alloc(0x20, cpu=1, task="b-2")
        + alloc(0x30, cpu=0, task="a-1", flags="..s1.")  # a softirq on top of the first
        + stack(" => __traceiter_mm_page_alloc\n => __alloc_pages\n => __pmd_alloc\n", cpu=1, task="b-2")
        + stack(" => __alloc_pages\n => skb_page_frag_refill\n", cpu=0, task="a-1", flags="..s1.")
        + stack(" => __alloc_pages\n => __pud_alloc\n", cpu=0, task="a-1")
    )
    trace = read_ftrace(written(text))
    assert events_shown(trace) == [("A", 0x10, "PUD"), ("A", 0x20, "PMD")]


def test_stacks_of_a_looser_trigger_and_of_other_events_are_dropped(written):
    text = (
        stack(time=0.5)  # no event at all
        + alloc(0x10, gfp="GFP_KERNEL", time=1)  # no stack: not zeroed
        + stack(time=1.5)  # half a second later: another allocation's, which was filtered out
        + alloc(0x20, time=2)
        + free(0x30, time=2.00001)
        + stack(" => __traceiter_mm_page_free\n => free_unref_page\n", time=2.00001)
        + stack(time=2.00002)
    )
    trace = read_ftrace(written(text))
    assert events_shown(trace) == [("A", 0x20, "PTE")]
    assert any("2 stacks without" in note for note in trace.metadata.quality.notes)


def test_lost_events_part_a_stack_from_its_event(written):
    text = (
        alloc(0x10) + "CPU:0 [LOST 12 EVENTS]\n" + stack() + "CPU:0 [LOST EVENTS]\n" + alloc(0x20) + stack()
    )
    trace = read_ftrace(written(text))
    assert events_shown(trace) == [("A", 0x20, "PTE")]
    assert trace.metadata.quality.lost_events == 13


def test_lines_not_understood_are_counted_and_the_first_is_told_without_its_text(written):
    text = (
        alloc(0x10) + stack() + "what is this\n" + line("mm_page_free: page=0 pfn=0x1") + free(0x10, time=3)
    )
    quality = read_ftrace(written(text)).metadata.quality
    assert quality.unparsed_lines == 2
    assert any(note.endswith("the first is line 7") for note in quality.notes)
    leaky = (
        line("mm_page_free: page=ffffea0001 pfn=0x1", task="my-1 secret-1"),
        "secret  1234 [000]  1.000000:  kmem:mm_page_free: page=ffffea0001 pfn=0x1\n",
    )
    for first in leaky:
        quality = read_ftrace(written(first + text)).metadata.quality
        assert quality.unparsed_lines == 3
        assert any(note.endswith("the first is line 1") for note in quality.notes)
        assert "secret" not in str(quality)
        assert "ffffea" not in str(quality)


def test_the_first_line_not_understood_is_told_whatever_its_kind(written):
    shrinker, other = line("mm_shrink_slab_start: in a form of its own"), "what is this\n"
    good = alloc(0x10) + stack()
    for text, number in ((good + shrinker + other, 7), (good + other + shrinker, 7), (good + shrinker, 7)):
        quality = read_ftrace(written(text)).metadata.quality
        assert any(note.endswith(f"the first is line {number}") for note in quality.notes)


def test_a_chunk_may_end_anywhere(written, monkeypatch):
    path = GOLDEN / "arm64-7.3.ftrace"
    whole = read_ftrace(path)
    for size in (300, 1000, 4097):
        monkeypatch.setattr(ftrace, "CHUNK_BYTES", size)
        assert events_shown(read_ftrace(path)) == events_shown(whole)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.compress])
def test_compressed_text_is_found_by_content(written, pack):
    plain = GOLDEN / "x86-trace.ftrace"
    path = written(pack(plain.read_bytes()), "anything.bin")
    assert events_shown(read_trace(path)) == events_shown(read_ftrace(plain))


def test_facts_that_the_text_does_not_hold_can_be_told(written):
    path = written(alloc(0x10) + stack())
    trace = read_ftrace(path, page_size_kib=16, memory_pages=65536, kernel="6.12", name="n", architecture="a")
    known = trace.metadata
    assert (known.page_size_kib, known.memory_pages, known.kernel) == (16, 65536, "6.12")
    assert (known.name, known.architecture, known.source) == ("n", "a", "ftrace")


def test_sniffing():
    assert sniff((GOLDEN / "x86-trace.ftrace").read_bytes())
    assert sniff((GOLDEN / "trace-cmd-report.ftrace").read_bytes())
    assert sniff(b"garbage first\n" + free(1).encode())
    assert not sniff(b"")
    assert not sniff(b"100 A 1\n200 F 1\n")
    assert not sniff(b"PAR1\0\0")
    assert not sniff(b"a letter to somebody, written in 2024-05 [000]\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("dear reader\nthis is not a trace\n", r"given:1: is not ftrace text: 'dear reader'"),
        (b"\x00\x01\xff" * 4000, r"given:1: is not ftrace text"),
        (free(1), "holds no mm_page_alloc event"),
        (alloc(1), "holds no stack traces"),
    ],
)
def test_what_is_no_recording_is_refused(written, text, message):
    with pytest.raises(TraceError, match=message) as caught:
        read_ftrace(written(text))
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_ends_in_anything_but_a_clean_error(written, data):
    text = bytearray((GOLDEN / "arm64-6.12.ftrace").read_bytes()[:6000])
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 80))] = data.draw(st.binary(max_size=40))
    try:
        trace = read_ftrace(written(bytes(text)))
    except TraceError as error:
        assert error.hint
    else:
        assert (np.diff(trace.time_ns) >= 0).all()


class TestCommand:
    def test_import_writes_what_it_read(self, tmp_path, capsys):
        out = tmp_path / "x.parquet"
        source = GOLDEN / "shrinkers-7.3.ftrace.xz"
        assert run(["import", str(source), "-o", str(out)]) == 2  # shrinker lines only
        assert "holds no mm_page_alloc" in capsys.readouterr().err
        source = GOLDEN / "arm64-7.3.ftrace"
        facts = ["--page-size", "4", "--memory", "1GiB", "--kernel", "7.3.4", "--note", "a cut"]
        assert run(["import", str(source), "-o", str(out), *facts]) == 0
        assert "31 page tables allocated" in capsys.readouterr().out
        trace = read_trace(out)
        assert trace.metadata.memory_pages == 262144
        assert "a cut" in trace.metadata.quality.notes
        assert events_shown(trace) == events_shown(read_ftrace(source))

    def test_import_refuses_an_unknown_form_before_it_reads(self, tmp_path, capsys):
        assert run(["import", str(tmp_path / "none.ftrace"), "-o", str(tmp_path / "x.txt")]) == 2
        assert "no such form of a trace" in capsys.readouterr().err

    def test_import_says_what_the_text_form_loses(self, tmp_path, capsys):
        assert run(["import", str(GOLDEN / "arm64-7.3.ftrace"), "-o", str(tmp_path / "x.events.gz")]) == 0
        assert "neither levels nor page frames" in capsys.readouterr().out

    def test_import_replaces_nothing_unasked(self, tmp_path, capsys):
        out = tmp_path / "x.parquet"
        out.write_text("mine")
        source = str(GOLDEN / "arm64-7.3.ftrace")
        assert run(["import", source, "-o", str(out)]) == 2
        assert "--force" in capsys.readouterr().err
        assert out.read_text() == "mine"
        assert run(["import", source, "-o", str(out), "--force"]) == 0

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--memory", "1GiB"], "--memory needs --page-size"),
            (["--page-size", "5"], "page size 5 KiB does not exist"),
            (["--page-size", "4", "--memory", "much"], "is not a size"),
            (["--gfp-zero", "zero"], "is not a number"),
            (["--gfp-zero", "-1"], "is not one bit"),
            (["--gfp-zero", "0x300"], "is not one bit"),
        ],
    )
    def test_import_refuses_wrong_options(self, tmp_path, capsys, options, message):
        source = str(GOLDEN / "arm64-7.3.ftrace")
        assert run(["import", source, "-o", str(tmp_path / "x.parquet"), *options]) == 2
        assert message in capsys.readouterr().err


def test_a_real_trace_with_its_header_and_an_overrun() -> None:
    """Counted by hand: one stack has `__pte_alloc`, the first has no allocation, one shrinker comes again."""
    trace = read_ftrace(GOLDEN / "x86-6.18-trace.ftrace")
    assert trace.counts() == {"A": 1, "F": 0, "S": 2, "D": 0, "B": 0, "b": 0}
    assert trace.pfn[trace.op == 0].tolist() == [0x4007F9]
    assert trace.metadata.quality.lost_events == 49944 - 11168
    assert trace.metadata.architecture == "x86_64"
    assert any(note.startswith("1 stacks without their allocation") for note in trace.metadata.quality.notes)
