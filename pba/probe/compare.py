"""`pba.compare`: policies, and thresholds, side by side on the same traces."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import sched_getaffinity
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pba import model, shown
from pba.errors import PbaError, TraceError, meant
from pba.imports.read import read_trace
from pba.machine import ALL_FREE, Machine, Start, Thresholds
from pba.paired import FEWEST, difference, paired_interval, relative_change
from pba.policies.policy import Policy, parse_parameters
from pba.policies.registry import PLACES, definition
from pba.printable import printable
from pba.probe.measures import MEASURES, measured, over_time
from pba.progress import Progress, heard
from pba.trace.corpus import find_all
from pba.trace.table import Trace
from pba.units import fine_percent, number, plural
from pba.watermarks import Watermarks

if TYPE_CHECKING:
    import pandas as pd

QUESTION: Final = ("v6", "untracked", "scattered", "pte-mapped", "freetype")
"""Policies that are compared by default: does tracking help, and what stands against a block allocator?"""
STEPS: Final = 400
"""Equal steps of time in `Comparison.curves`."""
CHANGES_SHOWN: Final = ("pmd_splits", "tlb_flushes", "held_back_mean", "mapped_end")
"""Measures whose changes a table shows; `Comparison.changes` has all."""
CURVES: Final = ["trace", "choice", "seconds", "held", "tables", "pmd_splits", "block_mapped_share"]
"""The columns of `Comparison.curves`."""
_SHORT: Final = {"U": "unshrinkable_pages", "M": "shrink_block_min_pages", "B": "batch"}


class Choice(NamedTuple):
    """What is replayed: a policy, and thresholds where they are not the patch's."""

    label: str
    policy: Policy
    thresholds: dict[str, int]

    def on(self, machine: Machine) -> Thresholds | None:
        """Return the thresholds on a machine: the patch's, with those that are said."""
        if not self.thresholds:
            return self.policy.thresholds_on(machine, None)
        return self.policy.thresholds_on(machine, replace(Thresholds.patch(machine), **self.thresholds))


