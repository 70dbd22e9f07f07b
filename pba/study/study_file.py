"""The file that says what a study is, read with every key checked.

TOML: a misspelt key that is silently ignored would be a wrong result that looks right.
`studies/quickstart.toml` shows the keys, `studies/README.md` explains all of them.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from pba.errors import PbaError, StudyError, meant, option
from pba.machine import LINEAR_MAPS, ORDERS, Start
from pba.printable import printable
from pba.study.aims import DEFAULT_AIMS, KNOWN_AIMS, OVER, Aim, aim_from
from pba.study.definition import (
    BLOCK_NR_PAGES_4K,
    DEFAULT_CONSTRAINTS,
    DEFAULT_SPACE,
    MOST_AIMS,
    NO_FILE,
    RULE_NAMES,
    SAMPLERS,
    THRESHOLD_NAMES,
    Choice,
    Limit,
    Range,
    StudyDefinition,
)
from pba.study.generated import Generated
from pba.units import parse_bytes, parse_time

_LIMITS: Final = {
    "unshrinkable_pages": (0, 1 << 26),
    "shrink_block_min_pages": (1, BLOCK_NR_PAGES_4K),
    "batch": (1, 1 << 26),
}
"""Lowest and highest value that a threshold may have in a space, in pages (M ends at a block)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


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


