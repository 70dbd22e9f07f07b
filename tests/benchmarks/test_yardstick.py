"""The C programs follow the rules that they are timed on: all vectors, and random traces."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import yardstick
from tests.property.generate import random_scenario
from tests.reference.machine import Case, Event, read_cases
from tests.reference.replay import Replay

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = list(read_cases(VECTORS))

pytestmark = pytest.mark.skipif(yardstick.find_compiler() is None, reason="no C compiler (cc, or $CC)")


@pytest.fixture(scope="module", params=[yardstick.YARDSTICK, yardstick.BEST], ids=lambda source: source.stem)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return yardstick.build(tmp_path_factory.mktemp("programs"), request.param)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    folder = tmp_path_factory.mktemp("events")

    def unpack(path: Path) -> Path:
        plain = folder / path.stem
        if not plain.exists():
            plain.write_bytes(gzip.decompress(path.read_bytes()))
        return plain

    return unpack


@pytest.mark.parametrize("case", CASES, ids=str)
def test_program_matches_vector(case: Case, program: Path, unpacked: Callable[[Path], Path]) -> None:
    run = yardstick.run(
        program,
        unpacked(case.events_path),
        case.machine,
        case.thresholds,
        checkpoint_every=case.checkpoint_every,
        repetitions=2,
    )
    assert run.checkpoints == case.checkpoints
    assert {name: run.result[name] for name in case.expected} == case.expected
    assert min(run.result["all_seconds"]) == run.result["seconds"] > 0


def write_events(path: Path, events: list[Event]) -> Path:
    """Write the text form, with the priority of `S` in the place of the id."""
    lines = [
        f"{event.time_ns} {event.op} {event.arg if event.op == 'S' else event.ident} {event.arg}\n"
        for event in events
    ]
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("seed", range(0, 40))
def test_program_matches_reference_in_the_corners(seed: int, program: Path, tmp_path: Path) -> None:
    scenario = random_scenario(3 * seed + (seed % 2))
    reference = Replay(scenario.machine, scenario.thresholds)
    for event in scenario.events:
        reference.step(event)
    trace = write_events(tmp_path / "random.events", scenario.events)
    result = yardstick.run(program, trace, scenario.machine, scenario.thresholds).result
    wanted = {**reference.totals(), "cache_hash": reference.cache_hash()}
    assert {name: result[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("lines", "arguments"),
    [
        ("1 A\n", ()),
        ("1 X 1\n", ()),
        ("x A 1\n", ()),
        ("1 A 1\n", ("pages=1000",)),
        ("1 A 1\n", ("page=8",)),
        ("1 A 1\n", ("colour=red",)),
    ],
)
def test_program_refuses(lines: str, arguments: tuple[str, ...], program: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.events"
    path.write_text(lines)
    done = subprocess.run([program, path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("yardstick: ")
    assert done.stdout == ""
