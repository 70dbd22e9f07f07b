"""`pba.inside`: what memory holds at chosen events agrees with the counters and with the slow reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pba
from pba.events import OP_ALLOC, OP_FREE, OP_SHRINK
from pba.machine import Machine
from pba.probe.inside import CACHED, IN_USE
from pba.report.inside_figures import MOST_BLOCKS, drawn_blocks
from pba.trace.table import Trace

VECTORS = Path(__file__).parents[1] / "vectors"


def splitting() -> Trace:
    """Six hundred page tables, four hundred of them freed, and two passes, of which the second one scans."""
    frees = [1 + 7 * i % 600 for i in range(400)]
    op = [OP_ALLOC] * 600 + [OP_FREE] * 400 + [OP_SHRINK] * 2
    ids = [*range(1, 601), *frees, 0, 0]
    times = [1000 * i for i in range(len(op))]
    return Trace.from_arrays({"time_ns": times, "op": op, "id": ids, "arg": [0] * len(op)})


@pytest.mark.parametrize("name", ["pressure", "fragmented-mix", "pages16k"])
def test_what_is_seen_is_what_a_timeline_counts(name: str) -> None:
    trace = pba.read_trace(VECTORS / f"{name}.events.gz")
    machine = Machine(16 if name == "pages16k" else 4, memory_pages=1 << 16)
    timeline = pba.replay(trace, machine=machine, timeline=True).timeline
    assert timeline is not None
    events = [0, 1, len(trace) // 3, len(trace) // 2, len(trace)]
    found = pba.inside(trace, events, machine=machine)
    assert found.table["event"].tolist() == events
    for step, row in zip(found.steps[1:], found.table.to_dict("records")[1:], strict=True):
        after = timeline.iloc[step.event - 1]
        assert row["cached"] == after["nr_cached"] == len(step.list_blocks)
        assert row["pmd_splits"] == after["pmd_splits"]
        # All that is cached or in use lies in the blocks that are seen.
        assert (step.pages == CACHED).sum() == after["nr_cached"]
        assert (step.pages == IN_USE).sum() == after["live_pages"]
        of_step = found.per_block[found.per_block["event"] == step.event]
        assert (of_step["leaf"] == "PTEs").sum() == after["pmd_splits"]
        total = of_step[["cached", "in_use", "free", "other"]].sum(axis=1)
        assert (total == machine.block_nr_pages).all()
        tracked = of_step.loc[of_step["managed"], "cached"].sum()
        assert row["cached"] - row["nonblock"] == tracked


def test_the_list_is_what_the_allocator_takes_from() -> None:
    trace = splitting()
    found = pba.inside(trace, [1000, 1001, 1002], machine=Machine(memory_pages=8192))
    before, put_off, split = found.table.to_dict("records")
    assert before["cached"] == put_off["cached"] == 824
    assert split["pmd_splits"] == 1
    rows = found.per_block
    at_pass, after = (rows[rows["event"] == event].set_index("block") for event in (1001, 1002))
    emptiest = at_pass["cached"].idxmax()
    assert after["leaf"].to_dict() == {block: "PTEs" if block == emptiest else "PMD" for block in after.index}
    assert after.index[after["managed"]].tolist() == [block for block in after.index if block != emptiest]
    # Freed last, taken next: the head is the block of the last free that was not taken by a scan.
    assert found.steps[0].list_blocks[0] == found.steps[1].list_blocks[0]
    whole = pba.inside(trace, [1002], pba.Thresholds(16, 512, 512), Machine(memory_pages=8192))
    assert whole.table["pmd_splits"].tolist() == [0]


def test_the_picture_draws_the_blocks_and_says_what_they_are() -> None:
    found = pba.inside(splitting(), [0, 1000, 1002], machine=Machine(memory_pages=8192))
    drawn = pba.plot_inside(found)
    assert drawn.data.equals(pba.df_inside(found))
    images = [image for axes in drawn.figure.axes for image in axes.images]
    assert len(images) == 3
    assert np.array_equal(np.asarray(images[2].get_array()), found.steps[2].pages[drawn_blocks(found)])
    assert "after a shrinker pass" in drawn.alt
    assert "1 mapped by PTEs" in drawn.alt
    assert drawn.svg() == pba.plot_inside(found).svg()


def test_of_many_blocks_the_fullest_are_drawn() -> None:
    found = pba.inside("pgbench-x86", [0, 20_000, 100_000])
    places = drawn_blocks(found)
    assert len(places) == MOST_BLOCKS < len(found.blocks)
    assert len(pba.df_inside(found)) == 3 * MOST_BLOCKS


@pytest.mark.parametrize(
    ("events", "said"),
    [([], "0 events to look at"), ([-1], "event -1 is not in"), ([2000], "event 2000 is not in")],
)
def test_events_that_are_not_there_are_refused(events: list[int], said: str) -> None:
    with pytest.raises(pba.PbaError, match=said):
        pba.inside(splitting(), events, machine=Machine(memory_pages=8192))
