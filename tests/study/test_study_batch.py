"""Several studies in one call: all are checked first, each is a run of its own, none keeps the others from it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pba
from pba.errors import StudyError
from pba.progress import Silent
from pba.study import tune as room
from pba.study.batch import ask_all, finished, run_batch, tune_batch
from pba.study.folder import COMPLETE
from pba.study.result import DECISION_FILE, MAPS_FILE, POINTS_FILE, STUDY_FILE
from pba.study.session import SWEPT_FILES
from pba.study.tune import tune
from tests.study.batch_fixture import NAMES, make_studies
from tests.study.study_fixture import make_trace
from tests.study.sweep_fixture import ROOT

SAME_BYTES = (POINTS_FILE, DECISION_FILE, MAPS_FILE, STUDY_FILE, *SWEPT_FILES)


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stages: list[str] = []
        self.ends = 0

    def say(self, text: str) -> None:
        self.said.append(text)

    def stage(self, name: str, total: float | None = None, unit: str = "", done: float = 0) -> None:
        self.stages.append(name)

    def end(self) -> None:
        self.ends += 1


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three studies, and in `runs` their runs, each made alone."""
    folder = tmp_path_factory.mktemp("batch")
    for path in make_studies(folder):
        tune(path, folder / "runs" / path.stem, workers=2)
    return folder


