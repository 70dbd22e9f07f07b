"""Reclaim that reacts, in place of recorded pressure: its parameters, what they mean, their units and ranges."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from pba.errors import PbaError, option

RECORDED, WATERMARKS = "recorded", "watermarks"
RECLAIM: Final = (RECORDED, WATERMARKS)
"""Where a replay's pressure comes from."""
MOST_KIB: Final = 1_000_000_000
"""A terabyte a second."""


@dataclass(frozen=True)
class Watermarks:
    """Memory pressure that comes about as free memory falls, and ends as it rises: `pba.replay(reclaim=...)`.

    Parameters
    ----------
    min_free_kbytes : int, optional
        `vm.min_free_kbytes`, from which the watermarks min, low and high follow; by default what the kernel sets
        for so much memory.
    thp : bool
        Whether transparent huge pages are on, for which khugepaged raises the kernel's own `min_free_kbytes`.
    page_cache_growth : int
        Page cache that the rest of the system takes, KiB a second.
    page_cache_share : float
        How much of the memory that is held at the start is page cache, 0 to 1. Where all memory is free at the
        start there is none.
    reclaimable_share : float
        How much of the page cache that reclaim looks at is given back, 0 to 1; the rest is in use, or dirty.
    mglru : bool
        Whether kswapd begins at the priority that the multi-gen LRU computes, not at the mildest.

    Raises
    ------
    PbaError
        If a value is out of its range.

    Notes
    -----
    The defaults of the page cache are fitted to the recordings that hold background demand
    (`python -m tests.watermarks`, `data/README.md`).
    """

    min_free_kbytes: int | None = None
    thp: bool = True
    page_cache_growth: int = 2048
    page_cache_share: float = 1.0
    reclaimable_share: float = 1.0
    mglru: bool = False

    def __post_init__(self) -> None:
        for name in ("min_free_kbytes", "page_cache_growth"):
            value = getattr(self, name)
            if value is None and name == "min_free_kbytes":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_KIB:
                raise PbaError(f"{option(name, value)} is out of range", f"it is 0 to {MOST_KIB} KiB")
        for name in ("page_cache_share", "reclaimable_share"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise PbaError(f"{option(name, value)} is out of range", "it is a share: 0 to 1")
        for name in ("thp", "mglru"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise PbaError(f"{option(name, value)} is not possible", "it is true or false")

    @classmethod
    def of(cls, reclaim: str | Watermarks | None) -> Watermarks | None:
        """Return the parameters of a choice of reclaim; None where pressure is the recorded one.

        Raises
        ------
        PbaError
            If there is no such choice.
        """
        if isinstance(reclaim, cls):
            return reclaim
        if reclaim in (None, RECORDED):
            return None
        if reclaim == WATERMARKS:
            return cls()
        raise PbaError(
            f"{option('reclaim', str(reclaim)[:40])} is not possible", f"use {' or '.join(RECLAIM)}"
        )

    def with_(self, **changes: Any) -> Watermarks:
        """Return a copy with some parameters changed."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters, as JSON takes them."""
        return asdict(self)
