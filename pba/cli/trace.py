"""`pba trace`: make traces of traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pba.cli.derived import finish, refuse_output
from pba.cli.minimise import minimise
from pba.cli.options import AsJson
from pba.cli.traces import open_trace
from pba.errors import PbaError
from pba.units import parse_time

trace = typer.Typer(
    name="trace",
    help="Cut, join, repeat, merge, scale and minimise traces.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Input = Annotated[
    Path, typer.Argument(metavar="IN", help="A trace file of any form, or the name of a recording of pba.")
]
Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="A B ...", help="Trace files of any form, or names of recordings of pba."),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="Where to write: .parquet or .events[.gz].")
]
Force = Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")]
Gap = Annotated[str, typer.Option("--gap", metavar="T", help="Time between one and the next, such as 300ms.")]


@trace.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    """Show the commands where none is given."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@trace.command("cut")
def cut(
    source: Input,
    output: Output,
    from_: Annotated[
        str, typer.Option("--from", metavar="T", help="Where the piece begins: 12.5s, 300ms, 2min.")
    ] = "0",
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="T", help="Where it ends; what happens then is not in it. Default: all."
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Cut a piece out of a trace.

    Times count from the beginning of the recording. What is live at the cut is
    allocated at the piece's first instant, in the order of its allocation.
    Frees of pages outside are dropped. What is live at the end stays live.
    """
    from pba.trace import ops

    begin = parse_time(from_, "--from")
    end = None if to is None else parse_time(to, "--to")
    refuse_output(output, force)
    finish(ops.cut(open_trace(source), begin, end), output, force, as_json)


@trace.command("join")
def join(
    sources: Inputs, output: Output, gap: Gap = "0", force: Force = False, as_json: AsJson = False
) -> None:
    """Put traces one after the other.

    Their pages are kept apart: what A leaves live stays live, and what B had
    live at its start is allocated where B begins.
    """
    from pba.trace import ops

    gap_ns = parse_time(gap, "--gap")
    refuse_output(output, force)
    finish(ops.join([open_trace(source) for source in sources], gap_ns), output, force, as_json)


@trace.command("repeat")
def repeat(
    source: Input,
    output: Output,
    times: Annotated[int, typer.Option("--times", metavar="N", help="Rounds, 1 or more.")],
    gap: Gap = "0",
    leftover: Annotated[
        str,
        typer.Option(
            metavar="free|keep",
            help="What is live at a round's end: freed there (every round begins alike), or kept (a leak).",
        ),
    ] = "free",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Repeat a trace.

    With --leftover free, what is live at the end of a round is freed there,
    oldest first, in all rounds but the last; the next round allocates what the
    recording found live at its start once more. With keep it piles up.
    """
    from pba.trace import ops

    gap_ns = parse_time(gap, "--gap")
    refuse_output(output, force)
    finish(ops.repeat(open_trace(source), times, gap_ns, leftover), output, force, as_json)


@trace.command("merge")
def merge(
    sources: Inputs,
    output: Output,
    passes_from: Annotated[
        str | None,
        typer.Option(metavar="A", help="Take the shrinker's passes from this one alone. Default: from all."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Merge traces as if they had run at the same time.

    All begin together. Pages, background chunks and page frames are kept apart,
    so live pages add up. The shrinker's passes of all are kept, so that there
    are as many as on all machines together, unless --passes-from names one.
    """
    from pba.trace import ops

    refuse_output(output, force)
    names = [str(source) for source in sources]
    if passes_from is not None and passes_from not in names:
        raise PbaError(f"--passes-from {passes_from} is not among the traces", "name one of them as given")
    chosen = None if passes_from is None else names.index(passes_from)
    finish(ops.merge([open_trace(source) for source in sources], chosen), output, force, as_json)


@trace.command("scale")
def scale(
    source: Input,
    output: Output,
    time: Annotated[
        float, typer.Option("--time", metavar="F", help="2: takes twice as long. 0.5: half as long.")
    ],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Stretch or squeeze the time of a trace; a replay then differs in time-weighted figures only."""
    from pba.trace import ops

    refuse_output(output, force)
    finish(ops.scale(open_trace(source), time), output, force, as_json)


trace.command("minimise")(minimise)
