"""Build and run the two C programs that follow the same rules as `pba`.

`yardstick.c` keeps its pages the way a kernel does, `best.c` the best way that we know. Their command lines
and output are the same; `simulated.h` is what they share.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

YARDSTICK = Path(__file__).with_name("yardstick.c")
BEST = Path(__file__).with_name("best.c")
FLAGS = {YARDSTICK: ("-O2",), BEST: ("-O3", "-march=native")}
"""How each is compiled: the yardstick plainly, the best C as Numba compiles, for this very processor."""


def find_compiler() -> str | None:
    """Return the C compiler: `$CC`, else `cc`; None if there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def build(folder: Path, source: Path = YARDSTICK) -> Path:
    """Compile one of the two and return the program."""
    compiler = find_compiler()
    if compiler is None:
        raise FileNotFoundError("no C compiler: install one, or set CC")
    program = folder / source.stem
    flags = [*FLAGS[source], "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", program, source], check=True)
    return program


@dataclass(frozen=True)
class Run:
    """What a run of a program printed: the line of JSON, and the checkpoints."""

    result: dict[str, Any]
    checkpoints: list[dict[str, Any]]


def run(
    program: Path,
    trace: Path,
    machine: tuple[int, int, str],
    thresholds: tuple[int, int, int],
    *,
    checkpoint_every: int = 0,
    repetitions: int = 1,
) -> Run:
    """Replay a trace in the (unpacked) text form on a machine (KiB, pages, linear map) with U, M and B."""
    words = [
        f"page={machine[0]}", f"pages={machine[1]}", f"map={machine[2]}",
        f"u={thresholds[0]}", f"m={thresholds[1]}", f"b={thresholds[2]}",
        f"ck={checkpoint_every}", f"reps={repetitions}",
    ]  # fmt: skip
    done = subprocess.run([program, trace, *words], check=True, capture_output=True, text=True)
    *lines, last = done.stdout.splitlines()
    return Run(json.loads(last), [_checkpoint(line) for line in lines])


def _checkpoint(line: str) -> dict[str, Any]:
    """Read `ck EVENT nr_cached=N hash=H free=N pmd=N` into the vectors' words."""
    _, event, *pairs = line.split()
    found = dict(pair.split("=") for pair in pairs)
    return {
        "event": int(event),
        "nr_cached": int(found["nr_cached"]),
        "cache_hash": found["hash"],
        "free_pages": int(found["free"]),
        "pmd_splits": int(found["pmd"]),
    }
