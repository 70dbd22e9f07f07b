"""Workloads that nobody runs, made to be hard for the allocator."""

from __future__ import annotations

from pba.events import LEVEL_PTE
from pba.generators.draws import ONE, Draw, table_of
from pba.generators.lives import Life, Plan, Stream
from pba.generators.parameters import Parameter, Values
from pba.generators.shapes import FREE_GAP_NS, many, workload

_PRIORITY = Parameter("priority", "12", "", 0, 12, "priority of the passes, 0 is the hardest")


@workload(
    "pinned-pages",
    "adversary: one page of every block stays in use, all others are freed",
    Parameter(
        "block", "512", "pages", 2, 100_000, "pages allocated in a round: a block of 4 KiB pages has 512"
    ),
    Parameter("pinned", "1", "pages", 0, 1024, "of a round's pages that stay"),
    Parameter("hold", "60000", "ms", 0, 86_400_000, "how long they stay"),
    Parameter("rate", "20", "/s", 0, 100_000, "rounds"),
    Parameter("passes", "1", "passes", 0, 1000, "shrinker passes after each round"),
    _PRIORITY,
)
def pinned_pages(values: Values, draw: Draw) -> Plan:
    """Each round takes a block's worth of pages and frees all but one of them, then memory is short.

    No block is ever empty, so the shrinker can give pages back only by splitting. Modelled, not measured:
    nothing of it is taken from a recording; the block's size is the machine's.
    """
    block, pinned = values.whole("block"), min(values.whole("pinned"), values.whole("block"))

    def round_of_pages() -> Life:
        life = Life()
        pages = draw.shuffled(life.allocate(0, [LEVEL_PTE] * block, 1_000))
        end = block * 1_000 + 1_000
        life.free(0, pages[pinned:], FREE_GAP_NS, shift=end)
        priority = values.whole("priority")
        life.reclaim(0, [priority] * values.whole("passes"), 100_000, shift=end + block * FREE_GAP_NS + 1_000)
        life.free(0, pages[:pinned], FREE_GAP_NS, shift=end * 2 + values.ns("hold"))
        return life

    gap = values.gap_ns("rate")
    number = max(1, min(64, 100_000 // block))
    streams = [] if gap is None else [Stream(many(round_of_pages, number), table_of("fixed", gap))]
    return Plan(streams)


@workload(
    "sawtooth",
    "adversary: the cached pages rise and fall around a threshold, with a pass at each crest",
    Parameter("threshold", "512", "pages", 1, 1_000_000, "to circle: the seed's batch on 4 KiB pages"),
    Parameter(
        "swing",
        "64",
        "pages",
        0,
        100_000,
        "how far a tooth goes beyond it, at most, and at least stays below",
    ),
    Parameter("period", "100", "ms", 1, 3_600_000, "length of a tooth"),
    _PRIORITY,
)
def sawtooth(values: Values, draw: Draw) -> Plan:
    """Allocate about `threshold` pages in a tooth, free them all, and have memory short at the crest.

    Sizes lie evenly from `threshold - swing` to `threshold + swing`: of two teeth one is just enough for the
    shrinker to start, and the other is not, and what it took is missing in the next tooth. Modelled, not
    measured: nothing of it is taken from a recording.
    """
    threshold, swing, period = values.whole("threshold"), values.whole("swing"), values.ns("period")

    def tooth() -> Life:
        life = Life()
        size = max(1, threshold - swing + draw.below(2 * swing + 1))
        step = max(1, period // (4 * size))
        pages = life.allocate(0, [LEVEL_PTE] * size, step)
        life.free(0, pages, max(1, step // 4), shift=period // 3)
        life.reclaim(0, [values.whole("priority")], 0, shift=period // 2)
        return life

    number = max(1, min(128, 200_000 // (threshold + swing)))
    return Plan([Stream(many(tooth, number), table_of("fixed", period), table_of("fixed", ONE))])
