from __future__ import annotations

import os

import pytest

from pba.printable import cut_middle, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("arm64-build", "arm64-build"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\ttab", "two\\x0alines\\x09tab"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        ("\x9b2J", "\\x9b2J"),
        ("Übung 東京", "Übung 東京"),
        ("[/x] $\\frac", "[/x] $\\frac"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_data_becomes_one_safe_line(text: str, expected: str) -> None:
    shown = printable(text)
    assert shown == expected
    shown.encode("utf-8")


def test_what_is_long_loses_its_middle() -> None:
    shown = printable("a" * 10**7 + "z", 50)
    assert len(shown) == 50
    assert shown.startswith("aaa")
    assert shown.endswith("az")
    assert len(printable("\x1b" * 1000, 50)) == 50
    assert cut_middle("kernel-build-x86-allnoconfig", 20) == "kernel-bu..lnoconfig"
