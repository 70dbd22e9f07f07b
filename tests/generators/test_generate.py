"""Generated traces: the same everywhere, valid, and as their parameters say."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pba
from pba.analysis.lifetimes import lifetimes
from pba.analysis.pages import at_start
from pba.cli.app import run
from pba.errors import EXIT_STATUS
from pba.events import LEVEL_PGD, LEVEL_PTE, OP_ALLOC
from pba.generators.fitting import take_apart
from pba.generators.making import Recipe, recipe
from pba.generators.workloads import WORKLOADS
from pba.probe.likeness import fit

GOLDEN = json.loads((Path(__file__).with_name("generated.json")).read_text())
"""Hash of each workload's first 20,000 events with seed 7; made once, to hold on every machine."""
EVENTS = 20_000


FEW = 2_000
"""Events that are quick without the JIT."""


def digest(name: str, events: int = EVENTS) -> str:
    return digest_of(recipe(name, seed=7, events=events))


def digest_of(made: Recipe) -> str:
    found = hashlib.sha256()
    for chunk in made.chunks():
        for column in chunk:
            found.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()[:16]


def test_every_workload_has_a_hash() -> None:
    assert list(GOLDEN) == list(WORKLOADS)
    assert len(WORKLOADS) >= 10


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    assert digest(name) == GOLDEN[name]


def test_what_is_like_a_recording_is_the_same_bytes_too() -> None:
    """Taken apart as told, and as the fit chooses; the recording is the same everywhere itself."""
    recording = pba.generate("fork-storm", seed=1, events=EVENTS)
    told = take_apart(recording, 12, 4).recipe(seed=7, scale=3, events=EVENTS)
    assert digest_of(told) == "91094410c261e92e"
    fitted, _ = fit(recording)
    assert (fitted.phases, fitted.fineness) == (384, 8)
    assert digest_of(fitted.recipe(seed=7, scale=2, events=EVENTS)) == "b016d8c2ba97639d"


def test_a_file_of_text_is_the_same_bytes(tmp_path: Path) -> None:
    """But for the lines before the events, which name the version of pba."""
    made = recipe("app-launch", seed=7, events=FEW)
    plain = made.write(tmp_path / "x.events").read_bytes()
    lines = b"".join(line for line in plain.splitlines(keepends=True) if not line.startswith(b"#"))
    assert lines.count(b"\n") == FEW
    assert hashlib.sha256(lines).hexdigest()[:16] == "7b9ac0063931b835"
    packed = made.write(tmp_path / "x.events.gz").read_bytes()
    assert gzip.decompress(packed) == plain
    assert packed[3:8] == bytes(5), "neither a name nor a date"


