"""`perf script` text: a cut of a real recording, the contract with ftrace's importer, and damage."""

from __future__ import annotations

import gzip
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pba.cli.app import run
from pba.errors import TraceError
from pba.imports import ftrace, perf
from pba.imports.ftrace import read_ftrace
from pba.imports.perf import read_perf, sniff
from pba.imports.read import read_trace
from tests.traces import events_shown, levels

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
REAL = GOLDEN / "x86-6.18.perf.xz"
EXPECTED_LEVELS = {"PGD": 4, "PUD": 8, "PMD": 14, "PTE": 42}
EXPECTED_FREES = 22
GFP = "GFP_KERNEL_ACCOUNT|__GFP_ZERO"
LINE = re.compile(r"^ *(?P<name>.*)-(?P<pid>\d+) +\[(?P<cpu>\d+)\] +\S+ +(?P<time>\d+\.\d+): (?P<event>.*)$")


def event(text: str, *, time: float = 1.0, task: str = "task 7", cpu: int = 0) -> str:
    return f"{task} [{cpu:03d}] {time:12.6f}:          {text}\n"


def frames(*functions: str) -> str:
    kernel = "".join(f"\tffffffff8162184b {name}+0x26b ([kernel.kallsyms])\n" for name in functions)
    return f"{kernel}\t           f838f __write+0x4f (/usr/lib/libc.so.6)\n\n"


def alloc(pfn: int, *functions: str, gfp: str = GFP, order: int = 0, **where) -> str:
    head = event(
        f"kmem:mm_page_alloc: page={pfn:#x} pfn={pfn:#x} order={order} migratetype=0 gfp_flags={gfp}", **where
    )
    return head + frames("__alloc_pages", *(functions or ("__pte_alloc", "do_syscall_64")))


def free(pfn: int, **where) -> str:
    return event(f"kmem:mm_page_free: page={pfn:#x} pfn={pfn:#x} order=0", **where) + frames("free_pages")


def as_perf(text: str) -> str:
    """Write a recording of ftrace's as `perf script` would: each stack right after its event."""
    blocks: list[list[str]] = []
    last: dict[tuple[str, str], list[str]] = {}
    into: list[str] = []
    for line in text.splitlines():
        if line.startswith(" =>"):
            function = line.split()[1]
            into.append(f"\tffff800080{len(into):06x} {function} ([kernel.kallsyms])")
            continue
        found = LINE.match(line)
        if not found:
            continue
        who = (found["pid"], found["cpu"])
        if found["event"].startswith("<stack trace>"):
            into = last.pop(who, [])
            continue
        name, _, rest = found["event"].partition(": ")
        system = "vmscan" if "shrink" in name else "kmem"
        if "batched" in name:
            continue
        shown = (
            f"{found['name']} {found['pid']:>5} [{found['cpu']}] {found['time']}: {system:>12}:{name}: {rest}"
        )
        blocks.append([shown])
        if name == "mm_page_alloc":
            last[who] = blocks[-1]
    return "".join("\n".join(block) + "\n\n" for block in blocks)


def test_a_cut_of_a_real_recording():
    """Expected counts come from a line-by-line script that shares nothing with the reader."""
    trace = read_trace(REAL)
    assert levels(trace) == EXPECTED_LEVELS
    assert trace.counts()["F"] == EXPECTED_FREES
    assert trace.counts()["S"] == 1  # one write to drop_caches
    assert trace.arg[trace.op == 2].tolist() == [0]
    assert (trace.metadata.architecture, trace.metadata.source) == ("x86_64", "perf")
    assert trace.metadata.name == "x86-6.18"
    assert trace.metadata.quality.unparsed_lines == 0


