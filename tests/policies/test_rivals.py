"""The rivals of v6 against their references: the whole state, after every event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from numba import config

from pba.policies.policy import Policy
from tests.policies.compare_rivals import RivalRun, run_rival
from tests.property.generate import Scenario, random_scenario
from tests.property.test_kernel_against_reference import scenarios
from tests.reference import rivals

pytestmark = pytest.mark.kernel

RIVALS: dict[str, tuple[Policy, type[RivalRun], Callable[..., rivals.Rival]]] = {
    "scattered": (Policy("scattered"), RivalRun, rivals.Scattered),
    "pte-mapped": (Policy("pte-mapped"), RivalRun, rivals.PteMapped),
}
SEEDS = range(6) if config.DISABLE_JIT else range(60)
REACHED = {
    "scattered": {"alloc_failures", "contpmd_splits", "contpte_splits", "split_ptp_raw"},
    "pte-mapped": {"alloc_failures", "background_failures"},
}
"""What the seeds must reach, or the comparison shows little."""


def run(name: str, scenario: Scenario) -> rivals.Rival:
    policy, kernel_run, reference = RIVALS[name]
    return run_rival(scenario, kernel_run(scenario, policy), reference(scenario.machine, **policy.parameters))


@pytest.mark.parametrize("name", RIVALS)
@settings(
    max_examples=2 if config.DISABLE_JIT else 20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenario=scenarios())
def test_rival_matches_its_reference(name: str, scenario: Scenario) -> None:
    run(name, scenario)


@pytest.mark.parametrize("name", RIVALS)
def test_rival_matches_its_reference_on_seeds(name: str) -> None:
    reached: Counter[str] = Counter()
    for seed in SEEDS:
        reached.update(run(name, random_scenario(seed)).totals().keys())
    if not config.DISABLE_JIT:
        assert REACHED[name] - set(reached) == set()
