"""The file that says what a study is: traces, machines, aims, search space, budget, seed, and how to decide.

One TOML file, read with every key checked: a misspelt key that is silently ignored would be a wrong
result that looks right. `studies/quickstart.toml` shows all keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from pba.errors import PbaError, StudyError, meant, option
from pba.machine import LINEAR_MAPS, ORDERS
from pba.printable import printable
from pba.study.aims import DEFAULT_AIMS, KNOWN_AIMS, OVER, Aim, aim_from
from pba.units import parse_bytes

THRESHOLD_NAMES: Final = ("unshrinkable_pages", "shrink_block_min_pages", "batch")
"""The three thresholds, in the order of `pba.Thresholds`."""

SAMPLERS: Final = ("tpe", "nsga2", "random")
"""Samplers that `pba.study.search` knows."""

BLOCK_NR_PAGES_4K: Final = 512
"""`BLOCK_NR_PAGES` on 4 KiB pages: the scale on which a study states M and B."""

_LIMITS: Final = {
    "unshrinkable_pages": (0, 1 << 26),
    "shrink_block_min_pages": (1, BLOCK_NR_PAGES_4K),
    "batch": (1, 1 << 26),
}
"""Lowest and highest value that a threshold may have in a space, in pages (M ends at a block)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Range:
    """The values that a search may give to one threshold.

    Attributes
    ----------
    low, high : int
        Least and greatest value in pages (M and B as for 4 KiB pages), both included.
    log : bool
        Whether the search is even on a log scale: a step from 8 to 16 then counts as one from 512 to 1024.
    """

    low: int
    high: int
    log: bool

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def __len__(self) -> int:
        return self.high - self.low + 1


DEFAULT_SPACE: Final[dict[str, Range]] = {
    "unshrinkable_pages": Range(4, 16384, True),
    "shrink_block_min_pages": Range(1, 512, False),
    "batch": Range(8, 8192, True),
}
"""What is searched by default.

U begins at `PBA_NR_RESERVED_PAGES`, below which a pass would take what splitting the linear map needs,
and ends at 16384 (64 MiB of 4 KiB pages), where hardly any cache is shrunk. M has all its range, up to a
whole block, and is searched evenly: on a log scale the last sixteenth of it, where only a nearly empty block
is split, would get one point in a hundred. B begins at 8, below which passes only get slower, and ends at 16
blocks.
"""


RULE_NAMES: Final = ("fewest-within", "no-worse-anywhere", "least-regret", "least-product")
"""Rules that `pba.study.decision.rules` knows, the default first."""
MOST_AIMS: Final = 3
"""More aims than this leave hardly a point that another beats."""


@dataclass(frozen=True)
class Choice:
    """How a study decides.

    Attributes
    ----------
    rule : str
        One of `RULE_NAMES`.
    loss : float
        How far from the best score a point may be and still belong to the region, in shares of the patch's.
    within : float
        For `fewest-within`: how far the further aims may lie above the patch's, as a share.
    """

    rule: str = RULE_NAMES[0]
    loss: float = 0.05
    within: float = 0.0


@dataclass(frozen=True)
class Limit:
    """What a figure may be at least and at most; None for no end."""

    least: float | None = None
    most: float | None = None

    def violation(self, value: float) -> float:
        """Return how far a value is beyond the limit: 0 or less where it is kept."""
        below = self.least - value if self.least is not None else -float("inf")
        above = value - self.most if self.most is not None else -float("inf")
        return max(below, above)


DEFAULT_CONSTRAINTS: Final[dict[str, Limit]] = {"deadlocks": Limit(most=0), "pages_leaked": Limit(most=0)}
"""What no recommended point may do."""


