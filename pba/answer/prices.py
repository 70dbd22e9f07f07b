"""The price list: what a split, a call, a flush, a held page and a lost block mapping cost, and how that is known."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba import shown
from pba.errors import PbaError, meant
from pba.printable import printable

if TYPE_CHECKING:
    import pandas as pd

SHIPPED: Final = "answer/prices.toml"
"""The list that comes with pba, in `studies/`."""
LOSS: Final = "loss"
TIME: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
SHARE: Final = {"share": 1.0, "%": 0.01}
UNITS: Final[dict[str, dict[str, float]]] = {
    "pmd_split": TIME, "set_memory_call": TIME, "tlb_flush": TIME, "refill": TIME, "page_given_back": TIME,
    "held_memory": {"CPU s/GiB/h": 1.0}, "busy_cpus": {"CPUs": 1.0}, "half_split": {"exponent": 1.0},
}  # fmt: skip
"""Every price but the losses, the units that it may have, and what one of these is in seconds or plain numbers."""
KNOWN: Final = ("source", "derived", "unknown")
KEYS: Final = ("meaning", "default", "low", "high", "unit", "known", "from")


@dataclass(frozen=True)
class Price:
    """A price, or something else that costs depend on.

    Attributes
    ----------
    name : str
        `pmd_split`, say, or `loss.web`.
    meaning : str
        What is paid for.
    default, low, high : float
        What is taken, and the range that is tried, in `unit`.
    unit : str
        Its unit.
    known : {"source", "derived", "unknown"}
        How it is known.
    source : str
        Who has measured it, what it is worked out from, or what is assumed.
    """

    name: str
    meaning: str
    default: float
    low: float
    high: float
    unit: str
    known: str
    source: str

    @property
    def factor(self) -> float:
        """What one of its unit is in seconds, or as a plain number."""
        return units_of(self.name)[self.unit]


@dataclass(frozen=True)
class Prices:
    """A price list: `pba.read_prices`.

    Attributes
    ----------
    prices : dict of str to Price
        Every price by its name, in the list's order.
    """

    prices: Mapping[str, Price] = field(repr=False)

    @property
    def losses(self) -> tuple[str, ...]:
        """The classes of workloads that losing the block mapping has a price for."""
        return tuple(name.partition(".")[2] for name in self.prices if name.startswith(f"{LOSS}."))

    def loss(self, workload: str) -> Price:
        """Return what losing every block mapping costs a class of workload.

        Raises
        ------
        PbaError
            If there is no such class.
        """
        if workload not in self.losses:
            raise PbaError(
                f"no class of workloads is called {printable(repr(workload))}", meant(workload, self.losses)
            )
        return self.prices[f"{LOSS}.{workload}"]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per price, indexed by `name`: `default`, `low`, `high`, `unit`, `known`, `meaning`, `source`."""
        import pandas as pd

        names = ("name", "default", "low", "high", "unit", "known", "meaning", "source")
        rows = [tuple(getattr(price, name) for name in names) for price in self.prices.values()]
        return pd.DataFrame(rows, columns=names).set_index("name")

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the list in Jupyter."""
        rows = [
            (price.name, f"{price.default:g}", f"{price.low:g} to {price.high:g}", price.unit, price.known)
            for price in self.prices.values()
        ]
        return shown.html("Prices", shown.table(("", "default", "range", "unit", "known"), rows))


def units_of(name: str) -> dict[str, float]:
    """Return the units that a price may have, and what one of each is."""
    return SHARE if name.startswith(f"{LOSS}.") else UNITS[name]


def shipped() -> Path:
    """Return the price list that comes with pba."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "studies"
    return (inside if inside.is_dir() else package.parent / "studies") / SHIPPED


def read_prices(path: str | Path | None = None) -> Prices:
    """Read a price list.

    Parameters
    ----------
    path : str or Path, optional
        A TOML file with some of the prices, or classes of workloads of its own (`[loss.NAME]`); what it does not say
        is that of the list that comes with pba, `studies/answer/prices.toml`. By default that list.

    Returns
    -------
    Prices
        Every price.

    Raises
    ------
    PbaError
        If the file cannot be read, or a price is unknown, lacks a key, has another unit, or a range that does not
        hold its default; the message names file and price.

    Examples
    --------
    >>> pba.read_prices().prices["tlb_flush"].unit
    'ns'
    """
    ours = _read(shipped(), {})
    return ours if path is None else _read(Path(path), ours.prices)


def _read(path: Path, known: Mapping[str, Price]) -> Prices:
    """Return a list, with what it leaves out from another one."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PbaError(f"{path}: no such price list", f"{SHIPPED} is one to copy") from error
    except (OSError, ValueError, RecursionError) as error:
        raise PbaError(
            f"{path}: cannot be read as a price list: {printable(error, 200)}", "see " + SHIPPED
        ) from error
    found = dict(known)
    losses = values.pop(LOSS, {})
    if not isinstance(losses, dict):
        raise PbaError(f"{path}: [{LOSS}] is no table of classes", f"say [{LOSS}.web]")
    for name, value in {**values, **{f"{LOSS}.{name}": value for name, value in losses.items()}}.items():
        if name not in UNITS and not name.startswith(f"{LOSS}."):
            raise PbaError(
                f"{path}: no price is called {printable(repr(name))}", meant(name, (*UNITS, f"{LOSS}.NAME"))
            )
        found[name] = _price(path, name, value, found.get(name))
    missing = [name for name in UNITS if name not in found]
    if missing:
        raise PbaError(f"{path}: has no [{missing[0]}]", "every price is needed")
    return Prices(found)


def _price(path: Path, name: str, value: Any, before: Price | None) -> Price:
    """Return a price of a file; keys that it leaves out are those of the price that it replaces."""
    where = f"{path}: [{printable(name)}]"
    if not isinstance(value, dict):
        raise PbaError(f"{where} is no table", "give default, low, high, unit, known and from")
    for key in value:
        if key not in KEYS:
            raise PbaError(f"{where} has an unknown key {printable(repr(key))}", meant(key, KEYS))
    said: dict[str, Any] = {}
    for key in KEYS:
        if key in value:
            said[key] = value[key]
        elif before is not None:
            said[key] = getattr(before, "source" if key == "from" else key)
        else:
            raise PbaError(f"{where} has no {key}", f"it needs {', '.join(KEYS)}")
    for key in ("default", "low", "high"):
        number = said[key]
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise PbaError(
                f"{where}: {key} = {printable(repr(number))} is no price", "say a number, 0 or more"
            )
    units = units_of(name)
    if said["unit"] not in units:
        raise PbaError(
            f"{where}: unit {printable(repr(said['unit']))} is not one of it", "use " + " or ".join(units)
        )
    if "unit" in value and before is not None and value["unit"] != before.unit:
        for key in ("default", "low", "high"):
            if key not in value:
                raise PbaError(f"{where} has another unit and no {key}", "give default, low and high with it")
    if said["known"] not in KNOWN:
        raise PbaError(
            f"{where}: known = {printable(repr(said['known']))} says nothing", "say " + ", ".join(KNOWN)
        )
    if not said["low"] <= said["default"] <= said["high"]:
        raise PbaError(
            f"{where}: the range {said['low']:g} to {said['high']:g} does not hold the default {said['default']:g}",
            "low, default and high ascend",
        )
    texts = [" ".join(str(said[key]).split()) for key in ("meaning", "from")]
    numbers = (float(said["default"]), float(said["low"]), float(said["high"]))
    return Price(name, texts[0], *numbers, str(said["unit"]), said["known"], texts[1])
