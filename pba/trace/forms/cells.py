"""A column of text, as Arrow splits it out of CSV, as numbers: in compiled code, cell by cell.

What they do not read they refuse as a whole; the caller then looks closer.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pba._jit import jit
from pba.trace.columns import LARGEST_TIME_NS

LARGEST: Final = 900_000_000_000_000_000
"""No digit can follow a number as large as this."""
NS_DIGITS: Final = 9

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int32]


def _inside(cells: pa.StringArray) -> tuple[Offsets, Bytes]:
    """Return where each cell begins (and the last one ends), and the text of all."""
    _, offsets, text = cells.buffers()
    begins = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    has_text = text is not None and text.size
    return begins, np.frombuffer(text, np.uint8) if has_text else np.frombuffer(b"\0", np.uint8)


def plain_numbers(cells: pa.StringArray, empty: int) -> NDArray[np.int64] | None:
    """Return whole numbers of up to 19 digits, or None if a cell is no such number as Python writes it.

    Parameters
    ----------
    cells : pa.StringArray
        The column, without nulls.
    empty : int
        What an empty cell stands for.
    """
    numbers = np.empty(len(cells), np.int64)
    return numbers if _read_plain(*_inside(cells), empty, numbers) else None


def times_in_ns(cells: pa.StringArray, scale: int) -> NDArray[np.int64] | None:
    """Return times in ns, digits below that cut off; None if a cell is not a time, or out of range.

    Parameters
    ----------
    cells : pa.StringArray
        The column, without nulls: digits, and perhaps a point and more digits.
    scale : int
        ns of a unit, at most a second.
    """
    times = np.empty(len(cells), np.int64)
    return times if _read_times(*_inside(cells), scale, times) else None


class Texts:
    """Different texts, numbered as they come; each is held once, in its bytes and at most 24 more."""

    def __init__(self) -> None:
        self._count = 0
        self._table = np.full(1 << 10, -1, np.int32)  # open-addressed: a text's number by its hash
        self._begins = np.zeros(1, np.int64)  # where each text begins in `_text`, and the last one ends
        self._text = np.empty(0, np.uint8)

    def numbers(self, cells: pa.StringArray) -> NDArray[np.int32]:
        """Return each cell's number, giving one to what is new; 0 for an empty cell, which gets none."""
        begins, text = _inside(cells)
        self._make_room(len(cells), int(begins[-1]) - int(begins[0]))
        numbers = np.empty(len(cells), np.int32)
        known = (self._table, self._begins, self._text)
        self._count = _number(begins, text, *known, self._count, numbers)
        return numbers

    def _make_room(self, cells: int, size: int) -> None:
        """Make room for so many more texts of so many bytes together."""
        most = self._count + cells
        self._text.resize(int(self._begins[self._count]) + size, refcheck=False)
        self._begins.resize(most + 1, refcheck=False)
        if 2 * most > len(self._table):
            self._table = np.full(1 << (2 * most - 1).bit_length(), -1, np.int32)
            _fill(self._table, self._begins, self._text, self._count)


@jit
def _read_plain(begins, text, empty, numbers):  # type: ignore[no-untyped-def]
    """Fill `numbers`; return whether all cells are numbers, or empty."""
    for cell in range(len(numbers)):
        at, end = begins[cell], begins[cell + 1]
        number = empty if at == end else 0
        if end - at > 1 and text[at] == 48:
            return False
        while at < end:
            digit = int(text[at]) - 48
            if digit < 0 or digit > 9 or number > LARGEST:
                return False
            number = number * 10 + digit
            at += 1
        numbers[cell] = number
    return True


@jit
def _read_times(begins, text, scale, times):  # type: ignore[no-untyped-def]
    """Fill `times`; return whether all cells are times."""
    for cell in range(len(times)):
        at, end = begins[cell], begins[cell + 1]
        if at == end or text[at] == 46:
            return False
        whole = 0
        while at < end and text[at] != 46:
            digit = int(text[at]) - 48
            if digit < 0 or digit > 9 or whole > LARGEST:
                return False
            whole = whole * 10 + digit
            at += 1
        at += 1
        below = 0
        for place in range(max(NS_DIGITS, end - at)):
            digit = int(text[at + place]) - 48 if at + place < end else 0
            if digit < 0 or digit > 9:
                return False
            if place < NS_DIGITS:
                below = below * 10 + digit
        if whole > LARGEST_TIME_NS // scale:
            return False
        times[cell] = whole * scale + below * scale // 1_000_000_000
    return True


@jit
def _place(text, begin, end, table, known_begins, known_text):  # type: ignore[no-untyped-def]
    """Return where in the table a text is, or would be."""
    place = np.int64(0)
    for at in range(begin, end):
        place = (place ^ np.int64(text[at])) * 1099511628211
    place ^= (place >> 29) & 0x7FFFFFFFF
    place &= len(table) - 1
    while table[place] >= 0:
        known = known_begins[table[place]]
        at = begin
        if known_begins[table[place] + 1] - known == end - begin:
            while at < end and text[at] == known_text[known + at - begin]:
                at += 1
            if at == end:
                return place
        place = (place + 1) & (len(table) - 1)
    return place


@jit
def _number(begins, text, table, known_begins, known_text, count, numbers):  # type: ignore[no-untyped-def]
    """Fill `numbers`, taking in the texts that are new; return how many are known then."""
    for cell in range(len(numbers)):
        begin, end = begins[cell], begins[cell + 1]
        if begin == end:
            numbers[cell] = 0
            continue
        place = _place(text, begin, end, table, known_begins, known_text)
        if table[place] < 0:
            table[place] = count
            first = known_begins[count]
            for at in range(begin, end):
                known_text[first + at - begin] = text[at]
            count += 1
            known_begins[count] = first + end - begin
        numbers[cell] = table[place]
    return count


@jit
def _fill(table, begins, text, count):  # type: ignore[no-untyped-def]
    """Enter texts that all differ into an empty table."""
    for number in range(count):
        table[_place(text, begins[number], begins[number + 1], table, begins, text)] = number
