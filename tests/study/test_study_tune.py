"""A study from its file to its folder: the same bytes whatever happens on the way."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pba
from pba.errors import OutputError, PbaError, StudyError
from pba.imports.read import read_trace
from pba.machine import Machine
from pba.model import replay
from pba.study.folder import Folder, write_parquet
from pba.study.result import (
    DECISION_FILE,
    JOURNAL_FILE,
    MAPS_FILE,
    POINTS_FILE,
    RUN,
    RUN_FILE,
    STUDY_FILE,
    Run,
    load_run,
)
from pba.study.session import SWEPT_FILES
from pba.study.space import ALTERNATIVES, Point
from pba.study.tune import tune
from tests.study.study_fixture import TRACES, make_study, make_trace

POINTS = 56
SAME_BYTES = (POINTS_FILE, DECISION_FILE, MAPS_FILE, RUN_FILE, STUDY_FILE, *SWEPT_FILES)
COMMAND = "pba tune small.toml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study, and in `run` its finished run, made without a break by one thread."""
    folder = tmp_path_factory.mktemp("study")
    tune(make_study(folder, POINTS), folder / "run", workers=1, command=COMMAND)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return what has to be the same: all files but the journal (it has times), whose hash is left out."""
    found = {name: (folder / name).read_bytes() for name in SAME_BYTES}
    record = json.loads(found[RUN_FILE])
    del record["files"][JOURNAL_FILE], record["sha256"]
    found[RUN_FILE] = json.dumps(record).encode()
    return found


def trials(folder: Path) -> list[tuple[object, object]]:
    """Return what Optuna itself reads from the journal."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL_FILE)))
    study = optuna.load_study(study_name=None, storage=storage)
    return [(trial.user_attrs["point"], trial.values) for trial in study.trials]


def test_the_points_are_distinct_and_begin_with_the_plain_alternatives(home: Path) -> None:
    run = load_run(home / "run")
    thresholds = run.points[["unshrinkable_pages", "shrink_block_min_pages", "batch"]]
    assert len(run.points) == len(thresholds.drop_duplicates())
    assert int(run.points["searched"].sum()) == POINTS
    # The recommended point stands behind the search's, unless that came upon it.
    assert list(run.points.index) == list(range(len(run.points)))
    assert len(run.points) - POINTS == (0 if run.points.loc[run.recommended, "searched"] else 1)
    assert [tuple(row) for row in thresholds.to_numpy()[:4]] == [one.point for one in ALTERNATIVES]
    assert run.complete
    assert run.command == COMMAND


