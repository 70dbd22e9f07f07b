"""`pba record` on this machine, through the real tracefs where that is possible."""

from __future__ import annotations

import os
import pty
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pba
from pba.errors import OutputError, RecordError
from pba.events import LEVELS, OP_ALLOC, OP_BG_ALLOC
from pba.recording.described import upstream_release
from pba.recording.record import record
from pba.recording.tracefs import Instance, tracing_folder
from pba.recording.tracing import Formats
from pba.tracepoints.background import Orders

PBA = (sys.executable, "-c", "from pba.cli import main; main()")


def why_not() -> str:
    """Say why this machine cannot be recorded; empty if it can."""
    if sys.platform != "linux":
        return "not Linux"
    if os.geteuid():
        return "recording needs root"
    try:
        folder = tracing_folder()
    except RecordError as error:
        return error.message
    missing = [
        str(path)
        for path in (
            folder / "events/kmem/mm_page_alloc",
            folder / "events/vmscan/mm_shrink_slab_start",
            folder / "instances",
            Path("/proc/kpageflags"),
        )
        if not path.exists()
    ]
    if missing:
        return f"this kernel has no {missing[0]}"
    return "" if os.access(folder / "instances", os.W_OK) else "no permission for tracefs"


REASON = why_not()
needs_tracefs = pytest.mark.skipif(bool(REASON), reason=REASON)
pytestmark = pytest.mark.tracefs


def instances() -> set[str]:
    return {path.name for path in (tracing_folder() / "instances").iterdir()}


@needs_tracefs
def test_a_recording_holds_what_the_kernel_lists(tmp_path: Path) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do ls /; done; exit 3"
    recording = record(tmp_path / "forks.parquet", ["sh", "-c", script])
    assert f"pba-{os.getpid()}" not in instances()
    assert [path.name for path in tmp_path.iterdir()] == ["forks.parquet"]
    assert (recording.exit_status, recording.ended_by) == (3, "command")

    trace = pba.read_trace(recording.path)
    meta = trace.metadata
    assert (meta.name, meta.source, meta.kernel) == ("forks", "tracefs", upstream_release(os.uname().release))
    assert meta.page_size_kib == os.sysconf("SC_PAGE_SIZE") // 1024
    assert meta.memory_pages is not None and meta.memory_pages >= os.sysconf("SC_PHYS_PAGES")
    assert meta.buddyinfo
    levels = np.bincount(trace.level[(trace.op == 0) & (trace.time_ns > 0)], minlength=len(LEVELS))
    assert levels[LEVELS.index("PTE")] >= 20  # each `ls` has at least one page table of the last level
    assert trace.counts()["F"] >= 20
    quality = meta.quality
    assert quality.live_at_start > 0
    assert quality.truth is not None
    if quality.lost_events == 0:
        assert quality.truth.recall > 0.95
        assert quality.truth.precision > 0.95
        counted = quality.counted
        assert counted is not None
        assert counted.recorded_start_pages == quality.live_at_start
        assert counted.start_pages > 0
        if meta.kernel.startswith("6.18."):  # it marks tables of every level, and counts what it lists
            assert not [note for note in quality.notes if "PGD pages were not compared" in note]
            assert abs(counted.recorded_end_pages - counted.end_pages) <= 0.2 * counted.end_pages


@needs_tracefs
def test_background_demand_is_recorded_beside_the_page_tables(tmp_path: Path) -> None:
    orders = Orders(0, 13)
    recording = record(tmp_path / "forks.parquet", ["sh", "-c", "for i in 1 2 3 4 5 6; do ls /; done"])
    assert recording.trace.counts()["B"] == 0
    assert recording.trace.metadata.quality.background is None

    command = ["sh", "-c", "for i in 1 2 3 4 5 6; do ls /; done"]
    recording = record(tmp_path / "more.parquet", command, background=orders)
    trace = pba.read_trace(recording.path)
    background = trace.metadata.quality.background
    assert background is not None
    assert (background.lowest_order, background.highest_order) == (0, 13)
    taken = trace.op == OP_BG_ALLOC
    # Single pages are sure to be taken; whether a fork needs a larger chunk is up to the kernel's caches.
    assert np.count_nonzero(taken & (trace.arg == 0)) >= 100
    assert trace.arg[taken].max() <= 13
    assert (trace.pfn[taken] >= 0).all()
    assert np.count_nonzero(taken & (trace.time_ns == 0)) == background.live_at_start
    assert trace.unknown_frees == 0
    tables = np.unique(trace.pfn[trace.op == OP_ALLOC])
    assert len(tables) > 6
    if trace.metadata.quality.lost_events == 0:
        assert trace.metadata.quality.truth is not None
        assert trace.metadata.quality.truth.recall > 0.95


