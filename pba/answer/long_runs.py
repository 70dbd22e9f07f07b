"""`pba answer`: days of made workloads under every policy, in processes; a run that was stopped goes on.

A *day* is a workload with a seed. It is generated once, and replayed on each size of memory, from each start, under
each policy. What it has found is a file of its own in the folder, named after all that it depends on; a day that is
there is not run again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import tomllib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pba import model
from pba._jit import QUICK_VARIABLE, starts_quickly
from pba._version import __version__
from pba.answer.prices import shipped
from pba.errors import PbaError, meant
from pba.events import OP_DROP, OP_SHRINK
from pba.files import replacing
from pba.machine import Machine, Start
from pba.printable import printable
from pba.probe.compare import parse_choice
from pba.probe.generate import generate
from pba.probe.measures import calls_of, chunks_of
from pba.progress import Progress, heard
from pba.units import parse_bytes, time_in_ns

if TYPE_CHECKING:
    import pandas as pd

    from pba.probe.compare import Choice
    from pba.trace.table import Trace

SHIPPED: Final = "long-runs.toml"
DAYS: Final = "days"
KEYS: Final = ("policies", "memory", "starts", "seeds", "duration", "steps")
LAYOUT: Final = 1


@dataclass(frozen=True)
class Workload:
    """A made workload, or one like a recording."""

    name: str
    workload: str | None
    like: str | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class LongRuns:
    """What is run: `studies/answer/long-runs.toml`, or a file of that form.

    Attributes
    ----------
    workloads : tuple of Workload
        Each day's demand.
    policies : tuple of str
        As `pba.compare` takes them.
    memory : tuple of str
        Sizes of memory.
    starts : tuple of str
        `free`, or `fragmented:SHARE:SEED`.
    seeds : tuple of int
        Of the days.
    duration_ns : int
        A day's length in ns.
    steps : int
        Equal steps of time in the curves.
    """

    workloads: tuple[Workload, ...]
    policies: tuple[str, ...]
    memory: tuple[str, ...]
    starts: tuple[str, ...]
    seeds: tuple[int, ...]
    duration_ns: int
    steps: int

    def days(self) -> list[tuple[Workload, int]]:
        """Return every workload with every seed."""
        return [(workload, seed) for workload in self.workloads for seed in self.seeds]

    def key(self, workload: Workload, seed: int) -> str:
        """Return the name of a day's file: what it depends on, hashed."""
        said = asdict(self) | {
            "workloads": asdict(workload),
            "seeds": seed,
            "version": __version__,
            "layout": LAYOUT,
        }
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
        return f"{workload.name}-{seed}-{digest}"


def shipped_runs() -> Path:
    """Return the definition that comes with pba."""
    return shipped().with_name(SHIPPED)


def read_runs(path: str | Path | None = None, *, short: bool = False) -> LongRuns:
    """Read what is to be run.

    Parameters
    ----------
    path : str or Path, optional
        A TOML file; by default `studies/answer/long-runs.toml`.
    short : bool
        Whether its `[short]` form is meant.

    Raises
    ------
    PbaError
        If the file cannot be read, or a key is missing, unknown or wrong.
    """
    path = shipped_runs() if path is None else Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PbaError(
            f"{path}: cannot be read as long runs: {printable(error, 200)}", f"see {SHIPPED}"
        ) from error
    brief = values.pop("short", {})
    values = values | (brief if short else {})
    for key in values:
        if key not in (*KEYS, "workloads"):
            raise PbaError(
                f"{path}: unknown key {printable(repr(key))}", meant(key, (*KEYS, "workloads", "short"))
            )
    for key in (*KEYS, "workloads"):
        if not values.get(key):
            raise PbaError(f"{path}: has no {key}", f"it needs {', '.join((*KEYS, 'workloads'))}")
    workloads = tuple(_workload(path, name, said) for name, said in values["workloads"].items())
    found = LongRuns(
        workloads, tuple(values["policies"]), tuple(values["memory"]), tuple(values["starts"]),
        tuple(values["seeds"]), time_in_ns(values["duration"], "duration"), int(values["steps"]),
    )  # fmt: skip
    for choice in found.policies:
        parse_choice(choice)
    _machines(found)
    return found


def _workload(path: Path, name: str, said: Any) -> Workload:
    """Return a workload of a file."""
    known = ("workload", "like", "parameters")
    if not isinstance(said, dict) or ("workload" in said) == ("like" in said):
        raise PbaError(
            f"{path}: [workloads.{printable(name)}] names no demand", "say workload or like, and not both"
        )
    for key in said:
        if key not in known:
            raise PbaError(
                f"{path}: [workloads.{printable(name)}] has {printable(repr(key))}", meant(key, known)
            )
    return Workload(name, said.get("workload"), said.get("like"), dict(said.get("parameters", {})))


