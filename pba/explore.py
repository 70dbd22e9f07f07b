"""For Jupyter: how a trace, a replay or a run looks. Every `plot_*` has a `df_*` sibling with what it shows.

A plot is a `Picture`: it displays itself, `.data` is its table, `.figure` Matplotlib's figure to change
further, `.svg()` and `.png()` its bytes.

    import pba, pba.explore as explore
    result = pba.replay(trace, pba.Thresholds(), machine, timeline=True)
    explore.plot_lifetimes(trace)
    explore.plot_timeline(result)
    explore.plot_front(explore.load_run("runs/quickstart"))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pba.analysis.bursts import BURST_GAP_NS, bursts_table
from pba.analysis.drawdown import NATURAL_WINDOW_NS, drawdown_table
from pba.analysis.lifetimes import lifetimes_table
from pba.analysis.live import live_table
from pba.analysis.passes import passes_table
from pba.analysis.phases import phases_table
from pba.analysis.rates import rates_table
from pba.errors import PbaError
from pba.imports.read import as_trace
from pba.probe.floor import GivesBack, split_floor
from pba.probe.regret import regret
from pba.probe.watch import Watch
from pba.probe.watch import watch as watch_trace
from pba.report.borrowed import Ax, Drawn, onto
from pba.report.compare_figures import compare_picture, curves_of
from pba.report.data import (
    folds_table,
    front_table,
    groups_table,
    points_table,
    recordings_table,
    strip_table,
)
from pba.report.figures import (
    front_picture,
    recordings_picture,
    region_picture,
    sweep_picture,
    timeline_picture,
)
from pba.report.inside_figures import inside_picture, table_of
from pba.report.origins_figures import splits_picture
from pba.report.replay_figures import watch_picture
from pba.report.side_by_side import RunComparison
from pba.report.side_by_side_figures import fronts_picture, fronts_table
from pba.report.trace_figures import (
    bursts_picture,
    drawdown_picture,
    lifetimes_picture,
    live_picture,
    passes_picture,
    phases_picture,
    rates_picture,
)
from pba.results import ReplayResult
from pba.study.result import RUN_FILE, Run, load_run
from pba.study.sweep.result import SweepResult
from pba.study.sweep.run import load_sweep
from pba.units import time_in_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

    from pba.machine import Machine
    from pba.policies.policy import Policy
    from pba.probe.compare import Comparison
    from pba.probe.inside import Inside
    from pba.probe.splits import Splits
    from pba.trace.table import Trace

__all__ = [
    "df_bursts", "df_choices", "df_compare", "df_drawdown", "df_floor", "df_folds", "df_front", "df_groups",
    "df_inside", "df_lifetimes", "df_live", "df_passes", "df_phases", "df_points", "df_rates", "df_recordings",
    "df_region", "df_regret", "df_splits", "df_timeline", "df_watch",
    "load_run", "plot_bursts", "plot_compare", "plot_drawdown", "plot_front", "plot_inside", "plot_lifetimes",
    "plot_live", "plot_passes", "plot_phases", "plot_points", "plot_rates", "plot_recordings", "plot_region",
    "plot_splits", "plot_timeline", "plot_watch",
]  # fmt: skip


def _run(found: Run | str | Path) -> Run:
    """Return a run: the one given, or that of a folder."""
    return found if isinstance(found, Run) else load_run(found)


def _run_or_sweep(found: Run | SweepResult | str | Path) -> Run | SweepResult:
    """Return a run or a sweep: the one given, or that of a folder."""
    if isinstance(found, Run | SweepResult):
        return found
    return load_run(found) if (Path(found) / RUN_FILE).is_file() else load_sweep(found)


def df_front(found: Run | SweepResult | str | Path, setting: str | None = None) -> pd.DataFrame:
    """Return the exact front of a run or of a sweep, a row per outcome.

    Parameters
    ----------
    found : Run, SweepResult, str or Path
        What `pba.tune`, `pba.load_run`, `pba.sweep` or `pba.load_sweep` returned, or a folder of such.
    setting : str, optional
        Of a sweep with several choices of machine: which.

    Returns
    -------
    DataFrame
        Of a run the three thresholds (of the point nearest to the patch's), each aim by its name and `points`
        (how many share the outcome), by the first aim; before it has decided, of the points tried so far. Of a
        sweep `SweepResult.front`.
    """
    opened = _run_or_sweep(found)
    return opened.front(setting) if isinstance(opened, SweepResult) else front_table(opened)


def plot_front(found: Run | SweepResult | str | Path, setting: str | None = None, *, ax: Ax = None) -> Drawn:
    """Draw `df_front`, with the patch's point and the recommended one; of a run all points that it tried, too.

    Parameters
    ----------
    found : Run, SweepResult, str or Path
        What `pba.tune`, `pba.load_run`, `pba.sweep` or `pba.load_sweep` returned, or a folder of such.
    setting : str, optional
        Of a sweep with several choices of machine: which.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If a sweep has several choices of machine and none is named.
    """
    opened = _run_or_sweep(found)
    if isinstance(opened, SweepResult):
        return onto(ax, lambda: sweep_picture(opened, setting))
    return onto(ax, lambda: front_picture(opened))


def df_points(run: Run | str | Path) -> pd.DataFrame:
    """Return all points of a run, with their aims.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.

    Returns
    -------
    DataFrame
        A row per point: `number`, the thresholds, each aim, `searched`, `on_front`, `role` (`patch`, `recommended`,
        a plain alternative, or empty).

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return points_table(_run(run))


def plot_points(run: Run | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_points`: every point that the search tried, with the front among them.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return onto(ax, lambda: front_picture(_run(run)))


def df_choices(run: Run | str | Path) -> pd.DataFrame:
    """Return the named points of a run beside each other: the patch, the plain alternatives, the recommended one.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.

    Returns
    -------
    DataFrame
        A row per choice: `name`, the thresholds, each aim, and its change against the patch in words with its 95 %
        interval over recordings.

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return strip_table(_run(run))


def df_groups(run: Run | str | Path) -> pd.DataFrame:
    """Return what the recommended point of a run does in each group of recordings.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.

    Returns
    -------
    DataFrame
        A row per group: `group`, `recordings`, and for each aim what the patch and the recommended point come to, and
        the change in words.

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return groups_table(_run(run))


def df_folds(run: Run | str | Path) -> pd.DataFrame:
    """Return what a run's rule chooses without each recording, and what that does on it.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.

    Returns
    -------
    DataFrame
        A row per recording.

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return folds_table(_run(run))


def df_recordings(run: Run | str | Path) -> pd.DataFrame:
    """Return the patch's figures beside the recommended point's, a row per recording.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.

    Returns
    -------
    DataFrame
        A row per recording: `trace`, `patch_...` and `recommended_...` of each aim, `silent` (why it does not react,
        or empty).

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return recordings_table(_run(run))


def plot_recordings(run: Run | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_recordings`: the patch's values against the recommended ones, a row per recording.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return onto(ax, lambda: recordings_picture(_run(run)))


def df_region(run: Run | str | Path) -> pd.DataFrame:
    """Return how the rule's score lies over pairs of thresholds.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.

    Returns
    -------
    DataFrame
        `across` and `up` (which thresholds), `x`, `y` (their values), `score`: the least over the third threshold, in
        units of the patch's. Empty without a sweep.

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return _run(run).maps


def plot_region(run: Run | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_region`: where the answer lies, over U and B and over M and B, with the edge of what is as good.

    Parameters
    ----------
    run : Run, str or Path
        What `pba.tune` or `pba.load_run` returned, or a run's folder.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    StudyError
        If it is no run's folder, or the run has not decided yet.
    """
    return onto(ax, lambda: region_picture(_run(run)))


def df_bursts(trace: Trace | str | Path, gap_ns: int | str = BURST_GAP_NS) -> pd.DataFrame:
    """Return how large the runs of frees and of allocations are.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    gap_ns : int or str
        A run ends where the next event of its kind comes later than this, in ns or as `"1ms"`.

    Returns
    -------
    DataFrame
        A row per kind (`free`, `alloc`) and size that occurs: `kind`, `size_pages`, `runs`, `runs_share`,
        `pages_share` (of those at least so large).
    """
    return bursts_table(as_trace(trace), time_in_ns(gap_ns, "gap_ns"))


def plot_bursts(trace: Trace | str | Path, gap_ns: int | str = BURST_GAP_NS, *, ax: Ax = None) -> Drawn:
    """Draw `df_bursts`: how large the runs of frees and of allocations are.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    gap_ns : int or str
        A run ends where the next event of its kind comes later than this, in ns or as `"1ms"`.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there is nothing to draw.
    """
    return onto(ax, lambda: bursts_picture(as_trace(trace), time_in_ns(gap_ns, "gap_ns")))


def df_drawdown(trace: Trace | str | Path, windows_ns: Iterable[int | str] | None = None) -> pd.DataFrame:
    """Return how deep the demand draws down a cache of pages, by the length of time.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    windows_ns : iterable of int or str, optional
        Lengths of the windows, each in ns or as `"200ms"`; by default 1, 2, 5, 10 ... ms, up to the
        trace's length.

    Returns
    -------
    DataFrame
        A row per length: `window_seconds`, `windows`, `largest_pages`, `median_pages`, `p90_pages`,
        `p99_pages`.
    """
    if windows_ns is not None:
        windows_ns = tuple(_length_in_ns(window_ns, "windows_ns") for window_ns in windows_ns)
    return drawdown_table(as_trace(trace), windows_ns)


def plot_drawdown(
    trace: Trace | str | Path, window_ns: int | str = NATURAL_WINDOW_NS, *, ax: Ax = None
) -> Drawn:
    """Draw `df_drawdown`: how deep the demand draws down a cache of pages, by the length of time.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    window_ns : int or str
        The window whose drawdown is marked, in ns or as `"200ms"`; by default 1 s, that of the natural
        cache size.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there is nothing to draw.
    """
    return onto(ax, lambda: drawdown_picture(as_trace(trace), _length_in_ns(window_ns, "window_ns")))


def df_floor(
    trace: Trace | str | Path,
    machine: Machine | None = None,
    gives_back: GivesBack = "any",
    memory_from_trace: bool = False,
    most: int = 8,
) -> pd.DataFrame:
    """Return the least that any allocator holds back, for each number of PMD splits.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    machine : Machine, optional
        By default the trace's.
    gives_back : {"any", "reclaim"}
        When protected pages may go back: at any time, or only in visits of reclaim.
    memory_from_trace : bool
        Start with the memory that the recording found.
    most : int
        Splits in the last row.

    Returns
    -------
    DataFrame
        A row per number of PMD splits: see `pba.SplitFloor.to_frame`.
    """
    return split_floor(trace, machine, gives_back=gives_back, memory_from_trace=memory_from_trace).to_frame(
        most
    )


def df_regret(
    traces: Sequence[Trace | str | Path] | Trace | str | Path | None = None,
    policies: Sequence[str | Policy] | None = None,
    machine: Machine | Callable[[Trace], Machine] | None = None,
    memory_from_trace: bool = False,
) -> pd.DataFrame:
    """Hold policies against the least PMD splits of any allocator that holds back as much memory as they do.

    Parameters
    ----------
    traces : Trace, str, Path, or sequence of them, optional
        As for `pba.compare`: by default all recordings of pba.
    policies : sequence of str or Policy, optional
        As for `pba.compare`: by default those of the question that have blocks.
    machine : Machine or callable, optional
        As for `pba.compare`: by default each trace's own.
    memory_from_trace : bool
        Start with the free memory that the recordings tell of.

    Returns
    -------
    DataFrame
        A row per trace and choice: see `pba.probe.regret.regret`.
    """
    return regret(traces, policies, machine, memory_from_trace=memory_from_trace)


def df_lifetimes(trace: Trace | str | Path, steps: int = 1000) -> pd.DataFrame:
    """Return the share of page-table pages that outlive an age, by level (Kaplan-Meier).

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    steps : int
        Rows between which the survival falls by less than `1 / steps` are left out; 0 keeps all.

    Returns
    -------
    DataFrame
        A row per level (`all` first) and age: `level`, `pages`, `censored`, `age_seconds`, `at_risk`,
        `freed`, `survival`.
    """
    return lifetimes_table(as_trace(trace), steps)


def plot_lifetimes(trace: Trace | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_lifetimes`: the share of page-table pages that outlive an age, by level (Kaplan-Meier).

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there is nothing to draw.
    """
    return onto(ax, lambda: lifetimes_picture(as_trace(trace)))


def df_live(trace: Trace | str | Path, windows: int = 600) -> pd.DataFrame:
    """Return the live page-table pages over time, by level.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    windows : int
        Into how many equal windows of time to cut the trace.

    Returns
    -------
    DataFrame
        A row per window: `seconds`, a column of pages for each level, `total`, `least`, `most`.
    """
    return live_table(as_trace(trace), windows)


def plot_live(trace: Trace | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_live`: the live page-table pages over time, by level.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there is nothing to draw.
    """
    return onto(ax, lambda: live_picture(as_trace(trace)))


def df_passes(trace: Trace | str | Path, windows: int = 120) -> pd.DataFrame:
    """Return the shrinker passes over time, by priority.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    windows : int
        Into how many equal windows of time to cut the trace.

    Returns
    -------
    DataFrame
        A row per window, kind and priority that occurs: `from_seconds`, `to_seconds`, `kind`, `priority`,
        `passes`.
    """
    return passes_table(as_trace(trace), windows)


def plot_passes(trace: Trace | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_passes`: the shrinker passes over time, by priority.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there is nothing to draw.
    """
    return onto(ax, lambda: passes_picture(as_trace(trace)))


def df_phases(trace: Trace | str | Path, phases: int | None = None) -> pd.DataFrame:
    """Return how fast the demand changes, by phase.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    phases : int, optional
        Take so many equal parts of the time; by default phases end where rates change for good.

    Returns
    -------
    DataFrame
        A row per phase: the columns of `df_rates`, `live_pages`, `change_pages`, `change_per_second`.
    """
    return phases_table(as_trace(trace), phases)


def plot_phases(trace: Trace | str | Path, phases: int | None = None, *, ax: Ax = None) -> Drawn:
    """Draw `df_phases`: how fast the demand changes, by phase.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    phases : int, optional
        Take so many equal parts of the time; by default phases end where rates change for good.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there is nothing to draw.
    """
    return onto(ax, lambda: phases_picture(as_trace(trace), phases))


def df_rates(trace: Trace | str | Path, windows: int = 200) -> pd.DataFrame:
    """Return allocations and frees per second.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    windows : int
        Into how many equal windows of time to cut the trace.

    Returns
    -------
    DataFrame
        A row per window: `from_seconds`, `to_seconds`, `allocs`, `frees`, `allocs_per_second`,
        `frees_per_second`.
    """
    return rates_table(as_trace(trace), windows)


def plot_rates(trace: Trace | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_rates`: allocations and frees per second.

    Parameters
    ----------
    trace : Trace, str or Path
        A trace, its file, or the name of a recording.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there is nothing to draw.
    """
    return onto(ax, lambda: rates_picture(as_trace(trace)))


def _with_timeline(result: ReplayResult | Trace | str | Path) -> ReplayResult:
    """Return a replay with its timeline: the one given, or that of a trace at the patch's thresholds."""
    if isinstance(result, ReplayResult):
        return result
    from pba.model import replay

    return replay(as_trace(result), timeline=True)


def _watched(found: Watch | Trace | str | Path) -> Watch:
    """Return a replay over time: the one given, or that of a trace at the patch's thresholds."""
    return found if isinstance(found, Watch) else watch_trace(found)


def df_timeline(result: ReplayResult | Trace | str | Path) -> pd.DataFrame:
    """Return cache, live page tables and splits over the time of one replay.

    Parameters
    ----------
    result : ReplayResult, Trace, str or Path
        A replay made with `timeline=True`; or a trace, its file or a recording's name, replayed at the patch's
        thresholds.

    Returns
    -------
    DataFrame
        A row per event, the state after it: `seconds`, `cached_mib`, `live_mib`, and the splits so far
        (`pud_splits`, `contpmd_splits`, `pmd_splits`, `contpte_splits`).

    Raises
    ------
    PbaError
        If the replay kept no timeline, or has no event.
    """
    import pandas as pd

    result = _with_timeline(result)
    timeline: Any = result.timeline
    if timeline is None:
        raise PbaError("this replay kept no timeline", "replay with timeline=True")
    if len(timeline) == 0:
        raise PbaError("this replay has no event")
    mib = result.machine.page_size_bytes / (1 << 20)
    splits = [name for name in timeline.columns if name.endswith("_splits")]
    return pd.DataFrame(
        {
            "seconds": timeline["time_ns"] / 1e9,
            "cached_mib": timeline["nr_cached"] * mib,
            "live_mib": timeline["live_pages"] * mib,
            **{name: timeline[name] for name in splits},
        }
    )


def plot_timeline(result: ReplayResult | Trace | str | Path, *, ax: Ax = None) -> Drawn:
    """Draw `df_timeline`: what is cached and live above, PMD splits so far below.

    Parameters
    ----------
    result : ReplayResult, Trace, str or Path
        A replay made with `timeline=True`; or a trace, its file or a recording's name, replayed at the patch's
        thresholds.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If the replay kept no timeline, or has no event.
    """
    result = _with_timeline(result)
    title = f"{result.trace_name or 'Replay'} with {result.thresholds}"
    return onto(ax, lambda: timeline_picture(df_timeline(result), title))


def df_watch(watch: Watch | Trace | str | Path) -> pd.DataFrame:
    """Return what a replay shows over time, window by window.

    Parameters
    ----------
    watch : Watch, Trace, str or Path
        What `pba.watch` returned; or a trace, its file or a recording's name, at the patch's thresholds.

    Returns
    -------
    DataFrame
        `Watch.over_time`, where the columns are described.
    """
    return _watched(watch).over_time


def plot_watch(watch: Watch | Trace | str | Path, against: Watch | None = None, *, ax: Ax = None) -> Drawn:
    """Draw a replay over time: cached pages with the splits marked, and how full the blocks are.

    Parameters
    ----------
    watch : Watch, Trace, str or Path
        What `pba.watch` returned, whose tables are drawn; or a trace, its file or a recording's name, at the
        patch's thresholds.
    against : Watch, optional
        Another one of the same trace, whose curve stands behind; `watch` itself by default.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.
    """
    return onto(ax, lambda: watch_picture(_watched(watch), against))


def df_splits(splits: Splits) -> pd.DataFrame:
    """Return where the splits of a replay come from, a row per split of a PMD leaf.

    Parameters
    ----------
    splits : Splits
        What `pba.splits` returned.

    Returns
    -------
    pandas.DataFrame
        `Splits.table`, where the columns are described.
    """
    return splits.table


def plot_splits(splits: Splits, against: Splits | None = None, *, ax: Ax = None) -> Drawn:
    """Draw each block over time, darker where more of it is in use, with its split marked.

    Parameters
    ----------
    splits : Splits
        What `pba.splits` returned.
    against : Splits, optional
        Another one of the same trace, in a panel above.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.
    """
    named = {} if against is None else {"before": against}
    return onto(ax, lambda: splits_picture({**named, "now": splits} if named else {"replay": splits}))


def df_compare(comparison: Comparison | RunComparison, trace: str | None = None) -> pd.DataFrame:
    """Return what `plot_compare` draws: a trace under each policy over time, or fronts side by side.

    Parameters
    ----------
    comparison : Comparison or RunComparison
        What `pba.compare` or `pba.compare_runs` returned.
    trace : str, optional
        Of policies: which of their traces; it may be left out where there is but one.

    Returns
    -------
    DataFrame
        Of policies a row per choice and step of time: `choice`, `seconds`, `pmd_splits` so far, `held_back`
        (pages), `not_block_mapped` (per cent of memory). Of runs and sweeps a row per outcome of each front and
        per named point: `of`, `choice`, the thresholds, each aim, and `relative_...`, in per cent of the patch's.

    Raises
    ------
    PbaError
        If there are several traces and none is named, or none of that name.
    """
    if isinstance(comparison, RunComparison):
        return fronts_table(comparison)
    return curves_of(comparison, comparison.named(trace))


def plot_compare(comparison: Comparison | RunComparison, trace: str | None = None, *, ax: Ax = None) -> Drawn:
    """Draw a comparison: policies on a trace over time, or the fronts of runs and sweeps in one figure.

    Parameters
    ----------
    comparison : Comparison or RunComparison
        What `pba.compare` or `pba.compare_runs` returned.
    trace : str, optional
        Of policies: which of their traces; it may be left out where there is but one.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.

    Raises
    ------
    PbaError
        If there are several traces and none is named, or none of that name; of runs and sweeps if they have but
        one aim in common.
    """
    if isinstance(comparison, RunComparison):
        return onto(ax, lambda: fronts_picture(comparison))
    return compare_picture(comparison, comparison.named(trace))


def df_inside(inside: Inside) -> pd.DataFrame:
    """Return what blocks hold at chosen events, as `plot_inside` draws them.

    Parameters
    ----------
    inside : Inside
        What `pba.inside` returned.

    Returns
    -------
    DataFrame
        The rows of `Inside.per_block` for the blocks that are drawn, twelve at most.
    """
    return table_of(inside)


def plot_inside(inside: Inside, *, ax: Ax = None) -> Drawn:
    """Draw memory at chosen events: blocks page by page, what maps them, and the cached list from its head.

    Parameters
    ----------
    inside : Inside
        What `pba.inside` returned.
    ax : Axes or sequence of Axes, optional
        Draw there, in the style of that figure: as many axes as there are panels, or one, which is divided.

    Returns
    -------
    Picture, or Axes
        It displays itself; `.data` is its table, `.figure` Matplotlib's figure. With `ax` the axes that were drawn
        on, an array where there are several.
    """
    return onto(ax, lambda: inside_picture(inside))


def _length_in_ns(value: int | str, what: str) -> int:
    """Return a length of time in ns, which is more than 0."""
    length_ns = time_in_ns(value, what)
    if length_ns <= 0:
        raise PbaError(f"{what} {value} is not a length of time", 'give more than 0, such as "200ms"')
    return length_ns
