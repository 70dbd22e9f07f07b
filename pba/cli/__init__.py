"""The command line: one file per command, each of them thin."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `pba` with `arguments` (by default those of the process) and exit."""
    from pba.cli.app import run

    raise SystemExit(run(arguments))
