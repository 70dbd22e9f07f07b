"""The memory that a machine of the reference starts with where others have left it in pieces.

Part of the reference: plain Python, importing nothing from `pba`. The rule, in the words of README: demand of
small chunks takes all memory, then half of it comes back, chunk by chunk in a random order: all of some blocks,
chosen at random, and of the others whatever comes next, but never the last chunk that a block holds.
"""

from __future__ import annotations

from fractions import Fraction

from tests.reference.buddy import BuddyAllocator
from tests.reference.machine import Machine

WORD = (1 << 64) - 1


def scrambled(word: int) -> int:
    """The end of splitmix64: Steele, Lea and Flood 2014."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


class Dice:
    """A stream of random words of a seed: 0 for orders, 1 for blocks, 2 for chunks."""

    def __init__(self, seed: int, stream: int) -> None:
        self.word = scrambled(4 * seed + stream)

    def roll(self) -> int:
        """Return the next word."""
        self.word = (self.word + 0x9E3779B97F4A7C15) & WORD
        return scrambled(self.word)


def order_of(word: int) -> int:
    """Return the order that a random word asks for: its zeros at the lower end, all three of them for none."""
    for order, mark in enumerate((1, 2, 4)):
        if word & mark:
            return order
    return 3


def fill(buddy: BuddyAllocator, dice: Dice) -> list[tuple[int, int]]:
    """Take all memory; return the chunks, pfn and order, as they were taken."""
    asked, taken = 0, []
    while asked < buddy.memory_pages:
        order = order_of(dice.roll())
        asked += 1 << order
        pfn = buddy.alloc_pages(order)
        if pfn is not None:
            taken.append((pfn, order))
    while (pfn := buddy.alloc_pages(0)) is not None:
        taken.append((pfn, 0))
    return taken


def fragmented(machine: Machine, share: Fraction, seed: int) -> list[list[int]]:
    """Return the free lists of each order, head first."""
    block = machine.orders.block
    buddy = BuddyAllocator(machine.memory_pages, machine.orders.max_page)
    chunks = fill(buddy, Dice(seed, 0))
    dice = Dice(seed, 2)
    chunks = [
        chunk for _, chunk in sorted(((dice.roll(), chunk) for chunk in chunks), key=lambda one: one[0])
    ]
    free = machine.memory_pages // 2
    # Rounded to the nearest, a half upwards.
    whole = min(int((1 - share) * free / (1 << block) + Fraction(1, 2)), free >> block)
    dice = Dice(seed, 1)
    rolled = [(dice.roll(), number) for number in range(machine.memory_pages >> block)]
    emptied = {number for _, number in sorted(rolled)[:whole]}
    rest = free - (whole << block)
    last = {pfn >> block: pfn for pfn, _ in chunks}
    loose = [
        (pfn, order) for pfn, order in chunks if pfn >> block not in emptied and pfn != last[pfn >> block]
    ]
    given = set()
    while loose and 1 << loose[0][1] <= rest:
        pfn, order = loose.pop(0)
        rest -= 1 << order
        given.add(pfn)
    for pfn, order in loose:
        if order == 0 and rest:
            rest -= 1
            given.add(pfn)
    for pfn, order in chunks:
        if pfn >> block in emptied or pfn in given:
            buddy.free_page_chunk(pfn, order)
    return [list(found) for found in buddy.free_area]
