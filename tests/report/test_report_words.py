from __future__ import annotations

import pytest

from pba.report.words import ascii_only, listing, mib, moves, relative
from pba.units import number


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [(100, 66, "-34 %"), (100, 101, "+1.0 %"), (5, 5, "0"), (0, 0, "0"), (0, 3, "new"), (3, 0, "-100 %"),
     (1, 1000, "x 1,000"), (10_000, 10_001, "+0.0 %"), (10_000, 9_999, "-0.0 %"),
     (0.3, 0.1 + 0.2, "0")],
)  # fmt: skip
def test_changes_have_a_sign_and_no_change_is_nought(before, after, written):
    assert relative(before, after) == written


def test_moves_say_where_to():
    assert moves(12, 8, number) == "fall from 12 to 8 (-33 %)"
    assert moves(8, 12, number, one=True) == "rises from 8 to 12 (+50 %)"
    assert moves(8, 8, number) == "stay at 8"
    assert moves(0, 4, number) == "rise from 0 to 4"
    assert moves(15.3000, 15.3005, mib) == "stay at 15.3 MiB (+0.0 %)"
    assert moves(0.25, 1.5, mib) == "rise from 256 KiB to 1.5 MiB (+500 %)"


def test_small_words():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert ascii_only("\u22125 \u00d7 3 \u2013 \u00e4") == "-5 x 3 - ?"
