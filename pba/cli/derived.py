"""Writing a trace that was made of others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pba.printable import printable
from pba.units import format_time, number

if TYPE_CHECKING:
    from pba.trace.table import Trace


def refuse_output(output: Path, force: bool) -> None:
    """Refuse an output that cannot be, before any work is done."""
    from pba.files import refuse_overwrite
    from pba.trace.forms.writing import refuse_unknown_form

    refuse_unknown_form(output)
    refuse_overwrite(output, force)


def finish(made: Trace, output: Path, force: bool, as_json: bool = False) -> None:
    """Write a trace under the name of its file, and say what it is."""
    from pba.analysis.summary import summarize_trace

    named = output.name.removesuffix(".gz").rpartition(".")[0]
    made = replace(made, metadata=made.metadata.with_(name=named))
    made.write(output, force=force)
    summary = summarize_trace(made)
    if as_json:
        print(json.dumps({"file": str(output), **summary.to_dict()}, indent=2))
        return
    print(
        f"{printable(output)}: {number(summary.events)} events in {format_time(made.metadata.duration_ns)}: "
        f"{number(summary.ops['A'])} page tables allocated, {number(summary.ops['F'])} freed, "
        f"{number(summary.ops['S'] + summary.ops['D'])} shrinker passes; "
        f"{number(summary.live_peak_pages)} live at the peak, {number(summary.live_end_pages)} at the end"
    )