@needs_tracefs
def test_a_recording_ends_after_its_time_and_takes_the_command_with_it(tmp_path: Path) -> None:
    recording = record(tmp_path / "sleep.events.gz", ["sleep", "600"], duration_s=0.3)
    assert (recording.exit_status, recording.ended_by) == (128 + signal.SIGTERM, "duration")
    assert len(pba.read_trace(recording.path)) == len(recording.trace)


@needs_tracefs
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_what_was_recorded_is_kept(
    tmp_path: Path, number: signal.Signals
) -> None:
    out, ready = tmp_path / "x.parquet", tmp_path / "ready"
    command = ["sh", "-c", f"touch {ready}; exec sleep 600"]
    child = subprocess.Popen(
        [*PBA, "record", "-o", str(out), "--", *command], stderr=subprocess.PIPE, text=True
    )
    while not ready.exists():
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.05)
    assert f"pba-{child.pid}" in instances()
    child.send_signal(number)
    message = child.communicate(timeout=120)[1]
    assert child.returncode == 128 + number, message
    assert f"pba-{child.pid}" not in instances()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ready", "x.parquet"]
    assert f"the recording was ended by {number.name}" in pba.read_trace(out).metadata.quality.notes
    assert "recall" in message


@needs_tracefs
def test_a_signal_while_tracing_is_set_up_leaves_nothing(tmp_path: Path) -> None:
    out, started = tmp_path / "x.parquet", tmp_path / "started"
    command = [*PBA, "record", "-o", str(out), "--", "touch", str(started)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while f"pba-{child.pid}" not in instances():
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.002)
    child.send_signal(signal.SIGTERM)
    message = child.communicate(timeout=120)[1]
    assert child.returncode == 128 + signal.SIGTERM, message
    assert f"pba-{child.pid}" not in instances()
    assert out.exists()


@needs_tracefs
def test_under_nohup_a_hangup_ends_nothing(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        recording = record(tmp_path / "x.parquet", ["sh", "-c", "kill -HUP $PPID; sleep 0.5"])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert recording.ended_by == "command"


def waited_for(path: Path, child: subprocess.Popen[str]) -> int:
    """Return the pid that the recorded command writes to a file."""
    while not (path.exists() and path.read_text().endswith("\n")):
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.05)
    return int(path.read_text())


