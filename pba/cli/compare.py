"""`pba compare`: runs and sweeps side by side, or policies and thresholds on the same traces."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.layout import columns
from pba.cli.live import LiveLine
from pba.cli.options import AsJson, Fragmented, LinearMap, Memory, MemoryFromTrace, PageSize, StartSeed
from pba.cli.reclaim import (
    RECORDED,
    Mglru,
    MinFreeKbytes,
    PageCacheGrowth,
    PageCacheShare,
    Reclaim,
    ReclaimableShare,
    Thp,
    watermarks_from,
)
from pba.printable import printable
from pba.units import plural

if TYPE_CHECKING:
    from pba.probe.compare import Comparison
    from pba.report.side_by_side import RunComparison

NARROW = 80


def compare(
    traces: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RESULT|TRACE",
            help="Folders of runs and sweeps, two or more. Or traces: files, names or patterns of recordings "
            "('arm64-*'). Default: all recordings of pba.",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="NAME[:KEY=VALUE,...]",
            help="What to compare on traces; may be repeated. Keys are parameters of the policy, and U, M, B. 'all' "
            "is every policy. Default: v6, untracked, scattered, pte-mapped, freetype.",
        ),
    ] = None,
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--thresholds",
            metavar="U=N,M=N,B=N",
            help="Or thresholds, in pages, beside the patch's; what is left out is the patch's. May be repeated.",
        ),
    ] = None,
    page_size: PageSize = None,
    memory: Memory = None,
    linear_map: LinearMap = "",
    memory_from_trace: MemoryFromTrace = False,
    fragmented: Fragmented = None,
    seed: StartSeed = 0,
    reclaim: Reclaim = RECORDED,
    min_free_kbytes: MinFreeKbytes = None,
    thp: Thp = None,
    page_cache_growth: PageCacheGrowth = None,
    page_cache_share: PageCacheShare = None,
    reclaimable_share: ReclaimableShare = None,
    mglru: Mglru = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR",
            help="Write tables (CSV, JSON) and figures (SVG, PNG) there, too.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files with other contents.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Put runs and sweeps side by side, or policies and thresholds on traces.

    Of runs and sweeps it says what differs between them (versions, traces,
    machines, grid), what each recommends, and what that comes to on the traces of
    the others; with -o the fronts in one figure. Nothing is replayed for it.

    Traces are replayed under several policies, or thresholds. Each gets a column;
    each row is a measure that means the same for all of them: splits, calls and
    TLB flushes, memory held back, failures. Counts are summed over the traces,
    means and shares averaged; from five traces on changes have an interval. Rows
    of zeros are left out. Thresholds are the patch's, unless U, M or B say
    otherwise.

      pba compare runs/server runs/phone     what differs, and does it matter?
      pba compare                            does tracking blocks help?
      pba compare pgbench --thresholds U=256,M=480,B=1024
      pba compare 'arm64-*' --policy v6 --policy freetype:fallback=true
      pba compare --policy all --json
      pba compare --fragmented 1             where no whole block is free
      pba compare --reclaim watermarks       what is given back ends the pressure
    """
    from pba.report.side_by_side import is_result

    watermarks = watermarks_from(
        reclaim,
        min_free_kbytes=min_free_kbytes,
        thp=thp,
        page_cache_growth=page_cache_growth,
        page_cache_share=page_cache_share,
        reclaimable_share=reclaimable_share,
        mglru=mglru,
    )
    given = traces or []
    results = [one for one in given if is_result(one)]
    if results:
        replayed = [
            policy,
            thresholds,
            page_size,
            memory,
            linear_map or None,
            memory_from_trace or None,
            fragmented,
            watermarks,
        ]
        _refuse_mixture(given, results, any(one is not None for one in replayed))
        _compare_results(results, output, force, as_json)
        return
    from pba._jit import start_quickly

    start_quickly()
    from pba.cli.replay import machine_from
    from pba.probe.compare import compare as run_compare

    is_given = page_size is not None or memory is not None or linear_map != ""
    progress = LiveLine()
    try:
        found = run_compare(
            traces or None,
            chosen(policy or [], thresholds or []),
            (lambda trace: machine_from(trace, page_size, memory, linear_map)) if is_given else None,
            memory_from_trace=memory_from_trace,
            fragmented=fragmented,
            seed=seed,
            reclaim=watermarks,
            progress=progress,
        )
    finally:
        progress.end()
    print(found.to_json() if as_json else render(found, shutil.get_terminal_size((NARROW, 24)).columns))
    for path in [] if output is None else _write(found, output, force):
        print(f"pba: wrote {path}", file=sys.stderr)


def chosen(policies: list[str], thresholds: list[str]) -> list[str]:
    """Return what is compared on traces: thresholds stand after the patch's own, and are v6's."""
    from pba.errors import PbaError
    from pba.probe.compare import QUESTION

    if not thresholds:
        return policies or list(QUESTION)
    for text in thresholds:
        if any(word[:2] not in ("U=", "M=", "B=") for word in text.split(",")):
            raise PbaError(f"--thresholds {printable(text)} is not understood", "say U=256,M=480,B=1024")
    return [*(policies or ["v6"]), *(f"v6:{text}" for text in thresholds)]


