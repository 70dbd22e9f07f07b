"""Draws that are the same on every machine: 64-bit integers, and tables computed in exact decimal arithmetic.

The generator is SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014). A value of a distribution is read from a table of its quantiles, between two
of them on a straight line. No function of a machine's libm is called: their last digits differ. `Decimal`
rounds correctly by its specification; its precision is set here, since a program may have changed its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from fractions import Fraction
from functools import cache
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from pba._jit import kernel_inline

Item = TypeVar("Item")
Ints = NDArray[np.int64]
Int = int | np.integer[Any]

ONE: Final = 1024
"""1 in the fixed point of factors: a life's stretch, a stream's rate."""
STEPS: Final = 1024
"""Steps between the quantiles of a table, which has one value more."""
LARGEST: Final = 1 << 46
"""Largest value of a table: 19 hours in ns; times 2**16 it fits 63 bits."""

GAMMA: Final = 0x9E3779B97F4A7C15
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
MASK: Final = (1 << 64) - 1

_U_GAMMA = np.uint64(GAMMA)
_U_MIX_1 = np.uint64(MIX_1)
_U_MIX_2 = np.uint64(MIX_2)


@kernel_inline
def next_bits(state: NDArray[np.uint64]) -> np.int64:
    """Advance a generator (a uint64 array of one) and return 62 random bits as an int64."""
    state[0] += _U_GAMMA
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * _U_MIX_1
    z = (z ^ (z >> np.uint64(27))) * _U_MIX_2
    return np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(2))


@kernel_inline
def below(state: NDArray[np.uint64], limit: Int) -> np.int64:
    """Return a whole number from 0 to `limit` - 1; `limit` is at most 2**31."""
    return ((next_bits(state) >> 31) * limit) >> 31


@kernel_inline
def from_table(state: NDArray[np.uint64], tables: Ints, row: Int) -> np.int64:
    """Return a value of the distribution whose quantiles stand in a row of `tables`."""
    bits = next_bits(state)
    step = bits >> 52
    low: np.int64 = tables[row, step]
    value: np.int64 = low + (((tables[row, step + 1] - low) * (bits & 65535)) >> 16)
    return value


class Draw:
    """The same generator for Python, which draws the lives of a workload once.

    Parameters
    ----------
    seed : int
        Any whole number; its lowest 64 bits count.
    """

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def bits(self) -> int:
        """Return 62 random bits."""
        self.state = (self.state + GAMMA) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * MIX_1) & MASK
        z = ((z ^ (z >> 27)) * MIX_2) & MASK
        return (z ^ (z >> 31)) >> 2

    def below(self, limit: int) -> int:
        """Return a whole number from 0 to `limit` - 1."""
        return (self.bits() * limit) >> 62

    def from_table(self, table: Ints) -> int:
        """Return a value of the distribution whose quantiles `table` holds."""
        bits = self.bits()
        low, high = int(table[bits >> 52]), int(table[(bits >> 52) + 1])
        return low + (((high - low) * (bits & 65535)) >> 16)

    def around(self, mean: Fraction | int) -> int:
        """Return a whole number next to a mean, so that the mean of many is it."""
        whole, rest = divmod(mean.numerator, mean.denominator)
        return whole + (self.below(mean.denominator) < rest)

    def within(self, mean: Fraction | int) -> int:
        """Return a whole number near a mean, evenly from half of it to one and a half."""
        steps = 1 << 20
        factor = steps + 2 * self.below(steps) + 1
        whole, rest = divmod(mean.numerator * factor, mean.denominator * 2 * steps)
        return whole + (self.below(mean.denominator * 2 * steps) < rest)

    def chance(self, share: Fraction) -> bool:
        """Return True with this probability."""
        return self.below(share.denominator) < share.numerator

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Return the items in a random order."""
        order = list(items)
        for at in range(len(order) - 1, 0, -1):
            other = self.below(at + 1)
            order[at], order[other] = order[other], order[at]
        return order


# --- distributions -------------------------------------------------------------------------------------


def _context(digits: int) -> Context:
    """Return a context with nothing in it that the program's default could change."""
    traps = [InvalidOperation, DivisionByZero, Overflow]
    return Context(digits, ROUND_HALF_EVEN, -999_999, 999_999, capitals=1, clamp=0, flags=[], traps=traps)


_EXACT = _context(40)
_PLAIN = _context(28)
"""Of what is written with operators."""


@cache
def _shape(name: str) -> tuple[Decimal, ...]:
    """Return the quantiles of a shape at 0, 1/STEPS ... 1, the last one in the middle of the last step."""
    last = 2 * STEPS - 1
    with localcontext(_PLAIN):
        shares = [Decimal(min(2 * at, last)) / (2 * STEPS) for at in range(STEPS + 1)]
        return tuple(_SHAPES[name](share) for share in shares)


def _exponential(share: Decimal) -> Decimal:
    """Quantile of the exponential distribution with mean 1."""
    return -_EXACT.ln(1 - share)


def _heavy(share: Decimal) -> Decimal:
    """Quantile of the log-logistic distribution with median 1 and shape 2: a tenth is above 3."""
    return _EXACT.sqrt(share / (1 - share))


def _even(share: Decimal) -> Decimal:
    """Quantile of the uniform distribution from 1/2 to 3/2."""
    return share + Decimal("0.5")


def _fixed(share: Decimal) -> Decimal:
    """Quantile of what is always 1."""
    return Decimal(1)


_SHAPES: dict[str, Callable[[Decimal], Decimal]] = {
    "exponential": _exponential,
    "heavy": _heavy,
    "even": _even,
    "fixed": _fixed,
}


def table_of(shape: str, unit: int | Fraction) -> Ints:
    """Return the table of a distribution.

    Parameters
    ----------
    shape : {"exponential", "heavy", "even", "fixed"}
        Exponential with mean 1; log-logistic with median 1 and shape 2 (cut at its 99.95th percentile);
        uniform from 1/2 to 3/2; always 1.
    unit : int or Fraction
        What 1 stands for.
    """
    factor = _PLAIN.divide(Decimal(Fraction(unit).numerator), Decimal(Fraction(unit).denominator))
    values = [min(int(_EXACT.multiply(value, factor)), LARGEST) for value in _shape(shape)]
    return np.array(values, np.int64)


def uniform_table(lowest: int, highest: int) -> Ints:
    """Return the table of a uniform distribution."""
    return np.array([lowest + (highest - lowest) * at // STEPS for at in range(STEPS + 1)], np.int64)
