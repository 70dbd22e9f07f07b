"""`pba info`: what is in a trace, in a screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.layout import described, duration, number, share
from pba.cli.traces import open_trace
from pba.machine import KIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pba.trace.metadata import Background, Counted, Metadata, Quality
    from pba.trace.summary import BlocksTouched, Demand, Summary

Rows = list[tuple[str, str]]

OPS = {
    "A": "page tables allocated",
    "F": "page tables freed",
    "S": "shrinker passes",
    "D": "drop_slab",
    "B": "background chunks taken",
    "b": "background chunks given back",
}
"""What the ops mean, for a reader who does not know the letters."""


def info(
    trace: Annotated[
        Path,
        typer.Argument(metavar="TRACE", help="A trace file of any form, or the name of a recording of pba."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print plain numbers, as JSON.")] = False,
) -> None:
    """Show what is in a trace, and how far it can be trusted."""
    from pba.trace.summary import summarize

    summary = summarize(open_trace(trace))
    if as_json:
        print(json.dumps({"file": str(trace), **summary.to_dict()}, indent=2))
    else:
        print(render(summary))


def render(summary: Summary) -> str:
    """Return a summary as a screen of text."""
    rows = [
        *_origin_rows(summary.metadata),
        ("length", _length(summary)),
        ("", ""),
        *_content_rows(summary),
        ("", ""),
        *_quality_rows(summary.metadata.quality, summary.unknown_frees),
    ]
    if summary.blocks is not None:
        rows += [("", ""), *_block_rows(summary.blocks)]
    return described(rows)


def _length(summary: Summary) -> str:
    """Return how long the recording is, and which part of it the events take where it is not all."""
    told = f"{duration(summary.duration_ns)}, {number(summary.events)} events"
    first, last = summary.first_event_ns, summary.last_event_ns
    if summary.events and first:
        told += f", the first after {duration(first)}"
    if summary.events and last < summary.duration_ns:
        told += f", the last after {duration(last)}"
    return told


def _origin_rows(metadata: Metadata) -> Rows:
    """Return where the trace comes from."""
    page_size, pages = metadata.page_size_kib, metadata.memory_pages
    memory = "unknown"
    if pages is not None:
        memory = f"{number(pages)} pages"
        if page_size is not None:
            memory = f"{format_bytes(pages * page_size * KIB)} ({memory})"
    return [
        ("name", metadata.name or "none"),
        ("source", metadata.source or "unknown"),
        ("kernel", " ".join(filter(None, (metadata.kernel, metadata.architecture))) or "unknown"),
        ("page size", "unknown" if page_size is None else f"{page_size} KiB"),
        ("memory", memory),
        *_free_rows(metadata),
    ]


def _free_rows(metadata: Metadata) -> Rows:
    """Return the memory that was free at the start, which --memory-from-trace starts with."""
    counts = metadata.free_chunks
    if not counts:
        return []
    pages = sum(count << order for order, count in enumerate(counts))
    size = f"{number(pages)} pages"
    if metadata.page_size_kib is not None:
        size = f"{format_bytes(pages * metadata.page_size_kib * KIB)} ({size})"
    return [("free at the start", f"{size}; chunks by order: " + " ".join(map(number, counts)))]


def _content_rows(summary: Summary) -> Rows:
    """Return what happens in the trace."""
    rows = [(op, f"{number(count)} {OPS[op]}") for op, count in summary.ops.items() if count]
    if summary.levels:
        by_level = ", ".join(f"{name} {number(count)}" for name, count in summary.levels.items())
        rows.append(("allocated by level", by_level))
    if summary.passes:
        by_priority = ", ".join(f"{number(count)} at {key}" for key, count in summary.passes.items())
        rows.append(("passes by priority", f"{by_priority} (0 is the hardest pressure)"))
    unknown = summary.metadata.start_is_unknown
    rows.append(
        (
            "live pages",
            f"{'unknown' if unknown else number(summary.live_start_pages)} at the start, "
            f"{number(summary.live_peak_pages)} at the peak, {number(summary.live_end_pages)} at the end",
        )
    )
    return [*rows, *_demand_rows(summary.demand), *_phase_rows(summary.phases)]


def _phase_rows(phases: Sequence[dict[str, float]]) -> Rows:
    """Return where live pages grow and shrink the fastest; `pba plot` draws all phases."""
    if not phases:
        return []
    if len(phases) == 1:
        return [("phases", f"1: rates keep; live pages change by {_per_second(phases[0])}")]
    fastest = max(phases, key=lambda phase: phase["change_per_second"])
    slowest = min(phases, key=lambda phase: phase["change_per_second"])
    told = f"shrink or grow by {_per_second(slowest)} at the least, {_per_second(fastest)} at the most"
    return [("phases", f"{len(phases)}, each with its own rates; live pages {told}")]


def _per_second(phase: dict[str, float]) -> str:
    times = " to ".join(f"{phase[name]:.3g}" for name in ("from_seconds", "to_seconds"))
    return f"{phase['change_per_second']:+,.3g} pages/s ({times} s)"


def _demand_rows(demand: Demand) -> Rows:
    """Return what the demand is like; `pba plot` draws it."""
    half = demand.median_lifetime_ns
    lives = (
        "more than half of the pages outlive the trace" if half is None else f"median life {duration(half)}"
    )
    return [
        (
            "demand",
            f"{lives}; 99 % of the bursts of frees have at most {number(demand.p99_free_burst_pages)} pages; "
            f"natural cache size {number(demand.natural_cache_pages)} pages (most allocations beyond frees "
            "within 1 s)",
        )
    ]


def _quality_rows(quality: Quality, unknown_ids: int) -> Rows:
    """Return how far the trace can be trusted."""
    rows = [
        ("lost events", number(quality.lost_events)),
        ("unknown frees", f"{number(quality.unknown_frees)} left out, {number(unknown_ids)} in the events"),
        ("inferred frees", f"{number(quality.inferred_frees)} (a live page was allocated again)"),
    ]
    if quality.unparsed_lines:
        rows.append(("lines left out", f"{number(quality.unparsed_lines)} that could not be understood"))
    truth = quality.truth
    if truth is None:
        rows.append(("held against truth", "no"))
    else:
        rows.append(
            (
                "held against truth",
                f"recall {share(truth.recall)}, precision {share(truth.precision)}: "
                f"{number(truth.common_pages)} of {number(truth.true_pages)} true pages known, "
                f"{number(truth.recorded_pages - truth.common_pages)} false",
            )
        )
    if quality.counted:
        rows.append(("held against count", counted_words(quality.counted)))
    if quality.background:
        rows.append(("background", background_words(quality.background)))
    if quality.visits_rule:
        rows.append(("passes found by", quality.visits_rule))
    return rows + [("note", note) for note in quality.notes]


def counted_words(counted: Counted) -> str:
    """Say how the live pages compare with the kernel's own count, and why they may not be the same."""
    from pba.trace.held import COUNT, WHY_COUNTS_DIFFER

    start, end = (
        f"{number(recorded)} live pages at the {when} where {COUNT} says {number(pages)}"
        for when, recorded, pages in (
            ("start", counted.recorded_start_pages, counted.start_pages),
            ("end", counted.recorded_end_pages, counted.end_pages),
        )
    )
    return f"{start}, {end} ({WHY_COUNTS_DIFFER})"


def background_words(background: Background) -> str:
    """Say how the rest of the system's demand was recorded."""
    at_start, inferred, unknown, pieces = (
        number(count)
        for count in (
            background.live_at_start,
            background.inferred_frees,
            background.unknown_frees,
            background.in_pieces,
        )
    )
    return (
        f"orders {background.lowest_order} to {background.highest_order}; {at_start} chunks live before the "
        f"start, as far as they were freed later; {inferred} frees inferred, {unknown} of chunks that were "
        f"not live; {pieces} chunks freed in pieces, each held until its last page was: "
        f"{background.over_held_pages:,.0f} pages more than there were, on average"
    )


def _block_rows(blocks: BlocksTouched) -> Rows:
    """Return what setting pkeys page by page would have split."""
    of_memory = "" if blocks.memory_blocks is None else f" of the memory's {number(blocks.memory_blocks)}"
    return [
        (
            "PMD blocks touched",
            f"{number(blocks.touched_blocks)}{of_memory}, by {number(blocks.distinct_pages)} page frames",
        ),
        (
            "",
            f"a block is {number(blocks.block_nr_pages)} pages; setting pkeys page by page would have split "
            "every one of these in the linear map, for good",
        ),
    ]