def test_every_figure_is_that_of_an_exact_replay(home: Path) -> None:
    run = load_run(home / "run")
    for number in (run.patch, run.recommended, POINTS - 1):
        row = run.points.loc[number]
        point = Point(*(int(row[name]) for name in Point._fields))
        means, pages, splits, peaks = [], [], 0, []
        for name, page_size_kib in zip(TRACES, (4, 16), strict=True):
            machine = Machine(page_size_kib, (64 << 10) // page_size_kib)
            result = replay(read_trace(home / f"{name}.parquet"), point.on(machine), machine)
            kept = run.per_trace.loc[(number, name)]
            assert {key: kept[key] for key in result.counters if key != "cache_hash"} == {
                key: value for key, value in result.counters.items() if key != "cache_hash"
            }
            assert kept["mean_cached_pages"] == result.mean_cached_pages
            assert kept["block_mapped_share"] == result.block_mapped_share
            pages.append(result.mean_cached_pages)
            means.append(result.mean_cached_bytes / (1 << 20))
            peaks.append(result.peak_cached_bytes / (1 << 20))
            splits += result.counters["pmd_splits"]
        assert row["pmd_splits"] == splits
        assert row["mean_cached_pages"] == pytest.approx(np.mean(pages), rel=1e-14)
        assert row["mean_cached_mib"] == pytest.approx(np.mean(means), rel=1e-14)
        assert row["peak_cached_mib"] == max(peaks)


def test_the_recommended_point_is_the_decisions_and_keeps_the_rule(home: Path) -> None:
    run = load_run(home / "run")
    assert run.decision is not None
    patch, chosen = run.points.loc[run.patch], run.points.loc[run.recommended]
    assert (
        tuple(chosen[["unshrinkable_pages", "shrink_block_min_pages", "batch"]]) == run.decision.recommended
    )
    assert chosen["mean_cached_pages"] <= patch["mean_cached_pages"]
    assert chosen["pmd_splits"] <= run.decision.best["values"][0] + 0.05 * patch["pmd_splits"]
    splits = run.points.loc[run.front, "pmd_splits"].tolist()
    assert splits == sorted(splits)


def test_the_studys_sweep_is_a_sweep_of_its_recordings_and_machines(home: Path) -> None:
    run = load_run(home / "run")
    swept = pba.load_sweep(home / "run" / "sweep")
    assert [case.trace for case in swept.cases] == list(TRACES)
    assert [str(case.machine) for case in swept.cases] == run.traces["machine"].tolist()
    assert run.decision is not None
    assert run.decision.region["grid"] == len(swept.grid)
    exact = swept.at(16, 64, 512)["pmd_splits"].sum()
    assert exact == run.points.loc[run.patch, "pmd_splits"]


def test_the_recommendation_does_not_depend_on_the_searchs_seed(home: Path, tmp_path: Path) -> None:
    runs = [tune(home / "small.toml", tmp_path / str(seed), seed=seed) for seed in range(5)]
    tried = [frozenset(run.optuna_study.trials[-1].user_attrs["point"]) for run in runs]
    assert len(set(tried)) == 5, "seeds that try the same points prove nothing"
    found = [run.decision for run in runs if run.decision]
    assert len({one.recommended for one in found}) == 1
    whole = [{**one.to_dict(), "search": None} for one in found]
    assert all(one == whole[0] for one in whole)


def test_without_a_sweep_the_seed_does_not_matter_either(home: Path, tmp_path: Path) -> None:
    changes = ["search.sweep=false", "search.points=34"]
    found = [tune(home / "small.toml", tmp_path / str(seed), seed=seed, changes=changes) for seed in range(3)]
    assert len({one.decision.recommended for one in found if one.decision}) == 1
    assert not (tmp_path / "0" / "sweep").exists()
    assert all(one.maps.empty and one.decision and not one.decision.region for one in found)
    run = found[0]
    assert run.decision is not None and "no grid was swept" in run.decision.notes[-1]
    patch, best = run.points.loc[run.patch], run.points.loc[run.recommended]
    assert best["mean_cached_pages"] <= patch["mean_cached_pages"], (
        "the rule allows no more pages than the patch's"
    )
    able = run.points[run.points["mean_cached_pages"] <= patch["mean_cached_pages"]]
    assert best["pmd_splits"] <= able["pmd_splits"].min() + 0.05 * patch["pmd_splits"]


def test_the_traces_are_described(home: Path) -> None:
    traces = load_run(home / "run").traces.set_index("trace")
    assert list(traces.index) == list(TRACES)
    assert traces["page_size_kib"].tolist() == [4, 16]
    assert traces["memory_pages"].tolist() == [16384, 4096]
    assert (traces["allocs"] + traces["frees"] + traces["passes"]).tolist() == [1500, 1500]
    assert traces["live_at_start"].tolist() == [7, 7]
    assert np.isnan(traces.loc["alpha", "recall"])
    assert traces.loc["beta", ["recall", "precision"]].tolist() == [0.98, 98 / 99]


def test_optuna_reads_the_same_points_from_the_journal(home: Path) -> None:
    run = load_run(home / "run")
    names = ["unshrinkable_pages", "shrink_block_min_pages", "batch"]
    assert trials(home / "run") == [
        ([row[name] for name in names], [row["pmd_splits"], row["mean_cached_pages"]])
        for _, row in run.points[run.points["searched"]].iterrows()
    ]


def test_the_number_of_workers_does_not_matter(home: Path, tmp_path: Path) -> None:
    tune(home / "small.toml", tmp_path / "run", workers=3, command=COMMAND)
    assert contents(tmp_path / "run") == contents(home / "run")
    assert trials(tmp_path / "run") == trials(home / "run")


KILLED = """
import os, signal, sys
from pathlib import Path
import pba.study.session as room
from pba.study.journal import Journal
from pba.study.tune import tune

moment, study, folder = sys.argv[1:]

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "before the first points":
    room.write_parquet = die
elif moment == "between points and journal":
    whole = Journal.append
    def append(self, generation, attributes):
        if self.tried:
            die()
        whole(self, generation, attributes)
    Journal.append = append
elif moment == "within the journal":
    whole = Journal.append
    def append(self, generation, attributes):
        if self.tried:
            whole(self, generation[:5], attributes[:5])
            with self.path.open("ab") as stream:
                stream.write(b'{"op_code": 4, "work')
            Path(str(self.path) + ".lock").symlink_to("gone")
            die()
        whole(self, generation, attributes)
    Journal.append = append
elif moment == "before the end":
    room.decide = die
elif moment == "before the record":
    whole = room.Folder.complete
    def complete(self, record, names):
        if self.kind.noun == "run":
            die()
        return whole(self, record, names)
    room.Folder.complete = complete
elif moment == "in the sweep":
    from pba.study.sweep.parts import PartFiles
    put = PartFiles.put
    def few(self, key, rows):
        if len(list(self.folder.iterdir())) >= 3:
            die()
        put(self, key, rows)
    PartFiles.put = few
tune(study, folder, workers=2, command="pba tune small.toml")
"""


@pytest.mark.parametrize(
    ("moment", "stored"),
    [
        ("in the sweep", 0),
        ("before the first points", 0),
        ("between points and journal", 32),
        ("within the journal", 37),
        ("before the end", POINTS),
        ("before the record", POINTS),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(home: Path, tmp_path: Path, moment: str, stored: int) -> None:
    study, folder = home / "small.toml", tmp_path / "run"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, moment, str(study), str(folder)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    journal = folder / JOURNAL_FILE
    assert journal.read_bytes().count(b'"op_code":4') == stored
    assert json.loads((folder / RUN_FILE).read_text())["state"] == "running"
    run = tune(study, folder, workers=1, command=COMMAND)
    assert run.complete
    assert contents(folder) == contents(home / "run")
    assert trials(folder) == trials(home / "run")


def test_a_done_run_is_only_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (home / "run").iterdir()}
    monkeypatch.setattr("pba.study.evaluate.Evaluator.rows_of", None)
    run = tune(home / "small.toml", home / "run")
    assert run.complete
    assert {path.name: path.stat().st_mtime_ns for path in (home / "run").iterdir()} == before


def test_more_points_go_on_from_those_there_are(home: Path, tmp_path: Path) -> None:
    study = make_study(tmp_path, 40)
    tune(study, tmp_path / "short", command=COMMAND)
    longer = tune(study, tmp_path / "short", points=60, command=COMMAND)
    assert int(longer.points["searched"].sum()) == 60
    assert longer.study.points == 60
    tune(study, tmp_path / "long", points=60, command=COMMAND)
    assert contents(tmp_path / "short") == contents(tmp_path / "long")
    with pytest.raises(StudyError, match="was begun for 60 points, more than 40"):
        tune(study, tmp_path / "short")


def change_study(home: Path) -> None:
    path = home / "small.toml"
    path.write_text(path.read_text().replace("high = 1024", "high = 2048"))


def change_trace(home: Path) -> None:
    make_trace("beta", 5, page_size_kib=16).write(home / "beta.parquet", force=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (change_study, r"another value of space\.unshrinkable_pages\.high: 1024, now 2048"),
        (change_trace, "another content of the trace beta"),
    ],
)
def test_a_changed_input_is_refused(tmp_path: Path, change: Callable[[Path], None], says: str) -> None:
    study, folder = make_study(tmp_path, 33), tmp_path / "run"
    before = tune(study, folder, command=COMMAND)
    change(tmp_path)
    with pytest.raises(StudyError, match=says) as caught:
        tune(study, folder, command=COMMAND)
    assert "force=True" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert load_run(folder).points.equals(before.points)
    anew = tune(study, folder, force=True, command=COMMAND)
    assert anew.complete
    assert not anew.points.equals(before.points)


def test_another_seed_is_refused_and_other_versions_too(tmp_path: Path) -> None:
    study, folder = make_study(tmp_path, 33), tmp_path / "run"
    tune(study, folder)
    with pytest.raises(StudyError, match="another seed: 3, now 4"):
        tune(study, folder, seed=4)
    record = json.loads((folder / RUN_FILE).read_text())
    record["versions"]["model"] = "other"
    Folder(folder, RUN).write(record)
    assert tune(study, folder).versions["model"] == "other"
    with pytest.raises(StudyError, match="another version of model: other, now"):
        tune(study, folder, points=34)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rewrite_points(path: Path) -> None:
    frame = pd.read_parquet(path)
    frame.loc[5, "pmd_splits"] += 1
    write_parquet(frame, path)


def change_first_trace(path: Path, row: object) -> None:
    record = json.loads(path.read_text())
    Folder(path.parent, RUN).write({**record, "traces": [row, *record["traces"][1:]]})


@pytest.mark.parametrize(
    "name", [RUN_FILE, STUDY_FILE, POINTS_FILE, DECISION_FILE, MAPS_FILE, JOURNAL_FILE, *SWEPT_FILES]
)
@pytest.mark.parametrize("damage", [truncate, Path.unlink], ids=["truncated", "missing"])
def test_damage_to_a_complete_run_is_named(
    home: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    folder = copy_run(home, tmp_path)
    damage(folder / name)
    for attempt in (lambda: load_run(folder), lambda: tune(home / "small.toml", folder)):
        with pytest.raises(StudyError) as caught:
            attempt()
        assert str(folder) in str(caught.value)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    if name != RUN_FILE:
        assert "damaged run folder" in str(caught.value)
    assert tune(home / "small.toml", folder, force=True, command=COMMAND).complete


def copy_run(home: Path, tmp_path: Path, state: str = "complete") -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(home / "run", folder)
    if state != "complete":
        record = json.loads((folder / RUN_FILE).read_text())
        Folder(folder, RUN).write({**record, "state": state, "files": {}})
        (folder / DECISION_FILE).unlink()
    return folder


def test_a_figure_changed_by_hand_is_noticed(home: Path, tmp_path: Path) -> None:
    folder = copy_run(home, tmp_path)
    rewrite_points(folder / POINTS_FILE)
    with pytest.raises(StudyError, match="not what the run wrote"):
        load_run(folder)


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        (POINTS_FILE, truncate, "damaged run folder"),
        (POINTS_FILE, Path.unlink, "it lacks point 0"),
        (POINTS_FILE, rewrite_points, "its figures for"),
        (JOURNAL_FILE, lambda path: path.write_bytes(b"{}\n" + path.read_bytes()), "Optuna cannot read it"),
        (JOURNAL_FILE, lambda path: path.write_bytes(b"\x00\x01\nrubbish\n"), "Optuna cannot read it"),
        (RUN_FILE, lambda path: path.write_text("[]"), "not what a run writes"),
        (RUN_FILE, lambda path: change_first_trace(path, 3), "run.json: damaged .*: a recording lacks trace"),
        (RUN_FILE, lambda path: change_first_trace(path, {"trace": "x"}), "a recording lacks path"),
        (RUN_FILE, lambda path: path.write_text('{"format_version": 9}'), "written by a newer pba"),
    ],
)
def test_damage_to_a_run_under_way_is_named(
    home: Path, tmp_path: Path, name: str, damage: Callable[[Path], object], says: str
) -> None:
    folder = copy_run(home, tmp_path, "running")
    damage(folder / name)
    with pytest.raises(StudyError, match=says):
        tune(home / "small.toml", folder)


