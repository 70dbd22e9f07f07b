"""The reference rules against the figures of the kernel's own code: all cases, every checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference.machine import Case, read_cases, read_events
from tests.reference.replay import Replay, checkpoints, hash_pfns

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = list(read_cases(VECTORS))


def test_there_are_all_cases() -> None:
    assert len(CASES) == 86
    assert len({case.name for case in CASES}) == 10


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reference_matches_vector(case: Case) -> None:
    replay = Replay(case.machine, case.thresholds)
    found = list(checkpoints(replay, read_events(case.events_path), case.checkpoint_every))
    for got, wanted in zip(found, case.checkpoints, strict=True):
        assert got == wanted
    totals = {**replay.totals(), "cache_hash": replay.cache_hash()}
    del totals["cached_after_passes"]  # which the kernel has no counter for
    assert totals == case.expected


def test_hash_of_nothing_and_of_one_page() -> None:
    assert hash_pfns([]) == f"{1469598103934665603:016x}"
    assert hash_pfns([1]) != hash_pfns([1 << 8])
