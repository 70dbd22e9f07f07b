"""The sentences follow from the numbers: other numbers, other sentences."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from pba.report.answers import answers, flat_sentences, matter, sure, what, which
from pba.report.data import THRESHOLDS
from pba.report.summary import summarize_run
from pba.study.definition import Range, StudyDefinition
from tests.report.report_fixture import equal_everywhere, make_run, outcome, traces_table


def text(parts) -> str:
    return " ".join(parts)


def section(run, key):
    return next(part for part in summarize_run(run).sections if part.key == key)


def test_the_recommended_point_and_the_patch_are_named():
    run = make_run()
    best = run.points.loc[run.recommended]
    assert f"U={best.unshrinkable_pages:.0f} M={best.shrink_block_min_pages:.0f}" in text(which(run))
    assert "U=16 M=64 B=512" in text(which(run))
    assert "U is `PBA_UNSHRINKABLE_PAGES`, M is `PBA_SHRINK_BLOCK_MIN_PAGES`" in text(which(run))


def test_when_the_rule_picks_the_patch_nothing_is_bought():
    run = make_run(recommended=0)
    assert "the rule picks its own point" in text(which(run))
    assert "nothing is bought" in text(what(run))


def test_what_is_bought_has_the_numbers_and_their_direction():
    run = make_run([(16, 64, 512), (512, 64, 512)], recommended=1)
    patch, best = run.points.pmd_splits[0], run.points.pmd_splits[1]
    said = text(what(run))
    assert f"PMD splits fall from {patch} to {best}" in said
    assert "mean cached pages rise from" in said
    assert "splits fall on 3; mean cached pages rise on 3" in said
    assert "next to nothing" not in said


def test_equal_outcomes_are_said_to_be_equal():
    run = make_run([(16, 64, 512), (8, 8, 8)], model=equal_everywhere, recommended=1)
    said = text(what(run))
    assert "PMD splits stay at 36" in said and "buy nothing here" in said


def test_changes_within_5_percent_are_said_to_be_small():
    run = make_run([(16, 64, 512), (17, 64, 512)], recommended=1)
    assert "keeping the patch's values costs next to nothing here" in text(what(run))


def test_thresholds_that_do_nothing_are_said_to_do_nothing():
    run = make_run(model=equal_everywhere, recommended=0)
    assert text(matter(run)).startswith("No: all 61 tried points come to the same, 36 PMD splits")
    assert all("does not matter at all" in line for line in flat_sentences(run))


def test_thresholds_that_do_something_are_not_said_to_do_nothing():
    run = make_run()
    said = text(matter(run))
    assert said.startswith("Over the 61 tried points splits range from")
    assert "Moved alone, each of U, M and B changes an aim" in said
    assert not any("does not matter" in line or "hardly" in line for line in flat_sentences(run))


def test_one_point_says_nothing_about_what_matters():
    assert text(matter(make_run([(16, 64, 512)]))).startswith("Unknown: only one point was tried.")


def test_flatness_names_the_range_and_what_happens_beyond():
    def model(u, m, b, trace):
        return {**outcome(16, 64, 512, trace), "pmd_splits": 100 if 8 <= u <= 32 else 120}

    run = make_run([(16, 64, 512)], names=("only",), model=model)
    first, second, third = flat_sentences(run)
    assert first == (
        "U (`PBA_UNSHRINKABLE_PAGES`): between 8 and 32 pages both aims stay within 5 %; "
        "at 4 pages 120 splits instead of 100, mean cached unchanged; "
        "at 64 pages 120 splits instead of 100, mean cached unchanged."
    )
    assert "does not matter at all" in second and "does not matter at all" in third


def test_without_pressure_the_report_says_that_it_knows_nothing():
    run = make_run(traces=traces_table(passes=0))
    assert text(sure(run)).startswith("Not at all: no recording holds a shrinker pass")


def test_pressure_in_some_recordings_is_counted():
    assert "2 of 3 recordings hold shrinker passes, 120 in all; without any" in text(sure(make_run()))
    everywhere = make_run(traces=traces_table(passes=5))
    assert "Each of the 3 recordings holds shrinker passes, 15 in all." in text(sure(everywhere))
    alone = make_run(names=("only",), traces=traces_table(("only",), passes=5))
    assert "The recording holds 5 shrinker passes." in text(sure(alone))


def test_imperfect_data_is_named_where_the_answers_are():
    traces = traces_table()
    traces.loc[1, "lost_events"] = 12
    run = make_run(traces=traces)
    assert "Imperfect data in 1 of 3 recordings (postgres-pgbench)" in text(sure(run))
    assert section(run, "recordings").bullets == ("postgres-pgbench: 12 events lost.",)
    clean = make_run()
    assert "No recording lost events" in text(sure(clean))
    assert section(clean, "recordings").bullets == ()


def test_an_incomplete_run_is_called_one_before_all_else():
    run = make_run(complete=False)
    assert summarize_run(run).warnings[0].startswith("The run is not complete: 61 of 61 points")
    assert section(run, "flatness").bullets == ()
    assert summarize_run(make_run()).warnings == ()


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


def test_a_long_front_is_thinned_to_a_table_that_keeps_ends_and_marks():
    thresholds = [(16, 64, 512), *((4 + 7 * step, 64, 512) for step in range(200))]

    def model(u, m, b, trace):
        return {**outcome(16, 64, 512, trace), "pmd_splits": 5000 - u, "mean_cached_pages": 1 + u / 100}

    run = make_run(thresholds, model=model, recommended=77)
    table = section(run, "front").tables[0]
    assert len(table.rows) <= 16
    numbers = [int(row[0]) for row in table.rows]
    assert {0, 1, 77, 200} <= set(numbers)
    assert [table.rows[place][-1] for place in table.marked] == ["recommended"]


def test_every_question_is_answered():
    for run in (make_run(), replace(make_run(), flatness=pd.DataFrame(columns=["threshold", "value"]))):
        if "pmd_splits" not in run.flatness:
            run = replace(run, flatness=make_run(complete=False).flatness)
        assert [bool(answer.text) for answer in answers(run)] == [True] * 4


def test_a_handful_of_splits_is_called_one():
    assert "only 36 splits" not in text(sure(make_run(model=equal_everywhere)))
    few = make_run(model=lambda u, m, b, trace: {**outcome(u, m, b, trace), "pmd_splits": 4})
    assert "only 12 splits in all, so that a single one more or less is 8.3 %" in text(sure(few))


def test_a_recording_that_decides_alone_is_named():
    heavy = make_run(model=lambda u, m, b, trace: {
        **outcome(u, m, b, trace), "mean_cached_pages": (100.0 if trace == 1 else 1.0)})  # fmt: skip
    assert "postgres-pgbench alone has 98 % of the cached pages" in text(sure(heavy))
    assert "alone has" not in text(sure(make_run()))


def test_held_out_is_said_with_numbers_and_one_recording_cannot_be():
    assert "the rule picks the recommended point in 3 of 3 cases" in text(sure(make_run()))
    assert "splits are lower on 3; mean cached pages are lower on 3" in text(sure(make_run()))
    assert "none can be held out" in text(sure(make_run(names=("only",))))


def test_points_chosen_without_a_recording_are_summed_up_on_it():
    def model(u, m, b, trace):
        # U=8 is best where nobody looks at recording 2, where it is worst; U=512 the other way round.
        splits = {8: 10, 512: 19}.get(u, 20) if trace < 2 else {512: 0, 8: 950}.get(u, 940)
        return {**equal_everywhere(u, m, b, trace), "pmd_splits": splits}

    run = make_run([(16, 64, 512), (8, 64, 512), (512, 64, 512)], model=model)
    assert "each held out so, splits rise from 980 to 988 (+0.8 %)" in text(sure(run))
    table = section(run, "held-out").tables[0]
    assert (table.totals, table.rows[-1][6:8]) == (1, ("980", "988"))
    assert "Only the choice is held out" in text(section(run, "held-out").text)


def test_a_space_that_was_searched_to_its_end_is_said_to_be():
    space = {name: Range(value, value, False) for name, value in zip(THRESHOLDS, (16, 64, 512), strict=True)}
    study = StudyDefinition(name="small", points=100, space={**space, "batch": Range(511, 512, False)})
    whole = replace(make_run([(16, 64, 512), (16, 64, 511)]), study=study)
    assert "The search tried all 2 points of the space. All figures" in text(sure(whole))
    facts = dict(section(whole, "run").tables[0].rows)
    assert facts["points"].startswith("2 of 2,") and "asks for 100, the space has no more" in facts["points"]
    # The patch's own point may lie outside: it is tried all the same, and is none of the space's.
    part = replace(whole, study=study.with_(space={**space, "batch": Range(1, 511, False)}))
    assert "tried 1 of about 511 points of the space, so a better one may exist" in text(sure(part))


def test_one_split_more_or_less_is_called_one_where_it_is_more_than_5_percent():
    def run_with(splits):
        return make_run([(16, 64, 512)], names=("only",), model=lambda u, m, b, trace: {
            **outcome(u, m, b, trace), "pmd_splits": splits + (u > 16)})  # fmt: skip

    assert "With 19 splits at the recommended point" in text(section(run_with(19), "flatness").text)
    assert "With no split there" in text(section(run_with(0), "flatness").text)
    assert "less than one split" not in text(section(run_with(20), "flatness").text)
    assert "at 32 pages 20 splits instead of 19" in flat_sentences(run_with(19))[0]


def two_page_sizes():
    """Two recordings: 100 pages of 4 KiB and 100 of 16 KiB; U trades one for the other."""

    def model(u, m, b, trace):
        cached = {16: (100.0, 100.0), 8: (60.0, 110.0), 32: (130.0, 90.0)}.get(u, (200.0, 200.0))[trace]
        mib = cached * (4, 16)[trace] / 1024
        both = {"mean_cached_pages": cached, "mean_cached_mib": mib, "peak_cached_mib": mib}
        return {**equal_everywhere(u, m, b, trace), "pmd_splits": 50, **both}

    traces = traces_table(("small-pages", "large-pages"))
    traces["page_size_kib"] = [4, 16]
    thresholds = [(16, 64, 512), (8, 64, 512), (32, 64, 512)]
    return make_run(thresholds, names=("small-pages", "large-pages"), model=model, traces=traces)


def test_a_page_counts_as_one_whatever_its_size():
    run = two_page_sizes()
    assert list(run.points.mean_cached_pages) == [100.0, 85.0, 110.0]
    # In MiB it is the other way round: what the 16 KiB recording loses weighs four times as much.
    assert list(run.points.mean_cached_mib * 1024) == [1000.0, 1000.0, 980.0]
    assert run.front == [1] and run.recommended == 1
    said = text(what(run))
    assert "mean cached pages fall from 100 to 85 (-15 %)" in said
    assert "In MiB, where larger pages weigh more, the same mean stays at 1000 KiB." in said
    assert "mean cached pages fall on 1 and rise on 1" in said
    assert "In MiB" not in text(what(make_run()))


def test_a_fall_that_hangs_on_one_recording_is_said_to():
    def model(u, m, b, trace):
        pages = {16: (100.0, 100.0, 900.0), 8: (150.0, 130.0, 500.0)}.get(u, (900.0, 900.0, 900.0))[trace]
        return {**equal_everywhere(u, m, b, trace), "mean_cached_pages": pages}

    said = text(what(make_run([(16, 64, 512), (8, 64, 512)], model=model)))
    assert "mean cached pages fall from 367 to 260 (-29 %)" in said
    assert "Without chromium-pages, mean cached pages would rise from 100 to 140 (+40 %)." in said
    assert "Without" not in text(what(make_run()))


def test_what_was_live_before_a_recording_is_unknown_rather_than_none():
    traces = traces_table()
    traces.loc[:1, "live_at_start"] = 0
    traces.loc[0, ["recall", "precision"]] = float("nan")
    table = section(make_run(traces=traces), "recordings").tables[1]
    place = [column.title for column in table.columns].index("live at start")
    assert [row[place] for row in table.rows] == ["-", "0", "2,113"]
