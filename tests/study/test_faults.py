"""Faults that were found by attacks: damage, hostile input, budgets without end, machines without memory."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pba
from pba.errors import MachineError, PbaError, StudyError, ThresholdError
from pba.machine import Machine
from pba.model import boot
from pba.progress import Silent
from pba.study import folder as shared
from pba.study import workers
from pba.study.definition import StudyDefinition
from pba.study.folder import Folder, Kind
from pba.study.inputs import trace_files
from pba.study.result import RUN, load_run
from pba.study.session import Best
from pba.study.study_file import parse_definition
from pba.study.sweep.folder import SWEEP
from pba.study.tune import tune
from tests.study.study_fixture import finished_run, make_study, make_trace
from tests.study.sweep_fixture import small_sweep


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[float] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, done: float, note: str = "") -> None:
        self.done.append(done)
        self.note = note


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in `run`, and a finished sweep in `sweep`."""
    folder = tmp_path_factory.mktemp("faults")
    finished_run(folder, 33)
    small_sweep(folder / "sweep")
    return folder


@pytest.mark.parametrize(("name", "kind"), [("run", RUN), ("sweep", SWEEP)])
def test_no_flipped_byte_of_a_record_goes_unnoticed(
    home: Path, tmp_path: Path, name: str, kind: Kind
) -> None:
    place = Folder(tmp_path, kind)
    content = (home / name / kind.record).read_bytes()
    (tmp_path / kind.record).write_bytes(content)
    place.read()
    draw = random.Random(1)
    for at in range(len(content)):
        flipped = bytes([content[at] ^ (1 << draw.randrange(8))])
        (tmp_path / kind.record).write_bytes(content[:at] + flipped + content[at + 1 :])
        with pytest.raises(StudyError):
            place.read()


def flips(folder: Path, count: int) -> Iterator[tuple[Path, bytes, bytes]]:
    """Yield (file, its content, the content with one bit flipped), spread over all files by their size."""
    draw = random.Random(2)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    sizes = [path.stat().st_size for path in files]
    for path in draw.choices(files, sizes, k=count):
        content = path.read_bytes()
        at = draw.randrange(len(content))
        yield (
            path,
            content,
            content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :],
        )


@pytest.mark.parametrize(("name", "load"), [("run", load_run), ("sweep", pba.load_sweep)])
def test_no_flipped_byte_of_a_finished_folder_goes_unnoticed(
    home: Path, tmp_path: Path, name: str, load: object
) -> None:
    folder = shutil.copytree(home / name, tmp_path / name)
    for path, before, after in flips(folder, 100):
        path.write_bytes(after)
        with pytest.raises(StudyError):
            load(folder)  # type: ignore[operator]
        path.write_bytes(before)
    load(folder)  # type: ignore[operator]


HALF = """
import sys
import pba.study.session as room
from pba.study.tune import tune
if sys.argv[3] == "half":
    def around(*_): raise SystemExit(7)
    room.decide = around
tune(sys.argv[1], sys.argv[2], workers=1, command="x")
"""


