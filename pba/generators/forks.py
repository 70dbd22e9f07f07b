"""Workloads of processes: forks and exits, in storms, builds, servers and containers."""

from __future__ import annotations

from fractions import Fraction

from pba.generators.draws import ONE, Draw, table_of, uniform_table
from pba.generators.lives import Life, Plan, Stream
from pba.generators.parameters import RCU, Parameter, Values, pressure, shape
from pba.generators.shapes import (
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


def _rate(default: str, recording: str) -> Parameter:
    origin = f"{recording}: PGDs allocated in a second"
    return Parameter("rate", default, "/s", 0, 1_000_000, "processes begun", origin)


@workload(
    "fork-storm",
    "many processes that live a millisecond, as configure starts them",
    _rate("510", "configure-x86"),
    Parameter(
        "life", "1", "ms", 0, 3_600_000, "median life of a process", "configure-x86: median life of a PGD"
    ),
    *shape("2.5", "3.9", "7.4", "configure-x86"),
    RCU,
)
def fork_storm(values: Values, draw: Draw) -> Plan:
    """Short processes begin at random (Poisson), each allocates its tables in one run.

    Lives are spread as widely as in configure-x86, where half of the PGDs live 1 ms and a tenth 15 ms
    (log-logistic, shape 2). All defaults come from that recording: 510 PGDs a second, 2.5 PUD, 3.9 PMD
    and 7.4 PTE tables for each.
    """

    def process() -> Life:
        life = Life()
        pages = start_process(life, draw, values, 0)
        end_process(life, values, values.ns("life"), pages)
        return life

    gap = values.gap_ns("rate")
    streams = [] if gap is None else [Stream(many(process), exponential(gap), table_of("heavy", ONE))]
    return Plan(streams)


_COMPILER = "build-x86: upper quartile of the lives of PGDs, 182 ms; shells are below it"


@workload(
    "parallel-build",
    "make -j: so many jobs at a time, each a shell and a compiler",
    Parameter("jobs", "4", "jobs", 1, 100_000, "jobs at the same time, make -j"),
    Parameter("life", "180", "ms", 1, 3_600_000, "median life of a compiler", _COMPILER),
    Parameter("pause", "5", "ms", 0, 3_600_000, "mean time from a job's last free to the next job"),
    Parameter("grows", "60", "%", 0, 100, "of a compiler's PTE tables, allocated while it runs"),
    Parameter("drops", "0", "/min", 0, 60_000, "writes to drop_caches; build-x86 has 11, made on purpose"),
    *shape("2.5", "4.2", "12.3", "build-x86"),
    RCU,
)
def parallel_build(values: Values, draw: Draw) -> Plan:
    """Run jobs, a shell for 3 ms and a compiler that goes on; a slot takes the next when one ends.

    The compiler allocates some of its tables at its start and the others one by one as its memory
    grows, from when the shell's tables are back (a grace period). Tables for each PGD, the shell's life
    (lower quartile of PGDs) and the compiler's are those of build-x86, `make -j4` on two CPUs with 19.7 PGDs
    a second; jobs, pauses and growth are modelled.
    """

    def job() -> Life:
        life = Life()
        shell = start_process(life, draw, values, 0)
        end_process(life, values, 0, shell, shift=3_000_000)
        pte = draw.within(values["pte"])
        later = draw.around(pte * values.share("grows"))
        end = values.ns("life")
        compiler = start_process(life, draw, values, 0, pte - later, shift=3_500_000)
        compiler += grow(life, draw, (end // 20, end), later, 1)
        end_process(life, values, end, compiler, shift=3_600_000)
        return life

    slots = Stream(
        many(job),
        exponential(values.ns("pause")),
        table_of("even", ONE),
        closed=True,
        members=values.whole("jobs"),
        first=uniform_table(0, values.ns("life")),
    )
    return Plan([slots, *_drops(values)])


def _drops(values: Values) -> list[Stream]:
    """Return the stream of writes to `drop_caches`, if there are any."""
    gap = values.gap_ns("drops")
    if gap is None:
        return []
    life = Life()
    life.drop(0)
    return [Stream([life], exponential(gap))]


_CHILD = "chromium-x86: median life of a PTE table"


@workload(
    "fork-server",
    "a server or zygote that forks children with all of its tables",
    _rate("44", "chromium-x86"),
    Parameter("parent", "400", "tables", 0, 1_000_000, "PTE tables of the parent, live all the time"),
    Parameter("life", "1500", "ms", 0, 3_600_000, "median life of a child", _CHILD),
    Parameter("grows", "40", "%", 0, 100, "of a child's PTE tables, allocated in the first half of its life"),
    *shape("3.6", "5.5", "50.9", "chromium-x86"),
    RCU,
    *pressure("0", "50"),
)
def fork_server(values: Values, draw: Draw) -> Plan:
    """Fork children of a parent that stays, at random (Poisson): they copy tables, grow, end in one run.

    Rate, shapes and lives are chromium-x86's, whose zygote forks: 44 PGDs a second, 51 PTE tables for each,
    freed after 1.5 s (median) in runs of 180 pages (upper decile). The parent's size, how children grow and
    the pressure are modelled: that recording has no pass.
    """

    def child() -> Life:
        life = Life()
        pte, end = draw.within(values["pte"]), values.ns("life")
        later = draw.around(pte * values.share("grows"))
        pages = start_process(life, draw, values, 0, pte - later)
        pages += grow(life, draw, (0, end // 2), later, 4)
        end_process(life, values, end, pages)
        return life

    gap = values.gap_ns("rate")
    streams = [standing(draw, values, values.whole("parent"))]
    if gap is not None:
        streams.append(Stream(many(child), exponential(gap), table_of("even", ONE)))
    return Plan(streams + reclaims(draw, values))


@workload(
    "containers",
    "containers that start, run a few processes, and are stopped at once",
    Parameter("rate", "30", "/min", 0, 60_000, "containers started"),
    Parameter("processes", "8", "processes", 1, 1_000, "processes of a container while it runs"),
    Parameter("helpers", "5", "processes", 0, 1_000, "short processes that start it (the runtime's)"),
    Parameter("life", "20000", "ms", 100, 86_400_000, "median life of a container, its start included"),
    *shape("2.5", "4.2", "12.3", "build-x86"),
    RCU,
    *pressure("0", "50"),
)
def containers(values: Values, draw: Draw) -> Plan:
    """Run a runtime's helpers for 20 ms each, then begin the container's processes, 10 ms apart.

    At its end all processes are killed together, so that all of their tables come back in two runs. A
    process has the shape of one in build-x86; all else is modelled, as no recording holds containers.
    """

    def container() -> Life:
        life, now, end = Life(), 0, values.ns("life")
        for _ in range(values.whole("helpers")):
            helper = start_process(life, draw, values, 0, shift=now)
            end_process(life, values, 0, helper, shift=now + 20_000_000)
            now += 20_000_000
        services = []
        for _ in range(values.whole("processes")):
            services.append(start_process(life, draw, values, 0, shift=now))
            now += 10_000_000
        tops, others = [pages[0] for pages in services], [page for pages in services for page in pages[1:]]
        end_process(life, values, end, [*tops, *others], shift=after(now, end), pgds=len(tops))
        return life

    gap = values.gap_ns("rate")
    streams = [] if gap is None else [Stream(many(container, 128), exponential(gap), table_of("even", ONE))]
    return Plan(streams + reclaims(draw, values))


DAY_SLOTS = 96
"""Slots of a day: 15 minutes of a day of 24 h."""


@workload(
    "day-night",
    "a server whose load rises and falls with the day; at night a backup presses on memory",
    Parameter("rate", "50", "/s", 0, 100_000, "processes begun at noon"),
    Parameter("night", "4", "%", 1, 100, "of that rate at midnight, where the trace begins"),
    Parameter("day", "1440", "min", 1, 100_000, "length of a day"),
    Parameter("life", "1500", "ms", 0, 3_600_000, "median life of a process", _CHILD),
    *shape("3", "5.9", "57.3", "pgbench-x86"),
    RCU,
    *pressure("20", "10"),
)
def day_night(values: Values, draw: Draw) -> Plan:
    """Begin processes at a rate that rises from midnight to noon and falls again, on straight lines.

    A process has the tables of a backend in pgbench-x86 (57 PTE tables) and the life of one in chromium-x86.
    kswapd's runs come in the first quarter of the day only, at four times their mean rate: the backup that
    reads everything through the page cache. No recording lasts a day: rates, day and pressure are modelled.
    """

    def backend() -> Life:
        life, end = Life(), values.ns("life")
        pages = start_process(life, draw, values, 0)
        end_process(life, values, end, pages)
        return life

    low = values.share("night")
    rates = [
        int(ONE * (low + (1 - low) * Fraction(min(slot, DAY_SLOTS - slot), DAY_SLOTS // 2)))
        for slot in range(DAY_SLOTS)
    ]
    backup = [4 * ONE] * (DAY_SLOTS // 4) + [0] * (DAY_SLOTS - DAY_SLOTS // 4)
    gap = values.gap_ns("rate")
    streams = []
    if gap is not None:
        streams.append(Stream(many(backend), exponential(gap), table_of("even", ONE), rate=rates))
    return Plan(streams + reclaims(draw, values, backup), slot_ns=values.ns("day") // DAY_SLOTS)
