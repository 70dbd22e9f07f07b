"""Every shape of a line that kernels, trace-cmd and perf are known to print has a name here.

All are written by hand from the events' format strings. How stacks find their events, and what real
recordings hold, is in `test_ftrace.py` and `test_perf.py`; which stacks are tables in `test_classify.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pba
from pba.cli.app import run
from pba.errors import TraceError
from pba.imports import ftrace_scan as scan
from pba.imports.ftrace import FTRACE, _Reader, read_ftrace
from pba.imports.gfp import KNOWN, Gfp
from pba.imports.perf import read_perf
from tests.traces import events_shown

GFP = "GFP_KERNEL_ACCOUNT|__GFP_ZERO"
FIELDS = f"page=00000000deadbeef pfn=0x10 order=0 migratetype=0 gfp_flags={GFP}"
FRAMES = ("__traceiter_mm_page_alloc", "__alloc_pages", "__pte_alloc", "do_syscall_64")
WORK = "objects to shrink 5 gfp_flags GFP_NOFS|__GFP_IO cache items 9 delta 4 total_scan 4 priority 6"
SHRINKER = "super_cache_scan+0x0/0x1a0 00000000a1b2c3d4: nid: 0"
PTE, FREED = ("A", 0x10, "PTE"), ("F", 0x10, "PTE")


class Ftrace:
    """Writes lines as the kernel's `trace` does."""

    read = staticmethod(read_ftrace)

    @staticmethod
    def line(
        event: str, prefix: str = "          task-7       [000] ....1 %s: ", time: str = "1.000000"
    ) -> str:
        return f"{prefix % time}{event}\n"

    @classmethod
    def alloc(cls, fields: str = FIELDS, frames: tuple[str, ...] = FRAMES, **where: str) -> str:
        event = cls.line(f"mm_page_alloc: {fields}", **where) + cls.line("<stack trace>", **where)
        return event + "".join(f" => {frame}\n" for frame in frames)

    @classmethod
    def free(cls, pfn: str = "0x10", time: str = "1.500000", **where: str) -> str:
        return cls.line(f"mm_page_free: page=00000000deadbeef pfn={pfn} order=0", time=time, **where)

    @classmethod
    def shrink(cls, text: str) -> str:
        prefix = "         kswapd0-50      [000] ..... %s: "
        return cls.line(f"mm_shrink_slab_start: {text}", prefix, "2.000000")


class Perf(Ftrace):
    """Writes lines as `perf script` does."""

    read = staticmethod(read_perf)

    @staticmethod
    def line(
        event: str, prefix: str = "            task     7 [000]     %s: ", time: str = "1.000000"
    ) -> str:
        system = "vmscan" if "shrink" in event else "kmem"
        return f"{prefix % time}{system:>12}:{event}\n"

    @classmethod
    def alloc(cls, fields: str = FIELDS, frames: tuple[str, ...] = FRAMES, **where: str) -> str:
        stack = "".join(f"\tffffffff8162184b {frame}+0x26b ([kernel.kallsyms])\n" for frame in frames)
        return f"{cls.line(f'mm_page_alloc: {fields}', **where)}{stack}\n"

    @classmethod
    def shrink(cls, text: str) -> str:
        prefix = "         kswapd0    50 [000]     %s: "
        return cls.line(f"mm_shrink_slab_start: {text}", prefix, "2.000000") + "\n"


FORMS = pytest.mark.parametrize("form", [Ftrace, Perf])


def named(table: dict[str, Any]) -> Any:
    """Return the rows of a table as a test's parameters, by their names."""
    return pytest.mark.parametrize("shape", table.values(), ids=list(table))


@pytest.fixture
def imported(tmp_path):
    """Import text in some form."""

    def read(form: type[Ftrace], text: str) -> pba.Trace:
        path = tmp_path / "given"
        path.write_bytes(text.encode())
        return form.read(path)

    return read


def left_out(trace: pba.Trace) -> tuple[int, int]:
    """Return how many lines were not understood, and which is the first (0 for none)."""
    told = [note for note in trace.metadata.quality.notes if "could not be understood" in note]
    return trace.metadata.quality.unparsed_lines, int(told[0].rpartition(" ")[2]) if told else 0


