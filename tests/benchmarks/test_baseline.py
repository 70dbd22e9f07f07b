from __future__ import annotations

from tests.benchmarks.baseline import compare


def test_what_is_slower_is_said_and_what_is_much_slower_fails() -> None:
    stored = {"same": 0.5, "some": 0.5, "much": 0.5}
    lines, failed = compare({"same": 0.54, "some": 0.6}, stored)
    assert (lines, failed) == (["some: 0.60 times the yardstick, stored 0.50: 20 % slower"], False)
    lines, failed = compare({"much": 0.8, "new": 2.0}, stored)
    assert failed
    assert lines == [
        "FAILED: much: 0.80 times the yardstick, stored 0.50: 60 % slower",
        "new: 2.00 times the yardstick, nothing stored",
    ]
    assert compare({"same": 0.4}, stored) == (["nothing is more than 10 % slower than stored"], False)