def parse_definition(text: str, path: Path | None, changes: Sequence[str] = ()) -> StudyDefinition:
    """Read the text of a study file; `path` is for messages and for relative traces, None for no file."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise StudyError(
            f"{path or NO_FILE}: not a TOML file: {printable(error, 300)}", "see studies/README.md"
        ) from error
    for change in changes:
        apply_change(values, change)
    return _definition_of(values, path)


def _definition_of(values: Mapping[str, Any], path: Path | None) -> StudyDefinition:
    """Return the study that the keys of a file say."""
    top = _Table(NO_FILE if path is None else str(path), "", values)
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
        start=_start(machine),
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
        generated=_generated(top),
        path=path,
    )
    for table in (machine, search, decision, top):
        table.done()
    return definition


def apply_change(values: dict[str, Any], change: str) -> None:
    """Put another value in the place of a key's: `search.points=1000`.

    Raises
    ------
    StudyError
        If it is not a key, `=` and a value, or a key on the way is no table.
    """
    name, sign, said = change.partition("=")
    keys = [key.strip() for key in name.split(".")]
    told = option("set", printable(change, 200))
    if not sign or not all(keys):
        raise StudyError(f"{told}: expected a key and its value", "say search.points=1000")
    try:
        value = tomllib.loads(f"value = {said}")["value"]
    except (ValueError, RecursionError):
        value = said.strip()
    table = values
    if keys[0] == "traces" and len(keys) > 1 and not isinstance(values.get("traces"), dict):
        values["traces"] = {"train": values.get("traces", ["*"])}
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise StudyError(f"{told}: {printable(key)} is no table")
    table[keys[-1]] = value


def differing_keys(before: str, now: str) -> Iterator[tuple[str, object, object]]:
    """Yield the keys in which two study files differ, with their values; nothing where one is no TOML."""
    try:
        old, new = _keys_of(tomllib.loads(before)), _keys_of(tomllib.loads(now))
    except (ValueError, RecursionError):
        return
    for key in dict.fromkeys([*new, *old]):
        if old.get(key) != new.get(key):
            yield f"value of {printable(key)}", old.get(key, "nothing"), new.get(key, "nothing")


def _keys_of(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return all keys with their tables' names before them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}.{key}" if above else key
        found |= _keys_of(value, name) if isinstance(value, dict) else {name: value}
    return found


def inline(value: Any) -> str:
    """Return a value as TOML has it on one line, for `apply_change`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{inline(str(key))} = {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    # JSON's texts are TOML's, but for this one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _traces(top: _Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the recordings that are tuned on, and those that are held out."""
    # A study of generated traces has no recordings unless it names them.
    default = () if top.values.get("generated") else ("*",)
    if not isinstance(top.values.get("traces"), dict):
        return top.texts("traces", default, may_be_empty=not default), ()
    table = top.table("traces")
    train = table.texts("train", default, may_be_empty=not default)
    found = train, table.texts("held_out", (), may_be_empty=True)
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
        if not isinstance(plain, dict) or not isinstance(plain.get("name"), str):
            top.refuse("aims", expected, item)
        if plain.get("over", "sum") not in tuple(OVER):
            top.refuse("aims", "over to be " + ", ".join(f'"{name}"' for name in OVER), plain["over"])
        if plain.get("code"):  # of the user's own, from Python: the function is not in the file
            found.append(_own_aim(top, plain))
            continue
        if set(plain) - {"name", "over"}:
            top.refuse("aims", expected, item)
        check_aim_name(f"{top.where}: aims", plain["name"])
        found.append(aim_from(plain))
    if len({aim.name for aim in found}) < len(found):
        top.refuse("aims", "each aim once", [aim.name for aim in found])
    return tuple(found)


def _own_aim(top: _Table, plain: dict[str, Any]) -> Aim:
    """Return an aim with a function of the user's own, without its function."""
    try:
        return Aim(**plain)
    except (TypeError, ValueError) as error:
        top.refuse("aims", f"the words of pba.Aim ({error})", plain)


def check_aim_name(where: str, name: str) -> None:
    """Raise `StudyError` if no aim has that name; the message says which is nearest."""
    if name not in KNOWN_AIMS:
        raise StudyError(f"{where}: no aim is called {printable(repr(name))}", meant(name, tuple(KNOWN_AIMS)))


def _constraints(table: _Table) -> dict[str, Limit]:
    """Return the limits: a number is the most that a figure may be, a table has `least` and `most`."""
    found = dict(DEFAULT_CONSTRAINTS)
    for name, value in table.values.items():
        check_aim_name(f"{table.where}: [constraints]", name)
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


def _start(machine: _Table) -> Start:
    """Return what of memory is free at the start."""
    from_trace = machine.truth("memory_from_trace", False)
    share = machine.real("fragmented", None, 0, 1)
    seed = machine.whole("fragmented_seed", 0, 0, (1 << 32) - 1)
    if from_trace and share is not None:
        machine.refuse("fragmented", "no share beside memory_from_trace = true", share)
    return Start(from_trace, share, seed)


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


GENERATED_KEYS: Final = (
    "workload", "name", "seed", "duration", "events", "page_size_kib", "memory", "parameters", "held_out",
)  # fmt: skip


def _generated(top: _Table) -> tuple[Generated, ...]:
    """Return the traces that are generated: a table each, or one for each combination of what is a list."""
    given = top.take("generated", [])
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        top.refuse("generated", "tables: [[generated]]", given)
    found: list[Generated] = []
    for item in given:
        found += _combinations(_Table(top.where, "[generated]", item))
    names = [one.name for one in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise StudyError(f"{top.where}: [[generated]]: two are called {twice[0]!r}", "give one a name")
    return tuple(found)


def _combinations(table: _Table) -> Iterator[Generated]:
    """Yield a trace for each combination of the seeds, the page sizes and the sizes of memory of a table."""
    workload = table.text("workload")
    name = table.text("name", workload)
    if not _NAME.fullmatch(name):
        table.refuse("name", "letters, digits, '.', '_' and '-' only (it names a file)", name)
    duration, events = table.take("duration"), table.take("events")
    parameters = table.table("parameters")
    held_out = table.truth("held_out", False)
    axes = [
        _listed(table, key, default)
        for key, default in (("page_size_kib", None), ("memory", None), ("seed", 0))
    ]
    for key in table.values:
        if key not in GENERATED_KEYS:
            raise StudyError(
                f"{table.where}: [[generated]] {printable(key)}: unknown key", meant(key, GENERATED_KEYS)
            )
    for page, memory, seed in itertools.product(*axes):
        varied = zip(axes, (f"{page}k", str(memory).replace(" ", ""), f"s{seed}"), strict=True)
        words = [name, *(word for axis, word in varied if len(axis) > 1)]
        sizes = {
            key: value
            for key, value in (("page_size", page), ("memory", _mib(table, memory)))
            if value is not None
        }
        one = Generated(
            "-".join(words), workload, seed, _duration(table, duration), events,
            tuple((key, str(value)) for key, value in {**parameters.values, **sizes}.items()), held_out,
        )  # fmt: skip
        try:
            one.check()
        except PbaError as error:
            raise StudyError(
                f"{table.where}: [[generated]] {workload}: {error.message}", error.hint
            ) from error
        yield one


def _listed(table: _Table, key: str, default: Any) -> list[Any]:
    """Return the values of a key that may be one or several."""
    value = table.take(key, default)
    values = value if isinstance(value, list) else [value]
    if not values or len(set(map(str, values))) < len(values):
        table.refuse(key, "a value, or several that differ", value)
    return values


def _mib(table: _Table, memory: Any) -> str | None:
    """Return a size of memory in MiB, as workloads take it."""
    if memory is None:
        return None
    expected = 'sizes of whole MiB such as "4 GiB"'
    try:
        size = parse_bytes(memory)
    except (PbaError, AttributeError):
        table.refuse("memory", expected, memory)
    return str(size >> 20) if size and size % (1 << 20) == 0 else table.refuse("memory", expected, memory)


def _duration(table: _Table, duration: Any) -> int | None:
    """Return a length in ns."""
    try:
        return None if duration is None else parse_time(duration, "duration")
    except (PbaError, AttributeError, TypeError):
        return table.refuse("duration", 'a length such as "5min"', duration)


class _Table:
    """One table of the file: gives out checked values and knows which keys nobody asked for."""

    def __init__(self, where: str, name: str, values: Mapping[str, Any]) -> None:
        self.where, self.name, self.values = where, name, dict(values)
        self.asked: list[str] = []

    def take(self, key: str, default: Any = None) -> Any:
        self.asked.append(key)
        return self.values.get(key, default)

    def refuse(self, key: str, expected: str, found: object) -> NoReturn:
        where = f"[{self.name}] {key}" if self.name else key
        raise StudyError(f"{self.where}: {where}: expected {expected}, found {printable(repr(found))}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.take(key, default)
        if value is None:
            raise StudyError(f"{self.where}: the key {key} is missing", "see studies/README.md")
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
        return _Table(self.where, f"{self.name}.{key}" if self.name else key, value)

    def done(self) -> None:
        for key in self.values:
            if key not in self.asked:
                where = f"[{self.name}] {key}" if self.name else key
                raise StudyError(f"{self.where}: {printable(where)}: unknown key", meant(key, self.asked))