@dataclass(frozen=True)
class StudyDefinition:
    """What a study file says.

    Attributes
    ----------
    name : str
        Short name; the run's folder is named after it.
    description : str
        What the study asks, in a sentence or two.
    traces : tuple of str
        Names or patterns of recordings that come with pba (`*`, `chromium`), or paths of trace files,
        relative to the study file.
    page_size_kib : int, optional
        Page size of the simulated machines; None takes each trace's own.
    memory_bytes : int, optional
        Memory of the simulated machines in bytes; None takes each trace's own.
    linear_map : str
        Largest leaf of the linear map; empty takes the largest that the page size has.
    space : dict of str to Range
        The values to search, by threshold; M and B as for 4 KiB pages.
    points : int
        How many distinct points to try, the patch's included.
    seed : int
        Seed of the search's random numbers.
    sampler : {"tpe", "nsga2", "random"}
        How the search chooses its points.
    held_out : tuple of str
        As `traces`: recordings that have no say in the search and in the choice, on which it is tried.
    aims : tuple of Aim
        What is minimised or maximised, the most important first.
    constraints : dict of str to Limit
        What figures (names of `pba.study.aims.KNOWN_AIMS`) a recommended point must keep.
    choice : Choice
        How the study decides.
    groups : dict of str to tuple of str
        Names or patterns of the study's recordings, by the group's name; empty for a group a machine class.
    sweep : bool
        Whether every point of a grid is evaluated as well, which the decision then rests on.
    path : Path, optional
        The file that said so.
    """

    name: str
    description: str = ""
    traces: tuple[str, ...] = ("*",)
    page_size_kib: int | None = None
    memory_bytes: int | None = None
    linear_map: str = ""
    space: Mapping[str, Range] = field(default_factory=lambda: dict(DEFAULT_SPACE))
    points: int = 320
    seed: int = 1
    sampler: str = "tpe"
    held_out: tuple[str, ...] = ()
    aims: tuple[Aim, ...] = DEFAULT_AIMS
    constraints: Mapping[str, Limit] = field(default_factory=lambda: dict(DEFAULT_CONSTRAINTS))
    choice: Choice = field(default_factory=Choice)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sweep: bool = True
    path: Path | None = field(default=None, compare=False)

    def with_(self, **changes: Any) -> StudyDefinition:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    @property
    def where(self) -> str:
        """What messages call it: its file, or its name."""
        return self.name if self.path is None else str(self.path)

    @property
    def space_size(self) -> int:
        """How many distinct points the space has."""
        product = 1
        for name in THRESHOLD_NAMES:
            product *= len(self.space[name])
        return product


def read_definition(path: str | Path, changes: Sequence[str] = ()) -> StudyDefinition:
    """Read a study file.

    Parameters
    ----------
    path : str or Path
        The file.
    changes : sequence of str
        `search.points=1000`: a key with its tables, and what it says instead.

    Raises
    ------
    StudyError
        If the file cannot be read, is not TOML, lacks a key, has an unknown one, or a value is not what
        it should be; the message names the file, the key and what was expected.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StudyError(f"{path}: no such study file", "studies/quickstart.toml is one to copy") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read as a study file: {error}") from error
    return parse_definition(text, path, changes)


def quickstart() -> Path:
    """Return the study file that `pba tune` runs by default: in `studies/` of a clone, or in the package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "studies" / "quickstart.toml"
    return inside if inside.is_file() else package.parent / "studies" / "quickstart.toml"