# --- task, CPU, flags, time ----------------------------------------------------------------------------

PREFIXES = {
    "a name of 16 characters": "kworker/u16:3-ev-1234    [001] d..2. %s: ",
    "a name with spaces": "     Web Content-4321    [001] d..2. %s: ",
    "a name with dashes": "      a-7 - b-c--4321    [001] d..2. %s: ",
    "a name that ends in a dash": "            a---7       [001] ..... %s: ",
    "a name with a CPU in it": "          x [001]-4321    [001] ..... %s: ",
    "a name that is not known": "           <...>-4321    [001] ..... %s: ",
    "the idle task": "          <idle>-0       [001] d.s2. %s: ",
    "a pid of seven digits": "            task-4194304 [001] ..... %s: ",
    "five flags, with migrate-disable": "            task-7       [001] dNh21 %s: ",
    "four flags, of older kernels": "            task-7       [001] d.s1 %s: ",
    "six flags, with lazy resched": "            task-7       [001] dLs1.1 %s: ",
    "no flags": "            task-7       [001] %s: ",
    "a thread group": "            task-7       (      7) [001] ..... %s: ",
    "a thread group that is not known": "            task-7       (-------) [001] ..... %s: ",
    "a CPU beyond 999": "            task-7       [1023] ..... %s: ",
    "trace-cmd report": "            task-7     [001]  %s: ",
    "trace-cmd report -t, in ns": "            task-7     [001]  %s789: ",
    "no blanks before it": "task-7 [001] ..... %s: ",
}
PERF_PREFIXES = {
    "a name with spaces": "     Web Content  4321 [001]  %s: ",
    "a name with dashes": "         a-7 - b  4321 [001]  %s: ",
    "a name with a CPU in it": "         x [001]  4321 [001]  %s: ",
    "pid and tid": "            task  4321/4322 [001]  %s: ",
    "a task that perf does not know": "             :-1    -1 [001]  %s: ",
    "the idle task": "         swapper     0 [001]  %s: ",
    "perf script --ns": "            task     7 [001]  %s789: ",
    "no blanks before it": "task 7 [001] %s: ",
}


@named(PREFIXES)
def test_who_and_when(shape, imported):
    trace = imported(Ftrace, Ftrace.alloc(prefix=shape) + Ftrace.free(prefix=shape))
    assert events_shown(trace) == [PTE, FREED]
    assert trace.time_ns.tolist() == [0, 500_000_000]
    assert left_out(trace) == (0, 0)


@named(PERF_PREFIXES)
def test_who_and_when_in_perf(shape, imported):
    trace = imported(Perf, Perf.alloc(prefix=shape) + Perf.free(prefix=shape))
    assert events_shown(trace) == [PTE, FREED]
    assert trace.time_ns.tolist() == [0, 500_000_000]
    assert left_out(trace) == (0, 0)


# --- fields --------------------------------------------------------------------------------------------

