"""Time the importers on large files, each in a process of its own, and say how much memory they took.

    python -m tests.benchmarks.bench_import [--megabytes N] [--form NAME ...] [--events N]

The files are made here: a fork storm's page tables, freed and allocated again in the next second, among many
times as many user pages, as recordings of whole machines have them (a stack of 17 frames for each table, one
table in about 6 KB). Speed is by processor time, and by the clock beside it; the file is read once before. A
file of 2 GB is `--megabytes 2000`. Beside the peak memory stands what the process took before the large file.
CSV and the text form hold nothing but a trace's events, so their memory is the trace's own: look at the bytes
an event. Parquet is timed on a generated trace of `--events` events.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FRAMES = (
    "__alloc_pages", "alloc_pages", "__pte_alloc", "copy_page_range", "dup_mmap", "copy_process",
    "kernel_clone", "__do_sys_clone", "__arm64_sys_clone", "invoke_syscall", "el0_svc_common.constprop.0",
    "do_el0_svc",
    "el0_svc", "el0t_64_sync_handler", "el0t_64_sync",
)  # fmt: skip
TABLES = 20
USER_PAGES = 40
"""For each table and second, allocated and freed."""
SCRIPT = '<script class="trace-data" type="application/text">'
SECOND = "%SECOND"
TABLE_FLAGS = "GFP_KERNEL_ACCOUNT|__GFP_ZERO"
USER_FLAGS = "GFP_HIGHUSER_MOVABLE|__GFP_COMP"

Line = Callable[[int, str, bool], str]
"""From microseconds, the event's text, and whether a stack follows, to lines."""


def _ftrace(when: int, text: str, stack: bool) -> str:
    head = f"          task-0-1       [001] ..... {SECOND}.{when:06d}: "
    frames = f"{head}<stack trace>\n" + "".join(f" => {frame}\n" for frame in FRAMES) if stack else ""
    return f"{head}{text}\n{frames}"


def _perf(when: int, text: str, stack: bool) -> str:
    frames = "".join(f"\tffffffff8162184b {frame}+0x26b ([kernel.kallsyms])\n" for frame in FRAMES)
    return f"task-0     1 [001] {SECOND}.{when:06d}:          kmem:{text}\n{frames if stack else ''}\n"


def _bpftrace(when: int, text: str, stack: bool) -> str:
    frames = "".join(f"        {frame}+38\n" for frame in FRAMES)
    return f"task 1 [001] {SECOND}.{when:06d}000: kmem:{text}\n" + (f"{frames}\n" if stack else "")


def event_text(line: Line) -> str:
    """Return a second of event text: tables that are freed and allocated again, among user pages."""
    lines = []
    when = 0
    for table in range(TABLES):
        for page in range(USER_PAGES):
            pfn = 0x100000 + table * USER_PAGES + page
            lines.append(line(when, f"mm_page_free: page=0000000095a2d0f1 pfn={pfn:#x} order=0", False))
            about = f"order=0 migratetype=1 gfp_flags={USER_FLAGS}"
            lines.append(line(when + 3, f"mm_page_alloc: page=0000000095a2d0f1 pfn={pfn:#x} {about}", False))
            when += 1_000_000 // (TABLES * (USER_PAGES + 1))
        pfn = 0x4000 + table
        lines.append(line(when, f"mm_page_free: page=00000000fbb732fb pfn={pfn:#x} order=0", False))
        about = f"order=0 migratetype=0 gfp_flags={TABLE_FLAGS}"
        lines.append(line(when + 5, f"mm_page_alloc: page=00000000fbb732fb pfn={pfn:#x} {about}", True))
        when += 1_000_000 // (TABLES * (USER_PAGES + 1))
    return "".join(lines)


