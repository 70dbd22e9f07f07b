"""All workloads by name."""

from __future__ import annotations

from pba.errors import PbaError
from pba.generators import adversaries, forks, memory, phones
from pba.generators.shapes import Workload

WORKLOADS: dict[str, Workload] = {
    found.name: found
    for found in (
        forks.fork_storm,
        forks.parallel_build,
        forks.fork_server,
        memory.database,
        memory.snapshot_fork,
        memory.jvm_heap,
        memory.mmap_churn,
        forks.containers,
        memory.thp,
        phones.app_launch,
        forks.day_night,
        adversaries.pinned_pages,
        adversaries.sawtooth,
    )
}
"""In the order in which they are listed."""


def find(name: str) -> Workload:
    """Return a workload by its name.

    Raises
    ------
    PbaError
        If there is no workload of that name.
    """
    if name not in WORKLOADS:
        raise PbaError(f"no workload is called {name[:40]!r}", "there are " + ", ".join(WORKLOADS))
    return WORKLOADS[name]
