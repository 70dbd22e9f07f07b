"""What a study can aim at: each figure with its unit, what is better, how recordings add up.

An aim is a figure of one replay, and a way to make one number of the figures of several recordings. The
figure is worked out from the columns that are kept of a replay (`pba.study.objective.row_of`), be they one
number each or arrays of many replays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Figure = Callable[[Mapping[str, Any]], Any]

OVER: Final = {
    "sum": "added up over the recordings",
    "mean": "averaged over the recordings",
    "worst": "of the recording where it is worst",
    "ratio": "as a ratio to the patch's, in the geometric mean of the recordings",
}
"""How one number is made of the figures of several recordings."""
HALF: Final = 0.5
"""What a geometric mean of ratios adds to both figures, so that a recording without a split counts: one that
has none either way is unchanged, one that falls from 1 to 0 counts as a third. Of hundreds it changes
nothing."""


@dataclass(frozen=True)
class Aim:
    """A figure to be small or large.

    Attributes
    ----------
    name : str
        Its name: a key of `KNOWN_AIMS`, or the user's own.
    unit : str
        What it counts.
    direction : {"minimize", "maximize"}
        What is better.
    over : {"sum", "mean", "worst", "ratio"}
        How recordings add up; see `OVER`.
    text : str
        What it means, in a line.
    figure : callable
        Takes what is kept of a replay, by name (`pba.study.objective.row_of`), and returns the figure.
    label : str
        How figures and tables call it; the name by default.
    code : str
        Of an aim with a function of one's own: a hash of that function, by which a run knows it again. It is
        worked out.

    Examples
    --------
    Splits that a refill costs:

        def figure(kept):
            return kept["pmd_splits"] / (1 + kept["refills_block"])

        pba.Aim("splits_per_refill", "splits", over="mean", figure=figure)

    The function is given every counter of a replay by name, and what follows from them; in a sweep as arrays of many
    replays. So it uses operators and NumPy's functions, no `if`.
    """

    name: str
    unit: str = ""
    direction: Literal["minimize", "maximize"] = "minimize"
    over: str = "sum"
    text: str = ""
    figure: Figure | None = None
    label: str = ""
    code: str = ""

    def __post_init__(self) -> None:
        for value, known in ((self.direction, ("minimize", "maximize")), (self.over, tuple(OVER))):
            if value not in known:
                raise ValueError(f"aim {self.name!r}: {value!r} is none of {', '.join(known)}")

    @property
    def sign(self) -> int:
        """1 where less is better, -1 where more is."""
        return 1 if self.direction == "minimize" else -1

    @property
    def title(self) -> str:
        """What figures and tables call it."""
        return self.label or self.name

    def of(self, kept: Mapping[str, Any]) -> Any:
        """Return the figure from what is kept of replays."""
        return kept[self.name] if self.figure is None else self.figure(kept)

    def over_recordings(self, figures: Sequence[ArrayLike], patch: Sequence[ArrayLike]) -> Floats:
        """Make one number of the figures of several recordings, for one point or for many.

        Parameters
        ----------
        figures : sequence of array_like
            For each recording the figures of all points.
        patch : sequence of array_like
            For each recording the figure with the patch's thresholds; only `ratio` looks at it.
        """
        columns = [np.asarray(column, np.float64) for column in figures]
        if self.over == "worst":
            pick = np.max if self.sign > 0 else np.min
            return np.asarray(pick(columns, axis=0), np.float64)
        if self.over == "ratio":
            columns = [
                np.log((column + HALF) / (np.asarray(before) + HALF))
                for column, before in zip(columns, patch, strict=True)
            ]
        # From left to right, so that the bits are the same for one point and for many.
        total = columns[0].copy()
        for column in columns[1:]:
            total += column
        if self.over == "sum":
            return total
        mean = total / len(columns)
        return np.asarray(np.exp(mean) if self.over == "ratio" else mean, np.float64)

    def to_dict(self) -> dict[str, str]:
        """Return all but the function, as JSON takes it."""
        found = {
            "name": self.name, "unit": self.unit, "direction": self.direction, "over": self.over,
            "text": self.text, "label": self.label,
        }  # fmt: skip
        return {**found, "code": self.code} if self.code else found

    def own(self) -> Aim:
        """Return it with the hash of its function: what a study makes of an aim with a function of one's own."""
        code = getattr(self.figure, "__code__", None)
        told = (code.co_code, code.co_consts, code.co_names) if code else getattr(self.figure, "__name__", "")
        return replace(self, code=hashlib.sha256(repr(told).encode()).hexdigest()[:16])


