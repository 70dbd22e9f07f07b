"""`pba.replay`: of a trace, event by event; of a compiled trace, by its composites."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pba import model
from pba.engine.compiled import CompiledTrace
from pba.errors import PbaError
from pba.imports.read import as_trace
from pba.policies.policy import Policy
from pba.watermarks import Watermarks

if TYPE_CHECKING:
    from pathlib import Path

    from pba.machine import Machine, Thresholds
    from pba.results import ReplayResult
    from pba.trace.table import Trace


def machine_of(trace: Trace | CompiledTrace | str | Path) -> Machine:
    """Return the machine that a trace was recorded on, as far as it is known; else a default machine.

    Parameters
    ----------
    trace : Trace, CompiledTrace, str or Path
        A trace, its file, or the name of a recording.

    Returns
    -------
    Machine
        See `pba.model.machine_of`.
    """
    return model.machine_of(trace if isinstance(trace, CompiledTrace) else as_trace(trace))


def replay(
    trace: Trace | CompiledTrace | str | Path,
    thresholds: Thresholds | None = None,
    machine: Machine | None = None,
    *,
    checkpoint_every: int = 0,
    timeline: bool = False,
    strict: bool = False,
    memory_from_trace: bool = False,
    fragmented: float | None = None,
    seed: int = 0,
    policy: str | Policy | None = None,
    reclaim: str | Watermarks | None = None,
) -> ReplayResult:
    """Replay a trace on a simulated machine.

    Parameters
    ----------
    trace : Trace, CompiledTrace, str or Path
        What happened; a file or the name of a recording is read (`pba.read_trace`). A compiled trace
        (`pba.compile_trace`) gives the same result, bit for bit, many times sooner; timelines and checkpoints
        need the events and so a `Trace`.
    thresholds : Thresholds, optional
        The shrinker's thresholds; by default the patch's own (`Thresholds.patch(machine)`). A policy without
        a shrinker of v6 takes none.
    machine : Machine, optional
        The machine; by default `machine_of(trace)`.
    checkpoint_every : int
        Take a checkpoint after every so many events; 0 takes none.
    timeline : bool
        Keep the state after every event: 56 bytes an event.
    strict : bool
        Refuse a trace that frees what is not live, rather than skip and count those frees.
    memory_from_trace : bool
        Start with the free memory that the recording's `/proc/buddyinfo` tells, rather than all of it; see
        `pba.model.starting_memory`. As `pba.Start(from_trace=True)` of the machine.
    fragmented : float, optional
        Start with half of memory free and so much of that, 0 to 1, outside of whole free blocks. As
        `pba.Start(fragmented=..., seed=...)` of the machine.
    seed : int
        Seed of the demand that leaves memory so fragmented.
    policy : str or Policy, optional
        How page tables are protected: the name of a policy (`pba policies` lists them), or
        `pba.Policy(name, **parameters)`; by default v6, the patch. Others need a `Trace`.
    reclaim : str or Watermarks, optional
        `"recorded"`, the default: visits of the shrinkers come when they were recorded. `"watermarks"`, or
        `pba.Watermarks(...)` with other parameters: they come when free memory falls, and what is given back
        ends them. Needs a `Trace`.

    Returns
    -------
    ReplayResult
        Counters, hash and, if asked for, tables. The same arguments give the same result, bit for bit.

    Raises
    ------
    ThresholdError
        If a threshold is out of its range on this machine, or not one of the policy.
    MachineError
        If memory cannot start as asked for.
    TraceError
        If the trace asks for chunks that the machine does not have, with `strict` frees what is not live, or
        with `memory_from_trace` does not say what memory was free, or the machine is not the recorded one.
    PbaError
        If a compiled trace is asked for what needs single events, another policy than v6 or reclaim that
        reacts, there is no such policy, or watermarks exceed memory.

    Notes
    -----
    The rules are those of v6 14/30 and 17/30 of "pkeys-based page table hardening", of `do_shrink_slab()`
    (mm/shrinker.c), the buddy allocator (mm/page_alloc.c) and the linear map of arm64 (arch/arm64/mm/mmu.c).
    """
    plain = trace if isinstance(trace, CompiledTrace) else as_trace(trace)
    machine = model.started(machine or model.machine_of(plain), memory_from_trace, fragmented, seed)
    if not isinstance(plain, CompiledTrace):
        return model.replay(
            plain,
            thresholds,
            machine,
            checkpoint_every=checkpoint_every,
            timeline=timeline,
            strict=strict,
            policy=policy,
            reclaim=reclaim,
        )
    known = Policy.of(policy)
    if not known.is_v6:
        raise PbaError(f"a compiled trace is replayed under v6 alone, not {known}", "replay the trace itself")
    if timeline or checkpoint_every:
        raise PbaError("a compiled trace has no single events", "replay the trace itself for a timeline")
    if Watermarks.of(reclaim) is not None:
        raise PbaError("a compiled trace is replayed with the recorded pressure", "replay the trace itself")
    result = plain.replay(known.thresholds_on(machine, thresholds), machine, strict=strict)
    return replace(result, policy=known)
