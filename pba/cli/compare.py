"""`pba compare`: policies and thresholds side by side on the same traces."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pba.cli.layout import columns
from pba.cli.live import LiveLine
from pba.cli.options import AsJson, LinearMap, Memory, MemoryFromTrace, PageSize
from pba.units import plural

if TYPE_CHECKING:
    from pba.probe.compare import Comparison

NARROW = 80


def compare(
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
            help="What to compare; may be repeated. Keys are parameters of the policy, and U, M, B. 'all' is every "
            "policy. Default: v6, untracked, scattered, pte-mapped, freetype.",
        ),
    ] = None,
    page_size: PageSize = None,
    memory: Memory = None,
    linear_map: LinearMap = "",
    memory_from_trace: MemoryFromTrace = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR",
            help="Write tables (CSV, JSON) and a figure per trace (SVG, PNG) there, too.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files with other contents.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Replay traces under several policies, or thresholds, and count them alike.

    Each policy gets a column; each row is a measure that means the same for all
    of them: splits, calls and TLB flushes, memory held back, failures. Counts are
    summed over the traces, means and shares averaged. Rows of zeros are left out.
    What the thresholds are is the patch's, unless U, M or B say otherwise.

      pba compare                            the question: does tracking help?
      pba compare pgbench --policy v6 --policy freetype --policy freetype:fallback=true
      pba compare 'arm64-*' --policy v6 --policy v6:M=512 -o plots/arm64
      pba compare --policy all --json
    """
    from pba._jit import start_quickly

    start_quickly()
    from pba.cli.replay import machine_from
    from pba.probe.compare import QUESTION
    from pba.probe.compare import compare as run_compare

    is_given = page_size is not None or memory is not None or linear_map != ""
    progress = LiveLine()
    try:
        found = run_compare(
            traces or None,
            policy or QUESTION,
            (lambda trace: machine_from(trace, page_size, memory, linear_map)) if is_given else None,
            memory_from_trace=memory_from_trace,
            progress=progress,
        )
    finally:
        progress.end()
    print(found.to_json() if as_json else render(found, shutil.get_terminal_size((NARROW, 24)).columns))
    for path in [] if output is None else _write(found, output, force):
        print(f"pba: wrote {path}", file=sys.stderr)


def render(found: Comparison, width: int) -> str:
    """Return the table of measures as text, policies as columns; several tables where one would be too wide."""
    rows = [("", "", *found.choices), *found.rows()]
    label = max(len(row[0]) for row in rows) + max(len(row[1]) for row in rows) + 2
    widths = [max(len(row[at]) for row in rows) + 2 for at in range(2, len(rows[0]))]
    parts: list[list[int]] = [[]]
    for at, cells in enumerate(widths, 2):
        taken = label + sum(widths[one - 2] for one in parts[-1])
        if parts[-1] and taken + cells > width:
            parts.append([])
        parts[-1].append(at)
    tables = [
        columns([(row[0], row[1], *(row[at] for at in part)) for row in rows], "ll" + "r" * len(part))
        for part in parts
    ]
    names = found.traces
    told = f"on {plural(len(names), 'trace')}" if len(names) > 3 else "on " + ", ".join(names)
    return "\n\n".join([f"{plural(len(found.choices), 'policy', 'policies')} {told}", *tables])


def _write(found: Comparison, folder: Path, force: bool) -> list[Path]:
    """Write tables and figures; return their files."""
    from pba.report.compare_figures import comparison_files
    from pba.report.write import write_files

    contents = comparison_files(found, folder)
    write_files(contents, folder, force)
    return list(contents)
