"""The same figure reads the same everywhere: in the report, in `pba info`, in `pba data`, and in the READMEs."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import pba
from pba.cli.app import run as command
from pba.model import machine_of
from pba.report.figures import region_picture
from pba.report.mail import cover_letter
from pba.report.renderers import render_text
from pba.report.slices import slices_picture, slices_table
from pba.report.summary import summarize_run
from pba.study.inputs import Input
from pba.trace.corpus import describe, recordings
from pba.units import fine_percent, format_bytes, format_time
from tests.report.report_fixture import corner_runs, make_run
from tests.study.study_fixture import finished_run

NAMES = ("jvm-heap-x86", "configure-x86", "stress-x86")
README = Path(__file__).resolve().parents[2] / "data" / "README.md"


@pytest.fixture(scope="module")
def said() -> str:
    """The report of a run on these recordings, as text."""
    rows = []
    for name in NAMES:
        trace = pba.read_trace(name)
        rows.append(Input(name, recordings()[name], "0" * 64, trace, machine_of(trace)).row())
    return render_text(summarize_run(make_run(NAMES, traces=pd.DataFrame(rows))), ())


def row_of(name: str) -> str:
    """Return the recording's row in the README's table of recordings."""
    table = README.read_text(encoding="utf-8").partition("<!-- recordings:")[2]
    return next(line for line in table.splitlines() if line.startswith(f"| `{name}`"))


@pytest.mark.parametrize("name", NAMES)
def test_precision_and_recall_read_the_same_everywhere(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = describe(name).metadata.quality.truth
    assert truth is not None
    # Rounded down: 428 true pages and 1 false one are 99.76 %, never 99.77 %.
    shares = [fine_percent(share) for share in (truth.recall, truth.precision)]
    assert [float(share.removesuffix(" %")) for share in shares] <= [
        100 * truth.recall,
        100 * truth.precision,
    ]
    assert " / ".join(shares) in row_of(name)
    for given in (["info", name], ["data", "show", name]):
        assert command(given) == 0
        assert f"recall {shares[0]}, precision {shares[1]}" in capsys.readouterr().out
    own = [re.findall(r"\b\d+\.\d\d %", line) for line in said.splitlines() if name in line]
    assert shares in own and all(found in ([], shares) for found in own)


@pytest.mark.parametrize("name", NAMES)
def test_a_length_reads_the_same_everywhere(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = describe(name).metadata
    assert known.duration_ns is not None
    length = format_time(known.duration_ns)
    assert f"| {length} |" in row_of(name)
    assert command(["info", name]) == 0
    assert re.search(rf"length +{re.escape(length)},", capsys.readouterr().out)
    assert command(["data", "list"]) == 0
    listed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(name))
    assert f" {length} " in listed
    # What a report counts is another length, and it says so.
    assert "first to" in said and format_time(pba.read_trace(name).duration_ns) in said


@pytest.mark.parametrize("name", NAMES)
def test_memory_reads_the_same_everywhere(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    memory = format_bytes(machine_of(pba.read_trace(name)).memory_bytes)
    assert memory in ("24 GiB", "1 GiB")
    assert f"4 KiB, {memory} |" in row_of(name)
    for given in (["info", name], ["data", "show", name]):
        assert command(given) == 0
        assert re.search(rf"memory +{memory} \(", capsys.readouterr().out)
    assert command(["data", "list"]) == 0
    listed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(name))
    assert f" {memory} " in listed and "1023" not in listed
    assert f"{memory}, 4 KiB pages" in said


def test_patch_is_the_patch_and_seed_is_for_random_numbers() -> None:
    for name, run in corner_runs().items():
        text = " ".join(render_text(summarize_run(run), ()).split())
        assert all(before.endswith("random ") for before in text.lower().split("seed")[:-1]), name
        if run.decision is not None:
            assert "seed" not in cover_letter(run)


def test_m_is_on_a_linear_axis_where_it_was_searched_so(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    region = region_picture(run).figure
    scales = {
        axes.get_xlabel()[:1]: axes.get_xscale() for axes in region.axes if axes.get_xlabel()[1:2] == " "
    }
    assert scales == {"U": "log", "M": "linear"}
    table = slices_table(run)
    figure = slices_picture(run, table).figure
    scales = {axes.get_xlabel()[:1]: axes.get_xscale() for axes in figure.axes if axes.get_xlabel()}
    assert scales == {"U": "log", "M": "linear", "B": "log"}


def test_lines_along_a_threshold_are_the_sweeps_points_and_cliffs_their_steepest(tmp_path: Path) -> None:
    from pba.report.slices import CLIFF_PAGES, cliffs

    run = finished_run(tmp_path)
    assert run.decision is not None
    table = slices_table(run)
    sweep = pba.load_sweep(run.folder / "sweep")
    names = ["unshrinkable_pages", "shrink_block_min_pages", "batch"]
    points = {one.name: one.point for one in run.decision.compared}
    for row in table.iloc[:: max(1, len(table) // 60)].to_dict("records"):
        point = points[row["through"]]._replace(**{row["threshold"]: int(row["value"])})
        own = sweep.at(*point)
        assert row["pmd_splits"] == own["pmd_splits"].sum()
        assert row["mean_cached_pages"] == pytest.approx(own["mean_cached_pages"].mean())
    assert set(table["threshold"]) == set(names)
    patch = run.points.loc[run.patch]
    for one in cliffs(run, table):
        line = table[(table["through"] == one.through) & (table["threshold"] == one.threshold)]
        figures = dict(zip(line["value"], line[one.aim.name], strict=True))
        assert (figures[one.low], figures[one.high]) == (one.before, one.after)
        assert abs(one.after - one.before) >= 0.1 * abs(float(patch[one.aim.name]))
        if one.threshold == "shrink_block_min_pages":
            assert one.high - one.low <= CLIFF_PAGES
            wide = [
                abs(figures[high] - figures[low])
                for low in figures for high in figures if 0 < high - low <= CLIFF_PAGES
            ]  # fmt: skip
            assert abs(one.after - one.before) == pytest.approx(max(wide))


def test_the_steepest_stretch_has_no_flat_ends() -> None:
    import numpy as np

    from pba.report.slices import steepest

    places = np.arange(9) / 4  # five neighbours are a length
    assert steepest(places, np.array([5, 5, 5, 4, 1, 1, 1, 1, 1.0])) == (2, 4)
    assert steepest(places, np.ones(9))[0] == steepest(places, np.ones(9))[1]
    assert steepest(np.array([0.0, 3.0]), np.array([1.0, 2.0])) == (0, 1)  # a step is never too long
