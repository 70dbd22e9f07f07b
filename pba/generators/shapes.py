"""What several workloads are made of: processes with their tables, memory pressure, machines.

Where a figure stands here it was measured with `pba.analysis` (`bursts`, `lifetimes`) on the recording
that is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pba.events import LEVEL_PGD, LEVEL_PMD, LEVEL_PTE, LEVEL_PUD, MAX_PRIORITY
from pba.generators.draws import Draw, Ints, table_of
from pba.generators.lives import Life, Plan, Stream
from pba.generators.parameters import LIVES, MACHINE, RUNS, Parameter, Values

ALLOC_GAP_NS: Final = 4_700
"""Between two allocations of a run (no more than 1 ms apart): the median of configure-x86 is 4,650."""
FREE_GAP_NS: Final = 300
"""Between two frees of a run: the medians of jvm-heap-x86 and pgbench-x86 are 290 and 345."""
NEVER_NS: Final = 1 << 60
"""Later than any trace ends."""


@dataclass(frozen=True)
class Workload:
    """A kind of load, with parameters.

    Attributes
    ----------
    name : str
        What it is called on the command line.
    summary : str
        One line.
    parameters : tuple of Parameter
        Its own parameters and the machine's.
    build : callable
        Takes `Values` and a `Draw` and returns a `Plan`.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    build: Callable[[Values, Draw], Plan]

    @property
    def about(self) -> str:
        """What it models and where its defaults come from."""
        return self.build.__doc__ or ""


def workload(
    name: str, summary: str, *parameters: Parameter
) -> Callable[[Callable[[Values, Draw], Plan]], Workload]:
    """Make a workload of a function that builds its plan."""
    return lambda build: Workload(name, summary, (*parameters, *MACHINE), build)


def exponential(gap_ns: Fraction | int) -> Ints:
    """Return the table of gaps of a Poisson process."""
    return table_of("exponential", gap_ns)


def many(build: Callable[[], Life], number: int = LIVES) -> list[Life]:
    """Return that many lives."""
    return [build() for _ in range(number)]


# --- processes -----------------------------------------------------------------------------------------


def upper_levels(draw: Draw, values: Values) -> list[int]:
    """Return the levels of a process's tables above the PTE ones, in the order in which they are needed."""
    pud, pmd = draw.around(values["pud"]), draw.around(values["pmd"])
    return [LEVEL_PGD] + [LEVEL_PUD] * pud + [LEVEL_PMD] * pmd


def start_process(
    life: Life, draw: Draw, values: Values, at: int, pte: int | None = None, shift: int = 0
) -> list[int]:
    """Allocate a process's tables in one run (fork or exec) and return its pages, the PGD first."""
    number = draw.within(values["pte"]) if pte is None else pte
    return life.allocate(at, upper_levels(draw, values) + [LEVEL_PTE] * number, ALLOC_GAP_NS, shift)


def grow(life: Life, draw: Draw, span: tuple[int, int], number: int, run: int) -> list[int]:
    """Allocate PTE tables in runs of about `run` at even distances within a span of offsets."""
    begin, end = span
    runs = max(1, number // max(run, 1))
    pages: list[int] = []
    for at in range(runs):
        part = number * (at + 1) // runs - number * at // runs
        offset = begin + (end - begin) * (2 * at + 1) // (2 * runs)
        pages += life.allocate(offset, [LEVEL_PTE] * part, draw.within(ALLOC_GAP_NS))
    return pages


def end_process(life: Life, values: Values, at: int, pages: list[int], shift: int = 0, pgds: int = 1) -> None:
    """Free the pages of one or more processes: the PGDs (the first) at once, the others after a grace period.

    In configure-x86 the PUD tables live 10 to 20 ms longer than their PGD and are freed in runs of
    processes that ended together.
    """
    grace = values.ns("grace")
    life.free(at, pages[:pgds], FREE_GAP_NS, shift)
    life.free(at, pages[pgds:], FREE_GAP_NS, shift + grace * 5 // 8, grace)


def after(busy_ns: int, end_ns: int) -> int:
    """Return how much later than at `end_ns` a life must end that is busy with its start for so long.

    A life is stretched by half or more, what it is busy with at its start is not. So it ends at `end_ns`
    exactly, unless its start takes more than half of that.
    """
    return max(0, busy_ns - end_ns // 2)


# --- memory pressure -----------------------------------------------------------------------------------


def falling_priorities(draw: Draw, falls: Fraction) -> list[int]:
    """Return the priorities of one run of kswapd: from 12 down, each time with probability `falls`."""
    lowest = MAX_PRIORITY
    while lowest > 0 and draw.chance(falls):
        lowest -= 1
    return list(range(MAX_PRIORITY, lowest - 1, -1))


def reclaims(draw: Draw, values: Values, rate: list[int] | None = None) -> list[Stream]:
    """Return the stream of kswapd's runs, if there are any; `rate` makes them faster at times."""
    gap = values.gap_ns("episodes")
    if gap is None:
        return []

    def run() -> Life:
        life = Life()
        life.reclaim(0, falling_priorities(draw, values.share("falls")), values.ns("pass_gap"))
        return life

    return [Stream(many(run, RUNS), exponential(gap), rate=rate)]


def standing(draw: Draw, values: Values, pte: int) -> Stream:
    """Return a stream whose one process has so many PTE tables at time 0 and never ends."""
    life = Life()
    levels = upper_levels(draw, values) + [LEVEL_PTE] * pte
    life.free(0, life.allocate(0, levels, 0), FREE_GAP_NS, shift=NEVER_NS)
    return Stream([life], table_of("fixed", 1), closed=True, first=table_of("fixed", 0), stands=True)
