"""What a replay shows over time: the cache, the splits and how full the blocks are, window by window."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pba import model, shown
from pba.analysis.pages import windows_of
from pba.errors import PbaError
from pba.imports.read import as_trace
from pba.kernel.replay import Windows
from pba.machine import Machine, Thresholds
from pba.policies.policy import Policy
from pba.results import ReplayResult
from pba.sparkline import sparkline, sparkline_svg
from pba.units import number, plural

if TYPE_CHECKING:
    import pandas as pd

    from pba.trace.table import Trace

WINDOWS: Final = 600
"""Windows of a trace by default: as many as a curve has pixels."""
MOST_WINDOWS: Final = 100_000
OVER_TIME: Final = (
    "cached", "least_cached", "most_cached", "live", "outside_blocks", "pud_splits", "contpmd_splits", "pmd_splits",
    "contpte_splits", "pages_released", "passes",
)  # fmt: skip
"""The columns of `Watch.over_time` after `seconds`, in the order of `pba.kernel.replay.Windows.rows`."""
BLOCKS: Final = (
    "none in use", "up to 1/4", "up to 1/2", "up to 3/4", "more", "all in use",
)  # fmt: skip
"""The columns of `Watch.blocks` after `seconds`: how much of a block is page tables in use, the rest cached."""


@dataclass(frozen=True, eq=False)
class Watch:
    """A replay over time, in equal windows.

    Attributes
    ----------
    result : ReplayResult
        Its outcome: every counter, thresholds, machine.
    over_time : DataFrame
        A row per window, pages unless its name says otherwise, as they are at the window's end: `seconds`
        (where it ends, after the first event), `cached`, `least_cached` and `most_cached` (between the
        window's begin and its end), `live`, `outside_blocks` (cached pages that lie in no managed block), the
        splits so far (`pud_splits`, `contpmd_splits`, `pmd_splits`, `contpte_splits`), `pages_released` and
        `passes` (`do_shrink_slab` calls) so far.
    blocks : DataFrame
        A row per window: `seconds`, then how many managed blocks there are of which so much is in use, the
        rest being cached: `none in use` (could be released whole), `up to 1/4`, `up to 1/2`, `up to 3/4`,
        `more`, `all in use`. With 64 KiB pages no block is managed.

    Of a policy other than v6, `over_time` has no `outside_blocks`, `pages_released` and `passes`, `cached` is what it
    holds protected and unused, and `blocks` has no block: what a policy tracks is its own.
    """

    result: ReplayResult
    over_time: pd.DataFrame = field(repr=False)
    blocks: pd.DataFrame = field(repr=False)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds that were replayed; the patch's for a policy without any."""
        return self.result.thresholds or Thresholds.patch(self.result.machine)

    @property
    def called(self) -> str:
        """What was replayed, in short: the thresholds, and the policy where it is not v6."""
        policy = self.result.policy
        if policy.name == "v6":
            return str(self.thresholds)
        return str(policy) if self.result.thresholds is None else f"{policy}, {self.thresholds}"

    @property
    def aims(self) -> tuple[int, float]:
        """PMD splits, and pages cached on average over time."""
        return int(self.result.counters["pmd_splits"]), self.result.mean_cached_pages

    @property
    def splits(self) -> pd.DataFrame:
        """The windows in which PMD leaves were split: `seconds`, `cached`, `pmd_splits` (in that window).

        What is split at boot is the first window's.
        """
        table = self.over_time
        fresh = table["pmd_splits"].diff().fillna(table["pmd_splits"]).astype("int64")
        found: pd.DataFrame = table.loc[fresh > 0, ["seconds", "cached"]].assign(pmd_splits=fresh[fresh > 0])
        return found.reset_index(drop=True)

    @shown.never_raises
    def __repr__(self) -> str:
        """Return the replay's outcome with the cached pages over time."""
        cached = self.over_time["cached"].tolist()
        splits, mean = self.aims
        told = f"{plural(splits, 'PMD split')}, {number(mean)} pages cached on average"
        head = f"Watch of {shown.named(self.result.trace_name)!r} with {self.called}: {told}"
        return shown.lines(
            head, [f"cached pages {sparkline(cached)} {number(min(cached))} to {number(max(cached))}"]
        )

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the same in Jupyter, and the blocks that could be released whole."""
        rows = {"cached pages": self.over_time["cached"], "blocks with none in use": self.blocks[BLOCKS[0]]}
        curves = [
            (
                name,
                sparkline_svg(values.tolist()),
                f"{number(int(values.min()))} to {number(int(values.max()))}",
            )
            for name, values in rows.items()
        ]
        splits, mean = self.aims
        told = [("PMD splits", number(splits)), ("cached pages on average", number(mean))]
        title = f"{shown.named(self.result.trace_name)}: {self.called} on {self.result.machine}"
        return shown.html(title, shown.pairs(told, curves))


def watch(
    trace: Trace | str | Path,
    thresholds: Thresholds | None = None,
    machine: Machine | None = None,
    *,
    windows: int = WINDOWS,
    policy: str | Policy | None = None,
) -> Watch:
    """Replay a trace and return what it shows over time.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    thresholds : Thresholds, optional
        The shrinker's thresholds; by default the patch's own.
    machine : Machine, optional
        The machine; by default the one that the trace was recorded on (`pba.machine_of`).
    windows : int
        Into how many equal windows of time to cut the trace, 1 to 100,000.
    policy : str or Policy, optional
        How page tables are protected; v6 by default.

    Returns
    -------
    Watch
        Outcome and tables. The outcome is that of `pba.replay`, to the bit.

    Raises
    ------
    ThresholdError
        If a threshold is out of its range on this machine.
    TraceError
        If the trace cannot be read, or asks for chunks that the machine does not have.
    PbaError
        If the number of windows is out of its range, or the trace has no event.
    """
    trace = as_trace(trace)
    edges, ends = windows_asked(trace, windows)
    machine = machine or model.machine_of(trace)
    chosen = Policy.of(policy)
    if not chosen.is_v6:
        return _under(chosen, trace, thresholds, machine, edges, np.concatenate([[0], ends]))
    asked = chosen.thresholds_on(machine, thresholds)
    assert asked is not None  # v6 has thresholds, and so have its points that have names
    result, found = model.replay_windows(trace, asked, machine, ends)
    return watch_of(replace(result, policy=chosen), edges, found)


def windows_asked(trace: Trace, windows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return where windows of a trace begin and end in s, and the event after the last of each.

    Raises
    ------
    PbaError
        If their number is out of its range, or the trace has no event.
    """
    if isinstance(windows, bool) or not 1 <= windows <= MOST_WINDOWS:
        raise PbaError(f"windows = {windows} is out of range", f"it ranges from 1 to {MOST_WINDOWS:,}")
    if not len(trace):
        raise PbaError(f"{trace.name}: nothing to watch: it has no event", "pba info says what is in a trace")
    edges, bounds = windows_of(trace, windows)
    return edges, bounds[1:].copy()


def watch_of(result: ReplayResult, edges: NDArray[np.float64], found: Windows) -> Watch:
    """Return a replay over time from what the kernel wrote down."""
    import pandas as pd

    return Watch(
        result,
        pd.DataFrame({"seconds": edges[1:], **dict(zip(OVER_TIME, found.rows.T, strict=True))}),
        pd.DataFrame({"seconds": edges[1:], **dict(zip(BLOCKS, found.blocks.T, strict=True))}),
    )


def _under(
    policy: Policy,
    trace: Trace,
    thresholds: Thresholds | None,
    machine: Machine,
    edges: NDArray[np.float64],
    bounds: NDArray[np.int64],
) -> Watch:
    """Replay under a policy other than v6, and cut its timeline into windows."""
    import pandas as pd

    result = model.replay(trace, thresholds, machine, policy=policy, timeline=True)
    assert result.timeline is not None
    states = result.timeline.drop(columns="time_ns").to_numpy(np.int64)
    names = [str(name) for name in result.timeline.columns[1:]]
    last = np.maximum(bounds[1:] - 1, 0)  # a window without an event is as the one before it ended
    held = states[:, names.index("nr_cached")]
    table = pd.DataFrame({"seconds": edges[1:], "cached": held[last]})
    first = np.maximum(bounds[:-1] - 1, 0)  # a window begins as the one before it ended
    spans = list(zip(first.tolist(), (last + 1).tolist(), strict=True))
    table["least_cached"] = [int(held[begin : max(end, begin + 1)].min()) for begin, end in spans]
    table["most_cached"] = [int(held[begin : max(end, begin + 1)].max()) for begin, end in spans]
    for name in ("live_pages", "pud_splits", "contpmd_splits", "pmd_splits", "contpte_splits"):
        table[name.removesuffix("_pages")] = states[last, names.index(name)]
    blocks = pd.DataFrame({"seconds": edges[1:], **{name: np.zeros(len(last), np.int64) for name in BLOCKS}})
    return Watch(replace(result, timeline=None), table, blocks)
