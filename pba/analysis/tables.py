"""What a trace says by itself, before anything is simulated: pure functions from a trace to a DataFrame.

Pages that were live before the recording began (`Quality.live_at_start`) are counted as live, but their
allocations at the first instant are nobody's demand: rates, bursts, drawdown and lifetimes leave them out.
Frees of what is not live are left out everywhere. The trace ends at its last event.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit
from pba.analysis.phases import change_points
from pba.events import LEVELS, OP_ALLOC, OP_DROP, OP_FREE, OP_SHRINK
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd

NS: Final = 1e9
"""Nanoseconds in a second."""
BURST_GAP_NS: Final = 1_000_000
"""A run of frees (or allocations) ends where the next one comes later than this: 1 ms."""
NATURAL_WINDOW_NS: Final = 1_000_000_000
"""The window of the natural cache size: 1 s."""
SHORTEST_WINDOW_NS: Final = 1_000_000
"""The shortest window of the drawdown: 1 ms."""
MOST_NS: Final = (1 << 63) - 1
"""The largest time that a trace can hold."""
PHASE_WINDOWS: Final = 200
"""Windows between which phases begin and end."""
SHORTEST_PHASE_WINDOWS: Final = 4
"""Fewest windows of a phase: 2 % of the trace's time."""
ALL: Final = "all"
"""In a `level` column: every level together."""

Ints = NDArray[np.int64]


# --- the events that are looked at ---------------------------------------------------------------------


def at_start(trace: Trace) -> NDArray[np.bool_]:
    """Return which events are allocations of pages that were live before the recording began."""
    found = np.zeros(len(trace), np.bool_)
    if len(trace):
        first = int(np.searchsorted(trace.time_ns, trace.time_ns[0], side="right"))
        allocations = np.flatnonzero(trace.op[:first] == OP_ALLOC)
        found[allocations[: trace.metadata.quality.live_at_start or 0]] = True
    return found


def steps(trace: Trace) -> NDArray[np.int8]:
    """Return what each event adds to the live pages by its own demand: 1, -1 or 0."""
    step: NDArray[np.int8] = (trace.op == OP_ALLOC).astype(np.int8)
    step[at_start(trace)] = 0
    step[(trace.op == OP_FREE) & (trace.slot >= 0)] = -1
    return step


def pairs(trace: Trace) -> tuple[Ints, Ints]:
    """Return the events that allocate a page-table page, and for each the event that frees it or -1.

    On each slot allocations and frees alternate, so that sorting by slot brings each free behind its
    allocation.
    """
    known = np.flatnonzero(((trace.op == OP_ALLOC) | (trace.op == OP_FREE)) & (trace.slot >= 0))
    order = known[np.argsort(trace.slot[known], kind="stable")]
    is_alloc = trace.op[order] == OP_ALLOC
    following = np.append(order[1:], -1)
    freed = np.append(~is_alloc[1:], False)
    allocated_by = order[is_alloc]
    freed_by = np.where(freed, following, -1)[is_alloc]
    in_time = np.argsort(allocated_by)
    return allocated_by[in_time], freed_by[in_time]


def _levels(trace: Trace) -> NDArray[np.int8]:
    return trace.level if len(trace.level) else np.zeros(len(trace), np.int8)


def _level_names(codes: NDArray[np.int8]) -> dict[str, int]:
    """Return the levels that occur with their codes, the top level first, an unknown one last."""
    occurring = [int(code) for code in np.unique(codes)]
    named = {LEVELS[code]: code for code in occurring if code}
    return named | ({"unknown": 0} if 0 in occurring else {})