ALLOCATIONS = {
    "pfn in hexadecimal": FIELDS,
    "pfn in decimal": FIELDS.replace("0x10", "16"),
    "a bare address": FIELDS.replace("00000000deadbeef", "0xffffea0004597280"),
    "blanks after the event's name": f"       {FIELDS}",
    "order before pfn": f"[FAILED TO PARSE] order=0 pfn=0x10 gfp_flags={GFP} migratetype=0",
    "gfp flags first": f"[FAILED TO PARSE] gfp_flags={GFP} migratetype=0 order=0 pfn=0x10",
    "no page": "[FAILED TO PARSE] pfn=0x10 order=0 gfp_flags=4197824 migratetype=0",
    "both bases (the option fields)": (
        "pfn=0x10 (16) order=0x0 (0) gfp_flags=0x400dc0 (4197824) migratetype=0x0 (0)"
    ),
    "fields of a later kernel": f"{FIELDS} nid=0 zone=Normal",
}
FAILED = {
    "pfn 0x0": "page=0000000000000000 pfn=0x0 order=0",
    "pfn 0": "page=          (null) pfn=0 order=0",
    "pfn -1 in hexadecimal": "page=0000000000000000 pfn=0xffffffffffffffff order=0",
    "pfn -1 in decimal": "[FAILED TO PARSE] pfn=18446744073709551615 order=0",
}
DAMAGED = {
    "no pfn": "mm_page_free: page=0 order=0",
    "no order": "mm_page_free: page=0 pfn=0x10",
    "no number": "mm_page_free: page=0 pfn=(null) order=0",
    "more than a number": "mm_page_free: page=0 pfn=0x10pfn=0x11 order=0",
    "hexadecimal without 0x": "mm_page_free: page=0 pfn=1f0 order=0",
    "a negative number": "mm_page_free: page=0 pfn=-1 order=0",
    "an order that no allocator has": "mm_page_free: page=0 pfn=0x0 order=99",
    "no gfp flags": "mm_page_alloc: page=0 pfn=0x20 order=0 migratetype=0",
    "empty gfp flags": "mm_page_alloc: page=0 pfn=0x20 order=0 migratetype=0 gfp_flags=",
    "gfp flags cut off": "mm_page_alloc: page=0 pfn=0x20 order=0 migratetype=0 gfp_flags=GFP_KERNEL|__G",
    "gfp flags that are no flags": "mm_page_alloc: page=0 pfn=0x20 order=0 migratetype=0 gfp_flags=[zero]",
    "gfp flags of no base": "mm_page_alloc: page=0 pfn=0x20 order=0 migratetype=0 gfp_flags=0x4zz",
    "gfp flags beyond 64 bits": f"mm_page_alloc: page=0 pfn=0x20 order=0 gfp_flags=0x{'1' * 17}",
}


@FORMS
@named(ALLOCATIONS)
def test_fields_of_an_allocation(shape, form, imported):
    trace = imported(form, form.alloc(shape) + form.free())
    assert events_shown(trace) == [PTE, FREED]
    assert left_out(trace) == (0, 0)


@FORMS
@named(FAILED)
def test_an_allocation_that_failed_leaves_nothing(shape, form, imported):
    failed = form.alloc(f"{shape} migratetype=0 gfp_flags={GFP}", time="1.100000")
    trace = imported(form, form.alloc() + failed + form.free())
    assert events_shown(trace) == [PTE, FREED]
    assert left_out(trace) == (0, 0)


@FORMS
@pytest.mark.parametrize("chunk_bytes", [200, 1 << 20])
@named(DAMAGED)
def test_a_damaged_event_is_left_out_counted_and_told(shape, chunk_bytes, form, imported, monkeypatch):
    """The live page that stands there stays, whatever the line would have said of it."""
    monkeypatch.setattr("pba.imports.ftrace.CHUNK_BYTES", chunk_bytes)
    good = form.alloc()
    trace = imported(form, good + form.line(shape, time="1.200000") + form.free() + form.line(shape))
    assert events_shown(trace) == [PTE, FREED]
    assert left_out(trace) == (2, good.count("\n") + 1)


def test_a_recording_whose_flags_are_all_of_another_kind_is_refused_with_its_line(imported):
    with pytest.raises(TraceError, match=r"given:1: no gfp flags can be read: 'zeroed'.*names, or a number"):
        imported(Ftrace, Ftrace.alloc(FIELDS.replace(GFP, "zeroed")))


# --- gfp flags -----------------------------------------------------------------------------------------

FLAGS = {
    "names": (GFP, "PTE"),
    "names, in parts": ("GFP_KERNEL|__GFP_ZERO|__GFP_ACCOUNT", "PTE"),
    "with compound, since 6.12": (f"{GFP}|__GFP_COMP", "PTE"),
    "of the kernel's own tables": ("GFP_KERNEL|__GFP_ZERO", "kernel"),
    "of a user's page": ("GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP", ""),
    "of a huge page": ("GFP_TRANSHUGE|__GFP_ZERO", ""),
    "not zeroed": ("GFP_KERNEL_ACCOUNT", ""),
    "up to 4.5": ("GFP_KERNEL|GFP_REPEAT|GFP_ZERO|GFP_NOTRACK", "kernel"),
    "none": ("none", ""),
    "hexadecimal": ("0x400dc0", "PTE"),
    "hexadecimal in capitals": ("0X400DC0", "PTE"),
    "decimal": ("4197824", "PTE"),
    "0": ("0", ""),
    "names and what is left over": ("GFP_KERNEL|0x400100", "PTE"),
    "of all bits": ("0x7fffffff", ""),
}


