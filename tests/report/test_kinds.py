"""Reports of runs, sweeps, batches and comparisons: each in every form, and each number one of the raw results."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest

import pba
from pba.cli.app import run as command
from pba.errors import PbaError, StudyError
from pba.probe.compare import load_comparison
from pba.probe.measures import MEASURES
from pba.report import write_report
from pba.report.columns import meaning
from pba.report.compare_figures import comparison_files
from pba.report.found import summary_of
from pba.report.load import latest, load
from pba.report.mail import MOST_PROSE
from pba.report.of_batch import Batch
from pba.report.of_sweep import named_figures
from pba.report.outputs import write_files
from pba.report.overview import write_overview
from pba.report.plain_data import SCHEMA
from pba.report.write import pdf_report
from pba.study.batch import Outcome
from pba.study.result import Run
from pba.study.space import PATCH_POINT, Point
from tests.study.study_fixture import finished_run

KINDS = ("run", "sweep", "batch", "comparison")
FOLDERS = {"run": "runs/small", "sweep": "sweeps/small", "batch": "runs", "comparison": "plots/rivals"}
THRESHOLDS = ("unshrinkable_pages", "shrink_block_min_pages", "batch")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each."""
    home = tmp_path_factory.mktemp("kinds")
    run = finished_run(home / "made")
    traces = [str(path) for path in run.traces["path"]]
    (home / "runs").mkdir()
    for name in ("small", "other"):
        shutil.copytree(run.folder, home / "runs" / name)
    outcomes = [
        Outcome(name, Path("runs") / name, pba.load_run(home / "runs" / name)) for name in ("small", "other")
    ]
    failed = Outcome("broken", Path("runs") / "broken", error=StudyError("no luck", "try again"))
    write_overview([*outcomes, failed], home / "runs")
    pba.sweep(
        traces, pba.Grid("4,16,64,256", "1,64,128,480,512", "64,512,1024"), folder=home / "sweeps" / "small"
    )
    found = pba.compare(traces, ["v6", "v6:U=64,M=480", "scattered"])
    (home / "plots" / "rivals").mkdir(parents=True)
    write_files(comparison_files(found, home / "plots" / "rivals"), home / "plots" / "rivals", False)
    return home