def rows(form: str) -> str:
    """Return a second of a trace's own events, as CSV or in the text form."""
    lines = []
    for table in range(TABLES * USER_PAGES):
        for at, op in ((2 * table, "A"), (2 * table + 1, "F")):
            time_ns = f"{SECOND}{at * 500_000:09d}"
            known = f"{time_ns},{op},{table},0,PTE,{table + 4096}"
            lines.append(f"{known}\n" if form == "csv" else f"{time_ns} {op} {table}\n")
    return "".join(lines)


def seconds(form: str) -> Iterator[bytes]:
    """Yield a file's contents, second by second, without end."""
    lines = {"ftrace": _ftrace, "systrace": _ftrace, "perf": _perf, "bpftrace": _bpftrace}
    first = {
        "systrace": f"<!DOCTYPE html>\n<html>\n{SCRIPT}\n# tracer: nop\n",
        "bpftrace": "# pba bpftrace 1\n",
        "csv": "time_ns,op,id,arg,level,pfn\n",
    }
    yield first.get(form, "").encode()
    block = (event_text(lines[form]) if form in lines else rows(form)).encode()
    second = 100
    while True:
        yield block.replace(SECOND.encode(), str(second).encode())
        second += 1


def write(path: Path, form: str, size: int) -> None:
    """Write a file of about `size` bytes."""
    with path.open("wb") as stream:
        for part in seconds(form):
            stream.write(part)
            if stream.tell() >= size:
                break
        if form == "systrace":
            stream.write(b"</script>\n</html>\n")


def one_core() -> None:
    """Let the process run on one core only."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def read_again(path: Path, times: int = 7) -> None:
    """Print how long the stored form takes on all cores: the first time, when memory is fresh, and after."""
    import pba

    pba.read_trace(path.with_name("small" + path.suffix))
    took = []
    for _ in range(times):
        before = time.perf_counter()
        events = len(pba.read_trace(path))
        took.append(events / (time.perf_counter() - before) / 1e6)
    rest = sorted(took[1:])
    print(
        f"parquet {path.stat().st_size / 1e6:8,.0f} MB, {events:12,} events, all cores: million events/s "
        f"{took[0]:.1f} at first, then {rest[0]:.1f} to {rest[-1]:.1f}, median {rest[len(rest) // 2]:.1f}",
        flush=True,
    )


def import_here(path: Path) -> None:
    """Read a file twice (the first time to compile, a small part of it) and print what it took."""
    import pba
    from pba.imports.read import read_any

    if path.suffix == ".parquet":
        read_again(path)
        return
    one_core()
    small = path.with_name("small" + path.suffix)
    if small.exists():
        read_any(small)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    before = time.process_time(), time.perf_counter()
    trace = pba.read_trace(path)
    used, passed = time.process_time() - before[0], time.perf_counter() - before[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = path.stat().st_size
    an_event = (peak - peak_before) / len(trace), trace.nbytes / len(trace)
    print(
        f"{path.suffix[1:]:9} {size / 1e6:8,.0f} MB, {len(trace):12,} events: {size / used / 1e6:6.0f} MB/s "
        f"({size / passed / 1e6:.0f} by the clock), {len(trace) / used / 1e6:6.2f} million events/s, "
        f"peak {peak / 2**20:,.0f} MiB, {peak_before / 2**20:,.0f} of it before, "
        f"{an_event[0]:.1f} bytes an event, {an_event[1]:.0f} of them the trace's own",
        flush=True,
    )


def main() -> None:
    """Print a line for each form."""
    parser = argparse.ArgumentParser(description=__doc__)
    forms = ["ftrace", "systrace", "perf", "bpftrace", "csv", "text", "parquet"]
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--form", action="append", choices=forms)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        import_here(options.here)
        return
    for form in options.form or forms:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"large.{form}"
            if form == "parquet":
                from pba.probe.generate import generate

                generate("fork-storm", events=options.events).write(path)
                generate("fork-storm", events=1000).write(path.with_name("small.parquet"))
            else:
                write(path, form, options.megabytes * 10**6)
                write(path.with_name(f"small.{form}"), form, 10**6)
            command = [sys.executable, "-m", "tests.benchmarks.bench_import", "--here", str(path)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
