from __future__ import annotations

from pathlib import Path

import pytest

from pba.errors import StudyError
from pba.study.definition import (
    DEFAULT_SPACE,
    Range,
    StudyDefinition,
    parse_definition,
    quickstart,
    read_definition,
)

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
    traces = ["one", "t/*.parquet"]
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
    )


@pytest.mark.parametrize(
    ("table", "line", "says"),
    [
        ("", "points = 3", "points: unknown key"),
        ("", "description = 3", "description: expected a text, found 3"),
        ("", "traces = []", "traces: expected a list"),
        ("", "traces = [1]", "traces: expected a list"),
        ("", "search = 1", "search: expected a table, found 1"),
        ("", "search = ", "not a TOML file"),
        ("search", "point = 3", "[search] point: unknown key (known here: points, seed, sampler)"),
        ("search", 'points = "many"', "[search] points: expected a whole number from 1, found 'many'"),
        ("search", "points = 0", "[search] points: expected a whole number from 1, found 0"),
        ("search", "points = true", "[search] points: expected a whole number"),
        ("search", "seed = -1", "[search] seed: expected a whole number from 0 to 4294967295, found -1"),
        ("search", 'sampler = "grid"', '[search] sampler: expected one of "tpe", "nsga2", "random"'),
        ("machine", "page_size_kib = 8", 'page_size_kib: expected one of "trace", 4, 16, 64, found 8'),
        ("machine", "page_size_kib = []", "[machine] page_size_kib: expected"),
        ("machine", "memory = 4", "[machine] memory: expected"),
        ("machine", 'linear_map = "pte"', "[machine] linear_map: expected one of"),
        ("space.batch", "low = 9\nhigh = 8", "[space.batch] high: expected at least low = 9, found 8"),
        ("space.batch", "low = 0", "[space.batch] low: expected a whole number from 1"),
        ("space.batch", 'log = "yes"', "[space.batch] log: expected true or false"),
        ("space.unshrinkable_pages", "low = 0", "low: expected at least 1 on a log scale"),
        ("space.shrink_block_min_pages", "high = 513", "expected a whole number from 1 to 512"),
        ("space.U", "low = 1", "[space] U: unknown key"),
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
