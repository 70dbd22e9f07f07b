"""What a study is asked for: a file with changes, or arguments that say what a file would.

Both end as a text of TOML, which the run's folder keeps, and the study that it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.errors import StudyError, option
from pba.machine import Machine, Start
from pba.study.aims import KNOWN_AIMS, Aim
from pba.study.definition import Choice, Limit, Range, StudyDefinition
from pba.study.folder import sha256_of
from pba.study.shipped import find_study, quickstart
from pba.study.space import distinct_points
from pba.study.study_file import apply_change, inline, parse_definition, read_definition
from pba.trace.corpus import PATTERN_SIGNS
from pba.units import number

if TYPE_CHECKING:
    from pba.trace.table import Trace

TRACES_FOLDER: Final = "traces"
"""Where a run's folder keeps the traces that have no file of their own."""
MOST_POINTS: Final = 1_000_000
"""Most points of one study: each is a trial that the sampler looks back on."""
SHORT_NAMES: Final = {"U": "unshrinkable_pages", "M": "shrink_block_min_pages", "B": "batch"}

Space = Mapping[str, "Range | tuple[int, int] | Mapping[str, Any]"]
Limits = Mapping[str, "float | Limit | Mapping[str, float]"]


@dataclass(frozen=True)
class Words:
    """What the arguments of `pba.tune` say in place of a file's words; None for what they do not."""

    traces: Sequence[Any] | Trace | str | Path | None = None
    held_out: Sequence[Any] | None = None
    machine: Machine | None = None
    space: Space | None = None
    aims: Sequence[str | Mapping[str, Any] | Aim] | None = None
    constraints: Limits | None = None
    rule: str | Choice | None = None
    groups: Mapping[str, Sequence[str]] | None = None
    sampler: str | None = None
    sweep: bool | None = None
    name: str | None = None
    description: str | None = None

    def values(self) -> dict[str, Any]:
        """Return them by the keys of a study file, but for the traces."""
        said: dict[str, Any] = {"name": self.name, "description": self.description}
        said["aims"] = None if self.aims is None else [_aim_words(aim) for aim in self.aims]
        said["groups"] = None if self.groups is None else {k: list(v) for k, v in self.groups.items()}
        said["constraints"] = None if self.constraints is None else _limit_words(self.constraints)
        said["space"] = None if self.space is None else _space_words(self.space)
        said["search"] = {"sampler": self.sampler, "sweep": self.sweep}
        if self.machine is not None:
            kib = self.machine.memory_pages * self.machine.page_size_kib
            said["machine"] = {
                "page_size_kib": self.machine.page_size_kib, "memory": f"{kib} KiB",
                "linear_map": self.machine.linear_map,
            } | _start_words(self.machine.start)  # fmt: skip
        rule = Choice(self.rule) if isinstance(self.rule, str) else self.rule
        said["decision"] = {} if rule is None else {"rule": rule.rule}
        if isinstance(self.rule, Choice):
            said["decision"] |= {"loss": self.rule.loss, "within": self.rule.within}
        return _without_none(said)


@dataclass(frozen=True)
class Asked:
    """A study as it is asked for.

    Attributes
    ----------
    definition : StudyDefinition
        What it says.
    text : bytes
        The study file, or what would stand in one.
    changes : tuple of str
        What `definition` has in place of the text's words.
    folder : Path
        The run's folder.
    traces : dict of Path to Trace
        Traces in memory, by the files in the folder that will keep them.
    command : str
        The command that does the same.
    """

    definition: StudyDefinition
    text: bytes
    changes: tuple[str, ...]
    folder: Path
    command: str
    traces: Mapping[Path, Trace] = field(default_factory=dict)

    def said(self) -> dict[str, Any]:
        """Return what a run's record keeps of it: a run with all of that the same is the one that is asked for."""
        return {
            "points": self.definition.points,
            "seed": self.definition.seed,
            "changes": list(self.changes),
            "aims": [aim.to_dict() for aim in self.definition.aims],
            "study_sha256": sha256_of(self.text),
        }


