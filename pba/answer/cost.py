"""What policies cost: the counts of `pba.compare` weighed with a price list, and what does not depend on prices.

Everything is told in *CPU seconds an hour* of the workload: time that splits, calls, flushes and refills take, memory
held back at what it is worth, and the share of busy CPUs' time that is lost where the linear map is in PTEs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pba import shown
from pba.answer.prices import LOSS, Prices, read_prices
from pba.errors import PbaError
from pba.machine import ORDERS
from pba.units import KIB, fine_percent, number

if TYPE_CHECKING:
    import pandas as pd

    from pba.probe.compare import Comparison

HOUR: Final = 3600
GIB: Final = 1 << 30
PTE_MAPPED: Final = "pte-mapped"
COUNTS: Final[dict[str, tuple[str, ...]]] = {
    "pmd_split": ("pmd_splits", "pud_splits"),
    "set_memory_call": ("protect_single", "protect_range", "unprotect_single", "unprotect_range"),
    "tlb_flush": ("tlb_flushes",),
    "refill": ("refills", "blocks_back"),
    "page_given_back": ("unprotect_single",),
}
"""Prices that are paid each time, and the measures that they are paid for."""
MEMORY: Final = "held_memory"
MAP: Final = "lost_map"
PARTS: Final = (*COUNTS, MEMORY, MAP)
"""What a cost is the sum of."""
SAMPLES: Final = 1024
RESAMPLES: Final = 400
WIDE: Final = 10.0
"""A range whose ends are so many times apart is sampled by its logarithm."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cost:
    """What policies cost: `pba.cost`.

    Attributes
    ----------
    workload : str
        The class of workloads whose loss of block mappings is taken.
    prices : Prices
        The price list.
    per_trace : DataFrame
        A row per trace and choice: `trace`, `choice`; the raw counts that are paid for; `total` and its parts at the
        default prices (CPU s/h); `low` and `high`, between which 90 % of the prices' range bring the total; `wins`, the
        share of the range in which the choice is cheapest.
    totals : DataFrame
        The same for the mean over all traces, indexed by `choice`; `wins_low` and `wins_high` is the 95 % interval of
        `wins` over the traces, resampled.
    """

    workload: str
    prices: Prices
    per_trace: pd.DataFrame = field(repr=False)
    totals: pd.DataFrame = field(repr=False)

    @property
    def choices(self) -> tuple[str, ...]:
        """What was compared."""
        return tuple(map(str, self.totals.index))

    def sentences(self) -> list[str]:
        """Say where a policy on blocks breaks even with a linear map in PTEs, at the default prices.

        Empty where no `pte-mapped` was compared.
        """
        if PTE_MAPPED not in self.totals.index:
            return []
        return [self._sentence(choice) for choice in self.choices if choice.partition(" ")[0] != PTE_MAPPED]

    def _sentence(self, choice: str) -> str:
        rows = self._by_choice()
        busy = self.prices.prices["busy_cpus"].default * HOUR
        power = self.prices.prices["half_split"].default
        loss = busy * self.prices.loss(self.workload).default * self.prices.loss(self.workload).factor
        rest = {name: rows[name]["total"] - rows[name][MAP] for name in (choice, PTE_MAPPED)}
        more = rest[choice] - rest[PTE_MAPPED]
        rate = rows[PTE_MAPPED]["page_tables_per_second"]
        at = f"at {number(rate)} page tables a second"
        if more <= 0:
            return (
                f"{choice}: blocks pay off whatever losing them costs, {at}: all else costs "
                f"{number(-more)} CPU s/h less than pte-mapped"
            )
        split = rows[choice]["split_share"]
        kept = 1 - split**power
        needed = (
            f"if losing all of them costs {fine_percent(more / (busy * kept))} or more" if kept else "never"
        )
        if loss <= more:
            return f"{choice}: blocks pay off {needed}, {at}; they do not for {self.workload}"
        share = 1 - (1 - more / loss) ** (1 / power)
        return (
            f"{choice}: blocks pay off {needed}, {at}; for {self.workload} if at least {fine_percent(share)} of the "
            "map stays block-mapped"
        )

    def _by_choice(self) -> dict[Any, dict[Any, Any]]:
        """Return the totals, a dict of figures per choice."""
        return self.totals.to_dict("index")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "workload": self.workload,
            "prices": self.prices.to_frame().reset_index().to_dict("records"),
            "totals": self.totals.reset_index().to_dict("records"),
            "per_trace": self.per_trace.to_dict("records"),
            "sentences": self.sentences(),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON, indented."""
        return json.dumps(self.to_dict(), indent=1)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the totals as text: a choice, its cost, 90 % of the range, where it wins, and the parts."""
        found = []
        for choice, row in self._by_choice().items():
            low, high = (_amount(row[name]) for name in ("low", "high"))
            wins = f"{100 * row['wins']:.0f} ({100 * row['wins_low']:.0f}-{100 * row['wins_high']:.0f})"
            parts = (_amount(row[part]) for part in PARTS)
            found.append((str(choice), _amount(row["total"]), f"{low} to {high}", wins, *parts))
        return found

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: what each choice costs."""
        told = [
            f"{choice}: {_amount(row['total'])} CPU s/h, cheapest in {row['wins']:.0%} of the prices' range"
            for choice, row in self._by_choice().items()
        ]
        return shown.lines(f"Cost for {self.workload}", told)

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the totals in Jupyter."""
        head = ("", "CPU s/h", "90 % of the range", "cheapest, %", *PARTS)
        return shown.html(f"Cost for {self.workload}", shown.table(head, self.rows()))


