"""Axes that do not mislead: how values are spread along them, and how the ticks are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

WIDE: Final = 30
"""Values that span more than this ratio go on a logarithmic axis."""
WIDE_FROM_ZERO: Final = 100
"""And where there are zeros among them, more than this ratio to the least other value (or one)."""


def plain(value: float, _position: object = None) -> str:
    """Write a tick as people read it: `0.5`, `20`, `12,000`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def spread(
    axes: Axes, which: str, values: Iterable[float], *, from_zero: bool = False, whole: bool = False
) -> str:
    """Choose and set the scale of an axis for these values.

    Logarithmic where they span more than a factor of 30 (of 100 if there are zeros, which get a linear
    stretch), else linear; linear axes begin at zero if `from_zero`, and never magnify differences of less
    than a tenth to the full height. With `whole`, ticks of a linear axis are whole numbers.

    Returns
    -------
    str
        "log", "symlog" or "linear".
    """
    known = np.asarray([value for value in values if np.isfinite(value)], dtype=float)
    known = known if len(known) else np.zeros(1)
    low, high = float(known.min()), float(known.max())
    positive = known[known > 0]
    if low > 0 and high / low > WIDE:
        _log(axes, which, low, high)
        return "log"
    if low == 0 and len(positive) and high / min(1.0, positive.min()) > WIDE_FROM_ZERO:
        _symlog(axes, which, min(1.0, float(positive.min())), high)
        return "symlog"
    _linear(axes, which, low, high, from_zero, whole)
    return "linear"


def _axis(axes: Axes, which: str) -> Axis:
    return axes.xaxis if which == "x" else axes.yaxis


def _limits(axes: Axes, which: str, low: float, high: float) -> None:
    if which == "x":
        axes.set_xlim(low, high)
    else:
        axes.set_ylim(low, high)


def _log(axes: Axes, which: str, low: float, high: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set(**{f"{which}scale": "log"})
    decades = np.log10(high / low)
    axis = _axis(axes, which)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_formatter(NullFormatter())
    _limits(axes, which, low / 10 ** (0.07 * decades), high * 10 ** (0.07 * decades))


def _symlog(axes: Axes, which: str, first: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    step = 10.0 ** np.floor(np.log10(first) + 1e-9)
    arguments = {"linthresh": step, "linscale": 0.6}
    if which == "x":
        axes.set_xscale("symlog", **arguments)
    else:
        axes.set_yscale("symlog", **arguments)
    decades = int(np.log10(high / step) + 1e-9) + 1
    parts = (1.0, 2.0, 5.0) if decades <= 3 else (1.0,)
    powers = [step * part * 10.0**power for power in range(decades) for part in parts]
    axis = _axis(axes, which)
    axis.set_major_locator(FixedLocator([0.0, *powers]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))
    _limits(axes, which, -0.25 * step, high * 1.6)


def _linear(axes: Axes, which: str, low: float, high: float, from_zero: bool, whole: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if _axis(axes, which).get_scale() != "linear":  # of what was drawn before on the same axes
        axes.set(**{f"{which}scale": "linear"})
    steps = [1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10]
    ticks = MaxNLocator(nbins=6 if which == "x" else 5, steps=steps, integer=whole)
    _axis(axes, which).set_major_locator(ticks)
    _axis(axes, which).set_major_formatter(FuncFormatter(plain))
    span = max(high - low, 0.1 * max(abs(high), abs(low)), 1e-9 if high else 1.0)
    bottom, top = (high + low) / 2 - 0.6 * span, (high + low) / 2 + 0.6 * span
    if from_zero or bottom < 0:
        top = high * 1.12 if high > 0 else 1.0
        bottom = -0.05 * top
    _limits(axes, which, bottom, top)


def pages_axis(axes: Axes, values: Iterable[float]) -> None:
    """Set an x axis of pages: a step for each power of two, a place for zero if it occurs."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    known = sorted(float(value) for value in values)
    low, high = known[0], known[-1]
    first = next((value for value in known if value > 0), 1.0)
    if low <= 0:
        axes.set_xscale("symlog", base=2, linthresh=first, linscale=1.0)
        axes.set_xlim(-0.3 * first, max(high, 2 * first) * 1.25)
    else:
        axes.set_xscale("log", base=2)
        axes.set_xlim(low / 1.25, high * 1.25)
    exponents = np.arange(np.floor(np.log2(first)), np.ceil(np.log2(max(high, first))) + 1)
    step = max(1, int(np.ceil(len(exponents) / 6)))
    ticks = [2.0**exponent for exponent in exponents[::step] if first <= 2.0**exponent <= high] or [first]
    axes.xaxis.set_major_locator(FixedLocator(([0.0] if low <= 0 else []) + ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
