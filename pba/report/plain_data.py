"""A run as JSON: what scripts and other programs read. `summary.schema.json` beside this file describes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pba.report.answers import verdict
from pba.report.data import THRESHOLDS, decided
from pba.report.summaries import FORMAT_VERSION

if TYPE_CHECKING:
    from pba.study.result import Run

SCHEMA: Final = Path(__file__).with_name("summary.schema.json")


def plain_data(run: Run) -> dict[str, Any]:
    """Return what a finished run found as plain values, by the names of `summary.schema.json`.

    Raises
    ------
    StudyError
        If the run has not decided yet.
    """
    decision = decided(run).to_dict()
    decision["recommended"] = dict(zip(THRESHOLDS, decision["recommended"], strict=True))
    return {
        "format_version": FORMAT_VERSION,
        "kind": "run",
        "study": {"name": run.study.name, "question": run.study.description},
        "answer": verdict(run),
        "command": run.command,
        "versions": run.versions,
        "aims": [aim.to_dict() for aim in run.aims],
        "traces": _rows(run.traces),
        "held_out": _rows(run.held_out),
        "points": int(run.points["searched"].sum()),
        "decision": decision,
    }


def _rows(table: Any) -> list[dict[str, Any]]:
    """Return a table's rows; null where a value is missing. Paths are left out: they say where, not what."""
    rows: list[dict[str, Any]] = json.loads(table.drop(columns="path").to_json(orient="records"))
    return rows
