from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pba.errors import StudyError
from pba.study.aims import KNOWN_AIMS
from pba.study.definition import (
    DEFAULT_CONSTRAINTS,
    DEFAULT_SPACE,
    Choice,
    Limit,
    Range,
    StudyDefinition,
)
from pba.study.shipped import quickstart
from pba.study.study_file import parse_definition, read_definition

HERE = Path("x.toml")


def test_the_quickstart_says_what_the_defaults_are() -> None:
    assert read_definition(quickstart()) == StudyDefinition(
        name="quickstart",
        description=read_definition(quickstart()).description,
    )


def test_the_quickstart_tries_at_least_300_points() -> None:
    assert read_definition(quickstart()).points >= 300


def test_a_name_is_enough() -> None:
    study = parse_definition('name = "a"', HERE)
    assert study.space == DEFAULT_SPACE
    assert (study.traces, study.page_size_kib, study.memory_bytes) == (("*",), None, None)
    assert study.linear_map == ""


def test_every_key_is_read() -> None:
    text = """
    name = "b.2"
    description = "d"
    aims = ["all_splits", {name = "peak_cached", over = "sum"}, "block_mapped_share"]
    traces = {train = ["one", "t/*.parquet"], held_out = ["two"]}
    [machine]
    page_size_kib = 16
    memory = "1.5 GiB"
    linear_map = "pmd"
    [space.unshrinkable_pages]
    low = 0
    high = 9
    log = false
    [space.batch]
    low = 32
    [search]
    points = 7
    seed = 0
    sampler = "nsga2"
    sweep = false
    [constraints]
    peak_cached_mib = 64
    refills = {least = 1}
    [decision]
    rule = "least-regret"
    loss = 0.1
    within = 0.25
    [groups]
    first = ["one"]
    """
    study = parse_definition(text, HERE)
    assert study == StudyDefinition(
        name="b.2",
        description="d",
        traces=("one", "t/*.parquet"),
        page_size_kib=16,
        memory_bytes=3 << 29,
        linear_map="pmd",
        space={
            "unshrinkable_pages": Range(0, 9, False),
            "shrink_block_min_pages": DEFAULT_SPACE["shrink_block_min_pages"],
            "batch": Range(32, DEFAULT_SPACE["batch"].high, True),
        },
        points=7,
        seed=0,
        sampler="nsga2",
        sweep=False,
        held_out=("two",),
        aims=(
            KNOWN_AIMS["all_splits"],
            replace(KNOWN_AIMS["peak_cached"], over="sum"),
            KNOWN_AIMS["block_mapped_share"],
        ),
        constraints={
            **DEFAULT_CONSTRAINTS,
            "peak_cached_mib": Limit(None, 64.0),
            "refills": Limit(1.0, None),
        },
        choice=Choice("least-regret", 0.1, 0.25),
        groups={"first": ("one",)},
    )


def test_words_can_be_changed_from_outside() -> None:
    study = parse_definition(
        'name = "a"', HERE, ["search.points=12", "search.sampler=random", 'traces=["x"]']
    )
    assert (study.points, study.sampler, study.traces) == (12, "random", ("x",))
    for change, says in (
        ("search.pints=3", "[search] pints: unknown key (did you mean points?"),
        ("points", "expected a key and its value"),
        ("=3", "expected a key and its value"),
        ("name.x=3", "name is no table"),
    ):
        with pytest.raises(StudyError) as caught:
            parse_definition('name = "a"', HERE, [change])
        assert says in str(caught.value)


