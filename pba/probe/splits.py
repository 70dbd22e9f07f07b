"""`pba.splits`: where the splits of a replay come from, and what is in use of each block over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pba import model, shown
from pba.events import OP_LETTERS
from pba.imports.read import as_trace
from pba.kernel.origins import BY_BLOCK, BY_PAGES, BY_REFILL
from pba.kernel.state import NOT_MANAGED
from pba.machine import Machine, Thresholds
from pba.probe.watch import Watch, watch_of, windows_asked
from pba.results import ReplayResult
from pba.units import plural

if TYPE_CHECKING:
    import pandas as pd

    from pba.trace.table import Trace

WINDOWS: Final = 300
"""Windows by default: as many as an occupancy map has columns."""
CAUSES: Final = {BY_REFILL: "refill", BY_BLOCK: "block", BY_PAGES: "pages"}
"""What a PMD leaf is split for: to protect a chunk of less than a block; to shrink a block in part; to give back pages
that lie in no managed block."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Where the splits of a replay come from.

    Attributes
    ----------
    watch : Watch
        The same replay over time.
    table : DataFrame
        A row per split of a PMD leaf, in the order in which they happen: `event` (how many events had happened; 0 is
        boot), `seconds` (after the first event), `what` (the event's letter, "boot" for 0), `block`, `cause`
        ("refill", "block" or "pages"), and, right before the scan or the event: `free_pages` (cached pages of the
        block that the shrinker chose; 0 where it chose none), `outside_blocks` (cached pages of no managed block),
        `cached` (all cached pages), `asked` (`sc->nr_to_scan`; 0 where no scan split it); then `let` (the threshold
        that let it happen: "M", "U" or "") and `kept_from` (the least value of M at which the shrinker would not have
        chosen that block there; 0 where M has no say).
    over_time : DataFrame
        A row per window and block that the allocator tracks at its end: `seconds`, `block`, `in_use` (page tables in
        it), `cached` (pages of it in the cache).
    """

    watch: Watch
    table: pd.DataFrame = field(repr=False)
    over_time: pd.DataFrame = field(repr=False)

    @property
    def result(self) -> ReplayResult:
        """The replay's outcome."""
        return self.watch.result

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: how many splits there are, and what for."""
        counts = self.table["cause"].value_counts()
        told = [
            f"{CAUSE_WORDS[str(cause)]}: {plural(int(count), 'split')}" for cause, count in counts.items()
        ]
        name = shown.named(self.result.trace_name)
        return shown.lines(f"Splits of {name!r} with {self.watch.thresholds}: {len(self.table)}", told)


CAUSE_WORDS: Final = {
    "block": "a block was shrunk in part",
    "pages": "pages outside of blocks were given back",
    "refill": "a chunk of less than a block was protected",
}
"""Each cause as a sentence says it."""


def splits(
    trace: Trace | str | Path,
    thresholds: Thresholds | None = None,
    machine: Machine | None = None,
    *,
    windows: int = WINDOWS,
) -> Splits:
    """Replay a trace and return where each split of a PMD leaf comes from.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    thresholds : Thresholds, optional
        The shrinker's thresholds; by default the patch's own.
    machine : Machine, optional
        The machine; by default the one that the trace was recorded on (`pba.machine_of`).
    windows : int
        Into how many equal windows of time to cut the trace for what is in use of each block, 1 to 100,000.

    Returns
    -------
    Splits
        Tables, and the replay over time; `pba.plot_splits` draws them.

    Raises
    ------
    ThresholdError
        If a threshold is out of its range on this machine.
    TraceError
        If the trace cannot be read, or asks for chunks that the machine does not have.
    PbaError
        If the number of windows is out of its range, or the trace has no event.
    """
    import pandas as pd

    trace = as_trace(trace)
    machine = machine or model.machine_of(trace)
    thresholds = thresholds or Thresholds.patch(machine)
    edges, ends = windows_asked(trace, windows)
    result, log = model.replay_origins(trace, thresholds, machine, ends)
    columns = ("event", "block", "cause", "free_pages", "outside_blocks", "cached", "asked")
    table = pd.DataFrame(dict(zip(columns, log.rows.T, strict=True)))
    at = table["event"].to_numpy()
    last = np.maximum(at - 1, 0)
    seconds = np.where(at > 0, (trace.time_ns[last] - trace.time_ns[0]) / 1e9, 0.0)
    table.insert(1, "seconds", seconds)
    letters = np.array(OP_LETTERS)[trace.op[last]]
    table.insert(2, "what", np.where(at > 0, letters, "boot").astype(object))
    code = table["cause"].to_numpy()
    table["cause"] = [CAUSES[int(one)] for one in code]
    table["let"] = np.select([code == BY_BLOCK, code == BY_PAGES], ["M", "U"], "").astype(object)
    table["kept_from"] = np.where(code == BY_BLOCK, table["free_pages"] + 1, 0)
    return Splits(watch_of(result, edges, log.windows), table, _over_time(edges, log.nr_free, machine))


def _over_time(edges: np.ndarray, nr_free: np.ndarray, machine: Machine) -> pd.DataFrame:
    """Return what is in use of each tracked block at the end of each window."""
    import pandas as pd

    window, block = np.nonzero(nr_free != NOT_MANAGED)
    cached = nr_free[window, block].astype(np.int64)
    in_use = machine.block_nr_pages - cached
    return pd.DataFrame({"seconds": edges[1:][window], "block": block, "in_use": in_use, "cached": cached})