@FORMS
@named(FLAGS)
def test_gfp_flags(shape, form, imported):
    flags, level = shape
    other = form.alloc(FIELDS.replace("0x10", "0x20"), time="3.000000")
    trace = imported(form, form.alloc(FIELDS.replace(GFP, flags)) + other)
    assert [found for found in events_shown(trace) if found[1] == 0x10] == (
        [("A", 0x10, level)] if level else []
    )
    assert left_out(trace) == (0, 0)


@FORMS
def test_flags_of_a_later_kernel_are_told_and_the_others_count(form, imported, tmp_path, capsys):
    fields = FIELDS.replace(GFP, f"{GFP}|__GFP_LATER|GFP_NEW")
    known = form.alloc(FIELDS.replace("0x10", "0x20"), time="0.900000")
    text = known + form.alloc(fields) + form.free() + form.alloc(fields, time="2.000000")
    trace = imported(form, text)
    assert events_shown(trace) == [("A", 0x20, "PTE"), PTE, FREED, PTE]
    told = (
        "2 allocations have gfp flags that this pba does not know (GFP_NEW, __GFP_LATER), the first is line "
        f"{known.count(chr(10)) + 1}: they were judged by their other flags"
    )
    assert told in trace.metadata.quality.notes
    assert left_out(trace) == (0, 0)
    assert run(["import", str(tmp_path / "given"), "-o", str(tmp_path / "x.parquet")]) == 0
    assert f"note: {told}" in capsys.readouterr().out


def test_only_a_few_unknown_names_are_told(imported):
    names = "|".join(f"__GFP_LATER_{at}" for at in range(9))
    notes = imported(Ftrace, Ftrace.alloc(FIELDS.replace(GFP, f"{GFP}|{names}"))).metadata.quality.notes
    assert any("__GFP_LATER_4, ...)" in note for note in notes)


def test_every_known_name_says_only_what_it_holds():
    told = {name: Gfp.parse(name) for name in KNOWN}
    assert {name for name, flags in told.items() if flags.zero} == {"GFP_ZERO"}
    assert {name for name, flags in told.items() if flags.account} == {"GFP_ACCOUNT", "GFP_KERNEL_ACCOUNT"}
    movable = {"GFP_MOVABLE", "GFP_HIGHUSER_MOVABLE", "GFP_TRANSHUGE", "GFP_TRANSHUGE_LIGHT"}
    assert {name for name, flags in told.items() if flags.movable} == movable
    assert all(flags.readable and not flags.unknown for flags in told.values())


def test_more_stacks_than_there_is_room_for_are_told(tmp_path):
    reader = _Reader(tmp_path / "given", 0x100, FTRACE)
    first = Ftrace.alloc()
    reader.take(first.encode())
    reader.counters[scan.C_TEXTS] = scan.MOST_TEXTS  # as after so many different stacks
    other = Ftrace.alloc(FIELDS.replace("0x10", "0x20"), (*FRAMES, "another"), time="2.000000")
    flags = Ftrace.alloc(FIELDS.replace("0x10", "0x30").replace(GFP, "0x400dc0"), time="3.000000")
    reader.take((other + flags + first.replace("1.000000", "4.000000")).encode())
    reader.finish()
    assert reader.tables.tolist() == [0x10]
    from pba.tracepoints.visits import find_root_visits

    notes = reader.quality(find_root_visits(reader.shrinks.lines())).notes
    assert any(note.startswith("2 allocations were not looked at: there are more than") for note in notes)


# --- stacks --------------------------------------------------------------------------------------------