def test_a_journal_that_a_kill_cut_short_is_made_whole(home: Path, tmp_path: Path) -> None:
    folder = copy_run(home, tmp_path, "running")
    truncate(folder / JOURNAL_FILE)
    tune(home / "small.toml", folder, command=COMMAND)
    assert contents(folder) == contents(home / "run")
    assert trials(folder) == trials(home / "run")


def test_a_folder_in_the_place_of_a_file_is_one_line(home: Path, tmp_path: Path) -> None:
    folder = copy_run(home, tmp_path)
    (folder / STUDY_FILE).unlink()
    (folder / STUDY_FILE).mkdir()
    with pytest.raises(StudyError, match=r"study\.toml: damaged run folder: Is a directory \("):
        load_run(folder)
    with pytest.raises(OutputError, match=r"study\.toml: cannot be written: Is a directory"):
        tune(home / "small.toml", folder, force=True)


def test_a_disk_that_fills_under_the_journal_is_one_line_and_nothing_is_lost(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.storages.journal import JournalFileBackend

    folder, append = tmp_path / "run", JournalFileBackend.append_logs

    def full(self: JournalFileBackend, logs: list[dict[str, object]]) -> None:
        if any("values" in log for log in logs):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, logs)

    with monkeypatch.context() as patched:
        patched.setattr(JournalFileBackend, "append_logs", full)
        with pytest.raises(OutputError, match=r"optuna\.journal: cannot be written: No space left"):
            tune(home / "small.toml", folder, command=COMMAND)
    tune(home / "small.toml", folder, command=COMMAND)
    assert contents(folder) == contents(home / "run")


