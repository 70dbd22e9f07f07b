"""The exact side of a study: every point of a grid inside its space, on its own recordings and machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pba.machine import Machine
from pba.progress import Progress
from pba.study.aims import DEFAULT_AIMS, Aim
from pba.study.decision.decide import Settled, settled_on
from pba.study.decision.decision import Question
from pba.study.decision.outcomes import GridOutcomes
from pba.study.decision.region import ROUND_U, ROUNDISH_U
from pba.study.definition import Choice, Range, StudyDefinition
from pba.study.executors import Executor
from pba.study.inputs import Input
from pba.study.replays import Replays
from pba.study.space import PATCH_POINT, value_at
from pba.study.sweep.grid import (
    DEFAULT_BATCH,
    DEFAULT_UNSHRINKABLE_PAGES,
    Grid,
    parse_axis,
)
from pba.study.sweep.result import SweepResult
from pba.study.sweep.run import sweep
from pba.trace.table import Trace
from pba.units import number

MOST_WORK: Final = 60_000_000
"""Pairs of U and B times shrinker passes (and one more a recording) that a study's sweep may take: some four
times what all of pba's recordings take on the default grid, a minute or two on two cores."""
FEWEST: Final = 16
"""An axis of a narrow space has as many values as this, or all there are."""

THINNINGS: Final = (
    ("", None),
    ("only powers of two and three times powers of two of U and B were swept", ROUNDISH_U),
    ("only powers of two of U and B were swept", ROUND_U),
    ("only every other power of two of U and B was swept", {1 << exponent for exponent in range(0, 27, 2)}),
)
"""How a grid is thinned that would take too long: what is said of it, and which values stay. The ends of the
space and the patch's own values always stay."""


def study_grid(definition: StudyDefinition, inputs: Sequence[Input]) -> tuple[Grid | None, str]:
    """Return the grid that a study sweeps, and what to say of how it was thinned.

    Parameters
    ----------
    definition : StudyDefinition
        Its space gives the ranges.
    inputs : sequence of Input
        Its traces, whose passes say how long a sweep takes.

    Returns
    -------
    tuple
        The grid, or None where even the coarsest takes too long; and a sentence, empty where nothing was left
        out but what the default axes leave out.
    """
    minimum = definition.space["shrink_block_min_pages"]
    passes = sum(one.passes + 1 for one in inputs)
    for told, kept in THINNINGS:
        unshrinkable = _axis("unshrinkable_pages", definition.space, DEFAULT_UNSHRINKABLE_PAGES, kept)
        batch = _axis("batch", definition.space, DEFAULT_BATCH, kept)
        if len(unshrinkable) * len(batch) * passes <= MOST_WORK:
            grid = Grid(unshrinkable, f"{minimum.low}:{minimum.high}", batch).with_patch()
            why = (
                f"The grid was thinned, as the recordings hold {number(passes)} passes: {told}."
                if told
                else ""
            )
            return grid, why
    return None, (
        f"No grid was swept: with {number(passes)} shrinker passes even the coarsest would take too long."
    )


def _axis(name: str, space: Mapping[str, Range], default: str, kept: set[int] | None) -> list[int]:
    """Return the values of an axis: those of the default one inside the space, and its ends.

    Where these are few, some evenly between are added.
    """
    item = space[name]
    values = {value for value in parse_axis(name, default) or () if value in item}
    if kept is not None:
        values &= kept
    elif len(values) < FEWEST:
        steps = min(FEWEST, len(item)) - 1
        values |= {value_at(item, step / steps) if steps else item.low for step in range(steps + 1)}
    return sorted({*values, item.low, item.high})


def sweep_study(
    inputs: Sequence[Input],
    grid: Grid,
    folder: Path,
    workers: int,
    executor: Executor,
    cache: bool | Replays,
    command: str,
    progress: Progress,
) -> SweepResult:
    """Sweep a study's grid on its recordings and machines, in a folder of its own; go on where it was stopped."""
    machines = {id(one.trace): one.machine for one in inputs}

    def machine_of(trace: Trace) -> Machine:
        return machines[id(trace)]

    return sweep(
        [one.trace for one in inputs],
        grid,
        {"study": machine_of},
        workers=workers,
        dask=executor,
        folder=folder,
        cache=cache,
        command=command,
        progress=progress,
    )


def outcomes_of(result: SweepResult, setting: str | None = None) -> GridOutcomes:
    """Return the figures of every point of a sweep, on the machines of one setting."""
    wanted = result.settings[0] if setting is None else setting
    pairs = [pair for pair in zip(result.cases, result.boxes, strict=True) if pair[0].setting == wanted]
    return GridOutcomes(result.grid, [case for case, _ in pairs], [boxes for _, boxes in pairs], PATCH_POINT)


def recommended_of(
    result: SweepResult,
    setting: str | None = None,
    choice: Choice | None = None,
    aims: Sequence[Aim] = DEFAULT_AIMS,
) -> Settled:
    """Return what a study would recommend of a sweep's grid: the same rule, region, round value and verdict.

    Of the plain alternatives those count that the grid has.
    """
    return settled_on(Question(aims, choice or Choice()), outcomes_of(result, setting))
