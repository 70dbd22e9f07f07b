"""The sentences follow from the numbers: other numbers, other sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pba.report.answers import (
    answers,
    caveats,
    folds,
    groups_in_short,
    held_out,
    hinges,
    per_recording,
    plain,
    searched,
    silent,
    verdict,
    which,
)
from pba.report.data import THRESHOLDS, interval_text, points_table, strip_table
from pba.report.summary import summarize_run
from pba.study.definition import Choice
from tests.report.report_fixture import corner_runs, equal_everywhere, make_run, outcome, traces_table

CORNERS = corner_runs()
MANY = tuple(f"recording-{place:02}" for place in range(12))


def text(parts) -> str:
    return " ".join(parts)


def section(run, key):
    return next(part for part in summarize_run(run).sections if part.key == key)


def better(u, m, b, trace):
    good = u >= 64 and m in (256, 448)
    return {
        **outcome(16, 64, 512, trace),
        "pmd_splits": 2 + trace if good else 20 + trace,
        "mean_cached_pages": 10.0,
    }


def test_a_better_point_is_said_to_be_with_numbers_and_interval():
    run = make_run(MANY, better)
    said = verdict(run)
    before, after = sum(20 + trace for trace in range(12)), sum(2 + trace for trace in range(12))
    assert said.startswith(run.decision.words + ": PMD splits fall from")
    assert (
        f"PMD splits fall from {before} to {after} (-{100 * (before - after) / before:.0f} %, 95 % interval"
        in said
    )
    assert "mean cached pages stay at 10" in said
    assert "against the patch, the best choice that needs no tuning" in said
    assert "in PMD splits that is more than the choice of recordings explains" in said


def test_what_is_paid_for_it_is_said_in_the_same_breath():
    def model(u, m, b, trace):
        row = better(u, m, b, trace)
        return {**row, "mean_cached_pages": 10.0 + trace if row["pmd_splits"] < 15 else 5.0 + trace}

    said = verdict(make_run(MANY, model, choice=Choice(within=3.0)))
    assert "mean cached pages rise from" in said
    assert said.endswith("recordings explains, and so is what is lost in mean cached pages.")
    assert "lost in" not in verdict(make_run(MANY, better))


def test_where_nothing_is_better_the_patch_is_kept():
    assert (
        verdict(make_run(model=equal_everywhere))
        == "Keep the patch's thresholds: by the rule no point is better."
    )


def test_luck_on_one_recording_is_no_result():
    run = corner_runs()["luck"]
    said = verdict(run)
    assert said.startswith("Keep the patch's thresholds: they do not matter here. The best point found, U=64")
    assert (
        "is not better by more than the choice of recordings explains: PMD splits fall from 360 to 330"
        in said
    )
    assert run.recommended == run.patch, "what is recommended is what the sentence says"
    strip = strip_table(run).set_index("name")
    assert strip.loc["recommended", "pmd_splits"] == strip.loc["patch", "pmd_splits"] == 360
    assert strip.loc["best found", "pmd_splits"] == 330
    assert "best found" in set(points_table(run)["role"]), "and the figure of the front shows it"


def test_one_recording_is_judged_by_itself_and_the_sentence_says_what_it_cannot_tell():
    said = verdict(corner_runs()["one-trace"])
    assert (
        "the best choice that needs no tuning; how far that holds for other programs one recording cannot"
        in said
    )
    assert "more than the choice of recordings explains" not in said


def test_a_plain_alternative_that_the_best_point_does_not_surely_beat_is_the_answer():
    def model(u, m, b, trace):
        splits = 0 if trace == 3 and u == 64 and m == 512 else 9 if m == 512 else 30
        return {**outcome(16, 64, 512, trace), "pmd_splits": splits, "mean_cached_pages": 10.0}

    run = make_run(MANY, model, choice=Choice(loss=0.0))
    said = verdict(run)
    assert said.startswith(
        'Choose "whole blocks only", U=16, M=a block, B=a block, which needs no tuning: PMD'
    )
    assert "PMD splits fall from 360 to 108 (-70 %" in said
    assert (
        "The best point found, U=64, M=a block" in said
        and "explains: PMD splits fall from 108 to 99 (-8.3" in said
    )
    assert list(run.decision.recommended) == [16, 512, 512]


def test_a_plain_alternative_is_the_answer_where_it_is():
    def model(u, m, b, trace):
        return {**outcome(16, 64, 512, trace), "pmd_splits": 0 if m == 512 else 9, "mean_cached_pages": 10.0}

    said = verdict(make_run(MANY, model))
    assert said.startswith('Choose "whole blocks only", U=16, M=a block, B=a block, which needs no tuning:')
    assert "PMD splits fall from 108 to 0 (-100 %" in said


def test_the_region_is_told_by_its_box_and_what_rounding_costs():
    run = make_run(MANY, better)
    said = text(which(run))
    region = run.decision.region
    assert f"{region['points']} of the {region['grid']} points of the grid" in said
    assert "are within 5 % of the patch's figure from the best" in said
    assert "U is `PBA_UNSHRINKABLE_PAGES`, M is `PBA_SHRINK_BLOCK_MIN_PAGES`" in said
    table = section(run, "region").tables[0]
    assert [row[2] for row in table.rows] == [f"{value:,}" for value in run.decision.recommended]


def test_a_block_is_told_for_each_page_size():
    traces = traces_table()
    assert "; a block has 512 pages of 4 KiB." in text(which(make_run(traces=traces)))
    traces["page_size_kib"] = [16, 4, 64]
    said = text(which(make_run(traces=traces)))
    assert "a block has 512 pages of 4 KiB, 2,048 pages of 16 KiB and 8,192 pages of 64 KiB." in said


def test_an_interval_without_width_is_not_told():
    change = {"kind": "relative", "estimate": -1.0, "low": -1.0, "high": -1.0, "before": 8, "after": 0}
    assert interval_text(change) == "-100 %"
    assert interval_text({**change, "estimate": -0.5, "low": None, "high": None}) == "-50 %"
    assert interval_text({**change, "estimate": -0.5, "low": -0.8}) == "-50 % (-80 to -100)"
    alone = text(which(make_run(names=("only",))))
    assert "95 % interval" not in alone and "?" not in alone


def test_every_plain_alternative_is_told_with_its_numbers():
    run = make_run()
    said = plain(run)
    patch = run.points.loc[run.patch]
    assert said[0].startswith(f"The patch: {patch.pmd_splits} splits")
    assert [line.split(":")[0] for line in said[1:]] == [
        "Whole blocks only",
        "Never shrink",
        "Shrink everything",
    ]
    for line, one in zip(said[1:], run.decision.compared[1:], strict=False):
        u, m, b = one.point
        splits = sum(outcome(min(u, 1 << 20), m, b, place)["pmd_splits"] for place in range(3))
        before = patch.pmd_splits
        verb = "fall" if splits < before else "rise"
        assert (f"PMD splits {verb} from {before} to {splits} (" in line) == (splits != before)
        assert (f"PMD splits stay at {before} and" in line) == (splits == before)


def test_groups_are_told_one_by_one():
    run = CORNERS["usual"]
    said = groups_in_short(run)
    assert [line.split(":")[0] for line in said] == ["small (1 recording)", "large (2 recordings)"]
    own = [outcome(*run.decision.recommended, place)["pmd_splits"] for place in (1, 2)]
    before = [outcome(16, 64, 512, place)["pmd_splits"] for place in (1, 2)]
    assert f"PMD splits {sum(before)} to {sum(own)}, -" in said[1]
    assert groups_in_short(make_run()) == () == groups_in_short(CORNERS["incomplete"])


def test_choices_without_a_recording_are_summed_up_on_it():
    run = make_run(MANY, better)
    said = folds(run)
    assert "the answer is the same in 12 of 12 cases" in said
    chosen = sum(row["chosen"][0] for row in run.decision.folds)
    assert (
        f"on the recordings left out PMD splits fall from {sum(20 + trace for trace in range(12))} to {chosen:.0f}"
        in said
    )
    assert "none can be left out" in folds(make_run(("only",)))
    assert folds(make_run(swept=False)) == ""


def test_held_out_recordings_are_told_apart():
    run = CORNERS["three-aims"]
    own = sum(outcome(*run.decision.recommended, place)["pmd_splits"] for place in (5, 6))
    before = sum(outcome(16, 64, 512, place)["pmd_splits"] for place in (5, 6))
    assert held_out(run).startswith(
        f"On 2 recordings held out from all of it PMD splits fall from {before} to {own}"
    )
    assert held_out(make_run()) == ""


def with_best_found(run):
    """Return a run as if the best point found were recommended: on three recordings it never surely is."""
    best = run.decision.passed_over.point
    assert best.unshrinkable_pages == 64
    same = (run.points[list(THRESHOLDS)] == list(best)).all(axis=1)
    return replace(run, recommended=int(run.points.index[same][0]))


def test_falls_and_rises_are_counted():
    def model(u, m, b, trace):
        row = outcome(16, 64, 512, trace)
        if u == 64:
            row = {**row, "pmd_splits": (0, 30, 500)[trace]}
        elif u == 16:
            row = {**row, "pmd_splits": (20, 20, 900)[trace]}
        else:
            row = {**row, "pmd_splits": 2000}
        return {**row, "mean_cached_pages": 10.0}

    run = with_best_found(make_run(model=model, choice=Choice(loss=0.0)))
    assert "PMD splits fall on 2 and rise on 1; mean cached pages are the same on 3" in per_recording(run)
    assert hinges(run) == ()

    def heavy(u, m, b, trace):
        row = model(u, m, b, trace)
        return {**row, "pmd_splits": (30, 30, 100)[trace]} if u == 64 else row

    assert text(hinges(with_best_found(make_run(model=heavy, choice=Choice(loss=0.0))))) == (
        "Without chromium-pages, PMD splits would rise from 40 to 60 (+50 %)."
    )


def test_what_does_not_react_is_counted_with_its_reason():
    def model(u, m, b, trace):
        return outcome(16, 64, 512, 0) if trace == 0 else outcome(u, m, b, trace)

    said = silent(make_run(model=model))
    assert said == (
        "Of 3 recordings with 120 shrinker passes in all, 1 does not react: configure-storm (no shrinker pass: the "
        "thresholds never act)."
    )
    assert silent(make_run()).startswith("3 recordings with 120 shrinker passes in all, and all react")
    assert silent(make_run(model=equal_everywhere)).startswith("Not at all: on none of 3 recordings")


def test_the_search_is_held_against_the_exact_front():
    run = make_run()
    found = run.decision.search
    said = searched(run)
    tried = int(run.points.searched.sum())
    assert said.startswith(f"The search tried {tried} points, whose front dominates")
    best = dict(zip(("U", "M", "B"), found["best"], strict=True))
    assert " ".join(f"{letter}={value}" for letter, value in best.items()) in said
    beyond = replace(run.decision, search={**found, "front_share": 1.001})
    assert "dominates more than the exact front of the grid, which it may leave" in searched(
        replace(run, decision=beyond)
    )
    assert searched(make_run(swept=False)).startswith(
        f"The search tried {tried} points. All figures are simulated"
    )


def test_an_incomplete_run_is_called_one_before_all_else():
    run = CORNERS["incomplete"]
    assert summarize_run(run).warnings[0].startswith("The run is not complete: 61 of 300 points")
    assert [answer.question for answer in answers(run)] == ["Which thresholds?"]
    assert "Not decided yet" in text(answers(run)[0].text)
    assert summarize_run(make_run()).warnings == ()


def test_every_question_is_answered():
    for name, run in CORNERS.items():
        found = answers(run)
        assert all(answer.text and all(answer.text) for answer in found), name
        assert len(found) == (1 if name == "incomplete" else 4)


def test_the_first_screen_and_the_terminal_have_the_same_caveats(capsys):
    from rich.console import Console

    from pba.cli.answer import show

    for name, run in CORNERS.items():
        if run.decision is None:
            assert caveats(run) == ()
            continue
        (told,) = (part for part in summarize_run(run).sections if part.key == "caveats")
        assert told.leads and told.bullets == (*groups_in_short(run), *caveats(run)), name
        show(run, Console(highlight=False, width=100))
        printed = " ".join(capsys.readouterr().out.split())
        assert all(" ".join(line.split()) in printed for line in caveats(run)), name


def test_a_handful_of_splits_is_called_one():
    assert "only 36 splits" not in text(caveats(make_run(model=equal_everywhere)))
    few = make_run(model=lambda u, m, b, trace: {**outcome(u, m, b, trace), "pmd_splits": 4})
    assert "only 12 splits in all, so that a single one more or less is 8.3 %" in text(caveats(few))


def test_a_recording_that_decides_alone_is_named():
    heavy = make_run(model=lambda u, m, b, trace: {
        **outcome(u, m, b, trace), "mean_cached_pages": (100.0 if trace == 1 else 1.0)})  # fmt: skip
    assert "postgres-pgbench alone has 98 % of all mean cached pages" in text(caveats(heavy))
    assert "alone has" not in text(caveats(make_run()))


def test_one_threshold_at_a_time_adds_up():
    run = make_run()
    table = section(run, "why").tables[0]
    moved = [row[0] for row in table.rows]
    names = zip("UMB", run.decision.recommended, (16, 64, 512), strict=True)
    assert moved == [letter for letter, new, old in names if new != old]
    mean = sum(float(row[5].replace(",", "")) for row in table.rows)
    patch, best = run.points.pmd_splits[run.patch], run.points.pmd_splits[run.recommended]
    assert mean == pytest.approx(best - patch, abs=0.05 * len(moved))


def test_imperfect_data_is_named_where_the_answers_are():
    traces = traces_table()
    traces.loc[1, "lost_events"] = 12
    run = make_run(traces=traces)
    assert "Imperfect data in 1 of 3 recordings (postgres-pgbench)" in text(caveats(run))
    assert section(run, "recordings").bullets == ("postgres-pgbench: 12 events lost.",)
    clean = make_run()
    assert "No recording lost events" in text(caveats(clean))
    assert section(clean, "recordings").bullets == ()


@pytest.mark.parametrize("counter", ["deadlocks", "alloc_failures", "pages_leaked"])
def test_a_sick_replay_is_called_one(counter):
    def model(u, m, b, trace):
        return {**outcome(u, m, b, trace), counter: 2}

    warnings = summarize_run(make_run(model=model)).warnings
    assert len(warnings) == 2 and "6 " in warnings[0]


def test_foreign_machines_are_said_to_stand_in_for_arm64():
    assert "3 of 3 recordings were not made on arm64" in text(section(make_run(), "limits").bullets)
    arm = make_run(traces=traces_table(architecture="aarch64"))
    assert "stand in" not in text(section(arm, "limits").bullets)


def test_scaling_to_other_page_sizes_is_said_only_where_it_happens():
    assert "scaled with the block" not in text(section(make_run(), "run").text)
    assert "scaled with the block" in text(
        section(make_run(traces=traces_table(page_size_kib=16)), "run").text
    )


def test_what_was_live_before_a_recording_is_unknown_rather_than_none():
    traces = traces_table()
    traces.loc[:1, "live_at_start"] = 0
    traces.loc[0, ["recall", "precision"]] = float("nan")
    table = section(make_run(traces=traces), "recordings").tables[1]
    place = [column.title for column in table.columns].index("live at start")
    assert [row[place] for row in table.rows] == ["-", "0", "2,113"]
