"""Studies without a file: what arguments say is what a file would say."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pba
from pba.errors import StudyError
from pba.machine import Machine
from pba.study.aims import KNOWN_AIMS, Aim
from pba.study.asked import Words, ask
from pba.study.definition import Choice, Limit, Range
from pba.study.folder import model_hash
from pba.study.result import RUN, load_run
from pba.study.study_file import differing_keys, inline, parse_definition
from tests.study.study_fixture import make_study, make_trace

SMALL_SPACE = {"U": (4, 64), "B": Range(64, 512, True), "shrink_block_min_pages": {"low": 32}}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what the same inputs always leave: all but Optuna's journal, the record that hashes it, and reports."""
    names = [path for path in sorted(folder.rglob("*")) if path.is_file() and "report" not in path.parts]
    kept = {str(path.relative_to(folder)): path.read_bytes() for path in names}
    return {name: content for name, content in kept.items() if name not in ("optuna.journal", "run.json")}


def test_arguments_say_what_a_file_would(tmp_path: Path) -> None:
    words = Words(
        traces=["pgbench", "arm64-*"],
        held_out=["chromium"],
        machine=Machine(16, 1 << 16, "pmd", "fragmented:0.25:7"),
        space=SMALL_SPACE,
        aims=["refills", {"name": "pmd_splits", "over": "worst"}, KNOWN_AIMS["peak_cached"]],
        constraints={"refills": 9, "peak_cached": Limit(most=100), "scan_calls": {"least": 1}},
        rule=Choice("least-regret", 0.1, 0.2),
        groups={"one": ["pgbench*"]},
        sampler="random",
        sweep=False,
        name="mine",
        description="Why?",
    )
    study = ask(None, tmp_path, words, ["search.points=40"]).definition
    same = """
    name = "mine"
    description = "Why?"
    aims = ["refills", {name = "pmd_splits", over = "worst"}, "peak_cached"]
    traces = {train = ["pgbench", "arm64-*"], held_out = ["chromium"]}
    machine = {page_size_kib = 16, memory = "1 GiB", linear_map = "pmd", fragmented = 0.25, fragmented_seed = 7}
    constraints = {refills = 9, peak_cached = 100, scan_calls = {least = 1}}
    decision = {rule = "least-regret", loss = 0.1, within = 0.2}
    groups = {one = ["pgbench*"]}
    search = {points = 40, sampler = "random", sweep = false}
    [space]
    unshrinkable_pages = {low = 4, high = 64}
    batch = {low = 64, high = 512, log = true}
    shrink_block_min_pages = {low = 32}
    """
    assert study == parse_definition(same, None)


def test_arguments_beside_a_file_change_its_words(tmp_path: Path) -> None:
    file = make_study(tmp_path)
    words = Words(
        aims=["refills"], constraints={"scan_calls": 3}, held_out=["beta.parquet"], rule="least-regret"
    )
    asked = ask(file, None, words, [])
    assert asked.text == file.read_bytes()
    study = asked.definition
    assert [aim.name for aim in study.aims] == ["refills"]
    assert study.constraints["scan_calls"] == Limit(most=3)
    assert (study.held_out, study.choice.rule) == (("beta.parquet",), "least-regret")
    assert asked.folder == Path("runs/small")


def test_traces_in_memory_give_what_the_same_files_give(tmp_path: Path) -> None:
    file = make_study(tmp_path / "study", 20, "random")
    in_files = pba.tune(file, tmp_path / "files", workers=1)
    traces = [pba.read_trace(file.parent / f"{name}.parquet") for name in ("alpha", "beta")]
    space = {"U": {"high": 1024}, "B": (64, 2048)}
    run = pba.tune(
        traces=traces, space=space, points=20, seed=3, sampler="random", folder=tmp_path / "memory", workers=2
    )
    assert run.points.equals(in_files.points)
    assert run.decision == in_files.decision
    # The folder is whole: its own file makes the same run without the traces in memory.
    own = pba.tune(run.folder / "study.toml", tmp_path / "again", points=20, seed=3)
    assert own.points.equals(run.points)
    assert pba.read_trace(run.folder / "traces" / "alpha.parquet").metadata == traces[0].metadata