def python_of(library: Path, script: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a script with the pba that lies in a folder."""
    env = {**os.environ, "PYTHONPATH": str(library)}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env=env, cwd=library, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study, and its run that was stopped before its end; by this pba, whose compiled code is there."""
    folder = tmp_path_factory.mktemp("half")
    study = make_study(folder / "study", 3, "random")
    assert python_of(Path(pba.__file__).parents[1], HALF, study, folder / "run", "half").returncode == 7
    return study, folder / "run"


@pytest.mark.parametrize("source", ["model.py", "results.py", "engine/search.py", "study/objective.py"])
def test_a_half_done_study_is_not_gone_on_with_after_a_change_of_what_shapes_figures(
    half_done: tuple[Path, Path], tmp_path: Path, source: str
) -> None:
    study, begun = half_done
    run = shutil.copytree(begun, tmp_path / "run")
    library = tmp_path / "lib"
    copy = shutil.copytree(
        Path(pba.__file__).parent, library / "pba", ignore=shutil.ignore_patterns("__pycache__")
    )
    told = python_of(library, "import pba.study.folder as room; print(room.__file__, room.model_hash())")
    assert told.stdout.split() == [str(copy / "study" / "folder.py"), shared.model_hash()]
    with (copy / source).open("a") as stream:
        stream.write("# changed\n")
    done = python_of(library, HALF, study, run, "on")
    assert done.returncode == 1
    assert "was begun with another version of model" in done.stderr.splitlines()[-1]


def test_one_hash_for_studies_and_sweeps(home: Path) -> None:
    assert load_run(home / "run").versions["model"] == shared.model_hash()
    assert pba.load_sweep(home / "sweep").versions["model"] == shared.model_hash()
    assert all(path.is_file() for path in shared.sources_of_figures())


def test_a_shorter_budget_after_an_interrupted_one_says_how_many_points_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, 3000, "random")

    class Stop(Silent):
        def advance(self, done: float, note: str = "") -> None:
            if note and done > 80:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(study, tmp_path / "run", progress=Stop())
    with pytest.raises(
        StudyError, match=r"begun for 3,000 points, more than 300, of which 80 are tried"
    ) as told:
        tune(study, tmp_path / "run", points=300)
    assert "points=3000 goes on" in told.value.hint


def test_a_budget_beyond_what_a_study_takes_is_refused_with_the_number(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="different points; use at most 1,000,000"):
        tune(make_study(tmp_path), tmp_path / "run", points=99999999999999999999)
    assert not (tmp_path / "run").exists()


def test_a_grid_beyond_what_a_sweep_takes_is_refused() -> None:
    with pytest.raises(ThresholdError, match="40,000 pairs of U and B, and a sweep takes at most 32,768"):
        pba.Grid("4:1003", "64", "1:40")
    with pytest.raises(ThresholdError, match="more than 32,768 values"):
        pba.Grid("16", "64", "1:100000")


def test_a_sweep_says_before_how_much_it_is() -> None:
    told = Told()
    pba.sweep(make_trace("alpha", 0, events=300), pba.Grid("16", "64", "8"), progress=told)
    assert "2 points (2 pairs of U and B, a replay each or less) on 1 trace and machine" in told.said
    assert told.done


def test_a_study_tells_its_points_and_its_best(tmp_path: Path) -> None:
    told = Told()
    tune(make_study(tmp_path, 33, "random"), tmp_path / "run", progress=told)
    assert told.done[-33:] == list(range(1, 34))
    assert told.note.startswith("best ") and "(patch: " in told.note


def test_the_best_is_never_worse_than_the_patch_in_either_aim() -> None:
    best = Best(StudyDefinition("x"))
    for aims in ((10.0, 4.0), (1.0, 4.1), (11.0, 0.1), (9.0, 4.0), (9.5, 3.0)):
        best.add(aims)
    assert best.text() == "best 9 splits, 4 pages (patch: 10 splits, 4 pages)"


def test_a_machine_takes_no_more_than_is_said() -> None:
    for page, pages in ((4, 1 << 18), (16, 1 << 16), (64, 1 << 16)):
        state = boot(Machine(page, pages))._asdict()
        cached = state.pop("cached")
        rest = sum(part.nbytes for part in state.values() if isinstance(part, np.ndarray))
        assert 2 * rest + cached.nbytes <= workers.STATE_BYTES_PER_PAGE * pages


def test_a_machine_that_does_not_fit_is_refused_before_it_is_booted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "available_bytes", lambda: 4 << 30)
    study = make_study(tmp_path)
    study.write_text(
        study.read_text().replace("[space", "[machine]\npage_size_kib = 4\nmemory = '1 TiB'\n[space", 1)
    )
    for attempt in (
        lambda: tune(study, tmp_path / "run", workers=1),
        lambda: pba.sweep(make_trace("a", 0, 300), None, Machine(4, 1 << 28), workers=1),
    ):
        with pytest.raises(
            MachineError, match=r"to simulate 1 TiB .* takes 6.75 GiB, and 4 GiB are available"
        ):
            attempt()
    told = Told()
    workers.check_memory({"x": Machine(4, 1 << 26)}, 2, told)
    assert told.said == [
        "to simulate 256 GiB of 4 KiB pages, pud linear map (for x) takes 1.688 GiB, 3.375 GiB for 2 threads"
    ]
    with pytest.raises(MachineError) as caught:
        workers.check_memory({"x": Machine(4, 1 << 26)}, 9, told)
    assert "use workers=2, or" in caught.value.hint


