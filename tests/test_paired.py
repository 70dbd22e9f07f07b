"""Intervals and tests over recordings, held against distributions that are known."""

from __future__ import annotations

import numpy as np
import pytest

from pba.paired import (
    Interval,
    holm,
    paired_interval,
    sign_test,
    wilcoxon,
)
from pba.study.aims import Aim
from pba.study.decision.compare import statistic_of

SOME = [1.0]
"""Figures that are not all zero: a change relative to them can be said."""
change_of_sum, change_of_geometric_mean, change_of_worst, change_of_least = (
    statistic_of(aim, SOME)[0]
    for aim in (
        Aim("x"),
        Aim("x", over="ratio"),
        Aim("x", over="worst"),
        Aim("x", direction="maximize", over="worst"),
    )
)
difference_of_mean = statistic_of(Aim("x"), [0.0])[0]


def drawn(generator: np.random.Generator, recordings: int) -> tuple[np.ndarray, np.ndarray]:
    """Return recordings that differ much from each other and by a known factor between thresholds."""
    old = generator.lognormal(5, 1, recordings)
    return old * generator.lognormal(np.log(0.8), 0.3, recordings), old


@pytest.mark.slow
def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    held = 0
    for round_ in range(400):
        new, old = drawn(generator, 18)
        found = paired_interval(new, old, change_of_geometric_mean, resamples=999, seed=round_)
        held += found.low <= 0.8 - 1 <= found.high
    # The standard error of a share of 0.95 is 0.011; so few recordings cost a bootstrap some per cent.
    assert 0.88 <= held / 400 <= 0.985


def test_pairing_takes_out_what_recordings_differ_by() -> None:
    new, old = drawn(np.random.default_rng(1), 18)
    paired = paired_interval(new, old, change_of_geometric_mean)
    unpaired = paired_interval(new, np.random.default_rng(2).permutation(old), change_of_geometric_mean)
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_the_same_seed_gives_the_same_interval() -> None:
    new, old = drawn(np.random.default_rng(3), 12)
    assert paired_interval(new, old, change_of_sum, seed=5) == paired_interval(
        new, old, change_of_sum, seed=5
    )
    assert paired_interval(new, old, change_of_sum, seed=5) != paired_interval(
        new, old, change_of_sum, seed=6
    )


def test_statistics_by_hand() -> None:
    new, old = np.array([1.0, 0.0, 6.0]), np.array([2.0, 0.0, 4.0])
    assert change_of_sum(new, old, 0) == pytest.approx(7 / 6 - 1)
    assert difference_of_mean(new, old, 0) == pytest.approx(1 / 3)
    assert change_of_geometric_mean(new, old, 0) == pytest.approx((1.5 / 2.5 * 6.5 / 4.5) ** (1 / 3) - 1)
    assert change_of_worst(new, old, 0) == pytest.approx(6 / 4 - 1)
    assert change_of_least(new + 1, old + 2, 0) == pytest.approx(1 / 2 - 1)
    assert change_of_sum(np.zeros(3), np.zeros(3), 0) == 0
    rows, befores = np.array([new, new[::-1]]), np.array([old, old])
    assert change_of_geometric_mean(rows, befores, 1)[0] == pytest.approx(
        change_of_geometric_mean(new, old, 0)
    )


def test_what_does_not_change_has_no_width_and_one_recording_no_interval() -> None:
    same = np.array([3.0, 0.0, 7.0])
    assert paired_interval(same, same, change_of_sum) == Interval(0, 0, 0)
    alone = paired_interval([1.0], [2.0], change_of_sum)
    assert alone.estimate == -0.5
    assert np.isnan(alone.low) and np.isnan(alone.high)
    with pytest.raises(ValueError, match="not pairs"):
        paired_interval([1.0], [2.0, 3.0], change_of_sum)


def test_a_statistic_that_no_recording_moves_still_gets_an_interval() -> None:
    found = paired_interval([0.0, 0.0, 0.0], [4.0, 9.0, 1.0], change_of_sum)
    assert found == Interval(-1, -1, -1)


def test_signs_and_ranks_by_hand() -> None:
    fell = sign_test([1, 1, 1, 1, 5], [2, 3, 4, 5, 5])
    assert (fell.fell, fell.rose, fell.same) == (4, 0, 1)
    assert fell.p_value == pytest.approx(2 * 0.5**4)
    assert sign_test([1, 2], [1, 2]).p_value == 1
    assert wilcoxon([1, 2], [1, 2]) == 1
    assert wilcoxon(np.zeros(8), np.arange(1, 9)) == pytest.approx(2 * 0.5**8)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
