"""Compiled traces in pba's cache: the same results, and no trust in what is damaged."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import pba
from pba.engine import store
from pba.engine.compile import CHUNK_EVENTS, FAN
from pba.engine.compiled import CompiledTrace
from pba.errors import TraceError
from pba.events import OP_ALLOC, OP_BG_ALLOC, OP_BG_FREE, OP_FREE

VECTOR = Path(__file__).parents[1] / "vectors" / "processes.events.gz"
MACHINE = pba.Machine(4, 1 << 18)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where compiled traces are kept, in a cache of the test's own."""
    monkeypatch.setenv("PBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / store.FOLDER


def trace_of(*rows: tuple[int, int, int, int]) -> pba.Trace:
    """Return a trace of rows of time, op, id and argument."""
    names = ("time_ns", "op", "id", "arg")
    return pba.Trace.from_arrays(dict(zip(names, np.array(rows).T, strict=True)))


def compiled(path: Path = VECTOR, min_events: int = 1) -> CompiledTrace:
    return store.compile_file(path, CHUNK_EVENTS, FAN, min_events=min_events)


def kept(cache: Path) -> list[Path]:
    """Return the folders of compiled traces that are whole."""
    return sorted(path.parent for path in cache.glob("*/*/about.json") if path.parts[-3][0] != ".")


def is_mapped(found: CompiledTrace) -> bool:
    return isinstance(found.events.time_ns.base, np.memmap)


def check(found: CompiledTrace) -> None:
    """Hold a compiled trace's replay against the trace's, event by event."""
    trace = pba.read_trace(VECTOR)
    expected, result = pba.replay(trace, machine=MACHINE), pba.replay(found, machine=MACHINE)
    assert result.counters == expected.counters
    assert result.to_dict() == expected.to_dict()
    assert found.metadata == trace.metadata


def test_the_second_time_it_comes_from_the_cache(cache: Path) -> None:
    first, second = compiled(), compiled()
    assert not is_mapped(first)
    assert is_mapped(second)
    assert first.content_hash == second.content_hash == kept(cache)[0].parent.name
    check(first)
    check(second)
    assert not list(cache.glob(f"{store.WRITING}*"))


def test_short_traces_are_not_kept(cache: Path) -> None:
    check(compiled(min_events=1_000_000))
    assert not cache.exists()


@pytest.mark.parametrize("name", ["push.npy", "time_ns.npy", "about.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damage_is_noticed_and_mended(cache: Path, name: str, damage: str) -> None:
    compiled()
    path = kept(cache)[0] / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        end = content[:-40] if damage == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes(end)
    mended = compiled()
    assert not is_mapped(mended)
    check(mended)
    assert is_mapped(compiled())
    assert path.read_bytes() == content


def test_other_content_and_another_name_are_other_traces(cache: Path, tmp_path: Path) -> None:
    compiled()
    renamed = tmp_path / "renamed.events.gz"
    shutil.copy(VECTOR, renamed)
    assert compiled(renamed).name == pba.read_trace(renamed).name
    other = compiled(VECTOR.with_name("churn.events.gz"))
    assert not is_mapped(other)
    assert other.content_hash != compiled(renamed).content_hash
    assert len(kept(cache)) == 2, "the older form of the same content makes room"


def test_many_writers_at_once(cache: Path) -> None:
    found: list[CompiledTrace] = []
    threads = [threading.Thread(target=lambda: found.append(compiled())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for one in found:
        check(one)
    assert len(kept(cache)) == 1
    assert is_mapped(compiled())
    assert not list(cache.glob(f"{store.WRITING}*"))


def test_a_cache_that_cannot_be_written_is_done_without(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    check(compiled())
    assert cache.read_text() == "a file where the folder should be"


def test_compile_trace_takes_files_and_names_of_recordings(cache: Path) -> None:
    check(pba.compile_trace(VECTOR))
    assert pba.compile_trace("redis-bgsave-x86").name == "redis-bgsave-x86"
    with pytest.raises(TraceError, match="Is a directory"):
        pba.compile_trace(VECTOR.parent)
    with pytest.raises(TraceError, match="no such file"):
        pba.compile_trace("no/such.parquet")


def test_a_compiled_trace_refuses_what_its_trace_does() -> None:
    large = pba.compile_trace(trace_of((1, OP_BG_ALLOC, 1, 12), (2, OP_BG_FREE, 1, 0)))
    with pytest.raises(TraceError, match=r"order 12 does not exist"):
        pba.replay(large, machine=MACHINE)
    unknown = pba.compile_trace(trace_of((1, OP_ALLOC, 1, 0), (2, OP_FREE, 2, 0), (3, OP_FREE, 1, 0)))
    assert pba.replay(unknown, machine=MACHINE).unknown_frees == 1
    with pytest.raises(TraceError, match="event 1"):
        pba.replay(unknown, machine=MACHINE, strict=True)


def test_a_pipe_is_compiled_and_not_drained_for_its_hash(cache: Path) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(b"1 A 1\n2 F 1\n")
    try:
        assert pba.compile_trace(f"/dev/fd/{reader}").nr_events == 2
    finally:
        os.close(reader)
    assert not list(cache.glob("*/*"))
