"""How like a recording a generated trace is, and the fit that is as varied as may be and still is like it.

The fit is the same on every machine: distances come of whole numbers by + - * / alone, in an order that is
set, each rounded as IEEE 754 says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from pba.generators.closeness import Closeness, closeness
from pba.generators.fitting import Fit, take_apart
from pba.model import replay
from pba.results import ReplayResult
from pba.trace.table import Trace

CLOSE_KS: Final = 0.05
"""Largest KS distance of lifetimes, of runs of frees and of runs of allocations."""
CLOSE_LIVE: Final = 0.10
"""Largest relative difference of a quantile of the live pages."""
CLOSE_REPLAY: Final = 0.15
"""Largest relative difference of a metric of the replay, or else the slack below."""
SLACK: Final = {
    "pmd_splits": 2,
    "mean_cached_pages": 64,
    "peak_cached": 64,
    "refills": 2,
    "pages_released": 512,
}
"""By how much the metrics may differ in any case: small numbers differ by much of themselves. 64 pages are an
eighth of a block of 4 KiB pages, 512 are one."""
SEEDS: Final = tuple(range(6))
"""Of the traces that must be close."""
MARGIN: Final = 0.75
"""They must be within this part of each limit, so that those of other seeds are within all of it."""
SHUFFLES: Final = (
    *((phases, blocks) for phases in (24, 48, 96, 192, 384, 768) for blocks in (8, 2)),
    (1536, 2),
    (3072, 2),
    (6144, 2),
)
"""Phases and blocks that are tried, those with the longest ways first; at last the recording as it is."""


@dataclass(frozen=True)
class Metric:
    """A figure of the replay with the patch's thresholds, of the recording and of the generated trace."""

    name: str
    recorded: float
    generated: float

    @property
    def off(self) -> float:
        """The relative difference."""
        return abs(self.generated - self.recorded) / max(self.recorded, 1.0)

    @property
    def limit(self) -> float:
        """The largest difference that passes."""
        return max(CLOSE_REPLAY * self.recorded, float(SLACK[self.name]))


@dataclass(frozen=True)
class Likeness:
    """How like its recording a trace is.

    Attributes
    ----------
    demand : Closeness
        Statistics of the demand alone.
    metrics : tuple of Metric
        Figures of the replay.
    """

    demand: Closeness
    metrics: tuple[Metric, ...]

    @property
    def used(self) -> float:
        """The largest part of its limit that any distance takes; up to 1 the trace is like its recording."""
        parts = [self.demand.worst_ks / CLOSE_KS, self.demand.live / CLOSE_LIVE]
        return max(parts + [abs(each.generated - each.recorded) / each.limit for each in self.metrics])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes."""
        return {"demand": self.demand.to_dict(), "replay": [asdict(each) for each in self.metrics]}


def metrics_of(result: ReplayResult) -> dict[str, float]:
    """Return the figures of a replay that are compared."""
    counters = result.counters
    refills = sum(counters[f"refills_{order}"] for order in ("block", "mid", "min"))
    return {
        "pmd_splits": counters["pmd_splits"],
        "mean_cached_pages": result.mean_cached_pages,
        "peak_cached": counters["peak_cached"],
        "refills": refills,
        "pages_released": counters["pages_released"],
    }


def likeness(recording: Trace, generated: Trace, recorded: dict[str, float] | None = None) -> Likeness:
    """Return how like a recording a trace is; `recorded` are the recording's metrics, if they are known."""
    recorded = recorded or metrics_of(replay(recording))
    made = metrics_of(replay(generated))
    metrics = tuple(Metric(name, recorded[name], made[name]) for name in recorded)
    return Likeness(closeness(recording, generated), metrics)


def fit(recording: Trace, show: Callable[[str], None] | None = None) -> tuple[Fit, Likeness]:
    """Take a recording apart so that what is generated is as varied as may be and still is like it.

    Parameters
    ----------
    recording : Trace
        The recording.
    show : callable, optional
        Is told what is tried.

    Returns
    -------
    fit : Fit
        The first of `SHUFFLES` at which the traces of all `SEEDS`, as long as the recording and of its scale,
        are within `MARGIN` of every limit. If they never are, a round is the recording itself, with one
        block.
    likeness : Likeness
        That of the worst of these traces.

    Raises
    ------
    PbaError
        If nothing happens in the recording, or all of it at one time.
    """
    recorded = metrics_of(replay(recording))
    for phases, blocks in SHUFFLES:
        if phases * blocks > min(recording.duration_ns, len(recording)):
            continue
        if show is not None:
            show(f"trying {phases} phases of {blocks} blocks")
        taken = take_apart(recording, phases, blocks)
        found = []
        for like in _likenesses(taken, recorded):
            found.append(like)
            if like.used > MARGIN:
                break
        else:
            return taken, max(found, key=lambda like: like.used)
    taken = take_apart(recording, 1, 1)
    return taken, max(_likenesses(taken, recorded), key=lambda like: like.used)


def _likenesses(taken: Fit, recorded: dict[str, float]) -> Iterator[Likeness]:
    """Yield the likeness of the trace of each seed."""
    for seed in SEEDS:
        yield likeness(taken.recording, taken.recipe(seed=seed).trace(), recorded)


__all__ = ["Likeness", "Metric", "fit", "likeness", "metrics_of"]