def test_other_traces_in_memory_are_another_study(tmp_path: Path) -> None:
    words: dict[str, Any] = {
        "space": SMALL_SPACE,
        "points": 9,
        "folder": tmp_path / "run",
        "sampler": "random",
    }
    pba.tune(traces=[make_trace("a", 1, 400)], **words)
    before = files_of(tmp_path / "run")
    with pytest.raises(StudyError, match="another content of the trace a"):
        pba.tune(traces=[make_trace("a", 2, 400)], **words)
    with pytest.raises(StudyError, match=r"another value of space\.batch\.high: 512, now 256"):
        pba.tune(
            traces=[make_trace("a", 1, 400)], **{**words, "space": {**SMALL_SPACE, "B": Range(64, 256, True)}}
        )
    assert files_of(tmp_path / "run") == before


def test_an_aim_of_ones_own_is_searched_swept_and_read_back(tmp_path: Path) -> None:
    def figure(kept: Mapping[str, Any]) -> Any:
        return kept["pmd_splits"] * 1000 + kept["scan_calls"]

    aims = [
        Aim("weighed", "points", over="mean", figure=figure, text="Splits and scans."),
        "mean_cached_pages",
    ]
    words: dict[str, Any] = {
        "traces": [make_trace("a", 1), make_trace("b", 2)],
        "space": SMALL_SPACE,
        "points": 20,
    }
    run = pba.tune(**words, aims=aims, folder=tmp_path / "run", workers=2)
    for (_, _), row in run.per_trace.iterrows():
        assert row["weighed"] == row["pmd_splits"] * 1000 + row["scan_calls"]
    assert run.decision is not None and run.decision.region
    best = run.decision.compared[-1].over(run.aims, run.decision.compared[0])
    assert best[0] == run.points["weighed"][run.recommended]
    # The grid knows the aim too: its figures are those of a replay.
    swept = pba.load_sweep(run.folder / "sweep").at(*run.decision.recommended).droplevel("setting")
    own = run.per_trace.loc[run.recommended]
    assert (swept["pmd_splits"] * 1000 + swept["scan_calls"]).to_dict() == own["weighed"].to_dict()
    again = load_run(run.folder)
    assert again.aims[0].to_dict() == run.aims[0].to_dict()
    assert again.points.equals(run.points)

    with pytest.raises(StudyError, match="weighed has a function of one's own"):
        pba.tune(run.folder / "study.toml", tmp_path / "other")
    other = [
        Aim(
            "weighed",
            "points",
            over="mean",
            figure=lambda kept: kept["refills_block"],
            text="Splits and scans.",
        )
    ]
    with pytest.raises(StudyError, match="another value of aims"):
        pba.tune(**words, aims=[*other, "mean_cached_pages"], folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"traces": []}, "traces: there are none"),
        ({"traces": ["pgbench"], "study": "quickstart"}, "a study file and traces are two things"),
        ({"traces": ["pgbench"], "aims": ["pmd_split"]}, "did you mean pmd_splits?"),
        ({"traces": ["pgbench"], "aims": [Aim("pmd_splits", figure=len)]}, "cannot be called 'pmd_splits'"),
        ({"traces": ["pgbench"], "rule": "best"}, "this study: [decision] rule: expected one of"),
        ({"traces": ["pgbench"], "space": {"U": 3}}, r"space: U: expected (low, high)"),
        ({"traces": ["pgbench"], "space": {"X": (1, 3)}}, "this study: [space] X: unknown key"),
        ({"traces": ["pgbench"], "groups": {"g": ["other"]}}, "no recording of the study is called other"),
        ({"traces": ["pgbench"], "constraints": {"refills": {"least": 3, "most": 1}}}, "least = 3 to be no more"),
        ({"study": "quickstrat"}, "did you mean quickstart?"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_are_one_line(words: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as failure:
        pba.tune(**words, folder=tmp_path / "run")
    assert told in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not (tmp_path / "run" / RUN.record).exists()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


@given(VALUES)
def test_values_on_one_line_are_read_back(value: Any) -> None:
    line = inline(value)
    assert "\n" not in line
    assert tomllib.loads(f"value = {line}")["value"] == value


def test_what_differs_between_two_files_is_named() -> None:
    assert list(differing_keys('a = 1\n[b]\nc = "x"', "a = 1\n[b]\nc = 2")) == [("value of b.c", "x", 2)]
    assert list(differing_keys("a = 1 # one", "a = 1")) == []
    assert list(differing_keys("a =", "a = 1")) == []


def test_the_hash_of_the_model_knows_aims() -> None:
    assert len(model_hash()) == 16