def cost(
    comparison: Comparison,
    prices: Prices | str | None = None,
    workload: str = "web",
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Cost:
    """Weigh what policies count with what things cost.

    Parameters
    ----------
    comparison : Comparison
        What `pba.compare` returned.
    prices : Prices or str, optional
        A price list, or its file; by default that of pba.
    workload : str
        The class of workloads: `none`, `web`, `key-value`, `streaming`, or one of the list's own.
    samples : int
        Points of the prices' range: a seeded sequence of low discrepancy (Kronecker's, with the roots of the primes,
        R. D. Richtmyer 1951); wide ranges by their logarithms.
    seed : int
        Of the sequence's shift, and of the traces that are drawn for intervals.

    Returns
    -------
    Cost
        Tables. The same arguments give the same bytes.

    Raises
    ------
    PbaError
        If there is no such class, nothing was compared, or `samples` is below 1.

    Notes
    -----
    Counts of a trace are scaled to an hour, splits among them: of a short recording that overstates what ends with
    boot, and understates how the map decays. The share that is split is the mean over the trace.

    Examples
    --------
    >>> pba.cost(pba.compare("pgbench"), workload="key-value")  # doctest: +SKIP
    """
    import pandas as pd

    prices = prices if isinstance(prices, Prices) else read_prices(prices)
    loss = prices.loss(workload)
    if isinstance(samples, bool) or samples < 1:
        raise PbaError(f"samples = {samples!r} is no number of points", "say 1 or more")
    table = comparison.per_trace
    if table.empty:
        raise PbaError("nothing was compared", "name a trace and a policy")
    used = [price for name, price in prices.prices.items() if not name.startswith(f"{LOSS}.")] + [loss]
    drawn = _drawn(len(used), samples, seed)
    points: dict[str, Floats] = {}
    for at, price in enumerate(used):
        spread = np.concatenate([[price.default], _within(drawn[:, at], price.low, price.high)])
        points[LOSS if price is loss else price.name] = spread * price.factor
    figures = _hourly(table)
    parts = _parts(figures, points)
    names, choices = list(dict.fromkeys(table["trace"])), list(comparison.choices)
    shape = (len(names), len(choices))
    cube = {part: values.reshape(*shape, -1) for part, values in parts.items()}
    rows = [
        {"trace": name, "choice": choice, **row}
        for at, name in enumerate(names)
        for choice, row in zip(choices, _told({part: cube[part][at] for part in PARTS}), strict=True)
    ]
    per_trace = pd.concat(
        [pd.DataFrame(rows), pd.DataFrame({name: figures[name] for name in figures})], axis=1
    )
    mean = _told({part: cube[part].mean(axis=0) for part in PARTS})
    totals = pd.DataFrame(mean, index=pd.Index(choices, name="choice"))
    whole = np.sum([cube[part] for part in PARTS], axis=0)
    totals["wins_low"], totals["wins_high"] = _interval(whole[..., 1:], seed)
    for name in figures:
        totals[name] = figures[name].reshape(shape).mean(axis=0)
    if PTE_MAPPED in choices:
        totals["page_tables_per_second"] = (
            figures["protect_single_h"].reshape(shape)[:, choices.index(PTE_MAPPED)].mean() / HOUR
        )
    return Cost(workload, prices, per_trace, totals)


def _drawn(dimensions: int, samples: int, seed: int) -> Floats:
    """Return points of the unit cube, of low discrepancy; shape (samples, dimensions)."""
    primes = [each for each in range(2, 20 * dimensions) if all(each % other for other in range(2, each))]
    steps = np.sqrt(primes[:dimensions]) % 1.0
    shift = np.random.default_rng(seed).random(dimensions)
    return np.asarray((shift + np.arange(1, samples + 1)[:, None] * steps) % 1.0, np.float64)


def _within(drawn: Floats, low: float, high: float) -> Floats:
    """Return points of the unit interval as values of a range, by the logarithm where it is wide."""
    if low > 0 and high >= WIDE * low:
        return np.asarray(low * (high / low) ** drawn, np.float64)
    return low + (high - low) * drawn


def _hourly(table: pd.DataFrame) -> dict[str, Floats]:
    """Return what is paid for, per hour of each row: counts, GiB, and the share of the map that is split."""
    seconds = table["seconds"].to_numpy(np.float64)
    rate = np.divide(HOUR, seconds, out=np.zeros_like(seconds), where=seconds > 0)
    counted = sorted({name for names in COUNTS.values() for name in names})
    found = {f"{name}_h": table[name].to_numpy(np.float64) * rate for name in counted}
    page_bytes = table["page_size_kib"].to_numpy(np.float64) * KIB
    found["held_back_gib"] = table["held_back_mean"].to_numpy(np.float64) * page_bytes / GIB
    found["split_share"] = np.clip(1 - table["mapped_mean"].to_numpy(np.float64), 0, 1)
    return found


def _parts(figures: dict[str, Floats], points: dict[str, Floats]) -> dict[str, Floats]:
    """Return each part of the cost, in CPU s/h, of each row at each point of the prices."""
    found: dict[str, Floats] = {}
    for price, names in COUNTS.items():
        times = np.sum([figures[f"{name}_h"] for name in names], axis=0)
        found[price] = times[:, None] * points[price]
    found[MEMORY] = figures["held_back_gib"][:, None] * points[MEMORY]
    split = figures["split_share"][:, None] ** points["half_split"]
    split = np.where(figures["split_share"][:, None] > 0, split, 0.0)
    found[MAP] = split * points[LOSS] * points["busy_cpus"] * HOUR
    return found


def _told(parts: dict[str, Floats]) -> list[dict[str, float]]:
    """Return a row per choice: parts at the default prices, which come first, and their range over the rest."""
    whole = np.sum(list(parts.values()), axis=0)
    low, high = np.quantile(whole[:, 1:], (0.05, 0.95), axis=1)
    wins = _wins(whole[:, 1:])
    return [
        {"total": float(whole[at, 0]), **{part: float(parts[part][at, 0]) for part in parts},
         "low": float(low[at]), "high": float(high[at]), "wins": float(wins[at])}
        for at in range(len(whole))
    ]  # fmt: skip


def _wins(whole: Floats) -> Floats:
    """Return the share of points at which each choice is cheapest; those that are alike share a point."""
    cheapest = whole <= whole.min(axis=0)
    return np.asarray((cheapest / cheapest.sum(axis=0)).mean(axis=1), np.float64)


def _interval(whole: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return the 95 % interval of `_wins` over traces drawn anew; `whole` has traces, choices, points."""
    generator = np.random.default_rng([seed, 1])
    found = [
        _wins(whole[generator.integers(0, len(whole), len(whole))].mean(axis=0)) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    return low, high


def _amount(value: float) -> str:
    """Return CPU seconds as text: three digits, small ones too."""
    return number(value) if value >= 100 or value == 0 else f"{value:.3g}"


def map_tables_share(page_size_kib: int) -> float:
    """Return the share of memory that a linear map in PTEs takes in page tables: one page per block.

    0.195 % with pages of 4 KiB, 0.049 % with 16, 0.012 % with 64.
    """
    return float(2.0 ** -ORDERS[page_size_kib].block)


def break_even_memory(comparison: Comparison, choices: Sequence[str] | None = None) -> pd.DataFrame:
    """Return from which memory on a linear map in PTEs takes more memory than a policy holds back. No price is needed.

    Parameters
    ----------
    comparison : Comparison
        What `pba.compare` returned.
    choices : sequence of str, optional
        Which; by default all but `pte-mapped`.

    Returns
    -------
    DataFrame
        A row per trace and choice: `trace`, `choice`, `memory_gib` (the machine's), `held_back_mean`, `held_back_peak`
        (pages), `mean_gib` and `peak_gib`: with so much memory or more the tables of a map in PTEs, one page per block,
        take more than the policy holds back on average, or at most. That the demand does not grow with memory is
        assumed.
    """
    table = comparison.per_trace
    wanted = [choice for choice in comparison.choices if choice.partition(" ")[0] != PTE_MAPPED]
    table = table[table["choice"].isin(wanted if choices is None else list(choices))]
    page = table["page_size_kib"] * KIB
    block = table["page_size_kib"].map({size: 1 << orders.block for size, orders in ORDERS.items()})
    found = table[["trace", "choice", "held_back_mean", "held_back_peak"]].assign(
        memory_gib=table["memory_pages"] * page / GIB,
        mean_gib=table["held_back_mean"] * block * page / GIB,
        peak_gib=table["held_back_peak"] * block * page / GIB,
    )
    columns = ["trace", "choice", "memory_gib", "held_back_mean", "held_back_peak", "mean_gib", "peak_gib"]
    return found[columns].reset_index(drop=True)
