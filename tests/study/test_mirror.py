"""A study's trials in a database: while it runs, once each, and never to the harm of the run."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from pba.cli.app import run as command
from pba.errors import StudyError
from pba.study import mirror
from pba.study.definition import StudyDefinition
from pba.study.mirror import Storage
from pba.study.result import POINTS_FILE, Run, load_run
from pba.study.tune import tune
from tests.study.cluster_fixture import PASSWORD, Postgres, free_port, postgres_bin, postgres_server
from tests.study.study_fixture import TRACES, make_study
from tests.study.test_cluster import Act
from tests.study.test_faults import Told

POINTS = 56


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, and its finished run in `run`, made without a mirror."""
    folder = tmp_path_factory.mktemp("mirror")
    tune(make_study(folder, POINTS, "random"), folder / "run", workers=2, command="x")
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server that no test harms."""
    with postgres_server() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database's URL: an empty file's, or the server's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'all.db'}"
    found: Postgres = request.getfixturevalue("server")
    return found.url


def trials(url: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """Return what anybody reads from the database."""
    return optuna.load_study(study_name=name, storage=url).trials


def named(folder: Path, name: str) -> Path:
    """Write the small study under another name, as the server is shared by tests."""
    study = make_study(folder, POINTS, "random")
    study.write_text(study.read_text().replace('name = "small"', f'name = "{name}"'))
    return study


def inside(run: Run, point: list[int]) -> Iterator[int]:
    """Return the nearest point inside the run's space."""
    for value, item in zip(point, run.study.space.values(), strict=True):
        yield min(max(value, item.low), item.high)


def test_every_trial_is_there_once_with_names_and_figures(url: str, tmp_path: Path) -> None:
    name = f"once-{url.split(':')[0].split('+')[0]}"
    study, told = named(tmp_path, name), Told()
    for points in (40, POINTS, POINTS):
        run = tune(study, tmp_path / "run", points=points, storage=url, progress=told)
        found = trials(url, name)
        assert [trial.number for trial in found] == list(range(points))
    for trial in found:
        row = run.points.loc[trial.number]
        point = [row[key] for key in ("unshrinkable_pages", "shrink_block_min_pages", "batch")]
        assert trial.user_attrs["point"] == point
        # What lies outside of the space is shown at its nearest point.
        assert list(trial.params.values()) == list(inside(run, point))
        assert trial.values == [row["pmd_splits"], row["mean_cached_pages"]]
        for aim in ("pmd_splits", "mean_cached_pages"):
            figures = trial.user_attrs[f"{aim} per recording"]
            assert figures == {name: run.per_trace.loc[(trial.number, name), aim] for name in TRACES}
    assert optuna.load_study(study_name=name, storage=url).metric_names == ["pmd_splits", "mean_cached_pages"]
    assert not [line for line in told.said if "mirror" in line]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert PASSWORD.encode() not in kept and b"sqlite:" not in kept


def test_two_studies_of_one_name_stay_apart(tmp_path: Path) -> None:
    url, study = f"sqlite:///{tmp_path / 'all.db'}", make_study(tmp_path, 3, "random")
    for seed in (3, 4, 3, 4):
        tune(study, tmp_path / str(seed), seed=seed, storage=url)
    found = optuna.get_all_study_summaries(url)
    assert [one.n_trials for one in found] == [3, 3]
    assert found[0].study_name == "small" and found[1].study_name.startswith("small-")


def test_somebody_elses_study_of_that_name_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'all.db'}"
    other = optuna.create_study(study_name="small", storage=url)
    other.add_trial(optuna.trial.create_trial(value=1.0))
    tune(make_study(tmp_path, 3, "random"), tmp_path / "run", storage=url)
    assert {one.study_name: one.n_trials for one in optuna.get_all_study_summaries(url)}["small"] == 1


