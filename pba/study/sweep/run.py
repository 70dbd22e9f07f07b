"""A sweep from its traces to its result; begun, gone on with, or found done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from pba.engine import ahead
from pba.engine.compile import compile_trace
from pba.errors import PbaError, StudyError, option
from pba.machine import Machine, Thresholds
from pba.printable import printable
from pba.progress import Progress, heard
from pba.results import COUNTER_COLUMNS
from pba.study.cluster import Dask, check_dask, executor_for
from pba.study.executors import Executor, OnThreads
from pba.study.folder import COMPLETE, RUNNING, Folder, Record
from pba.study.inputs import versions
from pba.study.replays import KeptPoints, Replays, trace_sha256
from pba.study.space import PATCH_POINT
from pba.study.sweep.boxes import Boxes, boxes_of, page_ns_of
from pba.study.sweep.case import Case
from pba.study.sweep.folder import PARTS, RECORD_FILE, SWEEP, TABLE_FILE, differences, read_table, write_table
from pba.study.sweep.grid import Grid
from pba.study.sweep.parts import PartFiles, Parts, PartsInMemory, columns_of, joined, rows_from
from pba.study.sweep.result import SweepResult
from pba.study.sweep.tasks import Task, case_key, run_task, tasks_of
from pba.study.workers import Threads, check_memory, check_workers
from pba.trace.table import Trace
from pba.units import number, plural

RECORDED: Final = "recorded"
"""The setting in which each trace is replayed on the machine that it was recorded on."""

Traces = Trace | str | Path | Iterable[Trace | str | Path]
Settings = Mapping[str, Callable[[Trace], Machine]]


def sweep(
    traces: Traces,
    grid: Grid | None = None,
    machine: Machine | Sequence[Machine] | Settings | None = None,
    *,
    workers: int | None = None,
    dask: Dask | Executor | None = None,
    folder: str | Path | None = None,
    force: bool = False,
    cache: bool | Replays = True,
    command: str = "",
    progress: Progress | None = None,
) -> SweepResult:
    """Evaluate every point of a grid of thresholds exactly, on every trace.

    Parameters
    ----------
    traces : Trace, str, Path, or several of them
        Traces; files, names or patterns of recordings (`"arm64-*"`).
    grid : Grid, optional
        Which points: 63 x 512 x 16 of them by default. The patch's own values are added to each axis.
    machine : Machine, several, or mapping, optional
        On which machine each trace is replayed: the one it was recorded on (`machine_of`) by default. Of
        several, each with all traces. A mapping gives a name to each rule from a trace to its machine.
    workers : int, optional
        Threads; one per processor by default. The result does not depend on it.
    dask : str or distributed.Client, optional
        Where to explore instead: the address of a Dask cluster's scheduler, or `"local"` for a cluster of
        `workers` processes that ends with the sweep. Needs `pip install 'pba[dask]'`.
    folder : str or Path, optional
        Where to keep the result, and what is done of it after a kill. Only in memory by default.
    force : bool
        Whether to forget what an earlier sweep left in the folder.
    cache : bool
        Whether to take what earlier studies and sweeps replayed from pba's cache, and to keep there what this
        one does (`pba.study.replays`). The result does not depend on it.
    command : str
        The command that does the same, for the record.
    progress : Progress, optional
        Who is told how far it is: by default a line in Jupyter, nobody elsewhere.

    Returns
    -------
    SweepResult
        Every point, as boxes of points that behave alike. The same for any number of workers.

    Raises
    ------
    TraceError, ThresholdError
        If a trace cannot be read, or a machine cannot replay it.
    StudyError
        If the folder is another sweep's, or damaged.
    ClusterError
        If the cluster cannot be reached, or goes away. What is done by then is kept.
    """
    workers, progress = check_workers(workers), heard(progress)
    check_dask(dask)
    grid = Grid() if grid is None else grid  # not by its truth: a grid that says all has no length
    if dask is None or isinstance(dask, OnThreads):
        ahead.begin()
    try:
        progress.stage("reading the traces")
        named, rules = read_traces(traces), _settings(machine)
        if folder is None:
            with Replays.opened(cache) as replays:
                work = _Work(named, rules, grid, workers, replays, progress)
                with executor_for(dask, workers, progress) as executor:
                    return work.result(work.explored(PartsInMemory(), executor), command, None)
        place = Folder(Path(folder), SWEEP)
        with place.held(), Replays.opened(cache) as replays:
            begun = place.is_begun(force)
            work = _Work(named, rules, grid, workers, replays, progress)
            record = _open(place, work.record(command), begun)
            if record["state"] == COMPLETE:
                progress.say(f"{place.path}: done already; nothing is replayed again")
            else:
                with executor_for(dask, workers, progress) as executor:
                    found = work.explored(PartFiles(place.path / PARTS), executor)
                write_table(place.path / TABLE_FILE, work.grid, work.cases, found)
                place.complete(record, (TABLE_FILE,))
                place.remove(PARTS)
            return load_sweep(place.path)
    finally:
        progress.end()


def load_sweep(folder: str | Path) -> SweepResult:
    """Read what a finished sweep left in its folder.

    Raises
    ------
    StudyError
        If it is no sweep's folder, is damaged, or the sweep is not done.
    """
    place = Folder(Path(folder), SWEEP)
    record = place.read()
    if record["state"] != COMPLETE:
        raise StudyError(f"{folder}: the sweep is not done", f"go on with it: {record['command']}")
    place.check_files(record)
    try:
        grid = Grid(**record["grid"])
        cases = tuple(Case.from_dict(row) for row in record["cases"])
    except (KeyError, TypeError, ValueError, PbaError) as error:
        raise place.damaged(RECORD_FILE, error) from error
    found = tuple(read_table(place, grid, cases))
    return SweepResult(grid, cases, found, record["versions"], record["command"], place.path)


def read_traces(traces: Traces) -> list[tuple[Trace, str]]:
    """Return the traces and their files (empty where there is none), in the order in which they are named.

    Raises
    ------
    StudyError
        If there are no traces, or two have one name.
    """
    from pba.imports.read import read_trace
    from pba.trace.corpus import find_all

    given = [traces] if isinstance(traces, Trace | str | Path) else list(traces)
    found: dict[Trace | Path, None] = {}
    for item in given:
        found.update((one, None) for one in ([item] if isinstance(item, Trace) else find_all(str(item))))
    if not found:
        raise StudyError(
            "no trace is given to sweep", "name one; by default all of pba's recordings are swept"
        )
    read = [(one, "") if isinstance(one, Trace) else (read_trace(one), str(one)) for one in found]
    twice = [name for name, times in Counter(_name(*pair) for pair in read).items() if times > 1]
    if twice:
        raise StudyError(f"two traces are called {twice[0]!r}", "leave one of them out")
    return read


def _name(trace: Trace, path: str) -> str:
    return printable(trace.metadata.name or Path(path).name.split(".")[0] or trace.name)


def _settings(machine: Machine | Sequence[Machine] | Settings | None) -> Settings:
    """Return rules from a trace to its machine, by their names."""
    from pba.model import machine_of

    if machine is None:
        return {RECORDED: machine_of}
    if isinstance(machine, Mapping):
        return machine
    machines = [machine] if isinstance(machine, Machine) else list(machine)
    return {str(one): lambda _, one=one: one for one in machines}  # type: ignore[misc]


def _open(place: Folder, wanted: Record, begun: bool) -> Record:
    """Return the record of the sweep in a folder, new or old; check the files of one that is done."""
    if not begun:
        return place.write(wanted)
    record = place.read()
    place.refuse(differences(record, wanted))
    if record["state"] == COMPLETE:
        place.check_files(record)
        place.remove(PARTS)
    return record


class _Work:
    """The traces on their machines, and the tasks that are left to do."""

    def __init__(
        self,
        named: list[tuple[Trace, str]],
        rules: Settings,
        grid: Grid,
        workers: int,
        replays: Replays,
        progress: Progress,
    ) -> None:
        self.traces = [trace for trace, _ in named]
        self.workers, self.replays, self.progress = workers, replays, progress
        pairs = [(at, setting) for setting in rules for at in range(len(named))]
        machines = [rules[setting](self.traces[at]) for at, setting in pairs]
        names = [f"{_name(*named[at])}, {setting}" for at, setting in pairs]
        check_memory(dict(zip(names, machines, strict=True)), workers, progress)
        hashes = [
            trace_sha256(self.traces[at], machine) for (at, _), machine in zip(pairs, machines, strict=True)
        ]
        progress.stage("replaying the patch's own thresholds (the first time, the model is compiled)")
        known = [replays.points_of(digest, machine) for digest, machine in zip(hashes, machines, strict=True)]
        with Threads(max_workers=workers, thread_name_prefix="sweep") as pool:
            patches = list(pool.map(_patch_figures, [self.traces[at] for at, _ in pairs], machines, known))
            most = grid.resolved(lambda: max(pool.map(_most_cached, self.traces * len(rules), machines)))
        self.grid = most.with_patch()
        self.of_trace = [at for at, _ in pairs]
        self.cases = [
            Case(
                _name(*named[at]), setting, named[at][1], digest, machine, len(self.traces[at]),
                _passes(self.traces[at]), self.traces[at].duration_ns, patch,
            )
            for (at, setting), digest, machine, patch in zip(pairs, hashes, machines, patches, strict=True)
        ]  # fmt: skip

    def record(self, command: str) -> dict[str, Any]:
        """Return what `sweep.json` says when the sweep begins."""
        return {
            "state": RUNNING,
            "command": command or "pba.sweep",
            "versions": versions(),
            "grid": self.grid.to_dict(),
            "cases": [case.to_dict() for case in self.cases],
            "files": {},
        }

    def explored(self, parts: Parts, executor: Executor) -> list[Boxes]:
        """Do what is left to do, and put all parts together, case by case."""
        executor.check_memory({case.trace: case.machine for case in self.cases}, self.progress)
        axes = [self.grid.on(case.machine) for case in self.cases]
        tasks = [tasks_of(*three) for three in zip(self.cases, self.of_trace, axes, strict=True)]
        kept = [self.replays.sweep(case_key(of_case), rows_from) for of_case in tasks]
        new = [of_case for of_case, rows in zip(tasks, kept, strict=True) if rows is None]
        every = {task.key: task for of_case in new for task in of_case}
        left = {key: task for key, task in every.items() if key not in parts}
        weights = sum(task.weight for task in every.values())
        done = weights - sum(task.weight for task in left.values())
        if len(left) < len(every):
            self.progress.say(f"going on: {len(every) - len(left)} of {len(every)} pieces are done")
        points, pairs = number(len(self.grid)), number(len(self.grid) // self.grid.shape[2])
        cases = plural(len(self.cases), "trace and machine", "traces and machines")
        self.progress.say(f"{points} points ({pairs} pairs of U and B, a replay each or less) on {cases}")
        self.progress.stage("exploring the grid", weights, "", done)
        # Heavy ones first, so that no thread is left alone with one at the end.
        self._do(sorted(left.values(), key=lambda task: -task.weight), parts, executor, done)
        self.progress.stage("merging what behaves alike")
        found = []
        for of_case, rows, case, on_machine in zip(tasks, kept, self.cases, axes, strict=True):
            if rows is None:
                rows = joined([parts.get(task.key) for task in of_case])
                self.replays.keep_sweep(case_key(of_case), columns_of(rows))
            boxes = boxes_of(rows, self.grid, on_machine)
            if boxes is None:
                raise StudyError(
                    f"the parts of {case.trace} do not hold each point once",
                    f"say {option('force', True)} to sweep anew",
                )
            _hold_against_patch(case, boxes, self.grid)
            found.append(boxes)
        return found

    def result(self, found: list[Boxes], command: str, folder: Path | None) -> SweepResult:
        """Return what was found."""
        made = self.record(command)
        return SweepResult(
            self.grid, tuple(self.cases), tuple(found), made["versions"], made["command"], folder
        )

    def _do(self, tasks: list[Task], parts: Parts, executor: Executor, weight_done: float) -> None:
        """Do tasks, several at a time. A stop ends those that have begun, and nothing of them is kept."""
        compiled = [executor.share(partial(compile_trace, trace)) for trace in self.traces]
        calls = [(compiled[task.trace], task) for task in tasks]
        for at, rows in executor.results(run_task, calls):
            parts.put(tasks[at].key, rows)
            weight_done += tasks[at].weight
            self.progress.advance(weight_done)


def _patch_figures(trace: Trace, machine: Machine, known: KeptPoints) -> tuple[int, int, int]:
    """Replay the patch's own thresholds, event by event, unless that was done before."""
    from pba.model import replay

    counters = known.get(PATCH_POINT)
    if counters is None:
        counters = replay(trace, PATCH_POINT.on(machine), machine).counters
        known.add(PATCH_POINT, counters)
    return counters["pmd_splits"], counters["cached_page_ns"], counters["nr_cached"]


def _most_cached(trace: Trace, machine: Machine) -> int:
    """Return the most pages, as for 4 KiB pages, that are ever cached where nothing is shrunk.

    From there on no U matters: by induction over the passes, none finds anything to shrink.
    """
    from pba.model import replay

    nothing = Thresholds(machine.memory_pages, 1, machine.block_nr_pages)
    return int(replay(trace, nothing, machine).counters["peak_cached"])


def _passes(trace: Trace) -> int:
    counts = trace.counts()
    return counts["S"] + counts["D"]


def _hold_against_patch(case: Case, boxes: Boxes, grid: Grid) -> None:
    """Hold the sweep's figures for the patch's point against those of its replay."""
    cell = grid.cell_of(PATCH_POINT)
    assert cell is not None
    row = boxes.at(cell)
    swept = (
        int(boxes.counters[row, COUNTER_COLUMNS.index("pmd_splits")]),
        page_ns_of(boxes)[row],
        int(boxes.counters[row, COUNTER_COLUMNS.index("nr_cached")]),
    )
    if swept != case.patch:
        raise AssertionError(f"{case.trace} at {PATCH_POINT}: a sweep gives {swept}, a replay {case.patch}")
