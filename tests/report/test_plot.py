"""`pba plot`, the figures of a trace, and what `pba info` says of the demand."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import pba
import pba.explore as explore
from pba.cli.app import run
from pba.cli.plot import stem
from pba.events import LEVEL_PTE
from pba.report.trace_figures import TRACE_PICTURES, trace_pictures
from pba.trace.metadata import Metadata
from tests.traces import sawtooth

KINDS = list(TRACE_PICTURES)
QUIET = "0 A 1\n1000 A 2\n"


@pytest.fixture(scope="module")
def saw() -> pba.Trace:
    return sawtooth(3, 300)


@pytest.fixture
def stored(saw: pba.Trace, tmp_path: Path) -> Path:
    return saw.write(tmp_path / "saw.parquet")


def test_each_figure_is_written_in_each_form(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "new" / "figures"
    assert run(["plot", str(stored), "-o", str(out)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.name for path in out.iterdir()} == {
        f"{kind}.{form}" for kind in KINDS for form in ("svg", "png", "csv")
    }
    assert sorted(printed) == sorted(out.iterdir())
    for kind in KINDS:
        assert (out / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.fromstring((out / f"{kind}.svg").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_a_plot_shows_its_table_and_gives_the_same_bytes(kind: str, saw: pba.Trace) -> None:
    plot, table = getattr(explore, f"plot_{kind}"), getattr(explore, f"df_{kind}")(saw)
    first, second = plot(saw), plot(saw)
    pd.testing.assert_frame_equal(first.data, table)
    assert first.name == kind
    assert first.svg() == second.svg() == first.svg()
    assert first.png() == second.png()
    assert re.search(r"\d", first.alt) and first.caption.endswith(".")
    assert first.figure.axes[-1].get_xlabel() and first.figure.axes[0].get_ylabel()


def test_csv_holds_the_data(stored: Path, tmp_path: Path, saw: pba.Trace) -> None:
    assert run(["plot", str(stored), "-o", str(tmp_path / "f"), "--kind", "drawdown", "--format", "csv"]) == 0
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["drawdown.csv"]
    read = pd.read_csv(io.StringIO((tmp_path / "f" / "drawdown.csv").read_text()))
    pd.testing.assert_frame_equal(read, explore.df_drawdown(saw))


def test_the_same_again_is_no_obstacle_and_other_contents_are_kept(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["plot", str(stored), "-o", str(tmp_path / "f"), "--kind", "live", "--format", "svg,csv"]
    assert run(command) == run(command) == 0
    mine = tmp_path / "f" / "live.csv"
    mine.write_text("precious")
    capsys.readouterr()
    assert run(command) == 2
    assert re.fullmatch(r"pba: .*live\.csv: exists already .*--force.*\n", capsys.readouterr().err)
    assert mine.read_text() == "precious"
    assert run([*command, "--force"]) == 0
    assert mine.read_text().startswith("seconds,")


def test_figures_without_data_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "quiet.events"
    path.write_text(QUIET)
    assert run(["plot", str(path), "-o", str(tmp_path / "f"), "--format", "csv"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [re.search("no figure (\\w+): ", line)[1] for line in lines] == ["lifetimes", "passes"]
    assert {file.stem for file in (tmp_path / "f").iterdir()} == set(KINDS) - {"lifetimes", "passes"}


BAD = {
    "none.parquet": "no such file|no recording",
    "GIVEN --kind passes": "nothing to draw: it has no shrinker pass",
    "GIVEN --kind pie": "'pie' is unknown",
    "GIVEN --format pdf": "'pdf' is unknown",
    "GIVEN --format ,": "is unknown",
    "GIVEN -o GIVEN": "is a file, not a folder",
    "GIVEN -o GIVEN/below": "cannot be written",
    "PASSES --kind live": "no page-table allocation",
    "PASSES --kind rates": "stand at one time",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_ends_in_one_line(
    arguments: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("GIVEN").write_text(QUIET)
    Path("PASSES").write_text("5 S 12\n")
    assert run(["plot", *arguments.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1 and re.search(BAD[arguments], output.err), output.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["GIVEN", "PASSES"]


def test_a_trace_of_nothing_has_nothing_to_draw() -> None:
    with pytest.raises(pba.PbaError, match="nothing to draw"):
        trace_pictures(pba.Trace.from_arrays({"time_ns": [5], "op": [4], "id": [1], "arg": [0]}))


@pytest.mark.parametrize("rows", [[(5, 0, 1, 0)], [(5, 0, 1, 0), (5, 1, 1, 0)], [(0, 0, 1, 0), (1, 1, 1, 0)]])
def test_the_smallest_traces_can_be_drawn(rows: list[tuple[int, ...]]) -> None:
    columns = dict(zip(("time_ns", "op", "id", "arg"), zip(*rows, strict=True), strict=True))
    made = pba.Trace.from_arrays({**columns, "level": [LEVEL_PTE] * len(rows)}, Metadata(name="small"))
    pictures, _ = trace_pictures(made)
    for picture in pictures:
        assert picture.png().startswith(b"\x89PNG")
        assert "nan" not in picture.alt


@pytest.mark.parametrize(
    ("name", "folder"),
    [("x.parquet", "x"), ("a/x.events.gz", "x"), ("arm64-4k-6.1.192", "arm64-4k-6.1.192"), (".gz", ".gz")],
)
def test_the_folder_is_named_after_the_trace(name: str, folder: str) -> None:
    assert stem(Path(name)) == folder


def test_figures_go_below_plots_unless_told(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["plot", str(stored), "--kind", "rates", "--format", "csv"]) == 0
    assert (tmp_path / "plots" / "saw" / "rates.csv").is_file()


def test_info_tells_the_demand(stored: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["info", str(stored), "--json"]) == 0
    demand = json.loads(capsys.readouterr().out)["demand"]
    assert demand["p99_free_burst_pages"] == 300
    assert demand["natural_cache_pages"] == 304
    assert run(["info", str(stored)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "natural cache size 304 pages" in text and "at most 300 pages" in text


def test_each_plot_of_pba_has_its_table_beside_it() -> None:
    plots = {name.removeprefix("plot_") for name in pba.__all__ if name.startswith("plot_")}
    tables = {name.removeprefix("df_") for name in pba.__all__ if name.startswith("df_")}
    assert tables >= plots >= {"live", "rates", "lifetimes", "bursts", "drawdown", "passes", "phases"}
    for kind in plots:
        assert getattr(pba, f"plot_{kind}") is getattr(explore, f"plot_{kind}")
        assert getattr(pba, f"df_{kind}") is getattr(explore, f"df_{kind}")
