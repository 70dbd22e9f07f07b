"""What is in a trace, and what `pba info` and `pba replay` say of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pba
from pba.analysis.live import live_pages
from pba.analysis.summary import summarize_trace
from pba.cli.app import run
from pba.cli.info import render
from pba.cli.layout import columns, described
from pba.events import LEVEL_PMD, LEVEL_PTE, LEVEL_UNKNOWN
from pba.trace.metadata import Metadata, Quality, Truth
from pba.units import number

TINY = Path(__file__).resolve().parents[1] / "vectors" / "tiny.events.gz"

A, F, S, D, B, b = range(6)
EVENTS = [
    # time, op, id, arg, level, pfn
    (0, A, 1, 0, LEVEL_PTE, 511),
    (0, A, 2, 0, LEVEL_PTE, 512),
    (10, A, 3, 0, LEVEL_PMD, 1023),
    (20, F, 2, 0, LEVEL_UNKNOWN, 512),
    (30, S, 0, 12, LEVEL_UNKNOWN, -1),
    (40, F, 9, 0, LEVEL_UNKNOWN, 7),
    (50, B, 1, 3, LEVEL_UNKNOWN, -1),
    (60, S, 0, 0, LEVEL_UNKNOWN, -1),
    (70, A, 2, 0, LEVEL_UNKNOWN, 4096),
    (80, S, 0, 12, LEVEL_UNKNOWN, -1),
    (2_000_000_000, F, 1, 0, LEVEL_UNKNOWN, 511),
]


def recording(**metadata: object) -> pba.Trace:
    names = ("time_ns", "op", "id", "arg", "level", "pfn")
    arrays = dict(zip(names, map(list, zip(*EVENTS, strict=True)), strict=True))
    known: dict[str, object] = {"name": "hand-made", "page_size_kib": 4, "memory_pages": 16384}
    return pba.Trace.from_arrays(arrays, Metadata(**known | metadata))  # type: ignore[arg-type]


def test_the_figures() -> None:
    summary = summarize_trace(recording(quality=Quality(live_at_start=2)))
    assert summary.events == 11
    assert summary.duration_ns == summary.last_event_ns == 2_000_000_000
    assert summary.first_event_ns == 0
    assert summary.ops == {"A": 4, "F": 3, "S": 3, "D": 0, "B": 1, "b": 0}
    assert summary.levels == {"PMD": 1, "PTE": 2, "unknown": 1}
    assert (summary.live_start_pages, summary.live_peak_pages, summary.live_end_pages) == (2, 3, 2)
    assert summary.passes == {0: 1, 12: 2}
    assert summary.unknown_frees == 1


@pytest.mark.parametrize(
    ("source", "quality", "told"),
    [
        ("ftrace", Quality(live_at_start=None), "unknown at the start"),
        ("ftrace", Quality(live_at_start=2), "2 at the start"),
        ("tracefs", Quality(truth=Truth(100, 99, 98)), "0 at the start"),
        ("text", Quality(), "0 at the start"),
    ],
)
def test_what_was_live_before_an_imported_recording_is_unknown(
    source: str, quality: Quality, told: str
) -> None:
    screen = render(summarize_trace(recording(source=source, quality=quality)))
    line = next(line for line in screen.splitlines() if line.startswith("live pages"))
    assert line.split("  ")[-1].strip().startswith(told)


def test_live_pages_skip_frees_of_what_is_not_live() -> None:
    assert live_pages(recording()).tolist() == [1, 2, 3, 2, 2, 2, 2, 2, 3, 3, 2]


@pytest.mark.parametrize(("page_size_kib", "block", "touched"), [(4, 512, 3), (16, 2048, 2), (64, 8192, 1)])
def test_blocks_follow_from_the_page_size(page_size_kib: int, block: int, touched: int) -> None:
    blocks = summarize_trace(recording(page_size_kib=page_size_kib)).blocks
    assert blocks is not None
    assert blocks.block_nr_pages == block
    assert blocks.touched_blocks == touched
    assert blocks.distinct_pages == 4
    assert blocks.memory_blocks == 16384 // block


def test_blocks_are_unknown_without_page_frames_or_page_size() -> None:
    assert summarize_trace(recording(page_size_kib=None)).blocks is None
    assert summarize_trace(pba.read_trace(TINY)).blocks is None
    without_memory = summarize_trace(recording(memory_pages=None)).blocks
    assert without_memory is not None
    assert without_memory.memory_blocks is None


def test_an_empty_trace_has_a_summary() -> None:
    nothing = np.empty(0, np.int64)
    summary = summarize_trace(pba.Trace.from_arrays(dict.fromkeys(("time_ns", "op", "id", "arg"), nothing)))
    assert summary.events == summary.live_peak_pages == summary.live_end_pages == 0
    assert summary.levels == {}
    assert summary.passes == {}


def test_info_says_it_in_a_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quality = Quality(lost_events=5, truth=Truth(1000, 998, 997), notes=("A long note. " * 20,))
    path = recording(kernel="6.18.44", architecture="x86_64", quality=quality).write(tmp_path / "x.parquet")
    assert run(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) <= 40
    for expected in (
        "hand-made", "6.18.44 x86_64", "64 MiB (16,384 pages)", "2 s, 11 events", "PMD 1, PTE 2, unknown 1",
        "1 at 0, 2 at 12", "3 at the peak", "recall 99.70 %, precision 99.89 %", "1 false",
        "3 of the memory's 32, by 4 page frames",
    ):  # fmt: skip
        assert expected in text


def test_info_as_json_holds_plain_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recording(quality=Quality(truth=Truth(1000, 998, 997))).write(tmp_path / "x.parquet")
    assert run(["info", str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["file"] == str(path)
    assert values["passes"] == {"0": 1, "12": 2}
    assert values["page_size_kib"] == 4
    assert values["blocks"]["touched_blocks"] == 3
    assert values["quality"]["truth"]["recall"] == 0.997
    assert values["quality"]["truth"]["precision"] == pytest.approx(997 / 998)


def test_replay_prints_what_the_model_returns(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--unshrinkable-pages",
        "8",
        "--shrink-block-min-pages",
        "32",
        "--batch",
        "128",
        "--memory",
        "1GiB",
    ]
    assert run(["replay", str(TINY), *options, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    result = pba.replay(pba.read_trace(TINY), pba.Thresholds(8, 32, 128), pba.Machine(4, 262144))
    assert values == result.to_dict()
    assert run(["replay", str(TINY), *options]) == 0
    text = capsys.readouterr().out
    assert f"cache hash {result.cache_hash}" in text
    for name, row in result.to_frame().iterrows():
        assert any(
            line.startswith(f"{name} ") and f" {number(int(row['value']))} " in line
            for line in text.splitlines()
        ), name


def test_replay_takes_the_recorded_machine_and_its_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recording(page_size_kib=16).write(tmp_path / "x.parquet")
    assert run(["replay", str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["machine"] == {"page_size_kib": 16, "memory_pages": 16384, "linear_map": "contpmd"}
    assert values["thresholds"] == {"unshrinkable_pages": 16, "shrink_block_min_pages": 256, "batch": 2048}


def test_text_lines_up() -> None:
    assert columns([("a", "1"), ("bcd", "22")], "lr") == "a     1\nbcd  22"
    text = "eight or nine short words that need two lines"
    assert described([("label", text), ("", "x")], width=36) == (
        "label  eight or nine short words\n       that need two lines\n       x"
    )