def test_without_the_jit_too_and_whatever_a_program_has_set() -> None:
    """Decimal precision and rounding, and the order of what is hashed."""
    script = (
        "import decimal\ndecimal.setcontext(decimal.Context(prec=6, rounding=decimal.ROUND_UP))\n"
        "decimal.DefaultContext.prec = 5\n"
        "import json\nfrom tests.generators.test_generate import FEW, WORKLOADS, digest\n"
        "print(json.dumps({name: digest(name, FEW) for name in WORKLOADS}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {name: digest(name, FEW) for name in WORKLOADS}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_trace_is_valid_and_replays(name: str) -> None:
    trace = pba.generate(name, seed=3, events=EVENTS)
    assert len(trace) == EVENTS
    assert trace.unknown_frees == 0
    assert int(trace.id.max()) < trace.nr_slots  # ids are as few as the live pages
    assert trace.metadata.source == "generated"
    assert trace.metadata.recipe["workload"] == name
    assert trace.metadata.recipe["seed"] == 3
    other = pba.generate(name, seed=4, events=EVENTS)
    assert not (np.array_equal(trace.time_ns, other.time_ns) and np.array_equal(trace.id, other.id))
    counters = pba.replay(trace, strict=True).counters
    assert counters["allocs"] == trace.counts()["A"]


def test_a_fork_storm_is_as_stated() -> None:
    values = {"rate": 200, "life": 20, "pud": 1, "pmd": 2, "pte": 10, "grace": 0}
    trace = pba.generate("fork-storm", duration_ns=60 * 10**9, parameters=values)
    born = trace.level[trace.op == OP_ALLOC]
    forks = int((born == LEVEL_PGD).sum())
    assert forks / 60 == pytest.approx(200, rel=0.05)
    assert (born == LEVEL_PTE).sum() / forks == pytest.approx(10, rel=0.06)  # 256 different lives
    lived, freed, _ = lifetimes(trace)
    assert np.median(lived[freed]) == pytest.approx(20_000_000, rel=0.05)


def test_a_closed_workload_has_so_many_at_a_time() -> None:
    trace = pba.generate(
        "database", duration_ns=60 * 10**9, parameters={"connections": 25, "life": 2000, "grace": 0}
    )
    of_pgd = trace.level == LEVEL_PGD
    step = np.where(trace.op[of_pgd] == OP_ALLOC, 1, -1)
    live = np.cumsum(step)[len(step) // 2 :]
    assert live.max() <= 25
    assert live.mean() == pytest.approx(25, rel=0.05)


def test_pressure_falls_as_often_as_stated() -> None:
    values = {"episodes": 600, "falls": 50, "rate": 0}
    trace = pba.generate("fork-server", duration_ns=600 * 10**9, parameters=values)
    priorities = trace.arg[trace.op == 2]
    runs = int((priorities == 12).sum())
    assert runs == pytest.approx(6000, rel=0.05)
    assert (priorities == 11).sum() / runs == pytest.approx(0.5, abs=0.03)


def test_what_stands_is_live_at_the_start() -> None:
    trace = pba.generate("snapshot-fork", parameters={"size": 200, "every": 5})
    assert trace.metadata.quality.live_at_start == int(at_start(trace).sum())
    assert (trace.level[at_start(trace)] == LEVEL_PTE).sum() == 100


def test_day_is_busier_than_night() -> None:
    trace = pba.generate(
        "day-night", duration_ns=600 * 10**9, parameters={"day": 10, "rate": 20, "episodes": 0}
    )
    at = trace.time_ns[(trace.op == OP_ALLOC) & (trace.level == LEVEL_PGD)]
    noon = int(((at > 270 * 10**9) & (at < 330 * 10**9)).sum())
    assert noon / 60 == pytest.approx(20, rel=0.15)
    assert int((at < 60 * 10**9).sum()) < noon / 3


def test_the_command_writes_the_same_trace_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, text = tmp_path / "x.parquet", tmp_path / "x.events"
    common = ["--events", "5k", "--seed", "2", "--param", "threads=3"]
    assert run(["generate", "mmap-churn", "-o", str(out), *common]) == 0
    assert "5,000 events" in capsys.readouterr().out
    first = out.read_bytes()
    assert run(["generate", "mmap-churn", "-o", str(out), *common, "--force"]) == 0
    assert out.read_bytes() == first
    assert run(["generate", "mmap-churn", "-o", str(text), *common]) == 0
    written, read = pba.read_trace(out), pba.read_trace(text)
    assert np.array_equal(written.time_ns, read.time_ns)
    assert written.metadata.recipe["parameters"]["threads"] == "3"
    again = pba.generate("mmap-churn", seed=2, events=5000, parameters={"threads": 3})
    assert np.array_equal(again.id, written.id)


@pytest.mark.parametrize("ending", ["parquet", "events"])
@pytest.mark.parametrize("limits", [["--events", "3000"], ["--duration", "2s", "--events", "1M"]])
def test_the_length_is_known(
    limits: list[str], ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"x.{ending}"
    assert run(["generate", "fork-storm", "-o", str(out), *limits, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    written = pba.read_trace(out)
    ended_by_time = "--duration" in limits
    assert len(written) == made["events"] < 1_000_000
    assert written.metadata.duration_ns == (2 * 10**9 if ended_by_time else int(written.time_ns[-1]))
    again = pba.generate(
        "fork-storm", events=made["recipe"]["events"], duration_ns=made["recipe"]["duration_ns"]
    )
    assert again.metadata.duration_ns == written.metadata.duration_ns


def test_info_tells_how_to_make_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--duration", "1500ms", "--seed", "5", "--param", "rate=60.5", "--param", "pte=8"]
    assert run(["generate", "fork-server", "-o", "first.parquet", *given]) == 0
    capsys.readouterr()
    assert run(["info", "first.parquet"]) == 0
    shown = capsys.readouterr().out
    assert "rate 60.5 /s, parent 400 tables, life 1500 ms" in " ".join(shown.split())
    assert f"pba {pba.__version__}: fork-server, seed 5" in shown
    again = shown.splitlines()[-1]
    told = "pba generate fork-server -o fork-server.parquet --duration 1500ms --seed 5"
    assert again == f"{told} --param rate=60.5 --param pte=8"
    assert run(["info", "first.parquet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == again
    assert run(shlex.split(again)[1:]) == 0
    first, second = pba.read_trace("first.parquet"), pba.read_trace("fork-server.parquet")
    assert first.metadata.recipe == second.metadata.recipe
    for column in ("time_ns", "op", "id", "arg", "level"):
        assert np.array_equal(getattr(first, column), getattr(second, column))


def test_info_of_recipes_that_this_pba_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = pba.generate("sawtooth", events=100)
    recipes = [
        {"workload": "of-tomorrow", "parameters": {"speed": "3"}, "seed": 1, "events": 9, "version": "99"},
        {"workload": "sawtooth", "parameters": "damaged", "duration_ns": "long"},
        {
            "like": "my server",
            "scale": 8,
            "phases": 3,
            "fineness": 4,
            "seed": 2,
            "duration_ns": 86400 * 10**9,
        },
    ]
    told = [
        "pba generate of-tomorrow -o of-tomorrow.parquet --events 9 --seed 1 --param speed=3",
        "pba generate sawtooth -o sawtooth.parquet --seed 0",
        "pba generate --like 'my server' -o 'like-my server.parquet' --scale 8 --duration 24h --seed 2",
    ]
    for at, (found, wanted) in enumerate(zip(recipes, told, strict=True)):
        path = tmp_path / f"{at}.parquet"
        pba.Trace.from_arrays(
            {name: getattr(trace, name) for name in ("time_ns", "op", "id", "arg")},
            trace.metadata.with_(recipe=found),
        ).write(path)
        assert run(["info", str(path)]) == 0
        shown = capsys.readouterr().out
        assert shown.splitlines()[-1] == wanted
        assert "may make other bytes" in " ".join(shown.split())


@pytest.mark.parametrize("name", WORKLOADS)
def test_it_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", name]) == 0
    shown = capsys.readouterr().out
    assert all(f"{each.meaning}; {each.origin}" in shown for each in WORKLOADS[name].parameters)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fork-strom"], "no workload is called 'fork-strom' (there are fork-storm"),
        (["thp", "--param", "huge"], "write it as NAME=VALUE"),
        (["thp", "--param", "tiny=3"], "has no parameter 'tiny'"),
        (["thp", "--param", "huge=0"], "huge = 0 is out of range"),
        (["thp", "--param", "huge=many"], "is not a number"),
        (["thp", "--param", "page_size=5"], "5 KiB"),
        (["thp", "--duration", "long"], "is not a time"),
        (["thp", "--events", "some"], "--events 'some' is not a number"),
        (["thp", "--seed", "-1"], "seed -1 is out of range"),
        (["thp", "--scale", "2"], "a workload has no --scale"),
        (["thp", "--like", "build-x86"], "give one of them"),
        (["--like", "nothing"], "no recording of pba"),
    ],
)
def test_what_it_refuses(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.parquet"
    assert run(["generate", *arguments, "-o", str(out)]) == EXIT_STATUS
    shown = capsys.readouterr().err
    assert told in shown
    assert re.fullmatch(r"pba: [^\n]+\n", shown)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe("fork-storm", events=1000).write(tmp_path / "x.parquet", show=interrupt)
    assert not list(tmp_path.iterdir())
