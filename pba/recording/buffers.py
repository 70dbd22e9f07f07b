"""How large the trace buffers are: enough for what came, and what to say where it was not."""

from __future__ import annotations

import math
import os
from typing import Final

LEAST_BUFFER_MIB: Final = 4
MOST_BUFFER_MIB: Final = 128
BUFFER_SHARE: Final = 32
"""All buffers together take one part in so many of the memory, if a CPU's stays within these bounds."""
LARGEST_BUFFER_MIB: Final = 4096
"""What `--buffer-mib` takes at most."""
BUFFER_MARGIN: Final = 1.5
"""A buffer is suggested that would have held all events, and half as many more."""


def default_buffer_mib(memory_mib: int | None = None, cpus: int | None = None) -> int:
    """Return the buffer of each CPU in MiB: a 32nd of the memory among all CPUs, 4 to 128 MiB each.

    Parameters
    ----------
    memory_mib, cpus : int, optional
        Of the machine; by default this one's.
    """
    if memory_mib is None:
        memory_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    share = memory_mib // (BUFFER_SHARE * (cpus or os.cpu_count() or 1))
    return min(max(share, LEAST_BUFFER_MIB), MOST_BUFFER_MIB)


def suggested_buffer_mib(buffer_mib: int, lost: dict[int, int], written: dict[int, int]) -> int:
    """Return a buffer that would have held what was lost too, on the CPU that lost most of its events."""
    grown = max((written[cpu] + lost[cpu]) / max(written[cpu], 1) for cpu in lost)
    return min(LARGEST_BUFFER_MIB, math.ceil(buffer_mib * grown * BUFFER_MARGIN))


def lost_words(buffer_mib: int, lost: dict[int, int], written: dict[int, int]) -> str:
    """Say what was lost on which CPU, and which buffer would have held it."""
    where = ", ".join(f"{count} of {count + written[cpu]} on CPU {cpu}" for cpu, count in lost.items())
    better = suggested_buffer_mib(buffer_mib, lost, written)
    advice = f"record again with --buffer-mib {better}"
    if better <= buffer_mib:
        advice = "no buffer is large enough, record a smaller load"
    return f"events were lost ({where}) with --buffer-mib {buffer_mib}: {advice}"
