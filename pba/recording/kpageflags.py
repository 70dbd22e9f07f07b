"""Which pages are page tables right now: `/proc/kpageflags`, bit 26 (`KPF_PGTABLE`).

Source: fs/proc/page.c (`stable_page_flags`), include/uapi/linux/kernel-page-flags.h.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba.errors import RecordError

KPAGEFLAGS = Path("/proc/kpageflags")
KPF_COMPOUND_HEAD: Final = 1 << 15
KPF_PGTABLE: Final = 1 << 26
CHUNK_PAGES: Final = 1 << 15
"""Pages that one read covers: some ms, so that it is known when a page was looked at."""


@dataclass(frozen=True)
class Snapshot:
    """The page-table pages at one moment; or rather, at as many moments as there were reads.

    Attributes
    ----------
    pfns : ndarray of int64
        Page frame numbers that are page tables, ascending (both pages of an order-1 PGD).
    before_ns, after_ns : ndarray of int64
        `CLOCK_MONOTONIC` before and after the read of each chunk of `CHUNK_PAGES` pages.
    """

    pfns: NDArray[np.int64]
    before_ns: NDArray[np.int64]
    after_ns: NDArray[np.int64]

    @classmethod
    def take(cls, path: Path = KPAGEFLAGS) -> Snapshot:
        """Read the flags of all pages (0.1 s a GiB of memory in a guest, less on bare metal).

        Raises
        ------
        RecordError
            If they cannot be read.
        """
        found, before, after = [], [], []
        try:
            with path.open("rb", buffering=0) as stream:
                while True:
                    before.append(time.monotonic_ns())
                    data = stream.read(8 * CHUNK_PAGES)
                    after.append(time.monotonic_ns())
                    flags = np.frombuffer(data, np.uint64)
                    first = (len(before) - 1) * CHUNK_PAGES
                    found.append(np.flatnonzero(flags & KPF_PGTABLE) + first)
                    pair = KPF_PGTABLE | KPF_COMPOUND_HEAD
                    found.append(np.flatnonzero((flags & pair) == pair) + first + 1)
                    if len(flags) < CHUNK_PAGES:
                        break
        except OSError as error:
            raise RecordError(
                f"{path} cannot be read: {error.strerror}", "run as root, on a kernel with PROC_PAGE_MONITOR"
            ) from error
        return cls(np.unique(np.concatenate(found)).astype(np.int64), np.array(before), np.array(after))

    def chunk_of(self, pfns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the read that covered each page."""
        return np.minimum(pfns // CHUNK_PAGES, len(self.before_ns) - 1)

    @property
    def end_ns(self) -> int:
        """When the last read was done."""
        return int(self.after_ns[-1])
