"""The columns of a trace: their names, their types, and what their values may be."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
"""Columns by their names."""

NO_PFN: Final = -1
"""In the `pfn` column: this event has none."""
MAX_ORDER: Final = 13
"""Largest `MAX_PAGE_ORDER` of all page sizes."""
LARGEST_TIME_NS: Final = (1 << 62) - 1
"""146 years: no difference of two times, and no sum in the kernel's time integral, overflows."""
LARGEST_ID: Final = (1 << 31) - 1
"""Ids are held in 32 bits."""

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "time_ns": np.dtype(np.int64),
    "op": np.dtype(np.int8),
    "id": np.dtype(np.int32),
    "arg": np.dtype(np.int8),
    "level": np.dtype(np.int8),
    "pfn": np.dtype(np.int64),
}
"""Columns and their types: 23 bytes an event, and 4 more for the slot."""
NEEDED: Final = ("time_ns", "op", "id", "arg")
"""Columns that every trace has; the others are empty where nothing is known."""
EVENT_BYTES: Final = sum(dtype.itemsize for dtype in DTYPES.values())
"""What an event with all columns takes."""
