"""A phone: apps are launched from a zygote, kept as long as memory allows, and killed."""

from __future__ import annotations

from pba.trace.generate.draws import ONE, Draw, table_of
from pba.trace.generate.lives import Life, Plan, Stream
from pba.trace.generate.parameters import RCU, Parameter, Values, pressure, shape
from pba.trace.generate.shapes import (
    end_process,
    exponential,
    falling_priorities,
    grow,
    many,
    reclaims,
    standing,
    start_process,
    workload,
)


@workload(
    "app-launch",
    "apps launched from a zygote and killed under memory pressure, as on Android",
    Parameter("rate", "12", "/min", 0, 60_000, "apps launched"),
    Parameter(
        "cached", "20", "apps", 1, 10_000, "apps alive on average; the low-memory killer ends the others"
    ),
    Parameter("copied", "51", "tables", 0, 100_000, "PTE tables copied from the zygote; as in chromium-x86"),
    Parameter("launch", "2000", "ms", 1, 600_000, "time in which an app's other tables are allocated"),
    Parameter("runs", "3", "runs", 0, 1_000, "kswapd's runs during a launch"),
    *shape("3.6", "5.5", "300", "chromium-x86; PTE tables are those of an app with 300 MiB, sparsely mapped"),
    RCU,
    *pressure("4", "60", "arm64-4k-6.1.192, whose runs go from 12 down to 0"),
)
def app_launch(values: Values, draw: Draw) -> Plan:
    """Launch apps: each copies the zygote's tables, allocates its own, and wakes kswapd meanwhile.

    kswapd's runs begin at priority 12 and fall, as in arm64-4k-6.1.192 (nearly as many passes at 9 as at
    12, few below 4). An app lives until it is killed: `cached / rate` on average, so that about as many
    live as memory holds; its tables come back in one run.
    """
    gap, launch = values.gap_ns("rate"), values.ns("launch")

    def app(life_ns: int) -> Life:
        life = Life()
        copied = values.whole("copied")
        pages = start_process(life, draw, values, 0, copied)
        later = max(0, draw.within(values["pte"]) - copied)
        pages += grow(life, draw, (0, launch), later, 4)
        for _ in range(values.whole("runs")):
            priorities = falling_priorities(draw, values.share("falls"))
            life.reclaim(draw.below(launch), priorities, values.ns("pass_gap"))
        end_process(life, values, life_ns, pages)
        return life

    streams = [standing(draw, values, values.whole("copied"))]
    if gap is not None:
        life_ns = max(launch, int(gap * values["cached"]))
        streams.append(Stream(many(lambda: app(life_ns)), exponential(gap), table_of("even", ONE)))
    return Plan(streams + reclaims(draw, values))
