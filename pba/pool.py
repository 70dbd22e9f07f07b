"""Simulated machines that stand ready for the next replay: to make one costs more than most replays.

One pool for replays event by event and of compiled traces. Each thread has its own machines in it; all
threads together keep at most `limit_bytes()` of them, those used last. A machine that is dropped while a
replay works on it lives until that ends.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final

from pba.errors import PbaError
from pba.kernel.state import State

VARIABLE: Final = "PBA_POOL_MIB"
DEFAULT_BYTES: Final = 1 << 30
"""The machines of pba's own recordings take 0.14 GB event by event, and twice that compiled, a thread."""

_lock = threading.Lock()
_kept: OrderedDict[Hashable, tuple[tuple[State, ...], int]] = OrderedDict()


def limit_bytes() -> int:
    """Return how many bytes of machines are kept: `PBA_POOL_MIB` in MiB, or `DEFAULT_BYTES`; 0 keeps none.

    Raises
    ------
    PbaError
        If the variable is no whole number.
    """
    said = os.environ.get(VARIABLE, "")
    if not said:
        return DEFAULT_BYTES
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise PbaError(f"{VARIABLE}={said!r} is no number of MiB", "use a whole number, or unset it")
    return int(said) << 20


def take(key: Hashable) -> tuple[State, ...] | None:
    """Return what this thread gave back under a key, which is the caller's then; None if nothing is kept."""
    with _lock:
        found = _kept.pop((threading.get_ident(), key), None)
    return found[0] if found else None


def share(key: Hashable) -> tuple[State, ...] | None:
    """Return what this thread gave back under a key, and keep it too: its next replay works on the same."""
    place = (threading.get_ident(), key)
    with _lock:
        found = _kept.get(place)
        if found:
            _kept.move_to_end(place)
    return found[0] if found else None


def give(key: Hashable, states: Sequence[State]) -> None:
    """Keep the states of a machine for this thread, and forget those of any that were used longest ago."""
    limit = limit_bytes()
    size = sum(array.nbytes for state in states for array in state[1:])
    with _lock:
        place = (threading.get_ident(), key)
        _kept[place] = tuple(states), size
        _kept.move_to_end(place)
        kept_bytes = sum(entry[1] for entry in _kept.values())
        while _kept and kept_bytes > limit:
            kept_bytes -= _kept.popitem(last=False)[1][1]


def clear() -> None:
    """Forget all machines of all threads."""
    with _lock:
        _kept.clear()


def kept_bytes() -> int:
    """Return how many bytes of machines are kept now."""
    with _lock:
        return sum(entry[1] for entry in _kept.values())