@pytest.mark.parametrize("count", [0, -1, 1025, 10**30])
def test_workers_out_of_range(tmp_path: Path, count: int) -> None:
    for attempt in (
        lambda: tune(make_study(tmp_path), tmp_path / "run", workers=count),
        lambda: pba.sweep(make_trace("a", 0, 300), workers=count),
    ):
        with pytest.raises(StudyError, match="is out of range"):
            attempt()


def test_threads_that_cannot_start_end_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        if self.name.startswith(("replay", "sweep")):
            raise RuntimeError("can't start new thread")
        started(self)

    started = threading.Thread.start
    study = make_study(tmp_path, 3)
    monkeypatch.setattr(threading.Thread, "start", start)
    for attempt in (
        lambda: tune(study, tmp_path / "run"),
        lambda: pba.sweep(make_trace("a", 0, 300), pba.Grid("16", "64", "8")),
    ):
        with pytest.raises(PbaError, match=r"the system allows no .* threads") as caught:
            attempt()
        assert "workers=1" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        'name = "x"\n[search]\npoints = ' + "9" * 5000,
        'name = "x"\ny = ' + "[" * 10000 + "]" * 10000,
        'name = "x"\n[machine]\nmemory = "inf GiB"',
        'name = "x"\n[machine]\nmemory = "' + "9" * 400 + ' GiB"',
        'name = "x"\n[machine]\nmemory = 4',
        'name = "x"\n[machine]\nmemory = "0 GiB"',
        'name = "$\\\\frac"',
        'name = "[/x]"',
        'name = "\\u001b[2J"',
        'name = "x"\n"' + "k" * 10000 + '" = 1',
        'name = "x"\ntraces = ' + str(["y" * 5000] * 3).replace("'", '"') + "\nnone = 1",
    ],
)
def test_hostile_study_files_end_in_one_short_line(text: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_definition(text, Path("x.toml"))
    told = str(caught.value)
    assert told.startswith("x.toml: ")
    assert told.isprintable() and len(told) < 600


@pytest.mark.parametrize("pattern", ["a/b**", "x" * 5000, "y/" * 2500 + "z", "x\\u0000y"])
def test_patterns_that_cannot_be_looked_for(pattern: str, tmp_path: Path) -> None:
    study = parse_definition(f'name = "x"\ntraces = ["{pattern}"]', tmp_path / "x.toml")
    with pytest.raises(StudyError, match="traces: "):
        trace_files(study, study.traces)


@pytest.mark.parametrize("name", ["$\\frac", "[/x]", "\x1b[2J", "a\nb", "\udcff"])
def test_hostile_names_of_traces_and_folders_do_no_harm(tmp_path: Path, name: str) -> None:
    trace = make_trace("alpha", 0, events=300)
    trace = pba.Trace.from_arrays(
        {"time_ns": trace.time_ns, "op": trace.op, "id": trace.slot, "arg": trace.arg},
        pba.Metadata(name=name, page_size_kib=4, memory_pages=16384),
    )
    found = pba.sweep(trace, pba.Grid("16", "64", "512"), folder=tmp_path / os.fsdecode(b"\xff"))
    assert found.cases[0].trace.isprintable()
    assert pba.load_sweep(tmp_path / os.fsdecode(b"\xff")).cases == found.cases


def test_a_study_in_a_folder_that_is_not_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    run = tune(make_study(tmp_path, 3, "random"), folder)
    assert load_run(folder).points.equals(run.points)
