"""A short run of `tests.fuzz` with a fixed seed; `python -m tests.fuzz` runs for as long as it is told."""

from __future__ import annotations

import pytest

from tests.fuzz import fuzz
from tests.importers import IMPORTERS


@pytest.mark.parametrize("parser", IMPORTERS)
def test_mutated_recordings_are_read_or_refused(parser, tmp_path):
    tally = fuzz(parser, 20_26, tmp_path, inputs=150)
    assert tally.faults == 0
    assert tally.read + tally.refused == tally.tried == 150
    assert tally.refused > 0