@pytest.mark.parametrize("name", ["arm64-6.1", "arm64-6.12", "arm64-7.3", "x86-trace"])
def test_the_same_events_in_both_forms_give_the_same_trace(written, name):
    """The contract of the two importers, on real recordings of arm64 (and x86's, written by hand)."""
    source = GOLDEN / f"{name}.ftrace"
    if name == "x86-trace":  # task 4242's softirq and lost events have no counterpart in perf's lines
        text = source.read_text().replace("..s1.   100.000021", "...1.   100.000021")
        source = written(text.replace("CPU:1 [LOST 37 EVENTS]\n", ""), "x.ftrace")
    ours, theirs = read_perf(written(as_perf(source.read_text()))), read_ftrace(source)
    assert events_shown(ours) == events_shown(theirs)
    assert np.array_equal(ours.time_ns, theirs.time_ns)
    assert ours.metadata.architecture == theirs.metadata.architecture
    assert ours.metadata.quality.inferred_frees == theirs.metadata.quality.inferred_frees


@pytest.mark.parametrize("name", ["shrinkers-6.1", "shrinkers-6.12", "shrinkers-7.3"])
def test_shrinker_passes_are_the_same_in_both_forms(written, name):
    """The lines of three kernels, put after one allocation so that there is a trace."""
    lines = lzma.decompress((GOLDEN / f"{name}.ftrace.xz").read_bytes()).decode()
    when = LINE.match(lines.splitlines()[0])["time"]
    task = f"  task-7  [000] ....1 {when}: "
    first = f"{task}mm_page_alloc: page=0 pfn=0x10 order=0 migratetype=0 gfp_flags={GFP}\n"
    first += f"{task}<stack trace>\n => __alloc_pages\n => __pte_alloc\n"
    theirs = read_ftrace(written(first + lines, "x.ftrace"))
    ours = read_perf(written(as_perf(first + lines)))
    assert theirs.counts()["S"] > 3
    assert ours.arg.tolist() == theirs.arg.tolist()
    assert np.array_equal(ours.time_ns, theirs.time_ns)


@pytest.mark.parametrize(
    "task",
    [
        "a 7",
        "            name     7",
        "two words 7",
        "a-7 [2] 7",
        "kworker/0:1-ev 7",
        ":-1    -1",
        "a 12/7",
        "7 7",
    ],
)
def test_names_of_all_shapes(written, task):
    trace = read_perf(written(alloc(0x10, task=task) + free(0x10, time=1.5, task=task)))
    assert events_shown(trace) == [("A", 0x10, "PTE"), ("F", 0x10, "PTE")]
    assert trace.metadata.quality.unparsed_lines == 0


def test_tabs_that_were_expanded_and_lines_of_windows(written):
    text = alloc(0x10) + free(0x10, time=2)
    plain = events_shown(read_perf(written(text)))
    assert events_shown(read_perf(written(text.expandtabs()))) == plain
    assert events_shown(read_perf(written(text.replace("\n", "\r\n")))) == plain


def test_frames_without_addresses_and_with_modules(written):
    text = alloc(0x10) + alloc(0x20, "__pmd_alloc", time=2)
    text = text.replace("ffffffff8162184b ", "").replace("[kernel.kallsyms]", "[zram]")
    assert levels(read_perf(written(text))) == {"PMD": 1, "PTE": 1}


def test_only_the_kernels_part_of_a_stack_is_looked_at(written):
    user = "\t           f838f __pte_alloc+0x4f (/usr/bin/odd)\n\n"
    head = event(f"kmem:mm_page_alloc: page=0x1 pfn=0x1 order=0 migratetype=0 gfp_flags={GFP}")
    trace = read_perf(written(alloc(0x10) + head + user))
    assert events_shown(trace) == [("A", 0x10, "PTE")]


def test_an_allocation_without_a_stack_takes_none_from_other_events(written):
    head = event(f"kmem:mm_page_alloc: page=0x1 pfn=0x1 order=0 migratetype=0 gfp_flags={GFP}")
    other = event("sched:sched_switch: prev=1") + frames("__alloc_pages", "__pte_alloc")
    trace = read_perf(written(alloc(0x10) + head + "\n" + other))
    assert events_shown(trace) == [("A", 0x10, "PTE")]


