"""Events as they come from a file's lines, block by block, in columns that grow and are never copied.

What is held is the trace's own columns, and the line that each block of events began at: reading a file takes
the memory of its trace and of a few blocks, whatever the file's size.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pba.errors import TraceError
from pba.trace.columns import DTYPES
from pba.trace.metadata import Metadata
from pba.trace.table import Trace

STEP: Final = 1 << 20
"""Events for which there is room beyond those that are there, at most: 23 MiB of columns."""


class Gathered:
    """The events of a file so far.

    Attributes
    ----------
    columns : dict of ndarray
        By the names of `pba.trace.columns.DTYPES`, those that the first block had. Of each, so many values
        are set as there are events; it moves when events are added.
    """

    def __init__(self) -> None:
        self.columns: dict[str, NDArray[Any]] = {}
        self._count = 0
        self._blocks: list[tuple[int, int, NDArray[Any] | None]] = []

    def __len__(self) -> int:
        return self._count

    def add(self, columns: dict[str, NDArray[Any]], lines: NDArray[np.int64]) -> None:
        """Take in a block of events, the same columns each time, and the line that each stood on."""
        if not len(lines):
            return
        if not self.columns:
            self.columns = {name: np.empty(0, DTYPES[name]) for name in columns}
        begin, self._count = self._count, self._count + len(lines)
        if self._count > len(self.columns["op"]):
            self._resize(self._count + min(self._count, STEP))
        for name, values in columns.items():
            self.columns[name][begin : self._count] = values
        gaps = np.diff(lines)
        even = bool((gaps == 1).all())
        packed = None if even else gaps.astype(np.min_scalar_type(int(gaps.max())))
        self._blocks.append((begin, int(lines[0]), packed))

    def _resize(self, room: int) -> None:
        """Grow or trim the columns where they lie: a large one is not copied, its pages are mapped anew."""
        for column in self.columns.values():
            column.resize(room, refcheck=False)  # nobody may hold on to one, or to a view of it

    def line_of(self, event: int) -> int:
        """Return the line of an event's number."""
        begin, line, gaps = self._blocks[bisect_right(self._blocks, event, key=lambda block: block[0]) - 1]
        at = event - begin
        return line + (at if gaps is None else int(gaps[:at].sum(dtype=np.int64)))

    def trace(self, metadata: Metadata, path: str | Path) -> Trace:
        """Return the trace; nothing more can be added.

        Raises
        ------
        TraceError
            With file and line, for what `Trace.from_arrays` refuses.
        """
        self._resize(self._count)
        try:
            return Trace.from_arrays(self.columns, metadata)
        except TraceError as error:
            if error.event is None:
                raise
            message = error.message.split(": ", 1)[1]
            raise TraceError(message, error.hint, path=path, line=self.line_of(error.event)) from None
