from __future__ import annotations

import pytest

from pba.report.words import (
    ascii_only,
    count,
    duration,
    listing,
    mean_count,
    moves,
    pages,
    percent,
    plural,
    recall,
    relative,
    shorten,
    size,
)


@pytest.mark.parametrize(
    ("mib", "written"),
    [(0, "0"), (1.5, "1.5 MiB"), (0.25, "256 KiB"), (1023.6, "1024 MiB"), (2048, "2 GiB"), (99.96, "100 MiB"),
     (12.345, "12.3 MiB"), (-0.5, "-512 KiB")],
)  # fmt: skip
def test_sizes_print_as_people_read_them(mib, written):
    assert size(mib) == written


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [(100, 66, "-34 %"), (100, 101, "+1.0 %"), (5, 5, "0"), (0, 0, "0"), (0, 3, "new"), (3, 0, "-100 %"),
     (1, 1000, "x 1,000"), (10_000, 10_001, "+0.0 %"), (10_000, 9_999, "-0.0 %"),
     (0.3, 0.1 + 0.2, "0")],
)  # fmt: skip
def test_changes_have_a_sign_and_no_change_is_nought(before, after, written):
    assert relative(before, after) == written


def test_moves_say_where_to():
    assert moves(12, 8, count) == "fall from 12 to 8 (-33 %)"
    assert moves(8, 12, count, one=True) == "rises from 8 to 12 (+50 %)"
    assert moves(8, 8, count) == "stay at 8"
    assert moves(0, 4, count) == "rise from 0 to 4"
    assert moves(15.300, 15.305, size) == "stay at 15.3 MiB (+0.0 %)"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.25, "0.25 s"), (61, "61 s"), (250.9, "4 min 10 s"), (359.99, "5 min 59 s"), (12_000, "3 h 20 min")],
)
def test_durations(seconds, written):
    assert duration(seconds * 1e9) == written


def test_mean_pages_have_the_digits_that_tell():
    assert [mean_count(value) for value in (0, 0.125, 12.34, 99.96, 1918.4)] == [
        "0", "0.125", "12.3", "100", "1,918",
    ]  # fmt: skip
    assert [pages(value) for value in (0, 1, 1.5, 1918.4)] == [
        "0 pages",
        "1 page",
        "1.5 pages",
        "1,918 pages",
    ]


def test_a_share_below_one_is_never_written_as_one():
    assert recall(0.99999) == "99.99 %"
    assert recall(1.0) == "100.00 %"
    assert recall(float("nan")) == percent(float("nan")) == "-"


def test_names_are_cut_in_the_middle():
    assert shorten("kernel-build-allnoconfig", 30) == "kernel-build-allnoconfig"
    cut = shorten("kernel-build-allnoconfig", 16)
    assert cut == "kernel-..oconfig" and len(cut) == 16


def test_small_words():
    assert plural(1, "split") == "1 split"
    assert plural(1200, "split") == "1,200 splits"
    assert plural(2, "pass", "passes") == "2 passes"
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert ascii_only("\u22125 \u00d7 3 \u2013 \u00e4") == "-5 x 3 - ?"
