"""The walls of the house: imports go one way, and help is shown before anything heavy is loaded.

`FLOOR` and `LAYERS` are the one source of the map in pba/README.md, which `python -m tests.papers` writes.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from pba.cli.app import COMMANDS

PACKAGE = Path(__file__).resolve().parents[1] / "pba"


class Room(NamedTuple):
    """A room of `pba`: what is in it, and what it knows of the world, a line each for the map."""

    what: str
    knows: str


FLOOR = {
    "errors": (Room("the kinds of `PbaError`: what went wrong, and what to do", "nothing"), set()),
    "units": (Room("sizes, times and counts, as people write and read them", "`errors`"), {"errors"}),
    "printable": (Room("names and other data made fit for a terminal", "nothing"), set()),
    "sparkline": (Room("a curve in a line of text, or as a small SVG", "nothing"), set()),
    "shown": (
        Room("how objects show themselves: a few lines, and HTML for Jupyter", "`printable`"),
        {"printable"},
    ),
    "progress": (
        Room("how long work tells how far it is; a line that changes in notebooks", "`printable`, `units`"),
        {"printable", "units", "errors"},
    ),
    "paired": (Room("intervals and tests over pairs of figures, recording by recording", "nothing"), set()),
    "events": (Room("the numbers of the events in a trace's `op`", "nothing"), set()),
    "files": (Room("writing files whole or not at all", "`errors`"), {"errors"}),
    "machine": (
        Room("`Machine` and `Thresholds`: meaning, unit, range", "`errors`, `units`, `shown`"),
        {"errors", "units", "shown"},
    ),
    "watermarks": (
        Room(
            "`Watermarks`: the parameters of reclaim that reacts, their meaning, unit and range", "`errors`"
        ),
        {"errors"},
    ),
    "caches": (Room("what pba keeps between runs: where it lies, what may go", "nothing"), set()),
    "_jit": (
        Room("how Numba compiles, and what of it is kept", "`caches`, `errors`, `progress`"),
        {"caches", "errors", "progress"},
    ),
    "_version": (Room("the version", "nothing"), set()),
}
"""Rooms that every other may use, each with those of the floor that it may use itself."""

LAYERS: tuple[dict[str, Room], ...] = (
    {
        "kernel": Room(
            "the simulated kernel, under the kernel's own names: buddy allocator, linear map, the block "
            "allocator, its shrinker, reclaim, the replay event by event",
            "arrays of whole numbers; no trace, no table, no file",
        ),
        "trace": Room(
            "the table of events: columns, metadata, checks, cutting and joining; `forms/` reads and writes "
            "Parquet, CSV and text; `corpus` finds the recordings of pba",
            "files and tables; nothing of what is simulated",
        ),
    },
    {
        "tracepoints": Room(
            "what recording and importing share: raw events of the kernel to page-table events, visits of "
            "the shrinkers, background demand",
            "the kernel's tracepoints; not where they were read",
        ),
        "policies": Room(
            "every way to protect page tables, a file each: v6 and its variants, and their rivals",
            "the kernel's functions, and which to replace; no trace",
        ),
        "pool": Room(
            "simulated machines that stand ready for the next replay, bounded in bytes",
            "the kernel's state; no trace",
        ),
        "analysis": Room(
            "what is in a trace: summary, phases, lifetimes, bursts, drawdown",
            "traces; no thresholds, no machine",
        ),
    },
    {
        "recording": Room(
            "this machine: tracefs, the ring buffer, `/proc/kpageflags`, `/proc/kallsyms`",
            "the running kernel",
        ),
        "imports": Room(
            "other programs' text: ftrace, trace-cmd, `perf script`, bpftrace, systrace",
            "text and its shapes; nothing of this machine",
        ),
        "generators": Room(
            "made traces: workloads, and what is like a recording",
            "traces and seeds; nothing of replays",
        ),
    },
    {
        "results": Room(
            "what a replay returns: counters with units, tables, JSON", "names and units of figures"
        )
    },
    {
        "model": Room(
            "the door between traces and the kernel: checks, boots a machine, replays, raises",
            "traces, machines, thresholds, the kernel",
        )
    },
    {
        "engine": Room(
            "compiled traces, and many thresholds in one replay",
            "the kernel's rules, by its own functions; how a trace is folded",
        )
    },
    {
        "probe": Room(
            "questions that take replays: bounds, minimising, how like a made trace is, a replay over time, policies "
            "side by side, the floor under splits",
            "replays; no study",
        ),
        "study": Room(
            "study files, sampler, runs; `sweep/`: every point of a grid; `decision/`: what is recommended",
            "replays and figures; how to go on after a kill; nothing of how they are shown",
        ),
    },
    {
        "answer": Room(
            "what the kernel should do: prices, what policies cost, long runs under all of them",
            "comparisons and replays; what things cost, and how that is known",
        )
    },
    {
        "report": Room(
            "pictures and words: figures with their tables, a report's forms",
            "what a run or a sweep found; simulates nothing but the points that it compares",
        )
    },
    {
        "explore": Room("tables and pictures for Jupyter", "all below"),
        "sliders": Room("the thresholds as sliders in Jupyter: `pba.interact`", "all below"),
        "cli": Room("the commands, a file each, thin", "all below; loads it when a command runs"),
    },
)
"""The rooms above the floor, lowest first. A room may use those of lower layers, and not its neighbours."""

KERNEL_MAY_USE = {"__future__", "typing", "numpy", "numba", "pba.kernel", "pba._jit", "pba.events"}
"""The simulated kernel knows arrays and nothing of traces, tables or files."""

HEAVY = {
    "numpy",
    "numba",
    "llvmlite",
    "pandas",
    "pyarrow",
    "matplotlib",
    "optuna",
    "scipy",
    "jinja2",
    "sqlalchemy",
    "distributed",
    "ipywidgets",
    "IPython",
}
"""What a command imports when it runs, and not before."""

SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """Return the part of `pba` that a module belongs to: `pba.trace.forms.parquet` lies in `trace`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_between(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return which modules import which, in functions too; what only a type checker reads is left out.

    Parameters
    ----------
    sources : dict of str to str
        The text of each module, by its name with dots. A package's own name means its `__init__.py`.
    """
    packages = {name.rpartition(".")[0] for name in sources}
    found: dict[str, set[str]] = {}
    for name, text in sources.items():
        package = name if name in packages else name.rpartition(".")[0]
        used = imported(ast.parse(text), package, also_in_functions=True, also_types=False, halves=True)
        found[name] = {module for module in used if module in sources} - {name}
    return found


def circles(uses: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules of which each reaches each other (strongly connected components)."""
    reached: dict[str, set[str]] = {}
    for start in uses:
        reached[start], waiting = set(), list(uses[start])
        while waiting:
            at = waiting.pop()
            if at not in reached[start]:
                reached[start].add(at)
                waiting += uses[at]
    groups = {frozenset({b for b in reached[a] if a in reached[b]}) for a in uses if a in reached[a]}
    return sorted(sorted(group) for group in groups)


def imported(
    tree: ast.AST, package: str, *, also_in_functions: bool, also_types: bool, halves: bool = False
) -> set[str]:
    """Return the modules that a file imports, with their dots.

    `from a.b import c` may import the module `a.b.c` or a name of `a.b`: with `halves` both are returned.
    """
    found: set[str] = set()
    waiting = list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            # `from pba import trace` names a room in its second half.
            whole = {f"{base}.{alias.name}" for alias in node.names}
            found |= whole if base == "pba" else {base} | (whole if halves else set())
        if is_type_checking(node) and not also_types:
            waiting += node.orelse  # type: ignore[attr-defined]
        elif also_in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += list(ast.iter_child_nodes(node))
    return found


def imports_of(path: Path, *, also_in_functions: bool = True, also_types: bool = True) -> set[str]:
    name = name_of(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return imported(tree, package, also_in_functions=also_in_functions, also_types=also_types)


def allowed_rooms(room: str) -> set[str]:
    """Return the rooms that a room may import."""
    if room == "__init__":
        return set(FLOOR).union(*LAYERS)
    if room in FLOOR:
        return FLOOR[room][1] | {room}
    allowed = set(FLOOR)
    for layer in LAYERS:
        if room in layer:
            return allowed | {room}
        allowed |= set(layer)
    raise AssertionError(f"pba/{room} has no place in LAYERS: say where it belongs")


def under(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def sources_in(room: str) -> list[Path]:
    return [path for path in SOURCES if room_of(name_of(path)) == room]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    modules = imports_of(path)
    used = {room_of(module) for module in modules if under(module, {"pba"})} - {"__init__"}
    assert used <= allowed_rooms(room_of(name_of(path))), f"{name_of(path)} reaches up or sideways"
    assert not {module for module in modules if under(module, {"tests"})}


def test_no_circles_between_modules() -> None:
    sources = {name_of(path): path.read_text(encoding="utf-8") for path in SOURCES}
    assert circles(imports_between(sources)) == []


def test_the_wall_test_sees_a_circle() -> None:
    sources = {
        "pba.a": "",  # a package
        "pba.a.one": "from pba.a import two",
        "pba.a.two": "def f():\n    from .three import g",
        "pba.a.three": "import pba.a.one",
        "pba.a.four": "from pba.a.one import f\nif TYPE_CHECKING:\n    from pba.a import five",
        "pba.a.five": "from pba.a.four import f",
    }
    assert circles(imports_between(sources)) == [["pba.a.one", "pba.a.three", "pba.a.two"]]


@pytest.mark.parametrize("path", sources_in("kernel"), ids=name_of)
def test_the_kernel_knows_arrays_only(path: Path) -> None:
    assert not {module for module in imports_of(path) if not under(module, KERNEL_MAY_USE)}


@pytest.mark.parametrize("path", sources_in("cli"), ids=name_of)
def test_commands_import_heavy_things_when_they_run(path: Path) -> None:
    at_once = imports_of(path, also_in_functions=False, also_types=False)
    assert not {module for module in at_once if under(module, HEAVY)}


def test_the_reference_imports_nothing_from_pba() -> None:
    files = sorted((PACKAGE.parent / "tests" / "reference").rglob("*.py"))
    assert files, "the slow reference is gone"
    for path in files:
        assert not {module for module in imports_of(path) if under(module, {"pba"})}, path


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([name, "--help"] for name, _, _ in COMMANDS)],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from pba.cli.app import run\n"
        f"status = run({arguments!r})\n"
        "print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "loaded"
    assert "pba" in loaded
    assert not HEAVY.intersection(loaded)


def test_the_wall_test_sees_a_hole() -> None:
    source = "import numpy.linalg\nfrom pba import study\ndef f():\n    from ..report import html\n"
    everything = imported(ast.parse(source), "pba.trace", also_in_functions=True, also_types=True)
    assert everything == {"numpy.linalg", "pba.study", "pba.report"}
    at_once = imported(ast.parse(source), "pba.trace", also_in_functions=False, also_types=False)
    assert at_once == {"numpy.linalg", "pba.study"}
    assert "study" not in allowed_rooms("trace")
    assert "trace" not in allowed_rooms("kernel")
    assert "cli" not in allowed_rooms("explore")
