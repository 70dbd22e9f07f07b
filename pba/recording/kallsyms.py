"""Kernel addresses to function names, by `/proc/kallsyms`.

Addresses serve to classify what is recorded and are forgotten afterwards; no trace holds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pba.errors import RecordError

KALLSYMS = Path("/proc/kallsyms")


@dataclass(frozen=True)
class Symbols:
    """The functions of the running kernel.

    Attributes
    ----------
    starts : ndarray of uint64
        First addresses, ascending.
    names : list of str
        Their names, without the module.
    """

    starts: NDArray[np.uint64]
    names: list[str]

    @classmethod
    def parse(cls, text: str) -> Symbols:
        """Read the text of `/proc/kallsyms`.

        Raises
        ------
        RecordError
            If the kernel hides the addresses.
        """
        starts, names = [], []
        for line in text.splitlines():
            address, kind, name = line.split("\t")[0].split(" ", 2)
            if kind in "tTwW":
                starts.append(int(address, 16))
                names.append(name)
        values = np.array(starts, np.uint64)
        if not len(values) or not values.any():
            raise RecordError(
                f"{KALLSYMS} hides the kernel's addresses, so stacks cannot be told apart",
                "run as root, with: sysctl kernel.kptr_restrict=1",
            )
        order = np.argsort(values, kind="stable")
        return cls(values[order], [names[place] for place in order])

    @classmethod
    def read(cls) -> Symbols:
        """Read those of the running kernel."""
        try:
            return cls.parse(KALLSYMS.read_text())
        except OSError as error:
            raise RecordError(f"{KALLSYMS} cannot be read: {error.strerror}", "run as root") from error

    def name(self, address: int) -> str:
        """Return the function that holds `address` (as a signed or unsigned 64-bit number), or ""."""
        value = np.uint64(int(address) & 0xFFFF_FFFF_FFFF_FFFF)
        place = int(np.searchsorted(self.starts, value, "right")) - 1
        return self.names[place] if place >= 0 else ""

    def caller(self, address: int) -> str:
        """Return the function that a return address lies in: that of the call, one byte before it."""
        return self.name(address - 1)
