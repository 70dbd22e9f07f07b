"""The simulated machine, what of its memory is free at the start, and the shrinker's thresholds.

What each number means, its unit and its range.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any, Final

from pba import shown
from pba.errors import MachineError, ThresholdError, option
from pba.units import KIB, format_bytes

LINEAR_MAPS: Final = ("pmd", "contpmd", "pud")
"""Largest leaf allowed in the linear map, smallest first."""
MAX_MEMORY_PAGES: Final = (1 << 31) - (1 << 13)
"""Page frame numbers, and the heads of the free lists after them, are kept in 32 bits."""
DEFAULT_MEMORY_BYTES: Final = 4 << 30


@dataclass(frozen=True)
class PageSizeOrders:
    """The orders (log2 of a number of base pages) that follow from arm64's base page size.

    Sources: arch/arm64/include/asm/pgtable-hwdef.h (`PMD_SHIFT`, `CONT_PTE_SHIFT`, `CONT_PMD_SHIFT`,
    `PUD_SHIFT`), arch/arm64/Kconfig (`ARCH_FORCE_MAX_ORDER`), v6 14/30 (`refill_orders`).
    """

    block: int
    refill: tuple[int, int, int]
    contpte: int
    contpmd: int
    pud: int
    max_page: int
    largest_leaf: str


ORDERS: Final[dict[int, PageSizeOrders]] = {
    4: PageSizeOrders(9, (9, 4, 2), 4, 13, 18, 10, "pud"),
    16: PageSizeOrders(11, (11, 7, 2), 7, 16, 22, 11, "contpmd"),
    64: PageSizeOrders(13, (9, 5, 2), 5, 18, 26, 13, "contpmd"),
}
"""Base page size in KiB -> orders."""


SHARE_UNIT: Final = 1_000_000
"""A share of memory is kept in parts per million: figures are whole numbers."""
_FRAGMENTED: Final = re.compile(r"fragmented:([0-9.]+)(?::([0-9]+))?")


@dataclass(frozen=True)
class Start:
    """What of a machine's memory is free when a replay starts; by default all of it.

    Parameters
    ----------
    from_trace : bool
        What was free when the trace was recorded (`/proc/buddyinfo`); see `pba.model.starting_memory`.
    fragmented : float, optional
        Half of memory is free, and so much of that, 0 to 1, lies outside of whole free blocks, as exactly as
        whole blocks allow; see `pba.kernel.fragment.fragmented_memory`.
    seed : int
        Seed of the demand that leaves memory so, 0 to 2**32 - 1; 0 where nothing is fragmented.

    Raises
    ------
    MachineError
        If memory cannot start like this.

    Examples
    --------
    >>> import pba
    >>> machine = pba.Machine(4, 262144, start=pba.Start(fragmented=0.5, seed=7))
    >>> print(machine.start)
    half of memory free, 50 % of it outside of whole blocks (seed 7)
    """

    from_trace: bool = False
    fragmented: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        share = self.fragmented
        if share is None:
            object.__setattr__(self, "seed", 0)
            return
        if self.from_trace:
            raise MachineError(
                "memory cannot start both as it was recorded and fragmented anew",
                f"say {option('memory_from_trace', True)} or {option('fragmented', share)}",
            )
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise MachineError(
                f"{option('fragmented', share)} is out of range",
                "it is the share of the free memory outside of whole free blocks: 0 to 1",
            )
        object.__setattr__(self, "fragmented", round(share * SHARE_UNIT) / SHARE_UNIT)
        seed = _whole(self.seed)
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 32:
            raise MachineError(f"{option('seed', self.seed)} is out of range", "use 0 to 4294967295")
        object.__setattr__(self, "seed", seed)

    @classmethod
    def of(cls, code: str | Start) -> Start:
        """Return the start of a code (`code`), or one that is none itself.

        Raises
        ------
        MachineError
            If there is no such start.
        """
        if isinstance(code, cls):
            return code
        found = _FRAGMENTED.fullmatch(code) if isinstance(code, str) else None
        try:
            if found is not None:
                return cls(fragmented=float(found[1]), seed=int(found[2] or 0))
            return {"free": cls(), "trace": cls(from_trace=True)}[str(code)]
        except (KeyError, ValueError):
            raise MachineError(
                f"start {code!r:.60} is unknown", 'use "free", "trace" or "fragmented:0.5:SEED", or pba.Start'
            ) from None

    @property
    def code(self) -> str:
        """It in a word, for tables and JSON: `free`, `trace`, or `fragmented:0.5:7` with its seed."""
        if self.fragmented is not None:
            return f"fragmented:{self._share:f}".rstrip("0").rstrip(".") + f":{self.seed}"
        return "trace" if self.from_trace else "free"

    @property
    def share_ppm(self) -> int:
        """The share of the free memory outside of whole blocks, in parts per million."""
        return round(self._share * SHARE_UNIT)

    @property
    def _share(self) -> float:
        return 0.0 if self.fragmented is None else self.fragmented

    def __str__(self) -> str:
        if self.fragmented is not None:
            share = f"{100 * self._share:.4f}".rstrip("0").rstrip(".")
            return f"half of memory free, {share} % of it outside of whole blocks (seed {self.seed})"
        return "what was free when it was recorded" if self.from_trace else "all memory free"


ALL_FREE: Final = Start()


@dataclass(frozen=True)
class Machine:
    """A machine with one zone of memory and a linear map.

    Parameters
    ----------
    page_size_kib : {4, 16, 64}
        Base page in KiB.
    memory_pages : int, optional
        Pages of memory; a multiple of `2**MAX_PAGE_ORDER` (1024, 2048 or 8192 pages). By default 4 GiB.
    linear_map : {"pud", "contpmd", "pmd"}, optional
        The largest leaf that the linear map may use at the start; by default the largest that
        the page size has ("pud" for 4 KiB, "contpmd" for 16 and 64 KiB).
    start : Start or str, optional
        What of its memory is free at the start, or the `code` of that; by default all.

    Raises
    ------
    MachineError
        If no such machine exists.
    """

    page_size_kib: int = 4
    memory_pages: int = None  # type: ignore[assignment]  # replaced at once: a machine's is a number
    linear_map: str = ""
    start: Start = ALL_FREE

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", Start.of(self.start))
        if self.page_size_kib not in ORDERS:
            raise MachineError(
                f"page size {self.page_size_kib} KiB does not exist on arm64", "use 4, 16 or 64"
            )
        orders = self.orders
        chunk = 1 << orders.max_page
        object.__setattr__(self, "page_size_kib", int(self.page_size_kib))
        pages = self.memory_pages
        pages = DEFAULT_MEMORY_BYTES // self.page_size_bytes if pages is None else _whole(pages)
        object.__setattr__(self, "memory_pages", pages)
        if isinstance(pages, bool) or not isinstance(pages, int):
            raise MachineError(f"memory of {self.memory_pages!r} is not a whole number of pages")
        if self.memory_pages > MAX_MEMORY_PAGES:
            raise MachineError(
                "so much memory is too large for the model",
                f"at most {MAX_MEMORY_PAGES} pages, {format_bytes(MAX_MEMORY_PAGES * self.page_size_bytes)}",
            )
        if self.memory_pages <= 0 or self.memory_pages % chunk:
            nearest = max(chunk, round(self.memory_pages / chunk) * chunk)
            raise MachineError(
                f"memory of {self.memory_pages} pages is not a multiple of {chunk} pages "
                f"(2**MAX_PAGE_ORDER at {self.page_size_kib} KiB)",
                f"the nearest is {nearest} pages, {format_bytes(nearest * self.page_size_bytes)}",
            )
        if not self.linear_map:
            object.__setattr__(self, "linear_map", orders.largest_leaf)
        if self.linear_map not in LINEAR_MAPS:
            raise MachineError(f"linear map {self.linear_map!r} is unknown", "use " + ", ".join(LINEAR_MAPS))
        if LINEAR_MAPS.index(self.linear_map) > LINEAR_MAPS.index(orders.largest_leaf):
            raise MachineError(
                f"the linear map has no {self.linear_map} leaves on {self.page_size_kib} KiB pages",
                f"the largest leaf there is {orders.largest_leaf}",
            )

    @property
    def orders(self) -> PageSizeOrders:
        """Orders of this page size."""
        return ORDERS[self.page_size_kib]

    @property
    def page_size_bytes(self) -> int:
        """Base page in bytes."""
        return self.page_size_kib * KIB

    @property
    def block_nr_pages(self) -> int:
        """`BLOCK_NR_PAGES`: pages that one PMD leaf maps (512, 2048 or 8192)."""
        return 1 << self.orders.block

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes."""
        return self.memory_pages * self.page_size_bytes

    @classmethod
    def from_bytes(
        cls, page_size_kib: int, memory_bytes: int, linear_map: str = "", start: Start = ALL_FREE
    ) -> Machine:
        """Make the machine whose memory is nearest to `memory_bytes` (at least one largest chunk)."""
        if page_size_kib not in ORDERS:
            return cls(page_size_kib)  # raises, with the reason
        chunk = 1 << ORDERS[page_size_kib].max_page
        pages = memory_bytes // (page_size_kib * KIB)
        return cls(page_size_kib, max(chunk, (pages + chunk // 2) // chunk * chunk), linear_map, start)

    @property
    def at_rest(self) -> Machine:
        """The same with all memory free at the start: what its arrays, and what was recorded, are kept by."""
        return self if self.start == ALL_FREE else replace(self, start=ALL_FREE)

    def to_dict(self) -> dict[str, int | str]:
        """Return the parameters, as JSON takes them; the start by its code, unless all memory is free."""
        known: dict[str, int | str] = {
            "page_size_kib": self.page_size_kib,
            "memory_pages": self.memory_pages,
            "linear_map": self.linear_map,
        }
        return known if self.start == ALL_FREE else {**known, "start": self.start.code}

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show it in Jupyter."""
        block = f"{self.block_nr_pages} pages, {format_bytes(self.block_nr_pages * self.page_size_bytes)}"
        memory = f"{format_bytes(self.memory_bytes)} ({self.memory_pages:,} pages)"
        rows = (("memory", memory), ("page", f"{self.page_size_kib} KiB"), ("block", block))
        more = () if self.start == ALL_FREE else (("at the start", str(self.start)),)
        return shown.html(
            "Machine", shown.pairs((*rows, ("largest leaf of the linear map", self.linear_map), *more))
        )

    def __str__(self) -> str:
        told = "" if self.start == ALL_FREE else f", {self.start}"
        return (
            f"{format_bytes(self.memory_bytes)} of {self.page_size_kib} KiB pages, "
            f"{self.linear_map} linear map{told}"
        )


@dataclass(frozen=True)
class Thresholds:
    """The three thresholds of the shrinker of v6 17/30 (mm/kpkeys_hardened_pgtables.c).

    Parameters
    ----------
    unshrinkable_pages : int
        `PBA_UNSHRINKABLE_PAGES`: cached pages that the shrinker never takes, in pages.
    shrink_block_min_pages : int
        `PBA_SHRINK_BLOCK_MIN_PAGES`: a block with fewer free pages is never split to be shrunk, in pages;
        1 to `BLOCK_NR_PAGES`.
    batch : int
        `shrinker->batch`: pages that one `pba_shrink_scan()` is asked for, and the least amount of work
        that `do_shrink_slab()` starts for (unless it could take everything), in pages.
    """

    unshrinkable_pages: int = 16
    shrink_block_min_pages: int = 64
    batch: int = 512

    def __post_init__(self) -> None:
        for name in ("unshrinkable_pages", "shrink_block_min_pages", "batch"):
            object.__setattr__(self, name, _whole(getattr(self, name)))

    @classmethod
    def patch(cls, machine: Machine) -> Thresholds:
        """Return the values of the patch as posted: 16, `BLOCK_NR_PAGES / 8`, `BLOCK_NR_PAGES`."""
        return cls(16, machine.block_nr_pages // 8, machine.block_nr_pages)

    def check(self, machine: Machine) -> None:
        """Raise `ThresholdError` if a threshold is out of its range on this machine."""
        ranges = {
            "unshrinkable_pages": (0, machine.memory_pages, ""),
            "shrink_block_min_pages": (1, machine.block_nr_pages, ""),
            "batch": (1, machine.memory_pages, "the kernel reads 0 as SHRINK_BATCH: say 128 for that"),
        }
        for name, (low, high, note) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ThresholdError(f"{name} = {value!r} is not a whole number of pages")
            if not low <= value <= high:
                hint = f"it ranges from {low} to {high} pages on {machine}"
                raise ThresholdError(f"{name} = {value} is out of range", f"{hint}; {note}" if note else hint)

    def to_dict(self) -> dict[str, int]:
        """Return the three values, as JSON takes them."""
        return asdict(self)

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show them in Jupyter, by letter and by the kernel's name."""
        names = {"U": "PBA_UNSHRINKABLE_PAGES", "M": "PBA_SHRINK_BLOCK_MIN_PAGES", "B": "shrinker->batch"}
        rows = [
            (*pair, f"{value:,}") for pair, value in zip(names.items(), self.to_dict().values(), strict=True)
        ]
        return shown.html("Thresholds", shown.table(("", "in the kernel", "pages"), rows))

    def __str__(self) -> str:
        return f"U={self.unshrinkable_pages} M={self.shrink_block_min_pages} B={self.batch}"


def _whole(value: Any) -> Any:
    """Return a whole number of any type (NumPy's, `16.0`) as an int, which JSON takes; others as they are."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


def memory_words(memory_pages: int, page_size_kib: int) -> str:
    """Return a recorded machine's memory in words, as the machine that simulates it has it: whole largest chunks.

    A recording knows the pages that its kernel managed, a little less than what was built in: 261,999 pages of 4 KiB
    are `1 GiB` here as everywhere.
    """
    size = memory_pages * page_size_kib * KIB
    return format_bytes(
        Machine.from_bytes(page_size_kib, size).memory_bytes if page_size_kib in ORDERS else size
    )
