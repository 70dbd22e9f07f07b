"""By how much allocations exceed frees, and how large a cache would be enough."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry
from pba.analysis.bursts import percentile
from pba.analysis.pages import NS, Ints, steps
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd

NATURAL_WINDOW_NS: Final = 1_000_000_000
"""The window of the natural cache size: 1 s."""
SHORTEST_WINDOW_NS: Final = 1_000_000
"""The shortest window of the drawdown: 1 ms."""
MOST_NS: Final = (1 << 63) - 1
"""The largest time that a trace can hold."""
NET, LARGEST, HEAD, TAIL, NR_STATE = 0, 1, 2, 3, 4
"""Places in the state of `_draw_down`: the net demand, the result, and the ends of what waits."""


class DrawdownTally:
    """Finds the largest drawdown of any window of one length, block by block.

    It holds, of the latest window, what may still be its least: 16 bytes for each live page at most.

    Parameters
    ----------
    window_ns : int
        Length of the windows in ns.
    """

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._state = np.zeros(NR_STATE, np.int64)
        self._waiting_ns, self._waiting = np.empty((2, 0), np.int64)

    @property
    def largest_pages(self) -> int:
        """The largest drawdown so far, in pages."""
        return int(self._state[LARGEST])

    def take(self, time_ns: Ints, step: NDArray[np.int8]) -> None:
        """Take the next events, of which `steps` says what each adds."""
        head, tail = self._state[[HEAD, TAIL]].tolist()
        self._state[HEAD], self._state[TAIL] = 0, tail - head
        if tail - head + len(step) > len(self._waiting):
            room = np.zeros(len(step), np.int64)
            self._waiting_ns = np.concatenate([self._waiting_ns[head:tail], room])
            self._waiting = np.concatenate([self._waiting[head:tail], room])
        else:
            self._waiting_ns[: tail - head] = self._waiting_ns[head:tail].copy()
            self._waiting[: tail - head] = self._waiting[head:tail].copy()
        _draw_down(time_ns, step, self._window_ns, self._state, self._waiting_ns, self._waiting)


@kernel_entry
def _draw_down(
    time_ns: Ints, step: NDArray[np.int8], window_ns: int, state: Ints, waiting_ns: Ints, waiting: Ints
) -> None:
    """Follow the net demand; keep the most that it rises from before an event to after one of its window.

    Waiting are the events that may still be their window's least, in the order of time, and so of the demand
    before them.
    """
    net, largest, head, tail = state[NET], state[LARGEST], state[HEAD], state[TAIL]
    for i in range(len(step)):
        if step[i] == 0:
            continue
        while tail > head and waiting[tail - 1] >= net:
            tail -= 1
        waiting[tail], waiting_ns[tail] = net, time_ns[i]
        tail += 1
        while time_ns[i] - waiting_ns[head] > window_ns:
            head += 1
        net += step[i]
        largest = max(largest, net - waiting[head])
    state[NET], state[LARGEST], state[HEAD], state[TAIL] = net, largest, head, tail


def largest_drawdown(time_ns: Ints, step: NDArray[np.int8], window_ns: int) -> int:
    """Return the largest drawdown in pages of any window of this length."""
    tally = DrawdownTally(window_ns)
    tally.take(time_ns, step)
    return tally.largest_pages


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
        Lengths of the windows; by default 1, 2, 5, 10 ... ms, up to the trace's length.

    Returns
    -------
    DataFrame
        A row per length: `window_seconds`, `windows` (how many of them, back to back from the first event
        on, the trace has), `largest_pages` (of all windows, wherever they start; exact), and
        `median_pages`, `p90_pages`, `p99_pages` (of those back to back, the ones without events
        among them).
    """
    import pandas as pd

    time_ns, step = _moves(trace)
    before = np.concatenate(([0], np.cumsum(step, dtype=np.int64)))
    if windows_ns is None:
        windows_ns = _window_lengths(trace.duration_ns) if len(time_ns) else ()
    rows = []
    for window_ns in windows_ns:
        depths, nr_empty = _back_to_back(time_ns - trace.time_ns[:1], before, window_ns, trace.duration_ns)
        quantiles = {f"p{part}_pages": percentile(depths, part / 100, nr_empty) for part in (50, 90, 99)}
        largest = largest_drawdown(time_ns, step, window_ns)
        window = {"window_seconds": window_ns / NS, "windows": len(depths) + nr_empty}
        rows.append({**window, "largest_pages": largest, **quantiles})
    columns = ["window_seconds", "windows", "largest_pages", "p50_pages", "p90_pages", "p99_pages"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"p50_pages": "median_pages"})


def _moves(trace: Trace) -> tuple[Ints, NDArray[np.int8]]:
    """Return the times of allocations and frees, and what each adds to the live pages."""
    step = steps(trace)
    moving = np.flatnonzero(step)
    return trace.time_ns[moving], step[moving]


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
    return largest_drawdown(*_moves(trace), window_ns)
