"""The summary of whatever was found: a run, a sweep, a batch of studies, a comparison of policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pba.report.summaries import KERNEL_PATCH, LETTER, MMTESTS, Summary

if TYPE_CHECKING:
    from pba.probe.compare import Comparison
    from pba.report.of_batch import Batch
    from pba.study.result import Run
    from pba.study.sweep.result import SweepResult

Found: TypeAlias = "Run | SweepResult | Batch | Comparison"
"""What there is to report."""


def summary_of(found: Found, drawn: bool = True) -> Summary:
    """Return everything that a report says of a run, a sweep, a batch of studies or a comparison of policies.

    Parameters
    ----------
    found : Run, SweepResult, Batch or Comparison
        What it is about.
    drawn : bool
        Whether figures and what they show are wanted: what is sent does not need them, and they take seconds.
    """
    from pba.probe.compare import Comparison
    from pba.report.of_batch import Batch, summary_of_batch
    from pba.report.of_comparison import summary_of_comparison
    from pba.report.of_sweep import summary_of_sweep
    from pba.study.sweep.result import SweepResult

    if isinstance(found, SweepResult):
        return summary_of_sweep(found, drawn)
    if isinstance(found, Batch):
        return summary_of_batch(found, drawn)
    if isinstance(found, Comparison):
        return summary_of_comparison(found, drawn)
    return summary_of_run(found, drawn)


def summary_of_run(run: Run, drawn: bool = True) -> Summary:
    """Return everything that a report says of a run."""
    from pba.report.costs import costs_table
    from pba.report.figures import all_pictures
    from pba.report.kernel_patch import kernel_patch
    from pba.report.mail import cover_letter, mmtests
    from pba.report.plain_data import plain_data
    from pba.report.replayed import Replayed, replayed
    from pba.report.slices import slices_picture, slices_table
    from pba.report.summary import summarize_run

    replays, lines, pictures = Replayed({}, ""), None, []
    if drawn:
        replays, lines = replayed(run), slices_table(run)
        pictures = [
            *all_pictures(run),
            *([] if lines.empty else [slices_picture(run, lines)]),
            *replays.pictures(),
        ]
    sent = {}
    if run.decision is not None:
        sent = {LETTER: cover_letter(run), MMTESTS: mmtests(run), KERNEL_PATCH: kernel_patch(run)}
    compared = [] if run.decision is None else run.decision.compared
    named = {one.name: f"of the point called {one.name}" for one in compared}
    return Summary(
        kind="run",
        document=summarize_run(run, replays, lines),
        pictures=tuple(pictures),
        data={} if run.decision is None else plain_data(run),
        sent={name: text for name, text in sent.items() if text},
        tables={
            "trials": run.points.sort_index().rename_axis("number").reset_index(),
            "costs": costs_table(run),
        },
        aims=run.aims,
        columns=named,
    )
