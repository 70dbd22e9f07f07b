"""Real parts for tests of what runs on several machines: a Dask scheduler with workers, a PostgreSQL server.

Each is a process of the test's own on loopback, and is killed by its pid alone. Where a package or a server
is not installed the tests that ask for it are skipped, with the reason.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POSTGRES_BIN = "PBA_TEST_POSTGRES_BIN"
"""Environment variable: the folder of `initdb` and `postgres`, where they are not on the PATH."""


def environment() -> dict[str, str]:
    """Return the environment in which a process imports this pba."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(what: Callable[[], bool], name: str, seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"no {name} in {seconds} s"
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that a test has started, if it lives, and take its leave."""
    if process.poll() is None:
        process.kill()
    process.wait(30)


@dataclass
class DaskParts:
    """A scheduler, and workers: a process each, without a nanny that would start it again."""

    port: int
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The scheduler's."""
        return f"127.0.0.1:{self.port}"

    def add_worker(self, prelude: str = "") -> None:
        """Start a worker of one thread; a prelude is Python that it runs first."""
        words = [self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        words += ["--memory-limit", "0", "--death-timeout", "60"]
        self.workers.append(_python("distributed.cli.dask_worker", words, prelude))

    def wait_for_workers(self, number: int) -> None:
        """Wait until the scheduler knows so many."""
        import distributed

        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=60)

    def stop(self) -> None:
        """Kill what lives of it."""
        for process in (*self.workers, self.scheduler):
            kill(process)


def _python(module: str, words: list[str], prelude: str = "") -> subprocess.Popen[bytes]:
    code = f"{prelude}\nimport sys\nfrom {module} import main\nsys.argv[0] = 'dask'\nmain()"
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], env=environment(), cwd=ROOT, stdout=quiet, stderr=quiet
    )


@contextmanager
def dask_parts(workers: int = 2, prelude: str = "") -> Iterator[DaskParts]:
    """Start a scheduler and workers on loopback."""
    pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[dask]'")
    port = free_port()
    words = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"]
    found = DaskParts(port, _python("distributed.cli.dask_scheduler", words))
    try:
        wait_for(lambda: answers(port), "Dask scheduler")
        for _ in range(workers):
            found.add_worker(prelude)
        if workers:
            found.wait_for_workers(workers)
        yield found
    finally:
        found.stop()


def postgres_bin() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test if there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgres]'")
    said = os.environ.get(POSTGRES_BIN)
    found = [Path(said)] if said else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    found += [Path(on_path).resolve().parent] if on_path else []
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip(f"no PostgreSQL server is installed ({POSTGRES_BIN} names a folder with initdb)")


@dataclass
class Postgres:
    """A PostgreSQL server of a test's own."""

    port: int
    data: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The URL of its database, with a password in it."""
        return f"postgresql+psycopg://tester:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def kill(self) -> None:
        """Kill the server with all its processes, as a crash does."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait(30)

    def signal(self, number: int) -> None:
        """Send a signal to the server and all its processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in (self.process.pid, *map(int, children.split())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def start(self, programs: Path) -> None:
        """Start the server in its folder."""
        self.process = subprocess.Popen(
            [programs / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.data,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=20"],
            cwd=self.data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            **_unprivileged(),
        )  # fmt: skip
        wait_for(self.takes_queries, "PostgreSQL server")

    def takes_queries(self) -> bool:
        """Whether it does more than listen: after a crash it first recovers, and turns everybody away."""
        import psycopg

        try:
            psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


PASSWORD = "not-to-be-shown"


def _unprivileged() -> dict[str, object]:
    """Return who runs the server: it refuses to run as root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start a PostgreSQL server on a free port, in a temporary folder of its own."""
    programs = postgres_bin()
    # Not below pytest's folders, which only their owner may enter.
    home = Path(tempfile.mkdtemp(prefix="pba-postgres."))
    try:
        (home / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            user = pwd.getpwnam("nobody")
            for path in (home, home / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        made = subprocess.run(
            [programs / "initdb", "-D", home / "data", "-U", "tester", "--pwfile", home / "password",
             "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C"],
            cwd=home, capture_output=True, text=True, check=False, **_unprivileged(),
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        server = Postgres(free_port(), home / "data", None)  # type: ignore[arg-type]
        server.start(programs)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(home)
