"""A sweep from traces to folder: what it holds, how it goes on, and what it refuses."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pba
from pba.errors import OutputError, PbaError, StudyError, TraceError
from pba.results import MEANINGS
from pba.study.exact import recommended_of
from pba.study.objective import Objective, row_of
from pba.study.space import Point
from pba.study.sweep import folder as files
from pba.study.sweep import parts as kept
from pba.study.sweep import tasks
from tests.study.study_fixture import make_trace
from tests.study.sweep_fixture import GRID, arguments, begun, small_sweep, write_traces

KEPT = ("behaviours.parquet", "sweep.json", "summary.txt", "summary.md")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> pba.SweepResult:
    return small_sweep(tmp_path_factory.mktemp("sweeps") / "small")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_point_is_a_replay_of_it_and_the_front_is_the_studies(result: pba.SweepResult) -> None:
    tables = {case.trace: result.points(case.trace) for case in result.cases}
    machines = {case.trace: case.machine for case in result.cases}
    traces = {"alpha": make_trace("alpha", 0, events=600)}
    traces["beta"] = make_trace("beta", 1, events=600, page_size_kib=16)
    for number in range(0, len(GRID), 7):
        rows = []
        for name, table in tables.items():
            row = table.iloc[number]
            point = Point(*(int(row[key]) for key in Point._fields))
            replay = pba.replay(traces[name], point.on(machines[name]), machines[name])
            for counter in (*MEANINGS, "cache_hash"):
                assert row[counter] == replay.counters[counter], (name, point, counter)
            assert row["mean_cached_pages"] == replay.mean_cached_pages
            rows.append(row_of(replay))
        splits, mean = Objective().values(rows, rows)
        cell = GRID.cell_of(point)
        assert cell is not None
        aims = result.landscape().aims_at(cell)
        assert aims.pmd_splits == splits
        assert aims.floats[1] == pytest.approx(mean, rel=1e-14)
    assert len(tables["alpha"]) == len(GRID)


def test_the_table_has_a_row_per_box_and_reads_back(result: pba.SweepResult) -> None:
    assert result.folder is not None
    stored = pd.read_parquet(result.folder / files.TABLE_FILE)
    pd.testing.assert_frame_equal(stored, result.behaviours, check_dtype=False)
    assert stored.groupby(["trace", "setting"])["points"].sum().tolist() == [len(GRID)] * 2
    again = pba.load_sweep(result.folder)
    assert again.cases == result.cases
    pd.testing.assert_frame_equal(again.behaviours, result.behaviours)
    pd.testing.assert_frame_equal(again.front(), result.front())
    distinct = stored.drop_duplicates(
        ["trace", *MEANINGS.keys() & set(stored), "cache_hash", "cached_page_ns_low"]
    )
    assert len(distinct) == result.traces["behaviours"].sum()


def test_one_point_is_found_without_expanding(result: pba.SweepResult) -> None:
    found = result.at(16, 64, 512)
    assert found.index.tolist() == [("alpha", "recorded"), ("beta", "recorded")]
    assert found.loc[("alpha", "recorded"), "pmd_splits"] == result.cases[0].patch[0]
    table = result.points("alpha").query(
        "unshrinkable_pages == 16 and shrink_block_min_pages == 64 and batch == 512"
    )
    assert table["cache_hash"].tolist() == [found.iloc[0]["cache_hash"]]
    with pytest.raises(PbaError, match="not on the grid"):
        result.at(17, 64, 512)
    with pytest.raises(PbaError, match="no trace is called"):
        result.points("gamma")
    with pytest.raises(PbaError, match="no setting is called"):
        result.front("large")


def test_the_front_holds_what_its_rows_say(result: pba.SweepResult) -> None:
    front = result.front()
    assert front["pmd_splits"].is_monotonic_increasing
    assert front["mean_cached_pages"].is_monotonic_decreasing
    for row in front.to_dict("records"):
        for end in ("from", "to"):
            cell = GRID.cell_of(Point(*(int(row[f"{name}_{end}"]) for name in Point._fields)))
            assert cell is not None
            assert result.landscape().aims_at(cell).floats == (row["pmd_splits"], row["mean_cached_pages"])


def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path, result: pba.SweepResult) -> None:
    assert result.folder is not None
    for workers in (1, 2, 3):
        small_sweep(tmp_path / str(workers), workers)
        assert contents(tmp_path / str(workers)) == contents(result.folder)
    assert set(contents(result.folder)) == {"behaviours.parquet", "sweep.json"}


def test_in_memory_it_is_the_same(result: pba.SweepResult) -> None:
    found = small_sweep()
    assert found.folder is None
    pd.testing.assert_frame_equal(found.behaviours, result.behaviours)


def test_the_patchs_point_is_added_to_any_grid() -> None:
    trace = make_trace("beta", 1)
    found = pba.sweep(trace, pba.Grid("0,32,300", "1:512:9", "16,64"))
    patch = pba.replay(trace)
    place = found.patch_place()
    assert place.aims.floats == (patch.counters["pmd_splits"], patch.mean_cached_pages)
    table = found.points("beta")
    assert len(set(table["mean_cached_pages"])) > 3
    aims = list(zip(table["pmd_splits"], table["mean_cached_pages"], strict=True))
    splits, mean = place.aims.floats
    assert place.beaten_by == sum(s <= splits and m <= mean and (s, m) != (splits, mean) for s, m in aims)
    assert found.grid.shape == (4, 3, 57)
    assert found.plateau(Point(16, 64, 512)) is not None
    assert found.plateau(Point(17, 64, 512)) is None
    chosen = recommended_of(found).recommended
    assert found.grid.cell_of(chosen) is not None


def test_several_machines_have_a_front_each() -> None:
    machines = [pba.Machine(4, 16384), pba.Machine(4, 8192, "pmd")]
    found = pba.sweep(make_trace("alpha", 0, events=600), pba.Grid("16", "64", "512"), machines)
    assert found.settings == [str(machine) for machine in machines]
    for setting, machine in zip(found.settings, machines, strict=True):
        replay = pba.replay(make_trace("alpha", 0, events=600), None, machine)
        assert found.front(setting)["pmd_splits"].tolist() == [replay.counters["pmd_splits"]]
        assert found.at(16, 64, 512).loc[("alpha", setting), "cache_hash"] == replay.cache_hash
    with pytest.raises(PbaError, match="several settings"):
        found.front()


def test_all_of_u_ends_where_nothing_is_shrunk_any_more() -> None:
    trace = make_trace("beta", 1)
    found = pba.sweep(trace, pba.Grid("all", "64", "64"))
    table = found.points("beta")
    assert table["pages_released"].iloc[0] > 0
    assert table["pages_released"].iloc[-1] == 0
    beyond = pba.replay(trace, pba.Thresholds(len(table) + 1000, 64, 64), pba.machine_of(trace))
    assert table["cache_hash"].iloc[-1] == beyond.cache_hash


def test_after_a_kill_it_goes_on_and_leaves_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pba.cli.app import run as command

    traces = write_traces(tmp_path)
    once, again = tmp_path / "a" / "sweep", tmp_path / "b" / "sweep"
    for folder in (once, again):
        folder.parent.mkdir()
    words = arguments(traces, Path("sweep"))
    monkeypatch.chdir(once.parent)
    assert command(words) == 0
    process = begun(words, again, parts=3, cwd=again.parent)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (again / "behaviours.parquet").exists()
    assert json.loads((again / "sweep.json").read_text())["state"] == "running"
    with pytest.raises(StudyError, match="not done"):
        pba.load_sweep(again)
    done = len(list((again / "parts").glob(f"*{kept.PART_SUFFIX}")))
    process = begun(words, again, parts=done + 1, cwd=again.parent)
    _, told = process.communicate()
    assert process.returncode == 0
    assert f"going on: {done} of 8 pieces are done" in told
    assert contents(again) == contents(once)
    assert sorted(contents(again)) == sorted(KEPT)


def test_ctrl_c_says_how_to_go_on_and_leaves_nothing_half(tmp_path: Path) -> None:
    traces, folder = write_traces(tmp_path), tmp_path / "sweep"
    process = begun(arguments(traces, folder), folder, parts=2)
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "the same command goes on from here" in told.splitlines()[-1]
    assert str(folder) in told.splitlines()[-1]
    assert {path.suffix for path in (folder / "parts").iterdir()} == {kept.PART_SUFFIX}
    parts = kept.PartFiles(folder / "parts")
    for path in (folder / "parts").iterdir():
        assert len(parts.get(path.stem).batch) > 0


def test_a_part_that_is_cut_off_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(2, monkeypatch)
    with pytest.raises(ZeroDivisionError):
        small_sweep(tmp_path / "cut", 1)
    monkeypatch.undo()
    part = min((tmp_path / "cut" / "parts").iterdir())
    whole = part.read_bytes()
    for damage in (whole[:-40], b"", whole[: len(whole) // 2] + b"x" + whole[len(whole) // 2 + 1 :]):
        part.write_bytes(damage)
        with pytest.raises(StudyError, match="damaged part") as caught:
            small_sweep(tmp_path / "cut", 1)
        assert str(part) in str(caught.value)
        assert "remove it" in caught.value.hint
    part.unlink()
    small_sweep(tmp_path / "cut", 1)


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine fail after some tasks."""
    real, left = tasks.behaviours_of, [None] * count

    def failing(*args: object, **options: object) -> object:
        if not left:
            raise ZeroDivisionError
        left.pop()
        return real(*args, **options)

    monkeypatch.setattr(tasks, "behaviours_of", failing)