def recording_of(folder: Path, name: str) -> tuple[subprocess.Popen[str], int]:
    """Start recording a command that ends when it is killed; return the recorder and the command's pid."""
    command = ["sh", "-c", f"echo $$ > {folder / name}; exec sleep 600"]
    child = subprocess.Popen(
        [*PBA, "record", "-o", str(folder / f"{name}.parquet"), "--", *command],
        stderr=subprocess.PIPE,
        text=True,
    )
    return child, waited_for(folder / name, child)


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, but for somebody to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@needs_tracefs
def test_cleanup_removes_what_a_killed_recorder_left_and_nothing_that_lives(tmp_path: Path) -> None:
    live, live_command = recording_of(tmp_path, "live")  # first: whoever starts removes what it finds
    killed, command = recording_of(tmp_path, "killed")
    try:
        killed.kill()
        killed.communicate()  # until nobody has its stderr: its command closes it as it ends
        deadline = time.monotonic() + 10
        while not has_ended(command) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert has_ended(command)
        half, other = (tmp_path / f".x.parquet.ab_12.{pid}.part" for pid in (killed.pid, live.pid))
        for path in (half, other):
            path.write_bytes(b"half")
        clean = [*PBA, "record", "--cleanup"]
        done = subprocess.run(clean, cwd=tmp_path, capture_output=True, text=True, check=True)
        instance = tracing_folder() / "instances" / f"pba-{killed.pid}"
        assert f"removed {instance}\n" in done.stdout
        assert f"removed {half.name}\n" in done.stdout
        assert f"pba-{live.pid}" not in done.stdout
        assert not instance.exists() and not half.exists() and other.exists()
        assert f"pba-{live.pid}" in instances()
        other.unlink()
        done = subprocess.run(clean, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "nothing to remove\n"
    finally:
        os.kill(live_command, signal.SIGTERM)
        message = live.communicate(timeout=120)[1]
    assert live.returncode == 128 + signal.SIGTERM, message
    assert pba.read_trace(tmp_path / "live.parquet").counts()["A"] > 0


@needs_tracefs
@pytest.mark.parametrize(("end", "status"), [("exit 3", 3), ("kill -KILL $$", 128 + 9), ("true", 0)])
def test_the_exit_status_is_the_commands_and_its_children_end_with_it(
    tmp_path: Path, end: str, status: int
) -> None:
    script = f"sleep 600 & echo $! > {tmp_path / 'pid'}; {end}"
    command = [*PBA, "record", "-o", str(tmp_path / "x.parquet"), "--", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert has_ended(int((tmp_path / "pid").read_text()))
    assert (tmp_path / "x.parquet").exists()


@needs_tracefs
def test_the_recorded_command_has_the_terminal(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        script = f"read word; echo $word > {tmp_path / 'word'}"
        os.execv(PBA[0], [*PBA, "record", "-o", str(tmp_path / "x.parquet"), "--", "sh", "-c", script])
    os.write(terminal, b"hello\n")
    shown = b""
    try:
        while part := os.read(terminal, 1 << 16):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, shown
    assert (tmp_path / "word").read_text() == "hello\n"
    assert b"page tables," in shown


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@needs_tracefs
def test_a_full_disk_leaves_one_line_and_nothing_half_written(tmp_path: Path, small_disk: Path) -> None:
    script = f"echo $$ > {tmp_path / 'pid'}; while :; do ls / > /dev/null; done"
    command = [*PBA, "record", "-o", str(small_disk / "x.parquet"), "--", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert list(small_disk.iterdir()) == []
    assert has_ended(int((tmp_path / "pid").read_text()))
    assert not [name for name in instances() if not Path("/proc", name.removeprefix("pba-")).exists()]


@needs_tracefs
def test_a_buffer_that_nobody_reads_says_what_it_lost_on_which_cpu() -> None:
    with Instance(tracing_folder(), 8) as instance:
        assert set(instance.lost_events().values()) == {0}
        Formats.read(instance).switch_on(instance)
        for _ in range(200):
            subprocess.run(["true"], check=True)
            if sum(instance.lost_events().values()):
                break
        instance.write("tracing_on", "0")
        lost = instance.lost_events()
    assert sum(lost.values()) > 0


@needs_tracefs
def test_nothing_is_left_when_the_command_cannot_be_started(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("not a program\n")
    program.chmod(0o755)
    with pytest.raises(RecordError, match="cannot be started"):
        record(tmp_path / "x.parquet", [str(program)])
    assert f"pba-{os.getpid()}" not in instances()
    assert not (tmp_path / "x.parquet").exists()


def test_an_unknown_program_is_refused_before_anything_is_traced(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such program"):
        record(tmp_path / "x.parquet", ["/no/such/program"])


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan")])
def test_no_time_to_record_is_refused_before_anything_is_traced(tmp_path: Path, duration: float) -> None:
    with pytest.raises(RecordError, match=r"duration_s=.* is out of range"):
        record(tmp_path / "x.parquet", duration_s=duration)


def test_an_unknown_form_is_refused_before_anything_is_traced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such form"):
        record(tmp_path / "x.txt", ["true"])


def test_an_existing_output_is_refused_before_anything_is_traced(tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        record(out, ["true"])
    assert out.read_bytes() == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without permission")
def test_without_permission_it_says_what_to_do() -> None:
    nobody = pwd.getpwnam("nobody")
    out = Path(tempfile.gettempdir()) / f"pba-{os.getpid()}.parquet"
    reading, writing = os.pipe()
    child = os.fork()  # and no new program: another user may not be allowed to read this installation
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            record(out, ["true"])
        except RecordError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        message = stream.read()
    assert "as root" in message
    assert "\n" not in message
