"""Studies and sweeps on a Dask cluster: the same bytes, whoever is killed on the way."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pba
from pba.cli.app import run as command
from pba.errors import ClusterError, PbaError
from pba.study import cluster
from pba.study.result import DECISION_FILE, JOURNAL_FILE, POINTS_FILE, RUN_FILE
from pba.study.tune import tune
from tests.study.cluster_fixture import DaskParts, dask_parts, environment, free_port, kill
from tests.study.study_fixture import make_study
from tests.study.sweep_fixture import small_sweep
from tests.study.test_faults import Told

pytestmark = pytest.mark.slow

POINTS = 64
COMMAND = "pba tune small.toml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, its finished run in `run` and a finished sweep in `sweep`, both made by threads."""
    folder = tmp_path_factory.mktemp("cluster")
    tune(make_study(folder, POINTS, "random"), folder / "run", workers=2, command=COMMAND)
    small_sweep(folder / "sweep")
    return folder


@pytest.fixture(scope="module")
def parts() -> Iterator[DaskParts]:
    """A cluster of two workers, which no test harms."""
    with dask_parts() as found:
        yield found


def same_run(home: Path, folder: Path) -> bool:
    """Whether a run's folder holds the bytes that threads have made; the journal has times in it."""
    for name in (POINTS_FILE, DECISION_FILE):
        assert (folder / name).read_bytes() == (home / "run" / name).read_bytes(), name
    records = [json.loads((place / RUN_FILE).read_text()) for place in (folder, home / "run")]
    for record in records:
        del record["files"][JOURNAL_FILE], record["sha256"]
    return records[0] == records[1]


def same_sweep(home: Path, folder: Path) -> bool:
    """Whether a sweep's folder holds the bytes that threads have made, and nothing else."""
    contents = [
        {path.name: path.read_bytes() for path in place.iterdir()} for place in (folder, home / "sweep")
    ]
    return contents[0] == contents[1]


class Act(Told):
    """Does something once so much is done; of a study, either of its sweep or of its search, which notes its best."""

    def __init__(self, at: float, act: Callable[[], object], in_search: bool = False) -> None:
        super().__init__()
        self.at, self.act, self.in_search = at, act, in_search
        self.acted = False

    def advance(self, done: float, note: str = "") -> None:
        super().advance(done, note)
        if done >= self.at and not self.acted and (note or not self.in_search):
            self.acted = True
            self.act()


def test_a_cluster_gives_the_bytes_of_threads(home: Path, parts: DaskParts, tmp_path: Path) -> None:
    told = Told()
    tune(home / "small.toml", tmp_path / "run", dask=parts.address, command=COMMAND, progress=told)
    assert same_run(home, tmp_path / "run")
    assert told.said[0] == f"on the Dask cluster at tcp://{parts.address}: 2 workers, 2 threads in all"
    assert [line for line in told.said[1:] if "points (" not in line] == []  # the study's grid
    assert told.done[-1] == POINTS
    small_sweep(tmp_path / "sweep", dask=f"tcp://{parts.address}")
    assert same_sweep(home, tmp_path / "sweep")


def test_a_client_may_be_given_and_stays_open(home: Path, parts: DaskParts) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(parts.address, set_as_default=False) as client:
        found = small_sweep(dask=client)
        assert found.behaviours.equals(pba.load_sweep(home / "sweep").behaviours)
        assert client.status == "running"