def test_another_sweep_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    trace, place = make_trace("alpha", 0, events=300), tmp_path / "sweep"
    first = pba.sweep(trace, pba.Grid("16", "64", "8,9"), folder=place)
    before = contents(place)
    changed = make_trace("alpha", 5, events=300)
    others: dict[str, Any] = {
        "axis of unshrinkable_pages": (trace, pba.Grid("17", "64", "8,9"), None),
        "axis of batch": (trace, pba.Grid("16", "64", "8"), None),
        "axis of shrink_block_min_pages": (trace, pba.Grid("16", "63", "8,9"), None),
        "set of traces": ([trace, make_trace("beta", 1, events=300)], first.grid, None),
        "content of the trace alpha": (changed, first.grid, None),
        "set of traces and machines": (trace, first.grid, pba.Machine(4, 8192)),
    }
    for told, (traces, grid, machine) in others.items():
        with pytest.raises(StudyError, match=f"another {told}") as caught:
            pba.sweep(traces, grid, machine, folder=place)
        assert "force=True" in caught.value.hint
        assert contents(place) == before
    pba.sweep(trace, pba.Grid("17", "64", "8"), folder=place, force=True)
    assert contents(place) != before


def test_folders_and_files_that_are_not_a_sweeps_are_refused(tmp_path: Path) -> None:
    trace, grid = make_trace("alpha", 0, events=300), pba.Grid("16", "64", "8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    for force in (False, True):
        with pytest.raises(StudyError, match=r"not a sweep's folder: it holds thesis\.txt"):
            pba.sweep(trace, grid, folder=tmp_path / "mine", force=force)
    assert contents(tmp_path / "mine") == {"thesis.txt": b"dear"}
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        pba.sweep(trace, grid, folder=tmp_path / "file")
    with pytest.raises(StudyError, match="no such sweep folder"):
        pba.load_sweep(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [files.TABLE_FILE, files.RECORD_FILE])
@pytest.mark.parametrize("damage", [b"", b"PAR1", b'{"format_version": 1, "state": "complete"}', None])
def test_a_damaged_sweep_is_named(tmp_path: Path, name: str, damage: bytes | None) -> None:
    place = tmp_path / "sweep"
    pba.sweep(make_trace("alpha", 0, events=300), pba.Grid("16", "64", "8"), folder=place)
    path = place / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with pytest.raises(StudyError) as caught:
        pba.load_sweep(place)
    assert str(place) in str(caught.value)
    assert caught.value.hint


def test_traces_that_cannot_be_swept_are_refused(tmp_path: Path) -> None:
    trace = make_trace("alpha", 0, events=300)
    with pytest.raises(StudyError, match="no trace is given to sweep"):
        pba.sweep([])
    with pytest.raises(StudyError, match="two traces are called 'alpha'"):
        pba.sweep([trace, make_trace("alpha", 1, events=300)], pba.Grid("16", "64", "8"))
    with pytest.raises(TraceError, match="no trace file and no recording"):
        pba.sweep("nothing-of-that-name")
    with pytest.raises(StudyError, match="workers=0"):
        pba.sweep(trace, pba.Grid("16", "64", "8"), workers=0)
    assert not list(tmp_path.iterdir())


def test_a_trace_without_events_or_duration_is_swept() -> None:
    empty: dict[str, list[int]] = {"time_ns": [], "op": [], "id": [], "arg": []}
    at_once = {"time_ns": [5] * 9, "op": [0] * 9, "id": list(range(9)), "arg": [0] * 9}
    for columns in (empty, at_once):
        trace = pba.Trace.from_arrays(columns)
        found = pba.sweep(trace, pba.Grid("0,16", "64", "8"), pba.Machine(4, 8192))
        replay = pba.replay(trace, None, pba.Machine(4, 8192))
        front = found.front()
        assert front["points"].tolist() == [4]
        assert front["mean_cached_pages"].tolist() == [replay.mean_cached_pages]


def test_a_sweep_that_contradicts_the_replay_is_a_bug_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tasks.behaviours_of

    def wrong(*args: object, **options: object) -> object:
        rows = real(*args, **options)
        rows.counters[:, list(MEANINGS).index("pmd_splits")] += 1
        return rows

    monkeypatch.setattr(tasks, "behaviours_of", wrong)
    with pytest.raises(AssertionError, match="a sweep gives"):
        pba.sweep(make_trace("alpha", 0, events=300), pba.Grid("16", "64", "512"))
