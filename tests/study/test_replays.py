"""Replays on disk: the same bytes with and without them, whatever happens to their files."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pba import caches
from pba.cli.app import run as pba_command
from pba.engine.replay import replay
from pba.errors import PbaError
from pba.machine import Machine
from pba.results import MEANINGS
from pba.study import evaluate
from pba.study.objective import row_of
from pba.study.replays import (
    LIMIT_BYTES,
    LIMIT_VARIABLE,
    MOST_FILES,
    Replays,
    current_folder,
    limit_bytes,
    pack,
    result_from,
    trace_sha256,
    unpack,
)
from pba.study.result import DECISION_FILE, MAPS_FILE, POINTS_FILE
from pba.study.session import SWEPT_FILES
from pba.study.space import Point
from pba.study.sweep import tasks
from pba.study.tune import tune
from tests.study.study_fixture import make_study, make_trace
from tests.study.sweep_fixture import ROOT, small_sweep

MACHINE = Machine(4, 16384)
SAME_BYTES = (POINTS_FILE, DECISION_FILE, MAPS_FILE, *SWEPT_FILES)


def counters(seed: int) -> dict[str, int]:
    """Return counters as a replay gives them, one of them beyond 64 bits."""
    draw = random.Random(seed)
    found = {name: draw.randrange(1 << 40) for name in MEANINGS}
    return found | {"cached_page_ns": draw.randrange(1 << 70)}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SAME_BYTES}


def files_of(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / current_folder()).iterdir() if path.is_file())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own, that keeps replays."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PBA_CACHE_DIR", str(folder))
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    return folder


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is truly done: an entry for each point on a trace, and for each task of a sweep."""
    done: list[str] = []
    pieces, task = evaluate.replay_pieces, tasks.behaviours_of

    def some_pieces(aims: object, *given: object) -> object:
        done.extend("point" for points in given[2::3] for _ in points)  # type: ignore[attr-defined]
        return pieces(aims, *given)  # type: ignore[arg-type]

    def some_task(*given: object, **options: object) -> object:
        done.append("task")
        return task(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluate, "replay_pieces", some_pieces)
    monkeypatch.setattr(tasks, "behaviours_of", some_task)
    yield done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, and in `run` what it comes to without a cache."""
    folder = tmp_path_factory.mktemp("replays")
    tune(make_study(folder), folder / "run", workers=2, cache=False)
    return folder


def test_a_second_study_replays_nothing_and_gives_the_same_bytes(
    home: Path, tmp_path: Path, cache: Path, replayed: list[str]
) -> None:
    tune(home / "small.toml", tmp_path / "cold", workers=2)
    assert {"point", "task"} == set(replayed)
    replayed.clear()
    tune(home / "small.toml", tmp_path / "warm", workers=2)
    assert replayed == []
    assert contents(tmp_path / "cold") == contents(tmp_path / "warm") == contents(home / "run")
    tune(home / "small.toml", tmp_path / "off", workers=2, cache=False)
    assert {"point", "task"} == set(replayed)


def test_other_aims_take_the_same_replays_and_other_machines_none(
    home: Path, tmp_path: Path, cache: Path, replayed: list[str]
) -> None:
    tune(home / "small.toml", tmp_path / "first", workers=2)
    replayed.clear()
    changes = ['aims=["refills", "peak_cached_mib"]', 'search.sampler="random"']
    found = tune(home / "small.toml", tmp_path / "aims", workers=2, changes=changes)
    assert "task" not in replayed
    alone = tune(home / "small.toml", tmp_path / "alone", workers=2, changes=changes, cache=False)
    assert contents(tmp_path / "aims") == contents(tmp_path / "alone")
    assert [aim.name for aim in found.aims] == ["refills", "peak_cached_mib"]
    assert found.recommended == alone.recommended
    replayed.clear()
    tune(home / "small.toml", tmp_path / "machine", workers=2, changes=["machine.memory=128 MiB"])
    assert "task" in replayed


def test_a_sweep_takes_what_a_sweep_left_and_what_a_folder_lacks(
    tmp_path: Path, cache: Path, replayed: list[str]
) -> None:
    plain = small_sweep(tmp_path / "plain", cache=False)
    replayed.clear()
    for name in ("cold", "warm"):
        small_sweep(tmp_path / name)
    assert replayed.count("task") == 8, "four on each of two traces, once"
    tables = {(tmp_path / name / "behaviours.parquet").read_bytes() for name in ("plain", "cold", "warm")}
    assert len(tables) == 1
    again = small_sweep()
    assert replayed.count("task") == 8
    assert again.at(16, 64, 512)["pmd_splits"].tolist() == plain.at(16, 64, 512)["pmd_splits"].tolist()


def test_counters_and_what_follows_from_them_come_back(cache: Path) -> None:
    trace = make_trace("alpha", 0)
    known = {Point(seed, 64, 512): counters(seed) for seed in range(20)}
    point = Point(99, 7, 32)
    true = replay(trace, point.on(MACHINE), MACHINE)
    with Replays.opened() as replays:
        kept = replays.points_of(trace_sha256(trace), MACHINE)
        for one, figures in known.items():
            kept.add(one, figures)
        kept.add(point, true.counters)
    with Replays.opened() as replays:
        kept = replays.points_of(trace_sha256(trace), MACHINE)
        assert {one: kept.get(one) for one in known} == known
        found = kept.get(point)
        assert found is not None
        assert row_of(result_from(found, point, trace, MACHINE)) == row_of(true)
        assert kept.get(Point(99, 7, 33)) is None
        assert replays.points_of(trace_sha256(trace), Machine(16, 4096)).get(point) is None
        assert replays.points_of(trace_sha256(make_trace("alpha", 1)), MACHINE).get(point) is None


def test_many_small_files_become_one(cache: Path) -> None:
    for seed in range(MOST_FILES + 3):
        with Replays.opened() as replays:
            replays.points_of("trace", MACHINE).add(Point(seed, 1, 1), counters(seed))
        assert len(files_of(cache)) <= MOST_FILES + 1
    with Replays.opened() as replays:
        kept = replays.points_of("trace", MACHINE)
        found = [kept.get(Point(seed, 1, 1)) for seed in range(MOST_FILES + 3)]
    assert found == [counters(seed) for seed in range(MOST_FILES + 3)]


def test_a_damaged_file_is_removed_and_made_anew(
    home: Path, tmp_path: Path, cache: Path, replayed: list[str]
) -> None:
    tune(home / "small.toml", tmp_path / "first", workers=2)
    draw = random.Random(3)
    for number, path in enumerate(files_of(cache)):
        sound = path.read_bytes()
        at = draw.randrange(len(sound))
        flipped = sound[:at] + bytes([sound[at] ^ 1 << draw.randrange(8)]) + sound[at + 1 :]
        path.write_bytes((flipped, sound[:at], b"")[number % 3])
        replayed.clear()
        tune(home / "small.toml", tmp_path / f"again{number}", workers=2)
        assert not path.exists() or path.read_bytes() == sound
        assert ("task" in replayed) == path.name.startswith("sweep-")
        assert contents(tmp_path / f"again{number}") == contents(home / "run")
    assert number >= 3
    replayed.clear()
    tune(home / "small.toml", tmp_path / "last", workers=2)
    assert replayed == []


def test_columns_that_a_sound_file_lacks_are_damage_too(cache: Path) -> None:
    with Replays.opened() as replays:
        replays.points_of("trace", MACHINE).add(Point(1, 1, 1), counters(1))
    (path,) = files_of(cache)
    columns = unpack(path.read_bytes())
    del columns["pmd_splits"]
    path.write_bytes(pack(columns))
    with Replays.opened() as replays:
        assert replays.points_of("trace", MACHINE).get(Point(1, 1, 1)) is None
    assert files_of(cache) == []


def test_the_least_recently_used_go_first(cache: Path) -> None:
    with Replays.opened() as replays:
        assert replays.folder is not None
        replays.keep_sweep("size", {"value": unpack(pack(noise(0)))["value"]})
    (one,) = files_of(cache)
    size = one.stat().st_size
    one.unlink()
    replays = Replays(replays.folder, int(4.5 * size))
    for number in range(4):
        replays.keep_sweep(str(number), noise(number))
        os.utime(cache / current_folder() / f"sweep-{number}.bin", (1e9 + number, 1e9 + number))
    assert replays.sweep("0", dict) is not None  # used now
    replays.keep_sweep("4", noise(4))
    assert [path.stem for path in files_of(cache)] == ["sweep-0", "sweep-2", "sweep-3", "sweep-4"]
    assert replays.sweep("1", dict) is None
    # Those of another version count too, and what alone is too large is not written.
    old = cache / "replays" / "0123456789abcdef"
    old.mkdir()
    (old / "sweep-old.bin").write_bytes(bytes(size))
    os.utime(old / "sweep-old.bin", (1, 1))
    replays.keep_sweep("5", noise(5))
    assert not (old / "sweep-old.bin").exists()
    before = files_of(cache)
    Replays(replays.folder, size // 2).keep_sweep("6", noise(6))
    assert files_of(cache) == before


def noise(seed: int) -> dict[str, object]:
    import numpy as np

    return {"value": np.random.default_rng(seed).integers(0, 1 << 62, 500)}


def test_the_limit_is_a_size(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_bytes() == LIMIT_BYTES == 512 << 20
    for said, expected in (("1 GiB", 1 << 30), ("0", 0), (" 3MiB ", 3 << 20), ("", LIMIT_BYTES)):
        monkeypatch.setenv(LIMIT_VARIABLE, said)
        assert limit_bytes() == expected
        assert (Replays.opened().folder is None) == (expected == 0)
    assert Replays.opened(False).folder is None
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(PbaError, match=f"{LIMIT_VARIABLE} 'much' is not a size"):
        limit_bytes()


def test_a_place_that_others_may_write_to_or_nobody_may_keeps_nothing(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    assert Replays.opened().folder is None
    cache.chmod(0o700)
    (cache / "replays").write_text("a file")
    with Replays.opened() as replays:
        assert replays.folder is None
        replays.points_of("trace", MACHINE).add(Point(1, 1, 1), counters(1))
        replays.keep_sweep("0", {})
        assert replays.sweep("0", dict) is None
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_goes_meanwhile_is_no_obstacle(home: Path, tmp_path: Path, cache: Path) -> None:
    with Replays.opened() as replays:
        replays.points_of("trace", MACHINE).add(Point(1, 1, 1), counters(1))
        shutil.rmtree(cache)
    assert not cache.exists()


WRITER = """
import sys, time
from tests.study.test_replays import MACHINE, counters
from pba.study.replays import Replays
from pba.study.space import Point
from pathlib import Path
for number in range(int(sys.argv[1]), 10**9, 2):
    with Replays.opened() as replays:
        replays.points_of("trace", MACHINE).add(Point(number, 1, 1), counters(number))
        replays.keep_sweep("same", {"value": [1, 2, 3]})
    Path(sys.argv[2]).write_text(str(number))
