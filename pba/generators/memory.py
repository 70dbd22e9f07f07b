"""Workloads of large processes: what they map, grow, copy and give back."""

from __future__ import annotations

from pba.events import LEVEL_PMD, LEVEL_PTE
from pba.generators.draws import ONE, Draw, table_of, uniform_table
from pba.generators.lives import Life, Plan, Stream
from pba.generators.parameters import MODELLED, RCU, Parameter, Values, pressure, shape, upper_shape
from pba.generators.shapes import (
    ALLOC_GAP_NS,
    FREE_GAP_NS,
    after,
    end_process,
    exponential,
    grow,
    many,
    reclaims,
    standing,
    start_process,
    workload,
)

_CLIENTS = "pgbench-x86: pgbench ran with 60 clients"
_CONNECTION = "pgbench-x86: upper decile of the lives of PTE tables, 15.3 s"
_SNAPSHOTS = "redis-bgsave-x86: 3 within 40 s"
_SNAPSHOT = "redis-bgsave-x86: median life of a PTE table, 7.4 s"
_SIZE = "redis-bgsave-x86: Redis held 1.5 GB"
_REGION = "arm64-4k-6.1.192: upper quartile of the lives of PTE tables, 249 ms"
_FAULT = "arm64-4k-6.1.192: median gap before a PTE table of a run"
_HEAP = "jvm-heap-x86: 26,742 PTE tables within 75 s are 1,790 in a cycle of 5 s"
_RUN = "jvm-heap-x86: upper decile of runs of frees; the median is 16"