def _machines(runs: LongRuns) -> list[Machine]:
    """Return every machine: each size of memory with each start; pages of 4 KiB."""
    return [
        replace(Machine.from_bytes(4, parse_bytes(size)), start=Start.of(start))
        for size in runs.memory
        for start in runs.starts
    ]


def run_day(runs: LongRuns, workload: Workload, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Generate a day and replay it on every machine under every policy.

    Returns
    -------
    dict of list of dict
        `rows`, one per machine and policy, and `curves`, one per step of each; see `Found`.
    """
    trace = generate(
        workload.workload, like=workload.like, seed=seed, duration_ns=runs.duration_ns,
        parameters=workload.parameters or None,
    )  # fmt: skip
    start = int(trace.time_ns[0]) if len(trace) else 0
    ends_ns = start + runs.duration_ns * np.arange(1, runs.steps + 1, dtype=np.int64) // runs.steps
    ends = np.searchsorted(trace.time_ns, ends_ns, side="right").astype(np.int64)
    ends[-1] = len(trace)
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for machine in _machines(runs):
        for choice in map(parse_choice, runs.policies):
            about = {
                "workload": workload.name, "seed": seed, "memory_gib": machine.memory_bytes >> 30,
                "start": machine.start.code, "policy": choice.label,
            }  # fmt: skip
            row, steps = _replayed(trace, machine, choice, ends)
            rows.append(about | row)
            hours = runs.duration_ns / 3.6e12 * np.arange(1, runs.steps + 1) / runs.steps
            curves += [
                about | dict(zip(("hour", *CURVES), values, strict=True))
                for values in zip(hours.round(6).tolist(), *(each.tolist() for each in steps), strict=True)
            ]
    return {"rows": rows, "curves": curves}


CURVES: Final = ("held", "pmd_splits", "block_mapped_share")


def _replayed(
    trace: Trace, machine: Machine, choice: Choice, ends: NDArray[np.int64]
) -> tuple[dict[str, Any], tuple[NDArray[Any], ...]]:
    """Return a row of figures, and what holds at each step."""
    result, steps = model.replay_steps(trace, choice.on(machine), machine, choice.policy, ends)
    count = result.counters
    is_rival = "held_pages" in count
    held, _, _, splits, collapses = steps.T
    split = count.get("map_table_pages", 0) + splits - collapses
    share = 1 - split * (machine.block_nr_pages / machine.memory_pages)
    after = count["held_after_passes" if is_rival else "cached_after_passes"]
    passes = int(np.isin(trace.op, (OP_SHRINK, OP_DROP)).sum())
    row = {
        "events": len(trace), "passes": passes, "pmd_splits": count["pmd_splits"], "pud_splits": count["pud_splits"],
        "mapped_end": float(share[-1]), "mapped_mean": float(share.mean()), "held_mean": result.mean_cached_pages,
        "held_peak": count["peak_held" if is_rival else "peak_cached"],
        "after_passes": after / passes if passes else 0.0, "pages_released": count["pages_released"],
        "alloc_failures": count["alloc_failures"], "pages_leaked": count.get("pages_leaked", 0),
        **calls_of(result), **chunks_of(count, is_rival),
    }  # fmt: skip
    return row, (held, splits, share)


@dataclass(frozen=True, eq=False)
class Found:
    """What long runs have found.

    Attributes
    ----------
    runs : LongRuns
        What was run.
    rows : DataFrame
        A row per `workload`, `seed`, `memory_gib`, `start` and `policy`: counts, `held_mean`, `held_peak` and
        `after_passes` (pages), `mapped_end` and `mapped_mean` (share of memory that is block-mapped; the mean is over
        the steps).
    curves : DataFrame
        The same, and `hour`: `held` (pages), `pmd_splits` so far, `block_mapped_share`.
    """

    runs: LongRuns
    rows: pd.DataFrame = field(repr=False)
    curves: pd.DataFrame = field(repr=False)

    def table(self) -> pd.DataFrame:
        """Return the mean over workloads, seeds and sizes of memory, a row per start and policy."""
        measures = ["pmd_splits", "mapped_end", "held_mean", "after_passes", "no_block", "alloc_failures"]
        found: pd.DataFrame = self.rows.groupby(["start", "policy"], sort=False)[measures].mean()
        return found

    def report(self) -> str:
        """Return the report as Markdown: what was run, and the tables."""
        runs = self.runs
        days = len(runs.days())
        lines = [
            "# Long runs", "",
            f"{days} days of {runs.duration_ns / 3.6e12:g} h ({', '.join(one.name for one in runs.workloads)}; seeds "
            f"{', '.join(map(str, runs.seeds))}), on {', '.join(runs.memory)} of 4 KiB pages, under "
            f"{len(runs.policies)} policies: {self.rows['events'].sum():,} events in {len(self.rows):,} replays.",
        ]  # fmt: skip
        for start, table in self.table().groupby(level="start", sort=False):
            lines += ["", f"## Memory at the start: {start}", ""]
            heads = (
                "policy",
                "PMD splits",
                "block-mapped at the end, %",
                "pages held",
                "after a pass",
                "no block",
                "failed",
            )
            lines += [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
            for policy, row in table.droplevel("start").iterrows():
                cells = (
                    f"{row['pmd_splits']:,.1f}", f"{100 * row['mapped_end']:.3f}", f"{row['held_mean']:,.0f}",
                    f"{row['after_passes']:,.0f}", f"{row['no_block']:,.1f}", f"{row['alloc_failures']:,.1f}",
                )  # fmt: skip
                lines.append(f"| `{policy}` | {' | '.join(cells)} |")
        lines += ["", "Means over workloads, seeds and sizes of memory; `rows.csv` has each replay.", ""]
        return "\n".join(lines)


def long_runs(
    runs: LongRuns | None = None,
    folder: str | Path = "runs/answer",
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Found:
    """Run days, in processes, and write what they found; days that are in the folder are not run again.

    Parameters
    ----------
    runs : LongRuns, optional
        What to run (`read_runs`).
    folder : str or Path
        Where `days/`, `rows.csv`, `curves.parquet` and `report.md` go; made if it is not there.
    workers : int, optional
        Processes; by default one for each processor. The files do not depend on them.
    progress : Progress, optional
        Who is told how far it is.

    Returns
    -------
    Found
        Rows, curves and report.

    Raises
    ------
    PbaError
        If a day cannot be made or replayed, or a file cannot be written.
    """
    runs = runs or read_runs()
    days = Path(folder) / DAYS
    days.mkdir(parents=True, exist_ok=True)
    paths = {
        (workload.name, seed): days / f"{runs.key(workload, seed)}.json" for workload, seed in runs.days()
    }
    missing = [(workload, seed) for workload, seed in runs.days() if not paths[workload.name, seed].is_file()]
    workers = workers or len(os.sched_getaffinity(0))
    progress = heard(progress)
    try:
        progress.stage("running days", len(paths), "days", len(paths) - len(missing))
        _run_all(runs, missing, paths, workers, progress, len(paths) - len(missing))
    finally:
        progress.end()
    found = _read(runs, list(paths.values()))
    _write(found, Path(folder))
    return found


def _run_all(
    runs: LongRuns, missing: list[tuple[Workload, int]], paths: Mapping[tuple[str, int], Path], workers: int,
    progress: Progress, done: int,
) -> None:  # fmt: skip
    """Run the days that are missing. The first alone: it compiles what the others then find in the cache."""
    if not missing:
        return
    _day_to_file(runs, *missing[0], paths[missing[0][0].name, missing[0][1]])
    progress.advance(done + 1)
    if len(missing) == 1 or workers == 1:
        for at, (workload, seed) in enumerate(missing[1:], 2):
            _day_to_file(runs, workload, seed, paths[workload.name, seed])
            progress.advance(done + at)
        return
    context = multiprocessing.get_context("spawn")
    if starts_quickly():
        os.environ[QUICK_VARIABLE] = "1"  # for the processes: they find the code that the first day compiled
    with ProcessPoolExecutor(min(workers, len(missing) - 1), context) as pool:
        waiting = [
            pool.submit(_day_to_file, runs, workload, seed, paths[workload.name, seed])
            for workload, seed in missing[1:]
        ]
        try:
            for at, one in enumerate(as_completed(waiting), 2):
                one.result()
                progress.advance(done + at)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _day_to_file(runs: LongRuns, workload: Workload, seed: int, path: Path) -> None:
    """Run a day and write what it found, whole or not at all."""
    text = json.dumps(run_day(runs, workload, seed))
    with replacing(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read(runs: LongRuns, paths: list[Path]) -> Found:
    """Return what all days have found."""
    import pandas as pd

    read = []
    for path in paths:
        try:
            read.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise PbaError(f"{path}: is damaged", "remove it, and say the same again") from error
    rows, curves = (pd.DataFrame([row for day in read for row in day[name]]) for name in ("rows", "curves"))
    return Found(runs, rows, curves)


def _write(found: Found, folder: Path) -> None:
    """Write rows, curves and report; the same days make the same bytes."""
    with replacing(folder / "rows.csv", force=True) as path:
        found.rows.to_csv(path, index=False, lineterminator="\n")
    with replacing(folder / "curves.parquet", force=True) as path:
        found.curves.to_parquet(path, index=False, compression="zstd")
    with replacing(folder / "report.md", force=True) as path:
        path.write_text(found.report(), encoding="utf-8")