STACKS = {
    "functions": " => {}\n",
    "offsets (the option sym-offset)": " => {}+0x1c/0x120\n",
    "addresses (the option sym-addr)": " => {} <ffffffff812b9c31>\n",
    "trace-cmd's addresses": "=> {} (ffffffff812b9c31)\n",
    "a module": " => {}+0x1c/0x120 [some_module]\n",
    "what compilers append": " => {}.constprop.0.isra.1\n",
    "allocation profiling's names": " => {}_noprof\n",
    "lines of Windows": " => {}\r\n",
}
STACK_HEADS = {"ftrace": "<stack trace>", "trace-cmd": "kernel_stack:         <stack trace >"}
PERF_STACKS = {
    "address, symbol, object": "\tffffffff8162184b {}+0x26b ([kernel.kallsyms])\n",
    "no object": "\tffffffff8162184b {}+0x26b\n",
    "no offset": "\tffffffff8162184b {} ([kernel.kallsyms])\n",
    "no address": "\t{}+0x26b ([kernel.kallsyms])\n",
    "an inlined function": "\tffffffff8162184b {}+0x26b (inlined)\n",
    "an object on disk": "\tffff80008162184b {}+0x26b (/usr/lib/debug/boot/vmlinux-6.12.0)\n",
    "tabs expanded": "        ffffffff8162184b {}+0x26b ([kernel.kallsyms])\n",
    "tabs expanded, no address": "        {}+0x26b ([kernel.kallsyms])\n",
}


@pytest.mark.parametrize("head", STACK_HEADS.values(), ids=list(STACK_HEADS))
@named(STACKS)
def test_frames(shape, head, imported):
    stack = Ftrace.line(head) + f" => {FRAMES[0]}\n" + "".join(shape.format(frame) for frame in FRAMES[1:])
    text = Ftrace.line(f"mm_page_alloc: {FIELDS}") + stack + Ftrace.free()
    trace = imported(Ftrace, text)
    assert events_shown(trace) == [PTE, FREED]
    assert trace.metadata.architecture == "x86_64"
    assert left_out(trace) == (0, 0)


@pytest.mark.parametrize("chunk_bytes", [300, 1 << 20])
@named(PERF_STACKS)
def test_frames_of_perf(shape, chunk_bytes, imported, monkeypatch):
    monkeypatch.setattr("pba.imports.ftrace.CHUNK_BYTES", chunk_bytes)
    stack = "".join(shape.format(frame) for frame in FRAMES)
    text = Perf.line(f"mm_page_alloc: {FIELDS}") + stack + "\n" + Perf.free()
    trace = imported(Perf, text + text.replace("0x10", "0x20"))
    assert sorted(events_shown(trace)) == [PTE, ("A", 0x20, "PTE"), FREED, ("F", 0x20, "PTE")]
    assert left_out(trace) == (0, 0)


@FORMS
def test_pages_like_tables_from_unknown_functions_are_told(form, imported):
    """All but one of `FRAMES` stay: a kernel that calls its function something else."""
    table = form.alloc()
    known = "__vmalloc_node_range_noprof"
    names = ("new_pte", "new_pte.isra.0+0x1/0x2", "other_new", "(odd name)", "fourth_new", known)
    text = table + "".join(
        form.alloc(
            FIELDS.replace("0x10", hex(32 + at)), (*FRAMES[:2], name, *FRAMES[3:]), time=f"2.{at}00000"
        )
        for at, name in enumerate(names)
    )
    text += form.alloc(
        FIELDS.replace("|__GFP_ZERO", "").replace("0x10", "0x40"), ("new_pte",), time="3.000000"
    )
    trace = imported(form, text)
    assert events_shown(trace) == [PTE]
    (told,) = (note for note in trace.metadata.quality.notes if "zeroed, accounted" in note)
    assert told.startswith("5 zeroed, accounted pages come from functions that are not known to allocate")
    assert "(new_pte 2, other_new 1, ? 1, ...)" in told
    assert f"the first at line {table.count(chr(10)) + 1}: " in told


@FORMS
def test_pages_like_tables_without_a_stack_are_told(form, imported):
    table = form.alloc()
    bare = form.line(f"mm_page_alloc: {FIELDS.replace('0x10', '0x20')}", time="2.000000")
    user = bare.replace("0x20", "0x30").replace(GFP, "GFP_HIGHUSER_MOVABLE|__GFP_ZERO")
    kernel = bare.replace("0x20", "0x40").replace(GFP, "GFP_KERNEL|__GFP_ZERO")
    gap = "\n" * (form is Perf)
    trace = imported(form, table + user + gap + kernel + gap + bare + gap + bare)
    assert events_shown(trace) == [PTE]
    first = (table + user + gap + kernel + gap).count("\n") + 1
    told = f"2 zeroed pages without a stack may have been page tables, the first at line {first}"
    assert told in trace.metadata.quality.notes