def _windows(trace: Trace, windows: int) -> tuple[NDArray[np.float64], Ints]:
    """Cut a trace into equal windows.

    Returns
    -------
    edges : ndarray of float64, shape (windows + 1,)
        Where they begin and end, in s after the first event; the last one holds the last event too.
    bounds : ndarray of int64, shape (windows + 1,)
        The first event of each, and behind the last.
    """
    span = trace.duration_ns
    windows = max(1, min(windows, span))
    first = int(trace.time_ns[0])
    inner = np.array([first + -(-span * at // windows) for at in range(1, windows)], np.int64)
    bounds = np.concatenate(([0], np.searchsorted(trace.time_ns, inner), [len(trace)]))
    edges = np.arange(windows + 1, dtype=np.float64) * (span / windows / NS)
    return edges, bounds.astype(np.int64)


def _until(values: NDArray[Any], bounds: Ints) -> Ints:
    """Return the sum of the values before each bound."""
    return np.concatenate(([0], np.cumsum(values, dtype=np.int64)))[bounds]


# --- live pages ----------------------------------------------------------------------------------------


def live_table(trace: Trace, windows: int = 600) -> pd.DataFrame:
    """Return the live page-table pages over time, by level.

    Parameters
    ----------
    trace : Trace
        The trace.
    windows : int
        Into how many equal windows of time to cut it.

    Returns
    -------
    DataFrame
        A row per window: `seconds` (its end, after the first event), a column of pages for each level that
        occurs (live at the window's end; `unknown` for pages without a level), `total` (their sum),
        `least` and `most` (of the total after any event of the window).
    """
    import pandas as pd

    if not len(trace):
        return pd.DataFrame(columns=["seconds", "total", "least", "most"])
    allocated_by, freed_by = pairs(trace)
    edges, bounds = _windows(trace, windows)
    codes = _levels(trace)[allocated_by]
    columns: dict[str, Any] = {"seconds": edges[1:]}
    for name, code in _level_names(codes).items():
        mine = codes == code
        born = np.searchsorted(allocated_by[mine], bounds[1:])
        gone = np.searchsorted(np.sort(freed_by[mine & (freed_by >= 0)]), bounds[1:])
        columns[name] = born - gone
    live = int(at_start(trace).sum()) + np.concatenate(([0], np.cumsum(steps(trace), dtype=np.int64)))
    columns["total"] = live[bounds[1:]]
    # A window without events has the state before it; the others that after each of theirs.
    filled = np.diff(bounds) > 0
    starts = bounds[:-1][filled]
    for name, reduce in (("least", np.minimum), ("most", np.maximum)):
        columns[name] = columns["total"].copy()
        columns[name][filled] = reduce.reduceat(live[1:], starts)
    return pd.DataFrame(columns)


# --- rates ---------------------------------------------------------------------------------------------


def rates_table(trace: Trace, windows: int = 200) -> pd.DataFrame:
    """Return allocations and frees per second in equal windows.

    Returns
    -------
    DataFrame
        A row per window: `from_seconds`, `to_seconds` (after the first event), `allocs`, `frees` (in the
        window), `allocs_per_second`, `frees_per_second`. Empty where all events stand at one time.
    """
    import pandas as pd

    columns = ["from_seconds", "to_seconds", "allocs", "frees", "allocs_per_second", "frees_per_second"]
    if not trace.duration_ns:
        return pd.DataFrame(columns=columns)
    edges, bounds = _windows(trace, windows)
    step = steps(trace)
    allocs, frees = np.diff(_until(step > 0, bounds)), np.diff(_until(step < 0, bounds))
    length = np.diff(edges)
    values = (edges[:-1], edges[1:], allocs, frees, allocs / length, frees / length)
    return pd.DataFrame(dict(zip(columns, values, strict=True)))


def phases_table(trace: Trace, phases: int | None = None) -> pd.DataFrame:
    """Return how fast the demand changes, by phase.

    A phase lasts as long as allocations and frees keep their rates. Where they change is found in 200 equal
    windows of the trace's time by `pba.analysis.phases.change_points`, which states its criterion; a phase
    has at least 4 of them. What comes and goes from window to window is no phase: a trace may have one.

    Parameters
    ----------
    trace : Trace
        The trace.
    phases : int, optional
        Take so many equal parts of the time instead.

    Returns
    -------
    DataFrame
        A row per phase: the columns of `rates_table`, then `live_pages` (at the phase's end),
        `change_pages` (allocations less frees in it) and `change_per_second`. Empty where all events stand
        at one time.
    """
    if phases is None:
        table = rates_table(trace, PHASE_WINDOWS)
        table = _joined(table, change_points(table[["allocs", "frees"]].to_numpy(), SHORTEST_PHASE_WINDOWS))
    else:
        table = rates_table(trace, phases)
    net = table["allocs"] - table["frees"]
    table["live_pages"] = int(at_start(trace).sum()) + net.cumsum()
    table["change_pages"] = net
    table["change_per_second"] = net / (table["to_seconds"] - table["from_seconds"])
    return table


def _joined(rates: pd.DataFrame, bounds: Ints) -> pd.DataFrame:
    """Return a `rates_table` with the windows between two bounds made one."""
    if rates.empty:
        return rates
    first, last = bounds[:-1], bounds[1:] - 1
    table = rates.iloc[first].reset_index(drop=True)
    table["to_seconds"] = rates["to_seconds"].to_numpy()[last]
    length = table["to_seconds"] - table["from_seconds"]
    for name in ("allocs", "frees"):
        table[name] = np.add.reduceat(rates[name].to_numpy(), first)
        table[f"{name}_per_second"] = table[name] / length
    return table


# --- lifetimes -----------------------------------------------------------------------------------------


def lifetimes(trace: Trace) -> tuple[Ints, NDArray[np.bool_], NDArray[np.int8]]:
    """Return how long each page was seen to live.

    Returns
    -------
    lifetime_ns : ndarray of int64, shape (pages,)
        From its allocation to its free, or to the trace's last event.
    freed : ndarray of bool, shape (pages,)
        False for a page that is live at the end: it lives at least so long (it is censored).
    level : ndarray of int8, shape (pages,)
        Its level's code, 0 where unknown.
    """
    allocated_by, freed_by = pairs(trace)
    seen = ~at_start(trace)[allocated_by]
    allocated_by, freed_by = allocated_by[seen], freed_by[seen]
    freed = freed_by >= 0
    end = np.where(freed, trace.time_ns[freed_by], trace.time_ns[-1:])
    return end - trace.time_ns[allocated_by], freed, _levels(trace)[allocated_by]


def survival(lifetime_ns: Ints, freed: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """Estimate the share of pages that outlive an age, after Kaplan and Meier.

    S(t) is the product over the ages `a <= t` at which pages were freed of `1 - freed(a) / at_risk(a)`,
    where those at risk are all pages seen to live at least to `a` (E. L. Kaplan, P. Meier, "Nonparametric
    estimation from incomplete observations", J. Amer. Statist. Assoc. 53, 1958).

    Returns
    -------
    age_ns, at_risk, nr_freed : ndarray of int64
        The ages at which pages were freed, rising, with the pages at risk and those freed.
    survival : ndarray of float64
        S at each.
    """
    order = np.argsort(lifetime_ns, kind="stable")
    ages, died = lifetime_ns[order], freed[order]
    age_ns, first = np.unique(ages, return_index=True)
    at_risk = len(ages) - first
    nr_freed = np.diff(np.append(_until(died, first.astype(np.int64)), died.sum()))
    some = nr_freed > 0
    share = np.cumprod(1.0 - nr_freed[some] / at_risk[some], dtype=np.float64)
    return age_ns[some], at_risk[some].astype(np.int64), nr_freed[some].astype(np.int64), share


def lifetimes_table(trace: Trace, steps: int = 1000) -> pd.DataFrame:
    """Return survival curves: the share of page-table pages that outlive an age, by level and together.

    Kaplan-Meier, see `survival`. Pages live at the end are censored there; pages live at the start are left
    out, as nobody knows their age. Where frees were inferred from reuse, lives look longer than they were.

    Parameters
    ----------
    trace : Trace
        The trace.
    steps : int
        Rows are left out as long as the survival falls by less than `1 / steps` from one to the next; the
        first and the last stay. 0 keeps all.

    Returns
    -------
    DataFrame
        A row per level (`all` first) and age: `level`, `pages` (of that level), `censored` (of them live at
        the end), `age_seconds`, `at_risk` (pages seen to reach that age), `freed` (at that age), `survival`
        (share that lives longer).
    """
    import pandas as pd

    columns = ["level", "pages", "censored", "age_seconds", "at_risk", "freed", "survival"]
    lifetime_ns, freed, codes = lifetimes(trace)
    tables = []
    for name, code in {ALL: -1, **_level_names(codes)}.items():
        mine = np.ones(len(codes), np.bool_) if code < 0 else codes == code
        age_ns, at_risk, nr_freed, share = survival(lifetime_ns[mine], freed[mine])
        pages = int(mine.sum())
        values = (name, pages, pages - int(freed[mine].sum()), age_ns / NS, at_risk, nr_freed, share)
        table = pd.DataFrame(dict(zip(columns, values, strict=True)))
        tables.append(table.iloc[_falls(share, steps)])
    return pd.concat(tables, ignore_index=True)


def _falls(share: NDArray[np.float64], steps: int) -> Ints:
    """Return the places where a falling curve enters another of `steps` bands, and its last one."""
    if not steps or not len(share):
        return np.arange(len(share))
    band = np.ceil(share * steps)
    return np.flatnonzero(np.append(band[1:] != band[:-1], True) | (np.arange(len(share)) == 0))


def median_lifetime_ns(trace: Trace) -> int | None:
    """Return the age that half of the pages do not outlive; None where more than half outlive the trace."""
    lifetime_ns, freed, _ = lifetimes(trace)
    age_ns, _, _, share = survival(lifetime_ns, freed)
    reached = np.flatnonzero(share <= 0.5 + 1e-12)
    return int(age_ns[reached[0]]) if len(reached) else None


# --- bursts --------------------------------------------------------------------------------------------


def runs(trace: Trace, op: int, gap_ns: int = BURST_GAP_NS) -> Ints:
    """Return the sizes in pages of the runs of frees (`OP_FREE`) or of allocations (`OP_ALLOC`), in order.

    A run goes on while the next page-table event of the machine is of the same kind and comes at most
    `gap_ns` after the one before; passes and background chunks between do not end it. So a run of frees
    lays its size into the cache with nothing taken meanwhile.
    """
    step = steps(trace)
    moving = np.flatnonzero(step)
    kind, time_ns = step[moving], trace.time_ns[moving]
    begins = np.ones(len(moving), np.bool_)
    begins[1:] = (kind[1:] != kind[:-1]) | (np.diff(time_ns) > gap_ns)
    first = np.flatnonzero(begins)
    sizes: Ints = np.diff(np.append(first, len(moving))).astype(np.int64)
    mine = kind[first] == (1 if op == OP_ALLOC else -1)
    return np.asarray(sizes[mine], np.int64)


def bursts_table(trace: Trace, gap_ns: int = BURST_GAP_NS) -> pd.DataFrame:
    """Return how large the runs of frees and of allocations are (`runs`).

    Returns
    -------
    DataFrame
        A row per kind (`free`, `alloc`) and size that occurs: `kind`, `size_pages`, `runs` (of that size),
        `runs_share` and `pages_share` (the share of the kind's runs that are at least so large, and of its
        pages that move in them).
    """
    import pandas as pd

    tables = []
    for kind, op in (("free", OP_FREE), ("alloc", OP_ALLOC)):
        sizes, number = np.unique(runs(trace, op, gap_ns), return_counts=True)
        pages = sizes * number
        columns = {"kind": kind, "size_pages": sizes, "runs": number}
        shares = {"runs_share": _at_least(number), "pages_share": _at_least(pages)}
        tables.append(pd.DataFrame({**columns, **shares}))
    return pd.concat(tables, ignore_index=True)


def _at_least(weights: Ints) -> NDArray[np.float64]:
    return np.cumsum(weights[::-1])[::-1] / max(int(weights.sum()), 1)


def percentile(sizes: Ints, share: float, zeros: int = 0) -> int:
    """Return the least value that at least this share of the values (and so many zeros) does not exceed."""
    total = len(sizes) + zeros
    if not total:
        return 0
    rank = max(1, int(np.ceil(share * total - 1e-9)))
    return 0 if rank <= zeros else int(np.sort(sizes)[rank - zeros - 1])


# --- drawdown ------------------------------------------------------------------------------------------


@jit
def _largest_drawdown(time_ns: Ints, before: Ints, window_ns: int, waiting: Ints) -> int:
    """Return the most that `before` rises from event i to after event j, `time[j] - time[i] <= window`.

    `before[i]` are the live pages before event i, one more value is those at the end. `waiting` is scratch:
    the events that may still be the window's least, in the order of time and of their values.
    """
    largest, head, tail = 0, 0, 0
    for j in range(len(time_ns)):
        while tail > head and before[waiting[tail - 1]] >= before[j]:
            tail -= 1
        waiting[tail] = j
        tail += 1
        while time_ns[j] - time_ns[waiting[head]] > window_ns:
            head += 1
        largest = max(largest, before[j + 1] - before[waiting[head]])
    return largest


def drawdown_table(trace: Trace, windows_ns: tuple[int, ...] | None = None) -> pd.DataFrame:
    """Return how deep the demand draws down a cache of pages, by the length of time that it must last.

    A cache that is only filled by frees and only emptied by allocations holds fewer pages by every
    allocation beyond the frees. The *drawdown* of a window of time is the most by which allocations exceed
    frees between its start and any event in it, and at least 0: with so many pages cached at its start, no
    allocation in it needs a refill; in a LIFO cache, what lies deeper is not touched. That is the working
    set of the slab allocator's depot (J. Bonwick, J. Adams, "Magazines and Vmem", USENIX ATC 2001, which
    takes windows of 15 s and reaps what was not touched). The largest drawdown as a function of the window
    is the demand's burstiness constraint (R. L. Cruz, "A calculus for network delay, part I", IEEE Trans.
    Inf. Theory 37, 1991).

    The trace's **natural cache size** is the largest drawdown of any window of 1 s.

    Parameters
    ----------
    trace : Trace
        The trace.
    windows_ns : tuple of int, optional
        Lengths of the windows; unless told 1, 2, 5, 10 ... ms, up to the trace's length.

    Returns
    -------
    DataFrame
        A row per length: `window_seconds`, `windows` (how many of them, back to back from the first event
        on, the trace has), `largest_pages` (of all windows, wherever they start; exact), and
        `median_pages`, `p90_pages`, `p99_pages` (of those back to back, the ones without events
        among them).
    """
    import pandas as pd

    time_ns, before = _net_demand(trace)
    if windows_ns is None:
        windows_ns = _window_lengths(trace.duration_ns) if len(time_ns) else ()
    scratch = np.empty(len(time_ns), np.int64)
    rows = []
    for window_ns in windows_ns:
        depths, nr_empty = _back_to_back(time_ns - trace.time_ns[:1], before, window_ns, trace.duration_ns)
        quantiles = {f"p{part}_pages": percentile(depths, part / 100, nr_empty) for part in (50, 90, 99)}
        largest = int(_largest_drawdown(time_ns, before, window_ns, scratch))
        window = {"window_seconds": window_ns / NS, "windows": len(depths) + nr_empty}
        rows.append({**window, "largest_pages": largest, **quantiles})
    columns = ["window_seconds", "windows", "largest_pages", "p50_pages", "p90_pages", "p99_pages"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"p50_pages": "median_pages"})


def _net_demand(trace: Trace) -> tuple[Ints, Ints]:
    """Return the times of allocations and frees, and the net demand before each and at the end."""
    step = steps(trace)
    moving = np.flatnonzero(step)
    return trace.time_ns[moving], np.concatenate(([0], np.cumsum(step[moving], dtype=np.int64)))


def _window_lengths(duration_ns: int) -> tuple[int, ...]:
    """Return 1, 2, 5, 10 ... ms, the last one the first that is at least as long as the trace."""
    lengths: list[int] = []
    for number in count():
        length = SHORTEST_WINDOW_NS * (1, 2, 5)[number % 3] * 10 ** (number // 3)
        lengths.append(min(length, MOST_NS))
        if length >= duration_ns:
            break
    return tuple(lengths)


def _back_to_back(time_ns: Ints, before: Ints, window_ns: int, duration_ns: int) -> tuple[Ints, int]:
    """Return the drawdown of each window that has events, sorted, and how many windows have none."""
    window = time_ns // window_ns
    first = np.flatnonzero(np.append(True, np.diff(window) > 0)) if len(window) else np.empty(0, np.int64)
    number = duration_ns // window_ns + 1
    if not len(first):
        return np.empty(0, np.int64), number
    depths = np.maximum.reduceat(before[1:], first) - before[first]
    return np.sort(np.maximum(depths, 0)), number - len(first)


def natural_cache_pages(trace: Trace, window_ns: int = NATURAL_WINDOW_NS) -> int:
    """Return the natural cache size in pages: the largest `drawdown_table` has of windows of 1 s."""
    time_ns, before = _net_demand(trace)
    return int(_largest_drawdown(time_ns, before, window_ns, np.empty(len(time_ns), np.int64)))


# --- pressure ------------------------------------------------------------------------------------------


def passes_table(trace: Trace, windows: int = 120) -> pd.DataFrame:
    """Return the shrinker passes over time, by priority.

    Returns
    -------
    DataFrame
        A row per window of time, kind and priority that occurs in it: `from_seconds`, `to_seconds`, `kind`
        (`pass`, or `drop_slab`, whose priority is 0), `priority` (0 is the hardest pressure), `passes`.
    """
    import pandas as pd

    columns = ["from_seconds", "to_seconds", "kind", "priority", "passes"]
    where = np.flatnonzero((trace.op == OP_SHRINK) | (trace.op == OP_DROP))
    if not len(where):
        return pd.DataFrame(columns=columns)
    edges, bounds = _windows(trace, windows)
    window = np.searchsorted(bounds, where, side="right") - 1
    frame = pd.DataFrame(
        {
            "from_seconds": edges[window],
            "to_seconds": edges[window + 1],
            "kind": np.where(trace.op[where] == OP_DROP, "drop_slab", "pass"),
            "priority": trace.arg[where].astype(np.int64),
        }
    )
    return frame.groupby(columns[:4]).size().rename("passes").reset_index()
