"""Rules, regions, folds and the decision itself, against loops over every point."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pba.study.aims import DEFAULT_AIMS, KNOWN_AIMS, Aim
from pba.study.decision.decide import decide, decide_from_table, maps
from pba.study.decision.decision import BETTER, NO_DIFFERENCE, PLAIN_ANSWER, Decision, Question
from pba.study.decision.evidence import ablation, choose, exact_front, hypervolume, importance, silent
from pba.study.decision.judge import Judge
from pba.study.decision.region import depth_of, in_words
from pba.study.decision.rules import RULES
from pba.study.definition import RULE_NAMES, Choice, Limit
from pba.study.space import ALTERNATIVES, PATCH_POINT, Point
from pba.study.sweep.grid import Grid
from tests.study.decision.decision_fixture import GRID, MadeOutcomes, brute, usual

THREE = ("one", "two", "three")
SMALL = Grid("8,16,32", "64,256,512", "256,512")


@st.composite
def made(draw: st.DrawFn) -> MadeOutcomes:
    """Draw outcomes with small whole figures, so that ties abound."""
    count = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 1 << 30))
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 6, (len(SMALL.with_patch()), count, 2))
    cells: dict[Point, int] = {}

    def model(point: Point, recording: int) -> dict[str, float]:
        at = cells.setdefault(point, len(cells)) % len(table)
        splits, cached = table[at, recording]
        return {"pmd_splits": float(splits), "mean_cached_pages": float(cached)}

    return MadeOutcomes(model, [f"r{at}" for at in range(count)], SMALL.with_patch())


def patch_values(outcomes: MadeOutcomes, chosen: list[int]) -> tuple[float, ...]:
    return brute(outcomes, chosen)[outcomes.patch_number]


@settings(max_examples=60, deadline=None)
@given(made(), st.sampled_from(RULE_NAMES), st.sampled_from([0.0, 0.1, 0.5]))
def test_rules_score_as_they_say(outcomes: MadeOutcomes, rule: str, within: float) -> None:
    every = list(range(len(outcomes.recordings)))
    scored = RULES[rule].scored(outcomes, DEFAULT_AIMS, every, Choice(rule, within=within))
    values, patch = brute(outcomes, every), patch_values(outcomes, every)
    figures = [
        [(row["pmd_splits"], row["mean_cached_pages"]) for row in rows]
        for rows in outcomes.measure([outcomes.point(at) for at in range(len(outcomes))])
    ]
    own = figures[outcomes.patch_number]
    scale = [sum(each[aim] for each in own) / len(every) or 1.0 for aim in (0, 1)]
    cost = [[row[0] / scale[0] + row[1] / scale[1] for row in rows] for rows in figures]
    for at, (splits, cached) in enumerate(values):
        if rule == "fewest-within":
            able, score = cached <= patch[1] * (1 + within) + 1e-9, splits / (patch[0] or 1)
        elif rule == "no-worse-anywhere":
            able = all(
                a <= b
                for row, before in zip(figures[at], own, strict=True)
                for a, b in zip(row, before, strict=True)
            )
            score = splits / (patch[0] or 1)
        elif rule == "least-regret":
            able = True
            score = max(cost[at][r] - min(each[r] for each in cost) for r in every) / 2
        else:
            able = splits <= patch[0] and cached <= patch[1] + 1e-9
            score = splits / (patch[0] or 1) * cached / (patch[1] or 1)
        assert bool(scored.able[at]) == able
        assert scored.score[at] == pytest.approx(score, abs=1e-9)
    assert scored.able[outcomes.patch_number], "the patch's own point can always be chosen"
    assert RULES[rule].sentence(DEFAULT_AIMS, Choice(rule)).endswith(".")


@settings(max_examples=60, deadline=None)
@given(made(), st.sampled_from(RULE_NAMES), st.sampled_from([0.0, 0.05, 0.4]))
def test_the_region_holds_what_loses_little_and_the_named_point(
    outcomes: MadeOutcomes, rule: str, loss: float
) -> None:
    every = list(range(len(outcomes.recordings)))
    choice = Choice(rule, loss)
    scored = RULES[rule].scored(outcomes, DEFAULT_AIMS, every, choice)
    found = choose(outcomes, DEFAULT_AIMS, every, choice, None, ALTERNATIVES)
    able = [at for at in range(len(outcomes)) if scored.able[at]]
    least = min(scored.score[at] for at in able)
    wanted = {at for at in able if scored.score[at] <= least + loss + 1e-12}
    assert set(np.flatnonzero(found.region.mask).tolist()) == wanted
    assert found.named.number in wanted
    assert found.region.best in wanted and scored.score[found.region.best] == pytest.approx(least)
    plain = {outcomes.number_of(one.point): one.name for one in ALTERNATIVES}
    inside = [name for number, name in plain.items() if number in wanted]
    assert bool(found.alternative) == bool(inside)
    if inside:
        assert plain[found.named.number] == found.alternative


@given(st.lists(st.booleans(), min_size=60, max_size=60))
def test_depth_is_the_distance_to_what_is_outside(flags: list[bool]) -> None:
    mask = np.array(flags).reshape(3, 4, 5)
    outside = np.argwhere(~mask)
    for cell in itertools.product(range(3), range(4), range(5)):
        wanted = (
            math.inf
            if len(outside) == 0
            else min(math.dist(np.array(cell) / mask.shape, other / mask.shape) for other in outside)
        )
        assert depth_of(mask)[cell] == pytest.approx(wanted if mask[cell] else 0.0)


@settings(max_examples=40, deadline=None)
@given(made())
def test_the_front_the_judge_and_the_hypervolume(outcomes: MadeOutcomes) -> None:
    every = list(range(len(outcomes.recordings)))
    values = brute(outcomes, every)
    kept = {v for v in values if not any(o != v and o[0] <= v[0] and o[1] <= v[1] for o in values)}
    front = exact_front(outcomes, DEFAULT_AIMS)
    assert [tuple(row) for row in np.round(front.values, 9).tolist()] == sorted(
        tuple(np.round(v, 9)) for v in kept
    )
    assert front.points.tolist() == [sum(np.allclose(v, row) for v in values) for row in front.values]
    judge = Judge.of(Question(DEFAULT_AIMS), outcomes)
    for value in values:
        beaten_by = sum(o != value and o[0] <= value[0] and o[1] <= value[1] for o in kept)
        assert judge.place_of(value)["outcomes of the exact front that beat it"] == beaten_by
    corner = np.array([30.0, 30.0])
    cells = [(x + 0.5, y / 8 + 1 / 16) for x in range(30) for y in range(240)]
    covered = sum(any(v[0] <= x and v[1] <= y for v in kept) for x, y in cells) / 8
    assert hypervolume(front.values, corner) == pytest.approx(covered, abs=30 / 8 * len(kept) + 1e-9)


def test_the_hypervolume_of_three_aims() -> None:
    points = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [3.0, 3.0, 1.0], [9.0, 9.0, 9.0]])
    corner = np.array([4.0, 4.0, 4.0])
    cells = itertools.product(np.arange(0.05, 4, 0.1), repeat=3)
    covered = sum(any((point <= cell).all() for point in points) for cell in map(np.array, cells)) / 1000
    assert hypervolume(points, corner) == pytest.approx(covered, abs=1e-9)
    assert hypervolume(points[:, :1], corner[:1]) == 3.0
    assert hypervolume(points + 10, corner) == 0.0


def test_importance_is_a_split_of_the_variance() -> None:
    def model(point: Point, recording: int) -> dict[str, float]:
        return {"pmd_splits": math.expm1(math.log2(point.unshrinkable_pages)), "mean_cached_pages": 1.0}

    outcomes = MadeOutcomes(model, ["a"])
    found = importance(outcomes, DEFAULT_AIMS[0], [0])
    assert found["unshrinkable_pages"] == {"alone": pytest.approx(1.0), "with_others": pytest.approx(1.0)}
    assert found["batch"] == {"alone": pytest.approx(0.0), "with_others": pytest.approx(0.0)}
    assert importance(outcomes, DEFAULT_AIMS[1], [0])["batch"] == {"alone": 0.0, "with_others": 0.0}
    values = np.log1p([usual(outcomes.point(at), 0)["pmd_splits"] for at in range(len(outcomes))]).reshape(
        GRID.shape
    )
    both = importance(MadeOutcomes(usual, ["a"]), DEFAULT_AIMS[0], [0])
    by_u = [np.mean([values[at]]) for at in range(GRID.shape[0])]
    assert both["unshrinkable_pages"]["alone"] == pytest.approx(np.var(by_u) / np.var(values))


def test_ablation_adds_up_in_every_order() -> None:
    end = Point(64, 448, 1024)

    def values(points: list[Point]) -> list[list[float]]:
        return [
            [point.unshrinkable_pages * point.batch / 1000, float(point.shrink_block_min_pages)]
            for point in points
        ]

    rows = ablation(PATCH_POINT, end, values)
    assert [row["threshold"] for row in rows] == ["unshrinkable_pages", "shrink_block_min_pages", "batch"]
    whole = np.subtract(*reversed(values([PATCH_POINT, end])))
    assert np.sum([row["mean"] for row in rows], axis=0) == pytest.approx(whole)
    assert rows[0]["first"] == pytest.approx([(64 - 16) * 512 / 1000, 0])
    assert rows[0]["last"] == pytest.approx([(64 - 16) * 1024 / 1000, 0])
    assert ablation(PATCH_POINT, PATCH_POINT, values) == []


def test_what_does_not_react_is_told_with_the_reason() -> None:
    def model(point: Point, recording: int) -> dict[str, float]:
        if recording == 3:
            return usual(point, 0)
        scans, released = ((0, 0), (5, 0), (5, 7))[recording]
        return {"pmd_splits": 4.0, "mean_cached_pages": 9.0, "scan_calls": scans, "pages_released": released}

    outcomes = MadeOutcomes(model, ["a", "b", "c", "d"])
    found = silent(outcomes, DEFAULT_AIMS, [0, 4, 4, 4])
    assert [row["recording"] for row in found] == ["a", "b", "c"]
    assert "no shrinker pass" in found[0]["reason"]
    assert "could be given back" in found[1]["reason"]
    assert "changes no aim" in found[2]["reason"]
    assert "above U" in silent(outcomes, DEFAULT_AIMS, [1, 4, 4, 4])[0]["reason"]


def decided(model=usual, recordings=THREE, held=None, **question) -> Decision:
    outcomes = MadeOutcomes(model, recordings)
    return decide(Question(**{"aims": DEFAULT_AIMS, **question}), outcomes, outcomes.measure, held_out=held)


def test_a_decision_reads_back_and_is_the_same_again() -> None:
    found = decided(groups={"first": ["one"], "others": ["two", "three"]})
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert Decision.from_dict(json.loads(text)).to_dict() == json.loads(text)
    assert decided(groups={"first": ["one"], "others": ["two", "three"]}).to_dict() == found.to_dict()


def test_every_choice_without_a_recording_had_no_figure_of_it() -> None:
    outcomes = MadeOutcomes(usual, THREE)
    found = decide(Question(DEFAULT_AIMS), outcomes, outcomes.measure)
    for left, fold in enumerate(found.folds):
        rest = [name for at, name in enumerate(THREE) if at != left]

        def shifted(point: Point, recording: int, left: int = left) -> dict[str, float]:
            return usual(point, recording if recording < left else recording + 1)

        alone = MadeOutcomes(shifted, rest)
        chosen = choose(alone, DEFAULT_AIMS, [0, 1], Choice(), None, ALTERNATIVES)
        assert list(alone.point(chosen.named.number)) == fold["point"]
        assert fold["chosen"] == [usual(Point(*fold["point"]), left)[aim.name] for aim in DEFAULT_AIMS]
        assert fold["patch"] == [usual(PATCH_POINT, left)[aim.name] for aim in DEFAULT_AIMS]
    assert found.folds_changes[0]["after"] == sum(fold["chosen"][0] for fold in found.folds)
    assert decided(recordings=("one",)).folds == []


def test_a_group_is_decided_for_itself() -> None:
    found = decided(groups={"first": ["one"], "others": ["two", "three"]})
    first, others = found.groups
    alone = decided(recordings=("one",))
    assert first["own"]["point"] == list(alone.recommended)
    assert first["values"]["patch"] == [usual(PATCH_POINT, 0)[aim.name] for aim in DEFAULT_AIMS]
    rows = [usual(found.recommended, at) for at in (1, 2)]
    assert others["values"]["recommended"] == [
        sum(row["pmd_splits"] for row in rows), sum(row["mean_cached_pages"] for row in rows) / 2
    ]  # fmt: skip


def test_held_out_recordings_have_no_say() -> None:
    other = MadeOutcomes(
        lambda point, at: {"pmd_splits": 7.0 + at, "mean_cached_pages": point.batch * 1.0}, ["x", "y"]
    )
    with_, without = decided(held=(["x", "y"], other.measure)), decided()
    assert with_.recommended == without.recommended
    assert with_.held_out["values"]["patch"] == [15.0, 512.0]
    assert with_.held_out["values"]["recommended"] == [15.0, float(with_.recommended.batch)]
    assert without.held_out == {}


def test_the_verdicts() -> None:
    def flat(point: Point, recording: int) -> dict[str, float]:
        return {"pmd_splits": 5.0 + recording, "mean_cached_pages": 10.0}

    assert decided(flat).verdict == {"kind": NO_DIFFERENCE, "against": "patch"}
    assert decided(flat).recommended == PATCH_POINT

    many = tuple(f"r{at}" for at in range(12))

    def clear(point: Point, recording: int) -> dict[str, float]:
        good = point.unshrinkable_pages >= 64 and point.shrink_block_min_pages in (256, 448)
        return {"pmd_splits": (2.0 if good else 20.0) + recording, "mean_cached_pages": 10.0}

    found = decided(clear, many)
    assert found.verdict == {"kind": BETTER, "against": "patch"}
    assert all(change["better"] >= 0 for change in found.changes_of("recommended", "patch"))

    def whole(point: Point, recording: int) -> dict[str, float]:
        return {"pmd_splits": 0.0 if point.shrink_block_min_pages == 512 else 9.0, "mean_cached_pages": 10.0}

    assert decided(whole, many).verdict == {"kind": PLAIN_ANSWER, "against": "whole blocks only"}
    assert decided(whole, many).recommended == ALTERNATIVES[1].point

    def luck(point: Point, recording: int) -> dict[str, float]:
        lucky = recording == 3 and point.unshrinkable_pages == 64
        return {"pmd_splits": 0.0 if lucky else 30.0, "mean_cached_pages": 10.0}

    found = decided(luck, many, choice=Choice(loss=0.0))
    assert found.verdict == {"kind": NO_DIFFERENCE, "against": "patch"}, (
        "one recording of twelve proves nothing"
    )
    assert (found.recommended, found.alternative, found.level) == (PATCH_POINT, "patch", "plain")
    assert found.passed_over is not None and found.passed_over.point.unshrinkable_pages == 64
    assert found.passed_over.figures[0] == [0.0 if at == 3 else 30.0 for at in range(12)]
    assert found.changes_of("best found", "patch")[0]["fell"] == 1
    assert found.best["lost"] == pytest.approx(1 / 12), "what the patch has too many, beside the best"
    assert all(fold["alternative"] == "patch" for fold in found.folds)


def test_one_recording_is_judged_by_itself() -> None:
    def model(point: Point, recording: int) -> dict[str, float]:
        good = point.unshrinkable_pages == 64 and point.batch == 512
        return {"pmd_splits": 3.0 if good else 30.0, "mean_cached_pages": 10.0}

    found = decided(model, ("one",))
    assert found.verdict == {"kind": BETTER, "against": "patch"}
    assert (found.recommended.unshrinkable_pages, found.passed_over) == (64, None)


def test_constraints_keep_points_out_and_say_so_where_none_is_left() -> None:
    splits, cap = KNOWN_AIMS["pmd_splits"], Limit(most=3)
    free = decided()
    bound = decided(constraints={KNOWN_AIMS["mean_cached_pages"]: Limit(most=104.0)})
    cached = bound.compared[-1].over(DEFAULT_AIMS, bound.compared[0])[1]
    assert cached <= 104.0 < free.compared[-1].over(DEFAULT_AIMS, free.compared[0])[1]
    assert bound.notes == []
    never = decided(constraints={splits: Limit(least=1e6)})
    assert never.recommended == free.recommended
    assert "keeps all constraints (PMD splits): the choice was made as if there were none" in never.notes[0]
    assert cap.violation(5) == 2 and cap.violation(1) == -2 and Limit(2, 4).violation(1) == 1


def test_three_aims_one_of_them_to_be_large() -> None:
    share = Aim("kept", "share", "maximize", "worst", figure=lambda row: 1 - row["pmd_splits"] / 1000)

    def model(point: Point, recording: int) -> dict[str, float]:
        row = usual(point, recording)
        return {**row, "kept": 1 - row["pmd_splits"] / 1000}

    aims = (replace(DEFAULT_AIMS[1], over="ratio"), DEFAULT_AIMS[0], share)
    for rule in RULE_NAMES:
        found = decided(model, aims=aims, choice=Choice(rule))
        values = found.compared[-1].over(aims, found.compared[0])
        assert values[2] == min(model(found.recommended, at)["kept"] for at in range(3))
        assert values[0] == pytest.approx(
            math.exp(
                np.mean(
                    [
                        math.log(
                            (model(found.recommended, at)["mean_cached_pages"] + 0.5)
                            / (model(PATCH_POINT, at)["mean_cached_pages"] + 0.5)
                        )
                        for at in range(3)
                    ]
                )
            )
        )
        json.dumps(found.to_dict(), allow_nan=False)


def test_maps_show_the_least_over_the_third_threshold() -> None:
    outcomes = MadeOutcomes(usual, THREE)
    question = Question(DEFAULT_AIMS)
    table = maps(question, outcomes)
    scored = RULES["fewest-within"].scored(outcomes, DEFAULT_AIMS, [0, 1, 2], Choice())
    for row in table.sample(12, random_state=1).to_dict("records"):
        inside = [
            scored.score[at]
            for at in range(len(outcomes))
            if scored.able[at]
            and getattr(outcomes.point(at), row["across"]) == row["x"]
            and outcomes.point(at).batch == row["y"]
        ]
        assert row["score"] == (min(inside) if inside else math.inf)
    assert len(table) == 6 * 4 + 6 * 4


def test_thresholds_in_words() -> None:
    assert in_words(PATCH_POINT) == "U=16, M=1/8 of a block, B=a block"
    assert in_words(Point(256, 480, 1024)) == "U=256, M=15/16 of a block, B=2 blocks"
    assert in_words(Point(5, 511, 37)) == "U=5, M=511 pages, B=37 pages"


def test_constraints_that_leave_only_what_the_rule_may_not_choose_are_told_of() -> None:
    # Few splits can be had here only for more pages than the patch's, which the rule forbids.
    found = decided(constraints={KNOWN_AIMS["pmd_splits"]: Limit(most=0)})
    assert found.recommended == decided().recommended
    assert "No point that the rule may choose keeps all constraints" in found.notes[0]
    assert found.region["points"] == decided().region["points"]


def test_a_plain_alternative_that_breaks_a_constraint_is_not_what_a_point_is_held_against() -> None:
    def model(point: Point, recording: int) -> dict[str, float]:
        whole, good = point.shrink_block_min_pages == 512, point.unshrinkable_pages == 64
        splits = 1.0 if whole else 4.0 if good else 9.0
        return {"pmd_splits": splits + recording, "mean_cached_pages": 10.0, "deadlocks": float(whole)}

    many = tuple(f"r{at}" for at in range(12))
    assert decided(model, many).verdict == {"kind": PLAIN_ANSWER, "against": "whole blocks only"}
    bound = decided(model, many, constraints={KNOWN_AIMS["deadlocks"]: Limit(most=0)})
    assert bound.recommended.unshrinkable_pages == 64
    assert bound.verdict == {"kind": BETTER, "against": "patch"}


def test_p_values_are_adjusted_for_the_number_of_aims() -> None:
    def model(point: Point, recording: int) -> dict[str, float]:
        good = point.unshrinkable_pages == 64
        return {"pmd_splits": 4.0 if good else 9.0, "mean_cached_pages": 9.0 if good else 10.0}

    found = decided(model, tuple(f"r{at}" for at in range(6)))
    assert [change["sign_p"] for change in found.changes_of("recommended", "patch")] == [2 * 2 * 0.5**6] * 2


def test_from_a_table_the_choice_is_held_against_the_patchs_row() -> None:
    outcomes = MadeOutcomes(usual, THREE)
    points = [PATCH_POINT, *(outcomes.point(number) for number in range(len(outcomes)))]
    table = pd.DataFrame(
        {"number": number, "trace": name, **point._asdict(), **usual(point, at)}
        for number, point in enumerate(dict.fromkeys(points))
        for at, name in enumerate(THREE)
    ).set_index(["number", "trace"])
    found = decide_from_table(Question(DEFAULT_AIMS), table, THREE, outcomes.measure)
    whole = decide(Question(DEFAULT_AIMS), outcomes, outcomes.measure)
    values = [one.compared[-1].over(DEFAULT_AIMS, one.compared[0]) for one in (found, whole)]
    patch = whole.compared[0].over(DEFAULT_AIMS, whole.compared[0])
    assert values[0][1] <= patch[1]
    assert values[0][0] == whole.best["values"][0], "the same points, the same best"
