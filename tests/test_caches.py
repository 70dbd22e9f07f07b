"""The cache of compiled code: whose it is, what damage does to it, what it follows, what goes from it."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pba import caches
from pba.cli.app import run
from pba.cli.live import LiveLine

SMALL = """
import sys
from pba.kernel import replay
from pba.kernel.state import NR_CACHED, NR_VARS, Orders, State
import numpy as np
z = lambda t, n=4: np.zeros(n, t)
small = [z(kind) for kind in ("u4", "u4", "i1", "u1", "u1", "i4", "i4", "u1")]
s = State(Orders(*[1] * 8), *small, z("i8", NR_VARS))
s.cached[:] = 5, 6, 7, 8
s.vars[NR_CACHED] = 3
print(f"{int(replay.cache_hash(s)):x}")
"""


def python(script: str, cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PBA_CACHE_DIR": str(cache), **variables}
    environment.pop("PBA_QUIET", None)
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("cache")
    done = python(SMALL, folder)
    assert done.stderr == "pba: compiling the simulated kernel, once per installation ...\n"
    again = python(SMALL, folder)
    assert again.stderr == ""
    assert again.stdout == done.stdout != ""
    return folder, done.stdout


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_damaged_file_is_compiled_anew(filled: tuple[Path, str], ending: str) -> None:
    folder, right = filled
    (path,) = folder.rglob(f"*cache_hash*.{ending}")
    sound = path.read_bytes()
    draw = random.Random(ending)
    places = [0, len(sound) // 2, len(sound) - 1, *(draw.randrange(len(sound)) for _ in range(3))]
    for place in places:
        damaged = bytearray(sound)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        done = python(SMALL, folder)
        assert (done.returncode, done.stdout) == (0, right), (place, done.stderr)
        assert "compiling" in done.stderr
    path.write_bytes(sound[:40])
    assert python(SMALL, folder).stdout == right
    assert python(SMALL, folder).stderr == "", "what was compiled anew is kept"


def test_a_folder_that_others_may_write_to_is_not_used(filled: tuple[Path, str], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = python(SMALL, tmp_path)
    assert done.stdout == filled[1]
    first, second = done.stderr.splitlines()
    assert f"others may write to {tmp_path}" in first
    assert "compiling" in second
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_nor_one_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBA_CACHE_DIR", str(tmp_path))
    folder = caches.trusted_folder("kernel-0123456789abcdef")
    os.chown(folder, 12345, 12345)
    with pytest.raises(caches.UntrustedCacheError, match="another user"):
        caches.trusted_folder(folder.name)


@pytest.mark.parametrize("variable", ["NUMBA_NUM_THREADS=0", "NUMBA_OPT=fast"])
def test_what_numba_does_not_take_is_one_line(variable: str, tmp_path: Path) -> None:
    name, _, value = variable.partition("=")
    done = python("from pba.cli import main; main(['replay', 'chromium'])", tmp_path, **{name: value})
    assert done.returncode == 2
    assert done.stderr.startswith("pba: Numba does not start: ")
    assert done.stderr.count("\n") == 1


def test_the_fingerprint_follows_what_is_called_in_other_rooms(tmp_path: Path) -> None:
    for name, text in {
        "a/one.py": "from pba._jit import jit\nfrom pba.b import two\n",
        "a/aside.py": "from pba.c.three import x\n",
        "b/__init__.py": "",
        "b/two.py": "from pba.c.four import (\n    x,\n)\n",
        "c/three.py": "",
        "c/four.py": "if TYPE_CHECKING:\n    from pba.c.three import x\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [str(path.relative_to(tmp_path)) for path in caches.sources_behind("a", tmp_path)]
    assert found == ["a/one.py", "b/__init__.py", "b/two.py", "c/four.py"]
    engine = {path.name for path in caches.sources_behind("engine")}
    assert {"allocator.py", "shrinker.py", "events.py"} <= engine


def test_old_code_goes_when_newer_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PBA_CACHE_DIR", str(tmp_path))
    for number in range(7):
        folder = caches.trusted_folder(f"kernel-{number:016x}")
        used = time.time() - 3600 * (10 - number) - (caches.STALE_SECONDS if number == 6 else 0)
        os.utime(folder, (used, used))
    (tmp_path / "mine").mkdir()
    caches.trusted_folder(f"engine-{0:016x}")
    caches.trusted_folder(f"kernel-{9:016x}")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [f"engine-{0:016x}", *(f"kernel-{number:016x}" for number in (2, 3, 4, 5, 9)), "mine"]


def test_the_command_shows_and_clears(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PBA_CACHE_DIR", str(tmp_path))
    from pba import _jit

    current = next(name for name in _jit.current_folders() if name.startswith("kernel-"))
    for name in (current, f"kernel-{0:016x}", f"compiled-traces/{'a' * 64}/{1:016x}"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x" * 100)
    (tmp_path / "mine").mkdir()
    assert run(["cache", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(tmp_path)
    assert {(each["kind"], each["size_bytes"], each["current"]) for each in found["entries"]} == {
        ("code", 100, True), ("code", 100, False), ("trace", 100, True),
    }  # fmt: skip
    assert run(["cache"]) == 0
    assert "stale" in capsys.readouterr().out
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "removed 1 folder, 100 B\n"
    assert (tmp_path / current).is_dir()
    assert run(["cache", "clear", "--all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["removed"]) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["compiled-traces", "mine"]


def test_what_is_compiled_is_said_above_the_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    from pba import _jit

    monkeypatch.delenv("PBA_QUIET", raising=False)
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    terminal = Terminal()
    line = LiveLine(terminal)
    line.stage("loading the model")
    before = len(terminal.getvalue())
    _jit.say("compiling")
    wiped, said, drawn_again = terminal.getvalue()[before:].partition("pba: compiling\n")
    assert (wiped, said) == ("\r\033[K", "pba: compiling\n")
    assert drawn_again.endswith("loading the model")
    assert stderr.getvalue() == ""
    line.end()
    _jit.say("compiling")
    assert stderr.getvalue() == "pba: compiling\n"


def test_no_place_for_a_cache_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("PBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", staticmethod(homeless))
    assert run(["cache"]) == 2
    assert "there is no place for a cache" in capsys.readouterr().err
