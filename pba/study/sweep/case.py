"""What a sweep explores: traces, each on a machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pba.machine import Machine


@dataclass(frozen=True)
class Case:
    """A trace on a machine.

    Attributes
    ----------
    trace : str
        The trace's name.
    setting : str
        What the user calls the choice of machine: `recorded`, or the machine itself.
    path : str
        The trace's file; empty where there is none.
    sha256 : str
        SHA-256 of the trace's events, and of what was free when it was recorded where the machine starts so.
    machine : Machine
        The machine.
    events, passes, duration_ns : int
        Of the trace.
    patch : tuple of int
        Of a replay with the patch's own thresholds, event by event: `pmd_splits`, `cached_page_ns`,
        `nr_cached`.
    """

    trace: str
    setting: str
    path: str
    sha256: str
    machine: Machine
    events: int
    passes: int
    duration_ns: int
    patch: tuple[int, int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON takes."""
        return {**asdict(self), "machine": self.machine.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Case:
        """Read what `to_dict` gave."""
        splits, cached, held = values["patch"]
        return cls(**{**values, "machine": Machine(**values["machine"]), "patch": (splits, cached, held)})
