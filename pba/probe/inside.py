"""`pba.inside`: the simulated kernel's memory, looked into at chosen events of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pba import model, shown
from pba.errors import PbaError
from pba.events import OP_LETTERS
from pba.imports.read import as_trace
from pba.kernel.state import LEAF_PTE, NOT_MANAGED
from pba.machine import Machine, Thresholds
from pba.units import plural

if TYPE_CHECKING:
    import pandas as pd

    from pba.trace.table import Trace

FREE: Final = 0
CACHED: Final = 1
IN_USE: Final = 2
OTHER: Final = 3
WHAT: Final = ("free", "cached", "page table", "other")
"""What a page is, by its code: in the buddy allocator; on the cached list; a page table of the trace; of others, or
a table that a split took."""
LEAVES: Final = ("PTEs", "PMD", "contPMD", "PUD")
"""What maps a block in the linear map, by `LEAF_*` of `pba.kernel.state`."""
MOST_STEPS: Final = 1000


class Step(NamedTuple):
    """Memory after an event.

    Attributes
    ----------
    event : int
        How many events had happened: 0 is right after boot.
    list_blocks : ndarray of int32
        The cached list from its head to its tail, each page by its block.
    pages : ndarray of int8, shape (blocks, pages of a block)
        What each page is (`WHAT`), for the blocks of `Inside.blocks`.
    """

    event: int
    list_blocks: NDArray[np.int32]
    pages: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Inside:
    """Memory at chosen events.

    Attributes
    ----------
    trace_name : str
        What was replayed,
    machine, thresholds : Machine, Thresholds
        and how.
    blocks : tuple of int
        The blocks that hold page tables or cached pages, or are split, at any of the events, in ascending order.
    steps : tuple of Step
        Memory at each of them.
    table : DataFrame
        A row per step: `event`, `seconds` (after the first event), `what` (the last event's letter), `cached` and
        `nonblock` (pages), `pmd_splits` so far.
    per_block : DataFrame
        A row per step and block: `event`, `block`, `managed` (whether the allocator tracks it), `cached`, `in_use`,
        `free`, `other` (pages), `leaf` (what maps it).
    """

    trace_name: str
    machine: Machine
    thresholds: Thresholds
    blocks: tuple[int, ...]
    steps: tuple[Step, ...] = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    per_block: pd.DataFrame = field(repr=False)

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: what was looked at."""
        told = [
            f"after {plural(row['event'], 'event')}: {row['cached']} cached pages, {row['nonblock']} of no block, "
            f"{plural(row['pmd_splits'], 'PMD split')}"
            for row in self.table.to_dict("records")
        ]
        head = f"Inside of {shown.named(self.trace_name)!r} with {self.thresholds}, {plural(len(self.blocks), 'block')}"
        return shown.lines(head, told)


def inside(
    trace: Trace | str | Path,
    events: Sequence[int],
    thresholds: Thresholds | None = None,
    machine: Machine | None = None,
) -> Inside:
    """Replay a trace and look into memory at some of its events.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    events : sequence of int
        After how many events to look: 0 is right after boot.
    thresholds : Thresholds, optional
        The shrinker's thresholds; by default the patch's own.
    machine : Machine, optional
        The machine; by default the one that the trace was recorded on (`pba.machine_of`).

    Returns
    -------
    Inside
        Memory at each of the events; `pba.plot_inside` draws it.

    Raises
    ------
    ThresholdError
        If a threshold is out of its range on this machine.
    PbaError
        If no event is named, more than 1,000 are, or one that the trace does not have.
    """
    trace = as_trace(trace)
    machine = machine or model.machine_of(trace)
    thresholds = thresholds or Thresholds.patch(machine)
    wanted = sorted(set(events))
    if not 1 <= len(wanted) <= MOST_STEPS:
        raise PbaError(f"{plural(len(wanted), 'event')} to look at", f"name 1 to {MOST_STEPS:,}")
    if not 0 <= wanted[0] <= wanted[-1] <= len(trace):
        outside = next(one for one in wanted if not 0 <= one <= len(trace))
        raise PbaError(f"event {outside} is not in {trace.name}", f"it ranges from 0 to {len(trace):,}")
    looks = [_look(found, machine) for found in model.states_at(trace, thresholds, machine, wanted)]
    blocks = np.unique(np.concatenate([look.blocks for look in looks]))
    return Inside(
        trace.name, machine, thresholds, tuple(blocks.tolist()),
        tuple(
            Step(event, look.list_blocks, look.pages.reshape(-1, machine.block_nr_pages)[blocks])
            for event, look in zip(wanted, looks, strict=True)
        ),
        _table(trace, wanted, looks), _per_block(wanted, looks, blocks, machine),
    )  # fmt: skip


class _Look(NamedTuple):
    """Memory at one moment."""

    list_blocks: NDArray[np.int32]
    pages: NDArray[np.int8]  # (N,)
    block_nr_free: NDArray[np.int32]
    leaf: NDArray[np.uint8]
    blocks: NDArray[np.intp]  # those that are worth a look
    counts: tuple[int, int, int]  # cached, of no block, PMD splits


def _look(moment: model.Moment, machine: Machine) -> _Look:
    """Return what there is to see of a state."""
    cached, block = moment.cached, machine.orders.block
    pages = np.full(machine.memory_pages, OTHER, np.int8)
    for order in np.unique(moment.buddy_order[moment.buddy_order >= 0]).tolist():
        starts = np.flatnonzero(moment.buddy_order == order)
        pages[(starts[:, None] + np.arange(1 << order)).reshape(-1)] = FREE
    pages[cached] = CACHED
    pages[moment.live] = IN_USE
    per_block = pages.reshape(-1, 1 << block)
    seen = ((per_block == CACHED) | (per_block == IN_USE)).any(axis=1) | (moment.leaf == LEAF_PTE)
    nonblock = int((moment.block_nr_free[cached >> block] == NOT_MANAGED).sum())
    return _Look(
        cached[::-1] >> block, pages, moment.block_nr_free, moment.leaf, np.flatnonzero(seen),
        (len(cached), nonblock, moment.pmd_splits),
    )  # fmt: skip


def _table(trace: Trace, wanted: Sequence[int], looks: Sequence[_Look]) -> pd.DataFrame:
    """Return a row per step."""
    import pandas as pd

    start = int(trace.time_ns[0]) if len(trace) else 0
    rows = [
        (
            event, (int(trace.time_ns[event - 1]) - start) / 1e9 if event else 0.0,
            OP_LETTERS[int(trace.op[event - 1])] if event else "boot", *look.counts,
        )
        for event, look in zip(wanted, looks, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["event", "seconds", "what", "cached", "nonblock", "pmd_splits"])


def _per_block(
    wanted: Sequence[int], looks: Sequence[_Look], blocks: NDArray[np.intp], machine: Machine
) -> pd.DataFrame:
    """Return a row per step and block."""
    import pandas as pd

    tables = []
    for event, look in zip(wanted, looks, strict=True):
        pages = look.pages.reshape(-1, machine.block_nr_pages)[blocks]
        count = {what: (pages == what).sum(axis=1) for what in (CACHED, IN_USE, FREE, OTHER)}
        tables.append(
            pd.DataFrame(
                {
                    "event": event, "block": blocks, "managed": look.block_nr_free[blocks] != NOT_MANAGED,
                    "cached": count[CACHED], "in_use": count[IN_USE], "free": count[FREE], "other": count[OTHER],
                    "leaf": [LEAVES[leaf] for leaf in look.leaf[blocks].tolist()],
                }
            )
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)