def parse_choice(text: str) -> Choice:
    """Return what `NAME` or `NAME:KEY=VALUE,...` says: a policy, its parameters, and U, M and B.

    Raises
    ------
    PbaError
        If there is no such policy, or it has no such parameter or threshold.
    """
    name, _, rest = text.partition(":")
    words = [word for word in rest.split(",") if word]
    takes = definition(name).thresholds
    thresholds: dict[str, int] = {}
    parameters = []
    for word in words:
        key, _, value = word.partition("=")
        if key not in _SHORT:
            parameters.append(word)
            continue
        if _SHORT[key] not in takes:
            raise PbaError(f"policy {name} has no threshold {key}", "leave it out")
        if _SHORT[key] in thresholds or not (value.isascii() and value.isdigit() and len(value) < 19):
            raise PbaError(
                f"{printable(word)} in --policy {printable(text)} is no number of pages", "say U=256"
            )
        thresholds[_SHORT[key]] = int(value)
    policy = parse_parameters(name, parameters)
    said = [f"{key}={thresholds[long]}" for key, long in _SHORT.items() if long in thresholds]
    return Choice(" ".join([str(policy), *said]), policy, thresholds)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Policies side by side.

    Attributes
    ----------
    choices : tuple of str
        What was replayed: policies, with the parameters and thresholds that are not the default.
    totals : DataFrame
        A row per measure (`pba.probe.measures.MEASURES`), a column per choice: over all traces, summed or
        averaged as the measure says.
    per_trace : DataFrame
        A row per trace and choice: `trace`, `choice`, `machine`, `seconds` (the trace's length), `page_size_kib`,
        `memory_pages`, then every measure.
    curves : DataFrame
        A row per trace, choice and step of time, each of equal length: `trace`, `choice`, `seconds` (its end,
        after the first event), and what holds there: `held` and `tables` (pages), `pmd_splits` (so far),
        `block_mapped_share`.
    start : Start
        What was free when the replays started, where that is the same for all of them; else all.
    watermarks : Watermarks or None
        What pressure followed from; None where it was the recorded one.
    """

    choices: tuple[str, ...]
    totals: pd.DataFrame = field(repr=False)
    per_trace: pd.DataFrame = field(repr=False)
    curves: pd.DataFrame = field(repr=False)
    start: Start = ALL_FREE
    watermarks: Watermarks | None = None

    @cached_property
    def changes(self) -> pd.DataFrame:
        """What each measure changes from the first choice to each other one, over the traces.

        A row per measure and choice: `measure`, `choice`, `kind` (`relative`: a share of the first choice's total;
        `difference`: of means, in the measure's unit, for shares and where the first has nothing), `estimate`,
        and `low` and `high`, the ends of its 95 % bootstrap interval over traces (paired, BCa): NaN for fewer than
        five traces. How other traces of their kind may differ is all that it tells: a replay itself is exact.
        """
        import pandas as pd

        columns = ["measure", "choice", "kind", "estimate", "low", "high"]
        rows = [_change(self, name, choice) for choice in self.choices[1:] for name in MEASURES]
        return pd.DataFrame(rows, columns=columns)

    def change_rows(self, measures: Sequence[str] = CHANGES_SHOWN) -> list[tuple[str, ...]]:
        """Return changes as text: label of a measure, then a cell per choice but the first; none for few traces."""
        if len(self.traces) < FEWEST or len(self.choices) < 2:
            return []
        found = []
        for name in measures:
            changes = [_change(self, name, choice) for choice in self.choices[1:]]
            if any(one["estimate"] for one in changes):
                found.append((MEASURES[name].label, *map(change_cell, changes)))
        return found

    @property
    def traces(self) -> tuple[str, ...]:
        """The traces' names."""
        return tuple(dict.fromkeys(self.per_trace["trace"]))

    def named(self, trace: str | None) -> str:
        """Return which trace is meant: the one that is named, or the only one.

        Raises
        ------
        PbaError
            If there are several and none is named, or none of that name.
        """
        if trace is None and len(self.traces) == 1:
            return self.traces[0]
        if trace is None:
            raise PbaError(f"{len(self.traces)} traces are compared", f"name one: {', '.join(self.traces)}")
        if trace not in self.traces:
            raise PbaError(f"no trace {printable(repr(trace))} is compared", meant(trace, self.traces))
        return trace

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, without the curves."""
        return {
            "choices": list(self.choices),
            "traces": list(self.traces),
            **({} if self.start == ALL_FREE else {"start": self.start.code}),
            **({} if self.watermarks is None else {"watermarks": self.watermarks.to_dict()}),
            "measures": {
                name: {"unit": one.unit, "over": one.over, "meaning": one.meaning}
                for name, one in MEASURES.items()
            },
            "totals": {choice: self.totals[choice].to_dict() for choice in self.choices},
            "changes": json.loads(self.changes.to_json(orient="records", double_precision=15)),
            "per_trace": self.per_trace.to_dict("records"),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON, indented."""
        return json.dumps(self.to_dict(), indent=1)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the totals as text: label and unit of a measure, then a cell per choice.

        Measures that are 0 for all choices are left out.
        """
        found = []
        for name, row in self.totals.iterrows():
            if (row != 0).any():
                one = MEASURES[str(name)]
                cells = [cell(value, one.unit) for value in row]
                found.append((one.label, "%" if one.unit == "share" else one.unit, *cells))
        return found

    @shown.never_raises
    def __repr__(self) -> str:
        """Return a few lines: what was compared, splits and held memory of each."""
        told = [
            f"{choice}: {number(self.totals.at['pmd_splits', choice])} PMD splits, "
            f"{number(self.totals.at['held_back_mean', choice])} pages held back on average"
            for choice in self.choices
        ]
        return shown.lines(f"Comparison on {plural(len(self.traces), 'trace')}", told)

    @shown.never_raises
    def _repr_html_(self) -> str:
        """Show the table of measures in Jupyter."""
        head = ("measure", "unit", *self.choices)
        parts = [shown.table(head, self.rows())]
        if changes := self.change_rows():
            parts += [
                shown.paragraph(self.changes_words),
                shown.table(("change", *self.choices[1:]), changes),
            ]
        return shown.html(f"On {plural(len(self.traces), 'trace')}", *parts)

    @property
    def changes_words(self) -> str:
        """What `change_rows` shows, in a line."""
        return f"against {self.choices[0]}, with 95 % intervals over {plural(len(self.traces), 'trace')}"


def _change(found: Comparison, measure: str, choice: str) -> dict[str, Any]:
    """Return what a measure changes from the first choice to another, with its interval where traces allow one."""
    wide = found.per_trace.set_index(["choice", "trace"])[measure]
    old, new = (
        wide.loc[one].reindex(found.traces).to_numpy(np.float64) for one in (found.choices[0], choice)
    )
    is_relative = MEASURES[measure].unit != "share" and bool(old.any())
    statistic = relative_change if is_relative else difference
    if len(old) < FEWEST:
        ends = (float(statistic(new, old, 0)), np.nan, np.nan)
    else:
        ends = paired_interval(new, old, statistic)
    kind = "relative" if is_relative else "difference"
    return {
        "measure": measure,
        "choice": choice,
        "kind": kind,
        **dict(zip(("estimate", "low", "high"), ends, strict=True)),
    }


def change_cell(change: Mapping[str, Any]) -> str:
    """Return a change with its interval as text: `+52 % (+20 to +90)`, shares in points of a hundred."""
    values = [change[end] for end in ("estimate", "low", "high")]
    if not any(values):
        return "0"
    if change["kind"] == "relative":
        told = [f"{100 * value:+,.{0 if abs(value) >= 0.0995 else 1}f}" for value in values]
        unit = " %"
    elif MEASURES[change["measure"]].unit == "share":
        told = [f"{100 * value:+.3g}" for value in values]
        unit = " points"
    else:
        told = [f"{value:+,.3g}" for value in values]
        unit = ""
    return told[0] + unit + (f" ({told[1]} to {told[2]})" if values[1] < values[2] else "")


def cell(value: float, unit: str) -> str:
    """Return a figure of a measure as text: shares in per cent, small means with a digit."""
    if unit == "share":
        return fine_percent(value).removesuffix(" %")
    if unit == "s":
        return f"{value:.2f}" if 0 < value < 10 else number(value)
    return f"{value:.1f}" if value != int(value) and value < 10 else number(value)


def compare(
    traces: Sequence[Trace | str | Path] | Trace | str | Path | None = None,
    policies: Sequence[str | Policy] = QUESTION,
    machine: Machine | Callable[[Trace], Machine] | None = None,
    *,
    memory_from_trace: bool = False,
    fragmented: float | None = None,
    seed: int = 0,
    reclaim: str | Watermarks | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Replay traces under several policies, or thresholds, and count them alike.

    Parameters
    ----------
    traces : Trace, str, Path, or sequence of them, optional
        Traces, files, names or patterns of recordings; by default all of pba's recordings.
    policies : sequence of str or Policy
        What to compare: names of policies; `"NAME:KEY=VALUE,..."` with parameters of the policy and with U, M
        and B in pages (`"v6:U=256,M=480"`); or `pba.Policy`. What is not said is the patch's.
    machine : Machine or callable, optional
        On which all are replayed, or what gives a trace's; each trace's own by default.
    memory_from_trace : bool
        Start with the free memory that the recordings tell of, rather than all of it.
    fragmented : float, optional
        Start with half of memory free, so much of it outside of whole free blocks; see `pba.Start`.
    seed : int
        Seed of the demand that leaves memory so fragmented.
    reclaim : str or Watermarks, optional
        `"recorded"` (the default), `"watermarks"`, or the parameters of the latter; see `pba.replay`.
    progress : Progress, optional
        Who is told how far it is: by default a line in Jupyter, nobody elsewhere.

    Returns
    -------
    Comparison
        Tables of measures and curves over time. The same arguments give the same, bit for bit.

    Raises
    ------
    PbaError
        If there is no such policy, parameter or threshold, or one is named twice.
    TraceError
        If two traces have one name, or a trace cannot be replayed on the machine.

    Examples
    --------
    >>> pba.compare("pgbench", ["v6", "v6:M=512", "freetype"])  # doctest: +SKIP
    """
    choices, watermarks = _choices(policies), Watermarks.of(reclaim)
    progress = heard(progress)
    try:
        progress.stage("reading the traces")
        read = traces_of(traces)
        rule = (lambda _: machine) if isinstance(machine, Machine) else machine or model.machine_of
        start = memory_from_trace, fragmented, seed
        jobs = [(trace, model.started(rule(trace), *start), choice) for trace in read for choice in choices]
        for _, on_machine, choice in jobs:
            if watermarks is not None:
                model.marks_of(watermarks, on_machine)
            choice.on(on_machine)  # what is out of range is refused before anything is replayed
        progress.stage("replaying", len(jobs), "replays")
        with ThreadPoolExecutor(len(sched_getaffinity(0)), "compare") as pool:
            found = []
            for outcome in pool.map(lambda job: _replay(job, watermarks), jobs):
                found.append(outcome)
                progress.advance(len(found))
    finally:
        progress.end()
    starts = {on_machine.start for _, on_machine, _ in jobs}
    together = _together(tuple(choice.label for choice in choices), found)
    return replace(together, start=starts.pop() if len(starts) == 1 else ALL_FREE, watermarks=watermarks)


def load_comparison(folder: str | Path) -> Comparison:
    """Read what `pba compare -o` wrote.

    Raises
    ------
    PbaError
        If the folder holds no comparison, or a damaged one.
    """
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    place = Path(folder)
    try:
        plain = json.loads((place / "comparison.json").read_text(encoding="utf-8"))
        choices = tuple(str(choice) for choice in plain["choices"])
        totals = pd.DataFrame({choice: plain["totals"][choice] for choice in choices}).rename_axis("measure")
        per_trace = pd.DataFrame(plain["per_trace"])
        curves: pd.DataFrame = arrow_csv.read_csv(place / "over-time.csv").to_pandas()
        if set(totals.index) != set(MEASURES) or not {"trace", "choice", *MEASURES} <= set(per_trace.columns):
            raise ValueError("measures are missing")
        if list(curves.columns) != CURVES:
            raise ValueError("over-time.csv has other columns")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise PbaError(
            f"{printable(place)}: cannot be read as a comparison", "say pba compare -o again"
        ) from error
    return Comparison(choices, totals.loc[list(MEASURES)], per_trace, curves)


def _choices(policies: Sequence[str | Policy]) -> list[Choice]:
    """Return what is to be replayed, each once."""
    given = [policies] if isinstance(policies, str | Policy) else list(policies)
    if "all" in given:
        given = [*(one for one in given if one != "all"), *(name for name in PLACES if name not in given)]
    found = [Choice(str(one), one, {}) if isinstance(one, Policy) else parse_choice(one) for one in given]
    twice = [label for label, times in Counter(choice.label for choice in found).items() if times > 1]
    if twice:
        raise PbaError(f"policy {twice[0]} is named twice", "name each once")
    if not found:
        raise PbaError("no policy is named", "name one or more")
    return found


def traces_of(traces: Sequence[Trace | str | Path] | Trace | str | Path | None) -> list[Trace]:
    """Return the traces, each once."""
    if traces is None:
        traces = ["*"]
    given = [traces] if isinstance(traces, Trace | str | Path) else list(traces)
    found: dict[Trace | Path, None] = {}
    for item in given:
        found.update((one, None) for one in ([item] if isinstance(item, Trace) else find_all(str(item))))
    read = [one if isinstance(one, Trace) else read_trace(one) for one in found]
    twice = [name for name, times in Counter(trace.name for trace in read).items() if times > 1]
    if twice:
        raise TraceError(f"two traces are called {printable(repr(twice[0]))}", "leave one of them out")
    return read


def _replay(
    job: tuple[Trace, Machine, Choice], watermarks: Watermarks | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a row of measures, and the curves."""
    trace, machine, choice = job
    thresholds = choice.on(machine)
    result = model.replay(trace, thresholds, machine, timeline=True, policy=choice.policy, reclaim=watermarks)
    row = {
        "trace": trace.name, "choice": choice.label, "machine": str(machine),
        "seconds": trace.duration_ns / 1e9, "page_size_kib": machine.page_size_kib,
        "memory_pages": machine.memory_pages, **measured(trace, result),
    }  # fmt: skip
    states = over_time(result)
    start, end = (int(states.time_ns[at]) for at in (0, -1)) if len(trace) else (0, 0)
    ends = start + (end - start) * np.arange(1, STEPS + 1) / STEPS
    last = np.maximum(np.searchsorted(states.time_ns, ends, side="right") - 1, 0)
    if len(trace) == 0:
        return row, {}
    share = 1 - states.split_blocks[last] * (machine.block_nr_pages / machine.memory_pages)
    curve = {
        "trace": trace.name, "choice": choice.label, "seconds": (ends - start) / 1e9, "held": states.held[last],
        "tables": states.tables[last], "pmd_splits": states.pmd_splits[last], "block_mapped_share": share,
    }  # fmt: skip
    return row, curve


def _together(choices: tuple[str, ...], found: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> Comparison:
    """Return all replays' figures as tables."""
    import pandas as pd

    per_trace = pd.DataFrame([row for row, _ in found])
    grouped = per_trace.groupby("choice", sort=False)
    totals = pd.DataFrame({name: grouped[name].agg(one.over) for name, one in MEASURES.items()}).T[
        list(choices)
    ]
    curves = [pd.DataFrame(curve) for _, curve in found if curve]
    return Comparison(
        choices, totals.rename_axis("measure"), per_trace,
        pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVES),
    )  # fmt: skip