"""


def test_two_writers_are_killed_and_nothing_is_half_there(cache: Path, tmp_path: Path) -> None:
    told = [tmp_path / "even", tmp_path / "odd"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(at), str(path)], env=environment, cwd=ROOT)
        for at, path in enumerate(told)
    ]
    try:
        deadline = time.monotonic() + 60
        while not all(path.exists() and int(path.read_text() or 0) > 30 for path in told):
            assert time.monotonic() < deadline
            assert all(writer.poll() is None for writer in writers)
            time.sleep(0.05)
    finally:
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
    before = len(files_of(cache))
    with Replays.opened() as replays:
        known = replays.read_points(case_of(cache))
        assert len(known) > 20, "two writers may lose a file of each other, not all"
        assert all(figures == counters(point.unshrinkable_pages) for point, figures in known.items())
        value = replays.sweep("same", lambda columns: columns["value"].tolist())
        assert value == [1, 2, 3]
        replays.keep_sweep("next", {"value": [4]})  # type: ignore[dict-item]
    assert not [path for path in files_of(cache) if path.name.endswith(".part")]
    assert before >= 2


def case_of(cache: Path) -> str:
    return next(path.name.split("-")[1] for path in files_of(cache) if path.name.startswith("points-"))


def test_the_cache_is_shown_and_cleared(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Replays.opened() as replays:
        replays.keep_sweep("0", noise(0))
    old = cache / "replays" / "0123456789abcdef"
    shutil.copytree(cache / current_folder(), old)
    assert pba_command(["cache", "--json"]) == 0
    shown = [each for each in json.loads(capsys.readouterr().out)["entries"] if each["kind"] == "replays"]
    assert {each["name"]: each["current"] for each in shown} == {
        old.name: False,
        current_folder().split("/")[1]: True,
    }
    assert all(each["size_bytes"] > 3000 for each in shown)
    assert pba_command(["cache", "clear"]) == 0
    assert not old.exists()
    assert files_of(cache)
    assert pba_command(["cache", "clear", "--all"]) == 0
    assert not (cache / "replays").exists()
    assert caches.entries() == []


def test_the_folder_follows_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from pba.study import replays as room

    before, known = current_folder(), room.versions()
    for name in ("pba", "model", "numpy", "numba", "machine"):
        monkeypatch.setattr(room, "versions", lambda name=name: {**known, name: "other"})
        assert current_folder() != before
    monkeypatch.setattr(room, "versions", lambda: {**known, "optuna": "other"})
    assert current_folder() == before


def test_no_cache_on_the_command_line(
    home: Path,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["tune", str(home / "small.toml"), "--points", "6", "--run"]
    assert pba_command([*words, str(tmp_path / "off"), "--no-cache"]) == 0
    assert not (cache / "replays").exists()
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    capsys.readouterr()
    assert pba_command([*words, str(tmp_path / "bad")]) == 2
    assert f"{LIMIT_VARIABLE} 'much' is not a size" in capsys.readouterr().err.splitlines()[-1]