@pytest.mark.parametrize(
    ("table", "line", "says"),
    [
        ("", "points = 3", "points: unknown key"),
        ("", "description = 3", "description: expected a text, found 3"),
        ("", "traces = []", "traces: expected a list"),
        ("", "traces = [1]", "traces: expected a list"),
        ("", "search = 1", "search: expected a table, found 1"),
        ("", "search = ", "not a TOML file"),
        (
            "search",
            "point = 3",
            "[search] point: unknown key (did you mean points? known: points, seed, sampler, sweep)",
        ),
        ("search", 'points = "many"', "[search] points: expected a whole number from 1, found 'many'"),
        ("search", "points = 0", "[search] points: expected a whole number from 1, found 0"),
        ("search", "points = true", "[search] points: expected a whole number"),
        ("search", "seed = -1", "[search] seed: expected a whole number from 0 to 4294967295, found -1"),
        ("search", 'sampler = "grid"', '[search] sampler: expected one of "tpe", "nsga2", "random"'),
        ("machine", "page_size_kib = 8", 'page_size_kib: expected one of "trace", 4, 16, 64, found 8'),
        ("machine", "page_size_kib = []", "[machine] page_size_kib: expected"),
        ("machine", "memory = 4", "[machine] memory: expected"),
        ("machine", 'linear_map = "pte"', "[machine] linear_map: expected one of"),
        ("machine", "fragmented = 1.5", "[machine] fragmented: expected a number from 0 to 1"),
        ("machine", "fragmented_seed = -1", "[machine] fragmented_seed: expected a whole number from 0"),
        ("machine", "memory_from_trace = 1", "[machine] memory_from_trace: expected true or false"),
        (
            "machine",
            "fragmented = 0.5\nmemory_from_trace = true",
            "[machine] fragmented: expected no share beside memory_from_trace",
        ),
        ("space.batch", "low = 9\nhigh = 8", "[space.batch] high: expected at least low = 9, found 8"),
        ("space.batch", "low = 0", "[space.batch] low: expected a whole number from 1"),
        ("space.batch", 'log = "yes"', "[space.batch] log: expected true or false"),
        ("space.unshrinkable_pages", "low = 0", "low: expected at least 1 on a log scale"),
        ("space.shrink_block_min_pages", "high = 513", "expected a whole number from 1 to 512"),
        ("space.U", "low = 1", "[space] U: unknown key"),
        ("", 'aims = ["pmd_split"]', "aims: no aim is called 'pmd_split' (did you mean pmd_splits?"),
        ("", "aims = []", "aims: expected one to 3 names of aims"),
        ("", 'aims = ["pmd_splits", "pmd_splits"]', "aims: expected each aim once"),
        (
            "",
            'aims = [{name = "refills", over = "median"}]',
            'aims: expected over to be "sum", "mean", "worst"',
        ),
        ("", 'aims = [{name = "refills", per = 1}]', "aims: expected one to 3 names of aims"),
        ("decision", 'rule = "best"', '[decision] rule: expected one of "fewest-within"'),
        ("decision", "loss = 2", "[decision] loss: expected a number from 0 to 1, found 2"),
        ("decision", "los = 0.1", "[decision] los: unknown key (did you mean loss?"),
        ("constraints", "peak = 3", "[constraints]: no aim is called 'peak'"),
        ("constraints", "deadlocks = -1", "deadlocks: expected a figure that can be: none is below 0"),
        ("constraints.refills", "least = 4\nmost = 3", "expected least = 4 to be no more than most = 3"),
        ("constraints.refills", "lest = 4", "[constraints.refills] lest: unknown key (did you mean least?"),
        ("groups", "arm = []", "[groups] arm: expected a list of names"),
        ("traces", "held = []", "[traces] held: unknown key (did you mean held_out?"),
    ],
)
def test_what_is_wrong_is_named(table: str, line: str, says: str) -> None:
    header = f"[{table}]\n" if table else ""
    with pytest.raises(StudyError) as caught:
        parse_definition(f'name = "a"\n{header}{line}', HERE)
    assert str(caught.value).startswith("x.toml: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the key name is missing"),
        ("name = 3", "name: expected a text, found 3"),
        ('name = "../x"', "name: expected letters"),
    ],
)
def test_a_study_has_a_name_that_a_folder_can_have(text: str, says: str) -> None:
    with pytest.raises(StudyError, match=says):
        parse_definition(text, HERE)


def test_a_missing_file_and_a_foreign_one(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such study file"):
        read_definition(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="cannot be read as a study file"):
        read_definition(tmp_path / "bytes.toml")
    with pytest.raises(StudyError, match="cannot be read as a study file"):
        read_definition(tmp_path)