@pytest.fixture(scope="module")
def reports(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """Every report's files by their names."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        found[kind] = {path.name: path for path in write_report(load(home / FOLDERS[kind]), folder)}
    return found


def words(path: Path) -> str:
    """Return the words of a page, without its markup and typography."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        text = re.sub(r"<(style|svg|script)\b.*?</\1>", " ", text, flags=re.DOTALL)
        text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return " ".join(
        text.replace("\u2212", "-").replace("\u00a0", " ").replace("\\", "").replace("*", "").split()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_reported_in_every_form(kind: str, reports: dict[str, dict[str, Path]]) -> None:
    files = reports[kind]
    assert {
        "report.html",
        "report.md",
        "report.txt",
        "cover-letter.txt",
        "mmtests.txt",
        "summary.json",
    } <= set(files)
    letter = files["cover-letter.txt"].read_text(encoding="utf-8")
    prose = [line for line in letter.splitlines() if line and not line.startswith("  ")]
    assert letter.isascii() and len(prose) <= MOST_PROSE
    assert all(len(line) <= 72 for line in prose if not line.startswith("Subject:"))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    data = json.loads(files["summary.json"].read_text(encoding="utf-8"))
    jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
    assert data["kind"] == kind
    for wrong in (
        {**data, "kind": "fax"},
        {**data, "more": 1},
        {key: data[key] for key in data if key != "command"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema, cls=jsonschema.Draft202012Validator)
    assert files["report.html"].stat().st_size < 1_500_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_each_csv_says_what_each_column_is(
    kind: str, home: Path, reports: dict[str, dict[str, Path]]
) -> None:
    summary = summary_of(load(home / FOLDERS[kind]))
    tables = {**summary.tables, **{picture.name: picture.data for picture in summary.pictures}}
    assert len(tables) >= 1
    for name, table in tables.items():
        first, *rest = reports[kind][f"{name}.csv"].read_text(encoding="utf-8").splitlines()
        for column in map(str, table.columns):
            told = summary.columns.get(column) or meaning(column, summary.aims)  # raises where there is none
            assert f"{column}: {told}".replace("\n", " ") in first
        assert first.startswith("# ")
        assert list(next(csv.reader(rest))) == [str(column) for column in table.columns]
        read = pd.read_csv(io.StringIO("\n".join(rest)), keep_default_na=False)
        assert len(read) == len(table)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pdf_holds_it_and_is_the_same_again(kind: str, home: Path) -> None:
    found = load(home / FOLDERS[kind])
    content = pdf_report(found)
    assert content.startswith(b"%PDF-") and b"CreationDate" not in content
    assert content == pdf_report(found)
    summary = summary_of(found)
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") > len(summary.pictures) + 1


def test_what_was_written_last_is_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    marks = {"run": "runs/small/run.json", "sweep": "sweeps/small/sweep.json", "batch": "runs/overview.json",
             "comparison": "plots/rivals/comparison.json"}  # fmt: skip
    for at, (kind, name) in enumerate(marks.items()):
        later = 2_000_000_000 + at
        os.utime(home / name, (later, later))
        assert latest() == Path(FOLDERS[kind])
        assert command(["report", "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["kind"] == kind


def test_a_script_gets_each_kind(home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "mine"
    script.write_text('#!/bin/sh\necho "$PBA_RUN"; tr -d " \\n" | head -c 40\n', encoding="utf-8")
    script.chmod(0o755)
    for folder in FOLDERS.values():
        assert command(["report", str(home / folder), "--exec", str(script)]) == 0
        assert capfd.readouterr().out == printed(home / folder)


def printed(folder: Path) -> str:
    """Return what the script prints: the folder, and 40 characters of the summary without blanks."""
    text = json.dumps(summary_of(load(folder), drawn=False).data, indent=1)
    return f"{folder}\n{''.join(text.split())[:40]}"


def test_the_pdf_alone_is_written_where_it_is_wanted(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["report", str(home / "sweeps" / "small"), "--format", "pdf", "-o", str(tmp_path / "out")]
    assert command(given) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'report.pdf'}\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.pdf"]


def test_bad_folders_are_one_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    damaged = tmp_path / "damaged"
    shutil.copytree(home / "plots" / "rivals", damaged)
    (damaged / "over-time.csv").write_text("trace\n", encoding="utf-8")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "overview.json").write_text('{"studies": [{}]}', encoding="utf-8")
    for folder, told in (
        (tmp_path / "empty", "nothing to report: it has none of run.json, sweep.json"),
        (damaged, "cannot be read as a comparison (say pba compare -o again)"),
        (broken, "cannot be read as an overview (say pba tune STUDY STUDY again)"),
    ):
        assert command(["report", str(folder)]) == 2
        said = capsys.readouterr().err
        assert told in said and said.count("\n") == 1
    assert command(["report", str(home / FOLDERS["batch"]), "--format", "patch"]) == 2
    assert "a batch has no thresholds.patch" in capsys.readouterr().err


def test_a_comparison_read_back_is_the_one_that_was_written(home: Path, tmp_path: Path) -> None:
    read = load_comparison(home / "plots" / "rivals")
    again = {path.name: content for path, content in comparison_files(read, tmp_path).items()}
    for name in ("comparison.json", "measures.csv", "per-trace.csv", "over-time.csv"):
        assert again[name] == (home / "plots" / "rivals" / name).read_bytes()
    with pytest.raises(PbaError, match="cannot be read as a comparison"):
        load_comparison(tmp_path)


# --- each number, from the raw results ---


def replayed(run: Run, point: Point) -> pd.DataFrame:
    """Replay a point on every recording of a run, event by event: a row each."""
    rows = []
    for row in run.traces.to_dict("records"):
        machine = pba.Machine(row["page_size_kib"], row["memory_pages"], row["linear_map"])
        result = pba.replay(pba.read_trace(row["path"]), point.on(machine), machine, timeline=True)
        rows.append({"trace": row["trace"], **result.counters, "mean_cached_pages": result.mean_cached_pages})
    return pd.DataFrame(rows).set_index("trace")


def told(value: float) -> str:
    """Return a figure as every format has it, by the rule of the README: counts in full, means to three digits."""
    if float(value).is_integer() or abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def test_the_runs_numbers_are_the_replays_in_every_form(
    home: Path, reports: dict[str, dict[str, Path]]
) -> None:
    run, files = pba.load_run(home / "runs" / "small"), reports["run"]
    assert run.decision is not None
    texts = {
        name: words(files[name]) for name in ("report.html", "report.md", "report.txt", "cover-letter.txt")
    }
    data = json.loads(files["summary.json"].read_text(encoding="utf-8"))
    costs = pd.read_csv(files["costs.csv"], skiprows=1).set_index("cost")
    mmtests = files["mmtests.txt"].read_text(encoding="utf-8").splitlines()
    trials = pd.read_csv(files["trials.csv"], skiprows=1)
    raw = {one.name: replayed(run, one.point) for one in run.decision.compared}
    before = raw["patch"]
    for at, (one, plain) in enumerate(zip(run.decision.compared, data["decision"]["compared"], strict=True)):
        table = raw[one.name]
        splits, pages = int(table["pmd_splits"].sum()), float(table["mean_cached_pages"].mean())
        assert plain["figures"][0] == table["pmd_splits"].tolist()
        assert plain["figures"][1] == pytest.approx(table["mean_cached_pages"].tolist(), rel=1e-12)
        change = run.decision.changes_of(one.name, "patch")[0] if one.name != "patch" else None
        for name, text in texts.items():
            # A narrow table may be written in parts: the name stands in each of them.
            rows = [
                text[at.start() : at.start() + 160]
                for at in re.finditer(rf"(?<= ){re.escape(one.name)} ", text)
            ]
            assert any(re.search(rf" {re.escape(told(splits))}(?![\d,.])", row) for row in rows), (
                name,
                one.name,
            )
            assert any(re.search(rf" {re.escape(told(pages))}(?![\d,.])", row) for row in rows), (
                name,
                one.name,
            )
            if change and change["kind"] != "difference" and change["estimate"] not in (0, None):
                share = (splits - before.pmd_splits.sum()) / before.pmd_splits.sum()
                assert any(f" {100 * share:+,.0f} %" in row for row in rows), (name, one.name)
        cells = mmtests[1].split("  ")
        assert f"{splits:.2f} " in " ".join(cells)
        found = trials[(trials[list(THRESHOLDS)] == list(one.point)).all(axis=1)].iloc[0]
        assert (found.pmd_splits, found.mean_cached_pages) == (splits, pytest.approx(pages, rel=1e-12))
        for cost in costs.index:
            counters = str(costs.at[cost, "counters"]).split(" + ")
            assert costs.at[cost, one.name] == table[counters].to_numpy().sum(), (cost, at)
            text = texts["report.html"]
            assert told(int(costs.at[cost, one.name])) in text[text.index("What it costs") :]
    for recording in run.traces["trace"]:
        for name in ("report.html", "report.md", "report.txt"):
            for role in ("patch", "recommended"):
                assert told(float(raw[role].at[recording, "mean_cached_pages"])) in texts[name]


def test_the_sweeps_numbers_are_the_replays_in_every_form(
    home: Path, reports: dict[str, dict[str, Path]]
) -> None:
    result, files = pba.load_sweep(home / "sweeps" / "small"), reports["sweep"]
    setting = result.settings[0]
    data = json.loads(files["summary.json"].read_text(encoding="utf-8"))["settings"][0]
    letter = words(files["cover-letter.txt"])
    for name, (point, splits, pages) in named_figures(result, setting).items():
        rows = []
        for case in result.cases:
            trace = pba.read_trace(
                next(p for p in map(Path, result.traces["path"]) if p.name.startswith(case.trace))
            )
            rows.append(pba.replay(trace, point.on(case.machine), case.machine, timeline=True))
        assert splits == sum(one.counters["pmd_splits"] for one in rows)
        assert pages == pytest.approx(sum(one.mean_cached_pages for one in rows) / len(rows))
        row = letter[letter.index(f" {name} ") :]
        assert told(splits) in row[:90] and told(pages) in row[:90]
        for document in ("report.html", "report.md", "report.txt"):
            assert told(pages) in words(files[document])
        if name == "patch":
            assert (data["patch"]["pmd_splits"], data["patch"]["mean_cached_pages"]) == (splits, pages)
            assert point == PATCH_POINT
        if name == "recommended":
            assert data["recommended"] == point._asdict()


def test_the_batchs_numbers_are_its_runs(home: Path, reports: dict[str, dict[str, Path]]) -> None:
    batch, files = load(home / "runs"), reports["batch"]
    assert isinstance(batch, Batch) and len(batch.outcomes) == 3
    data = json.loads(files["summary.json"].read_text(encoding="utf-8"))
    studies = pd.read_csv(files["studies.csv"], skiprows=1)
    for row, run in zip([row for row in data["studies"] if not row["failed"]], batch.runs, strict=True):
        for figure in row["figures"]:
            ends = [float(run.points.at[at, figure["name"]]) for at in (run.patch, run.recommended)]
            assert [figure["patch"], figure["recommended"]] == pytest.approx(ends)
            own = studies[(studies["study"] == row["study"]) & (studies["aim"] == figure["name"])].iloc[0]
            assert [own.patch, own.recommended] == pytest.approx(ends)
            for name in ("report.html", "report.md", "report.txt", "cover-letter.txt"):
                assert told(ends[0]) in words(files[name]) and told(ends[1]) in words(files[name])
            for end in ends:
                assert f"{end:.2f} " in files["mmtests.txt"].read_text(encoding="utf-8")
    assert "broken failed: no luck (try again)" in words(files["report.html"])
    assert batch.command.startswith("pba tune ")


def test_the_comparisons_numbers_are_the_replays(home: Path, reports: dict[str, dict[str, Path]]) -> None:
    found, files = load_comparison(home / "plots" / "rivals"), reports["comparison"]
    run = pba.load_run(home / "runs" / "small")
    again = pba.compare(list(run.traces["path"]), ["v6", "v6:U=64,M=480", "scattered"])
    data = json.loads(files["summary.json"].read_text(encoding="utf-8"))
    measures = pd.read_csv(files["measures.csv"], skiprows=1).set_index("measure")
    for choice in again.choices:
        for name in MEASURES:
            value = float(again.totals.at[name, choice])
            assert data["totals"][choice][name] == value
            assert measures.at[name, choice] == pytest.approx(value, rel=1e-12)
        splits = int(again.totals.at["pmd_splits", choice])
        letter = words(files["cover-letter.txt"])
        assert re.search(rf"{re.escape(choice)} {told(splits)} ", letter)
        assert f"{splits:.2f} " in files["mmtests.txt"].read_text(encoding="utf-8").splitlines()[1]
    rows: dict[str, Any] = {row[0]: row[2:] for row in again.rows()}
    for label, cells in rows.items():
        for name in ("report.html", "report.md", "report.txt"):
            text = words(files[name])
            assert label.split(",")[0] in text and all(cell in text for cell in cells)
    assert found.choices == again.choices
