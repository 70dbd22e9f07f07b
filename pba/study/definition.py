"""The file that says what a study is: traces, machine, search space, budget, seed.

One TOML file, read with every key checked: a misspelt key that is silently ignored would be a wrong
result that looks right. `studies/quickstart.toml` shows all keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from pba.errors import PbaError, StudyError
from pba.machine import LINEAR_MAPS, ORDERS
from pba.printable import printable
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
    path: Path | None = field(default=None, compare=False)

    def with_(self, **changes: Any) -> StudyDefinition:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    @property
    def space_size(self) -> int:
        """How many distinct points the space has."""
        product = 1
        for name in THRESHOLD_NAMES:
            product *= len(self.space[name])
        return product


def read_definition(path: str | Path) -> StudyDefinition:
    """Read a study file.

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
    return parse_definition(text, path)


def quickstart() -> Path:
    """Return the study file that `pba tune` runs by default: in `studies/` of a clone, or in the package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "studies" / "quickstart.toml"
    return inside if inside.is_file() else package.parent / "studies" / "quickstart.toml"


def parse_definition(text: str, path: Path) -> StudyDefinition:
    """Read the text of a study file; `path` is for messages and for relative traces."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise StudyError(
            f"{path}: not a TOML file: {printable(error, 300)}", "see studies/README.md"
        ) from error
    top = _Table(path, "", values)
    name = top.text("name")
    if not _NAME.fullmatch(name):
        top.refuse("name", "letters, digits, '.', '_' and '-' only (it names a folder)", name)
    machine, search = top.table("machine"), top.table("search")
    definition = StudyDefinition(
        name=name,
        description=top.text("description", ""),
        traces=top.texts("traces", ("*",)),
        page_size_kib=_page_size(machine),
        memory_bytes=_memory(machine),
        linear_map=machine.choice("linear_map", ("largest", *LINEAR_MAPS), "largest").replace("largest", ""),
        space=_space(top.table("space")),
        points=search.whole("points", 320, 1),
        seed=search.whole("seed", 1, 0, (1 << 32) - 1),
        sampler=search.choice("sampler", SAMPLERS, "tpe"),
        path=path,
    )
    for table in (machine, search, top):
        table.done()
    return definition


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

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.take(key, list(default))
        values = [value] if isinstance(value, str) else value
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
                raise StudyError(
                    f"{self.path}: {printable(where)}: unknown key", "known here: " + ", ".join(self.asked)
                )
