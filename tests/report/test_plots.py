"""Every `plot_*`: a `df_*` of its name, a picture without `ax`, the caller's axes with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pba
from pba.report.style import Picture
from tests.report.report_fixture import make_run

VECTORS = Path(__file__).parents[1] / "vectors"
PRESSURE = VECTORS / "pressure.events.gz"
PLOTS = [name for name in pba.__all__ if name.startswith("plot_")]
MACHINE = pba.Machine(memory_pages=1 << 15)


@pytest.fixture(scope="module")
def arguments() -> dict[str, Any]:
    """What each plot is given; a trace where nothing else is said."""
    swept = pba.sweep(PRESSURE, pba.Grid("0,16,64,256", "1,64,512", "64,512"), MACHINE)
    other = pba.sweep(PRESSURE, pba.Grid("16,64", "64,512", "512"), MACHINE)
    return {
        "plot_front": swept, "plot_points": make_run(), "plot_recordings": make_run(), "plot_region": make_run(),
        "plot_compare": pba.compare_runs(swept, other), "plot_splits": pba.splits(PRESSURE, machine=MACHINE),
        "plot_inside": pba.inside(PRESSURE, [10], machine=MACHINE),
    }  # fmt: skip


def axes_of(rows: int, columns: int = 1) -> Any:
    """Make axes as a user does."""
    from matplotlib.figure import Figure

    return Figure(figsize=(8, 6)).subplots(rows, columns)


def test_all_plots_of_the_explorer_are_public() -> None:
    from pba import explore

    assert {name for name in vars(explore) if name.startswith("plot_")} == set(PLOTS)


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_has_a_table_and_draws_a_picture(name: str, arguments: dict[str, Any]) -> None:
    plot, table = getattr(pba, name), getattr(pba, name.replace("plot_", "df_"))
    given = arguments.get(name, PRESSURE)
    found = plot(given)
    assert isinstance(found, Picture)
    expected = table(given)
    assert found.data[list(expected.columns)].equals(expected)
    first = next(iter(inspect.signature(plot).parameters))
    assert first == next(iter(inspect.signature(table).parameters))


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_draws_on_axes_that_it_is_given_and_on_nothing_else(
    name: str, arguments: dict[str, Any]
) -> None:
    plot = getattr(pba, name)
    given = arguments.get(name, PRESSURE)
    panels = len([axes for axes in plot(given).figure.axes if axes.get_label() != "<colorbar>"])
    mine = axes_of(1, 2)
    found = plot(given, ax=mine[0])
    drawn = np.atleast_1d(found)
    assert len(drawn) == panels
    assert not mine[1].has_data()
    assert all(axes.figure is mine[0].figure for axes in drawn)
    assert any(axes.has_data() for axes in drawn)
    assert drawn[0].get_title()
    if panels == 1:
        assert found is mine[0]
        return
    several = axes_of(panels)
    again = plot(given, ax=several)
    assert list(again) == list(np.ravel(several))
    with pytest.raises(pba.PbaError, match=f"give one, or {panels}"):
        plot(given, ax=axes_of(panels + 1))


def test_the_callers_style_is_kept_and_a_dollar_sign_is_one(tmp_path: Path) -> None:
    import matplotlib as mpl

    path = tmp_path / "costs $5$.events.gz"
    path.write_bytes(PRESSURE.read_bytes())
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 17.0}):
        axes = axes_of(1)
        pba.plot_live(path, ax=axes)
        assert axes.yaxis.label.get_fontsize() == 17.0
        axes.figure.canvas.draw()
    assert "$5$" in axes.get_title()
    assert not axes.title.get_parse_math()
    assert dict(mpl.rcParams) == before


def test_a_plot_after_one_on_given_axes_has_a_figure_of_its_own() -> None:
    axes = axes_of(1)
    with pytest.raises(pba.PbaError):
        pba.plot_passes(VECTORS / "nothing-there.events.gz", ax=axes)
    found = pba.plot_live(PRESSURE)
    assert isinstance(found, Picture)
    assert found.figure is not axes.figure


def test_traces_and_folders_are_taken_where_results_are(tmp_path: Path) -> None:
    replayed = pba.replay(PRESSURE, timeline=True)
    assert pba.df_timeline(PRESSURE).equals(pba.df_timeline(replayed))
    assert pba.df_watch(PRESSURE).equals(pba.watch(PRESSURE).over_time)
    swept = pba.sweep(PRESSURE, pba.Grid("16,64", "64,512", "512"), MACHINE, folder=tmp_path / "swept")
    assert pba.df_front(tmp_path / "swept").equals(swept.front())
    on_folder: Callable[..., Any] = pba.plot_front
    assert on_folder(tmp_path / "swept").data.equals(swept.front())
    with pytest.raises(pba.PbaError):
        pba.plot_points(tmp_path / "swept")
