"""The grid of a study: inside its space, whole where it may be, thinned by rule where it would take too long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pba.study.definition import DEFAULT_SPACE, Range, StudyDefinition
from pba.study.exact import MOST_WORK, study_grid
from pba.study.space import PATCH_POINT
from pba.study.sweep.grid import Grid


def inputs(passes: int) -> Any:
    return [SimpleNamespace(passes=passes - 1)]


def test_the_default_space_has_the_default_grid() -> None:
    grid, told = study_grid(StudyDefinition("x"), inputs(13_000))
    assert grid == Grid().with_patch() and told == ""


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (900, "powers of two and three times powers of two"),
        (300, "only powers of two of U and B"),
        (100, "every other power"),
    ],
)
def test_too_long_a_sweep_is_thinned_and_says_so(lines: int, says: str) -> None:
    study = StudyDefinition("x")
    whole = Grid().with_patch()
    grid, told = study_grid(study, inputs(MOST_WORK // lines))
    assert grid is not None and says in told and told.endswith(".")
    assert grid.shape[0] * grid.shape[1] < whole.shape[0] * whole.shape[1]
    assert grid.cell_of(PATCH_POINT) is not None
    for name in ("unshrinkable_pages", "batch"):
        values, item = getattr(grid, name), DEFAULT_SPACE[name]
        assert values is not None and {item.low, item.high} <= set(values)
        kept = {value for value in values if value & (value - 1)} - {item.low, item.high}
        assert all(value % 3 == 0 for value in kept) if lines == 900 else not kept


def test_a_sweep_that_takes_too_long_however_coarse_is_left_out() -> None:
    grid, told = study_grid(StudyDefinition("x"), inputs(MOST_WORK))
    assert grid is None and "even the coarsest would take too long" in told


def test_a_narrow_space_gets_values_between_and_nothing_outside() -> None:
    space = {**DEFAULT_SPACE, "unshrinkable_pages": Range(100, 104, False), "batch": Range(700, 5000, True)}
    grid, _ = study_grid(StudyDefinition("x", space=space), inputs(100))
    assert grid is not None
    patch = {PATCH_POINT.unshrinkable_pages, PATCH_POINT.batch}
    assert set(grid.unshrinkable_pages or ()) - patch == set(range(100, 105))
    batches = set(grid.batch or ()) - patch
    assert min(batches) == 700 and max(batches) == 5000 and len(batches) >= 16
