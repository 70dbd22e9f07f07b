"""Commands that replay event by event compile the kernel for a short start, with the same results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pba
from pba import _jit

NAMES = ("phone-arm64-4k", "redis-bgsave-x86", "arm64-16k-6.12.107")
PBA = (sys.executable, "-c", "from pba.cli import main; main()")


def replayed(cache: Path, name: str) -> dict[str, int]:
    """Return the counters of `pba replay` with a cache."""
    environment = os.environ | {"PBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [*PBA, "replay", name, "--json"], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["counters"]  # type: ignore[no-any-return]


def test_a_first_replay_starts_quickly_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        assert replayed(tmp_path, name) == pba.replay(name).counters
    monkeypatch.setenv("PBA_CACHE_DIR", str(tmp_path))
    quick = tmp_path / f"kernel-{_jit._fingerprint('kernel', True)}"
    fast = tmp_path / f"kernel-{_jit._fingerprint('kernel', False)}"
    assert list(quick.rglob("*.nbi")) and not list(fast.rglob("*.nbi"))
    assert {quick.name, fast.name} <= _jit.current_folders()


def test_code_for_fast_replays_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jit, "_quick", False)
    monkeypatch.delitem(sys.modules, "pba.kernel", raising=False)
    monkeypatch.setattr(_jit, "is_compiled", lambda room: True)
    _jit.start_quickly()
    assert not _jit._quick
    monkeypatch.setattr(_jit, "is_compiled", lambda room: False)
    _jit.start_quickly()
    assert _jit._quick
    monkeypatch.setattr(_jit, "_quick", False)
    monkeypatch.setitem(sys.modules, "pba.kernel", object())  # imported: too late to choose
    _jit.start_quickly()
    assert not _jit._quick
