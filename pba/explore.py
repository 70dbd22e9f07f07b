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

from typing import TYPE_CHECKING, Any

from pba.analysis.bursts import bursts_table as df_bursts
from pba.analysis.drawdown import drawdown_table as df_drawdown
from pba.analysis.lifetimes import lifetimes_table as df_lifetimes
from pba.analysis.live import live_table as df_live
from pba.analysis.passes import passes_table as df_passes
from pba.analysis.phases import phases_table as df_phases
from pba.analysis.rates import rates_table as df_rates
from pba.errors import PbaError
from pba.report.data import flatness_table as df_flatness
from pba.report.data import front_table as df_front
from pba.report.data import points_table as df_points
from pba.report.data import recordings_table as df_recordings
from pba.report.figures import (
    flatness_picture as plot_flatness,
)
from pba.report.figures import (
    front_picture as plot_front,
)
from pba.report.figures import (
    recordings_picture as plot_recordings,
)
from pba.report.figures import (
    timeline_picture,
)
from pba.report.trace_figures import (
    bursts_picture as plot_bursts,
)
from pba.report.trace_figures import (
    drawdown_picture as plot_drawdown,
)
from pba.report.trace_figures import (
    lifetimes_picture as plot_lifetimes,
)
from pba.report.trace_figures import (
    live_picture as plot_live,
)
from pba.report.trace_figures import (
    passes_picture as plot_passes,
)
from pba.report.trace_figures import (
    phases_picture as plot_phases,
)
from pba.report.trace_figures import (
    rates_picture as plot_rates,
)
from pba.study.result import load_run

if TYPE_CHECKING:
    import pandas as pd

    from pba.report.style import Picture
    from pba.results import ReplayResult

__all__ = [
    "df_bursts", "df_drawdown", "df_flatness", "df_front", "df_lifetimes", "df_live", "df_passes",
    "df_phases", "df_points", "df_rates", "df_recordings", "df_timeline", "load_run", "plot_bursts",
    "plot_drawdown", "plot_flatness", "plot_front", "plot_lifetimes", "plot_live", "plot_passes",
    "plot_phases", "plot_points", "plot_rates", "plot_recordings", "plot_timeline",
]  # fmt: skip

plot_points = plot_front
"""The front is drawn among all points."""


def df_timeline(result: ReplayResult) -> pd.DataFrame:
    """Return cache, live page tables and splits over the time of one replay.

    Parameters
    ----------
    result : ReplayResult
        A replay made with `timeline=True`.

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


def plot_timeline(result: ReplayResult) -> Picture:
    """Draw `df_timeline`: what is cached and live above, PMD splits so far below."""
    title = f"{result.trace_name or 'Replay'} with {result.thresholds}"
    return timeline_picture(df_timeline(result), title)