def parse_definition(text: str, path: Path, changes: Sequence[str] = ()) -> StudyDefinition:
    """Read the text of a study file; `path` is for messages and for relative traces."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise StudyError(
            f"{path}: not a TOML file: {printable(error, 300)}", "see studies/README.md"
        ) from error
    for change in changes:
        _change(values, change)
    top = _Table(path, "", values)
    name = top.text("name")
    if not _NAME.fullmatch(name):
        top.refuse("name", "letters, digits, '.', '_' and '-' only (it names a folder)", name)
    machine, search, decision = top.table("machine"), top.table("search"), top.table("decision")
    traces, held_out = _traces(top)
    definition = StudyDefinition(
        name=name,
        description=top.text("description", ""),
        traces=traces,
        held_out=held_out,
        page_size_kib=_page_size(machine),
        memory_bytes=_memory(machine),
        linear_map=machine.choice("linear_map", ("largest", *LINEAR_MAPS), "largest").replace("largest", ""),
        aims=_aims(top),
        constraints=_constraints(top.table("constraints")),
        space=_space(top.table("space")),
        points=search.whole("points", 320, 1),
        seed=search.whole("seed", 1, 0, (1 << 32) - 1),
        sampler=search.choice("sampler", SAMPLERS, "tpe"),
        sweep=search.truth("sweep", True),
        choice=Choice(
            decision.choice("rule", RULE_NAMES, RULE_NAMES[0]),
            decision.real("loss", 0.05, 0, 1),
            decision.real("within", 0.0, 0, 10),
        ),
        groups=_groups(top.table("groups")),
        path=path,
    )
    for table in (machine, search, decision, top):
        table.done()
    return definition


def _change(values: dict[str, Any], change: str) -> None:
    """Put another value in the place of a key's."""
    name, sign, said = change.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not sign or not all(keys):
        raise StudyError(
            f"{option('set', printable(change))}: expected a key and its value", "say search.points=1000"
        )
    try:
        value = tomllib.loads(f"value = {said}")["value"]
    except (ValueError, RecursionError):
        value = said.strip()
    table = values
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise StudyError(f"{option('set', printable(change))}: {printable(key)} is no table")
    table[keys[-1]] = value


