"""A short run of `tests.imports.fuzz` with a fixed seed.

`python -m tests.imports.fuzz` runs for as long as it is told.
"""

from __future__ import annotations

import pytest

from tests.imports.fuzz import fuzz
from tests.imports.importers import IMPORTERS


@pytest.mark.parametrize("parser", IMPORTERS)
def test_mutated_recordings_are_read_or_refused(parser, tmp_path):
    tally = fuzz(parser, 20_26, tmp_path, inputs=150)
    assert tally.faults == 0
    assert tally.read + tally.refused == tally.tried == 150
    assert tally.refused > 0