def test_isolation_failed_allocations_and_raw_fields(written):
    raw = event("kmem:mm_page_alloc: [FAILED TO PARSE] pfn=0x30 order=0 gfp_flags=4197824 migratetype=1")
    text = (
        alloc(0x10, "pgd_alloc", order=1)
        + alloc(0)
        + alloc(0x20, gfp="0x400dc0")
        + raw
        + frames("__pud_alloc")
    )
    expected = [("A", 0x10, "PGD"), ("A", 0x11, "PGD"), ("A", 0x20, "PTE"), ("A", 0x30, "PUD")]
    assert events_shown(read_perf(written(text))) == expected


def test_lost_events_are_counted(written):
    lost = event("PERF_RECORD_LOST lost 12") + event("PERF_RECORD_LOST_SAMPLES lost 3")
    quality = read_perf(written(alloc(0x10) + lost)).metadata.quality
    assert (quality.lost_events, quality.unparsed_lines) == (15, 0)


def test_lines_not_understood_are_counted_and_of_the_first_only_its_number_is_told(written):
    text = alloc(0x10) + "what is this\n" + event("kmem:mm_page_free: page=0 pfn=0x1", task="secret 1")
    quality = read_perf(written(text)).metadata.quality
    assert quality.unparsed_lines == 2
    assert "2 lines could not be understood, the first is line 7" in quality.notes
    assert any("perf can miss frees" in note for note in quality.notes)
    swapped = event("kmem:mm_page_free: page=0 pfn=0x1", task="secret 1") + text
    quality = read_perf(written(swapped)).metadata.quality
    assert "3 lines could not be understood, the first is line 1" in quality.notes
    assert "secret" not in str(quality)


def test_a_chunk_may_end_anywhere(written, monkeypatch):
    whole = events_shown(read_perf(REAL))
    spaces = written(lzma.decompress(REAL.read_bytes()).decode().expandtabs())
    for size in (700, 4097, 50_000):
        monkeypatch.setattr(ftrace, "CHUNK_BYTES", size)
        assert events_shown(read_perf(REAL)) == whole
    assert events_shown(read_perf(spaces)) == whole


def test_it_is_found_by_content(written):
    text = alloc(0x10)
    assert sniff(text.encode())
    assert sniff(b"# captured on: ...\n#\n" + free(1).encode())
    assert not ftrace.sniff(text.encode())
    assert not sniff((GOLDEN / "arm64-7.3.ftrace").read_bytes())
    assert not sniff(b"PAR1\0\0")
    assert not sniff(b"a letter of 12 [000] words: none\n")
    trace = read_trace(written(gzip.compress(text.encode()), "anything.bin"))
    assert events_shown(trace) == [("A", 0x10, "PTE")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("dear reader\nthis is not a trace\n", r"given:1: is not perf text: 'dear reader'"),
        (b"\x00\x01\xff" * 4000, r"given:1: is not perf text"),
        (free(1), "holds no mm_page_alloc event"),
        (alloc(1).partition("\n")[0] + "\n", r"holds no stack traces.*perf record -a -g"),
    ],
)
def test_what_is_no_recording_is_refused(written, text, message):
    with pytest.raises(TraceError, match=r"given") as caught:
        read_perf(written(text))
    assert re.search(message, str(caught.value))
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_ends_in_anything_but_a_clean_error(written, data):
    text = bytearray(lzma.decompress(REAL.read_bytes())[:6000])
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 80))] = data.draw(st.binary(max_size=40))
    try:
        trace = read_perf(written(bytes(text)))
    except TraceError as error:
        assert error.hint
    else:
        assert (np.diff(trace.time_ns) >= 0).all()


def test_import_writes_what_it_read(tmp_path, capsys):
    out = tmp_path / "x.parquet"
    assert run(["import", str(REAL), "-o", str(out), "--page-size", "4", "--kernel", "6.18"]) == 0
    assert "page tables allocated" in capsys.readouterr().out
    trace = read_trace(out)
    assert (trace.metadata.page_size_kib, trace.metadata.kernel) == (4, "6.18")
    assert events_shown(trace) == events_shown(read_perf(REAL))
    assert perf.PERF.name == trace.metadata.source
