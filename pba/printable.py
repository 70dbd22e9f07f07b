"""Data made fit to print: names of traces, studies and folders are hostile.

A name can hold escape sequences that a terminal obeys, line feeds that forge a line, signs that turn the
direction of writing, bytes that are no UTF-8 (Python keeps those as lone surrogates, which no encoder takes)
and a megabyte of anything. Whatever prints or draws data passes it through `printable` first.
"""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST_NAME: Final = 120
"""Characters of a name that are shown."""
LONGEST_MESSAGE: Final = 1000
"""Characters of a message that are shown: more than any that pba means to write."""

_PLAIN_CATEGORIES: Final = frozenset("LMNPS")
"""Letters, marks, numbers, punctuation and symbols; all others but the space are written as escapes."""


def printable(text: object, longest: int = LONGEST_NAME) -> str:
    r"""Return data as one line that is safe to print, draw and encode.

    Control and format characters, separators other than the space, private and unassigned ones and lone
    surrogates become escapes as Python writes them (`\x1b`, `\u202e`; a byte that is no UTF-8 is `\xff`
    again). What is longer than `longest` characters loses its middle.
    """
    whole = str(text)
    if len(whole) > longest:  # before, so that a huge name costs nothing
        whole = cut_middle(whole, longest)
    if whole.isascii() and whole.isprintable():
        return whole
    shown = "".join(map(_escaped, whole))
    return cut_middle(shown, longest)


def cut_middle(text: str, longest: int) -> str:
    """Return a text cut in its middle to at most `longest` characters: `kernel-b..-allnoconfig`."""
    if len(text) <= longest:
        return text
    if longest < 5:
        return text[:longest]
    head = (longest - 2 + 1) // 2
    return f"{text[:head]}..{text[len(text) - (longest - 2 - head) :]}"


def _escaped(character: str) -> str:
    """Return a character, or the escape that stands for it."""
    if character == " " or unicodedata.category(character)[0] in _PLAIN_CATEGORIES:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file's name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
