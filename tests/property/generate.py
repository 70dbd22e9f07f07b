"""Random machines, thresholds and traces that reach the corners of the rules.

A trace is built from actions, each of which stands for a burst of events. Actions are what Hypothesis
shrinks; seeded generators make them, too. Everything follows from the actions, so that a failure repeats.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.reference.machine import ORDERS, Event, Machine, Thresholds

MAX_BURST = 600
"""Longest burst: a little more than a block of 4 KiB pages."""


class Action(NamedTuple):
    """A burst of events.

    Attributes
    ----------
    kind : str
        `alloc`, `free`, `shrink`, `drop`, `take`, `give` or `stray`.
    times : int
        Events in the burst.
    arg : int
        `shrink`: priority; `take`: order; `free`, `give`: which of the live ones (0 the newest, 1 the oldest,
        k every k-th, round and round).
    """

    kind: str
    times: int
    arg: int = 0


class Scenario(NamedTuple):
    """A machine, thresholds, and the events that it goes through."""

    machine: Machine
    thresholds: Thresholds
    events: list[Event]


def expand(actions: list[Action]) -> list[Event]:
    """Turn actions into events that hold together: an id is never allocated twice without a free between."""
    maker = _EventMaker()
    for action in actions:
        for _ in range(action.times):
            maker.add(action.kind, action.arg)
    return maker.events


class _EventMaker:
    """Remembers which ids are live. Freed ids are used again, the last freed first."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.time_ns = 1_000
        self.live: dict[str, list[int]] = {"A": [], "B": []}
        self.spare: dict[str, list[int]] = {"A": [], "B": []}
        self.next_id = 1

    def add(self, kind: str, arg: int) -> None:
        self.time_ns += 7 * (1 + len(self.events) % 5)
        match kind:
            case "alloc":
                self._emit("A", self._new("A"))
            case "take":
                self._emit("B", self._new("B"), arg)
            case "free":
                self._give_back("A", "F", arg)
            case "give":
                self._give_back("B", "b", arg)
            case "shrink":
                self._emit("S", 0, arg)
            case "drop":
                self._emit("D")
            case "stray":  # an id that was never allocated
                self._emit("F" if arg % 2 else "b", 1_000_000 + arg)

    def _emit(self, op: str, ident: int = 0, arg: int = 0) -> None:
        self.events.append(Event(self.time_ns, op, ident, arg))

    def _new(self, space: str) -> int:
        if self.spare[space]:
            ident = self.spare[space].pop()
        else:
            ident = self.next_id
            self.next_id += 1
        self.live[space].append(ident)
        return ident

    def _give_back(self, space: str, op: str, which: int) -> None:
        live = self.live[space]
        if live:
            at = len(live) - 1 if which == 0 else (which - 1) * 37 % len(live)
            ident = live.pop(at)
            self.spare[space].append(ident)
            self._emit(op, ident)


def machine_sizes(page_size_kib: int) -> list[int]:
    """Return memories in chunks of the highest order, the smallest that show each kind of leaf."""
    orders = ORDERS[page_size_kib]
    contpmd = 1 << (orders.contpmd - orders.max_page)
    sizes = [1, 2, 3, 4, contpmd, contpmd + 1]
    if page_size_kib == 4:
        sizes += [1 << (orders.pud - orders.max_page), (1 << (orders.pud - orders.max_page)) + 1]
    return sizes


def linear_maps(page_size_kib: int) -> list[str]:
    """Return the settings that this page size has."""
    return ["pmd", "contpmd", "pud"] if page_size_kib == 4 else ["pmd", "contpmd"]


def _random_machine(rng: random.Random) -> Machine:
    page_size_kib = rng.choice([4, 4, 4, 16, 64])
    chunks = rng.choice([*machine_sizes(page_size_kib), 1, 2, 2, 3])
    pages = chunks << ORDERS[page_size_kib].max_page
    return Machine(page_size_kib, pages, rng.choice(linear_maps(page_size_kib)))