def _known(*aims: Aim) -> dict[str, Aim]:
    return {aim.name: aim for aim in aims}


def _refills(kept: Mapping[str, Any]) -> Any:
    return kept["refills_block"] + kept["refills_mid"] + kept["refills_min"]


def _splits(kept: Mapping[str, Any]) -> Any:
    return kept["pud_splits"] + kept["contpmd_splits"] + kept["pmd_splits"] + kept["contpte_splits"]


KNOWN_AIMS: Final[dict[str, Aim]] = _known(
    Aim("pmd_splits", "splits", text="PMD leaves of the linear map split, for good", label="PMD splits"),
    Aim(
        "mean_cached_pages", "pages", over="mean", label="mean cached pages",
        text="pages held in the allocator's list without being used, weighted by time",
    ),
    Aim(
        "all_splits", "splits", text="PUD, contPMD, PMD and contPTE leaves split, for good", figure=_splits,
        label="splits of all levels",
    ),
    Aim(
        "mean_cached_mib", "MiB", over="mean", label="mean cached MiB",
        text="the same as mean_cached_pages, in MiB: larger pages weigh more",
    ),
    Aim("peak_cached", "pages", over="worst", text="most pages ever cached", label="peak cached pages"),
    Aim("peak_cached_mib", "MiB", over="worst", text="most MiB ever cached", label="peak cached MiB"),
    Aim(
        "pages_released", "pages", "maximize", text="pages that the shrinker gave back to the buddy allocator",
        label="pages given back",
    ),
    Aim(
        "cached_after_passes", "page-passes",
        text="pages that stay cached right after each pass, added up: what pressure asked for and did not get",
        label="pages left after passes",
    ),
    Aim("refills", "refills", text="refills of the list from the buddy allocator", figure=_refills),
    Aim(
        "unprotect_calls", "calls", text="set_memory calls on release, each a TLB flush",
        label="unprotect calls",
    ),
    Aim("scan_calls", "calls", text="calls of pba_shrink_scan", label="scans"),
    Aim(
        "block_mapped_share", "share", "maximize", "mean", label="share still block-mapped",
        text="share of the linear map that PMD leaves or larger still map at the end",
    ),
    Aim("deadlocks", "times", text="refills needed during a refill: the kernel would deadlock"),
    Aim("pages_leaked", "pages", text="pages lost when a release failed half-way", label="leaked pages"),
    Aim("alloc_failures", "pages", text="allocations that failed", label="failed allocations"),
)  # fmt: skip
"""What a study can aim at or bound, by name."""

DEFAULT_AIMS: Final = (KNOWN_AIMS["pmd_splits"], KNOWN_AIMS["mean_cached_pages"])
"""What a study minimises by default."""


def aim_from(given: str | Mapping[str, Any] | Aim) -> Aim:
    """Return the aim that a study file or a caller means: its name, or its name with another `over`.

    Raises
    ------
    KeyError
        If no aim has that name.
    ValueError
        If `over` is not what it can be.
    """
    if isinstance(given, Aim):
        return given
    if isinstance(given, str):
        return KNOWN_AIMS[given]
    return replace(KNOWN_AIMS[given["name"]], over=given.get("over", KNOWN_AIMS[given["name"]].over))
