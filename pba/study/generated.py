"""Traces that a study generates for itself: a workload, its seed and parameters, on a machine of a size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pba import caches

if TYPE_CHECKING:
    from pba.trace.table import Trace


@dataclass(frozen=True)
class Generated:
    """One `[[generated]]` table of a study, or one combination of what it lists.

    Attributes
    ----------
    name : str
        The trace's name in the study.
    workload : str
        Which (`pba generate --list`).
    seed : int
        Of all its draws.
    duration_ns, events : int, optional
        What bounds it, as in `pba.generate`.
    parameters : tuple of (str, str)
        The workload's parameters, `page_size` in KiB and `memory` in MiB among them.
    held_out : bool
        Whether it has no say in what is recommended.
    """

    name: str
    workload: str
    seed: int = 0
    duration_ns: int | None = None
    events: int | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    held_out: bool = False

    def check(self) -> None:
        """Raise `PbaError` if there is no such workload or parameter, or a value is out of range."""
        from pba.generators.making import checked

        checked(self.workload, self.seed, self.duration_ns, self.events, dict(self.parameters))

    def trace(self) -> Trace:
        """Make the trace."""
        from pba.generators.making import recipe

        made = recipe(
            self.workload, seed=self.seed, duration_ns=self.duration_ns, events=self.events,
            parameters=dict(self.parameters),
        )  # fmt: skip
        return replace(made, metadata=made.metadata.with_(name=self.name)).trace()


def generators_hash() -> str:
    """Return a hash of the sources that generated traces depend on."""
    return caches.hash_of_sources(sorted((caches.PACKAGE / "generators").rglob("*.py"))).hexdigest()[:16]
