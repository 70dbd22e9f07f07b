"""Sizes as people write them on a command line."""

from __future__ import annotations

import re
from decimal import Decimal

from pba.errors import MachineError, PbaError

UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt])(?:i?b)?", re.IGNORECASE)
_PAGES = re.compile(r"(\d{1,18})\s*(?:p|pages?)", re.IGNORECASE)
COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_COUNT = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([kmg]?)", re.IGNORECASE | re.ASCII)
_PAGE_SIZE = re.compile(r"(\d{1,18})\s*(?:k|kib|kb)?", re.IGNORECASE)


def parse_memory(text: str, page_size_kib: int) -> int:
    """Return a memory size in pages: `4GiB` (`4G`, `4096M`) or `1048576pages` (`1048576p`).

    Units are powers of 1024, whether written `GiB`, `GB` or `G`, as in the kernel's own options.

    Raises
    ------
    MachineError
        If it is neither, or no whole number of pages.
    """
    if match := _PAGES.fullmatch(text.strip()):
        return _some(int(match[1]))
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise MachineError(f"memory {text!r} is not a size", "write it as 4GiB, 512MiB or 1048576pages")
    size = float(match[1]) * UNITS[match[2].lower()]
    pages = size / (page_size_kib << 10) if page_size_kib > 0 else size
    if pages != int(pages):
        raise MachineError(
            f"memory {text} is not a multiple of the page size, {page_size_kib} KiB", "give whole pages"
        )
    return _some(int(pages))


def parse_count(text: str, what: str) -> int:
    """Return a number of things: `250000`, `250k`, `10M`, `1.5G`; powers of 1000.

    Raises
    ------
    PbaError
        If it is none, or not whole. `what` names it there.
    """
    match = _COUNT.fullmatch(text.strip())
    number = Decimal(match[1]) * COUNTS[match[2].lower()] if match else Decimal("0.5")
    if number != int(number):
        raise PbaError(f"{what} {text[:60]!r} is not a number", "write it as 250000, 250k or 10M")
    return int(number)


def _some(pages: int) -> int:
    """Refuse a machine without memory."""
    if pages == 0:
        raise MachineError("memory of 0 pages is none", "write it as 4GiB, 512MiB or 1048576pages")
    return pages


def parse_page_size(text: str) -> int:
    """Return a page size in KiB: `4`, `16K` or `64KiB`.

    Raises
    ------
    MachineError
        If it is no number. Whether such a page exists, the machine says.
    """
    match = _PAGE_SIZE.fullmatch(text.strip())
    if match is None:
        raise MachineError(f"page size {text!r} is not a size", "use 4, 16 or 64 (KiB)")
    return int(match[1])