def ask(study: str | Path | None, folder: str | Path | None, words: Words, changes: Sequence[str]) -> Asked:
    """Return what a study is asked for.

    Parameters
    ----------
    study : str or Path, optional
        A study file, or the name of one that comes with pba.
    folder : str or Path, optional
        The run's folder; `runs/NAME` by default.
    words : Words
        With `traces`, all of a study without a file; else in place of the file's words.
    changes : sequence of str
        More of the kind: `search.points=1000`.

    Raises
    ------
    StudyError
        If the file or an argument is not what it should be.
    """
    if study is not None and words.traces is not None:
        raise StudyError("a study file and traces are two things", "name one of them")
    own = {aim.name: aim for aim in words.aims or () if isinstance(aim, Aim) and aim.figure is not None}
    if words.traces is None:
        found = _of_file(quickstart() if study is None else find_study(study), folder, words, changes)
    else:
        found = _without_file(words.traces, folder, words, changes)
    return _with_functions(found, own)


def with_options(asked: Asked, points: int | None, seed: int | None) -> Asked:
    """Return what is asked for with another number of points and another seed, if that is possible.

    Raises
    ------
    StudyError
        If it is not.
    """
    definition = asked.definition
    if points is not None and points < 1:
        raise StudyError(f"{option('points', points)} is out of range", "use 1 or more")
    if seed is not None and not 0 <= seed < 1 << 32:
        raise StudyError(f"{option('seed', seed)} is out of range", "use 0 to 4294967295")
    changed = definition.with_(
        points=definition.points if points is None else points,
        seed=definition.seed if seed is None else seed,
    )
    there_are = distinct_points(changed.with_(points=changed.space_size + 1))
    most = min(there_are, MOST_POINTS)
    # A small space may be asked for more than it has: all of it is tried then. Not so a number like 10**20.
    if changed.points > MOST_POINTS:
        raise StudyError(
            f"{number(changed.points)} points are more than a study takes",
            f"its space has {number(there_are)} different points; use at most {number(most)}",
        )
    return replace(asked, definition=changed)


def _of_file(path: Path, folder: str | Path | None, words: Words, changes: Sequence[str]) -> Asked:
    """Return what a file asks for, with other words in place of some of its own."""
    said = words.values()
    if words.held_out is not None:
        if not all(isinstance(one, str | Path) for one in words.held_out):
            raise StudyError("held_out: a study file takes no traces in memory", "write them to files")
        said["traces"] = {"held_out": [str(one) for one in words.held_out]}
    every = (*(f"{key}={inline(value)}" for key, value in _flat(said)), *changes)
    definition = read_definition(path, every)
    place = Path("runs") / definition.name if folder is None else Path(folder)
    return Asked(definition, path.read_bytes(), every, place, f"pba tune {path}")


def _without_file(
    traces: Sequence[Any] | Trace | str | Path,
    folder: str | Path | None,
    words: Words,
    changes: Sequence[str],
) -> Asked:
    """Return what arguments ask for: their text of TOML, and traces in memory by where they will be kept."""
    import tomli_w

    from pba.trace.table import Trace

    one_or_many = [traces] if isinstance(traces, str | Path | Trace) else list(traces)
    if not one_or_many:
        raise StudyError("traces: there are none", "name recordings, files, or traces in memory")
    name = words.name or study_name([_name_of(one) for one in one_or_many])
    place = Path("runs") / name if folder is None else Path(folder)
    held: dict[Path, Trace] = {}

    def named(one: Any) -> str:
        if not isinstance(one, Trace):
            return _seen_from(place, str(one))
        inside = f"{TRACES_FOLDER}/{_file_name(one.metadata.name or 'trace')}.parquet"
        if place / inside in held:
            raise StudyError(f"traces: two are called {one.metadata.name!r}", "leave one of them out")
        held[place / inside] = one
        return inside

    train = [named(one) for one in one_or_many]
    held_out = [named(one) for one in words.held_out or ()]
    values: dict[str, Any] = {
        **words.values(), "name": name,
        "traces": {"train": train, "held_out": held_out} if held_out else train,
    }  # fmt: skip
    for change in changes:
        apply_change(values, change)
    text = tomli_w.dumps(values)
    definition = parse_definition(text, None).with_(folder=place)
    return Asked(definition, text.encode(), (), place, f"pba tune {place / 'study.toml'} --run {place}", held)


