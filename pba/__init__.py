"""pba: a threshold-tuning workbench for the page-table block allocator of Linux and its shrinker.

    >>> import pba
    >>> machine = pba.Machine(page_size_kib=4, memory_pages=262144, linear_map="pud")
    >>> pba.Thresholds.patch(machine)
    Thresholds(unshrinkable_pages=16, shrink_block_min_pages=64, batch=512)

Then `pba.recordings`, `pba.read_trace`, `pba.generate`, `pba.replay`, `pba.replay_bounds`; traces of traces
with `pba.cut`, `pba.join`, `pba.merge`, `pba.repeat`, `pba.scale`, `pba.minimise`; many replays of one trace
with `pba.compile_trace`; `pba.tune`, `pba.tune_batch`, `pba.load_run`; `pba.sweep`, `pba.load_sweep`; policies
side by side with `pba.compare`, runs and sweeps with `pba.compare_runs`, the least splits of any with
`pba.split_floor`, what they cost with `pba.cost`; a replay over time with `pba.watch`, where its splits come from
with `pba.splits`, memory at chosen events with `pba.inside`; for Jupyter `pba.interact` and `pba.explore`.
Everything heavy is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pba._version import __version__
from pba.errors import PbaError
from pba.machine import Machine, Start, Thresholds
from pba.watermarks import Watermarks

if TYPE_CHECKING:
    from pba.answer.cost import Cost, break_even_memory, cost
    from pba.answer.prices import Prices, read_prices
    from pba.engine.compile import compile_trace
    from pba.engine.compiled import CompiledTrace
    from pba.engine.replay import machine_of, replay
    from pba.explore import (
        df_bursts,
        df_choices,
        df_compare,
        df_drawdown,
        df_floor,
        df_folds,
        df_front,
        df_groups,
        df_inside,
        df_lifetimes,
        df_live,
        df_passes,
        df_phases,
        df_points,
        df_rates,
        df_recordings,
        df_region,
        df_regret,
        df_splits,
        df_timeline,
        df_watch,
        plot_bursts,
        plot_compare,
        plot_drawdown,
        plot_front,
        plot_inside,
        plot_lifetimes,
        plot_live,
        plot_passes,
        plot_phases,
        plot_points,
        plot_rates,
        plot_recordings,
        plot_region,
        plot_splits,
        plot_timeline,
        plot_watch,
    )
    from pba.imports.read import read_trace
    from pba.policies.policy import Policy
    from pba.probe.bounds import ReplayBounds, replay_bounds
    from pba.probe.compare import Comparison, compare
    from pba.probe.derive import cut, join, merge, repeat, scale
    from pba.probe.floor import SplitFloor, split_floor
    from pba.probe.generate import generate
    from pba.probe.inside import Inside, inside
    from pba.probe.minimise import minimise
    from pba.probe.splits import Splits, splits
    from pba.probe.watch import Watch, watch
    from pba.report.side_by_side import RunComparison, compare_runs
    from pba.results import ReplayResult
    from pba.sliders import interact
    from pba.study.aims import Aim
    from pba.study.batch import tune_batch
    from pba.study.result import load_run
    from pba.study.sweep.grid import Grid
    from pba.study.sweep.result import SweepResult
    from pba.study.sweep.run import load_sweep, sweep
    from pba.study.tune import tune
    from pba.trace.corpus import recordings
    from pba.trace.metadata import Metadata, Quality
    from pba.trace.table import Trace

_LAZY = {
    "Cost": "pba.answer.cost",
    "break_even_memory": "pba.answer.cost",
    "cost": "pba.answer.cost",
    "Prices": "pba.answer.prices",
    "read_prices": "pba.answer.prices",
    "replay": "pba.engine.replay",
    "compile_trace": "pba.engine.compile",
    "CompiledTrace": "pba.engine.compiled",
    "machine_of": "pba.engine.replay",
    "Policy": "pba.policies.policy",
    "ReplayResult": "pba.results",
    "read_trace": "pba.imports.read",
    "Trace": "pba.trace.table",
    "Metadata": "pba.trace.metadata",
    "Quality": "pba.trace.metadata",
    "recordings": "pba.trace.corpus",
    "cut": "pba.probe.derive",
    "join": "pba.probe.derive",
    "merge": "pba.probe.derive",
    "repeat": "pba.probe.derive",
    "scale": "pba.probe.derive",
    "minimise": "pba.probe.minimise",
    "ReplayBounds": "pba.probe.bounds",
    "replay_bounds": "pba.probe.bounds",
    "split_floor": "pba.probe.floor",
    "SplitFloor": "pba.probe.floor",
    "generate": "pba.probe.generate",
    "compare": "pba.probe.compare",
    "Comparison": "pba.probe.compare",
    "compare_runs": "pba.report.side_by_side",
    "RunComparison": "pba.report.side_by_side",
    "inside": "pba.probe.inside",
    "Inside": "pba.probe.inside",
    "splits": "pba.probe.splits",
    "Splits": "pba.probe.splits",
    "watch": "pba.probe.watch",
    "Watch": "pba.probe.watch",
    "interact": "pba.sliders",
    "df_bursts": "pba.explore",
    "df_compare": "pba.explore",
    "df_drawdown": "pba.explore",
    "df_floor": "pba.explore",
    "df_front": "pba.explore",
    "df_inside": "pba.explore",
    "df_lifetimes": "pba.explore",
    "df_live": "pba.explore",
    "df_passes": "pba.explore",
    "df_phases": "pba.explore",
    "df_rates": "pba.explore",
    "df_regret": "pba.explore",
    "df_splits": "pba.explore",
    "df_choices": "pba.explore",
    "df_folds": "pba.explore",
    "df_groups": "pba.explore",
    "df_points": "pba.explore",
    "df_recordings": "pba.explore",
    "df_region": "pba.explore",
    "plot_points": "pba.explore",
    "plot_recordings": "pba.explore",
    "plot_region": "pba.explore",
    "df_timeline": "pba.explore",
    "df_watch": "pba.explore",
    "plot_bursts": "pba.explore",
    "plot_compare": "pba.explore",
    "plot_drawdown": "pba.explore",
    "plot_front": "pba.explore",
    "plot_inside": "pba.explore",
    "plot_lifetimes": "pba.explore",
    "plot_live": "pba.explore",
    "plot_passes": "pba.explore",
    "plot_phases": "pba.explore",
    "plot_rates": "pba.explore",
    "plot_splits": "pba.explore",
    "plot_timeline": "pba.explore",
    "plot_watch": "pba.explore",
    "tune": "pba.study.tune",
    "tune_batch": "pba.study.batch",
    "Aim": "pba.study.aims",
    "load_run": "pba.study.result",
    "sweep": "pba.study.sweep.run",
    "load_sweep": "pba.study.sweep.run",
    "Grid": "pba.study.sweep.grid",
    "SweepResult": "pba.study.sweep.result",
}

__all__ = [
    "Aim",
    "Comparison",
    "CompiledTrace",
    "Cost",
    "Grid",
    "Inside",
    "Machine",
    "Metadata",
    "PbaError",
    "Policy",
    "Prices",
    "Quality",
    "ReplayBounds",
    "ReplayResult",
    "RunComparison",
    "SplitFloor",
    "Splits",
    "Start",
    "SweepResult",
    "Thresholds",
    "Trace",
    "Watch",
    "Watermarks",
    "__version__",
    "break_even_memory",
    "compare",
    "compare_runs",
    "compile_trace",
    "cost",
    "cut",
    "df_bursts",
    "df_choices",
    "df_compare",
    "df_drawdown",
    "df_floor",
    "df_folds",
    "df_front",
    "df_groups",
    "df_inside",
    "df_lifetimes",
    "df_live",
    "df_passes",
    "df_phases",
    "df_points",
    "df_rates",
    "df_recordings",
    "df_region",
    "df_regret",
    "df_splits",
    "df_timeline",
    "df_watch",
    "generate",
    "inside",
    "interact",
    "join",
    "load_run",
    "load_sweep",
    "machine_of",
    "merge",
    "minimise",
    "plot_bursts",
    "plot_compare",
    "plot_drawdown",
    "plot_front",
    "plot_inside",
    "plot_lifetimes",
    "plot_live",
    "plot_passes",
    "plot_phases",
    "plot_points",
    "plot_rates",
    "plot_recordings",
    "plot_region",
    "plot_splits",
    "plot_timeline",
    "plot_watch",
    "read_prices",
    "read_trace",
    "recordings",
    "repeat",
    "replay",
    "replay_bounds",
    "scale",
    "split_floor",
    "splits",
    "sweep",
    "tune",
    "tune_batch",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import pba` costs nothing."""
    if name not in _LAZY:
        raise AttributeError(f"module 'pba' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, those not imported yet among them."""
    return sorted({*globals(), *__all__})
