"""The output of our bpftrace program: a cut of a real recording, what the program counts, and its text."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pba.cli.app import run
from pba.errors import TraceError
from pba.events import LEVELS, OP_ALLOC, OP_SHRINK
from pba.imports import bpftrace, ftrace
from pba.imports.bpftrace import program, read_bpftrace, sniff
from pba.imports.read import read_trace
from pba.tracepoints.classify import GFP_MOVABLE, GFP_ZERO
from tests.traces import events_shown

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
REAL = GOLDEN / "x86-6.18.bpftrace"
HEADER = "Attaching 6 probes...\n# pba bpftrace 1\n"


def event(text: str, time: float = 1.0, task: str = "task") -> str:
    return f"{task} 7 [000] {time:.9f}: {text}\n"


def alloc(pfn: int, *functions: str, time: float = 1.0, gfp: int = 0x400DC0) -> str:
    frames = "".join(f"        {name}+26\n" for name in ("__alloc_pages", *(functions or ("__pte_alloc",))))
    return event(f"kmem:mm_page_alloc: pfn={pfn:#x} order=0 gfp_flags={gfp:#x}", time) + frames + "\n"


def free(pfn: int, time: float = 2.0) -> str:
    return event(f"kmem:mm_page_free: pfn={pfn:#x} order=0", time)


@pytest.mark.parametrize(
    ("name", "architecture", "levels"),
    [
        ("x86-6.18", "x86_64", {"PGD": 4, "PUD": 5, "PMD": 6, "PTE": 4}),
        ("arm64-6.12", "aarch64", {"PGD": 3, "PUD": 4, "PMD": 7, "PTE": 7}),
    ],
)
def test_a_cut_of_a_real_recording(name, architecture, levels):
    """Expected counts come from a line-by-line script that shares nothing with the reader."""
    trace = read_trace(GOLDEN / f"{name}.bpftrace")
    counts = np.bincount(trace.level[trace.op == OP_ALLOC], minlength=len(LEVELS))
    found = {name: int(n) for name, n in zip(LEVELS, counts, strict=True) if n}
    assert found == levels
    assert trace.counts()["F"] == 16
    assert trace.counts()["S"] >= 1
    assert not trace.arg[trace.op == OP_SHRINK].any()  # priority 0: drop_caches
    assert (trace.metadata.architecture, trace.metadata.source) == (architecture, "bpftrace")
    quality = trace.metadata.quality
    assert (quality.unparsed_lines, quality.lost_events) == (0, 0)


@pytest.mark.parametrize(
    ("end", "lost", "note"),
    [
        ("@sent: 2\n", 0, ""),
        ("Lost 12 events\n@sent: 2\n", 12, ""),
        ("Lost 3 events\n@sent: 9\n", 7, ""),
        ("", 0, "the end is missing"),
        (event("pba:not_followed: pfn=0x10") + "@sent: 3\n", 0, "the frees of 1 pages are unknown"),
    ],
)
def test_lost_events_are_counted_by_what_bpftrace_and_the_program_say(written, end, lost, note):
    quality = read_trace(written(HEADER + alloc(0x10) + free(0x10) + end)).metadata.quality
    assert (quality.lost_events, quality.unparsed_lines) == (lost, 0)
    assert (note in " ".join(quality.notes)) if note else "the end is missing" not in quality.notes


def test_events_of_cpus_may_stand_out_of_order_and_in_other_chunks(written, monkeypatch):
    text = HEADER + free(0x20, 5) + alloc(0x20, time=4) + alloc(0x10, "__pmd_alloc", time=1)
    path = written(text + "@sent: 3\n")
    expected = [("A", 0x10, "PMD"), ("A", 0x20, "PTE"), ("F", 0x20, "PTE")]
    assert events_shown(read_trace(path)) == expected
    monkeypatch.setattr(ftrace, "CHUNK_BYTES", len(HEADER) + len(free(0x20, 5)) + 20)
    assert events_shown(read_trace(path)) == expected


def test_a_page_that_is_allocated_for_something_else_was_freed_unseen(written):
    other = event("kmem:mm_page_alloc: pfn=0x10 order=0 gfp_flags=0x2800", 2)
    trace = read_trace(written(HEADER + alloc(0x10) + other + "@sent: 2\n"))
    assert events_shown(trace) == [("A", 0x10, "PTE"), ("F", 0x10, "PTE")]
    assert trace.metadata.quality.inferred_frees == 1


def test_zeroed_pages_without_a_stack_are_told(written):
    bare = event("kmem:mm_page_alloc: pfn=0x20 order=0 gfp_flags=0x400dc0", 2)
    quality = read_trace(written(HEADER + alloc(0x10) + bare + "@sent: 2\n")).metadata.quality
    assert any(note.startswith("1 zeroed pages without a stack") for note in quality.notes)


def test_a_later_version_is_refused(written):
    with pytest.raises(TraceError, match="version 2 of pba's bpftrace program"):
        read_trace(written(HEADER.replace("bpftrace 1", "bpftrace 2") + alloc(0x10)))


def test_it_is_found_by_content():
    assert sniff(REAL.read_bytes())
    assert sniff(b"WARNING: something\n# pba bpftrace 1\r\n")
    assert not sniff(b"# pba metadata {}\n1500 A 7\n")
    with pytest.raises(TraceError, match="is not bpftrace text"):
        read_bpftrace(REAL.with_name("README.md"))


def test_the_program_is_printed_and_names_its_version_and_flags(capsys):
    assert run(["record", "--print-bpftrace"]) == 0
    text = capsys.readouterr().out
    assert text == program()
    assert sniff(re.search(r'printf\("(# [^"\\]*)', text)[1].encode() + b"\n")
    masks = {int(number, 16) for number in re.findall(r"gfp_flags & (0x[0-9a-f]+)", text)}
    assert masks == {GFP_ZERO | GFP_MOVABLE}
    assert bpftrace.VERSION == 1
    assert text.count("comm") - text.count("command") == 1  # only to know kswapd
    assert text.count("@sent = count()") == text.count('printf("task')


@pytest.mark.skipif(shutil.which("bpftrace") is None, reason="no bpftrace here")
def test_bpftrace_takes_the_program():
    source = Path(bpftrace.__file__).with_name("page_tables.bt")
    done = subprocess.run(["bpftrace", "-d", source], capture_output=True, text=True, timeout=60)
    if "Operation not permitted" in done.stderr and done.returncode:
        pytest.skip("bpftrace needs root")
    assert done.returncode == 0, done.stderr[-500:]