@workload(
    "database",
    "a process for each connection, whose tables grow as it touches the shared buffers",
    Parameter("connections", "60", "connections", 1, 1_000_000, "open at the same time", _CLIENTS),
    Parameter("life", "15000", "ms", 10, 86_400_000, "median life of a connection", _CONNECTION),
    Parameter(
        "pause", "10", "ms", 0, 3_600_000, "mean time from a connection's last free to the client's next"
    ),
    Parameter(
        "grows", "60", "%", 0, 100, "of a backend's PTE tables, allocated in the first third of its life"
    ),
    *shape("3", "5.9", "57.3", "pgbench-x86"),
    RCU,
    *pressure("300", "4", "pgbench-x86: 251 passes within 49 s, 241 at 12 and 10 at 11"),
)
def database(values: Values, draw: Draw) -> Plan:
    """Every client has one connection at a time; the backend maps shared buffers, so its PTE tables grow.

    In pgbench-x86 a backend has 3 PUD, 6 PMD and 57 PTE tables; tables of the 60 long connections live
    15 s (the upper decile of PTE tables), and reclaim stays at priorities 12 and 11. Pauses and growth are
    modelled.
    """

    def backend() -> Life:
        life, end = Life(), values.ns("life")
        pte = draw.within(values["pte"])
        later = draw.around(pte * values.share("grows"))
        pages = start_process(life, draw, values, 0, pte - later)
        pages += grow(life, draw, (0, end // 3), later, 1)
        end_process(life, values, end, pages)
        return life

    clients = Stream(
        many(backend),
        exponential(values.ns("pause")),
        table_of("even", ONE),
        closed=True,
        members=values.whole("connections"),
        first=uniform_table(0, values.ns("life")),
    )
    return Plan([clients, *reclaims(draw, values)])


@workload(
    "snapshot-fork",
    "a large process forks now and then, and the child, a snapshot, copies all of its tables",
    Parameter("size", "1536", "MiB", 2, 1 << 22, "memory of the process; a PTE table maps 2 MiB", _SIZE),
    Parameter("every", "13", "s", 0, 86_400, "mean time from one snapshot's start to the next", _SNAPSHOTS),
    Parameter("life", "7000", "ms", 0, 86_400_000, "median life of a snapshot", _SNAPSHOT),
    *upper_shape("2.7", "3.9", "redis-bgsave-x86"),
    RCU,
    *pressure("970", "6", "redis-bgsave-x86: 686 passes within 40 s, 645 of them at 12"),
)
def snapshot_fork(values: Values, draw: Draw) -> Plan:
    """Fork copies every table of the parent in one run (`copy_page_range()`); the exit frees them in one run.

    In redis-bgsave-x86 a process of 1.5 GB forks three times within 40 s; the longest run of allocations
    has 1,696 pages, the longest run of frees 2,003, and the median PTE table lives 7.4 s.
    """
    tables = max(1, values.whole("size") // 2)

    def snapshot() -> Life:
        life = Life()
        pages = start_process(life, draw, values, 0, tables)
        end_process(life, values, values.ns("life"), pages)
        return life

    number = max(1, min(32, 200_000 // tables))
    gap = max(1, values.ns("every"))
    forks = Stream(many(snapshot, number), table_of("even", gap), table_of("even", ONE))
    return Plan([standing(draw, values, tables), forks, *reclaims(draw, values)])


@workload(
    "jvm-heap",
    "a heap that grows table by table and is collected and given back in part",
    Parameter(
        "heap", "3600", "MiB", 4, 1 << 22, "growth from one collection to the next; 2 MiB a PTE table", _HEAP
    ),
    Parameter("cycle", "5000", "ms", 10, 86_400_000, "time from one collection to the next"),
    Parameter("kept", "20", "%", 0, 100, "of a cycle's tables that only the next collection frees"),
    Parameter("run", "64", "tables", 1, 1024, "tables freed together, but for a rest", _RUN),
    *upper_shape("2.5", "5.5", "jvm-heap-x86"),
    Parameter(
        "pte", "50", "tables", 0, 100_000, "PTE tables of the process beside its heap, live all the time"
    ),
    *pressure("1060", "49", "jvm-heap-x86: 2,584 passes within 75 s, 1,320 of them at 12"),
)
def jvm_heap(values: Values, draw: Draw) -> Plan:
    """Grow a heap by one or two tables at a time; a collection gives back what is empty, region by region.

    In jvm-heap-x86 the median run of allocations is 1 page (2 at the 90th percentile) and that of frees 16
    (64); the median PTE table lives 4.5 s. Cycles of 5 s, and what a collection keeps, are modelled; runs
    of frees are 1.5 ms apart.
    """
    tables, cycle = max(1, values.whole("heap") // 2), values.ns("cycle")
    run = values.whole("run")

    def round_of_heap() -> Life:
        life = Life()
        pages = draw.shuffled(grow(life, draw, (0, cycle), tables, 2))
        kept = draw.around(tables * values.share("kept"))
        for end, part in ((cycle, pages[kept:]), (2 * cycle, pages[:kept])):
            for at in range(0, len(part), run):
                life.free(end, part[at : at + run], FREE_GAP_NS, shift=(at // run) * 1_500_000)
        return life

    number = max(1, min(32, 200_000 // tables))
    heap = Stream(many(round_of_heap, number), table_of("fixed", cycle), first=table_of("fixed", 0))
    return Plan([standing(draw, values, values.whole("pte")), heap, *reclaims(draw, values)])


@workload(
    "mmap-churn",
    "threads that map a sparse region, touch it, and unmap it again",
    Parameter("threads", "4", "threads", 1, 100_000, "regions at the same time"),
    Parameter("tables", "16", "tables", 1, 100_000, "mean PTE tables of a region"),
    Parameter(
        "hold", "240", "ms", 0, 3_600_000, "median time from a region's last fault to its end", _REGION
    ),
    Parameter("pause", "50", "ms", 0, 3_600_000, "mean time from one region to the next"),
    Parameter("touch", "31", "us", 0, 1_000_000, "from one fault to the next", _FAULT),
)
def mmap_churn(values: Values, draw: Draw) -> Plan:
    """Fault a region in, a PMD table and then a PTE table for each fault; munmap frees all at once.

    The arm64 recordings hold such a program (Python mapping and unmapping sparse memory): runs of frees
    of 81 pages at the 99th percentile in arm64-4k-6.1.192, PTE tables that live 249 ms at the upper quartile.
    Threads, sizes and pauses are modelled.
    """

    def region() -> Life:
        life = Life()
        number = max(1, draw.within(values["tables"]))
        levels = [LEVEL_PMD] + [LEVEL_PTE] * number
        pages = life.allocate(0, levels, values.ns("touch"))
        life.free(values.ns("hold"), pages, FREE_GAP_NS, shift=len(levels) * values.ns("touch"))
        return life

    threads = Stream(
        many(region),
        exponential(values.ns("pause")),
        table_of("even", ONE),
        closed=True,
        members=values.whole("threads"),
        first=uniform_table(0, values.ns("hold") + values.ns("pause")),
    )
    return Plan([threads])


@workload(
    "thp",
    "transparent huge pages: tables deposited at huge faults, freed at unmap, split or collapse",
    Parameter("processes", "8", "processes", 1, 100_000, "at the same time"),
    Parameter("huge", "256", "tables", 1, 100_000, "mean huge pages of a process: one deposited table each"),
    Parameter("fault", "60", "us", 0, 1_000_000, "from one huge fault to the next: the time to clear 2 MiB"),
    Parameter("failed", "10", "%", 0, 100, "of huge faults without a huge page: the table is freed at once"),
    Parameter("files", "16", "tables", 0, 100_000, "mean PTE tables of a process's file mappings"),
    Parameter("scan", "10", "s", 0, 86_400, "khugepaged's pause: scan_sleep_millisecs is 10,000"),
    Parameter("collapsed", "8", "tables", 1, 10_000, "PTE tables it frees in a scan: pages_to_scan is 4,096"),
    Parameter("life", "60000", "ms", 10, 86_400_000, "median life of a process"),
    Parameter("pause", "100", "ms", 0, 3_600_000, "mean time from a process's last free to the next process"),
    *shape("2.5", "4.2", "12.3", "build-x86"),
    RCU,
    *pressure("30", "49", MODELLED, "jvm-heap-x86: 2,584 passes, 1,320 of them at 12"),
)
def thp(values: Values, draw: Draw) -> Plan:
    """Allocate a table at each huge fault and deposit it, so that a later split needs none.

    That is `do_huge_pmd_anonymous_page()`. Where no huge page is to be had, the table goes back within
    microseconds and an ordinary fault takes another. A split takes the deposited table and frees none; the
    collapse of a file's mapping frees its PTE tables (`retract_page_tables()`), a few at each of khugepaged's
    scans in the first half of a median life; exit frees all others in one run.

    Modelled, not measured: scans are as khugepaged's own defaults have them, the rest is chosen; a process
    has the ordinary tables of one in build-x86.
    """
    end, scan = values.ns("life"), max(values.ns("scan"), 1_000_000)

    def process() -> Life:
        life, touch = Life(), values.ns("fault")
        pages = start_process(life, draw, values, 0)
        files = life.allocate(0, [LEVEL_PTE] * draw.within(values["files"]), ALLOC_GAP_NS, shift=10_000_000)
        now = 20_000_000
        for _ in range(draw.within(values["huge"])):
            if draw.chance(values.share("failed")):
                life.free(0, life.allocate(0, [LEVEL_PTE], 0, shift=now), 0, shift=now + 2_000)
                now += 4_000
            pages += life.allocate(0, [LEVEL_PTE], 0, shift=now)
            now += touch
        step, scans = values.whole("collapsed"), max(0, end // 2 - now) // scan
        for at in range(min(scans, -(-len(files) // step))):
            life.free(0, files[at * step : (at + 1) * step], FREE_GAP_NS, shift=now + (at + 1) * scan)
        end_process(life, values, end, pages + files[scans * step :], shift=after(now, end))
        return life

    processes = Stream(
        many(process, 64),
        exponential(values.ns("pause")),
        table_of("even", ONE),
        closed=True,
        members=values.whole("processes"),
        first=uniform_table(0, end),
    )
    return Plan([processes, *reclaims(draw, values)])