def test_a_local_cluster_gives_the_bytes_of_threads_and_ends_with_the_study(
    home: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[dask]'")
    code = "import sys; from pba.cli.app import run; sys.exit(run(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "tune", str(home / "small.toml"), "--run", str(tmp_path / "run")]
    done = subprocess.run(
        [*words, "--dask", "local", "--workers", "2"],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 workers, 2 threads in all" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / POINTS_FILE).read_bytes() == (home / "run" / POINTS_FILE).read_bytes()


def test_a_killed_workers_calls_are_done_elsewhere(home: Path, tmp_path: Path) -> None:
    with dask_parts() as parts:
        act = Act(36, lambda: kill(parts.workers[0]), in_search=True)
        tune(home / "small.toml", tmp_path / "run", dask=parts.address, command=COMMAND, progress=act)
        assert act.acted and act.done[-POINTS:] == list(range(1, POINTS + 1))
        assert same_run(home, tmp_path / "run")
        parts.add_worker()
        act = Act(1, lambda: kill(parts.workers[1]))
        small_sweep(tmp_path / "sweep", dask=parts.address, progress=act)
        assert act.acted
        assert same_sweep(home, tmp_path / "sweep")


def test_traces_are_sent_again_where_all_workers_that_had_them_are_killed(home: Path, tmp_path: Path) -> None:
    with dask_parts() as parts:

        def replace() -> None:
            for worker in list(parts.workers):
                kill(worker)
            parts.add_worker()

        act = Act(36, replace)
        tune(home / "small.toml", tmp_path / "run", dask=parts.address, command=COMMAND, progress=act)
        assert act.acted
        assert same_run(home, tmp_path / "run")


def test_a_killed_scheduler_is_one_line_and_the_same_command_goes_on_without_it(
    home: Path, tmp_path: Path
) -> None:
    for name, go, same, at in (
        (
            "run",
            lambda place, **more: tune(home / "small.toml", place, command=COMMAND, **more),
            same_run,
            36,
        ),
        ("sweep", small_sweep, same_sweep, 1),
    ):
        with dask_parts() as parts:
            act = Act(at, lambda parts=parts: kill(parts.scheduler))  # type: ignore[misc]
            begun = time.monotonic()
            with pytest.raises(ClusterError, match=r"the Dask scheduler at tcp://.* went away") as caught:
                go(tmp_path / name, dask=parts.address, progress=act)
            assert time.monotonic() - begun < 30
            assert "the same command goes on" in caught.value.hint
        go(tmp_path / name)
        assert same(home, tmp_path / name)


DRIVER = """
import os, signal, sys
from tests.study.test_cluster import Act, COMMAND
from tests.study.sweep_fixture import small_sweep
from pba.study.tune import tune

what, study, folder, address = sys.argv[1:]
act = Act(36 if what == "run" else 1, lambda: os.kill(os.getpid(), signal.SIGKILL))
if what == "run":
    tune(study, folder, dask=address, command=COMMAND, progress=act)
else:
    small_sweep(folder, dask=address, progress=act)
"""


@pytest.mark.parametrize(("what", "same"), [("run", same_run), ("sweep", same_sweep)])
def test_a_killed_driver_goes_on_to_the_same_bytes(
    home: Path, parts: DaskParts, tmp_path: Path, what: str, same: Callable[[Path, Path], bool]
) -> None:
    folder = tmp_path / what
    words = [sys.executable, "-c", DRIVER, what, str(home / "small.toml"), str(folder), parts.address]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if what == "run":
        tune(home / "small.toml", folder, dask=parts.address, command=COMMAND)
    else:
        small_sweep(folder, dask=parts.address)
    assert same(home, folder)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nonsense", "--dask nonsense is no address of a Dask scheduler"),
        ("127.0.0.1:99999", "is no address of a Dask scheduler"),
        ("http://127.0.0.1:1", "is no address of a Dask scheduler"),
        ("no-such-host.invalid:8786", "no Dask scheduler answers at no-such-host.invalid:8786"),
        ("CLOSED", "Connection refused"),
        ("SILENT", "no Dask scheduler answers at"),
    ],
)
@pytest.mark.parametrize("what", ["tune", "sweep"])
def test_addresses_where_no_scheduler_is_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str,
    says: str, what: str,
) -> None:  # fmt: skip
    pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[dask]'")
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = free_port() if address == "CLOSED" else silent.getsockname()[1]
        begun = time.monotonic()
        given = f"127.0.0.1:{port}" if address.isupper() else address
        assert command([what, "--dask", given]) == 2
    assert time.monotonic() - begun < 10
    told = capsys.readouterr()
    assert says in told.err
    assert len(told.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    for attempt in (
        lambda: tune(make_study(tmp_path, 3), tmp_path / "run", dask="local"),
        lambda: small_sweep(tmp_path / "sweep", dask="127.0.0.1:8786"),
    ):
        with pytest.raises(PbaError) as caught:
            attempt()
        assert caught.value.hint == "pip install 'pba[dask]'"
    assert not (tmp_path / "run").exists()


def test_a_cluster_without_workers_is_not_waited_for_for_ever(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "NO_WORKER_S", 0.5)
    told = Told()
    with dask_parts(0) as parts, pytest.raises(ClusterError, match="has had no workers for"):
        tune(home / "small.toml", tmp_path / "run", dask=parts.address, progress=told)
    assert any("has no workers; waiting for one" in line for line in told.said)


def test_a_worker_with_another_pba_is_refused(home: Path, tmp_path: Path) -> None:
    other = "import pba.study.cluster as room\nroom.model_hash = lambda: 'other'"
    with (
        dask_parts(1, other) as parts,
        pytest.raises(ClusterError, match="has another pba than this one"),
    ):
        tune(home / "small.toml", tmp_path / "run", dask=parts.address)


def test_calls_are_large_enough_to_be_worth_it_and_hold_each_point_once(parts: DaskParts) -> None:
    with cluster.executor_for(parts.address, 1, Told()) as executor:
        for nr_points, seconds, nr_calls in (
            (16, [0.001] * 18, 2),  # too little for more than a call for each worker
            (320, [0.001] * 18, 4),
            (16, [1.0], 4),
            (3, [1e-6, 5.0], 4),
            (1, [1e-6], 1),
        ):
            calls = executor.packed(nr_points, seconds)
            assert len(calls) == nr_calls
            done = [(one.trace, at) for call in calls for one in call for at in range(one.start, one.end)]
            wanted = [(trace, at) for trace in range(len(seconds)) for at in range(nr_points)]
            assert sorted(done) == wanted
