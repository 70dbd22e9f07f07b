"""Small traces that several tests use."""

from __future__ import annotations

import numpy as np

import pba
from pba.events import LEVELS, OP_ALLOC


def sawtooth(teeth: int = 4, pages: int = 900) -> pba.Trace:
    """Return a trace that allocates and frees `pages` pages time and again, with pressure in between."""
    rows: list[tuple[int, int, int, int]] = []
    now = 1000
    for tooth in range(teeth):
        keep = range(0, pages, 97)  # a few stay, so that blocks are never quite empty
        for at in range(pages):
            now += 700
            rows.append((now, 0, tooth * pages + at, 0))
        for at in range(pages):
            if at in keep and tooth % 2:
                continue
            now += 300
            rows.append((now, 1, tooth * pages + at, 0))
        for priority in (4, 2, 0):
            now += 50_000
            rows.append((now, 2, 0, priority))
    names = ("time_ns", "op", "id", "arg")
    return pba.Trace.from_arrays(dict(zip(names, np.array(rows).T, strict=True)))


def events_shown(trace: pba.Trace) -> list[tuple[str, int, str]]:
    """Return the op, page frame and level of each event, as users see them."""
    frame = trace.to_frame()
    return list(zip(frame["op"], frame["pfn"], frame["level"], strict=True))


def levels(trace: pba.Trace) -> dict[str, int]:
    """Return how many pages of each level a trace allocates."""
    counts = np.bincount(trace.level[trace.op == OP_ALLOC], minlength=len(LEVELS))
    return {name: int(count) for name, count in zip(LEVELS, counts, strict=True) if count}
