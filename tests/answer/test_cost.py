"""`pba.cost`: worked by hand on small counts, the range of prices, break-even, and memory without prices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pba
from pba.answer import cost as costs
from pba.probe.compare import Comparison
from pba.probe.measures import MEASURES


def compared(rows: list[dict[str, Any]]) -> Comparison:
    """Return a comparison of given figures; those that are not said are 0."""
    plain = dict.fromkeys(MEASURES, 0.0) | {
        "machine": "", "seconds": 1800.0, "page_size_kib": 4, "memory_pages": 1 << 20, "mapped_mean": 1.0,
    }  # fmt: skip
    table = pd.DataFrame([{"trace": "t"} | plain | row for row in rows])
    choices = tuple(dict.fromkeys(table["choice"]))
    return Comparison(choices, pd.DataFrame(), table, pd.DataFrame())


V6: dict[str, Any] = {
    "choice": "v6", "pmd_splits": 40, "pud_splits": 10, "protect_range": 5, "unprotect_single": 100,
    "unprotect_range": 3, "tlb_flushes": 108, "refills": 5, "blocks_back": 3, "held_back_mean": 1024,
    "mapped_mean": 0.75,
}  # fmt: skip
PTES: dict[str, Any] = {
    "choice": "pte-mapped", "protect_single": 9000, "unprotect_single": 9000, "tlb_flushes": 18000,
    "held_back_mean": 2048, "mapped_mean": 0.0,
}  # fmt: skip


def test_a_cost_worked_by_hand() -> None:
    """Half an hour, so that each count is doubled; 1,024 pages of 4 KiB are 4 MiB."""
    found = pba.cost(compared([V6, PTES]), workload="key-value")
    row = found.totals.loc["v6"]
    assert row["pmd_split"] == pytest.approx(2 * 50 * 3e-6)
    assert row["set_memory_call"] == pytest.approx(2 * 108 * 400e-9)
    assert row["tlb_flush"] == pytest.approx(2 * 108 * 500e-9)
    assert row["refill"] == pytest.approx(2 * 8 * 5e-6)
    assert row["page_given_back"] == pytest.approx(2 * 100 * 100e-9)
    assert row["held_memory"] == pytest.approx(450 * 4 / 1024)
    assert row["lost_map"] == pytest.approx(0.25 * 0.035 * 3600)
    assert row["total"] == pytest.approx(sum(row[part] for part in costs.PARTS))
    assert found.totals.at["pte-mapped", "lost_map"] == pytest.approx(0.035 * 3600)
    assert row["pmd_splits_h"] == 80  # raw counts stand beside
    assert found.totals.at["v6", "page_tables_per_second"] == pytest.approx(5)


def test_the_loss_of_half_a_map_has_three_forms(tmp_path: Path) -> None:
    lost = {}
    for form in (0.5, 1, 2):
        path = tmp_path / f"{form}.toml"
        path.write_text(f"[half_split]\ndefault = {form}\n", encoding="utf-8")
        found = pba.cost(compared([V6]), str(path), "key-value")
        lost[form] = found.totals.at["v6", "lost_map"]
    whole = 0.035 * 3600
    assert lost == {form: pytest.approx(whole * 0.25**form) for form in (0.5, 1, 2)}
    assert lost[0.5] > lost[1] > lost[2]


def test_points_are_spread_evenly_and_repeat() -> None:
    drawn = costs._drawn(9, 1024, 3)
    assert drawn.shape == (1024, 9)
    assert np.array_equal(drawn, costs._drawn(9, 1024, 3))
    assert not np.array_equal(drawn, costs._drawn(9, 1024, 4))
    for column in drawn.T:
        counts = np.histogram(column, 16, (0, 1))[0]
        assert counts.min() >= 60  # 64 a cell; of independent points some cell would have fewer
        assert counts.max() <= 68
    wide = costs._within(drawn[:, 0], 1, 100)
    assert 0.45 < (wide < 10).mean() < 0.55  # by the logarithm
    assert np.allclose(costs._within(drawn[:, 0], 0, 3), 3 * drawn[:, 0])


def test_shares_of_the_range_add_up_and_what_is_always_cheaper_always_wins() -> None:
    dear = V6 | {"choice": "dear", "held_back_mean": 2000}
    found = pba.cost(compared([V6, dear, PTES]))
    assert found.totals["wins"].sum() == pytest.approx(1)
    assert found.totals.at["dear", "wins"] == 0
    assert (found.totals["low"] <= found.totals["high"]).all()
    same = pba.cost(compared([V6, V6 | {"choice": "twin"}]))
    assert same.totals["wins"].tolist() == [0.5, 0.5]
    assert (found.totals["wins_low"] <= found.totals["wins"]).all()


def test_traces_that_differ_widen_the_interval() -> None:
    """On one trace the one is cheaper, on the other the other; drawn anew, either may come twice."""
    rows = [
        {"trace": trace, "choice": choice, "held_back_mean": held}
        for trace, choice, held in (("a", "x", 10), ("a", "y", 1000), ("b", "x", 1500), ("b", "y", 10))
    ]
    found = pba.cost(compared(rows))
    assert found.totals.at["y", "wins"] == 1
    assert (found.totals.at["y", "wins_low"], found.totals.at["y", "wins_high"]) == (0, 1)
    assert found.per_trace.set_index(["trace", "choice"])["wins"].tolist() == [1, 0, 0, 1]


def test_blocks_break_even_where_the_sentence_says() -> None:
    """What costs more than a map in PTEs pays off from a loss, and from a share of the map, on."""
    held = V6 | {"held_back_mean": 8192, "mapped_mean": 0.9}  # 24 MiB beyond the 8 of the map
    found = pba.cost(compared([held, PTES]), workload="key-value")
    sentence = found.sentences()[0]
    loss, share = (float(text) / 100 for text in re.findall(r"([\d.]+) %", sentence))
    rest = {
        name: found.totals.at[name, "total"] - found.totals.at[name, "lost_map"] for name in found.choices
    }
    more = rest["v6"] - rest["pte-mapped"]
    assert more > 0
    assert loss * 3600 * 0.9 == pytest.approx(more, rel=0.02)  # per cent with two digits
    assert 0.035 * 3600 * share == pytest.approx(more, rel=0.02)  # per cent with two digits
    assert "they do not for none" in pba.cost(compared([held, PTES]), workload="none").sentences()[0]
    cheaper = pba.cost(compared([V6 | {"held_back_mean": 1}, PTES])).sentences()[0]
    assert "pay off whatever losing them costs" in cheaper
    assert pba.cost(compared([V6])).sentences() == []


def test_a_map_in_ptes_takes_its_share_of_memory() -> None:
    shares = [round(100 * costs.map_tables_share(size), 3) for size in (4, 16, 64)]
    assert shares == [0.195, 0.049, 0.012]
    table = pba.break_even_memory(compared([V6 | {"held_back_peak": 2048}, PTES]))
    assert table["choice"].tolist() == ["v6"]
    row = table.iloc[0]
    assert (row["mean_gib"], row["peak_gib"], row["memory_gib"]) == (2, 4, 4)  # a table of 4 KiB maps 2 MiB
    # A machine of that memory has as many tables in a map of PTEs as pages are held back.
    assert row["mean_gib"] * (1 << 18) * costs.map_tables_share(4) == 1024


def test_a_real_comparison_is_weighed_and_repeats() -> None:
    found = pba.compare(["git-x86", "server-arm64-16k"], ["v6", "pte-mapped"])
    one, other = (pba.cost(found, workload="none", samples=64, seed=5) for _ in range(2))
    assert one.to_json() == other.to_json()
    assert len(one.per_trace) == 4
    assert one.totals["wins"].sum() == pytest.approx(1)
    assert (one.per_trace["total"] > 0).all()
    memory = pba.break_even_memory(found).set_index("trace")
    assert memory.at["server-arm64-16k", "mean_gib"] == pytest.approx(
        memory.at["server-arm64-16k", "held_back_mean"] * 32 / 1024
    )


def test_what_cannot_be_weighed_is_refused() -> None:
    with pytest.raises(pba.PbaError, match="did you mean key-value"):
        pba.cost(compared([V6]), workload="key-valu")
    with pytest.raises(pba.PbaError, match="samples = 0"):
        pba.cost(compared([V6]), samples=0)
    with pytest.raises(pba.PbaError, match="nothing was compared"):
        pba.cost(Comparison((), pd.DataFrame(), pd.DataFrame(), pd.DataFrame()))