def _random_thresholds(rng: random.Random, machine: Machine) -> Thresholds:
    block = 1 << machine.orders.block
    return Thresholds(
        rng.choice([0, 0, 0, 1, 2, 3, 4, 5, 16, 64, block // 2, block]),
        rng.choice([1, 1, 8, block // 8, block // 2, block]),
        min(rng.choice([1, 7, 37, 128, block // 4, block, 2 * block]), machine.memory_pages),
    )


def take_all_memory(machine: Machine, lowest: int) -> list[Action]:
    """Return bursts that take all chunks of the highest order, then one each of those down to `lowest`.

    Once the largest are gone, each smaller one comes out of a chunk that somebody has given back, or fails.
    """
    max_page = machine.orders.max_page
    whole = machine.memory_pages >> max_page
    return [Action("take", whole, max_page)] + [
        Action("take", 1, order) for order in range(max_page - 1, lowest - 1, -1)
    ]


def _squeeze(rng: random.Random, machine: Machine) -> list[Action]:
    """Take nearly all memory, some of the smaller orders more than once, and perhaps give some back."""
    bursts = take_all_memory(machine, rng.randrange(machine.orders.block))
    actions = [bursts[0], *(burst._replace(times=rng.choice([1, 1, 2, 3])) for burst in bursts[1:])]
    if rng.random() < 0.5:
        actions.append(Action("give", rng.choice([1, 2, 5]), rng.randrange(5)))
    return actions


def _work(rng: random.Random) -> list[Action]:
    """Allocate and free a while."""
    count = rng.choice([1, 5, 40, 200, MAX_BURST])
    return [Action("alloc", count), Action("free", rng.randrange(count + 1), rng.choice([0, 1, 2, 3, 9]))]


def _pressure(rng: random.Random) -> list[Action]:
    """Shrink, or drop everything."""
    if rng.random() < 0.3:
        return [Action("drop", 1)]
    return [Action("shrink", rng.choice([1, 1, 2, 6]), rng.choice([0, 0, 1, 2, 4, 12]))]


def _little_background(rng: random.Random, machine: Machine) -> list[Action]:
    order = rng.randrange(machine.orders.max_page + 1)
    return [Action(rng.choice(["take", "take", "give"]), rng.choice([1, 2, 4]), order)]


def _round(rng: random.Random, machine: Machine) -> list[Action]:
    """Return one thing that happens to a machine."""
    match rng.choice(["squeeze", "work", "work", "pressure", "pressure", "background", "free", "stray"]):
        case "squeeze":
            return _squeeze(rng, machine)
        case "work":
            return _work(rng)
        case "pressure":
            return _pressure(rng)
        case "background":
            return _little_background(rng, machine)
        case "free":
            return [Action("free", rng.choice([3, 50, MAX_BURST]), rng.choice([0, 1, 5]))]
    return [Action("stray", 1, rng.randrange(4))]


def _tight(rng: random.Random) -> tuple[Machine, Thresholds, list[Action]]:
    """Return a small machine that runs out of memory while its shrinker may take every page.

    This is where refills fail in the middle of a pass: pages leak, refills deadlock, whole blocks come back.
    """
    page_size_kib = rng.choice([4, 4, 4, 64, 16])
    pages = rng.choice([1, 2, 3]) << ORDERS[page_size_kib].max_page
    machine = Machine(page_size_kib, pages, "pmd")
    actions: list[Action] = []
    for _ in range(rng.randint(1, 3)):
        actions += _squeeze(rng, machine) + (_work(rng) if rng.random() < 0.6 else []) + _pressure(rng)
        if rng.random() < 0.5:
            actions += _little_background(rng, machine)
    return (
        machine,
        Thresholds(rng.choice([0, 0, 0, 1, 2]), rng.choice([1, 8]), rng.choice([1, 37, 128])),
        actions,
    )


def random_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed: every third is tight, the others a few rounds of anything."""
    rng = random.Random(seed)
    if seed % 3 == 0:
        machine, thresholds, actions = _tight(rng)
    else:
        machine = _random_machine(rng)
        thresholds = _random_thresholds(rng, machine)
        actions = [action for _ in range(rng.randint(2, 7)) for action in _round(rng, machine)]
    return Scenario(machine, thresholds, expand(actions + _pressure(rng)))
