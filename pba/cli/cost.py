"""`pba cost`: what policies cost, by a price list, and what does not depend on prices."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pba.cli.layout import columns
from pba.cli.live import LiveLine
from pba.cli.options import AsJson, LinearMap, Memory, MemoryFromTrace, PageSize
from pba.units import number, plural

if TYPE_CHECKING:
    import pandas as pd

    from pba.answer.cost import Cost
    from pba.answer.prices import Prices
    from pba.probe.compare import Comparison

WIDTH = 80


def cost(
    traces: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TRACE]...",
            help="Trace files, names or patterns of recordings ('arm64-*'). Default: all recordings of pba.",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="NAME[:KEY=VALUE,...]",
            help="What to compare, as 'pba compare' takes it; may be repeated.",
        ),
    ] = None,
    workload: Annotated[
        str,
        typer.Option(
            metavar="CLASS",
            help="Whose loss of block mappings is taken: none, web, key-value, streaming, or one of the list's own.",
        ),
    ] = "web",
    prices: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            metavar="FILE",
            help="A price list of your own (TOML); what it leaves out is taken from pba's.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, metavar="N", help="Points of the prices' range that are tried.")
    ] = 1024,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of these points and of intervals.")] = 0,
    show_prices: Annotated[
        bool, typer.Option("--list", help="Print the price list with its sources, and replay nothing.")
    ] = False,
    page_size: PageSize = None,
    memory: Memory = None,
    linear_map: LinearMap = "",
    memory_from_trace: MemoryFromTrace = False,
    as_json: AsJson = False,
) -> None:
    """Weigh what policies count with what things cost, in CPU seconds an hour.

    Prices are ranges, most of them assumed: the cost at their defaults, between
    what 90 % of the range bring it, in what part of the range each policy is the
    cheapest (95 % over the traces), and where blocks break even with a linear map
    in PTEs. The counts stand beside. Of memory no price is needed: how much a
    machine must have before a map in PTEs takes more of it.

      pba cost pgbench --workload key-value
      pba cost --prices my-prices.toml --policy v6 --policy pte-mapped
      pba cost --list
    """
    from pba.answer.prices import read_prices

    listed = read_prices(prices)
    if show_prices:
        print(json.dumps(listed.to_frame().reset_index().to_dict("records"), indent=1)
              if as_json else render_prices(listed))  # fmt: skip
        return
    listed.loss(workload)  # refused before anything is replayed
    from pba._jit import start_quickly

    start_quickly()
    from pba.answer.cost import break_even_memory
    from pba.answer.cost import cost as weigh
    from pba.cli.replay import machine_from
    from pba.probe.compare import QUESTION, compare

    is_given = page_size is not None or memory is not None or linear_map != ""
    progress = LiveLine()
    try:
        compared = compare(
            traces or None, policy or QUESTION,
            (lambda trace: machine_from(trace, page_size, memory, linear_map)) if is_given else None,
            memory_from_trace=memory_from_trace, progress=progress,
        )  # fmt: skip
    finally:
        progress.end()
    found = weigh(compared, listed, workload, samples=samples, seed=seed)
    memories = break_even_memory(compared)
    if as_json:
        print(json.dumps(found.to_dict() | {"memory": memories.to_dict("records")}, indent=1))
        return
    print(render(found, compared, memories))


def render(found: Cost, compared: Comparison, memories: pd.DataFrame) -> str:
    """Return costs, their parts, the counts, break-even sentences and memories as text."""
    rows = found.rows()
    head = f"{found.workload}, mean of {plural(len(compared.traces), 'trace')}: CPU seconds an hour"
    costs = [("policy", "cost", "90 % of the range", "cheapest, %"), *(row[:4] for row in rows)]
    names = ("policy", "split", "call", "flush", "refill", "free", "memory", "map")
    parts = [names, *((row[0], *row[4:]) for row in rows)]
    counts: list[tuple[str, ...]] = [
        ("an hour", "splits", "calls", "flushes", "refills", "held, MiB", "split, %")
    ]
    counts += [_counts(choice, row) for choice, row in found.totals.to_dict("index").items()]
    told = [
        textwrap.fill(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for sentence in found.sentences()
    ]
    sizes = [("a map in PTEs takes more memory from", "held back, mean", "at most")]
    sizes += [
        (f"{row['trace']}: {row['choice']}", f"{row['mean_gib']:.2f} GiB", f"{row['peak_gib']:.2f} GiB")
        for row in memories.to_dict("records")
    ]
    tables = [
        f"{head}\n{columns(costs, 'lrrr')}",
        columns(parts, "l" + "r" * 7),
        columns(counts, "l" + "r" * 6),
    ]
    return "\n\n".join(
        [*tables, "\n".join(told), columns(sizes, "lrr")] if told else [*tables, columns(sizes, "lrr")]
    )


def _counts(choice: Any, row: dict[Any, Any]) -> tuple[str, ...]:
    """Return a row of counts an hour."""
    ways = ("protect_single", "protect_range", "unprotect_single", "unprotect_range")
    calls = sum(row[f"{name}_h"] for name in ways)
    figures = (row["pmd_splits_h"] + row["pud_splits_h"], calls, row["tlb_flushes_h"], row["refills_h"])
    memory = f"{row['held_back_gib'] * 1024:.2f}"
    return (
        str(choice),
        *(number(round(value)) for value in figures),
        memory,
        f"{100 * row['split_share']:.2f}",
    )


def render_prices(listed: Prices) -> str:
    """Return a price list as text, each with its source."""
    rows = [("price", "default", "range", "unit", "known")]
    rows += [
        (price.name, f"{price.default:g}", f"{price.low:g} to {price.high:g}", price.unit, price.known)
        for price in listed.prices.values()
    ]
    said = [
        textwrap.fill(f"{price.name}: {price.meaning}; {price.source}", WIDTH, subsequent_indent="  ")
        for price in listed.prices.values()
    ]
    return "\n\n".join([columns(rows, "lrrll"), *said])