@pytest.fixture
def home(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The studies without runs, in the current folder."""
    shutil.copytree(done, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def studies() -> list[str]:
    return [f"{name}.toml" for name in NAMES]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        f"{name}/{file}": (folder / name / file).read_bytes()
        for name in NAMES
        for file in SAME_BYTES
        if not file.endswith("sweep.json")  # it has the paths of the traces, which are elsewhere
    }


def test_each_study_of_a_batch_is_the_run_that_it_would_be_alone(done: Path, home: Path) -> None:
    told = Told()
    runs = tune_batch(studies(), workers=2, progress=told)
    assert [run.study.name for run in runs] == list(NAMES)
    assert [run.folder for run in runs] == [Path("runs") / name for name in NAMES]
    assert contents(home / "runs") == contents(done / "runs")
    assert {stage.partition(":")[0] for stage in told.stages} == {"1/3 one", "2/3 two", "3/3 three"}
    assert told.ends == 1
    assert pba.tune_batch is tune_batch


def test_a_finished_batch_reads_no_trace_and_starts_nothing(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a study that is done was begun")

    monkeypatch.setattr(room, "run_study", never)
    told = Told()
    assert [run.complete for run in tune_batch(studies(), progress=told)] == [True] * 3
    assert told.said == ["1/3 one: done already", "2/3 two: done already", "3/3 three: done already"]
    assert told.stages == []


def test_for_a_finished_batch_nothing_heavy_is_loaded(done: Path) -> None:
    script = (
        "import sys, pba\n"
        f"assert len(pba.tune_batch({studies()!r})) == 3\n"
        "heavy = ['numba', 'optuna', 'scipy', 'matplotlib', 'distributed', 'pba.trace.table', 'pba.model']\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=done, env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("change", ["seed", "points", "study", "trace", "renamed", "unfinished", "changes"])
def test_what_is_not_as_asked_is_not_done(done: Path, home: Path, change: str) -> None:
    shutil.copytree(done / "runs", home / "runs")
    assert finished(ask_all(["one.toml"])[0]) is not None
    options: dict[str, object] = {}
    if change in ("seed", "points"):
        options[change] = 7
    elif change == "changes":
        options[change] = ["decision.within=0.1"]
    elif change == "study":
        (home / "one.toml").write_text((home / "one.toml").read_text() + "\n# more\n")
    elif change == "trace":
        make_trace("alpha", 5).write(home / "alpha.parquet", force=True)
    elif change == "renamed":
        (home / "alpha.parquet").rename(home / "gamma.parquet")
        text = (home / "one.toml").read_text().replace("alpha.parquet", "gamma.parquet")
        (home / "one.toml").write_text(text)
    else:
        record = room.read_run_record(room.Folder(home / "runs" / "one", room.RUN))
        room.Folder(home / "runs" / "one", room.RUN).write({**record, "state": "running"})
        assert record["state"] == COMPLETE
    assert finished(ask_all(["one.toml"], **options)[0]) is None  # type: ignore[arg-type]


def test_a_finished_run_that_is_damaged_has_failed(done: Path, home: Path) -> None:
    shutil.copytree(done / "runs", home / "runs")
    (home / "runs" / "two" / POINTS_FILE).write_bytes(b"PAR1")
    found = list(run_batch(ask_all(studies())))
    assert [one.run is None for one in found] == [False, True, False]
    assert "damaged run folder" in found[1].told


def test_all_files_are_read_before_anything_begins(home: Path) -> None:
    (home / "three.toml").write_text('name = "three"\ntracs = ["alpha.parquet"]\n')
    with pytest.raises(StudyError, match=r"three\.toml: tracs: unknown key .*did you mean traces"):
        tune_batch(studies())
    (home / "three.toml").write_text('name = "three"\ntraces = ["nowhere.parquet"]\n')
    with pytest.raises(StudyError, match="nowhere"):
        tune_batch(studies())
    with pytest.raises(StudyError, match="more than a study takes"):
        tune_batch(studies()[:2], points=10**9)
    assert not (home / "runs").exists()


def test_two_of_one_name_are_refused(home: Path) -> None:
    shutil.copy(home / "one.toml", home / "again.toml")
    with pytest.raises(StudyError, match=r"again\.toml and one\.toml have both the name one"):
        tune_batch([*studies(), "again.toml"])
    with pytest.raises(StudyError, match="have both the name two"):
        tune_batch(["two.toml", "./two.toml"])
    (home / "runs").mkdir()
    (home / "runs" / "three").symlink_to("two")
    with pytest.raises(StudyError, match="have both the folder runs/three"):
        tune_batch(studies())
    assert not (home / "runs" / "one").exists()


@pytest.mark.parametrize("error", [StudyError("no such luck", "try again"), ZeroDivisionError("by 0")])
def test_one_that_fails_is_told_of_and_the_others_are_done(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    true = room.run_study

    def fails(asked: room.Asked, **options: object) -> object:
        if asked.definition.name == "two":
            raise error
        return true(asked, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "run_study", fails)
    told = Told()
    with pytest.raises(StudyError, match=f"1 of 3 studies failed: two: .*{error.args[0]}") as raised:
        tune_batch(studies(), workers=2, progress=told)
    assert raised.value.__cause__ is error
    assert all(finished(one) for one in ask_all(["one.toml", "three.toml"]))
    assert any(line.startswith("2/3 two: failed: ") for line in told.said)
    monkeypatch.setattr(room, "run_study", true)
    assert len(tune_batch(studies(), workers=2)) == 3


def test_a_callback_that_raises_is_a_failure_too(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done)

    def refuses(run: pba.study.result.Run) -> None:  # type: ignore[name-defined]
        if run.study.name == "one":
            raise StudyError("no place for a report")

    found = list(run_batch(ask_all(studies()), done=refuses))
    assert [one.told for one in found] == ["no place for a report", "", ""]


BATCH = """
import sys, time
import pba.study.evaluate as room
true = room.replay_pieces
def slow(*given):
    time.sleep(0.05)
    return true(*given)
room.replay_pieces = slow
from pba.study.batch import tune_batch
tune_batch(sys.argv[1:], workers=1)
"""


@pytest.mark.parametrize("reached", ["one/study.toml", "one/points.parquet", "two/run.json", "two/sweep"])
def test_a_batch_that_is_killed_goes_on_to_the_same_bytes(done: Path, home: Path, reached: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", BATCH, *studies()], cwd=home, env=environment)
    deadline = time.monotonic() + 90
    try:
        while not (home / "runs" / reached).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert finished(ask_all(["three.toml"])[0]) is None
    tune_batch(studies(), workers=2)
    assert contents(home / "runs") == contents(done / "runs")
