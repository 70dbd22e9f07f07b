"""The surprises of `studies/answer/surprises.toml`: what is told of each, and its replay."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pba
from pba.units import parse_bytes

FOLDER = Path(__file__).parents[2] / "studies" / "answer"


def surprises() -> dict[str, dict[str, Any]]:
    """Return what is told of each surprise, by its name."""
    return tomllib.loads((FOLDER / "surprises.toml").read_text(encoding="utf-8"))


def trace_of(name: str) -> pba.Trace:
    """Return a surprise's trace."""
    return pba.read_trace(FOLDER / "surprises" / f"{name}.events")


def counted(trace: pba.Trace, said: dict[str, Any]) -> dict[str, Any]:
    """Return what a replay counts of what is said to show."""
    size = said.get("page_size_kib", 4)
    machine = pba.Machine.from_bytes(size, parse_bytes(said["memory"]), "pmd" if size == 4 else "")
    thresholds = pba.Thresholds(*said["thresholds"]) if "thresholds" in said else None
    counters = pba.replay(trace, thresholds, machine, policy=said.get("policy", "v6")).counters
    return {name: counters.get(name) for name in said["shows"]}
