"""Files that are written whole or not at all, and what killed writers leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pba.files import abandoned, replacing

WRITER = """
import sys, time
from pba.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("name", [b"x.parquet", b"[x]*.events", b"a\xffb.csv", b"n" * 250])
def test_the_next_writer_removes_what_a_killed_one_left(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    other = tmp_path / "other"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, target], stdout=subprocess.PIPE)
        for target in (path, path, other)
    ]
    killed, _, of_another = writers
    parts = []
    try:
        for writer in writers:
            assert writer.stdout
            parts.append(Path(os.fsdecode(writer.stdout.readline().rstrip(b"\n"))))
        assert all(part.exists() for part in parts)
        for writer in (killed, of_another):
            writer.kill()
            writer.wait()
        with replacing(path) as temporary:
            temporary.write_text("whole")
        assert [part.exists() for part in parts] == [False, True, True]
        assert path.read_text() == "whole"
        assert abandoned(tmp_path) == [parts[2]]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_a_lock_keeps_a_writer_whose_pid_says_nothing(tmp_path: Path) -> None:
    """As in another container: the pid is not here, but the lock is."""
    import fcntl

    part = tmp_path / ".x.ab.999999999.part"
    with part.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert not abandoned(tmp_path, "x")
    assert abandoned(tmp_path, "x") == [part]