@FORMS
def test_cpus_may_stand_out_of_order(form, imported):
    text = form.free(time="1.000002") + form.alloc() + form.free(time="0.999999")
    trace = imported(form, text)
    assert events_shown(trace) == [PTE, FREED]
    assert any("back by up to 3 us between CPUs" in note for note in trace.metadata.quality.notes)


def test_a_free_in_another_tasks_softirq_long_after(imported):
    text = Ftrace.alloc() + Ftrace.free(prefix="  other-8       [003] ..s1. %s: ", time="1.900000")
    assert events_shown(imported(Ftrace, text)) == [PTE, FREED]


# --- the shrinker's passes -----------------------------------------------------------------------------

SHRINKERS = {
    "up to 6.18": f"{SHRINKER} {WORK}",
    "of a module": f"{SHRINKER.replace(' 0000', ' [ext4] 0000')} {WORK}",
    "trace-cmd": f"super_cache_scan+0x0 0xffff88810a3c5000: nid: 0 {WORK}",
    "a function that has no name": f"0xffffffff8128e6c0 0xffff88810a3c5000: nid: 0 {WORK}",
    "7.x: pid and cgroup, and a blank at the end": f"{SHRINKER} pid: 50 memcg_id: 1 {WORK} ",
    "7.x, in an interrupt": f"{SHRINKER} pid: 50 memcg_id: 1 {WORK} (in-irq)",
    "7.x, in an interrupt, after the pid": f"{SHRINKER} pid: 50 (in-irq) memcg_id: 1 {WORK}",
    "7.x, in an interrupt, after the cgroup": f"{SHRINKER} pid: 50 memcg_id: 1 (in-irq) {WORK}",
    "a negative count": f"{SHRINKER} {WORK.replace('shrink 5', 'shrink -5')}",
    "flags as a number": f"{SHRINKER} {WORK.replace('GFP_NOFS|__GFP_IO', '0x400c40')}",
    "no flags": f"{SHRINKER} {WORK.replace('GFP_NOFS|__GFP_IO', 'none')}",
}
UNKNOWN_SHRINKERS = {
    "without a priority, as older kernels": f"{SHRINKER} {WORK.partition(' priority')[0]}",
    "with counts of the LRU": f"{SHRINKER} {WORK.replace('cache', 'pgs_scanned 1 lru_pgs 2 cache')}",
    "no node": f"super_cache_scan+0x0/0x1a0 00000000a1b2c3d4: {WORK}",
    "a priority that there is not": f"{SHRINKER} {WORK.replace('priority 6', 'priority 13')}",
    "raw fields": f"[FAILED TO PARSE] shr=0xffff88810a3c5000 shrink=0xffffffff8128e6c0 {WORK}",
    "cut off": f"{SHRINKER} {WORK}"[:-12],
}


@FORMS
@named(SHRINKERS)
def test_shrinker_lines(shape, form, imported):
    trace = imported(form, form.alloc() + form.shrink(shape) + form.free(time="2.500000"))
    assert events_shown(trace) == [PTE, ("S", -1, ""), FREED]
    assert trace.arg.tolist() == [0, 6, 0]
    assert left_out(trace) == (0, 0)


@FORMS
@named(UNKNOWN_SHRINKERS)
def test_shrinker_lines_of_another_shape_are_counted_and_told(shape, form, imported):
    good = form.alloc()
    trace = imported(form, good + form.shrink(shape) + form.free(time="2.500000"))
    assert events_shown(trace) == [PTE, FREED]
    assert left_out(trace) == (1, good.count("\n") + 1)


# --- lines beside the events that matter ---------------------------------------------------------------

