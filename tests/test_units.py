from __future__ import annotations

import math

import numpy as np
import pytest

from pba.errors import MachineError, PbaError
from pba.units import (
    exact_time,
    fine_percent,
    format_bytes,
    format_time,
    number,
    parse_bytes,
    parse_count,
    parse_memory,
    parse_page_size,
    parse_time,
    percent,
    plural,
    time_in_ns,
)

S = 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GiB", 4 << 30), ("1.5 gb", 3 << 29), ("512m", 1 << 29), ("0.5K", 512), ("2T", 2 << 40)],
)
def test_sizes_are_read_exactly(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "4", "GiB", "inf GiB", "-1G", "1e3M", "0.0001K", "9999999T", "٤G", "4GiB x"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(PbaError, match=r"^memory "):
        parse_bytes(text, "memory")


def test_memory_is_read_in_pages() -> None:
    assert parse_memory("1GiB", 4) == 1 << 18
    assert parse_memory(" 1048576 pages", 64) == 1 << 20
    assert parse_memory("16777216.25G", 4) == ((1 << 24) * 4 + 1) << 16  # a float would round
    for text, reason in (
        ("0pages", "0 pages"),
        ("0G", "0 pages"),
        ("5K", "not a multiple"),
        ("x" * 9999, "not a size"),
    ):
        with pytest.raises(MachineError, match=reason) as caught:
            parse_memory(text, 4)
        assert len(str(caught.value)) < 200


def test_page_sizes_are_read_in_kib() -> None:
    assert [parse_page_size(text) for text in ("4", "16K", "64 KiB")] == [4, 16, 64]
    with pytest.raises(MachineError):
        parse_page_size("4M")


def test_times_are_read_in_ns() -> None:
    assert parse_time("12.5s") == 12_500_000_000
    assert parse_time("2min") == 120 * S
    assert parse_time("1.5µs") == 1500
    assert parse_time("0") == 0
    for text in ("12", "1d", "-1s", "1e9s", "9999999h", ""):
        with pytest.raises(PbaError, match=r"^--from "):
            parse_time(text, "--from")


def test_python_users_give_times_as_numbers_or_text() -> None:
    assert (
        time_in_ns("10s") == time_in_ns(10 * S) == time_in_ns(np.int64(10 * S)) == time_in_ns(1e10) == 10 * S
    )
    for value in (1.5, None, True, [1], math.nan, math.inf):
        with pytest.raises(PbaError, match="from_ns"):
            time_in_ns(value, "from_ns")


def test_counts_are_read() -> None:
    assert [parse_count(text) for text in ("250000", "250k", "1.5M", "2G")] == [
        250_000,
        250_000,
        1_500_000,
        2 * S,
    ]
    for text in ("1.5", "x", "-1", "9" * 20, "99999999999G"):
        with pytest.raises(PbaError, match=r"^--events "):
            parse_count(text, "--events")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1023.999 * 1024, "1 MiB"), (3 << 29, "1.5 GiB"),
        (634880, "620 KiB"), (5 << 40, "5 TiB"), (12345 << 40, "12,345 TiB"),
    ],
)  # fmt: skip
def test_sizes_are_printed(size: float, expected: str) -> None:
    assert format_bytes(size) == expected


@pytest.mark.parametrize(
    ("time_ns", "expected"),
    [
        (0, "0 s"), (7, "7 ns"), (120_000, "120 us"), (999_900_000, "1 s"), (3_200_000_000, "3.2 s"),
        (59.96 * S, "1 min"), (125 * S, "2 min 5 s"), (180 * S, "3 min"), (3599.7 * S, "1 h"),
        (12_000 * S, "3 h 20 min"), (48 * 3600 * S, "48 h"), (1 << 60, "320,255 h 58 min"),
    ],
)  # fmt: skip
def test_times_are_printed(time_ns: float, expected: str) -> None:
    assert format_time(time_ns) == expected


def test_an_exact_time_is_read_back() -> None:
    for time_ns in (0, 1, 1500, 90 * S, 7200 * S, 3601 * S + 1):
        assert parse_time(exact_time(time_ns)) == time_ns


def test_numbers_are_printed() -> None:
    values = (0, 12345, np.int64(1234), 12.0, 4.5321, 99.96, 1917.6, math.nan)
    assert [number(value) for value in values] == ["0", "12,345", "1,234", "12", "4.53", "100", "1,918", "-"]


def test_shares_are_printed_and_never_rounded_up_to_all() -> None:
    assert [percent(share) for share in (0, 0.004, 0.12, 0.9951, 1, math.nan)] == [
        "0.0 %", "0.4 %", "12 %", "99.51 %", "100 %", "-",
    ]  # fmt: skip
    assert [fine_percent(share) for share in (0.99839, 0.999999, 1.0)] == ["99.83 %", "99.99 %", "100.00 %"]


def test_one_thing_is_not_several() -> None:
    assert [plural(count, "page") for count in (0, 1, 1.0, 2, 0.5, 1.001)] == [
        "0 pages", "1 page", "1 page", "2 pages", "0.5 pages", "1 page",
    ]  # fmt: skip
    assert plural(2, "pass", "passes") == "2 passes"