def _traces(top: _Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the recordings that are tuned on, and those that are held out."""
    if not isinstance(top.values.get("traces"), dict):
        return top.texts("traces", ("*",)), ()
    table = top.table("traces")
    found = table.texts("train", ("*",)), table.texts("held_out", (), may_be_empty=True)
    table.done()
    return found


def _aims(top: _Table) -> tuple[Aim, ...]:
    """Return the aims: names, or tables of a name and how recordings add up."""
    given = top.take("aims", [aim.name for aim in DEFAULT_AIMS])
    expected = f"one to {MOST_AIMS} names of aims, or tables {{name = ..., over = ...}}"
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_AIMS:
        top.refuse("aims", expected, given)
    found = []
    for item in given:
        plain = {"name": item} if isinstance(item, str) else item
        if (
            not isinstance(plain, dict)
            or not isinstance(plain.get("name"), str)
            or set(plain) - {"name", "over"}
        ):
            top.refuse("aims", expected, item)
        check_aim_name(f"{top.path}: aims", plain["name"])
        if plain.get("over", "sum") not in tuple(OVER):
            top.refuse("aims", "over to be " + ", ".join(f'"{name}"' for name in OVER), plain["over"])
        found.append(aim_from(plain))
    if len({aim.name for aim in found}) < len(found):
        top.refuse("aims", "each aim once", [aim.name for aim in found])
    return tuple(found)


def check_aim_name(where: str, name: str) -> None:
    """Raise `StudyError` if no aim has that name; the message says which is nearest."""
    if name not in KNOWN_AIMS:
        raise StudyError(f"{where}: no aim is called {printable(repr(name))}", meant(name, tuple(KNOWN_AIMS)))


def _constraints(table: _Table) -> dict[str, Limit]:
    """Return the limits: a number is the most that a figure may be, a table has `least` and `most`."""
    found = dict(DEFAULT_CONSTRAINTS)
    for name, value in table.values.items():
        check_aim_name(f"{table.path}: [constraints]", name)
        table.take(name)
        if isinstance(value, dict):
            inner = table.table(name)
            least, most = (inner.real(end, None) for end in ("least", "most"))
            inner.done()
        else:
            least, most = None, table.real(name, None)
        if least is not None and most is not None and least > most:
            table.refuse(name, f"least = {least:g} to be no more than most = {most:g}", value)
        if most is not None and most < 0:
            table.refuse(name, "a figure that can be: none is below 0", value)
        found[name] = Limit(least, most)
    table.done()
    return found


def _groups(table: _Table) -> dict[str, tuple[str, ...]]:
    return {printable(name): table.texts(name, ()) for name in table.values}


def _page_size(machine: _Table) -> int | None:
    value = machine.take("page_size_kib", "trace")
    if value == "trace":
        return None
    if type(value) is not int or value not in ORDERS:
        machine.refuse("page_size_kib", 'one of "trace", 4, 16, 64', value)
    return int(value)


def _memory(machine: _Table) -> int | None:
    value, expected = machine.take("memory", "trace"), '"trace" or a size such as "4 GiB"'
    if value == "trace":
        return None
    try:
        return parse_bytes(value) or machine.refuse("memory", expected, value)
    except (PbaError, AttributeError):
        return machine.refuse("memory", expected, value)


def _space(table: _Table) -> dict[str, Range]:
    """Return the ranges; a threshold that the file does not name keeps its default."""
    space = {}
    for name in THRESHOLD_NAMES:
        default, (least, most) = DEFAULT_SPACE[name], _LIMITS[name]
        item = table.table(name)
        low = item.whole("low", default.low, least, most)
        high = item.whole("high", default.high, least, most)
        log = item.truth("log", default.log)
        if high < low:
            item.refuse("high", f"at least low = {low}", high)
        if log and low < 1:
            item.refuse("low", "at least 1 on a log scale (or log = false)", low)
        item.done()
        space[name] = Range(low, high, log)
    table.done()
    return space


class _Table:
    """One table of the file: gives out checked values and knows which keys nobody asked for."""

    def __init__(self, path: Path, name: str, values: Mapping[str, Any]) -> None:
        self.path, self.name, self.values = path, name, dict(values)
        self.asked: list[str] = []

    def take(self, key: str, default: Any = None) -> Any:
        self.asked.append(key)
        return self.values.get(key, default)

    def refuse(self, key: str, expected: str, found: object) -> NoReturn:
        where = f"[{self.name}] {key}" if self.name else key
        raise StudyError(f"{self.path}: {where}: expected {expected}, found {printable(repr(found))}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.take(key, default)
        if value is None:
            raise StudyError(f"{self.path}: the key {key} is missing", "see studies/README.md")
        if not isinstance(value, str):
            self.refuse(key, "a text", value)
        return str(value)

    def texts(self, key: str, default: tuple[str, ...], may_be_empty: bool = False) -> tuple[str, ...]:
        value = self.take(key, list(default))
        values = [value] if isinstance(value, str) else value
        if may_be_empty and values == []:
            return ()
        if not isinstance(values, list) or not values or not all(isinstance(v, str) and v for v in values):
            self.refuse(key, "a list of names, patterns or paths of traces", value)
        return tuple(values)

    def whole(self, key: str, default: int, least: int, most: int | None = None) -> int:
        value = self.take(key, default)
        limits = f"from {least}" + ("" if most is None else f" to {most}")
        fits = isinstance(value, int) and not isinstance(value, bool)
        if not fits or value < least or (most is not None and value > most):
            self.refuse(key, f"a whole number {limits}", value)
        return int(value)

    def real(self, key: str, default: float | None, least: float = -1e18, most: float = 1e18) -> Any:
        value = self.take(key, default)
        if value is None:
            return None
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if not fits or not least <= value <= most:
            self.refuse(key, f"a number from {least:g} to {most:g}", value)
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "true or false", value)
        return bool(value)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.take(key, default)
        if value not in choices:
            self.refuse(key, "one of " + ", ".join(f'"{choice}"' for choice in choices), value)
        return str(value)

    def table(self, key: str) -> _Table:
        value = self.take(key, {})
        if not isinstance(value, dict):
            self.refuse(key, "a table", value)
        return _Table(self.path, f"{self.name}.{key}" if self.name else key, value)

    def done(self) -> None:
        for key in self.values:
            if key not in self.asked:
                where = f"[{self.name}] {key}" if self.name else key
                raise StudyError(f"{self.path}: {printable(where)}: unknown key", meant(key, self.asked))
