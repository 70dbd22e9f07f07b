"""gfp flags as kernels, perf and bpftrace print them: names joined by `|`, hexadecimal, decimal, or mixed.

Three of them tell a page table. The others' names are known here too, so that flags of a kernel newer than
this reader, and damaged ones, are told and not passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba.tracepoints.classify import GFP_ACCOUNT, GFP_MOVABLE, GFP_ZERO

Ints = NDArray[np.int64]

KNOWN: Final = frozenset({
    "GFP_ACCOUNT", "GFP_ATOMIC", "GFP_CMA", "GFP_COLD", "GFP_COMP", "GFP_DIRECT_RECLAIM", "GFP_DMA",
    "GFP_DMA32", "GFP_FS", "GFP_HARDWALL", "GFP_HIGH", "GFP_HIGHMEM", "GFP_HIGHUSER",
    "GFP_HIGHUSER_MOVABLE", "GFP_IO", "GFP_KERNEL", "GFP_KERNEL_ACCOUNT", "GFP_KSWAPD_RECLAIM",
    "GFP_MEMALLOC", "GFP_MOVABLE", "GFP_NOACCOUNT", "GFP_NOFAIL", "GFP_NOFS", "GFP_NOIO",
    "GFP_NOLOCKDEP", "GFP_NOMEMALLOC", "GFP_NORETRY", "GFP_NOTRACK", "GFP_NOWAIT", "GFP_NOWARN",
    "GFP_NO_KSWAPD", "GFP_NO_OBJ_EXT", "GFP_OTHER_NODE", "GFP_RECLAIM", "GFP_RECLAIMABLE", "GFP_REPEAT",
    "GFP_RETRY_MAYFAIL", "GFP_SKIP_KASAN", "GFP_SKIP_KASAN_POISON", "GFP_SKIP_KASAN_UNPOISON",
    "GFP_SKIP_ZERO", "GFP_TEMPORARY", "GFP_THISNODE", "GFP_TRANSHUGE", "GFP_TRANSHUGE_LIGHT",
    "GFP_USER", "GFP_WAIT", "GFP_WRITE", "GFP_ZERO", "GFP_ZEROTAGS",
})  # fmt: skip
"""Names that include/trace/events/mmflags.h has had, in Android's kernels too, without the two underscores of
single flags, which kernels before 4.6 do not print."""

NO_FLAGS: Final = "none"
"""What is printed where no flag is set."""
MOST_NAMED: Final = 5
"""So many unknown names are told."""

_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,19}", re.ASCII)
_NAME: Final = re.compile(r"_{0,2}GFP_[A-Z0-9_]{1,32}", re.ASCII)
_ACCOUNTED: Final = ("GFP_KERNEL_ACCOUNT", "GFP_ACCOUNT")
_MOVABLE: Final = ("GFP_MOVABLE", "GFP_HIGHUSER_MOVABLE", "GFP_TRANSHUGE", "GFP_TRANSHUGE_LIGHT")


@dataclass(frozen=True)
class Gfp:
    """What an allocation's flags say.

    Attributes
    ----------
    account, zero, movable : bool
        Whether they hold `__GFP_ACCOUNT`, `__GFP_ZERO`, `__GFP_MOVABLE`.
    unknown : tuple of str
        Names of flags that are not in `KNOWN`: a later kernel's. They change nothing of the three.
    readable : bool
        False where a part is neither a number nor the name of a flag: the line is damaged.
    """

    account: bool
    zero: bool
    movable: bool
    unknown: tuple[str, ...] = ()
    readable: bool = True

    @property
    def of_table(self) -> bool:
        """Whether a user's page table has such flags."""
        return self.account and self.zero and not self.movable

    @classmethod
    def parse(cls, text: str, zero_bit: int = GFP_ZERO) -> Gfp:
        """Read flags; `zero_bit` is `__GFP_ZERO` of the kernel, for flags printed as numbers."""
        bits = 0
        names, unknown = set(), []
        readable = True
        for part in text.split("|"):
            name = part.removeprefix("__")
            if _NUMBER.fullmatch(part):
                bits |= int(part, 0)
            elif name in KNOWN:
                names.add(name)
            elif _NAME.fullmatch(part):
                unknown.append(part)
            elif text != NO_FLAGS:
                readable = False
        return cls(
            account=bool(bits & GFP_ACCOUNT) or not names.isdisjoint(_ACCOUNTED),
            zero=bool(bits & zero_bit) or "GFP_ZERO" in names,
            movable=bool(bits & GFP_MOVABLE) or not names.isdisjoint(_MOVABLE),
            unknown=tuple(unknown),
            readable=readable,
        )


@dataclass
class FlagsOfRecording:
    """The different flags of a recording, by the number of their text, and what of them could not be read.

    Attributes
    ----------
    zero_bit : int
        `__GFP_ZERO` of the recorded kernel.
    unreadable : int
        Allocations so far whose flags are damaged.
    unknown : int
        Allocations so far with flags that only a later kernel has.
    first_unknown : int
        Line of the first of these; 0 where there is none.
    """

    zero_bit: int
    unreadable: int = 0
    unknown: int = 0
    first_unknown: int = 0
    _flags: dict[int, Gfp] = field(default_factory=dict)
    _unreadable: list[int] = field(default_factory=list)
    _unknown: list[int] = field(default_factory=list)

    def add(self, number: int, text: str) -> None:
        """Read the flags that have this number."""
        flags = self._flags[number] = Gfp.parse(text, self.zero_bit)
        if not flags.readable:
            self._unreadable.append(number)
        elif flags.unknown:
            self._unknown.append(number)

    def __getitem__(self, number: int) -> Gfp:
        return self._flags[number]

    def of_tables(self, accounted: bool) -> list[int]:
        """Return the numbers of the flags that page tables have; unless `accounted` the kernel's own too."""
        return [
            number
            for number, flags in self._flags.items()
            if flags.zero and not flags.movable and (flags.account or not accounted)
        ]

    def damaged(self, numbers: Ints, lines: Ints) -> NDArray[np.bool_] | None:
        """Say which of some events have damaged flags, None for none of them, and count what is odd.

        `numbers` are those of their flags, -1 for events without any; `lines` are where they stand.
        """
        if self._unknown:
            odd = lines[np.isin(numbers, self._unknown)]
            self.unknown += len(odd)
            if len(odd):
                self.first_unknown = min(self.first_unknown or int(odd[0]), int(odd.min()))
        if not self._unreadable:
            return None
        damaged: NDArray[np.bool_] = np.isin(numbers, self._unreadable)
        self.unreadable += int(damaged.sum())
        return damaged

    def note(self) -> str:
        """Return what a reader of figures should know of flags of a later kernel; may be empty."""
        if not self.unknown:
            return ""
        names = sorted({name for number in self._unknown for name in self._flags[number].unknown})
        named = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
        return (
            f"{self.unknown} allocations have gfp flags that this pba does not know ({named}), the first is "
            f"line {self.first_unknown}: they were judged by their other flags"
        )
