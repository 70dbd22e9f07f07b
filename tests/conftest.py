"""What all tests need."""

from __future__ import annotations

import os

os.environ.setdefault("PBA_QUIET", "1")  # a cold cache would add a line to what commands say
