"""The recorder's parts: symbols, the kernel's list of page tables, call sites, what is live at the start."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import numpy as np
import pytest

import pba
from pba.cli.live import LiveLine
from pba.cli.record import RecordingLine
from pba.errors import OutputError, RecordError, TraceError
from pba.events import LEVEL_KERNEL, LEVEL_PGD, LEVEL_PTE, LEVEL_PUD, OP_ALLOC, OP_FREE
from pba.files import abandoned, replacing
from pba.recording.buffers import default_buffer_mib, lost_words, suggested_buffer_mib
from pba.recording.callsites import FIELDS, RULE_BY_CALL_SITE, recorded_visits
from pba.recording.described import parse_buddyinfo, upstream_release
from pba.recording.held import Count, hold_against, hold_against_counts, live_after, witness
from pba.recording.kallsyms import Symbols
from pba.recording.kpageflags import CHUNK_PAGES, KPF_COMPOUND_HEAD, KPF_PGTABLE, Snapshot
from pba.recording.record import RecordingProgress, _short_name, _Watch
from pba.recording.ringbuffer import NR_COLUMNS, PID, STACK, TIME, VALUES
from pba.recording.tracefs import Instance, PageReader, explained, remove_stale, tracing_folder
from pba.recording.tracing import Allocations, Collector, GfpBits, gather, pages_in
from pba.trace.metadata import Counted, Metadata, Quality
from pba.tracepoints.assemble import assemble
from pba.tracepoints.raw import RAW_FREE, RAW_OTHER, RAW_TABLE, RawEvents
from pba.tracepoints.visits import RULE, RootVisits

BASE = 0xFFFF_FFFF_8100_0000
SYMBOLS = Symbols.parse(
    "".join(
        f"{BASE + offset:x} {kind} {name}\n"
        for offset, kind, name in (
            (0x000, "T", "__alloc_pages_noprof"),
            (0x100, "t", "__pte_alloc"),
            (0x200, "T", "pgd_alloc"),
            (0x280, "D", "some_data"),
            (0x300, "t", "shrink_slab"),
            (0x400, "t", "super_cache_scan\t[ext4]"),
            (0x500, "t", "ext4_es_scan"),
            (0x600, "t", "shrink_node"),
            (0x680, "t", "drop_slab"),
            (0x700, "t", "other"),
        )
    )
)


def test_a_return_address_belongs_to_the_call_before_it() -> None:
    assert SYMBOLS.name(BASE + 0x100) == "__pte_alloc"
    assert SYMBOLS.caller(BASE + 0x100) == "__alloc_pages_noprof"
    assert SYMBOLS.name(BASE + 0x290) == "pgd_alloc"  # data is no function
    assert SYMBOLS.name(BASE + 0x4FF) == "super_cache_scan"
    assert SYMBOLS.name(BASE - (1 << 64) + 0x150) == "__pte_alloc"  # as a signed number
    assert SYMBOLS.name(0x1000) == ""


def test_hidden_addresses_are_an_error() -> None:
    with pytest.raises(RecordError, match="hides") as caught:
        Symbols.parse("0000000000000000 T _text\n0000000000000000 t do_one\n")
    assert "kptr_restrict" in caught.value.hint


def test_tracefs_is_found_or_the_error_says_how_to_mount_it() -> None:
    assert tracing_folder("proc /proc proc rw 0 0\nnodev /x/tracing tracefs rw 0 0\n") == Path("/x/tracing")
    with pytest.raises(RecordError, match="not mounted") as caught:
        tracing_folder("proc /proc proc rw 0 0\n")
    assert "mount -t tracefs" in caught.value.hint


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/t/instances/pba-1"), "no permission to trace"),
        (FileNotFoundError(2, "No such file", "/t/events/kmem"), "this kernel has no /t/events/kmem"),
        (OSError(12, "Cannot allocate memory", "/t/buffer_size_kb"), "buffer_mib"),
    ],
)
def test_what_the_kernel_refuses_is_one_line_with_advice(error: OSError, message: str) -> None:
    with pytest.raises(RecordError, match=message) as caught, explained("trace"):
        raise error
    assert caught.value.hint


def test_instances_of_dead_recorders_are_removed(tmp_path: Path) -> None:
    own = f"pba-{os.getpid()}"  # of a dead recorder that had the pid before
    for name in ("pba-1", "pba-999999999", own, "pba-x", "mine"):
        (tmp_path / "instances" / name).mkdir(parents=True)
    assert {path.name for path in remove_stale(tmp_path)} == {"pba-999999999", own}
    assert sorted(path.name for path in (tmp_path / "instances").iterdir()) == ["mine", "pba-1", "pba-x"]


def test_only_files_of_writers_that_are_gone_are_abandoned(tmp_path: Path) -> None:
    for name in (".x.parquet.ab.999999999.part", ".x.parquet.ab.1.part", ".x.part", "x.999999999.part"):
        (tmp_path / name).touch()
    assert [path.name for path in abandoned(tmp_path)] == [".x.parquet.ab.999999999.part"]
    with replacing(tmp_path / "y.parquet") as temporary:
        assert temporary.name.endswith(f".{os.getpid()}.part")


@pytest.mark.parametrize(
    ("memory_mib", "cpus", "expected"),
    [(24 * 1024, 8, 96), (1024, 2, 16), (256, 4, 4), (1 << 20, 2, 128)],
)
def test_the_buffer_is_a_32nd_of_memory_within_bounds(memory_mib: int, cpus: int, expected: int) -> None:
    assert default_buffer_mib(memory_mib, cpus) == expected


def test_lost_events_are_told_by_cpu_with_a_buffer_that_would_have_held_them() -> None:
    text = lost_words(32, {1: 300, 2: 1}, {0: 5, 1: 100, 2: 1000})
    assert "300 of 400 on CPU 1, 1 of 1001 on CPU 2" in text
    assert "--buffer-mib 192" in text  # 4 times 32, and half as much again
    assert suggested_buffer_mib(1, {0: 1}, {0: 1000}) == 2
    assert "smaller load" in lost_words(4096, {0: 1}, {0: 0})


def test_the_kernels_count_is_held_against_the_live_pages() -> None:
    raw = raw_events((100, RAW_TABLE, 1), (101, RAW_TABLE, 2), (150, RAW_FREE, 1), (300, RAW_FREE, 2))
    trace = assemble(raw, Metadata(), live_at_start=np.array([5, 6]), start_ns=50)
    counted = hold_against_counts(trace, Count(50, 7), Count(200, 8))
    assert counted == Counted(7, 8, recorded_start_pages=2, recorded_end_pages=3)
    assert Count.take(refresh=False, text="nr_free_pages 9\nnr_page_table_pages 12\n").pages == 12
    with pytest.raises(RecordError, match="nr_page_table_pages"):
        Count.take(refresh=False, text="nr_free_pages 9\n")


def test_damaged_counts_are_refused() -> None:
    metadata = Metadata(quality=Quality(counted=Counted(1, 2, 3, 4)))
    values = metadata.to_dict()
    assert Metadata.from_dict(values) == metadata
    values["quality"]["counted"]["end_pages"] = "many"
    with pytest.raises(TraceError, match="end_pages is 'many', not int"):
        Metadata.from_dict(values)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_live_line_is_drawn_on_a_terminal_and_printed_now_and_then_elsewhere() -> None:
    terminal, plain = Terminal(), io.StringIO()
    for stream in (terminal, plain):
        now = [0.0]
        live = LiveLine(stream, lambda now=now: now[0])
        line = RecordingLine(live)
        for step in range(1, 121):
            now[0] = step * 0.25
            line.show(RecordingProgress(now[0], step * 100, 50 + step, 7, 3))
        live.end()
    assert terminal.getvalue().count("\r\033[Krecording") == 121
    assert terminal.getvalue().endswith("\r\033[K")
    lines = plain.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1] == "recording: 20 s, 400 events/s, 130 page tables, 7 shrinker lines, 3 events lost"


def test_buddyinfo() -> None:
    text = "Node 0, zone      DMA      0      1\nNode 1, zone   Normal   4855   2097\n"
    assert parse_buddyinfo(text) == (
        {"node": 0, "zone": "DMA", "free": [0, 1]},
        {"node": 1, "zone": "Normal", "free": [4855, 2097]},
    )


def test_a_snapshot_lists_page_tables_and_says_when(tmp_path: Path) -> None:
    flags = np.zeros(CHUNK_PAGES + 10, np.uint64)
    flags[[3, 5, CHUNK_PAGES + 4]] = KPF_PGTABLE | 1
    flags[CHUNK_PAGES - 1] = KPF_PGTABLE | KPF_COMPOUND_HEAD  # an order-1 pgd: the next page belongs to it
    flags[7] = 1 << 25
    path = tmp_path / "kpageflags"
    path.write_bytes(flags.tobytes())
    snapshot = Snapshot.take(path)
    assert snapshot.pfns.tolist() == [3, 5, CHUNK_PAGES - 1, CHUNK_PAGES, CHUNK_PAGES + 4]
    assert len(snapshot.before_ns) == 2
    assert (snapshot.before_ns <= snapshot.after_ns).all()
    assert snapshot.chunk_of(np.array([0, CHUNK_PAGES, 1 << 40])).tolist() == [0, 1, 1]
    with pytest.raises(RecordError, match="cannot be read"):
        Snapshot.take(tmp_path / "nothing")


def raw_events(*events: tuple[int, int, int]) -> RawEvents:
    """Events given as (time, kind, pfn)."""
    time, kind, pfn = np.array(events).T
    level = np.where(kind == RAW_TABLE, LEVEL_PTE, 0).astype(np.int8)
    return RawEvents(time.astype(np.int64), kind.astype(np.int8), pfn.astype(np.int64), level)


def snapshot(pfns: Sequence[int], before: int, after: int) -> Snapshot:
    return Snapshot(np.array(pfns, np.int64), np.array([before]), np.array([after]))


def test_live_at_the_start_is_what_the_last_event_or_else_the_mark_says() -> None:
    raw = raw_events(
        (1, RAW_FREE, 10),  # freed before it was looked at, and marked: allocated again, unseen
        (1, RAW_TABLE, 11),  # marked and recorded
        (2, RAW_TABLE, 12),
        (3, RAW_FREE, 12),  # came and went
        (20, RAW_FREE, 13),  # freed after the look
        (20, RAW_TABLE, 14),  # allocated after the look
        (21, RAW_OTHER, 15),  # reused
        (50, RAW_FREE, 11),
    )
    live, later = live_after(snapshot([10, 11, 13, 15, 16], 10, 30), raw)
    assert live.tolist() == [10, 11, 14, 16]
    assert later.time_ns.tolist() == [50]


def test_a_recording_is_held_against_the_kernels_list() -> None:
    raw = raw_events(
        (100, RAW_TABLE, 1),
        (101, RAW_TABLE, 2),  # its free was missed
        (102, RAW_TABLE, 3),  # on its way out at the look, freed later
        (205, RAW_TABLE, 4),  # changes while the list is read
        (300, RAW_FREE, 3),
    )
    trace = assemble(raw, Metadata(), live_at_start=np.array([5]), start_ns=50)
    held = hold_against(trace, snapshot([1, 5, 6], 200, 210))
    assert (held.truth.true_pages, held.truth.recorded_pages, held.truth.common_pages) == (3, 4, 2)
    assert (held.in_flight, held.changing) == (1, 1)
    text = "; ".join(held.notes())
    assert "1 of 2 pages" in text
    assert "1 page tables that the kernel lists" in text


def test_a_level_that_the_kernel_never_marks_is_not_held_against_the_recording() -> None:
    levels = [LEVEL_PTE, LEVEL_KERNEL, LEVEL_KERNEL, LEVEL_PGD, LEVEL_PGD, LEVEL_PUD]
    columns = {
        "time_ns": range(1, 7),
        "op": [OP_ALLOC] * 6,
        "id": range(6),
        "arg": [0] * 6,
        "level": levels,
        "pfn": [10, 20, 30, 40, 41, 50],
    }
    trace = pba.Trace.from_arrays(columns, Metadata())
    held = hold_against(trace, snapshot([10, 50], 200, 210))
    assert (held.truth.recorded_pages, held.truth.common_pages) == (2, 2)
    assert held.unmarked == {LEVEL_KERNEL: 2, LEVEL_PGD: 2}
    notes = "; ".join(held.notes())
    assert "2 tables of the kernel's own addresses were not compared" in notes
    assert "2 PGD pages were not compared" in notes
    assert "are no page tables" not in notes
    held = hold_against(trace, snapshot([10, 20, 41, 50], 200, 210))  # it marks some: 30 and 40 are wrong
    assert (held.truth.recorded_pages, held.truth.common_pages, held.unmarked) == (6, 4, {})


def test_a_pages_level_is_that_which_it_had_when_it_was_looked_at() -> None:
    columns = {
        "time_ns": [1, 2, 300, 301, 310, 311],
        "op": [OP_ALLOC, OP_ALLOC, OP_FREE, OP_FREE, OP_ALLOC, OP_ALLOC],
        "id": [0, 1, 0, 1, 2, 3],
        "arg": [0] * 6,
        "level": [LEVEL_PTE, LEVEL_PGD, LEVEL_PTE, LEVEL_PGD, LEVEL_PGD, LEVEL_PTE],
        "pfn": [10, 20, 10, 20, 10, 20],
    }
    held = hold_against(pba.Trace.from_arrays(columns, Metadata()), snapshot([10], 200, 210))
    assert (held.truth.recorded_pages, held.truth.common_pages) == (1, 1)
    assert held.unmarked == {LEVEL_PGD: 1}


def test_a_missed_free_of_the_last_level_is_never_taken_for_a_level_that_is_not_marked() -> None:
    trace = assemble(raw_events((100, RAW_TABLE, 1)), Metadata(), live_at_start=np.array([5]), start_ns=50)
    assert trace.level[trace.pfn == 1] == LEVEL_PTE
    held = hold_against(trace, snapshot([5], 200, 210))
    assert (held.truth.recorded_pages, held.truth.common_pages, held.unmarked) == (2, 1, {})


def test_a_witness_lives_until_it_has_served() -> None:
    def children() -> set[int]:
        found = set()
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                name, _, rest = path.read_text(errors="replace").rpartition(")")
                if int(rest.split()[1]) == os.getpid() and name.endswith("(cat"):
                    found.add(int(path.parent.name))
        return found

    before = children()
    with witness():
        assert len(children() - before) == 1
    assert children() <= before


def rows(*values: dict[int, int]) -> np.ndarray:
    table = np.zeros((len(values), NR_COLUMNS), np.int64)
    for row, given in zip(table, values, strict=True):
        for column, value in given.items():
            row[column] = value
    return table


def test_allocations_are_classified_by_stack_flags_and_order() -> None:
    gfp = GfpBits(zero=0x100, account=0x400000, movable=0x8)
    names = [("__alloc_pages_noprof", "__pte_alloc"), ("__alloc_pages_noprof", "pgd_alloc"), ("other",)]
    user = 0x400100
    events = [(0, 20, 0, user), (1, 30, 1, user), (2, 40, 0, user), (-1, 50, 0, user), (0, 0, 0, user)]
    table = rows(
        *(
            {TIME: place, STACK: stack, VALUES: pfn, VALUES + 1: order, VALUES + 2: flags}
            for place, (stack, pfn, order, flags) in enumerate(events)
        )
    )
    found = Allocations.classify(table, names, gfp)
    assert found.level.tolist() == [LEVEL_PTE, LEVEL_PGD, 0, 0]  # the failed allocation (pfn 0) is left out
    assert found.without_stack == 1
    assert found.pages().tolist() == [20, 30, 31]
    frees = np.array([[7, 30, 1]])
    visits = RootVisits(np.array([2]), np.array([12], np.int8))
    raw = gather(found, frees, visits, pages_in(np.array([20, 30, 31, 40])))
    trace = assemble(raw, Metadata())
    assert trace.counts()["A"] == 3  # the pgd has two pages
    assert trace.counts()["F"] == 2
    assert trace.arg[trace.op == 2].tolist() == [12]
    assert "gfp_flags & 256 && !(gfp_flags & 8)" in gfp.filter()


def shrink_rows(*lines: tuple[int, int, str, int, int, int]) -> np.ndarray:
    """Lines given as (time, pid, function, shrinker, priority, stack)."""
    place = {name: VALUES + number for number, name in enumerate(FIELDS)}
    address = {"super_cache_scan": SIGNED + 0x400, "ext4_es_scan": SIGNED + 0x500}
    return rows(
        *(
            {
                TIME: time, PID: pid, STACK: stack, place["shrink"]: address[name], place["shr"]: shrinker,
                place["priority"]: priority, place["memcg_id"]: -1,
            }
            for time, pid, name, shrinker, priority, stack in lines
        )
    )  # fmt: skip


ROOT, OTHER, DROP = 0, 1, 2
NO_ENDS = rows()
SIGNED = BASE - (1 << 64)
STACKS = SIGNED + np.array([[0x310, 0x610], [0x390, 0x610], [0x310, 0x690]])


def test_root_visits_are_told_by_the_call_site() -> None:
    lines = shrink_rows(
        (1, 5, "super_cache_scan", 100, 12, ROOT),
        (2, 5, "ext4_es_scan", 101, 12, ROOT),
        (3, 6, "super_cache_scan", 100, 12, ROOT),  # another task at the same time
        (4, 5, "super_cache_scan", 100, 12, OTHER),
        (5, 5, "super_cache_scan", 100, 12, OTHER),
        (6, 5, "ext4_es_scan", 101, 12, ROOT),  # the next visit, although no shrinker repeats
        (7, 5, "super_cache_scan", 100, 11, ROOT),
        (8, 5, "super_cache_scan", 100, 11, ROOT),
    )
    visits, rule = recorded_visits(lines, NO_ENDS, STACKS, SYMBOLS)
    assert rule == RULE_BY_CALL_SITE
    assert visits.time_ns.tolist() == [1, 3, 6, 7, 8]
    assert visits.priority.tolist() == [12, 12, 12, 11, 11]


def test_rounds_of_drop_slab_without_a_line_follow_from_what_was_freed() -> None:
    late = 5_000_000_000
    lines = shrink_rows(
        (10, 5, "ext4_es_scan", 101, 0, DROP),
        (20, 5, "ext4_es_scan", 101, 0, DROP),  # the second round frees 3 >> 1: it is the last
        (late, 5, "ext4_es_scan", 101, 0, DROP),
        (late + 10, 5, "ext4_es_scan", 101, 0, DROP),  # frees 8 >> 1: another one must have followed
        (late, 6, "ext4_es_scan", 101, 12, ROOT),  # kswapd: it does not count
    )
    freed = ((11, 5, 100), (12, 5, 7), (21, 5, 3), (late + 1, 5, 9), (late + 11, 5, 8), (late + 1, 6, 900))
    ends = rows(*({TIME: time, PID: pid, VALUES: count} for time, pid, count in freed))
    visits, _ = recorded_visits(lines, ends, STACKS, SYMBOLS)
    assert visits.time_ns.tolist() == [10, 20, late, late, late + 10, late + 11]
    assert visits.inferred == 1
    assert "1 rounds of drop_slab()" in visits.notes[1]


def test_rounds_of_drop_slab_are_added_only_where_they_can_be_counted() -> None:
    lines = shrink_rows(
        (10, 5, "ext4_es_scan", 101, 0, DROP),
        (20, 5, "ext4_es_scan", 101, 0, DROP),  # frees 2 >> 1: the last
        (30, 5, "ext4_es_scan", 101, 3, ROOT),  # the same task reclaims: no round
    )
    ends = rows({TIME: 11, PID: 5, VALUES: 9}, {TIME: 21, PID: 5, VALUES: 2}, {TIME: 31, PID: 5, VALUES: 900})
    visits, _ = recorded_visits(lines, ends[:2], STACKS, SYMBOLS)
    assert (len(visits), visits.inferred) == (3, 0)
    much = rows({TIME: 11, PID: 5, VALUES: 9}, {TIME: 21, PID: 5, VALUES: 900})
    assert recorded_visits(lines[:2], much, STACKS, SYMBOLS)[0].inferred == 1
    two_nodes = lines[:2].copy()
    two_nodes[1, VALUES + FIELDS.index("nid")] = 1
    visits, _ = recorded_visits(two_nodes, much, STACKS, SYMBOLS)
    assert (len(visits), visits.inferred) == (2, 0)


def test_reuse_of_the_second_page_of_a_pair_is_seen() -> None:
    gfp = GfpBits(zero=0x100, account=0x400000, movable=0x8)
    names = [("__alloc_pages", "__pte_alloc"), ("__alloc_pages", "other")]
    table = rows(
        {TIME: 1, STACK: 0, VALUES: 41, VALUES + 1: 0, VALUES + 2: 0x400100},
        {TIME: 2, STACK: 1, VALUES: 40, VALUES + 1: 1, VALUES + 2: 0x400100},
    )
    found = Allocations.classify(table, names, gfp)
    nothing = RootVisits(np.empty(0, np.int64), np.empty(0, np.int8))
    raw = gather(found, np.empty((0, 3), np.int64), nothing, pages_in(found.pages()))
    trace = assemble(raw, Metadata())
    assert trace.counts()["F"] == trace.metadata.quality.inferred_frees == 1


def test_without_call_sites_the_general_rule_decides() -> None:
    only_aware = shrink_rows(
        (1, 5, "super_cache_scan", 100, 0, ROOT),
        (2, 5, "super_cache_scan", 101, 0, ROOT),
    )
    visits, rule = recorded_visits(only_aware, NO_ENDS, STACKS, SYMBOLS)
    assert rule == RULE
    assert visits.time_ns.tolist() == [1]
    nothing, _ = recorded_visits(only_aware[:0], NO_ENDS, STACKS[:0], SYMBOLS)
    assert len(nothing) == 0


def test_a_full_disk_ends_the_recording_with_advice() -> None:
    class Reader:
        error = OSError(errno.ENOSPC, "No space left on device")

    class Readers:
        readers = (Reader(),)

    watch = _Watch(cast(Instance, None), cast(Collector, Readers()), None)
    with pytest.raises(RecordError, match="No space left") as caught:
        watch.step()
    assert "free some space" in caught.value.hint


def test_the_temporary_file_needs_a_folder_that_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="temporary file cannot be made") as caught:
        PageReader(cast(Instance, None), 0, tmp_path / "none", 4096)
    assert "another folder" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a-6.12.107.parquet", "a-6.12.107"), ("x.events.gz", "x"), ("y.z.events", "y.z")],
)
def test_a_recording_is_called_as_its_file(name: str, expected: str) -> None:
    assert _short_name(Path("/t", name)) == expected


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.18.44", "6.18.44"),
        ("6.12.107+deb13-arm64-16k", "6.12.107"),
        ("7.0-rc3-next", "7.0-rc3"),
        ("6.1.0-41-amd64", "6.1.0"),
        ("custom", ""),
    ],
)
def test_a_release_says_nothing_of_its_builder(release: str, expected: str) -> None:
    assert upstream_release(release) == expected
