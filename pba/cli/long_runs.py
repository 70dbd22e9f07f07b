"""`pba answer`: long runs of made workloads under all policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pba.cli.live import LiveLine
from pba.cli.options import AsJson


def long_runs(
    definition: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="What to run (TOML). Default: studies/answer/long-runs.toml of pba."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where days and the report go.")
    ] = Path("runs/answer"),
    short: Annotated[
        bool, typer.Option("--short", help="The file's short form: minutes instead of days.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-j", min=1, max=1024, metavar="N", help="Processes. Default: one for each CPU."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run days of made workloads under every policy, and say what became of the linear map.

    Each workload with each seed is generated once, and replayed on every size of
    memory, from free and from fragmented memory, under every policy: what is
    split and held back in the end and over time, what pressure gets back, how
    often no whole block could be had. The same again goes on where it was
    stopped, or says the same; the files do not depend on --workers.

      pba answer --short             the whole way, in a minute or two
      pba answer -j 2 -o runs/answer the days of studies/answer/long-runs.toml
      pba answer mine.toml           your own workloads, policies, sizes
    """
    from pba._jit import start_quickly

    start_quickly()
    from pba.answer.long_runs import long_runs as run
    from pba.answer.long_runs import read_runs

    runs = read_runs(definition, short=short)
    progress = LiveLine()
    try:
        found = run(runs, output, workers=workers, progress=progress)
    finally:
        progress.end()
    from pba.report.answer_figures import decay_picture
    from pba.report.outputs import picture_contents, write_files

    write_files(picture_contents(decay_picture(found), output / "decay", ("svg",)), output, force=True)
    print(
        found.rows.to_json(orient="records", indent=1) if as_json else found.report(),
        end="" if not as_json else "\n",
    )