PASSED_OVER = {
    "a batched free, told a second time": Ftrace.line("mm_page_free_batched: page=0 pfn=0x10 order=0"),
    "an older one": Ftrace.line("mm_page_free_batched: page=0 pfn=0x10 order=0 cold=0"),
    "other events of pages": Ftrace.line("mm_page_pcpu_drain: page=0 pfn=0x10 order=0 migratetype=0"),
    "an allocation within the allocator": Ftrace.line(f"mm_page_alloc_zone_locked: {FIELDS}"),
    "another event": Ftrace.line("sched_switch: prev_comm=x prev_pid=1 ==> next_comm=y next_pid=2"),
    "a stack of user space": Ftrace.line("<user stack trace>")
    + " =>  <00007f0a1b2c3d4e>\n => /bin/x[+0x12]\n",
    "a marker": Ftrace.line("tracing_mark_write: B|1|pfn=0x10"),
    "a heading": "# tracer: nop\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n",
    "where a CPU's buffer begins": "##### CPU 1 buffer started ####\n",
    "trace-cmd's heading": "version = 6\nCPU 0 is empty\nCPU 12 is empty\ncpus=13\n",
    "an empty line": "\n  \t\n",
}
LOST = {
    "trace": ("CPU:1 [LOST 12 EVENTS]", 12),
    "trace, no number": ("CPU:1 [LOST EVENTS]", 1),
    "trace-cmd": ("CPU:1 [12 EVENTS DROPPED]", 12),
    "trace-cmd, no number": ("CPU:1 [EVENTS DROPPED]", 1),
}
STRANGE = {
    "words": "what is this",
    "the option latency-format": "    task-7         0d.h1.    1us+: mm_page_free: page=0 pfn=0x10 order=0",
    "a clock that counts": "          task-7       [000] ..... 123456789: mm_page_free: pfn=0x10 order=0",
    "no task": " [000] ..... 1.200000: mm_page_free: page=0 pfn=0x10 order=0",
    "no CPU": "            task-7       ..... 1.200000: mm_page_free: page=0 pfn=0x10 order=0",
    "nothing after the CPU": "            task-7       [000]",
    "a CPU that says something else": "CPU:1 [SOME EVENTS]",
    "bytes": "\x00\x01\x02",
}
STRANGE_TO_PERF = {
    "words": "what is this",
    "no CPU": "            task     7     1.200000:          kmem:mm_page_free: page=0 pfn=0x10 order=0",
    "no time": "            task     7 [000]          kmem:mm_page_free: page=0 pfn=0x10 order=0",
    "ftrace's lines": "          task-7       [000] ....1 1.200000: mm_page_free: page=0 pfn=0x10 order=0",
}


@named(PASSED_OVER)
def test_lines_that_say_nothing_of_page_tables(shape, imported):
    for text in (shape + Ftrace.alloc() + Ftrace.free(), Ftrace.alloc() + shape + Ftrace.free()):
        trace = imported(Ftrace, text)
        assert events_shown(trace) == [PTE, FREED]
        assert left_out(trace) == (0, 0)
        assert trace.metadata.quality.lost_events == 0


@named(LOST)
def test_lost_events(shape, imported):
    line, number = shape
    trace = imported(Ftrace, Ftrace.alloc() + f"{line}\n" + Ftrace.free())
    assert trace.metadata.quality.lost_events == number
    assert left_out(trace) == (0, 0)


@named({name: (Ftrace, line) for name, line in STRANGE.items()})
def test_lines_of_no_known_shape_are_counted_and_told(shape, imported):
    form, line = shape
    good = form.alloc()
    trace = imported(form, f"{good}{line}\n{form.free()}{line}\n")
    assert events_shown(trace) == [PTE, FREED]
    assert left_out(trace) == (2, good.count("\n") + 1)


@named({name: (Perf, line) for name, line in STRANGE_TO_PERF.items()})
def test_lines_of_no_known_shape_are_counted_and_told_in_perf(shape, imported):
    test_lines_of_no_known_shape_are_counted_and_told(shape, imported)


def test_the_shapes_together_are_one_recording(tmp_path: Path):
    """Each shape of a line once, in one file: no shape makes another one unreadable."""
    parts, number = [], 0
    for prefix in PREFIXES.values():
        number += 1
        parts.append(
            Ftrace.alloc(FIELDS.replace("0x10", hex(number)), prefix=prefix, time=f"{number}.000000")
        )
        parts.append(Ftrace.free(hex(number), prefix=prefix, time=f"{number}.500000"))
    parts[2:2] = list(PASSED_OVER.values())
    parts += [f"{line}\n" for line in STRANGE.values()]
    path = tmp_path / "given"
    path.write_text("".join(parts))
    trace = read_ftrace(path)
    assert (trace.counts()["A"], trace.counts()["F"]) == (number, number)
    assert left_out(trace)[0] == len(STRANGE)
