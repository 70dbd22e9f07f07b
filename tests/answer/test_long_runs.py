"""`pba answer`: each figure is a replay's, days go on where they were stopped, and bytes do not depend on workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pba
from pba import model
from pba.answer.long_runs import long_runs, read_runs, run_day
from pba.cli.app import run
from pba.events import OP_DROP, OP_SHRINK
from pba.report.answer_figures import decay_picture

Written = Callable[..., Path]
TINY = """
policies = ["v6", "v6:M=512", "scattered"]
memory = ["256 MiB"]
starts = ["free", "fragmented:1:1"]
seeds = [1, 2]
duration = "3s"
steps = 6
[workloads.phone]
workload = "app-launch"
[workloads.like]
like = "git-x86"
[short]
seeds = [1]
"""


@pytest.fixture
def tiny(written: Written) -> Path:
    return written(TINY, "tiny.toml")


def test_every_figure_is_that_of_a_replay(tiny: Path) -> None:
    runs = read_runs(tiny)
    day = run_day(runs, runs.workloads[0], 1)
    trace = pba.generate("app-launch", seed=1, duration_ns="3s")
    rows, curves = pd.DataFrame(day["rows"]), pd.DataFrame(day["curves"])
    assert len(rows) == 6
    assert len(curves) == 6 * runs.steps
    for at, (start, policy) in enumerate(
        (start, policy) for start in ("free", "fragmented:1:1") for policy in ("v6", "v6 M=512", "scattered")
    ):
        machine = pba.Machine(4, 1 << 16, start=pba.Start.of(start))
        thresholds = pba.Thresholds(16, 512, 512) if policy == "v6 M=512" else None
        result = pba.replay(trace, thresholds, machine, policy=policy.split()[0], timeline=True)
        row = rows.iloc[at]
        assert (row["start"], row["policy"]) == (start, policy)
        assert row["pmd_splits"] == result.counters["pmd_splits"]
        assert row["alloc_failures"] == result.counters["alloc_failures"]
        assert row["held_mean"] == result.mean_cached_pages
        assert row["mapped_end"] == pytest.approx(result.block_mapped_share)
        mine = curves[(curves["start"] == start) & (curves["policy"] == policy)]
        table = result.timeline
        assert table is not None
        ends = trace.time_ns[0] + 3 * 10**9 * np.arange(1, 7) // 6
        last = np.searchsorted(trace.time_ns, ends, side="right") - 1
        assert mine["held"].tolist() == table["nr_cached"].iloc[last].tolist()
        assert mine["pmd_splits"].tolist() == table["pmd_splits"].iloc[last].tolist()
        held = table["nr_cached"].to_numpy()[np.isin(trace.op, (OP_SHRINK, OP_DROP))]
        assert row["after_passes"] == pytest.approx(held.mean())


def test_replay_steps_ends_as_a_replay_does() -> None:
    trace, machine = pba.read_trace("git-x86"), pba.machine_of("git-x86")
    for policy in (pba.Policy("v6"), pba.Policy("freetype"), pba.Policy("v6+collapse")):
        ends = np.array([0, 10, 10, 4000, len(trace)])
        result, rows = model.replay_steps(trace, None, machine, policy, ends)
        plain = pba.replay(trace, policy=policy, checkpoint_every=4000)
        assert result.counters == plain.counters
        assert plain.checkpoints is not None
        assert rows[3, 0] == plain.checkpoints["nr_cached"].iloc[0]
        assert rows[1].tolist() == rows[2].tolist()
        assert rows[-1, -1] == result.counters.get("pmd_collapses", 0)


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    runs = read_runs(tiny)
    one, other = tmp_path / "one", tmp_path / "other"
    found = long_runs(runs, one, workers=1)
    assert len(found.rows) == 4 * 6
    long_runs(runs, other, workers=2)
    names = ("rows.csv", "curves.parquet", "report.md")
    assert [(one / name).read_bytes() for name in names] == [(other / name).read_bytes() for name in names]
    days = sorted((one / "days").iterdir())
    before = {path: path.stat().st_mtime_ns for path in days}
    days[1].unlink()  # as if it had been stopped before
    long_runs(runs, one, workers=1)
    assert [(one / name).read_bytes() for name in names] == [(other / name).read_bytes() for name in names]
    after = {path: path.stat().st_mtime_ns for path in sorted((one / "days").iterdir())}
    assert [path for path in days if after[path] != before[path]] == [days[1]]
    days[0].write_text("{", encoding="utf-8")
    with pytest.raises(pba.PbaError, match="is damaged"):
        long_runs(runs, one, workers=1)


def test_the_command_prints_the_report(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["answer", str(tiny), "--short", "-o", str(tmp_path / "out"), "-j", "1"]
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "2 days of" in shown
    drawn = (tmp_path / "out" / "decay.svg").read_bytes()
    assert b"app-launch" not in drawn
    assert b"phone, fragmented:1:1" in drawn
    rows = pd.read_csv(tmp_path / "out" / "rows.csv")
    mean = rows[(rows["start"] == "free") & (rows["policy"] == "scattered")]["pmd_splits"].mean()
    assert f"| `scattered` | {mean:,.1f} |" in shown
    assert run([*command, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(rows)


def test_the_figure_shows_what_the_curves_hold(tiny: Path, tmp_path: Path) -> None:
    found = long_runs(read_runs(tiny, short=True), tmp_path, workers=1)
    drawn = decay_picture(found)
    assert len([line for axes in drawn.figure.axes for line in axes.lines]) == 2 * 2 * 3
    table = drawn.data.set_index(["workload", "start", "policy", "hour"])["not_block_mapped"]
    one = found.curves.iloc[-1]
    key = tuple(one[name] for name in ("workload", "start", "policy", "hour"))
    assert table.loc[key] == pytest.approx(100 * (1 - one["block_mapped_share"]))
    assert "phone, free, scattered: " in drawn.alt


def test_the_shipped_definition_is_read_in_both_forms() -> None:
    whole, short = read_runs(), read_runs(short=True)
    assert whole.duration_ns == 24 * 3600 * 10**9
    assert whole.memory == ("4 GiB", "16 GiB", "64 GiB")
    assert len(short.days()) < len(whole.days())
    assert short.key(short.workloads[0], 1) != whole.key(whole.workloads[0], 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"scattered"]', '"scatered"]', "did you mean scattered"),
        ("steps = 6", "step = 6", "unknown key 'step'"),
        ("steps = 6", "", "has no steps"),
        ('workload = "app-launch"', "", "names no demand"),
        ('workload = "app-launch"', 'workload = "app-launch"\nparamters = {}', "did you mean parameters"),
        ('"fragmented:1:1"', '"fragmented:7"', "out of range|unknown"),
        ('duration = "3s"', 'duration = "long"', "duration"),
        ('"256 MiB"', '"much"', "much"),
        ("steps = 6", "steps = [", "cannot be read"),
    ],
)
def test_what_cannot_be_run_is_refused(old: str, new: str, said: str, written: Written) -> None:
    assert old in TINY
    with pytest.raises(pba.PbaError, match=said):
        read_runs(written(TINY.replace(old, new), "wrong.toml"))
