"""Pictures of pages that the browser tests open, to be looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCREENSHOTS = "PBA_SCREENSHOTS"
"""Environment variable that names a folder for them; where it is not set, none are kept."""


@pytest.fixture
def keep() -> Callable[[Any, str], None]:
    """Keep a picture of a whole page under a name."""
    folder = os.environ.get(SCREENSHOTS)

    def kept(page: Any, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return kept
