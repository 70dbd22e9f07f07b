"""Costs beside the aims: sums of the raw counters, named point by named point."""

from __future__ import annotations

from pba.report.costs import COSTS, costs_section, costs_table
from pba.report.data import roles_of
from tests.report.report_fixture import corner_runs


def test_every_cost_is_the_sum_of_its_counters_over_the_recordings() -> None:
    for name, run in corner_runs().items():
        table = costs_table(run).set_index("cost")
        assert {"unprotect_calls", "contpte_splits", "scan_calls", "pages_released"} <= set(table.index), name
        raw = run.per_trace.reset_index()
        for cost, row in table.iterrows():
            for role, number in roles_of(run):
                rows = raw[raw["number"] == number]
                assert len(rows) == len(run.traces)
                assert row[role] == sum(rows[counter].sum() for counter in COSTS[str(cost)][1])


def test_what_never_occurs_is_a_sentence_and_no_row() -> None:
    (section,) = costs_section(corner_runs()["usual"])
    labels = [row[0] for row in section.tables[0].rows]
    assert "failed allocations" not in labels and "scans" in labels
    assert section.text[0].endswith("None of these points has failed allocations.")
