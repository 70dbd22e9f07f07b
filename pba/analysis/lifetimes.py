"""How long page-table pages live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_entry
from pba.analysis.pages import ALL, NS, Ints, at_start, level_names, levels_of, pairs, until
from pba.trace.table import Trace

if TYPE_CHECKING:
    import pandas as pd


HALF: Final = 0.5 + 1e-12
"""A survival of one half, and of what is rounded in it."""
SLACK: Final = 1e-9
"""By how much the bounds of a survival may be wrong from being rounded."""
FINENESS: Final = 1 << 14
"""Classes of lifetimes for each doubling."""
NR_CLASSES: Final = 50 * FINENESS
"""Classes up to 2**62 ns."""
STEPS: Final = 1 << 18
"""Steps that the ages around the median are counted in."""


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
    return end - trace.time_ns[allocated_by], freed, levels_of(trace)[allocated_by]


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
    nr_freed = np.diff(np.append(until(died, first.astype(np.int64)), died.sum()))
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
    for name, code in {ALL: -1, **level_names(codes)}.items():
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
    ages = np.unique(lifetime_ns)
    died = np.bincount(np.searchsorted(ages, lifetime_ns[freed]), minlength=len(ages))
    left = np.bincount(np.searchsorted(ages, lifetime_ns[~freed]), minlength=len(ages))
    reached = np.flatnonzero(_survival_at(died, left, len(lifetime_ns)) <= HALF)
    return int(ages[reached[0]]) if len(reached) else None


def _survival_at(died: Ints, left: Ints, pages: int) -> NDArray[np.float64]:
    """Return the survival at rising ages, where pages are censored (`left`) at no other age.

    From one age at which pages are censored to the next the product of Kaplan and Meier is the share of those
    pages that are left, so that ages at which pages die may be taken together.
    """
    after = pages - np.cumsum(died) - np.append(0, np.cumsum(left)[:-1]) if len(died) else died
    ends = np.flatnonzero(left)
    begins_with = np.append(pages, after[ends] - left[ends])
    before = np.append(1.0, np.cumprod(after[ends] / np.maximum(begins_with[:-1], 1)))
    segment = np.searchsorted(ends, np.arange(len(died)))
    # Where no page is left to die, the survival stays as it is.
    share = np.where(begins_with[segment] > 0, after / np.maximum(begins_with[segment], 1), 1.0)
    return np.asarray(before[segment] * share, np.float64)


class LifetimeTally:
    """Finds the median lifetime of a trace that goes by block by block, more than once.

    The first time it counts lifetimes in classes whose width is at most a 16,384th of theirs (8 MiB). That
    tells between which two ages the median lies, whatever the order of deaths and censorings within a class.
    Each further time it counts the deaths between those two in 2**18 steps, and those before by the ages at
    which pages are censored, until a step is 1 ns: the result is exact.

    Attributes
    ----------
    pages : int
        Pages whose allocation was seen.
    """

    def __init__(self) -> None:
        self.pages = 0
        self._classes = np.zeros(NR_CLASSES, np.int64)

    def take(self, step: NDArray[np.int8], age_ns: Ints) -> None:
        """Count what `pba.trace.live.LiveIds.take` returned of the next events."""
        self.pages += int(np.count_nonzero(step > 0))
        _count_classes(age_ns, self._classes)

    def median_ns(self, censored_ns: Ints, again: Callable[[], Iterator[Ints]]) -> int | None:
        """Return what `median_lifetime_ns` describes.

        Parameters
        ----------
        censored_ns : ndarray of int64, shape (live pages,)
            The lifetimes, sorted, of the pages that are live at the end.
        again : callable
            Yields each block's `age_ns` once more.
        """
        zone = self._zone(censored_ns)
        while zone is not None:  # it may yet turn out that there is no median in it
            zone = self._narrowed(zone, censored_ns, again())
            if zone is not None and zone[1] - zone[0] == 1:
                return zone[1]
        return None

    def _zone(self, censored_ns: Ints) -> tuple[int, int] | None:
        """Return two ages: the median, if there is one, is above the first and not above the other."""
        left = np.zeros(NR_CLASSES, np.int64)
        _count_classes(censored_ns, left)
        places = np.flatnonzero(self._classes + left)
        died, left = self._classes[places], left[places]
        before = self.pages - np.append(0, np.cumsum(died + left)[:-1])[: len(places)]
        most = np.cumprod((before - died) / np.maximum(before, 1))
        least = np.cumprod((before - left - died) / np.maximum(before - left, 1))
        first, last = np.flatnonzero(least <= HALF + SLACK), np.flatnonzero(most <= HALF - SLACK)
        if not len(first):
            return None
        end = int(places[last[0]] if len(last) else places[-1])
        return _ages_of(int(places[first[0]]))[0] - 1, _ages_of(end)[1]

    def _narrowed(
        self, zone: tuple[int, int], censored_ns: Ints, blocks: Iterator[Ints]
    ) -> tuple[int, int] | None:
        """Return a zone with the median that is a 2**18th as long, if there is a median."""
        low, high = zone
        pitch = -(-(high - low) // STEPS)
        steps = np.append(np.arange(low, high, pitch, dtype=np.int64), high)
        ages, left = np.unique(censored_ns[censored_ns <= high], return_counts=True)
        edges = np.union1d(ages, steps)
        died, at_edge = np.zeros((2, len(edges)), np.int64)
        at_edge[np.searchsorted(edges, ages)] = left
        for age_ns in blocks:
            _count_between(age_ns, edges, died)
        reached = np.flatnonzero(_survival_at(died, at_edge, self.pages) <= HALF)
        if not len(reached):
            return None
        at = int(reached[0])
        return (int(edges[at - 1]) if at else -1), int(edges[at])


def _ages_of(place: int) -> tuple[int, int]:
    """Return the least and the largest age of a class."""
    shift = max(place // FINENESS - 1, 0)
    least = (place - shift * FINENESS) << shift
    return least, least + (1 << shift) - 1


@kernel_entry
def _count_classes(age_ns: Ints, classes: Ints) -> None:
    """Count each age in its class: exact below `FINENESS`, then `FINENESS` classes for each doubling."""
    for i in range(len(age_ns)):
        age = age_ns[i]
        if age < 0:
            continue
        shift = 0
        for leap in (32, 16, 8, 4, 2, 1):
            if age >> (shift + leap) >= FINENESS:
                shift += leap
        classes[shift * FINENESS + (age >> shift)] += 1


@kernel_entry
def _count_between(age_ns: Ints, edges: Ints, counts: Ints) -> None:
    """Count each age at the first edge that is not below it; those above all edges are not counted."""
    for i in range(len(age_ns)):
        age = age_ns[i]
        if age < 0 or age > edges[-1]:
            continue
        low, high = 0, len(edges) - 1
        while low < high:
            middle = (low + high) >> 1
            if edges[middle] < age:
                low = middle + 1
            else:
                high = middle
        counts[low] += 1
