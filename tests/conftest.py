"""What all tests need, and fixtures that several folders of them use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("PBA_QUIET", "1")  # a cold cache would add a line to what commands say
os.environ.setdefault("PBA_REPLAYS_LIMIT", "0")  # what an earlier test replayed would spare this one its work


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes to a file, called `given` by default, and return its path."""

    def write(text: str | bytes, name: str = "given") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write
