"""Ratios to the C program, held against those that are stored: what has become slower, and by how much.

A ratio is the time of `pba` over that of the yardstick in the same run, so that it says little about the
machine. Noise of a busy one stays: more than `SAID` slower is said, more than `FAILS` times as slow fails.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

STORED: Final = Path(__file__).with_name("baseline.json")
SAID: Final = 1.10
FAILS: Final = 1.50


def compare(measured: dict[str, float], stored: dict[str, float]) -> tuple[list[str], bool]:
    """Return a line for each ratio that is worse than stored or has no stored one, and whether any fails."""
    lines, failed = [], False
    for name, ratio in measured.items():
        if name not in stored:
            lines.append(f"{name}: {ratio:.2f} times the yardstick, nothing stored")
            continue
        slower = ratio / stored[name]
        failed |= slower > FAILS
        if slower > SAID:
            verdict = "FAILED: " if slower > FAILS else ""
            lines.append(
                f"{verdict}{name}: {ratio:.2f} times the yardstick, stored {stored[name]:.2f}: "
                f"{100 * (slower - 1):.0f} % slower"
            )
    return lines or [f"nothing is more than {100 * (SAID - 1):.0f} % slower than stored"], failed


def check(measured: dict[str, float]) -> int:
    """Print the comparison with the stored ratios; return the exit status."""
    lines, failed = compare(measured, json.loads(STORED.read_text(encoding="utf-8")))
    print("\n".join(lines))
    return int(failed)


def store(measured: dict[str, float]) -> None:
    """Store ratios, in place of those that were."""
    rounded = {name: round(ratio, 4) for name, ratio in measured.items()}
    STORED.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
