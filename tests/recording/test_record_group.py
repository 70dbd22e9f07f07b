"""The recorded command's group ends with its recorder, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from pba.errors import RecordError
from pba.recording.group import Group, Guard, alive

RECORDER = """
import sys, time
from pba.recording.group import Group, Guard

with Guard.start() as guard:
    group = Group.start(["sh", "-c", sys.argv[1]])
    guard.watch(group)
    print(group.child.pid, guard.shell.pid, flush=True)
    time.sleep(600)
"""


def ends_within(group: int, seconds: float) -> bool:
    """Return whether all of a group ends in this time."""
    deadline = time.monotonic() + seconds
    while alive(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(group)


@pytest.mark.parametrize(
    "script",
    ["sleep 600 & sleep 600", "kill -STOP $$", "trap '' TERM; sleep 600 & wait; sleep 600"],
    ids=["children", "stopped", "deaf to TERM"],
)
def test_what_a_recorder_started_ends_when_it_is_killed_outright(script: str) -> None:
    recorder = subprocess.Popen([sys.executable, "-c", RECORDER, script], stdout=subprocess.PIPE, text=True)
    assert recorder.stdout is not None
    group, shell = map(int, recorder.stdout.readline().split())
    assert alive(group)
    recorder.kill()
    recorder.wait()
    recorder.stdout.close()
    assert ends_within(group, 10)
    assert ends_within(shell, 10)


@pytest.mark.parametrize("with_group", [True, False])
def test_a_guard_that_is_let_go_ends_and_kills_nothing(with_group: bool) -> None:
    with Guard.start() as guard:
        group = Group.start(["sleep", "600"]) if with_group else None
        if group is not None:
            guard.watch(group)
        assert guard.shell.poll() is None
    assert guard.shell.returncode == 0
    if group is not None:
        assert not group.has_ended()
        group.end(signal.SIGKILL)


def test_a_guard_that_was_killed_disturbs_nobody() -> None:
    with Guard.start() as guard:
        guard.shell.kill()
        guard.shell.wait()
        group = Group.start(["true"])
        guard.watch(group)
        for _ in range(200):  # on a busy machine it takes its time
            if group.has_ended():
                break
            time.sleep(0.05)
        assert group.end(signal.SIGTERM) == 0


def test_a_shell_that_cannot_be_started_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(RecordError, match="cannot be started: Resource temporarily") as caught, Guard.start():
        raise AssertionError("nothing is guarded")
    assert "ulimit -u" in caught.value.hint