def test_a_server_killed_in_the_middle_costs_a_line_and_the_next_run_fills_in(
    home: Path, tmp_path: Path
) -> None:
    programs = postgres_bin()
    with postgres_server() as server:
        act = Act(36, server.kill)
        study = home / "small.toml"
        begun = time.monotonic()
        tune(study, tmp_path / "run", storage=server.url, progress=act, command="x")
        assert time.monotonic() - begun < 40
        lines = [line for line in act.said if "mirror" in line]
        assert len(lines) == 1 and "the run goes on without it" in lines[0]
        assert PASSWORD not in lines[0] and "\n" not in lines[0]
        same = (tmp_path / "run" / POINTS_FILE).read_bytes() == (home / "run" / POINTS_FILE).read_bytes()
        assert same and load_run(tmp_path / "run").complete
        server.start(programs)
        told = Told()
        tune(study, tmp_path / "run", storage=server.url, progress=told)
        assert not [line for line in told.said if "mirror" in line]
        assert [trial.number for trial in trials(server.url, "small")] == list(range(POINTS))


def test_a_server_that_hangs_is_not_waited_for(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PATIENCE_S", 1.0)
    with postgres_server() as server:
        act = Act(34, lambda: server.signal(signal.SIGSTOP))
        begun = time.monotonic()
        tune(home / "small.toml", tmp_path / "run", storage=server.url, progress=act, command="x")
        assert time.monotonic() - begun < 20
        lines = [line for line in act.said if "mirror" in line]
        assert len(lines) == 1 and "no answer for 1 s" in lines[0]
    assert load_run(tmp_path / "run").complete


def test_a_database_that_does_not_answer_at_the_start_costs_a_line(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgres]'")
    closed = f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:{free_port()}/x"
    for at, url in enumerate((closed, f"sqlite:///{tmp_path}/no-such-folder/x.db")):
        told = Told()
        tune(home / "small.toml", tmp_path / str(at), storage=url, progress=told, command="x")
        lines = [line for line in told.said if "mirror" in line]
        assert len(lines) == 1 and "the run goes on without it" in lines[0]
        assert PASSWORD not in " ".join(told.said)
        same = (tmp_path / str(at) / POINTS_FILE).read_bytes() == (home / "run" / POINTS_FILE).read_bytes()
        assert same


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "the URL is no database's URL"),
        (f"redis://me:{PASSWORD}@host/1", "of a kind that is not known (redis)"),
        (f"postgres://me:{PASSWORD}@host/x", "of a kind that is not known (postgres)"),
        (f"postgresql+psycopg://me:{PASSWORD}@host:port/x", "the URL is no database's URL"),
        (f"postgresql+psycopg://me:{PASSWORD}@host", "without a database"),
        ("sqlite://", "without a database"),
        ("", "the URL is no database's URL"),
        (f"postgresql+pg8000://me:{PASSWORD}@host/x", "needs a driver that is not installed"),
    ],
)
def test_a_url_that_is_none_is_one_line_without_its_password(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, says: str
) -> None:
    words = ["tune", str(home / "small.toml"), "--run", str(tmp_path / "run"), "--storage", url]
    assert command(words) == 2
    told = capsys.readouterr().err
    assert says in told and PASSWORD not in told and len(told.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_what_is_shown_of_a_url_has_no_secret() -> None:
    storage = Storage("sqlite:////tmp/x.db?password=hush")
    assert str(storage) == "sqlite:////tmp/x.db"
    assert "hush" not in storage.reason(ValueError("cannot open hush"))
    with pytest.raises(StudyError):
        Storage("sqlite://")


def test_optuna_names_a_studys_aims_where_we_write_them(tmp_path: Path) -> None:
    from pba.study.journal import named_study

    storage = optuna.storages.InMemoryStorage()
    assert named_study(storage, StudyDefinition("x")).metric_names == ["pmd_splits", "mean_cached_pages"]


def test_other_words_make_another_study_of_a_name(tmp_path: Path) -> None:
    study, url = make_study(tmp_path, 8, "random"), f"sqlite:///{tmp_path / 'all.db'}"
    for name, changes in (("one", []), ("two", ["decision.within=0.5"])):
        tune(study, tmp_path / name, changes=changes, storage=url)
    names = optuna.get_all_study_names(storage=url)
    assert len(names) == 2 and names[0] == "small" and names[1].startswith("small-")
    assert [len(trials(url, name)) for name in names] == [8, 8]