def test_a_run_under_way_can_be_read(home: Path, tmp_path: Path) -> None:
    folder = copy_run(home, tmp_path, "running")
    run = load_run(folder)
    assert not run.complete
    assert run.decision is None
    assert run.maps.empty
    assert {item.name for item in fields(Run)} == set(vars(run))
    (folder / POINTS_FILE).unlink()
    with pytest.raises(StudyError, match="holds no point yet"):
        load_run(folder)


def test_a_run_of_an_older_layout_is_refused_and_can_be_run_anew(home: Path, tmp_path: Path) -> None:
    folder = copy_run(home, tmp_path)
    record = json.loads((folder / RUN_FILE).read_text())
    (folder / RUN_FILE).write_text(json.dumps({**record, "format_version": 1}))
    for attempt in (lambda: load_run(folder), lambda: tune(home / "small.toml", folder)):
        with pytest.raises(StudyError, match=r"written by an older pba \(layout 1\)") as caught:
            attempt()
        assert "force=True" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert tune(home / "small.toml", folder, force=True, command=COMMAND).complete


def test_other_peoples_folders_are_left_alone(home: Path, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    for force in (False, True):
        with pytest.raises(StudyError, match=r"not a run's folder: it holds letters\.txt"):
            tune(home / "small.toml", tmp_path, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]
    with pytest.raises(PbaError, match="is a file"):
        tune(home / "small.toml", tmp_path / "letters.txt")
    with pytest.raises(StudyError, match="no such run folder"):
        load_run(tmp_path / "none")
    with pytest.raises(StudyError, match="no run's folder"):
        load_run(tmp_path)


def test_two_at_once_are_refused(home: Path, tmp_path: Path) -> None:
    with Folder(tmp_path / "run", RUN).held(), pytest.raises(StudyError, match="another pba tune is at work"):
        tune(home / "small.toml", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "says"),
    [({"points": 0}, "points=0"), ({"seed": -1}, "seed=-1"), ({"workers": 0}, "workers=0")],
)
def test_options_out_of_range(home: Path, tmp_path: Path, options: dict[str, int], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        tune(home / "small.toml", tmp_path / "run", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("traces", "machine", "says"),
    [
        ('["gamma"]', "", "small.toml: traces: no trace file and no recording of pba is called 'gamma'"),
        ('["none/*.parquet"]', "", "small.toml: traces: no file matches 'none/[*].parquet'"),
        ('["alpha.parquet", "again.parquet"]', "", "traces: two are called 'alpha'"),
        ('["bare.events"]', "", "bare.events: the trace does not say its page size"),
        ('["bare.events"]', "page_size_kib = 4", "bare.events: the trace does not say how much memory"),
        (
            '["beta.parquet"]',
            'linear_map = "pud"',
            r"\[machine\]: for beta.parquet: the linear map has no pud",
        ),
    ],
)
def test_inputs_that_cannot_be_used(tmp_path: Path, traces: str, machine: str, says: str) -> None:
    study = make_study(tmp_path)
    make_trace("alpha", 8).write(tmp_path / "again.parquet")
    (tmp_path / "bare.events").write_text("0 A 1\n5 F 1\n")
    text = study.read_text().replace('["alpha.parquet", "beta.parquet"]', traces)
    study.write_text(f"{text}\n[machine]\n{machine}\n")
    with pytest.raises(StudyError, match=says):
        tune(study, tmp_path / "run")


def test_a_trace_is_taken_once_however_often_it_is_named(tmp_path: Path) -> None:
    study = make_study(tmp_path, 10)
    study.write_text(study.read_text().replace('"beta.parquet"', '"./*.parquet", "beta.parquet"'))
    assert tune(study, tmp_path / "run").traces["trace"].tolist() == list(TRACES)


def test_a_run_is_an_optuna_study_with_names_that_explain_themselves(home: Path) -> None:
    run = load_run(home / "run")
    study = run.optuna_study
    assert study.metric_names == ["pmd_splits", "mean_cached_pages"]
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert len(study.trials) == POINTS
    front = set(run.front)
    for trial in study.trials:
        row = run.points.loc[trial.number]
        assert trial.values == [row["pmd_splits"], row["mean_cached_pages"]]
        figures = trial.user_attrs["pmd_splits per recording"]
        assert figures == {name: run.per_trace.loc[(trial.number, name), "pmd_splits"] for name in TRACES}
        assert trial.user_attrs["on the front"] == (trial.number in front)
        assert trial.constraints == {"deadlocks": row["deadlocks"], "pages_leaked": row["pages_leaked"]}
    assert len(study.best_trials) <= len(front)


def test_optunas_own_importance_stands_beside_that_of_the_grid(home: Path) -> None:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    run = load_run(home / "run")
    assert run.decision is not None
    found = run.decision.search["ped_anova"]
    for at, aim in enumerate(run.aims):
        wanted = get_param_importances(
            run.optuna_study,
            evaluator=PedAnovaImportanceEvaluator(),
            target=lambda trial, at=at: trial.values[at],
        )
        assert found[aim.name] == pytest.approx(wanted)
        assert sum(found[aim.name].values()) == pytest.approx(1.0)


def test_groups_are_named_by_the_study_or_are_machine_classes(tmp_path: Path) -> None:
    study = make_study(tmp_path, 8, "random")
    run = tune(study, tmp_path / "classes")
    assert run.decision is not None
    assert [group["name"] for group in run.decision.groups] == ["arm64, 4 KiB", "arm64, 16 KiB"]
    named = tune(study, tmp_path / "named", changes=['groups.all=["*"]', 'groups.first=["al*"]'])
    assert named.decision is not None
    assert [group["recordings"] for group in named.decision.groups] == [list(TRACES), ["alpha"]]
    assert named.decision.groups[0]["values"]["patch"][0] == named.points.loc[named.patch, "pmd_splits"]


def test_a_recording_that_is_held_out_has_no_say(tmp_path: Path) -> None:
    study = make_study(tmp_path, 8, "random")
    held = 'traces={train=["alpha.parquet"], held_out=["beta.parquet"]}'
    run = tune(study, tmp_path / "held", changes=[held])
    alone = tune(study, tmp_path / "alone", changes=['traces=["alpha.parquet"]'])
    assert run.traces["trace"].tolist() == ["alpha"] and run.held_out["trace"].tolist() == ["beta"]
    assert run.decision is not None and alone.decision is not None
    assert run.decision.recommended == alone.decision.recommended
    machine = Machine(16, (64 << 10) // 16)
    result = replay(read_trace(tmp_path / "beta.parquet"), run.decision.recommended.on(machine), machine)
    assert run.decision.held_out["values"]["recommended"] == [
        result.counters["pmd_splits"], result.mean_cached_pages
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            'traces={train=["./*.parquet"], held_out=["beta.parquet"]}',
            r"beta\.parquet is tuned on and held out \(name it in train or in held_out\)",
        ),
        (
            'groups.phones=["phone*"]',
            r"\[groups\] phones: no recording of the study is called phone\* \(it has alpha",
        ),
    ],
)
def test_sets_and_groups_that_cannot_be(tmp_path: Path, change: str, says: str) -> None:
    study = make_study(tmp_path, 8)
    with pytest.raises(StudyError, match=says):
        tune(study, tmp_path / "run", changes=[change])
    assert not (tmp_path / "run" / RUN_FILE).exists()


def test_other_words_than_the_folder_was_begun_with_are_refused(tmp_path: Path) -> None:
    study, folder = make_study(tmp_path, 8, "random"), tmp_path / "run"
    tune(study, folder, changes=["decision.within=0.5"])
    for changes in ([], ["decision.within=0.25"]):
        with pytest.raises(
            StudyError, match=r"begun with another change of the study file: decision\.within=0\.5"
        ):
            tune(study, folder, changes=changes)
    assert load_run(folder).study.choice.within == 0.5


def test_without_a_sweep_points_are_held_against_the_patchs_own(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pba.study import session

    seen: list[pd.DataFrame] = []
    decide = session.decide_from_table

    def watched(question: object, table: pd.DataFrame, *rest: object) -> object:
        seen.append(table)
        return decide(question, table, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "decide_from_table", watched)
    tune(home / "small.toml", tmp_path / "run", changes=["search.sweep=false", "search.points=4"])
    # A rule takes the patch's figures from number 0.
    first = seen[0].loc[0].iloc[0]
    assert Point(*(int(first[name]) for name in Point._fields)) == ALTERNATIVES[0].point