def _with_functions(asked: Asked, own: Mapping[str, Aim]) -> Asked:
    """Put the functions of the user's own aims in the places that the text keeps for them."""
    aims = []
    for aim in asked.definition.aims:
        if aim.code and aim.name not in own:
            raise StudyError(
                f"{asked.definition.where}: aims: {aim.name} has a function of one's own, which no file holds",
                "run it from Python, with pba.tune(..., aims=[pba.Aim(...)])",
            )
        aims.append(replace(own[aim.name], code=aim.code) if aim.code else aim)
    return replace(asked, definition=asked.definition.with_(aims=tuple(aims)))


def study_name(traces: Sequence[str]) -> str:
    """Return what a study without a file is called: after its first trace, and how many more there are."""
    first = _file_name(traces[0])
    return first if len(traces) == 1 else f"{first}-and-{len(traces) - 1}-more"


def _name_of(one: Any) -> str:
    if isinstance(one, str | Path):
        return Path(one).name.split(".parquet")[0].split(".events")[0]
    return str(one.metadata.name or "trace")


def _file_name(name: str) -> str:
    """Return a name that a file may have anywhere."""
    plain = name.replace("*", "all").replace("?", "any")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-")[:80] or "trace"


def _seen_from(folder: Path, trace: str) -> str:
    """Return a path of a trace as it is seen from a folder; names and patterns of recordings as they are."""
    is_path = "/" in trace or (not any(sign in trace for sign in PATTERN_SIGNS) and Path(trace).exists())
    if not is_path or Path(trace).is_absolute():
        return trace
    return os.path.relpath(os.path.realpath(trace), os.path.realpath(folder))


# --- arguments as a file's words ---


def _aim_words(aim: str | Mapping[str, Any] | Aim) -> Any:
    """Return an aim as a study file has it."""
    if not isinstance(aim, Aim):
        return dict(aim) if isinstance(aim, Mapping) else aim
    known = KNOWN_AIMS.get(aim.name)
    if aim.figure is None or (known is not None and known.figure is aim.figure):
        return {"name": aim.name, "over": aim.over}
    if known is not None or not aim.name.isidentifier():
        raise StudyError(
            f"aims: an aim of one's own cannot be called {aim.name!r}",
            "give it a name of letters, digits and '_' that no aim of pba has",
        )
    return aim.own().to_dict()


def _start_words(start: Start) -> dict[str, Any]:
    """Return what memory starts with as a study file has it; nothing where all is free."""
    if start.fragmented is not None:
        return {"fragmented": start.fragmented, "fragmented_seed": start.seed}
    return {"memory_from_trace": True} if start.from_trace else {}


def _limit_words(limits: Limits) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, limit in limits.items():
        plain = {"least": limit.least, "most": limit.most} if isinstance(limit, Limit) else limit
        found[name] = _without_none(dict(plain)) if isinstance(plain, Mapping) else plain
    return found


def _space_words(space: Space) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, item in space.items():
        if isinstance(item, Range):
            words: Any = {"low": item.low, "high": item.high, "log": item.log}
        elif isinstance(item, Mapping):
            words = dict(item)
        elif isinstance(item, tuple | list) and len(item) == 2:
            words = {"low": item[0], "high": item[1]}
        else:
            raise StudyError(f"space: {name}: expected (low, high), found {item!r:.60}")
        found[SHORT_NAMES.get(name, name)] = words
    return found


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    plain = {k: _without_none(v) if isinstance(v, dict) else v for k, v in values.items() if v is not None}
    return {k: v for k, v in plain.items() if v != {}}


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Return the values with their keys as `apply_change` takes them: tables' keys with dots between."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{above}.{key}" if above else key
        whole = not isinstance(value, dict) or key in ("constraints", "groups") or above == "constraints"
        found += [(name, value)] if whole else _flat(value, name)
    return found
