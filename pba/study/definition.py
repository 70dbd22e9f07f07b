"""What a study is: traces, machines, aims, search space, budget, seed, and how to decide.

`pba.study.study_file` reads it from a TOML file; `pba.study.asked` makes it of arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pba.machine import ALL_FREE, Start
from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.generated import Generated

THRESHOLD_NAMES: Final = ("unshrinkable_pages", "shrink_block_min_pages", "batch")
"""The three thresholds, in the order of `pba.Thresholds`."""

SAMPLERS: Final = ("tpe", "nsga2", "random")
"""Samplers that `pba.study.search` knows."""

BLOCK_NR_PAGES_4K: Final = 512
"""`BLOCK_NR_PAGES` on 4 KiB pages: the scale on which a study states M and B."""


@dataclass(frozen=True)
class Range:
    """The values that a search may give to one threshold.

    Attributes
    ----------
    low, high : int
        Least and greatest value in pages (M and B as for 4 KiB pages), both included.
    log : bool
        Whether the search is even on a log scale: a step from 8 to 16 then counts as one from 512 to 1024.
    """

    low: int
    high: int
    log: bool

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def __len__(self) -> int:
        return self.high - self.low + 1


DEFAULT_SPACE: Final[dict[str, Range]] = {
    "unshrinkable_pages": Range(4, 16384, True),
    "shrink_block_min_pages": Range(1, 512, False),
    "batch": Range(8, 8192, True),
}
"""What is searched by default.

U begins at `PBA_NR_RESERVED_PAGES`, below which a pass would take what splitting the linear map needs,
and ends at 16384 (64 MiB of 4 KiB pages), where hardly any cache is shrunk. M has all its range, up to a
whole block, and is searched evenly: on a log scale the last sixteenth of it, where only a nearly empty block
is split, would get one point in a hundred. B begins at 8, below which passes only get slower, and ends at 16
blocks.
"""


NO_FILE: Final = "this study"
"""What messages call a study that has no file."""

RULE_NAMES: Final = ("fewest-within", "no-worse-anywhere", "least-regret", "least-product")
"""Rules that `pba.study.decision.rules` knows, the default first."""
MOST_AIMS: Final = 3
"""More aims than this leave hardly a point that another beats."""


@dataclass(frozen=True)
class Choice:
    """How a study decides.

    Attributes
    ----------
    rule : str
        One of `RULE_NAMES`.
    loss : float
        How far from the best score a point may be and still belong to the region, in shares of the patch's.
    within : float
        For `fewest-within`: how far the further aims may lie above the patch's, as a share.
    """

    rule: str = RULE_NAMES[0]
    loss: float = 0.05
    within: float = 0.0


@dataclass(frozen=True)
class Limit:
    """What a figure may be at least and at most; None for no end."""

    least: float | None = None
    most: float | None = None

    def violation(self, value: float) -> float:
        """Return how far a value is beyond the limit: 0 or less where it is kept."""
        below = self.least - value if self.least is not None else -float("inf")
        above = value - self.most if self.most is not None else -float("inf")
        return max(below, above)


DEFAULT_CONSTRAINTS: Final[dict[str, Limit]] = {"deadlocks": Limit(most=0), "pages_leaked": Limit(most=0)}
"""What no recommended point may do."""


@dataclass(frozen=True)
class StudyDefinition:
    """What a study file says.

    Attributes
    ----------
    name : str
        Short name; the run's folder is named after it.
    description : str
        What the study asks, in a sentence or two.
    traces : tuple of str
        Names or patterns of recordings that come with pba (`*`, `chromium`), or paths of trace files,
        relative to the study file.
    page_size_kib : int, optional
        Page size of the simulated machines; None takes each trace's own.
    memory_bytes : int, optional
        Memory of the simulated machines in bytes; None takes each trace's own.
    linear_map : str
        Largest leaf of the linear map; empty takes the largest that the page size has.
    start : Start
        What of each machine's memory is free when a replay starts.
    space : dict of str to Range
        The values to search, by threshold; M and B as for 4 KiB pages.
    points : int
        How many distinct points to try, the patch's included.
    seed : int
        Seed of the search's random numbers.
    sampler : {"tpe", "nsga2", "random"}
        How the search chooses its points.
    held_out : tuple of str
        As `traces`: recordings that have no say in the search and in the choice, on which it is tried.
    aims : tuple of Aim
        What is minimised or maximised, the most important first.
    constraints : dict of str to Limit
        What figures (names of `pba.study.aims.KNOWN_AIMS`) a recommended point must keep.
    choice : Choice
        How the study decides.
    groups : dict of str to tuple of str
        Names or patterns of the study's recordings, by the group's name; empty for a group a machine class.
    sweep : bool
        Whether every point of a grid is evaluated as well, which the decision then rests on.
    generated : tuple of Generated
        Traces that are generated for the study, beside `traces`.
    path : Path, optional
        The file that said so; None for a study without a file.
    folder : Path, optional
        What paths of traces are relative to; the file's folder by default.
    """

    name: str
    description: str = ""
    traces: tuple[str, ...] = ("*",)
    page_size_kib: int | None = None
    memory_bytes: int | None = None
    linear_map: str = ""
    start: Start = ALL_FREE
    space: Mapping[str, Range] = field(default_factory=lambda: dict(DEFAULT_SPACE))
    points: int = 320
    seed: int = 1
    sampler: str = "tpe"
    held_out: tuple[str, ...] = ()
    aims: tuple[Aim, ...] = DEFAULT_AIMS
    constraints: Mapping[str, Limit] = field(default_factory=lambda: dict(DEFAULT_CONSTRAINTS))
    choice: Choice = field(default_factory=Choice)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sweep: bool = True
    generated: tuple[Generated, ...] = ()
    path: Path | None = field(default=None, compare=False)
    folder: Path | None = field(default=None, compare=False)

    def with_(self, **changes: Any) -> StudyDefinition:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    @property
    def where(self) -> str:
        """What messages call it: its file, or that it has none."""
        return NO_FILE if self.path is None else str(self.path)

    @property
    def base(self) -> Path:
        """The folder that paths of traces are relative to."""
        if self.folder is not None:
            return self.folder
        return Path() if self.path is None else self.path.parent

    @property
    def space_size(self) -> int:
        """How many distinct points the space has."""
        product = 1
        for name in THRESHOLD_NAMES:
            product *= len(self.space[name])
        return product
