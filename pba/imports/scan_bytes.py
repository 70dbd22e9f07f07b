"""Bytes of text as numbers, words and times: what reading lines in compiled code begins with."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pba._jit import jit

SPACE: Final = ord(" ")
NEWLINE: Final = ord("\n")


def word_of(text: str) -> NDArray[np.uint8]:
    """Return a word as `starts` and `contains` look for it."""
    return np.frombuffer(text.encode(), np.uint8)


@jit
def starts(buf, at, end, word):  # type: ignore[no-untyped-def]
    """Whether `word` stands at `at`."""
    if at + len(word) > end:
        return False
    for k in range(len(word)):  # noqa: SIM110 - Numba compiles no generator
        if buf[at + k] != word[k]:
            return False
    return True


@jit
def contains(buf, at, end, word):  # type: ignore[no-untyped-def]
    """Whether `word` stands anywhere in `at:end`."""
    for i in range(at, end - len(word) + 1):  # noqa: SIM110 - as above
        if buf[i] == word[0] and starts(buf, i, end, word):
            return True
    return False


@jit
def skip_spaces(buf, at, end):  # type: ignore[no-untyped-def]
    """Return the place of the next byte that is neither a space, a tab nor a carriage return."""
    while at < end and (buf[at] == SPACE or buf[at] == 9 or buf[at] == 13):
        at += 1
    return at


@jit
def is_digit(byte):  # type: ignore[no-untyped-def]
    """Whether a byte is a decimal digit."""
    return 48 <= byte <= 57


@jit
def read_number(buf, at, end):  # type: ignore[no-untyped-def]
    """Read a decimal or 0x number; returns (value, its end), with the end equal to `at` if there is none.

    Values beyond 63 bits saturate.
    """
    most = np.int64(9223372036854775807)
    value = np.int64(0)
    if at + 2 < end and buf[at] == 48 and (buf[at + 1] | 32) == 120:  # 0x
        i = at + 2
        while i < end:
            byte = buf[i]
            if is_digit(byte):
                digit = byte - 48
            elif 97 <= (byte | 32) <= 102:
                digit = (byte | 32) - 87
            else:
                break
            value = most if value >> 58 else (value << 4) | np.int64(digit)
            i += 1
        return (value, i) if i > at + 2 else (value, at)
    i = at
    while i < end and is_digit(buf[i]):
        value = most if value > 900000000000000000 else value * 10 + np.int64(buf[i] - 48)
        i += 1
    return value, i


@jit
def read_time(buf, at, end):  # type: ignore[no-untyped-def]
    """Read `seconds.fraction:` as ns; returns (time, place after the colon), place -1 if it is not a time."""
    seconds, i = read_number(buf, at, end)
    if i == at or i >= end or buf[i] != 46 or seconds > 9000000000:
        return np.int64(0), -1
    i += 1
    first = i
    fraction = np.int64(0)
    scale = np.int64(1000000000)
    while i < end and is_digit(buf[i]):
        if scale > 1:
            scale //= 10
            fraction += np.int64(buf[i] - 48) * scale
        i += 1
    if i == first or i >= end or buf[i] != 58:
        return np.int64(0), -1
    return seconds * 1000000000 + fraction, i + 1
