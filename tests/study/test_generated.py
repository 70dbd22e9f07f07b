"""Traces that a study generates for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import pba
from pba.errors import StudyError
from pba.study.generated import Generated
from pba.study.inputs import read_inputs
from pba.study.study_file import parse_definition

STUDY = """
name = "made"
[[generated]]
workload = "fork-storm"
duration = "20s"
page_size_kib = [4, 16]
memory = ["512 MiB", "1 GiB"]
parameters = {rate = 20}
[[generated]]
workload = "fork-storm"
name = "apart"
seed = [1, 2]
events = 5000
held_out = true
[search]
points = 9
sampler = "random"
[space.unshrinkable_pages]
high = 64
[space.batch]
low = 64
high = 512
"""


def test_lists_make_every_combination() -> None:
    study = parse_definition(STUDY, None)
    assert study.traces == ()
    assert [one.name for one in study.generated] == [
        "fork-storm-4k-512MiB", "fork-storm-4k-1GiB", "fork-storm-16k-512MiB", "fork-storm-16k-1GiB",
        "apart-s1", "apart-s2",
    ]  # fmt: skip
    assert study.generated[1] == Generated(
        "fork-storm-4k-1GiB", "fork-storm", 0, 20_000_000_000, None,
        (("rate", "20"), ("page_size", "4"), ("memory", "1024")),
    )  # fmt: skip
    assert [one.held_out for one in study.generated] == [False] * 4 + [True] * 2


def test_traces_are_what_pba_generate_makes_on_their_machines(tmp_path: Path) -> None:
    inputs = {one.name: one for one in read_inputs(parse_definition(STUDY, None), tmp_path)}
    made = pba.generate(
        "fork-storm", duration_ns="20s", parameters={"rate": 20, "page_size": 16, "memory": 512}
    )
    one = inputs["fork-storm-16k-512MiB"]
    assert one.trace.to_frame().equals(made.to_frame())
    assert (one.machine.page_size_kib, one.machine.memory_pages) == (16, 1 << 15)
    assert not list(tmp_path.iterdir())  # nothing is written before the folder is known to be right


def test_a_run_keeps_its_traces_and_does_not_make_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "made.toml"
    file.write_text(STUDY, encoding="utf-8")
    run = pba.tune(file, tmp_path / "run")
    assert len(run.traces) == 4 and len(run.held_out) == 2
    assert {path.stem for path in (run.folder / "traces").iterdir()} == {
        *run.traces["trace"],
        *run.held_out["trace"],
    }
    made: list[str] = []
    of = Generated.trace
    monkeypatch.setattr(Generated, "trace", lambda one: (made.append(one.name), of(one))[1])
    again = pba.tune(file, tmp_path / "run")
    assert made == []
    assert again.points.equals(run.points)
    # A file that was lost or changed is generated again, and what is done still holds.
    (run.folder / "traces" / "apart-s1.parquet").write_bytes(b"PAR1")
    with pytest.raises(StudyError, match=r"apart-s1\.parquet: damaged run folder"):
        pba.tune(file, tmp_path / "run")
    assert made == ["apart-s1"]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('workload = "fork-strom"', "fork-strom"),
        ('workload = "fork-storm"\nseeds = [1]', "[[generated]] seeds: unknown key (did you mean seed?"),
        ('workload = "fork-storm"\nparameters = {rats = 1}', "has no parameter 'rats'"),
        ('workload = "fork-storm"\nmemory = "3 KiB"', "memory: expected sizes of whole MiB"),
        ('workload = "fork-storm"\nduration = "long"', 'duration: expected a length such as "5min"'),
        ('workload = "fork-storm"\npage_size_kib = []', "page_size_kib: expected a value, or several"),
        ('workload = "fork-storm"\npage_size_kib = 8', "8"),
        ('name = "x"', "the key workload is missing"),
        ('workload = "fork-storm"\nname = "a/b"', "name: expected letters"),
        ('workload = "fork-storm"\nseed = -1', "-1"),
        ('workload = "fork-storm"\n[[generated]]\nworkload = "fork-storm"', "two are called 'fork-storm'"),
    ],
)  # fmt: skip
def test_what_cannot_be_generated_is_one_line(table: str, told: str) -> None:
    with pytest.raises(StudyError) as failure:
        parse_definition(f'name = "x"\n[[generated]]\n{table}', Path("x.toml"))
    message = str(failure.value)
    assert message.startswith("x.toml: ")
    assert told in message
    assert "\n" not in message


def test_a_study_whose_traces_are_all_held_out_is_refused(tmp_path: Path) -> None:
    study = parse_definition(
        'name = "x"\n[[generated]]\nworkload = "fork-storm"\nevents = 100\nheld_out = true', Path("x.toml")
    )
    with pytest.raises(StudyError, match="no trace has a say"):
        read_inputs(study, tmp_path)
