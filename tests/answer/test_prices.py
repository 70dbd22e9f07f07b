"""The price list: what comes with pba, a user's own, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import pba
from pba.answer.prices import KNOWN, UNITS, shipped

Written = Callable[..., Path]


def test_every_price_has_a_range_a_unit_and_how_it_is_known() -> None:
    listed = pba.read_prices()
    assert {name for name in listed.prices if not name.startswith("loss.")} == set(UNITS)
    assert listed.losses == ("none", "web", "key-value", "streaming")
    for price in listed.prices.values():
        assert price.low <= price.default <= price.high
        assert price.low < price.high
        assert price.known in KNOWN
        assert len(price.source) > 20
        if price.known == "unknown":
            assert price.source.startswith("assumed: ")
        elif price.known == "source":
            assert "x86" in price.source or "commit" in price.source
    assert listed.loss("key-value").factor == 1
    assert listed.prices["tlb_flush"].factor == 1e-9
    table = listed.to_frame()
    assert table.loc["pmd_split", ["default", "unit"]].tolist() == [3, "us"]


def test_a_list_of_ones_own_replaces_what_it_says(written: Written) -> None:
    path = written(
        "[tlb_flush]\ndefault = 2\nlow = 1\nhigh = 4\nunit = 'us'\nknown = 'source'\nfrom = 'measured here'\n"
        "[refill]\nhigh = 70\n"
        "[loss.mine]\nmeaning = 'x'\ndefault = 2\nlow = 1\nhigh = 3\nunit = '%'\nknown = 'source'\nfrom = 'here'\n",
        "mine.toml",
    )
    mine, ours = pba.read_prices(path), pba.read_prices()
    assert mine.prices["tlb_flush"].factor == 1e-6
    assert mine.prices["tlb_flush"].source == "measured here"
    assert (mine.prices["refill"].default, mine.prices["refill"].high) == (5, 70)
    assert mine.prices["pmd_split"] == ours.prices["pmd_split"]
    assert mine.loss("mine").factor * mine.loss("mine").default == 0.02


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tbl_flush]\n", "no price is called 'tbl_flush' .did you mean tlb_flush"),
        ("[tlb_flush]\nunit = 'GiB'\n", r"\[tlb_flush\]: unit 'GiB' is not one of it .use ns or us"),
        ("[tlb_flush]\nunit = 'us'\ndefault = 1\n", "another unit and no low"),
        ("[tlb_flush]\nlow = 9000\n", "the range 9000 to 5000 does not hold the default 500"),
        ("[tlb_flush]\nlow = 600\n", "does not hold the default 500"),
        ("[tlb_flush]\ndefault = '5'\n", "default = '5' is no price"),
        ("[tlb_flush]\ndefault = -1\n", "default = -1 is no price"),
        ("[tlb_flush]\ndefault = nan\n", "default = nan is no price"),
        ("[tlb_flush]\nknown = 'maybe'\n", "known = 'maybe' says nothing"),
        ("[tlb_flush]\ndefalt = 1\n", "unknown key 'defalt' .did you mean default"),
        ("[loss.mine]\ndefault = 0.1\n", r"\[loss.mine\] has no meaning"),
        ("tlb_flush = 3\n", "is no table"),
        ("loss = 3\n", "is no table of classes"),
        ("[tlb_flush\n", "cannot be read as a price list"),
    ],
)
def test_what_is_no_price_list_is_refused(text: str, said: str, written: Written) -> None:
    with pytest.raises(pba.PbaError, match=said) as caught:
        pba.read_prices(written(text, "mine.toml"))
    assert "mine.toml" in str(caught.value)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pba.PbaError, match="no such price list"):
        pba.read_prices(tmp_path / "none.toml")
    with pytest.raises(pba.PbaError, match="did you mean web"):
        pba.read_prices().loss("wev")
    assert shipped().is_file()