def _refuse_mixture(given: list[str], results: list[str], is_replayed: bool) -> None:
    """Raise `PbaError` where runs or sweeps stand beside what is about traces."""
    from pba.errors import PbaError

    others = [one for one in given if one not in results]
    if others:
        raise PbaError(
            f"{printable(results[0])} holds a result and {printable(others[0])} does not",
            "name folders of runs and sweeps, or traces",
        )
    if is_replayed:
        raise PbaError(
            f"{printable(results[0])} holds a result, and nothing is replayed to compare it",
            "leave out --policy, --thresholds and the machine",
        )


def _compare_results(results: list[str], output: Path | None, force: bool, as_json: bool) -> None:
    """Print runs and sweeps side by side, and write what was asked for."""
    from pba.report.side_by_side import compare_runs

    found = compare_runs(*results)
    print(found.to_json() if as_json else render_results(found))
    if output is not None:
        from pba.report.outputs import write_files
        from pba.report.side_by_side_figures import run_comparison_files

        contents = run_comparison_files(found, output)
        write_files(contents, output, force)
        for path in contents:
            print(f"pba: wrote {path}", file=sys.stderr)


def render_results(found: RunComparison, width: int = NARROW) -> str:
    """Return runs and sweeps side by side as text: what differs, what each found, and on the traces of others."""
    names = [printable(name, 40) for name in found.names]
    parts = [f"{plural(len(names), 'result')}: {', '.join(names)}", differing(found, names, width)]
    parts += [_choices(found, *pair, width) for pair in zip(found.names, names, strict=True)]
    crossed = [(printable(of, 40), *rest) for of, *rest in found.crossed_rows()]
    told = "whose recommended thresholds (rows) on whose traces (columns): patch's -> theirs"
    if any(cell.endswith("-> -") for row in crossed for cell in row):
        told += "\n(-: they are not on that grid, and were not tried)"
    parts.append(f"{told}\n{fitting([('', '', *names), *crossed], 'll' + 'r' * len(names), width)}")
    return "\n\n".join(part for part in parts if part)


def _choices(found: RunComparison, name: str, title: str, width: int) -> str:
    """Return what one has found: in a table, or one for each aim where that would be too wide."""
    head = ("", "thresholds", *(word for aim in found.aims for word in (aim.title, "change")))
    rows = [head, *found.choice_rows(name)]
    whole = columns(rows, "ll" + "rl" * len(found.aims))
    if max(map(len, whole.splitlines())) > width:
        of_aims = range(2, len(head), 2)
        whole = "\n\n".join(
            columns([(*row[:2], *row[at : at + 2]) for row in rows], "llrl") for at in of_aims
        )
    return f"{title}\n{whole}"


def differing(found: RunComparison, names: list[str], width: int) -> str:
    """Return what differs, a fact after the other with what it is in each, wrapped; and what does not."""
    if found.differences.empty:
        return "Nothing differs in how they were made."
    lines = ["what differs"]
    for fact, row in found.differences.iterrows():
        lines.append(f"  {printable(fact, 60)}")
        for words in dict.fromkeys(row):
            having = ", ".join(name for name, its in zip(names, row, strict=True) if its == words)
            told = f"{having}: {'not told' if words == '-' else printable(words, 1000)}"
            lines += textwrap.wrap(told, width, initial_indent="    ", subsequent_indent="      ")
    same = f"the same: {', '.join(found.same)}"
    return "\n".join([*lines, *textwrap.wrap(same, width)])


def fitting(rows: Sequence[Sequence[str]], align: str, width: int) -> str:
    """Return a table; where it is too wide, in parts below each other, each with the first two columns."""
    widths = [max(len(row[at]) for row in rows) + 2 for at in range(len(align))]
    parts: list[list[int]] = [[]]
    for at in range(2, len(align)):
        taken = widths[0] + widths[1] + sum(widths[one] for one in parts[-1])
        if parts[-1] and taken + widths[at] - 2 > width:
            parts.append([])
        parts[-1].append(at)
    return "\n\n".join(
        columns(
            [(row[0], row[1], *(row[at] for at in part)) for row in rows],
            "ll" + "".join(align[at] for at in part),
        )
        for part in parts
    )


def render(found: Comparison, width: int) -> str:
    """Return the table of measures as text, policies as columns; several tables where one would be too wide."""
    from pba.machine import Start

    rows = [("", "", *found.choices), *found.rows()]
    tables = [fitting(rows, "ll" + "r" * len(found.choices), width)]
    if changes := found.change_rows():
        head = (found.changes_words, "", *found.choices[1:])
        tables.append(_changes(head, changes, width))
    names = found.traces
    told = f"on {plural(len(names), 'trace')}" if len(names) > 3 else "on " + ", ".join(names)
    if found.start != Start():
        told += f"; {found.start}"
    if found.watermarks is not None:
        told += "; pressure follows free memory"
    return "\n\n".join([f"{plural(len(found.choices), 'policy', 'policies')} {told}", *tables])


def _changes(head: Sequence[str], changes: Sequence[Sequence[str]], width: int) -> str:
    """Return what changes against the first choice: its title, then a table, choices as columns."""
    rows = [("", "", *head[2:]), *((label, "", *cells) for label, *cells in changes)]
    return f"{printable(head[0], 200)}\n{fitting(rows, 'll' + 'r' * (len(head) - 2), width)}"


def _write(found: Comparison, folder: Path, force: bool) -> list[Path]:
    """Write tables and figures; return their files."""
    from pba.report.compare_figures import comparison_files
    from pba.report.outputs import write_files

    contents = comparison_files(found, folder)
    write_files(contents, folder, force)
    return list(contents)
