"""What is sent of a run: letter, mmtests, patch, JSON; each number is one of the raw results."""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pba.cli.app import run as pba
from pba.report.kernel_patch import FILE, diff, kernel_patch
from pba.report.mail import MOST_PROSE, cover_letter, mmtests
from pba.report.plain_data import SCHEMA, plain_data
from pba.report.write import write_report
from pba.study.result import POINTS_FILE, Run
from pba.study.space import PATCH_POINT, Point
from tests.study.study_fixture import finished_run

# What v6 has at these lines, and something else before: only what a patch's context needs.
V6 = """\
#include <linux/mm.h>

/* Shrinker */

/* Keep some pages around to avoid shrinking causing a refill right away */
#define PBA_UNSHRINKABLE_PAGES 16
/* Don't shrink a block that is almost full to avoid excessive splitting */
#define PBA_SHRINK_BLOCK_MIN_PAGES (BLOCK_NR_PAGES / 8)

static unsigned long count_shrinkable_pages(void)
{
}

	shrinker->count_objects = pba_shrink_count;
	shrinker->scan_objects = pba_shrink_scan;
	shrinker->seeks = 0;
	shrinker->batch = BLOCK_NR_PAGES;
	shrinker_register(shrinker);
	return 0;
}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("sent"))


def test_the_letter_is_short_plain_and_narrow(run: Run) -> None:
    letter = cover_letter(run)
    assert letter.isascii()
    lines = letter.splitlines()
    table = [line for line in lines if line.startswith("  ")]
    prose = [line for line in lines if not line.startswith("  ")]
    assert len([line for line in prose if line]) <= MOST_PROSE
    assert all(len(line) <= 72 for line in prose if not line.startswith("Subject:"))
    assert run.study.description in " ".join(prose)
    assert any(run.command in line for line in lines)
    assert len(table) == 1 + len(run.decision.compared) + 1  # type: ignore[union-attr]


def test_the_letters_figures_are_those_of_the_replays(run: Run) -> None:
    rows = {
        line.split("  ")[1].strip(): line for line in cover_letter(run).splitlines() if line.startswith("  ")
    }
    for name, number in (("patch", run.patch), ("recommended", run.recommended)):
        replays = run.per_trace.loc[number]
        splits, pages = replays["pmd_splits"].sum(), replays["mean_cached_pages"].mean()
        assert re.search(rf" {splits:,}\b.* {pages:,.0f}\b", rows[name]), rows[name]


def test_mmtests_has_the_patch_first_and_gains_as_positive(run: Run) -> None:
    head, *rows = mmtests(run).splitlines()
    assert head.split() == ["patch", "whole-blocks-only", "never-shrink", "shrink-everything", "recommended"]
    assert len(rows) == len(run.aims) * (1 + len(run.traces))
    for line in rows:
        cells = re.findall(r"(-?[\d.]+) ([(*]) *(-?[\d.]+|-?inf)%[)*]", line)
        assert len(cells) == 5
        assert cells[0][1:] == ("(", "0.00")
        before = float(cells[0][0])
        for after, _, gain in cells[1:]:
            if before and "inf" not in gain:
                # Both figures are rounded to hundredths; a gain follows from the exact ones.
                off = 100 * 0.01 * (before + float(after)) / before**2 + 0.01
                assert abs(100 * (before - float(after)) / before - float(gain)) <= off
    assert run.decision is not None
    marked = {name: [change["better"] != 0 for change in run.decision.changes_of(name, "patch")] for name in (
        "whole blocks only", "never shrink", "shrink everything", "recommended",
    )}  # fmt: skip
    for at in range(len(run.aims)):
        signs = re.findall(r"-?[\d.]+ ([(*])", rows[at * (1 + len(run.traces))])
        assert [sign == "*" for sign in signs[1:]] == [flags[at] for flags in marked.values()]


def applied(folder: Path, patch: str) -> str:
    file = folder / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(V6, encoding="utf-8")
    (folder / "x.patch").write_text(patch, encoding="utf-8")
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    subprocess.run(["git", "apply", "x.patch"], cwd=folder, check=True)
    return file.read_text(encoding="utf-8")


def test_the_patch_applies_and_changes_the_three_values_alone(tmp_path: Path) -> None:
    changed = applied(tmp_path, "Subject: x\n\nwhy\n---\n" + diff(Point(256, 480, 1024))).splitlines()
    before = V6.splitlines()
    differing = [(old, new) for old, new in zip(before, changed, strict=True) if old != new]
    assert [new.strip() for _, new in differing] == [
        "#define PBA_UNSHRINKABLE_PAGES 256",
        "#define PBA_SHRINK_BLOCK_MIN_PAGES (BLOCK_NR_PAGES * 15 / 16)",
        "shrinker->batch = BLOCK_NR_PAGES * 2;",
    ]


@given(st.builds(Point, st.integers(0, 20000), st.integers(1, 512), st.integers(1, 8192)))
def test_the_values_in_c_are_the_points_on_every_page_size(point: Point) -> None:
    text = diff(point)
    assert (text == "") == (point == PATCH_POINT)
    added = {line[1:].split("=")[0].strip(): line for line in text.splitlines() if line.startswith("+")}
    for sign, value in (
        ("PBA_SHRINK_BLOCK_MIN_PAGES", point.shrink_block_min_pages),
        ("shrinker->batch", point.batch),
    ):
        line = next((line for line in added.values() if sign in line), None)
        if line is None:
            continue
        shares = re.search(r"BLOCK_NR_PAGES(?: \* (\d+))?(?: / (\d+))?", line)
        assert shares is not None
        assert Fraction(int(shares[1] or 1), int(shares[2] or 1)) == Fraction(value, 512)
    for line in text.splitlines():
        if line.startswith("+#define PBA_UNSHRINKABLE"):
            assert line.endswith(f" {point.unshrinkable_pages}")


def test_the_message_of_the_patch_holds_its_evidence(run: Run, tmp_path: Path) -> None:
    text = kernel_patch(run)
    if not text:
        assert run.decision is not None and run.decision.recommended == PATCH_POINT
        return
    assert applied(tmp_path, text) != V6
    message = text.split("\n---\n")[0]
    assert run.command in message
    assert "Signed-off-by" not in message
    assert message.isascii()


def test_the_json_is_what_its_schema_says_and_what_the_run_holds(run: Run) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data: dict[str, Any] = plain_data(run)
    jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
    decision = json.loads((run.folder / "decision.json").read_text(encoding="utf-8"))
    assert {**data["decision"], "recommended": list(data["decision"]["recommended"].values())} == decision
    assert [row["trace"] for row in data["traces"]] == list(run.traces["trace"])
    for wrong in (
        {**data, "more": 1},
        {**data, "points": "1"},
        {key: data[key] for key in data if key != "answer"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema, cls=jsonschema.Draft202012Validator)


def test_the_report_holds_them_and_the_command_prints_them(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path for path in write_report(run, tmp_path / "report")}
    for form, name in (("letter", "cover-letter.txt"), ("mmtests", "mmtests.txt"), ("json", "summary.json")):
        assert pba(["report", str(run.folder), "--format", form]) == 0
        assert capsys.readouterr().out == files[name].read_text(encoding="utf-8")
    assert pba(["report", str(run.folder), "--format", "fax"]) == 2
    assert "--format fax: no such form (use letter, mmtests, patch, json, pdf)" in capsys.readouterr().err

    monkeypatch.chdir(tmp_path)
    assert pba(["report"]) == 2
    assert "there is no run in runs/, sweep in sweeps/ or comparison in plots/" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(run.folder)
    assert pba(["report", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["study"]["name"] == run.study.name


def test_a_script_of_ones_own_gets_the_summary(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "mine"
    script.write_text('#!/bin/sh\necho "$PBA_RUN"; head -c 1; exit 3\n', encoding="utf-8")
    assert pba(["report", str(run.folder), "--exec", str(script)]) == 2
    assert "cannot be run: Permission denied" in capfd.readouterr().err
    script.chmod(0o755)
    assert pba(["report", str(run.folder), "--exec", str(script)]) == 3
    assert capfd.readouterr().out == f"{run.folder}\n{{"


def test_an_undecided_run_has_nothing_to_send(run: Run, tmp_path: Path) -> None:
    assert (run.folder / POINTS_FILE).exists()
    undecided = Run(**{**run.__dict__, "decision": None, "complete": False, "maps": run.maps.iloc[:0]})
    names = {path.name for path in write_report(undecided, tmp_path)}
    assert "report.html" in names
    assert not names & {"cover-letter.txt", "mmtests.txt", "thresholds.patch", "summary.json"}
