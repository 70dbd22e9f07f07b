"""A phone: apps are launched from a zygote, kept as long as memory allows, and killed."""

from __future__ import annotations

from pba.generators.draws import ONE, Draw, table_of
from pba.generators.lives import Life, Plan, Stream
from pba.generators.parameters import MODELLED, RCU, Parameter, Values, pressure, upper_shape
from pba.generators.shapes import (
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

_COPIED = "chromium-x86: mean PTE tables for each PGD"


@workload(
    "app-launch",
    "apps launched from a zygote and killed under memory pressure, as on Android",
    Parameter("rate", "12", "/min", 0, 60_000, "apps launched"),
    Parameter(
        "cached", "20", "apps", 1, 10_000, "apps alive on average; the low-memory killer ends the others"
    ),
    Parameter("copied", "51", "tables", 0, 100_000, "PTE tables copied from the zygote", _COPIED),
    Parameter("launch", "2000", "ms", 1, 600_000, "time in which an app's other tables are allocated"),
    Parameter("runs", "3", "runs", 0, 1_000, "kswapd's runs during a launch"),
    *upper_shape("3.6", "5.5", "chromium-x86"),
    Parameter("pte", "300", "tables", 0, 100_000, "mean PTE tables of an app; no fewer than it copies"),
    RCU,
    *pressure("4", "88.5", MODELLED, "arm64-4k-6.1.192: 991 passes, 143 of them at 12"),
)
def app_launch(values: Values, draw: Draw) -> Plan:
    """Launch apps: each copies the zygote's tables, allocates its own, and wakes kswapd meanwhile.

    kswapd's runs begin at priority 12 and fall; a run has seven passes on average, as in arm64-4k-6.1.192
    (which has nearly as many at 9 as at 12 and few below 4: here they thin out evenly). An app lives until
    it is killed: `cached / rate` on average, so that about as many live as memory holds; its tables come back
    in one run. Launches, sizes and how often memory is short are modelled, not measured.
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
