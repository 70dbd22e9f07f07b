"""Passes that take nothing, many at once.

Most passes of a trace scan nothing, whatever the thresholds are: all that they do is to put work off
(`shrinker->nr_deferred`), and the pages between them move as if they were not there. So passes and the
stretches before them are joined to eras, level by level, and an era of which no member scans at any pass is
one transfer. The first level has bundles: a long stretch, or short ones that follow on each other. Era `i` of
level `k` has the bundles from `i * fan**k` on, `fan**k` of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_function, kernel_inline
from pba.engine.members import BATCH, DEFERRED, UNSHRINKABLE_PAGES, Member, Members, Span
from pba.engine.state import (
    BUNDLE,
    HARDEST,
    LEAST,
    MOST,
    NEED,
    NEVER,
    NODE,
    NR_FAILED,
    STRETCH,
    SUM,
    EngineState,
)
from pba.engine.stretch import apply, pass_time
from pba.kernel.reclaim import deferred_limit, nr_deferred_after, scan_delta, scans_more, total_scan
from pba.kernel.shrinker import count_shrinkable_pages
from pba.kernel.state import CACHED_AFTER_PASSES, NR_CACHED, SHRINK_CALLS, Flag, Int


@kernel_inline
def _is_quiet(member: Member, era: NDArray[np.int64], base: Int) -> Flag:
    """Whether it is plain to see that a member scans at no pass of an era.

    At a pass with `f` freeable pages it does not if less than its batch and less than `f` is to be scanned:
    `scan_delta(f)`, and what has been put off, shifted. That is never more than before the era or than the
    limit for `f`. (`scans_more(total_scan(...))` for bounds of all that they take.)
    """
    most = base + era[MOST] - member[UNSHRINKABLE_PAGES]
    if most <= 0:
        return True
    put_off = max(member[DEFERRED], deferred_limit(most)) >> era[HARDEST]
    fewest = base + era[LEAST] - member[UNSHRINKABLE_PAGES]
    return put_off + scan_delta(most) < member[BATCH] and (
        put_off == 0 or (fewest > 0 and put_off + scan_delta(fewest) < fewest)
    )


@kernel_function
def _never_scans(engine: EngineState, member: Member, first: Int, end: Int) -> Flag:
    """Whether a member scans at no pass from `first` to before `end`: pass by pass, so exactly."""
    net = engine.composites.net
    base = engine.state.vars[NR_CACHED] - net[first]
    deferred = member[DEFERRED]
    for i in range(first, end):
        freeable = count_shrinkable_pages(base + net[i + 1], member[UNSHRINKABLE_PAGES])
        if freeable > 0:
            total = total_scan(deferred, freeable, np.int64(engine.composites.priority[i]))
            if scans_more(total, member[BATCH], freeable):
                return False
            deferred = nr_deferred_after(deferred, freeable, np.int64(0))
    return True


@kernel_function
def _put_off(engine: EngineState, member: Member, first: Int, end: Int) -> Int:
    """Return a member's `nr_deferred` after the passes from `first` to before `end`, none of which scans.

    This is `nr_deferred_after` pass by pass: each with `f` freeable pages adds `scan_delta(f)`, and leaves at
    most `deferred_limit(f)`. So the last passes decide.
    """
    net = engine.composites.net
    base = engine.state.vars[NR_CACHED] - net[first]
    least = np.int64(NEVER)
    added = np.int64(0)
    for i in range(end, first, -1):
        freeable = count_shrinkable_pages(base + net[i], member[UNSHRINKABLE_PAGES])
        if freeable > 0:
            least = min(least, deferred_limit(freeable) + added)
            added += scan_delta(freeable)
            if added >= least:
                return least
    return min(least, member[DEFERRED] + added)


@kernel_function
def _skip_era(engine: EngineState, members: Members, span: Span, era: Int, end: Int) -> Flag:
    """Go on past an era, from the stretch at hand to before `end`; return whether it can be done at once."""
    composites = engine.composites
    first = engine.progress[STRETCH]
    row = composites.era[era]
    node = row[NODE]
    nr_cached = engine.state.vars[NR_CACHED]
    base = nr_cached - composites.net[first]
    if row[HARDEST] < 0:
        return False
    if node >= 0 and (engine.progress[NR_FAILED] > 0 or nr_cached < composites.node[node, NEED]):
        return False
    for i in range(span.first, span.end):
        if not _is_quiet(members[i], row, base) and (
            era >= composites.era_level[1] or not _never_scans(engine, members[i], first, end)
        ):
            return False
    for i in range(span.first, span.end):
        members[i, DEFERRED] = _put_off(engine, members[i], first, end)
    if node >= 0:
        apply(engine, node)
    last = np.int64(composites.pass_event[end - 1])
    pass_time(engine, np.int64(engine.events.time_ns[last]))
    engine.state.vars[SHRINK_CALLS] += end - first
    engine.state.vars[CACHED_AFTER_PASSES] += (end - first) * base + row[SUM]
    engine.progress[STRETCH] = end
    return True


@kernel_inline
def _is_at_bundle(engine: EngineState) -> Flag:
    """Whether the stretch at hand is the first of a bundle, which `engine.progress` then names."""
    bundle = engine.composites.bundle
    at = engine.progress[BUNDLE]
    while bundle[at] < engine.progress[STRETCH]:
        at += 1
    engine.progress[BUNDLE] = at
    return at + 1 < len(bundle) and bundle[at] == engine.progress[STRETCH]


@kernel_function
def skip_quiet(engine: EngineState, members: Members, span: Span) -> None:
    """Go on past whole eras, the largest first, at whose passes no member of the span scans."""
    bundle = engine.composites.bundle
    starts = engine.composites.era_level
    skipped: Flag = True
    while skipped and _is_at_bundle(engine):
        first = engine.progress[BUNDLE]
        level = 0
        size = np.int64(1)
        while level + 2 < len(starts) and first % (size * engine.fan) == 0:
            if starts[level + 1] + first // (size * engine.fan) >= starts[level + 2]:
                break
            level += 1
            size *= engine.fan
        skipped = False
        while not skipped and level >= 0 and bundle[first + size] - bundle[first] > 1:
            skipped = _skip_era(engine, members, span, starts[level] + first // size, bundle[first + size])
            level -= 1
            size //= engine.fan
