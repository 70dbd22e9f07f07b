"""What a policy is: its words, its parameters, and the functions of the kernel that it puts its own in place of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Value: TypeAlias = bool | int | str
"""A parameter's value as users write it."""

ALL_THRESHOLDS: Final = ("unshrinkable_pages", "shrink_block_min_pages", "batch")
"""The thresholds of v6, by their names in `pba.machine.Thresholds`."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a policy, for users and for whoever searches.

    Attributes
    ----------
    name : str
        Its name.
    default : bool, int or str
        What holds where nothing is said.
    values : tuple of str, or tuple of two int, or None
        The words that it may be; or the least and the most whole number; None: it is true or false.
    unit : str
        Unit of a number; empty without one.
    meaning : str
        A line.
    """

    name: str
    default: Value
    values: tuple[str, ...] | tuple[int, int] | None
    unit: str
    meaning: str

    @property
    def range(self) -> str:
        """What it may be, in words."""
        if self.values is None:
            return "true or false"
        if isinstance(self.values[0], int):
            return f"{self.values[0]} to {self.values[1]} {self.unit}".rstrip()
        return ", ".join(map(str, self.values))

    def code(self, value: Value) -> int:
        """Return a checked value as the kernel takes it: a number, or a word's place among the words."""
        if isinstance(value, str):
            return (self.values or ()).index(value)
        return int(value)


@dataclass(frozen=True)
class Definition:
    """A policy.

    Attributes
    ----------
    name, line : str
        What it is called, and what it is, in a line.
    about : str
        What the kernel would have to change, and what the policy does.
    source : str
        Where it comes from: a posted series, a commit, or this project.
    parameters : tuple of Parameter
        Its own.
    thresholds : tuple of str
        Those of v6 that it takes.
    fixed : callable, optional
        Values of thresholds that it sets itself, by their names, from the numbers of pages of a block and of
        memory: a policy that is v6 at a point of its thresholds.
    replaced : mapping
        Functions of `pba.kernel`, and what stands in for them. Empty: it is v6.
    counters : tuple of str
        What it counts beside what v6 does.
    is_rival : bool
        Whether it stands for all of v6's allocator; then it counts `RIVAL_COUNTERS` too.
    extend, prepare : callable, optional
        Adds what the policy remembers beside `pba.kernel.state.State`, and makes it ready for a boot.
    """

    name: str
    line: str
    about: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    thresholds: tuple[str, ...] = ALL_THRESHOLDS
    fixed: Callable[[int, int], dict[str, int]] | None = None
    replaced: Mapping[Any, Any] = field(default_factory=dict)
    counters: tuple[str, ...] = ()
    is_rival: bool = False
    extend: Callable[[Any], Any] | None = None
    prepare: Callable[[Any], None] | None = None

    def parameter(self, name: str) -> Parameter | None:
        """Return the parameter of this name, if there is one."""
        return next((each for each in self.parameters if each.name == name), None)
