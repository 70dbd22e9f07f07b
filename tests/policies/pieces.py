"""Scenarios in which no block is free, so that policies live on what is left."""

from __future__ import annotations

import random

from tests.property.generate import Action, Scenario, expand
from tests.reference.machine import ORDERS, Machine, Thresholds


def scenario_in_pieces(seed: int) -> Scenario:
    """Return a scenario in which others hold all memory in small chunks, and give them back here and there.

    So chunks of all orders below a block come to a policy, whose neighbours are others'.
    """
    rng = random.Random(seed)
    max_page = ORDERS[4].max_page
    order = rng.choice([0, 3, 5, 5, 7, 7])
    chunks = rng.choice([1, 2, 3]) if order else 1
    actions = [Action("take", chunks << (max_page - order), order)]
    for _ in range(rng.randint(4, 10)):
        actions += [
            rng.choice(
                [
                    Action("give", rng.choice([1, 3, 20]), rng.randrange(5)),
                    Action("alloc", rng.choice([1, 9])),
                ]
            ),
            Action("free", rng.choice([1, 3, 9]), rng.choice([0, 1, 3])),
            rng.choice([Action("shrink", rng.choice([1, 3]), rng.choice([0, 1, 3])), Action("alloc", 3)]),
            Action("take", rng.choice([0, 1, 9]), rng.choice([0, 2, order, max_page])),
        ]
    machine = Machine(4, chunks << max_page, "pmd")
    return Scenario(machine, Thresholds(16, 64, 512), expand(actions))
