"""The recorded command: a process group of its own, which is ended as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pba.errors import RecordError

GRACE_S: Final = 5.0
"""How long a command may take to end once it is asked to."""
STEP_S: Final = 0.02
TERMINAL: Final = 0
"""Standard input: where it is a terminal, the command must be able to read from it."""


class Group:
    """A command and all that it started and that has not made itself a group of its own.

    The command is not reaped before its group has ended: until then its pid, which is the group's number,
    cannot become another's.

    Parameters
    ----------
    child : Popen
        The command, leader of its group.
    """

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self.has_terminal = _hand_terminal_over(child.pid)

    @classmethod
    def start(cls, command: Sequence[str]) -> Group:
        """Start a command; it gets the terminal if that is ours, and so its Ctrl-C.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        return cls(subprocess.Popen(command, process_group=0))

    def has_ended(self) -> bool:
        """Return whether the command has ended; one that was stopped from the terminal goes on."""
        if self.child.returncode is not None:
            return True
        options = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        state = os.waitid(os.P_PID, self.child.pid, options)
        if state is None:
            return False
        if state.si_code == os.CLD_STOPPED:
            if self.has_terminal:  # no shell could bring it back
                self._send(signal.SIGCONT)
            return False
        return True

    def end(self, number: signal.Signals) -> int:
        """Ask what is left of the group to end, then make it; return the command's status as a shell does."""
        for asked in (number, signal.SIGTERM, signal.SIGKILL):
            if not alive(self.child.pid):
                break
            self._send(asked)
            self._send(signal.SIGCONT)  # what is stopped cannot end
            deadline = time.monotonic() + GRACE_S
            while alive(self.child.pid) and time.monotonic() < deadline:
                time.sleep(STEP_S)
        status = self.child.wait()
        if self.has_terminal:
            _take_terminal_back()
            self.has_terminal = False
        return status if status >= 0 else 128 - status

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)


class Guard:
    """Ends the recorded command if this process is killed outright, when it cannot do so itself.

    A shell in a session of its own reads from a pipe that only this process writes to: first the group's
    number, then a farewell. If the pipe is closed without one, the shell ends the group. It is started before
    tracing is, so that its own page tables are older than the recording.

    Parameters
    ----------
    shell : Popen
        The shell.
    """

    SCRIPT: Final = (
        'read -r group && [ "$group" ] || exit 0; read -r farewell && exit 0; '
        'kill -s TERM -- "-$group"; kill -s CONT -- "-$group"; sleep "$1"; kill -s KILL -- "-$group"'
    )

    def __init__(self, shell: subprocess.Popen[bytes]) -> None:
        self.shell = shell

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[Guard]:
        """Start the shell, which is let go on exit.

        Raises
        ------
        RecordError
            If it cannot be started.
        """
        nowhere = subprocess.DEVNULL
        try:
            shell = subprocess.Popen(
                ["/bin/sh", "-c", cls.SCRIPT, "sh", str(GRACE_S)],
                stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            reason = f"/bin/sh, which guards the command, cannot be started: {error.strerror}"
            raise RecordError(reason, "raise the limit of processes (ulimit -u)") from error
        guard = cls(shell)
        try:
            yield guard
        finally:
            guard._tell("")  # the farewell: an empty line
            shell.communicate()

    def watch(self, group: Group) -> None:
        """Tell which group is to end with this process."""
        self._tell(str(group.child.pid))

    def _tell(self, text: str) -> None:
        assert self.shell.stdin is not None
        with contextlib.suppress(OSError):  # the shell was killed: nothing is guarded then
            self.shell.stdin.write(f"{text}\n".encode())
            self.shell.stdin.flush()


def alive(group: int) -> bool:
    """Return whether a process of this group has not ended; one that nobody has reaped yet has."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ends while we look
            state, _parent, number = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(number) == group and state not in "ZX":
                return True
    return False


def _hand_terminal_over(group: int) -> bool:
    """Make a group the terminal's foreground if we are that; return whether it is."""
    try:
        if os.tcgetpgrp(TERMINAL) != os.getpgrp():
            return False
        os.tcsetpgrp(TERMINAL, group)
    except OSError:  # no terminal
        return False
    return True


def _take_terminal_back() -> None:
    """Make our own group the foreground again; from the background we may if we block SIGTTOU."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(TERMINAL, os.getpgrp())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
