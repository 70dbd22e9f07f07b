"""The parameters of a workload: what they mean, their units and ranges, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from pba.errors import PbaError
from pba.units import NS_PER

MODELLED: Final = "modelled, not measured"
"""Where a default comes from that no recording gave."""


@dataclass(frozen=True)
class Parameter:
    """A number that shapes a workload.

    Attributes
    ----------
    name : str
        How it is set.
    default : str
        Its default, as it is written.
    unit : str
        Its unit; a time's is one of `pba.units.NS_PER`, a rate's ends in `/s`, `/min` or `/h`.
    least, most : int
        Its range.
    meaning : str
        What it is, in a few words.
    origin : str
        Where its default comes from: the name of a recording in `data/` and the figure, or `MODELLED`.
    """

    name: str
    default: str
    unit: str
    least: int
    most: int
    meaning: str
    origin: str = MODELLED

    def read(self, value: Any) -> Fraction:
        """Return a value given as text or as a number, exactly.

        Raises
        ------
        PbaError
            If it is not a number, has more than three decimals, or is out of range.
        """
        try:
            number = Fraction(str(value).strip())
        except (ValueError, ZeroDivisionError):
            raise PbaError(f"{self.name} = {str(value)[:40]!r} is not a number", self._expected()) from None
        if not self.least <= number <= self.most:
            raise PbaError(f"{self.name} = {str(value)[:40]} is out of range", self._expected())
        if (number * 1000).denominator != 1:
            raise PbaError(f"{self.name} = {str(value)[:40]} has more than three decimals", self._expected())
        return number

    def _expected(self) -> str:
        return f"it is {self.meaning}: {self.least} to {self.most} {self.unit}".rstrip()


class Values:
    """The parameters of one workload, read; times in ns."""

    def __init__(self, parameters: Sequence[Parameter], given: Mapping[str, Any], workload: str) -> None:
        known = {parameter.name: parameter for parameter in parameters}
        for name in given:
            if name not in known:
                raise PbaError(f"{workload} has no parameter {name[:40]!r}", "it has " + ", ".join(known))
        self._units = {name: parameter.unit for name, parameter in known.items()}
        self.numbers = {
            name: parameter.read(given.get(name, parameter.default)) for name, parameter in known.items()
        }

    def __getitem__(self, name: str) -> Fraction:
        return self.numbers[name]

    def whole(self, name: str) -> int:
        """Return a number, rounded down."""
        return int(self.numbers[name])

    def ns(self, name: str) -> int:
        """Return a time in ns."""
        return int(self.numbers[name] * NS_PER[self._units[name]])

    def gap_ns(self, name: str) -> Fraction | None:
        """Return the mean time in ns between two of something that has a rate; None for a rate of 0."""
        per = NS_PER[self._units[name].rpartition("/")[2]]
        return per / self.numbers[name] if self.numbers[name] else None

    def share(self, name: str) -> Fraction:
        """Return a percentage as a share."""
        return self.numbers[name] / 100

    def to_dict(self) -> dict[str, str]:
        """Return all values as they would be written."""
        return {name: _written(number) for name, number in self.numbers.items()}


def _written(number: Fraction) -> str:
    """Return a number with up to three decimals, as people write it."""
    thousandths = int(number * 1000)
    whole, rest = divmod(abs(thousandths), 1000)
    text = f"{whole}.{rest:03d}".rstrip("0").rstrip(".")
    return f"-{text}" if thousandths < 0 else text


# --- parameters that several workloads have ------------------------------------------------------------

LIVES = 256
"""How many different lives a stream draws from: each is played many times, stretched differently. So the mean
of a count that varies by half of itself either way is off by up to some 4 % (twice its standard error)."""
RUNS = 4096
"""How many different runs of kswapd there are."""

PAGE_SIZE = Parameter("page_size", "4", "KiB", 4, 64, "the machine's base page, 4, 16 or 64")
MEMORY = Parameter("memory", "4096", "MiB", 16, 1 << 24, "the machine's memory")
MACHINE = (PAGE_SIZE, MEMORY)


def upper_shape(pud: str, pmd: str, recording: str) -> tuple[Parameter, ...]:
    """Return the parameters of a process's tables above the PTE ones with a recording's means as defaults."""
    origin = f"{recording}, for each PGD"
    return (
        Parameter("pud", pud, "tables", 0, 64, "mean PUD tables of a process", origin),
        Parameter("pmd", pmd, "tables", 0, 512, "mean PMD tables of a process", origin),
    )


def shape(pud: str, pmd: str, pte: str, recording: str) -> tuple[Parameter, ...]:
    """Return the parameters of a process's page tables with a recording's means as defaults."""
    mean = Parameter(
        "pte", pte, "tables", 0, 100_000, "mean PTE tables of a process", f"{recording}, for each PGD"
    )
    return (*upper_shape(pud, pmd, recording), mean)


RCU = Parameter(
    "grace", "16", "ms", 0, 10_000,
    "tables below the PGD are freed together at the end of a grace period of this length",
    "configure-x86: median life of PUD tables 17 ms, of PGDs 1 ms",
)  # fmt: skip


def pressure(
    episodes: str, falls: str, origin: str = MODELLED, falls_origin: str | None = None
) -> tuple[Parameter, ...]:
    """Return the parameters of memory pressure; both defaults come from `origin` if they are not given."""
    return (
        Parameter("episodes", episodes, "/min", 0, 60_000, "kswapd runs, each from priority 12 down", origin),
        Parameter(
            "falls", falls, "%", 0, 100,
            "of the passes that a pass of the next lower priority follows",
            origin if falls_origin is None else falls_origin,
        ),
        Parameter(
            "pass_gap", "2", "ms", 0, 10_000, "from one pass to the next of a run",
            "jvm-heap-x86: median between any two passes 2.1 ms",
        ),
    )  # fmt: skip
