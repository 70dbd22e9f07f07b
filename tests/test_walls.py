"""The walls of the house: imports go one way, and help is shown before anything heavy is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pba.cli.app import COMMANDS

PACKAGE = Path(__file__).resolve().parents[1] / "pba"

FLOOR = {"errors", "events", "files", "machine", "_jit", "_version"}
"""Rooms that every other may use."""

LAYERS = (
    {"kernel", "trace"},
    {"tracepoints", "analysis"},
    {"recording", "imports", "generators"},
    {"results"},
    {"model"},
    {"engine"},
    {"probe", "study"},
    {"report"},
    {"explore", "cli"},
)
"""The rooms above the floor, lowest first. A room may use those of lower layers, and not its neighbours."""

FLOOR_MAY_USE = {
    "errors": set(),
    "events": set(),
    "_version": set(),
    "files": {"errors"},
    "machine": {"errors"},
    "_jit": set(),
}

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


def imported(tree: ast.AST, package: str, *, also_in_functions: bool, also_types: bool) -> set[str]:
    """Return the modules that a file imports, with their dots."""
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
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "pba" else {base}
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
        return FLOOR.union(*LAYERS)
    if room in FLOOR:
        return FLOOR_MAY_USE[room]
    allowed = set(FLOOR)
    for layer in LAYERS:
        if room in layer:
            return allowed | {room}
        allowed |= layer
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
